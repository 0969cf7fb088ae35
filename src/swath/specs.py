"""The sections of a config as frozen specs: every key with its meaning, its default and the reason of it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "tb": 10**12}


def parse_duration(value: Any) -> Any:
    """Seconds of `90s`, `10m`, `1h30m` or a number of seconds."""
    if not isinstance(value, str):
        return value
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", value)
    if not parts or re.sub(r"(\d+(?:\.\d+)?)\s*([smhd])", "", value).strip():
        raise ValueError("write a duration such as 90s, 10m or 1h30m")
    return sum(float(n) * _UNITS[u] for n, u in parts)


def parse_size(value: Any) -> Any:
    """Bytes of `2GB`, `500MB` or a number of bytes."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?b?)", value.strip().lower())
    if not found or found[2] not in _SIZES:
        raise ValueError("write a size such as 500MB or 2GB")
    return int(float(found[1]) * _SIZES[found[2]])


Duration = Annotated[
    float, BeforeValidator(parse_duration), Field(gt=0), WithJsonSchema({"type": ["number", "string"]})
]
Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0), WithJsonSchema({"type": ["integer", "string"]})]
Values = Annotated[tuple[int | str, ...], WithJsonSchema({"type": ["integer", "string", "array"]})]
Fraction = Annotated[float, Field(ge=0, le=1)]
Portion = Annotated[float, Field(ge=0, lt=1)]  # a fraction that is never the whole
Count = Annotated[int, Field(ge=1)]


def setting(default: Any, what: str, because: str, **limits: Any) -> Any:
    """A field with its meaning and the reason of its default."""
    return Field(default, description=what, json_schema_extra={"because": because}, **limits)


class Spec(BaseModel):
    """A frozen section of the config."""

    model_config = ConfigDict(frozen=True, extra="forbid")




class ClassSpec(Spec):
    """One class of the class table."""

    name: str
    color: str | None = None
    source: Values = ()

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """Accepts `1: roof` for `1: {name: roof}` and a single source value for a list."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and "color" in value and value["color"] is None:
            raise ValueError('its color is empty: put quotes around it, as in "#efcd08", since # begins a comment')
        if isinstance(value, dict) and "source" in value and not isinstance(value["source"], list | tuple):
            return {**value, "source": [value["source"]]}
        return value


class ClassesSpec(Spec):
    """The class table: `field`, `unlabelled`, `ignore`, and one entry per class id."""

    field: str | None = setting(None, "vector field with the class", "the manifest's column `field`, or all polygons")
    unlabelled: Literal["background", "ignore"] = setting(
        "background", "what pixels without a label are", "labels are usually complete; write ignore where they are not"
    )
    ignore: Values = setting((), "label values that never count", "none was named")
    table: dict[int, ClassSpec] = Field(description="class id -> class")

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Gathers the integer keys under `table`."""
        if not isinstance(value, dict):
            return value
        table = {k: v for k, v in value.items() if isinstance(k, int)}
        rest = {k: v for k, v in value.items() if not isinstance(k, int)}
        if "ignore" in rest and not isinstance(rest["ignore"], list | tuple):
            rest["ignore"] = [rest["ignore"]]
        return {**rest, "table": table} if "table" not in rest else value


class BandsSpec(Spec):
    """Which bands are used and how they are scaled."""

    select: Annotated[tuple[int | str, ...], Field(min_length=1)] | None = setting(
        None, "bands in model order, by 1-based number or name", "all bands of the first training scene"
    )
    nodata: Literal["all", "any", "none"] = setting(
        "all", "a pixel is nodata when all or any bands are; none: the tag is not applied",
        "a single band at the nodata value is often real, such as a bright roof at 255",
    )  # fmt: skip
    nodata_value: float | None = setting(None, "nodata value where the files declare none", "the files' own tags")
    method: Literal["standard", "percentile", "minmax", "dtype", "none"] = setting(
        "standard", "how the affine scaling is fitted", "zero mean and unit variance of the training pixels"
    )
    scope: Literal["auto", "dataset", "image"] = setting(
        "auto", "fitted once on the training pixels, or on each raster as a whole", "decided from the data"
    )


class CoordinatesSpec(Spec):
    """Row and column of the scene as input planes, as CoordConv has them."""

    centered: bool = setting(True, "the centre of the scene is 0", "so that both sides look alike")
    normalized: bool = setting(True, "from -0.5 to 0.5 across the scene", "scenes may differ in size")
    scale: float = setting(1.0, "factor", "1")
    radius: bool = setting(False, "a third plane: the distance to the centre", "two planes")


class SourceSpec(Spec):
    """One source of the model input, in band order. Without a kind it is a raster: the manifest's column of its name.

    Kinds: `vector`, `metadata`, `coordinates`, `reader`.
    """

    bands: Annotated[tuple[Count | str, ...], Field(min_length=1)] | None = setting(
        None, "bands of the source's files, by number from 1 or by name", "all of them"
    )
    resample: Literal["nearest", "bilinear", "cubic", "average"] = setting(
        "bilinear", "how a source of another grid comes onto that of the image", "smooth, for measured values"
    )
    nodata_value: float | None = setting(None, "nodata value where its files declare none", "bands.nodata_value")
    vector: str | None = setting(
        None, "vector file that becomes bands (a column of the source's name goes before it)", "no vector"
    )
    layer: str | None = setting(None, "layer of the vector file", "the first layer")
    field: str | None = setting(None, "field of the vector file that holds `ids`", "all features make one band")
    ids: Values = setting((), "values of `field`: one band each, in this order", "all features make one band")
    encode: Literal["binary", "distance", "constant", "scaled"] | None = setting(
        None, "vector: binary or (signed) distance; metadata: constant or scaled (row and column times the value)",
        "binary, or constant",
    )  # fmt: skip
    log: bool = setting(False, "distances as ln(d + 1) on either side", "pixels")
    scale: float = setting(1.0, "factor on the bands of a vector", "1")
    limit: int = setting(128, "largest distance in pixels", "keeps distances the same in every tile", ge=1, le=2048)
    metadata: str | None = setting(None, "number of the scene (column, `metadata` file, STAC property)", "none")
    coordinates: bool | CoordinatesSpec = setting(False, "row and column of the scene as planes", "none")
    reader: str | None = setting(None, "a user's own reader, package.module:function", "Swath's own")
    options: dict[str, Any] = setting({}, "options of that reader", "none")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """Accepts nothing at all for a raster, and a single id for a list."""
        if value is None:
            return {}
        if isinstance(value, dict) and "ids" in value and not isinstance(value["ids"], list | tuple):
            return {**value, "ids": [value["ids"]]}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> SourceSpec:
        """Refuses two kinds at once, and options of another kind."""
        kinds = [k for k in ("vector", "metadata", "coordinates", "reader") if getattr(self, k)]
        if len(kinds) > 1:
            raise ValueError(f"is {' and '.join(kinds)} at once: make it two sources")
        kind = kinds[0] if kinds else "raster"
        allowed = {"vector": ("binary", "distance"), "metadata": ("constant", "scaled")}.get(kind, ())
        if self.encode is not None and self.encode not in allowed:
            raise ValueError(
                f"encode: {self.encode} is not for {kind}" + (f", choose {' or '.join(allowed)}" if allowed else "")
            )
        if self.ids and self.field is None:
            raise ValueError("ids need the `field` that holds them")
        if self.field is not None and not self.ids:
            raise ValueError("a `field` needs `ids`: one band is made for each of them")
        return self

    @property
    def kind(self) -> str:
        """raster, vector, metadata, coordinates or reader."""
        return next((k for k in ("vector", "metadata", "coordinates", "reader") if getattr(self, k)), "raster")


class LabelsSpec(Spec):
    """How vectors and label rasters become class indices."""

    all_touched: bool = setting(False, "burn every pixel a polygon touches", "pixel centres keep areas unbiased")
    priority: str = setting("id", "who wins on overlap: the higher `id`, or the larger value of a field", "higher id")
    invalid: Literal["fix", "skip", "error"] = setting("fix", "what to do with invalid geometries", "repaired, counted")
    extent: Literal["image", "labels"] = setting(
        "image", "where unlabelled pixels count: the whole image, or the labels' bounding box", "labels cover the image"
    )
    layer: str | None = setting(None, "layer of a vector file", "the first layer")


class SplitSpec(Spec):
    """Where validation (and test) labels come from when the manifest does not say."""

    by: Literal["auto", "scene", "group", "block", "chessboard", "interleave", "none"] = setting(
        "auto", "unit that is held out", "decided from the data"
    )
    val: Fraction = setting(0.1, "share of the labelled pixels for validation", "enough to choose a checkpoint")
    tst: Fraction = setting(0.0, "share of the labelled pixels for a test split", "the manifest's `tst` rows are used")
    block: Count | Literal["auto"] = setting("auto", "side of a spatial block in pixels", "decided from the data")
    buffer: int = setting(
        32, "pixels around held-out blocks that train nothing", "parts of one object stay apart", ge=0
    )
    stratify: bool = setting(
        True, "hold out what has class shares close to those of all, not what chance picks", "steadier scores"
    )
    order: Literal["interleave", "random"] = setting(
        "interleave", "order in which `interleave` deals the blocks", "spreads every split over the scenes"
    )
    seed: int = setting(0, "seed of chance in splits and in `sample.limit`", "0", ge=0)
    overlap: Literal["auto", "cut", "keep", "error"] = setting(
        "auto", "labels on ground that another split scores", "cut where a scene keeps half of its labels, else told"
    )
    files: Count | None = setting(None, "most scenes that train, the first ones of the manifest", "all of them")

    @model_validator(mode="after")
    def _something_trains(self) -> SplitSpec:
        """Refuses shares that leave nothing to train on where blocks are dealt by them."""
        if self.by == "interleave" and self.val + self.tst >= 1:
            raise ValueError("split.val and split.tst leave nothing for training")
        return self


class SampleSpec(Spec):
    """How scenes are cut into samples."""

    tile: Count | Literal["auto"] = setting("auto", "side of a sample in pixels", "decided from the data")
    overlap: float = setting(
        0.0, "overlap of training samples: a fraction below 1, or pixels", "no pixel stored twice", ge=0
    )
    edge: Literal["shift", "pad", "drop"] = setting(
        "shift", "what happens at the right and bottom edge", "nothing is lost"
    )
    min_annotated: Fraction = setting(0.0, "least share of annotated pixels", "background teaches too")
    class_min: dict[str, Fraction] = setting({}, "least share per class name", "no class is required")
    class_mode: Literal["all", "any"] = setting("all", "must all class floors be met, or any", "as geo-deep-learning")
    max_nodata: Fraction = setting(0.99, "largest share of pixels without data", "a sample needs some image")
    compress: Literal["none", "lz4"] = setting(
        "none", "how records are stored: as they are, or bit-shuffled and compressed", "read at memory speed"
    )
    limit: dict[Literal["trn", "val", "tst"], Count] = setting(
        {}, "most samples per split, a random subset: `{trn: 100}`", "all that the filters keep"
    )
    points: str | None = setting(
        None, "vector file of points that samples are cut around, relative to the config", "samples lie on a grid"
    )
    reject_nodata: Literal["any", "all"] | Fraction = setting(
        "all", "nodata pixels that refuse a patch around a point: any, all, or more than a share", "a patch needs some image"
    )

    def refusal(self, missing: int, area: int) -> str | None:
        """Why a patch of `area` pixels around a point, `missing` of them without data, is refused, or None."""
        rule = self.reject_nodata
        refused = missing > 0 if rule == "any" else missing == area if rule == "all" else missing / area > rule
        return "nodata in the patch" if refused else None


class CoordConvSpec(CoordinatesSpec):
    """Coordinate channels for the network (CoordConv)."""

    where: Literal["input", "all"] = setting(
        "input", "input: planes of the scene beside the bands; all: every convolution sees its own coordinates",
        "planes of the scene keep maps exact at tile borders",
    )  # fmt: skip
    noise: float = setting(0.0, "standard deviation of a jitter while training (where: all)", "none", ge=0)

    @model_validator(mode="after")
    def _noise_inside(self) -> CoordConvSpec:
        """Refuses a jitter of input planes: a scene's coordinates are what they are."""
        if self.noise and self.where == "input":
            raise ValueError("noise needs where: all")
        return self


class ModelSpec(Spec):
    """The network."""

    name: str = setting("unet", "a name of the zoo or package.module:function", "exact at tile borders, any band count")
    depth: int | None = setting(None, "pooling levels (unet)", "4", ge=1, le=7)
    width: int | None = setting(None, "channels of the first level (unet)", "32", ge=1)
    norm: Literal["batch", "none", "group"] | None = setting(None, "normalisation layer (unet)", "batch")
    dropout: Fraction | None = setting(None, "dropout probability (unet)", "0")
    up: Literal["transpose", "nearest", "bilinear"] | None = setting(None, "upsampling (unet)", "the model's own")
    encoder: str | None = setting(None, "encoder (smp-*): an smp or timm name", "resnet18")
    pretrained: str | None = setting(None, "pretrained weights (smp-*)", "none: nothing is downloaded")
    head: Literal["multiclass", "binary"] = setting(
        "multiclass", "one score per class, or one sigmoid", "any class count"
    )
    adapter: str | None = setting(
        None, "filters of bands beyond three in pretrained weights (smp-*): repeat, mean or copy:BAND", "smp's own rule"
    )
    coordconv: CoordConvSpec | None = setting(None, "coordinate channels", "none: place tells nothing")
    options: dict[str, Any] = setting({}, "further options of a user's own model", "none")

    def given(self) -> dict[str, Any]:
        """The options that were set, for the builder."""
        named = ("depth", "width", "norm", "dropout", "up", "encoder", "pretrained", "adapter")
        inside = self.coordconv.model_dump(exclude={"where"}) if self.coordconv and self.coordconv.where == "all" else None
        found = {k: v for k in named if (v := getattr(self, k)) is not None} | dict(self.options)
        return found | ({"coordconv": inside} if inside else {})


class AugmentSpec(Spec):
    """Random changes of the training batches; geometric ones move image and labels together."""

    preset: Literal["default", "none"] = setting("default", "what the other keys start from", "more data for free")
    hflip: Fraction | None = setting(None, "probability of a left-right flip", "the preset's")
    vflip: Fraction | None = setting(None, "probability of an up-down flip", "the preset's")
    rot90: bool | None = setting(None, "quarter turns", "the preset's")
    rotate: float | None = setting(None, "largest rotation in degrees", "the preset's", ge=0, le=180)
    scale: Fraction | None = setting(None, "largest relative change of scale", "the preset's")
    shear: float | None = setting(None, "largest shear in degrees", "the preset's", ge=0, lt=90)
    translate: Fraction | None = setting(None, "largest shift as a fraction of the side", "the preset's")
    brightness: float | None = setting(None, "largest shift of all bands, in scaled units", "the preset's", ge=0)
    contrast: float | None = setting(None, "largest relative change of contrast", "the preset's", ge=0)
    gain: float | None = setting(None, "largest relative change of a single band", "the preset's", ge=0)
    gamma: float | None = setting(None, "largest relative change of the tone curve", "the preset's", ge=0)
    noise: float | None = setting(None, "standard deviation of noise, in scaled units", "the preset's", ge=0)
    blur: float | None = setting(None, "largest blur sigma in pixels", "the preset's", ge=0)
    band_drop: Fraction | None = setting(None, "probability that a band is blanked", "the preset's")

    def given(self) -> dict[str, Any]:
        """The keys that were set, beside the preset."""
        return {k: v for k in type(self).model_fields if k != "preset" and (v := getattr(self, k)) is not None}


class TrainSpec(Spec):
    """How long and how the network is trained. The first of budget, epochs and steps that is reached ends it."""

    budget: Duration | None = setting(
        None, "seconds of training steps, evaluations not counted", "30m when no length is given"
    )
    epochs: float | None = setting(None, "passes over the training samples", "not limited", gt=0)
    steps: int | None = setting(None, "optimiser steps", "not limited", gt=0)
    batch_size: int = setting(8, "samples per step", "fits small machines and keeps batch norm stable", ge=1)
    crop: Count | Literal["auto"] = setting(
        "auto", "side of the random crop that is trained on", "decided from the data"
    )
    loss: dict[str, Any] = setting({"ce": 1.0}, "loss name -> weight or options; several are summed", "a proper score")
    class_weights: Literal["none", "auto"] | dict[str, float] = setting(
        "none", "weights per class name; auto: inverse square root of the shares", "plain likelihood keeps areas honest"
    )
    optimizer: str = setting("adamw", "optimiser", "steady over many networks")
    lr: float | None = setting(None, "largest learning rate", "the optimiser's usual value", gt=0)
    weight_decay: float = setting(0.01, "weight decay, not on norms and biases", "the usual value for adamw", ge=0)
    schedule: dict[str, Any] = setting(
        {"name": "onecycle"}, "learning-rate schedule and its options", "ends low, on time"
    )
    warmup_steps: int = setting(
        0, "steps at a tenth of the rate, before the schedule", "onecycle warms up itself", ge=0
    )
    clip: float = setting(1.0, "largest norm of the gradient", "one bad batch must not ruin a run", gt=0)
    average: Portion = setting(0.0, "decay of a running average of the weights; 0: off", "off")
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "arithmetic of the forward pass", "bf16 where the processor has it"
    )
    evaluations: int = setting(10, "evaluations over the whole training", "enough to see the curve", ge=1)
    patience: int = setting(
        0, "evaluations without a better score before it stops; 0: never", "the schedule ends on time", ge=0
    )
    min_delta: float = setting(1e-4, "what counts as better", "below it is noise", ge=0)
    monitor: Literal["mean_iou", "mean_iou_foreground", "loss"] = setting(
        "mean_iou", "validation score that chooses the best", "the map's quality"
    )
    init_from: str | None = setting(None, "bundle whose weights it starts from", "random start")
    sampler: str = setting(
        "auto",
        "how samples are drawn: uniform, blocks, class_presence, class_set, pixel_weighted or package.module:function",
        "uniform keeps class shares honest; blocks where rasters are read that do not fit in memory",
    )
    data: Literal["auto", "store", "rasters"] = setting(
        "auto", "where samples come from", "the store if it was made, else the rasters"
    )
    store: str | None = setting(
        None, "a store to train from, relative to the config, such as a converted one; no scene is opened", "the run's own"
    )
    cache: Literal["auto", "none", "ram", "disk"] = setting(
        "auto", "where samples are kept once they are read", "ram where rasters fit in runtime.memory, else none"
    )
    seed: int = setting(0, "seed of everything random", "0", ge=0)


    @model_validator(mode="after")
    def _one_source(self) -> TrainSpec:
        """Refuses a named store that is not to be read."""
        if self.store is not None and self.data == "rasters":
            raise ValueError("train.store names a store, train.data=rasters wants none: leave one out")
        return self

    @field_validator("schedule")
    @classmethod
    def _named(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Refuses a schedule without its name."""
        if "name" not in value:
            raise ValueError("names no schedule: write {name: onecycle}")
        return value


class PredictSpec(Spec):
    """How a model is applied to rasters."""

    tile: Count | Literal["auto"] = setting("auto", "core side of a tile in pixels", "as large as the memory allows")
    margin: Literal["exact", "effective"] | Annotated[int, Field(ge=0)] = setting(
        "exact", "context around a tile's core", "the network's radius: no seams"
    )
    overlap: Portion = setting(
        0.5, "overlap of tiles that are blended (infinite radius)", "half a tile hides the borders"
    )
    blend: Literal["none", "linear", "hann", "spline"] = setting("hann", "weights of blended tiles", "falls smoothly")
    executor: Literal["auto", "rows", "tiles"] = setting(
        "auto", "how the raster is walked", "rows where the network can be streamed"
    )
    strip: Count | Literal["auto"] = setting("auto", "rows per strip (rows)", "as many as the memory allows")
    batch_size: int = setting(1, "tiles per forward pass", "large tiles fill the processor alone", ge=1)
    memory: Size = setting(2_000_000_000, "bytes that the pixels in flight may take", "fits small machines")
    nodata_grow: int = setting(
        0, "pixels around nodata of the image that are nodata in the map too", "the map says all it can", ge=0, le=4096
    )
    save: tuple[Literal["classes", "probabilities", "confidence"], ...] = setting(
        ("classes",), "what is written", "the map"
    )


class VectorizeSpec(Spec):
    """How a map becomes polygons."""

    min_area_m2: float = setting(0.0, "smaller polygons are left out", "nothing is dropped unasked", ge=0)
    simplify_m: float = setting(0.0, "tolerance of simplification; 0: pixel outlines", "outlines as mapped", ge=0)
    classes: tuple[str, ...] | None = setting(None, "class names to write", "all but the background")

    @field_validator("classes", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Numbers as text: a map without a class table has its values for names."""
        numbers = isinstance(value, list | tuple)
        return [str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in value] if numbers else value


class RuntimeSpec(Spec):
    """The machine."""

    device: str = setting("auto", "auto, cpu, cuda or cuda:N", "a free GPU if there is one")
    threads: Count | Literal["auto"] = setting("auto", "threads of the network", "all cores")
    workers: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = setting(
        "auto", "threads that read samples ahead; 0: none is read ahead", "two; none on a machine with one core"
    )
    memory: Size = setting(4_000_000_000, "bytes of samples kept in memory", "small data sets are read once")
    remote: bool | tuple[str, ...] = setting(
        False, "may s3://, https:// and http:// be read and written; or a list of the hosts and s3://buckets where they may",
        "nothing leaves the machine unasked",
    )  # fmt: skip
