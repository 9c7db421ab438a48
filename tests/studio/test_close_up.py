"""Parts of a picture at its own pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import OptionError, UnreadableImageError
from common.types import Region, Size
from preprocess.image_file import ImageFile
from studio.service import close_up
from studio.service.close_up import read_close_up


def decoded(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg)) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture.convert("RGB"), int)


@pytest.fixture
def picture(tmp_path: Path, astronaut: np.ndarray) -> ImageFile:
    path = tmp_path / "a.png"
    Image.fromarray(astronaut).save(path)
    return ImageFile.open(path, max_megapixels=1)


def test_one_pixel_is_one_pixel(picture: ImageFile, astronaut: np.ndarray) -> None:
    shown = decoded(read_close_up(picture, Region(180, 60, 120, 90), Size(512, 512)))
    assert shown.shape == (90, 120, 3)
    part = astronaut[60:150, 180:300].astype(int)
    assert np.abs(shown - part).mean() < 3  # as a JPEG of quality 92 is: 2.5
    for axis in (0, 1):
        assert np.abs(shown - np.roll(part, 1, axis)).mean() > 6


def test_a_part_of_a_reduced_picture(picture: ImageFile, astronaut: np.ndarray) -> None:
    shown = decoded(read_close_up(picture, Region(90, 30, 60, 45), Size(256, 256)))
    small = Image.fromarray(astronaut).resize((256, 256), Image.Resampling.BOX)
    assert np.abs(shown - np.asarray(small, int)[30:75, 90:150]).mean() < 4


def test_what_lies_outside_is_left_out(picture: ImageFile, astronaut: np.ndarray) -> None:
    shown = decoded(read_close_up(picture, Region(-20, 500, 60, 60), Size(512, 512)))
    assert shown.shape == (12, 40, 3)
    assert np.abs(shown - astronaut[500:, :40]).mean() < 2


@pytest.mark.parametrize(
    "region",
    [Region(600, 0, 10, 10), Region(-10, 0, 10, 10), Region(0, 512, 5, 5)],
)
def test_a_part_that_lies_outside_is_refused(picture: ImageFile, region: Region) -> None:
    with pytest.raises(OptionError, match=f"at {region.x}, {region.y}"):
        read_close_up(picture, region, Size(512, 512))


def test_more_than_a_screen_is_refused(picture: ImageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(close_up, "MOST_PIXELS", 100 * 100)
    assert read_close_up(picture, Region(0, 0, 100, 100), Size(512, 512))
    with pytest.raises(OptionError, match="at most 10000 pixels"):
        read_close_up(picture, Region(0, 0, 101, 100), Size(512, 512))


def test_other_depths_and_colours_are_shown_as_srgb(tmp_path: Path, astronaut: np.ndarray) -> None:
    path = tmp_path / "grey.png"
    grey = Image.fromarray(astronaut).convert("L")
    Image.fromarray(np.asarray(grey, np.uint16) * 257).save(path)
    image = ImageFile.open(path, max_megapixels=1)
    shown = decoded(read_close_up(image, Region(200, 80, 80, 80), Size(512, 512)))
    assert np.abs(shown - np.asarray(grey, int)[80:160, 200:280, None]).mean() < 2


def test_a_damaged_picture_is_an_error(tmp_path: Path, astronaut: np.ndarray) -> None:
    path = tmp_path / "half.jpg"
    Image.fromarray(astronaut).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    image = ImageFile.open(path, max_megapixels=1)
    with pytest.raises(UnreadableImageError, match=r"half\.jpg"):
        read_close_up(image, Region(400, 400, 100, 100), Size(512, 512))
