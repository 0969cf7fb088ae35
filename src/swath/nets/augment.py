"""Random views of a training batch: joint geometry of image and label, then radiometry of the image, band by band.

Order: affine (scale, shear, rotate, translate, in one resampling), hflip, vflip, rot90; then contrast, brightness,
gain, gamma, blur, noise, band_drop. Every sample draws its own numbers from the generator it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from swath.core.errors import ConfigError

# One uniform number per sample and name, always drawn, so that switching one option on leaves the others' draws alone.
DRAWS = ("hflip", "vflip", "rot90", "affine", "rotate", "scale_x", "scale_y", "shear", "shift_x", "shift_y",
         "contrast", "brightness", "gamma", "blur", "sigma")  # fmt: skip
ORDER = ("scale", "shear", "rotate", "translate", "hflip", "vflip", "rot90", "contrast", "brightness", "gain", "gamma",
         "blur", "noise", "band_drop")  # fmt: skip
LARGEST = {"rotate": 180.0, "shear": 60.0, "scale": 0.9, "translate": 1.0, "contrast": 1.0, "gain": 1.0,
           "hflip": 1.0, "vflip": 1.0, "p_affine": 1.0, "band_drop": 1.0, "gamma": 3.0, "blur": 20.0}  # fmt: skip


@dataclass(frozen=True)
class AugmentOptions:
    """How far each random change may go; 0 or False: never. Raises ConfigError (augment-option) out of range.

    The radiometric sizes are in units of the scaled input, that is standard deviations of a band over the training
    data. A size s means a draw from U(-s, s) unless said otherwise.
    """

    hflip: float = 0.5
    "Probability of a left-right mirror image."
    vflip: float = 0.5
    "Probability of an upside-down mirror image."
    rot90: bool = True
    "A turn by 0, 90, 180 or 270 degrees, equally likely; 0 or 180 where height and width differ."
    rotate: float = 0.0
    "Largest turn in degrees, either way."
    scale: float = 0.0
    "Largest relative change of size about the centre: 0.1 draws factors from 0.9 to 1.1."
    per_axis: bool = False
    "Whether x and y draw their own scale factor."
    shear: float = 0.0
    "Largest shear of x along y in degrees."
    translate: float = 0.0
    "Largest shift per axis as a fraction of width and height."
    p_affine: float = 1.0
    "Share of the samples that the four options above touch; the others keep every pixel as it is."
    fill: str = "reflect"
    "Outside the source: `reflect` mirrors image and label; `ignore` gives image 0, label ignore and no validity."
    brightness: float = 0.0
    "Added to all bands alike."
    contrast: float = 0.0
    "Relative change of the distance from the mean of sample and band, the same for all bands."
    gain: float = 0.0
    "Relative change of each band by itself."
    gamma: float = 0.0
    "Largest logarithm of the exponent applied between the lowest and the highest value of sample and band."
    noise: float = 0.0
    "Standard deviation of the normal noise added to each value."
    blur: float = 0.0
    "Largest sigma in pixels of a Gaussian over each band alone: U(0, blur) for half of the samples."
    band_drop: float = 0.0
    "Probability that a band is set to 0, its mean over the training data; one band always stays."

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), LARGEST.get(field.name, math.inf)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            wrong = ""
            if isinstance(field.default, bool):
                wrong = "" if isinstance(value, bool) else "neither true nor false"
            elif isinstance(field.default, float) and not (number and 0 <= value <= most):
                wrong = "no number from 0" + ("" if most == math.inf else f" to {most:g}")
            if wrong:
                raise ConfigError("augment-option", f"train.augment.{field.name}", f"{value!r} is {wrong}")
        if self.fill not in ("reflect", "ignore"):
            raise ConfigError("augment-option", "train.augment.fill", f"{self.fill!r} is neither reflect nor ignore")

    @classmethod
    def none(cls) -> AugmentOptions:
        """Nothing at all: a batch comes back as it is."""
        return cls(hflip=0.0, vflip=0.0, rot90=False)

    @classmethod
    def default(cls) -> AugmentOptions:
        """What suits most overhead images: they have no up and no left, and light and sensor vary mildly.

        The eight exact turns come free. A free angle and size for three samples in ten add directions and scales
        that those lack; the other seven stay as sharp as prediction will see them. Brightness, contrast, gain and
        gamma stand for haze, sun and season between scenes; noise is that of a sensor. Blur, shear and band_drop
        stay off: the first two change what small objects look like, the last is for sensors that lose bands.
        """
        return cls(rotate=20.0, scale=0.1, p_affine=0.3, brightness=0.2, contrast=0.2, gain=0.1, gamma=0.1, noise=0.02)

    @property
    def affine(self) -> bool:
        """Whether any option that resamples is on."""
        return self.p_affine > 0 and max(self.rotate, self.scale, self.shear, self.translate) > 0


def augment(
    x: Tensor,
    y: Tensor,
    options: AugmentOptions,
    generator: torch.Generator,
    *,
    ignore: int = 255,
    valid: Tensor | None = None,
    plain: Sequence[int] = (),
) -> tuple[Tensor, Tensor, Tensor | None]:
    """A random view (x, y, valid) of a batch; the arguments stay as they are.

    x float32 (B,C,H,W), scaled; y integer (B,H,W); valid bool (B,H,W), False where the image has no data, or None.
    Labels move by nearest neighbour: no value appears that was not there, but `ignore` under fill "ignore". Invalid
    pixels count as 0 before they are resampled, and move along; set x to 0 where the returned `valid` is False, since
    radiometry touches them. `plain` are channels that move along but are not toned: distances, coordinates. `valid`
    comes back as None where it was None and nothing can fall outside.
    The same generator state gives the same result bit for bit.
    """
    draws = _draw(len(x), generator, x.device)
    bands = torch.rand((len(x), x.shape[1], 2), generator=generator, device=generator.device).to(x.device)
    if valid is not None:
        x = x.masked_fill(~valid[:, None], 0)
    if options.affine:
        x, y, valid = _warp(x, y, valid, draws, options, ignore)
    x, y, valid = _turn(x, y, valid, draws, options)
    moved = x
    x = _tone(x, draws, bands[..., 0], options)
    if options.blur:
        x = _blur(x, draws, options)
    if options.noise:
        noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x.device)
        x = torch.add(x, noise, alpha=options.noise)
    if options.band_drop:
        x = _drop_bands(x, bands[..., 1], options.band_drop)
    if plain:
        kept = torch.tensor(list(plain), device=x.device)
        x = x.index_copy(1, kept, moved[:, kept])
    return x, y, valid


def affine_matrix(
    degrees: Tensor, scale: tuple[Tensor, Tensor], shear: Tensor, shift: tuple[Tensor, Tensor], size: tuple[int, int]
) -> Tensor:
    """float32 (B,2,3) for `affine_grid`: where in the source an output pixel lies, both from -1 to 1.

    The picture is scaled by (x, y), sheared along x by `shear` degrees, turned anticlockwise by `degrees` and shifted
    by the fractions (x, y) of its (height, width) `size`, all about its centre.
    """
    height, width = size
    turn, lean = torch.deg2rad(degrees), torch.deg2rad(shear).tan()
    cos, sin = turn.cos(), turn.sin()
    forward = torch.stack(  # in pixels, x to the right and y down
        [
            torch.stack([cos * scale[0], (cos * lean + sin) * scale[1]], -1),
            torch.stack([-sin * scale[0], (cos - sin * lean) * scale[1]], -1),
        ],
        -2,
    )
    half = torch.tensor([width / 2, height / 2], device=degrees.device)
    back = torch.linalg.inv(forward) * half / half[:, None]
    moved = torch.stack(shift, -1)[..., None] * 2
    return torch.cat([back, -back @ moved], -1)


def _draw(batch: int, generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    """float32 (B,) from U(0, 1) for each name in DRAWS."""
    numbers = torch.rand((batch, len(DRAWS)), generator=generator, device=generator.device).to(device)
    return dict(zip(DRAWS, numbers.unbind(1), strict=True))


def _signed(uniform: Tensor, size: float) -> Tensor:
    return (2 * uniform - 1) * size


def _warp(
    x: Tensor, y: Tensor, valid: Tensor | None, draws: dict[str, Tensor], options: AugmentOptions, ignore: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The affine options on the samples drawn for it: image bilinear, label and validity nearest, on one grid."""
    outside = options.fill == "ignore"
    if valid is None and outside:
        valid = torch.ones_like(y, dtype=torch.bool)
    chosen = (draws["affine"] < options.p_affine).nonzero()[:, 0]
    if not len(chosen):
        return x, y, valid
    d = {name: numbers[chosen] for name, numbers in draws.items()}
    scale_x = 1 + _signed(d["scale_x"], options.scale)
    scale_y = 1 + _signed(d["scale_y"], options.scale) if options.per_axis else scale_x
    shift = (_signed(d["shift_x"], options.translate), _signed(d["shift_y"], options.translate))
    height, width = y.shape[1:]
    theta = affine_matrix(
        _signed(d["rotate"], options.rotate), (scale_x, scale_y), _signed(d["shear"], options.shear), shift,
        (height, width),
    )  # fmt: skip
    grid = F.affine_grid(theta, [len(chosen), 1, height, width], align_corners=False)
    padding = "zeros" if outside else "reflection"
    image = F.grid_sample(x[chosen], grid, mode="bilinear", padding_mode=padding, align_corners=False)
    planes = [y[chosen].float() - ignore]  # the padding's 0 is then the ignore value
    if valid is not None:
        planes.append(valid[chosen].float())
    moved = F.grid_sample(torch.stack(planes, 1), grid, mode="nearest", padding_mode=padding, align_corners=False)
    x = x.index_copy(0, chosen, image.contiguous(memory_format=_format(x)))
    y = y.index_copy(0, chosen, (moved[:, 0] + ignore).to(y.dtype))
    if valid is not None:
        valid = valid.index_copy(0, chosen, moved[:, 1] > 0.5)
    return x, y, valid


def _format(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last


def _turn(
    x: Tensor, y: Tensor, valid: Tensor | None, draws: dict[str, Tensor], options: AugmentOptions
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Flips and quarter turns, which move whole pixels: each sample one of the eight symmetries of the square."""
    flips = [draws[name] < probability for name, probability in (("hflip", options.hflip), ("vflip", options.vflip))]
    square = x.shape[2] == x.shape[3]
    turns = (draws["rot90"] * 4).long() if square else (draws["rot90"] * 2).long() * 2
    plans = [
        ([axis for axis, on in ((-1, left), (-2, up)) if on], turn if options.rot90 else 0)
        for left, up, turn in zip(*(flag.tolist() for flag in flips), turns.tolist(), strict=True)
    ]
    if not any(axes or turn for axes, turn in plans):
        return x, y, valid
    moved = [_turned(planes, plans) for planes in ([x, y] if valid is None else [x, y, valid])]
    return moved[0], moved[1], moved[2] if valid is not None else None


def _turned(planes: Tensor, plans: list[tuple[list[int], int]]) -> Tensor:
    out = torch.empty_like(planes)
    for target, source, (axes, turn) in zip(out, planes, plans, strict=True):
        flipped = source.flip(axes) if axes else source
        target.copy_(flipped.rot90(turn, (-2, -1)) if turn else flipped)
    return out


def _tone(x: Tensor, draws: dict[str, Tensor], gain: Tensor, options: AugmentOptions) -> Tensor:
    """Contrast, brightness and gain, which together are one factor and one offset per sample and band; then gamma."""
    if options.contrast or options.brightness or options.gain:
        contrast = 1 + _signed(draws["contrast"], options.contrast)[:, None]
        factor = 1 + _signed(gain, options.gain)
        offset = x.mean((2, 3)) * (1 - contrast) + _signed(draws["brightness"], options.brightness)[:, None]
        x = torch.addcmul((offset * factor)[..., None, None], x, (contrast * factor)[..., None, None])
    if options.gamma:
        low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        spread = (high - low).clamp_min(1e-6)
        exponent = _signed(draws["gamma"], options.gamma).exp().view(-1, 1, 1, 1)
        x = low + spread * ((x - low) / spread).pow(exponent)
    return x


def _blur(x: Tensor, draws: dict[str, Tensor], options: AugmentOptions) -> Tensor:
    """A separable Gaussian for the half of the samples drawn for it, each band alone, mirrored at the edges."""
    chosen = (draws["blur"] < 0.5).nonzero()[:, 0]
    reach = min(math.ceil(3 * options.blur), min(x.shape[2:]) - 1)
    if not len(chosen) or reach < 1:
        return x
    sigma = (draws["sigma"][chosen] * options.blur).clamp_min(1e-3)
    offsets = torch.arange(-reach, reach + 1, device=x.device)
    kernel = torch.softmax(-0.5 * (offsets / sigma[:, None]) ** 2, 1)
    kernel = kernel.repeat_interleave(x.shape[1], 0)  # (chosen * C, 2 * reach + 1)
    planes = x[chosen].flatten(0, 1)[None]
    planes = F.conv2d(F.pad(planes, (reach, reach, 0, 0), mode="reflect"), kernel[:, None, None, :], groups=len(kernel))
    planes = F.conv2d(F.pad(planes, (0, 0, reach, reach), mode="reflect"), kernel[:, None, :, None], groups=len(kernel))
    return x.index_copy(0, chosen, planes.view(len(chosen), *x.shape[1:]))


def _drop_bands(x: Tensor, uniform: Tensor, probability: float) -> Tensor:
    kept = (uniform >= probability) | (uniform >= uniform.amax(1, keepdim=True))
    return x * kept[..., None, None]
