"""Networks, losses and optimisers of geo-deep-learning by name, and what stands for each in Swath."""

from __future__ import annotations

from typing import Any

from swath.importers.report import Draft, flag, reading

SMP = "resnext50_32x4d"
MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "unet": ({"name": "unet", "depth": 4, "width": 64}, "4 levels from 64 channels"),
    "unetsmall": ({"name": "unet", "depth": 3, "width": 32}, "3 levels from 32 channels"),
    "checkpointed_unet": ({"name": "unet", "depth": 3, "width": 32},
                          "unetsmall; not yet in Swath: recomputed activations, which save memory"),
    "ternausnet": ({"name": "smp-unet", "encoder": "vgg11"}, "any number of bands; it was never pretrained"),
    "deeplabv3_resnet101": ({"name": "smp-deeplabv3", "encoder": "resnet101"}, "any number of bands"),
    "unet_pretrained": ({"name": "smp-unet", "encoder": SMP}, "smp's U-Net"),
    "pan_pretrained": ({"name": "smp-pan", "encoder": "se_resnext101_32x4d"}, "smp's PAN"),
    "fpn_pretrained": ({"name": "smp-fpn", "encoder": SMP}, "smp's FPN"),
    "pspnet_pretrained": ({"name": "smp-pspnet", "encoder": SMP}, "smp's PSPNet"),
    "deeplabv3+_pretrained": ({"name": "smp-deeplabv3plus", "encoder": SMP}, "smp's DeepLabV3+"),
    "manet_pretrained": ({"name": "smp-manet", "encoder": SMP}, "smp's MA-Net"),
    "spacenet_unet_efficientnetb5_pretrained": ({"name": "smp-unet", "encoder": "efficientnet-b5"}, "ImageNet weights only"),
    "spacenet_unet_senet152_pretrained": ({"name": "smp-unet", "encoder": "senet154"}, "ImageNet weights only"),
    "spacenet_unet_baseline_pretrained": ({"name": "smp-unet", "encoder": "vgg11"}, "ImageNet weights only"),
}  # fmt: skip
NO_MODEL = {
    "fcn_resnet101": "not yet in Swath: this network; the default, unet, stands in",
    "inception": "not yet in Swath: classification of patches; the default, unet, stands in",
}
LOSSES: dict[str, tuple[dict[str, Any], str]] = {
    "crossentropy": ({"ce": 1}, "cross-entropy"),
    "lovasz": ({"lovasz": 1}, "over the batch; class weights act here, there they were refused"),
    "ohemcrossentropy": ({"ce": 1}, "not yet in Swath: hard pixels only; cross-entropy of all pixels stands in"),
    "focal": (
        {"focal": {"weight": 1, "gamma": 2}},
        "per pixel, as published; the old one acted on the mean of the batch",
    ),
    "dice": ({"dice": 1}, "honours ignored pixels and class weights, as the old one did not"),
    "bf1": ({"ce": 1}, "not yet in Swath: the boundary loss; cross-entropy stands in"),
    "duo": ({"lovasz": 1}, "Lovász alone; not yet in Swath: its other part, the boundary loss"),
}
OPTIMISERS = {
    "adam": ("adam", "Adam"),
    "sgd": ("sgd", "momentum 0.9, here with Nesterov's step"),
    "adabound": ("adam", "not yet in Swath: AdaBound; Adam stands in"),
    "adaboundw": ("adamw", "not yet in Swath: AdaBoundW; AdamW stands in"),
}


def model(value: Any, draft: Draft) -> str:
    name = str(value).strip().lower()
    if name not in MODELS:
        return NO_MODEL.get(name, f"unknown network {value!r}; the default, unet, stands in")
    options, note = MODELS[name]
    for key, option in options.items():
        draft.set(f"model.{key}", option)
    wish = draft.get("training.pretrained")
    if name.endswith("_pretrained") and (wish is None or flag(wish)):
        draft.set("model.pretrained", "imagenet")
        note += "; pretrained on ImageNet: downloaded at the first training, `model.pretrained: none` never is"
    return note


def pretrained(value: Any, draft: Draft) -> str:
    name = str(draft.get("global.model_name")).strip().lower()
    if not name.endswith("_pretrained") and name != "deeplabv3_resnet101":
        return "this network had no pretrained weights, whatever the key said"
    if name == "deeplabv3_resnet101" and flag(value):
        draft.set("model.pretrained", "imagenet")
        return "ImageNet's weights of the encoder; the old ones were of COCO"
    draft.tell("model.pretrained")
    return reading(value, "this key decides", "loaded ImageNet's weights whatever it said", "the text")


def loss(value: Any, draft: Draft) -> str:
    name = str(value).strip().lower()
    if name not in LOSSES:
        return f"unknown loss {value!r}; the default, cross-entropy, stands in"
    draft.set("train.loss", LOSSES[name][0])
    return LOSSES[name][1]


def optimiser(value: Any, draft: Draft) -> str:
    name = str(value).strip().lower()
    if name not in OPTIMISERS:
        return f"unknown optimiser {value!r}; Adam, the old default, stands in"
    draft.set("train.optimizer", OPTIMISERS[name][0])
    return OPTIMISERS[name][1]


def names_table(table: dict[str, tuple[Any, str]]) -> str:
    """A table of names for the docs."""
    rows = [f"| `{name}` | {_shown(found)} | {note} |" for name, (found, note) in table.items()]
    return "\n".join(["| old name | Swath | note |", "|---|---|---|", *rows])


def _shown(found: Any) -> str:
    if isinstance(found, dict):
        return ", ".join(f"`{k}: {v}`" for k, v in found.items())
    return f"`{found}`"
