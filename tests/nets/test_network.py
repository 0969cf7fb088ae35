"""A bundle's network is the one that was trained, or it does not load."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from swath.core.errors import ConfigError, DataError
from swath.core.legend import ClassEntry, Legend
from swath.disk.bundle import read_bundle, write_bundle
from swath.nets.network import (
    class_indices,
    last_channels,
    load_net,
    load_tensors,
    model_card,
    new_net,
    numpy_tensors,
    outputs,
    probabilities,
    prove,
    run_probe,
)
from swath.specs import ModelSpec

pytest_plugins = ["fixtures_run"]
TWO = Legend((ClassEntry(0, "ground", "#000000"), ClassEntry(1, "roof", "#ff0000")))
THREE = Legend((*TWO.classes, ClassEntry(2, "tree", "#00ff00")))
SMALL = ModelSpec(depth=2, width=4)
PIXELS = np.array([900, 100])


def test_a_new_network_follows_its_seed_and_starts_at_the_class_shares() -> None:
    one, other, third = (new_net(SMALL, 3, TWO, PIXELS, seed) for seed in (1, 1, 2))
    tensors = [numpy_tensors(n) for n in (one, other, third)]
    assert all(np.array_equal(tensors[0][k], tensors[1][k]) for k in tensors[0])
    assert any(not np.array_equal(tensors[0][k], tensors[2][k]) for k in tensors[0])
    bias = torch.softmax(one.head.bias, 0).tolist()  # type: ignore[union-attr,arg-type]
    assert bias == pytest.approx([0.9, 0.1], abs=1e-6)


def test_a_binary_head_has_one_channel_and_two_classes() -> None:
    binary = ModelSpec(depth=1, width=4, head="binary")
    assert (outputs(binary, TWO), outputs(SMALL, TWO), outputs(SMALL, THREE)) == (1, 2, 3)
    with pytest.raises(DataError, match="a binary head has two classes, the legend 3"):
        outputs(binary, THREE)
    net = new_net(binary, 2, TWO, PIXELS, 0)
    assert last_channels(net, 2, 2) == 1


def test_the_card_of_a_model_says_stride_radius_and_channels() -> None:
    net = new_net(SMALL, 5, THREE, np.array([1, 1, 1]), 0)
    card = model_card(SMALL, net, 5)
    assert (card["in_channels"], card["out_channels"], card["stride"], card["radius"]) == (5, 3, 4, 23)
    assert card["options"] == {"depth": 2, "width": 4}
    assert card["parameters"] == sum(p.numel() for p in net.parameters())
    assert net.training
    json.dumps(card, allow_nan=False)


def test_roof_049_the_card_of_a_binary_head_names_its_threshold() -> None:
    binary = ModelSpec(depth=1, width=4, head="binary")
    net = new_net(binary, 3, TWO, np.ones(2), 0)
    card = model_card(binary, net, 3)
    assert (card["out_channels"], card["head"], card["threshold"]) == (1, "binary", 0.5)
    assert "threshold" not in model_card(SMALL, new_net(SMALL, 3, THREE, np.ones(3), 0), 3)
    logits = torch.tensor([-0.01, 0.01]).reshape(1, 1, 1, 2)
    assert class_indices(logits).ravel().tolist() == [0, 1]
    assert probabilities(logits)[0, 1].ravel()[1] > card["threshold"]


def test_probabilities_of_both_heads_sum_to_one() -> None:
    logits = torch.tensor([[[[2.0]], [[0.0]]]])
    assert torch.allclose(probabilities(logits), torch.softmax(logits, 1))
    single = probabilities(torch.tensor([[[[2.0]]]]))
    assert single.flatten().tolist() == pytest.approx([1 / (1 + np.exp(2)), 1 / (1 + np.exp(-2))])


@pytest.mark.parametrize("classes", [2, 5, 300])
def test_class_indices_are_those_of_argmax(classes: int) -> None:
    logits = torch.randint(0, 4, (2, classes, 9, 11), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(class_indices(logits).long(), logits.argmax(1))
    assert torch.equal(class_indices(torch.tensor([[[[0.1, -0.1, 0.0]]]])), torch.tensor([[[1, 0, 0]]], dtype=torch.uint8))


def test_weights_must_fit_by_name_and_shape() -> None:
    net = new_net(SMALL, 3, TWO, PIXELS, 0)
    before = numpy_tensors(net)
    before = {k: v.copy() for k, v in before.items()}
    other = numpy_tensors(new_net(SMALL, 3, TWO, PIXELS, 1))
    less = {k: v for k, v in other.items() if not k.startswith("head")}
    for tensors, told in (
        (less, r"2 missing \(first: head\.bias\)"),
        ({**other, "extra": np.zeros(1)}, r"1 unexpected \(first: extra\)"),
        (numpy_tensors(new_net(SMALL, 3, THREE, np.ones(3), 0)), r"2 of another shape \(first: head\.weight\)"),
        ({**less, "tail": np.zeros(1)}, r"2 missing .*, 1 unexpected"),
    ):
        with pytest.raises(DataError, match=told) as caught:
            load_tensors(net, tensors, "bundle")
        assert caught.value.code == "weights-mismatch"
        assert all(np.array_equal(before[k], v) for k, v in numpy_tensors(net).items())
    load_tensors(net, other, "bundle")
    assert all(np.array_equal(other[k], v) for k, v in numpy_tensors(net).items())


def test_a_bundle_proves_itself(bundle: Path) -> None:
    found = read_bundle(bundle)
    net = load_net(found)
    assert not net.training
    prove(found, net)
    probe = found.probe()
    assert np.array_equal(found.bands.scale(probe["raw"], probe["valid"]), probe["input"])
    assert np.abs(run_probe(net, probe["input"]) - probe["output"]).max() < 1e-5


def card_change(key: str, name: str, change: Callable[[object], object]) -> Callable[[Path], None]:
    def apply(directory: Path) -> None:
        card = json.loads((directory / "card.json").read_text())
        card[key][name] = change(card[key][name])
        (directory / "card.json").write_text(json.dumps(card))

    return apply


def other_weights(directory: Path) -> None:
    """A bundle whose weights were exchanged, checksums and all."""
    found = read_bundle(directory)
    tensors = {k: v + (0.05 if v.dtype == np.float32 else 0) for k, v in found.tensors().items()}
    card = {k: v for k, v in found.card.items() if k not in ("weights", "probe")}
    write_bundle(directory, card, tensors, found.probe())


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (card_change("bands", "gain", lambda g: [x * 1.001 for x in g]), "probe-input"),  # type: ignore[attr-defined]
        (card_change("bands", "offset", lambda o: [x + 0.01 for x in o]), "probe-input"),  # type: ignore[attr-defined]
        (other_weights, "probe-output"),
        (card_change("model", "out_channels", lambda n: 3), "weights-mismatch"),
        (card_change("model", "in_channels", lambda n: 4), "weights-mismatch"),
        (card_change("model", "options", lambda o: {"depth": 3, "width": 4}), "weights-mismatch"),
    ],
)
def test_a_tampered_bundle_does_not_load(
    copied_bundle: Path, tamper: Callable[[Path], None], code: str
) -> None:
    tamper(copied_bundle)
    found = read_bundle(copied_bundle)
    with pytest.raises(DataError) as caught:
        prove(found, load_net(found))
    assert caught.value.code == code
    assert caught.value.exit_code == 3


def test_a_bundle_of_an_unknown_network_names_the_known_ones(copied_bundle: Path) -> None:
    card_change("model", "name", lambda n: "unett")(copied_bundle)
    with pytest.raises(ConfigError, match=r"unknown model 'unett'; did you mean 'unet'\?"):
        load_net(read_bundle(copied_bundle))


def test_the_probe_leaves_the_mode_of_the_network(bundle: Path) -> None:
    net = load_net(read_bundle(bundle))
    for mode in (True, False):
        net.train(mode)
        run_probe(net, np.zeros((3, 8, 8), np.float32))
        assert net.training is mode
    assert isinstance(net, nn.Module)
