"""One face's light brought to another's: what counts as light, and what becomes of values."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types import FloatArray
from fusion.compositing.light import (
    FAR,
    NEAR,
    evenly_lit,
    light_maps,
    relight,
    shoulder,
    spread_from,
    with_detail,
)

WIDTH = 60.0
SKIN = np.array([0.82, 0.66, 0.56], np.float32)


def matte(inside: tuple[slice, slice]) -> FloatArray:
    weight = np.zeros((80, 72), np.float32)
    weight[inside] = 1
    return weight


MIDDLE = matte(np.s_[14:66, 12:60])


def course(strength: float) -> FloatArray:
    """A smooth shade over the face from one side to the other, 80 x 72."""
    y, x = np.mgrid[-1:1:80j, -1:1:72j].astype(np.float32)
    return np.asarray(1 + strength * (0.8 * x - 0.2 * y + 0.2 * x * x), np.float32)


@pytest.mark.parametrize("scales", [FAR, NEAR], ids=["far", "near"])
def test_a_flat_picture_stays_flat_inside_and_goes_on_outside(scales: tuple[float, ...]) -> None:
    values = np.where(MIDDLE[..., None] > 0, SKIN, np.float32(0.1))
    around = spread_from(values, MIDDLE, WIDTH, scales)
    np.testing.assert_allclose(around, np.broadcast_to(SKIN, around.shape), atol=1e-3)


def test_nothing_known_is_nothing_and_finite() -> None:
    assert not spread_from(np.ones((20, 30, 3), np.float32), np.zeros((20, 30)), 20.0).any()


def test_holes_get_the_light_of_what_is_around_them() -> None:
    """A beard of its own colour in shaded skin."""
    values = course(0.3)[..., None] * SKIN
    hole = matte(np.s_[44:60, 24:48])
    bearded = np.where(hole[..., None] > 0, np.float32(0.05), values)
    around = spread_from(bearded, MIDDLE * (1 - hole), WIDTH, NEAR)
    inside = hole > 0
    assert np.abs(around - values)[inside].mean() < 0.03  # measured 0.018 of a range of 0.3
    assert around[inside].min() > 0.35


def test_a_finer_scale_follows_more() -> None:
    values = course(0.4)[..., None] * SKIN
    apart = [
        float(np.abs(spread_from(values, MIDDLE, WIDTH, scales) - values)[MIDDLE > 0].mean())
        for scales in ((0.5,), FAR, NEAR)
    ]
    assert apart[0] > 2 * apart[1] > 4 * apart[2]


def spread_of(face: FloatArray) -> FloatArray:
    return evenly_lit(np.clip(face, 0, 1).astype(np.float32), MIDDLE)


def test_a_smooth_shade_is_even() -> None:
    for strength in (0.0, 0.15, 0.3):
        assert spread_of(course(strength)[..., None] * SKIN)[MIDDLE > 0].min() > 0.9


@pytest.mark.parametrize("depth", [0.5, 0.65, 0.8])
def test_a_dark_patch_is_not(depth: float) -> None:
    beard = matte(np.s_[48:64, 20:52])
    soft = cv2.GaussianBlur(beard, (0, 0), 1.0)[..., None]
    even = spread_of(course(0.15)[..., None] * SKIN * (1 - depth * soft))
    assert even[cv2.erode(beard, np.ones((5, 5))) > 0].max() < 0.05
    free = (MIDDLE > 0) & (cv2.dilate(beard, np.ones((7, 7))) == 0)
    assert even[free].mean() > 0.9


def matched(source: FloatArray, target: FloatArray, near: float = 0.0) -> FloatArray:
    closer = np.full(MIDDLE.shape, near, np.float32)
    maps = light_maps(source, target, MIDDLE, closer, WIDTH)
    assert maps.shape == (6, *MIDDLE.shape)
    return shoulder(relight(source, *np.split(np.moveaxis(maps, 0, -1), 2, axis=2)))


def test_the_targets_light_comes_and_the_sources_detail_stays() -> None:
    y, x = np.mgrid[0:80, 0:72].astype(np.float32)
    pores = (0.02 * np.sin(2.1 * x) * np.sin(1.9 * y))[..., None]
    source = course(-0.2)[..., None] * SKIN * 0.7 + pores
    target = course(0.2)[..., None] * SKIN * np.array([1.0, 0.95, 0.9], np.float32)
    lit = matched(source, target)
    inside = cv2.erode(MIDDLE, np.ones((9, 9))) > 0
    apart = cv2.GaussianBlur(lit - target, (0, 0), 3.0)[inside]
    assert np.abs(apart).mean() < 0.01
    assert np.abs(source - target)[inside].mean() > 0.15
    fine = [one - cv2.GaussianBlur(one, (0, 0), 1.5) for one in (lit, source)]
    assert (
        np.abs(fine[0] - fine[1])[inside].mean() < 0.35 * np.abs(fine[1])[inside].mean()
    )  # measured 0.23


def test_a_face_in_its_own_light_hardly_changes() -> None:
    face = course(0.2)[..., None] * SKIN
    assert np.abs(matched(face, face) - face)[MIDDLE > 0].max() < 0.01


def test_where_skin_meets_skin_the_match_is_closer() -> None:
    source = course(-0.3)[..., None] * SKIN * 0.7
    target = course(0.3)[..., None] * SKIN * 0.95
    inside = MIDDLE > 0
    apart = [np.abs(matched(source, target, near) - target)[inside].mean() for near in (0.0, 1.0)]
    assert apart[1] < 0.6 * apart[0]


def test_highlights_are_held_back() -> None:
    """A shine far above the target's light comes at half its height."""
    target = np.broadcast_to(SKIN, (*MIDDLE.shape, 3)).astype(np.float32)
    shine = np.zeros(MIDDLE.shape, np.float32)
    cv2.circle(shine, (36, 30), 4, 1.0, -1)
    shine = cv2.GaussianBlur(shine, (0, 0), 1.5)[..., None]
    source = np.asarray(target * 0.7 + 0.4 * shine, np.float32)
    lit = matched(source, np.asarray(target * 0.7, np.float32))
    rise = float((lit - target * 0.7)[30, 36].mean())
    assert 0.1 < rise < 0.7 * float((source - target * 0.7)[30, 36].mean())


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
    assert bent.max() <= 0.989  # nothing is blown
    middle = (encoded >= 0) & (encoded <= 0.95)
    assert np.array_equal(bent[middle], encoded[middle])


def test_the_shoulder_has_no_kink() -> None:
    encoded = np.linspace(0.9, 1.1, 2001, dtype=np.float32)
    slope = np.diff(shoulder(encoded).astype(np.float64)) / 1e-4
    assert np.abs(np.diff(slope)).max() < 0.01


def test_detail_is_what_lies_above_the_soft_picture() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((20, 30, 3), dtype=np.float32)
    soft = cv2.GaussianBlur(values, (0, 0), 2.0)
    assert with_detail(values, soft, 1.0) is values
    before = values.copy()
    for gain in (0.6, 1.5):
        expected = soft + gain * (values - soft)
        np.testing.assert_allclose(with_detail(values, soft, gain), expected, atol=1e-6)
    assert np.array_equal(values, before)
