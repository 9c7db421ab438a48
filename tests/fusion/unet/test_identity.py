"""Between two persons: embeddings on the great circle, shapes, and what a ratio asks for."""

from itertools import pairwise

import numpy as np
import pytest

from common.types import FloatArray
from fusion.engines.unet.identity import (
    OFFICIAL_SHAPE,
    SHAPE,
    Mixture,
    between,
    mean_embedding,
    mixed_shape,
)

SHARES = np.linspace(0, 1, 11)


def embeddings(count: int, seed: int = 0) -> FloatArray:
    made = np.random.default_rng(seed).normal(size=(count, 512))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def degrees(one: FloatArray, other: FloatArray) -> float:
    cosine = np.clip(np.dot(one.astype(np.float64), other.astype(np.float64)), -1, 1)
    return float(np.degrees(np.arccos(cosine)))


def test_the_ends_are_exact() -> None:
    target, source = embeddings(2)
    assert np.array_equal(between(target, source, 0.0), target)
    assert np.array_equal(between(target, source, 1.0), source)


@pytest.mark.parametrize("apart", [2.0, 30.0, 90.0, 150.0])
def test_equal_shares_are_equal_angles(apart: float) -> None:
    target, other = embeddings(2, seed=3).astype(np.float64)
    across = other - (other @ target) * target
    across /= np.linalg.norm(across)
    source = np.cos(np.radians(apart)) * target + np.sin(np.radians(apart)) * across
    ends = np.float32(target), np.float32(source)
    path = [between(*ends, float(share)) for share in SHARES]
    turns = [degrees(one, following) for one, following in pairwise(path)]
    assert turns == pytest.approx([apart / 10] * 10, abs=0.02)
    from_target = [degrees(ends[0], one) for one in path]
    assert all(low < high for low, high in pairwise(from_target))
    for one in path:
        assert one.dtype == np.float32
        assert float(np.linalg.norm(one)) == pytest.approx(1.0, abs=1e-6)


def test_the_way_between_the_same_or_opposite_directions_is_still_of_unit_length() -> None:
    (one,) = embeddings(1)
    near = (one + 1e-5 * embeddings(1, seed=1)[0]).astype(np.float32)
    for other in (one, near / np.linalg.norm(near), -one):
        for share in (0.2, 0.4, 0.8):
            made = between(one, np.asarray(other, np.float32), share)
            assert np.isfinite(made).all()
            assert float(np.linalg.norm(made)) == pytest.approx(1.0, abs=1e-5)
    assert degrees(between(one, one, 0.3), one) < 0.05


def test_the_mean_of_several_pictures_lies_between_them() -> None:
    several = embeddings(3)
    mean = mean_embedding(several)
    assert float(np.linalg.norm(mean)) == pytest.approx(1.0, abs=1e-6)
    angles = [degrees(mean, each) for each in several]
    assert max(angles) - min(angles) < 5
    assert max(angles) < degrees(several[0], several[1])
    assert degrees(mean_embedding(np.stack([several[0]] * 4)), several[0]) < 0.05
    assert mean_embedding(several[::-1]) == pytest.approx(mean, abs=1e-6)


def coefficients(seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=257).astype(np.float32)


@pytest.mark.parametrize("share", [0.0, 0.175, OFFICIAL_SHAPE, 1.0])
def test_only_the_shape_moves(share: float) -> None:
    target, source = coefficients(1), coefficients(2)
    before = target.copy(), source.copy()
    mixed = mixed_shape(target, source, share)
    assert np.array_equal(mixed[SHAPE:], target[SHAPE:])  # expression, colour, pose, light
    expected = target[:SHAPE] + share * (source[:SHAPE] - target[:SHAPE])
    assert mixed[:SHAPE] == pytest.approx(expected, abs=1e-6)
    assert mixed.dtype == np.float32
    assert np.array_equal(target, before[0])
    assert np.array_equal(source, before[1])
    if share == 0:
        assert np.array_equal(mixed, target)


def test_the_official_share_is_the_official_mean_bit_for_bit() -> None:
    for seed in range(20):
        target, source = coefficients(seed), coefficients(seed + 100)
        official = (source[:SHAPE] + target[:SHAPE]) / 2
        mixed = mixed_shape(target, source, OFFICIAL_SHAPE)
        assert np.array_equal(mixed[:SHAPE].view(np.uint32), official.view(np.uint32))


@pytest.mark.parametrize("shape", [0.0, 0.35, OFFICIAL_SHAPE, 1.0])
def test_more_ratio_is_more_of_everything(shape: float) -> None:
    path = [Mixture.of(float(ratio), shape) for ratio in np.linspace(0, 1, 101)]
    for less, more in pairwise(path):
        assert less.identity < more.identity
        assert less.shape <= more.shape
        assert less.opacity <= more.opacity
        assert (less.identity, less.opacity) < (more.identity, more.opacity)
    assert path[0] == Mixture(0.0, 0.0, 0.0)
    assert path[-1] == Mixture(1.0, shape, 1.0)


def test_half_a_fusion_is_a_face_in_between_and_no_double_exposure() -> None:
    for ratio in (0.4, 0.5, 0.75, 1.0):
        mixture = Mixture.of(ratio)
        assert mixture.opacity == 1
        assert mixture.identity == pytest.approx(ratio)
    assert Mixture.of(0.2).opacity == pytest.approx(0.5)


def test_the_official_composite_has_the_official_shape_at_full_ratio() -> None:
    assert Mixture.of(1.0).shape == OFFICIAL_SHAPE
