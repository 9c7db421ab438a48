"""Blurs inside a matte, and the shoulder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.compositing.light import (
    blur_inside,
    light_maps,
    relight,
    shoulder,
)


@pytest.mark.parametrize("sigma", [1.0, 5.9, 12.0, 40.0])
def test_a_flat_picture_stays_flat_inside_any_matte(sigma: float) -> None:
    weight = np.zeros((90, 121), np.float32)
    weight[20:70, 30:80] = 1
    values = np.where(weight[..., None] > 0, np.float32(0.4), np.float32(0.9))
    values = np.repeat(values, 3, axis=2)
    inside = blur_inside(values, weight, sigma)
    assert inside[weight > 0] == pytest.approx(0.4, abs=1e-3)
    assert inside[0, -1] == pytest.approx(0.4, abs=0.02)  # far outside: the mean, not black


def test_wide_blurs_on_a_reduced_copy_look_the_same() -> None:
    rng = np.random.default_rng(2)
    values = rng.random((200, 240, 3), dtype=np.float32)
    weight = np.ones((200, 240), np.float32)
    sigma = 30.0
    axis = np.arange(-120, 121)
    kernel = np.exp(-(axis**2) / (2 * sigma**2))
    expected = values.astype(np.float64)
    total = np.ones((200, 240, 1))
    for direction in (0, 1):
        expected, total = (
            np.apply_along_axis(np.convolve, direction, array, kernel, "full").take(
                np.arange(120, 120 + array.shape[direction]), direction
            )
            for array in (expected, total)
        )
    assert blur_inside(values, weight, sigma) == pytest.approx(expected / total, abs=0.01)


def test_the_offset_brings_the_targets_light() -> None:
    y, x = np.mgrid[0:128, 0:128].astype(np.float32) / 128
    source = np.stack([0.5 + 0.1 * np.sin(40 * x)] * 3, axis=-1).astype(np.float32)
    target = np.stack([0.3 + 0.3 * x, 0.2 + 0.2 * y, 0.5 - 0.2 * x], axis=-1).astype(np.float32)
    weight = np.zeros((128, 128), np.float32)
    weight[16:112, 16:112] = 1
    sigma = 16.0
    lack, level = np.split(np.moveaxis(light_maps(source, target, weight, sigma), 0, -1), 2, 2)
    matched = relight(source, lack, level)
    apart = blur_inside(matched, weight, sigma) - blur_inside(target, weight, sigma)
    assert np.abs(apart)[weight > 0].max() < 0.015


@pytest.mark.parametrize("lack", [-0.3, 0.0, 0.3])
def test_relit_values_keep_their_order_and_black(lack: float) -> None:
    encoded = np.linspace(0, 1, 101, dtype=np.float32).reshape(1, -1, 1)
    given = np.full_like(encoded, lack), np.full_like(encoded, 0.4)
    lit = relight(encoded, *given)
    assert (np.diff(lit[0, :, 0]) >= 0).all()
    assert lit[encoded >= 0.4] == pytest.approx(encoded[encoded >= 0.4] + lack, abs=1e-6)
    if lack >= 0:
        assert lit[0, 0, 0] == 0.0  # pupils do not grey on a brighter face
    if lack == 0:
        assert np.array_equal(lit, encoded)


@given(st.lists(st.floats(-1, 3, width=32), min_size=2, max_size=50))
def test_the_shoulder_is_monotone_below_one_and_idle_in_the_middle(values: list[float]) -> None:
    encoded = np.sort(np.array(values, np.float32))
    bent = shoulder(encoded)
    assert (np.diff(bent) >= 0).all()
    assert bent.min() >= 0
    assert bent.max() <= 1
    middle = (encoded >= 0) & (encoded <= 0.9)
    assert np.array_equal(bent[middle], encoded[middle])


def test_the_shoulder_has_no_kink() -> None:
    encoded = np.linspace(0.9, 1.1, 2001, dtype=np.float32)
    slope = np.diff(shoulder(encoded).astype(np.float64)) / 1e-4
    assert np.abs(np.diff(slope)).max() < 0.01
