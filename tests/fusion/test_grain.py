"""Grain: what is measured of a photograph's noise, and the noise that is laid."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import FloatArray, Region, Size
from fusion.compositing.grain import NO_LEVELS, Grain, Levels, measured, reduced

LEVEL = 1 / 255
TARGET = Size(4000, 3000)


def noise(deviation: float, blur: float = 0.0, side: int = 512) -> FloatArray:
    """Noise of a deviation in levels of 255, perhaps softened afterwards; H x W around 0."""
    plane = np.random.default_rng(7).normal(0, deviation * LEVEL, (side, side)).astype(np.float32)
    if blur == 0:
        return plane
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), blur), np.float32)


def grey(plane: FloatArray, mean: float = 0.5) -> FloatArray:
    """H x W x 3 encoded."""
    return np.repeat(np.float32(mean) + plane[..., None], 3, axis=2)


def patches(picture: FloatArray, side: int = 96) -> list[FloatArray]:
    return [picture[100 : 100 + side, left : left + side] for left in (20, 190, 360)]


def flat(side: int = 96) -> list[FloatArray]:
    return [np.full((side, side, 3), 0.5, np.float32)] * 3


def band_levels(plane: FloatArray) -> NDArray[np.float64]:
    """Deviations of a large plane of noise in both bands, by definition."""
    soft, softer = (cv2.GaussianBlur(plane, (15, 15), sigma) for sigma in (0.8, 1.6))
    bands = (plane - soft, soft - softer)
    return np.array([band[8:-8, 8:-8].std() for band in bands])


def laid(levels: Levels, at: Size = TARGET, side: int = 512) -> FloatArray:
    return Grain(levels).values(Region(640, 384, side, side), TARGET, at)


@pytest.mark.parametrize("side", [48, 96])
@pytest.mark.parametrize(("deviation", "blur"), [(2, 0), (8, 0), (12, 0.7)])
def test_the_noise_of_a_flat_patch_is_measured(deviation: float, blur: float, side: int) -> None:
    plane = noise(deviation, blur)
    found = measured(patches(grey(plane), side), doubting=True)
    np.testing.assert_allclose(found, band_levels(plane), rtol=0.12)


def test_texture_in_some_places_is_no_noise() -> None:
    plane = noise(4)
    expected = band_levels(plane)
    y, x = np.mgrid[0:512, 0:512]
    pores = ((y // 36 + x // 36) % 2 == 0) * np.sin(x * 2.0) * np.sin(y * 1.9) * 20 * LEVEL
    found = measured(patches(grey(plane + pores.astype(np.float32))))
    np.testing.assert_allclose(found, expected, rtol=0.15)


def test_uneven_texture_without_noise_asks_for_no_grain() -> None:
    rng = np.random.default_rng(3)
    strength = cv2.resize(rng.uniform(0.2, 3, (64, 64)), (512, 512)).astype(np.float32)
    skin = grey(noise(1.0) * strength)
    assert measured(patches(skin))[0] > 0.3 * LEVEL
    assert Grain.of(patches(skin), flat()).is_none


def test_one_patch_of_hair_does_not_count() -> None:
    plane = noise(4)
    seen = patches(grey(plane))
    seen[1] = patches(grey(noise(60, 1.0)))[1]
    np.testing.assert_allclose(measured(seen), band_levels(plane), rtol=0.12)


def test_blown_and_tiny_patches_say_nothing() -> None:
    white = [np.ones((96, 96, 3), np.float32)] * 3
    assert measured(white) == NO_LEVELS
    assert measured(patches(grey(noise(8)), side=24)) == NO_LEVELS
    assert measured([]) == NO_LEVELS
    assert Grain.of([], []).is_none


@pytest.mark.parametrize("blur", [0.0, 0.5, 0.8])
def test_a_clean_source_gets_the_targets_noise(blur: float) -> None:
    plane = noise(10, blur)
    grain = Grain.of(patches(grey(plane)), flat())
    np.testing.assert_allclose(band_levels(laid(grain.levels)), band_levels(plane), rtol=0.12)


def test_white_noise_is_white_again() -> None:
    grain = Grain.of(patches(grey(noise(8))), flat())
    made = laid(grain.levels)
    assert made.std() == pytest.approx(8 * LEVEL, rel=0.1)
    beside = np.corrcoef(made[:, 1:].ravel(), made[:, :-1].ravel())[0, 1]
    assert abs(beside) < 0.06


def test_a_source_with_some_noise_gets_the_rest() -> None:
    wanted, given = noise(8), noise(5)
    grain = Grain.of(patches(grey(wanted)), patches(grey(given)))
    both = given + laid(grain.levels)
    np.testing.assert_allclose(band_levels(both), band_levels(wanted), rtol=0.12)


def test_a_clean_target_and_one_quieter_than_its_source_get_none() -> None:
    assert Grain.of(flat(), flat()).is_none
    assert Grain.of(patches(grey(noise(0.4))), flat()).is_none
    assert Grain.of(patches(grey(noise(4))), patches(grey(noise(6)))).is_none


def test_without_grain_the_very_pixels_come_back() -> None:
    values = grey(noise(3))[:128, :128]
    weight = np.ones((128, 128), np.float32)
    assert Grain().laid(values, weight, Region(0, 0, 128, 128), TARGET, TARGET) is values
    assert not Grain().values(Region(0, 0, 128, 128), TARGET, TARGET).any()


def test_a_pixels_grain_depends_on_its_place_alone() -> None:
    grain = Grain((0.02, 0.008))
    for at in (TARGET, Size(6000, 4500), Size(2000, 1500)):
        whole = grain.values(Region(256, 128, 300, 200), TARGET, at)
        part = grain.values(Region(384, 256, 100, 50), TARGET, at)
        np.testing.assert_allclose(part, whole[128:178, 128:228], atol=2e-4)
        again = grain.values(Region(384, 256, 100, 50), TARGET, at)
        assert part.tobytes() == again.tobytes()


def test_grain_is_the_same_on_every_machine() -> None:
    values = Grain((0.02, 0.006)).values(Region(1000, 2000, 3, 1), TARGET, TARGET)
    np.testing.assert_allclose(
        values, [[0.005984656047075987, 0.02342565357685089, -0.006326637230813503]], atol=1e-6
    )


def test_no_repetition_is_to_be_found() -> None:
    made = laid((0.02, 0.008), side=768)
    spectrum = np.abs(np.fft.fft2(made - made.mean())) ** 2
    likeness = np.fft.fftshift(np.fft.ifft2(spectrum).real)
    likeness /= likeness.max()
    likeness[384 - 6 : 384 + 7, 384 - 6 : 384 + 7] = 0
    assert np.abs(likeness).max() < 0.02  # 1 / 768 is one deviation


@pytest.mark.parametrize("blur", [0.0, 0.6])
@pytest.mark.parametrize("scale", [0.8, 0.5, 0.25])
def test_in_a_reduced_picture_grain_is_as_weak_as_averaging_makes_noise(
    scale: float, blur: float
) -> None:
    plane = noise(12, blur, side=1024)
    side = round(1024 * scale)
    small = np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    fine, coarse = (float(level) for level in band_levels(plane))
    at = Size(round(TARGET.width * scale), round(TARGET.height * scale))
    made = band_levels(laid((fine, coarse), at))
    np.testing.assert_allclose(made, band_levels(small).tolist(), rtol=0.15)


def test_in_a_tiny_preview_there_is_none() -> None:
    assert reduced((0.02, 0.006), 0.01) == NO_LEVELS
    assert not laid((0.004, 0.002), Size(200, 150), 128).any()


def test_in_an_enlarged_picture_grain_is_enlarged() -> None:
    at = Size(TARGET.width * 2, TARGET.height * 2)
    own = laid((0.02, 0.006), side=256)
    made = Grain((0.02, 0.006)).values(Region(1280, 768, 512, 512), TARGET, at)
    expected = cv2.resize(own, (512, 512), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(made[16:-16, 16:-16], expected[16:-16, 16:-16], atol=1e-3)


@pytest.mark.parametrize("weight", [0.3, 0.6, 1.0])
def test_a_mixture_is_as_noisy_as_the_target(weight: float) -> None:
    target = 0.5 + noise(8)
    grain = Grain.of(patches(grey(target, 0.0)), flat())
    mixed = np.repeat((target + weight * (np.float32(0.5) - target))[..., None], 3, axis=2)
    weights = np.full(target.shape, weight, np.float32)
    fused = grain.laid(mixed, weights, Region(128, 256, 512, 512), TARGET, TARGET)
    assert fused[..., 1].std() == pytest.approx(8 * LEVEL, rel=0.1)
    assert fused.dtype == np.float32


def test_what_is_laid_stays_a_picture() -> None:
    bright = np.ones((128, 128, 3), np.float32)
    weight = np.linspace(0, 1, 128, dtype=np.float32)[None].repeat(128, axis=0)
    fused = Grain((0.03, 0.01)).laid(bright, weight, Region(0, 0, 128, 128), TARGET, TARGET)
    assert 0.5 < fused.min() < 1.0 == fused.max()
    np.testing.assert_array_equal(fused[:, 0], bright[:, 0])
