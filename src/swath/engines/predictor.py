"""Raw pixels in, class probabilities out: the one seam between rasters and models. Preprocessing is inside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from swath.core.bands import Bands
from swath.core.legend import Legend
from swath.disk.bundle import Bundle, read_bundle
from swath.disk.samples.plan import fit_image
from swath.disk.sources.images import Reader
from swath.nets.batches import as_float
from swath.nets.device import choose_device, set_threads
from swath.nets.network import load_net, probabilities, prove

Scores = NDArray[np.float32]


class Predictor(Protocol):
    """A model that answers for pixels. `radius` None: no finite margin makes tiles exact."""

    @property
    def bands(self) -> Bands: ...
    @property
    def legend(self) -> Legend: ...
    @property
    def stride(self) -> int: ...
    @property
    def radius(self) -> int | None: ...
    @property
    def backend(self) -> str: ...

    def __call__(self, raw: NDArray[Any], valid: NDArray[np.bool_]) -> Scores:
        """Probabilities float32 (B, K, h, w) of raw pixels (B, C, h, w) with valid masks (B, h, w)."""
        ...

    def on(self, reader: Reader) -> Predictor:
        """The predictor for one raster: with scope `image` its scaling is fitted on the raster as a whole."""
        ...


@dataclass(frozen=True)
class TorchPredictor:
    """A bundle's network in torch, float32, evaluation mode."""

    net: torch.nn.Module
    bands: Bands
    legend: Legend
    stride: int
    radius: int | None
    device: torch.device
    identity: str = ""
    backend: str = "torch"

    def on(self, reader: Reader) -> TorchPredictor:
        """The predictor for one raster."""
        return self if self.bands.scope == "dataset" else replace(self, bands=fit_image(reader, self.bands))

    def scaled(self, raw: NDArray[Any], valid: NDArray[np.bool_]) -> torch.Tensor:
        """The model input float32 (B, C, h, w) on the device, channels last; equal to `Bands.scale` bit for bit."""
        gain, offset = (
            torch.tensor(v, dtype=torch.float32, device=self.device)[None, :, None, None]
            for v in (self.bands.gain, self.bands.offset)
        )
        x = as_float(torch.from_numpy(raw), self.device) * gain + offset
        if not valid.all():
            x = x.masked_fill(~torch.from_numpy(valid).to(self.device)[:, None], 0.0)
        return x.contiguous(memory_format=torch.channels_last)

    def __call__(self, raw: NDArray[Any], valid: NDArray[np.bool_]) -> Scores:
        """Probabilities float32 (B, K, h, w)."""
        with torch.inference_mode():
            return probabilities(self.net(self.scaled(raw, valid))).cpu().numpy()


def load_predictor(
    model: str | Path, *, device: str = "auto", threads: int | str = "auto"
) -> tuple[TorchPredictor, Bundle]:
    """The predictor of a bundle or run, proven by the bundle's golden probe. Raises DataError."""
    bundle = read_bundle(model)
    set_threads(threads)
    net = load_net(bundle)
    prove(bundle, net)
    place = choose_device(device)
    net = net.to(place)
    model_card = bundle.model
    predictor = TorchPredictor(
        net, bundle.bands, bundle.legend, model_card["stride"], model_card["radius"], place, bundle.identity
    )
    return predictor, bundle
