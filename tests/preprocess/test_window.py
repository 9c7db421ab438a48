"""Windows: coordinates in and out, and reduction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types import Region, Size
from preprocess.window import Window, scaled_size

sides = st.integers(20, 400)


@given(width=sides, height=sides, factor=st.floats(0.1, 3), x=sides, y=sides)
def test_points_come_back_where_they_were(
    width: int, height: int, factor: float, x: int, y: int
) -> None:
    size = Size(width, height)
    at = scaled_size(size, factor)
    window = Window.of(np.zeros((8, 8, 3), np.uint8), Region(x, y, 8, 8), at, size)
    points = np.array([[0, 0], [x, y], [width - 1, height - 1]], np.float32)
    assert window.outward(window.inward(points)) == pytest.approx(points, abs=2e-3)


def test_pixel_centres_stay_centres() -> None:
    # A picture of half the size: its first pixel covers the first two of the picture.
    window = Window.of(np.zeros((50, 100, 3), np.uint8), Region(0, 0, 100, 50), *halves())
    assert window.outward(np.zeros(2, np.float32)).tolist() == [0.5, 0.5]
    assert window.inward(np.array([0.5, 0.5], np.float32)).tolist() == [0.0, 0.0]
    assert window.scale == 0.5


def halves() -> tuple[Size, Size]:
    return Size(100, 50), Size(200, 100)


def test_a_region_shifts_the_points() -> None:
    window = Window.of(np.zeros((10, 10, 3), np.uint8), Region(30, 20, 10, 10), *halves())
    assert window.outward(np.zeros(2, np.float32)).tolist() == [60.5, 40.5]


@pytest.mark.parametrize("spacing", [1.7, 2.0, 5.3])
def test_a_reduced_window_shows_the_same_place(spacing: float) -> None:
    y, x = np.mgrid[0:120, 0:150].astype(np.float32)
    pixels = np.stack([x, y, x + y], axis=-1).astype(np.uint16)
    window = Window.of(pixels, Region(40, 60, 150, 120), Size(400, 300), Size(400, 300))
    small = window.shrunk(spacing)
    assert small.pixels.shape[1] == round(150 / spacing)
    assert small.scale == pytest.approx(1 / spacing, rel=0.02)
    middle = np.array([small.pixels.shape[1] // 2, small.pixels.shape[0] // 2], np.float32)
    shown = small.pixels[int(middle[1]), int(middle[0])]
    # The numbers are the pixel's own position in the window; rounding is all that differs.
    assert small.outward(middle) - [40, 60] == pytest.approx(shown[:2], abs=0.51)


@pytest.mark.parametrize("spacing", [0.2, 1.0])
def test_an_enlargement_needs_no_prefilter(spacing: float) -> None:
    window = Window.of(np.zeros((10, 10, 3), np.uint8), Region(0, 0, 10, 10), *halves())
    assert window.shrunk(spacing) is window


def test_sizes_never_vanish() -> None:
    assert scaled_size(Size(4000, 10), 0.001) == Size(4, 1)
    assert scaled_size(Size(1000, 500), 0.5) == Size(500, 250)
