"""Image and label stay together, labels stay labels, and the same generator gives the same batch."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swath.core.errors import ConfigError
from swath.nets.augment import AugmentOptions, affine_matrix, augment

NONE = AugmentOptions.none()
EVERYTHING = AugmentOptions(
    rotate=180, scale=0.3, per_axis=True, shear=10, translate=0.2, brightness=0.3, contrast=0.3, gain=0.2, gamma=0.3,
    noise=0.05, blur=1.5, band_drop=0.2,
)  # fmt: skip
EXACT = {"hflip": 1.0, "vflip": 1.0, "rot90": True}


def only(**options):
    return dataclasses.replace(NONE, **options)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(samples=8, bands=3, height=24, width=24, seed=0, classes=(0, 3, 7)):
    g = seeded(seed)
    x = torch.randn(samples, bands, height, width, generator=g)
    y = torch.tensor(classes, dtype=torch.uint8)[torch.randint(0, len(classes), (samples, height, width), generator=g)]
    return x, y


def twin(y):
    """An image whose only band is the label: what happens to one must happen to the other."""
    return y[:, None].float()


@pytest.mark.parametrize("options", [NONE, AugmentOptions(), AugmentOptions.default(), EVERYTHING], ids=range(4))
@pytest.mark.parametrize("shape", [(20, 20), (16, 28)])
def test_same_generator_state_same_result_and_arguments_untouched(options, shape):
    x, y = batch(height=shape[0], width=shape[1])
    valid = torch.rand(y.shape, generator=seeded(1)) < 0.9
    kept = x.clone(), y.clone(), valid.clone()
    first, second, other = (augment(x, y, options, seeded(s), valid=valid) for s in (4, 4, 5))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip((x, y, valid), kept, strict=True))
    assert [t.shape for t in first] == [x.shape, y.shape, y.shape]
    assert [t.dtype for t in first] == [torch.float32, torch.uint8, torch.bool]
    assert torch.isfinite(first[0]).all()
    assert options == NONE or not torch.equal(first[0], other[0])


def test_none_returns_the_batch():
    x, y = batch()
    out_x, out_y, valid = augment(x, y, NONE, seeded())
    assert torch.equal(out_x, x)
    assert torch.equal(out_y, y)
    assert valid is None


@given(
    seed=st.integers(0, 2**31), fill=st.sampled_from(["reflect", "ignore"]), height=st.integers(4, 20),
    width=st.integers(4, 20), classes=st.lists(st.integers(0, 254), min_size=1, max_size=5),
)  # fmt: skip
def test_labels_are_never_invented(seed, fill, height, width, classes):
    x, y = batch(3, 1, height, width, seed, classes)
    options = dataclasses.replace(EVERYTHING, fill=fill)
    _, out, valid = augment(x, y, options, seeded(seed))
    allowed = set(classes) | ({255} if fill == "ignore" else set())
    assert set(out.unique().tolist()) <= allowed
    assert (valid is None) == (fill == "reflect")
    if valid is not None:
        assert torch.equal(out == 255, ~valid)


@pytest.mark.parametrize("shape", [(24, 24), (18, 26)])
@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_flips_and_turns_move_image_label_and_validity_alike(shape, probability):
    _, y = batch(32, height=shape[0], width=shape[1])
    options = only(hflip=probability, vflip=probability, rot90=True)
    x, out, valid = augment(twin(y), y, options, seeded(2), valid=y != 3)
    marked = torch.where(out == 3, 0, out)  # invalid pixels count as 0
    assert torch.equal(x[:, 0], marked.float())
    assert torch.equal(valid, out != 3)
    assert not torch.equal(out, y)


def symmetries(y):
    return [t.rot90(k, (0, 1)) for t in (y, y.flip(1)) for k in range(4) if t.rot90(k, (0, 1)).shape == y.shape]


@pytest.mark.parametrize(("shape", "expected"), [((9, 9), 8), ((9, 7), 4)])
def test_all_symmetries_occur_and_nothing_else(shape, expected):
    y = torch.arange(shape[0] * shape[1], dtype=torch.uint8).view(shape)
    _, out, _ = augment(torch.zeros(200, 1, *shape), y.expand(200, *shape).contiguous(), AugmentOptions(), seeded())
    seen = {tuple(o.flatten().tolist()) for o in out}
    assert seen == {tuple(s.flatten().tolist()) for s in symmetries(y)}
    assert len(seen) == expected


def test_flip_probabilities_and_one_option_alone():
    y = torch.arange(16, dtype=torch.uint8).view(1, 4, 4).repeat(2000, 1, 1)
    x = torch.zeros(2000, 1, 4, 4)
    for key, axis in (("hflip", 1), ("vflip", 0)):
        _, out, _ = augment(x, y, only(**{key: 0.5}), seeded(3))
        flipped = (out == y[0].flip(axis)).all(2).all(1)
        assert (flipped | (out == y[0]).all(2).all(1)).all()
        assert abs(flipped.float().mean().item() - 0.5) < 0.04  # NIST-015
        _, out, _ = augment(x[:4], y[:4], only(**{key: 1.0}), seeded(3))
        assert torch.equal(out[0], y[0].flip(axis))


def test_an_option_leaves_the_draws_of_the_others_alone():
    x, y = batch()
    _, plain, _ = augment(x, y, AugmentOptions(), seeded(6))
    _, more, _ = augment(x, y, AugmentOptions(brightness=0.5, noise=0.1, blur=1.0), seeded(6))
    assert torch.equal(plain, more)


def matrix(degrees=0.0, scale=(1.0, 1.0), shear=0.0, shift=(0.0, 0.0), size=(12, 12)):
    one = [torch.tensor([float(v)]) for v in (degrees, *scale, shear, *shift)]
    return affine_matrix(one[0], (one[1], one[2]), one[3], (one[4], one[5]), size)


def sampled(y, theta):
    grid = torch.nn.functional.affine_grid(theta, [1, 1, *y.shape], align_corners=False)
    moved = torch.nn.functional.grid_sample(y[None, None].float(), grid, mode="nearest", align_corners=False)
    return moved[0, 0].to(y.dtype)


def test_the_matrix_turns_anticlockwise_shifts_and_magnifies():
    y = torch.arange(144, dtype=torch.uint8).view(12, 12)
    assert torch.equal(sampled(y, matrix(degrees=90)), y.rot90(1))  # NIST-016
    assert torch.equal(sampled(y, matrix(degrees=-180)), y.rot90(2))
    right_and_down = sampled(y, matrix(shift=(0.25, 1 / 12)))
    assert torch.equal(right_and_down[1:, 3:], y[:-1, :-3])
    twice = sampled(y, matrix(scale=(2.0, 2.0)))
    assert torch.equal(twice, y[3:9, 3:9].repeat_interleave(2, 0).repeat_interleave(2, 1))
    wide = torch.arange(8 * 4, dtype=torch.uint8).view(4, 8)
    turned = sampled(wide, matrix(degrees=90, size=(4, 8)))  # pixels stay square: the middle 4 x 4 turns as it is
    assert torch.equal(turned[:, 2:6], wide[:, 2:6].rot90(1))
    odd = torch.arange(169, dtype=torch.uint8).view(13, 13)
    leaning = sampled(odd, matrix(shear=45.0, size=(13, 13)))  # two rows below the middle: two pixels to the right
    assert torch.equal(leaning[8, 2:], odd[8, :-2])


def test_composition_against_points_moved_one_by_one():
    theta = matrix(degrees=30, scale=(1.2, 0.8), shear=10, shift=(0.1, -0.05), size=(10, 20))[0].double()
    back = torch.cat([theta, torch.tensor([[0.0, 0.0, 1.0]])])
    x, y = 3.0, -2.0  # a point of the source in pixels from its centre
    sx, sy = 1.2 * x, 0.8 * y
    sx += np.tan(np.deg2rad(10)) * sy
    c, s = np.cos(np.deg2rad(30)), np.sin(np.deg2rad(30))
    moved = c * sx + s * sy + 0.1 * 20, -s * sx + c * sy - 0.05 * 10
    found = back @ torch.tensor([moved[0] / 10, moved[1] / 5, 1.0], dtype=torch.double)
    assert (found[:2] * torch.tensor([10.0, 5.0])).tolist() == pytest.approx([x, y], abs=1e-4)


@pytest.mark.parametrize("fill", ["reflect", "ignore"])
@pytest.mark.parametrize("shape", [(40, 40), (32, 56)])
def test_a_block_marker_stays_aligned_under_every_affine_option(fill, shape):
    y = torch.zeros(16, *shape, dtype=torch.uint8)
    y[:, 12:20, 15:25] = 5
    options = only(rotate=180, scale=0.2, shear=10, translate=0.1, fill=fill, rot90=True, hflip=0.5)
    x, out, _ = augment(twin(y), y, options, seeded(7))
    inside, outside = x[:, 0] > 4.9, x[:, 0] < 0.1
    assert (out[inside] == 5).all()
    assert (out[outside & (out != 255)] == 0).all()
    assert inside.flatten(1).any(1).all()
    between = ~inside & ~outside
    assert between.float().mean() < 0.1  # only the seam of the marker


def test_p_affine_leaves_the_others_untouched():
    x, y = batch(64)
    out, _, _ = augment(x, y, only(rotate=45.0, p_affine=0.25), seeded())
    same = (out == x).flatten(1).all(1)
    assert 0.55 < same.float().mean() < 0.95


def test_translation_stays_within_its_share():
    y = torch.zeros(300, 20, 20, dtype=torch.uint8)
    y[:, 10, 10] = 1
    _, out, _ = augment(twin(y), y, only(translate=0.1), seeded())  # NIST-017
    where = out.nonzero()[:, 1:]
    assert (where - 10).abs().max() <= 2
    assert len(where.unique(dim=0)) > 9


def test_outside_is_a_mirror_image_or_ignored():
    y = torch.full((8, 16, 16), 4, dtype=torch.uint8)
    x = torch.ones(8, 2, 16, 16)
    out, label, valid = augment(x, y, only(rotate=180.0), seeded())
    assert torch.allclose(out, x)
    assert torch.equal(label, y)
    assert valid is None
    out, label, valid = augment(x, y, only(rotate=180.0, fill="ignore"), seeded())
    assert torch.equal(valid, label != 255)
    assert not valid.all()
    assert out[:, 0][~valid].abs().max() < 0.51  # at the seam the last source pixel fades out


def test_invalid_pixels_do_not_leak():
    x, y = batch(4)
    valid = torch.ones_like(y, dtype=torch.bool)
    valid[:, 5:9, 6:11] = False
    dirty = x.masked_fill(~valid[:, None], float("nan"))
    clean = x.masked_fill(~valid[:, None], 0)
    a, b = (augment(t, y, EVERYTHING, seeded(9), valid=valid) for t in (dirty, clean))
    assert all(torch.equal(s, t) for s, t in zip(a, b, strict=True))


RADIOMETRY = {"brightness": 0.5, "contrast": 0.5, "gain": 0.3, "gamma": 0.5, "noise": 0.1, "blur": 2.0}


@pytest.mark.parametrize(("key", "size"), RADIOMETRY.items())
def test_radiometry_leaves_labels_alone_and_bands_apart(key, size):
    x, y = batch(16)
    options = only(**{key: size})
    out, label, _ = augment(x, y, options, seeded())
    assert torch.equal(label, y)
    assert not torch.equal(out, x)
    assert torch.allclose(out, x, atol=6 * size if key != "blur" else 6)
    changed = x.clone()
    changed[:, 1] = changed[:, 1].flip(2) * 3 + 1
    other, _, _ = augment(changed, y, options, seeded())
    assert torch.allclose(other[:, [0, 2]], out[:, [0, 2]], atol=1e-6)


def test_radiometry_figures():
    x, y = batch(400, 2, 16, 16)
    shift = (augment(x, y, only(brightness=0.5), seeded())[0] - x).mean((2, 3))
    assert torch.allclose(shift[:, 0], shift[:, 1], atol=1e-5)
    assert -0.5 <= shift.min() < -0.45 < 0.45 < shift.max() <= 0.5  # NIST-021
    noise = augment(x, y, only(noise=0.1), seeded())[0] - x
    assert noise.std().item() == pytest.approx(0.1, rel=0.05)  # GDL-100
    contrast = augment(x, y, only(contrast=0.5), seeded())[0]
    assert torch.allclose(contrast.mean((2, 3)), x.mean((2, 3)), atol=1e-5)
    ratio = contrast.std((2, 3)) / x.std((2, 3))
    assert 0.5 <= ratio.min() < 0.55 < 1.45 < ratio.max() <= 1.5001
    gain = (augment(x, y, only(gain=0.2), seeded())[0] / x).mean((2, 3))
    assert 0.79 < gain.min() < 0.82 < 1.18 < gain.max() < 1.21
    gamma = augment(x, y, only(gamma=0.5), seeded())[0]
    assert torch.allclose(gamma.amin((2, 3)), x.amin((2, 3)), atol=1e-5)
    assert torch.allclose(gamma.amax((2, 3)), x.amax((2, 3)), atol=1e-5)


def test_order_is_contrast_then_brightness_then_gain():
    x, y = batch(1, 1)
    parts = [augment(x, y, only(**{k: 0.4}), seeded(3))[0] for k in ("contrast", "brightness", "gain")]
    mean = x.mean()
    contrast = ((parts[0] - mean) / (x - mean)).median()
    brightness = (parts[1] - x).median()
    gain = (parts[2] / x).median()
    together = augment(x, y, only(contrast=0.4, brightness=0.4, gain=0.4), seeded(3))[0]
    assert torch.allclose(together, (mean + (x - mean) * contrast + brightness) * gain, atol=1e-4)


def test_blur_is_a_gaussian_of_half_of_the_samples():
    x = torch.zeros(200, 1, 31, 31)
    x[:, :, 15, 15] = 1
    out, _, _ = augment(x, x[:, 0].byte(), only(blur=2.0), seeded())
    touched = (out != x).flatten(1).any(1)
    assert 0.4 < touched.float().mean() < 0.6
    assert torch.allclose(out.sum((1, 2, 3)), torch.ones(200), atol=1e-5)
    row = out[touched][:, 0].sum(1)
    variance = (row * (torch.arange(31) - 15.0) ** 2).sum(1)
    assert variance.max() < 4.1
    assert variance.sqrt().mean().item() == pytest.approx(1.0, abs=0.2)


def test_dropped_bands_are_zero_and_one_always_stays():
    x, y = batch(100, 4)
    out, _, _ = augment(x, y, only(band_drop=0.9), seeded())
    gone = (out == 0).all(3).all(2)
    assert (gone.sum(1) <= 3).all()
    assert gone.float().mean() > 0.6
    assert torch.equal(out[~gone], x[~gone])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_of_the_batch_does_not_matter(layout):
    x, y = batch()
    out, label, _ = augment(x.to(memory_format=layout), y, EVERYTHING, seeded(1))
    plain, expected, _ = augment(x, y, EVERYTHING, seeded(1))
    assert torch.equal(label, expected)
    assert torch.allclose(out, plain, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hflip": 1.2},
        {"rotate": 181},
        {"noise": -0.1},
        {"fill": "zero"},
        {"scale": "big"},
        {"rot90": 1},
        {"blur": True},
    ],
)
def test_options_out_of_range(wrong):
    with pytest.raises(ConfigError, match=f"train.augment.{next(iter(wrong))}"):
        AugmentOptions(**wrong)
