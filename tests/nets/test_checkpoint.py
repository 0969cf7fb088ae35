"""A checkpoint holds everything: a learner filled from it goes on as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kept_samples import batches, kept
from torch import Tensor, nn

from swath.core.bands import Bands
from swath.core.errors import DataError
from swath.nets import loop
from swath.nets.augment import AugmentOptions
from swath.nets.batches import Scaler
from swath.nets.checkpoint import load_checkpoint, save_checkpoint
from swath.nets.losses import build_loss
from swath.nets.optimisers import build_optimiser
from swath.nets.zoo import build_net
from swath.specs import TrainSpec

CPU = torch.device("cpu")
BANDS = Bands((1, 2, 3), ("r", "g", "b"), (1e-3,) * 3, (-2.0,) * 3)


def learner(optimiser: str = "adamw", width: int = 4, **spec: Any) -> loop.Learner:
    torch.manual_seed(0)
    net = build_net("unet", 3, 2, {"depth": 2, "width": width}).to(memory_format=torch.channels_last)
    return loop.Learner(
        net=net.train(), optimiser=build_optimiser(optimiser, net, 0.01, 0.01), loss=build_loss({"ce": 1}),
        scaler=Scaler(lambda scene: BANDS, CPU), augmentation=AugmentOptions.default(), spec=TrainSpec(lr=0.01, **spec),
        ignore=255, device=CPU, precision=torch.float32, base_lr=0.01, total=8,
    )  # fmt: skip


def train(made: loop.Learner, first: int, last: int) -> dict[str, Tensor]:
    feed = batches(kept())
    for step in range(first, last):
        made.step(feed.at(step), step)
    return {k: v.clone() for k, v in made.net.state_dict().items()}


@pytest.mark.parametrize("optimiser", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_going_on_gives_the_same_weights(tmp_path: Path, optimiser: str, average: float) -> None:
    whole = learner(optimiser, average=average)
    expected = train(whole, 0, 8)
    first = learner(optimiser, average=average)
    train(first, 0, 4)
    save_checkpoint(tmp_path, first, {"step": 4, "note": "x"})
    second = learner(optimiser, average=average)
    state = load_checkpoint(tmp_path, second)
    assert state is not None
    assert (state["step"], state["note"]) == (4, "x")
    found = train(second, 4, 8)
    assert all(torch.equal(found[k], expected[k]) for k in expected)
    assert second.average.keys() == whole.average.keys()
    assert all(torch.equal(second.average[k], whole.average[k]) for k in whole.average)
    assert bool(whole.average) == bool(average)


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, learner()) is None


def test_a_newer_checkpoint_replaces_the_older_one(tmp_path: Path) -> None:
    made = learner()
    for step in (2, 5):
        save_checkpoint(tmp_path, made, {"step": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state-000000005.safetensors", "state.json"]


def test_a_kill_between_the_two_files_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = learner()
    train(made, 0, 2)
    save_checkpoint(tmp_path, made, {"step": 2})
    before = {k: v.clone() for k, v in made.net.state_dict().items()}
    train(made, 2, 4)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swath.nets.checkpoint.publish_json", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, made, {"step": 4})
    other = learner()
    state = load_checkpoint(tmp_path, other)
    assert state is not None
    assert state["step"] == 2
    assert all(torch.equal(v, before[k]) for k, v in other.net.state_dict().items())


def cut(directory: Path) -> None:
    file = next(directory.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-5])


def lost(directory: Path) -> None:
    next(directory.glob("*.safetensors")).unlink()


def spoilt(directory: Path) -> None:
    (directory / "state.json").write_text("{")


def nameless(directory: Path) -> None:
    (directory / "state.json").write_text(json.dumps({"step": 3}))


@pytest.mark.parametrize("damage", [cut, lost, spoilt, nameless])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    save_checkpoint(tmp_path, learner(), {"step": 3})
    damage(tmp_path)
    with pytest.raises(DataError, match=r"cannot be read .*; train anew with --overwrite"):
        load_checkpoint(tmp_path, learner())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, learner(), {"step": 3})
    other = learner(width=6)
    before = next(other.net.parameters()).clone()
    with pytest.raises(DataError, match="is of another network"):
        load_checkpoint(tmp_path, other)
    assert torch.equal(before, next(other.net.parameters()))


def test_nothing_of_a_checkpoint_is_pickled(tmp_path: Path) -> None:
    made = learner("sgd")
    train(made, 0, 1)
    save_checkpoint(tmp_path, made, {"step": 1})
    names = {n.split(".")[0] for n in _keys(tmp_path)}
    assert names == {"net", "optimiser"}
    assert isinstance(made.net, nn.Module)


def _keys(directory: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(next(directory.glob("*.safetensors")), "np") as f:
        return list(f.keys())
