"""What an engine is shown: the target's face close by, at the picture's own resolution."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import Face, Region, Size
from fusion.views import close_parts, surroundings
from preprocess.image_file import ImageFile
from tests.fusion.pictures import Fusion, save

pytestmark = pytest.mark.usefixtures("model_directory")


def opened(file: Path) -> ImageFile:
    return ImageFile.open(file, max_megapixels=100)


def moved(face: Face, x: float, y: float) -> Face:
    shift = np.array([x, y, 0], np.float32)
    return replace(face, landmarks=face.landmarks + shift)


def test_the_pipeline_shows_the_skin_pixel_by_pixel(fusion: Fusion) -> None:
    face = fusion.target.face
    assert len(fusion.target.close) == 3
    for window in fusion.target.close:
        assert window.scale == 1.0
        height, width = window.pixels.shape[:2]
        assert height == width == max(32, round(0.16 * face.quality.size))
        x, y = (int(start) for start in window.offset)
        np.testing.assert_array_equal(window.pixels, fusion.pixels[y : y + height, x : x + width])
        assert face.box.intersect(Region(x, y, width, height)) == Region(x, y, width, height)
    assert fusion.source.close == ()


def test_what_reaches_outside_is_left_out(fusion: Fusion, target_file: Path) -> None:
    image, face = opened(target_file), fusion.target.face
    right_cheek = float(face.landmarks[50, 0])
    assert len(close_parts(image, face)) == 3
    assert len(close_parts(image, moved(face, -right_cheek, 0))) == 2
    assert close_parts(image, moved(face, 5000, 0)) == ()


def test_what_is_in_memory_and_what_is_read_is_the_same(fusion: Fusion, target_file: Path) -> None:
    image, face = opened(target_file), fusion.target.face
    kept = image.keeping([surroundings(face)], 1.0)
    for read, known in zip(close_parts(image, face), close_parts(kept, face), strict=True):
        np.testing.assert_array_equal(read.pixels, known.pixels)
        np.testing.assert_array_equal(read.offset, known.offset)


def test_parts_that_lie_far_apart_are_read_one_by_one(
    fusion: Fusion, tmp_path: Path, astronaut: NDArray[Any]
) -> None:
    """A face of thousands of pixels: what lies between its parts is not held."""
    factor = 26
    size = Size(180 * factor, 150 * factor)
    rows = np.arange(size.height, dtype=np.uint32)[:, None]
    columns = np.arange(size.width, dtype=np.uint32)
    plane = ((rows * 7 + columns * 13) % 251).astype(np.uint8)
    file = save(tmp_path / "large.png", np.repeat(plane[..., None], 3, axis=2), compress_level=1)
    face = fusion.target.face
    corner = face.landmarks[:, :2].min(axis=0)
    landmarks = face.landmarks.copy()
    landmarks[:, :2] = (landmarks[:, :2] - corner) * (size.height / 260) + 40
    quality = replace(face.quality, size=3500.0)
    parts = close_parts(opened(file), replace(face, landmarks=landmarks, quality=quality))
    assert [part.pixels.shape for part in parts] == [(96, 96, 3)] * 3
    for part in parts:
        x, y = (int(start) for start in part.offset)
        np.testing.assert_array_equal(part.pixels[..., 0], plane[y : y + 96, x : x + 96])
