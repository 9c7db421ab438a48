"""Detail boost: a picture as shifted coarse ones, and back without what sets those apart."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import FloatArray
from fusion.engines.unet import boost

SIDE = 256
FACE = np.s_[0:256, 100:356]


def face_crop(astronaut: NDArray[Any], n: int) -> FloatArray:
    """The astronaut's face in a crop of n x 256 px."""
    size = (SIDE * n, SIDE * n)
    crop = cv2.resize(astronaut[FACE], size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(crop, np.float32) / np.float32(255)


def hairs(n: int) -> FloatArray:
    """Grey skin with lines that are one pixel of the fine crop wide, in one half of it."""
    crop = np.full((SIDE * n, SIDE * n, 3), 0.6, np.float32)
    crop += np.random.default_rng(1).normal(0, 0.005, crop.shape).astype(np.float32)
    for at in range(40, SIDE * n // 2, 7):
        cv2.line(crop, (at, 30), (at + 20, SIDE * n - 30), (0.3, 0.25, 0.2), 1)
    return crop


def decibels(picture: FloatArray, expected: FloatArray) -> float:
    return float(-10 * np.log10(np.mean(np.square(picture - expected, dtype=np.float64))))


def fine(picture: FloatArray) -> float:
    return float(np.abs(picture - cv2.GaussianBlur(picture, (0, 0), 1)).mean())


def spread(n: int, size: float, channels: int) -> FloatArray:
    """One number for each phase and channel; of all phases the mean is 0."""
    numbers = np.random.default_rng(n).normal(0, size, (n * n, 1, 1, channels))
    return np.asarray(numbers - numbers.mean(axis=0), np.float32)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_phases_are_every_nth_pixel_and_back(n: int) -> None:
    crop = np.random.default_rng(0).uniform(0, 1, (8 * n, 8 * n, 3)).astype(np.float32)
    parts = boost.phases(crop, n)
    assert parts.shape == (n * n, 8, 8, 3)
    for row in range(n):
        for column in range(n):
            assert np.array_equal(parts[row * n + column], crop[row::n, column::n])
    assert np.array_equal(boost.interleaved(parts, n), crop)
    assert parts.dtype == boost.interleaved(parts, n).dtype == np.float32


def test_without_a_boost_the_answer_is_the_networks(astronaut: NDArray[Any]) -> None:
    crop = face_crop(astronaut, 1)
    answer = np.ascontiguousarray(crop[None, ::-1])
    assert np.array_equal(boost.joined(answer, crop, 1), answer[0])


@pytest.mark.parametrize("n", [2, 4])
def test_a_picture_survives(astronaut: NDArray[Any], n: int) -> None:
    """Of a network that changes nothing; up to the crop's very border."""
    crop = face_crop(astronaut, n)
    before = crop.copy()
    joined = boost.joined(boost.phases(crop, n), crop, n)
    assert np.array_equal(crop, before)
    assert joined.dtype == np.float32
    assert decibels(joined, crop) > 58  # measured 59.3 and 61.6
    assert np.abs(joined - crop).max() < 0.012  # measured 0.0085 and 0.0065


@pytest.mark.parametrize("n", [2, 4])
def test_real_fine_detail_survives(n: int) -> None:
    """Lines of one pixel, of which each phase sees other pieces."""
    crop = hairs(n)
    joined = boost.joined(boost.phases(crop, n), crop, n)
    lined = np.s_[40:-40, 60 : SIDE * n // 2 - 20]
    assert fine(joined[lined]) == pytest.approx(fine(crop[lined]), rel=0.02)
    coarse = cv2.resize(boost.phases(crop, n)[0], crop.shape[:2], interpolation=cv2.INTER_CUBIC)
    aligned = decibels(coarse[lined], crop[lined])
    assert decibels(joined[lined], crop[lined]) > aligned + 15


@pytest.mark.parametrize("n", [2, 4])
def test_a_bias_of_each_phase_disappears(astronaut: NDArray[Any], n: int) -> None:
    crop = face_crop(astronaut, n)
    parts = boost.phases(crop, n) + spread(n, 0.03, 3)
    assert decibels(boost.interleaved(parts, n), crop) < 35  # measured 33.6 and 31.6
    assert decibels(boost.joined(parts, crop, n), crop) > 55  # measured 59.3 and 61.5


@pytest.mark.parametrize("n", [2, 4])
def test_a_gain_of_each_phase_disappears(astronaut: NDArray[Any], n: int) -> None:
    crop = face_crop(astronaut, n)
    parts = boost.phases(crop, n) * (1 + spread(n, 0.03, 1))
    assert decibels(boost.interleaved(parts, n), crop) < 37  # measured 36.6 and 34.4
    assert decibels(boost.joined(parts, crop, n), crop) > 50  # measured 54.4 and 53.2


@pytest.mark.parametrize("n", [2, 4])
def test_what_all_phases_have_in_common_stays(astronaut: NDArray[Any], n: int) -> None:
    """The network's own colours are its answer, not noise."""
    crop = face_crop(astronaut, n)
    answer = crop * np.float32(0.8) + np.array([0.1, 0.0, 0.05], np.float32)
    joined = boost.joined(boost.phases(answer, n), crop, n)
    assert np.abs(joined - answer).max() < 0.012


@pytest.mark.parametrize("n", [2, 4])
def test_smooth_skin_gets_no_grid(n: int) -> None:
    """Where the crop shows nothing, all that differs between phases is noise."""
    crop = np.full((SIDE * n, SIDE * n, 3), 0.6, np.float32)
    random = np.random.default_rng(5)
    own = random.normal(0, 0.02, (n * n, SIDE, SIDE, 3)).astype(np.float32)
    parts = boost.phases(crop, n) + own
    joined = boost.joined(parts, crop, n)
    differing = boost.phases(joined, n)
    differing = differing - differing.mean(axis=0)
    before = float(np.std(own - own.mean(axis=0)))
    assert before > 0.016
    assert float(np.std(differing)) < before / 2


@pytest.mark.parametrize("n", [2, 4])
def test_an_edge_that_only_the_answer_has_is_kept_at_the_networks_resolution(n: int) -> None:
    """A lip that the source brings: all phases agree on it, though the crop has none there."""
    crop = np.full((SIDE * n, SIDE * n, 3), 0.6, np.float32)
    answer = crop.copy()
    answer[SIDE * n // 2 :] = (0.5, 0.2, 0.2)
    joined = boost.joined(boost.phases(answer, n), crop, n)
    step = joined[:, SIDE * n // 2, 1]
    assert abs(float(step[SIDE * n // 2 - 2 * n]) - 0.6) < 0.01
    assert abs(float(step[SIDE * n // 2 + 2 * n]) - 0.2) < 0.01
    assert float(joined.min()) > 0.17  # no overshoot to speak of
    assert float(joined.max()) < 0.63


def test_the_same_parts_give_the_same_bits(astronaut: NDArray[Any]) -> None:
    crop = face_crop(astronaut, 2)
    parts = boost.phases(crop, 2) + spread(2, 0.02, 3)
    joined = boost.joined(parts, crop, 2)
    assert np.array_equal(joined, boost.joined(parts.copy(), crop.copy(), 2))
