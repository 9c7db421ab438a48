"""A JPEG's segments when its metadata go, and the copy that is written then."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import CancelledError, UnreadableImageError
from common.progress import Progress
from preprocess.image_source import Orientation
from preprocess.jpeg_bare import bare_segments, write_bare
from preprocess.jpeg_header import APP0, read_jpeg_header
from tests.preprocess.jpegs import jpeg, with_segments
from tests.preprocess.pictures import encoded, load_pixels, photo

UPRIGHT = Orientation()


def header_with(tmp_path: Path, data: bytes, *segments: tuple[int, bytes]) -> Any:
    path = tmp_path / "a.jpg"
    path.write_bytes(with_segments(data, segments))
    return read_jpeg_header(path)


def exif_with_resolution(x: int, unit: int, divisor: int = 1) -> bytes:
    entries = struct.pack("<HHII", 0x011A, 5, 1, 50) + struct.pack("<HHII", 0x011B, 5, 1, 50)
    entries += struct.pack("<HHIHH", 0x0128, 3, 1, unit, 0)
    return (
        b"Exif\0\0II*\0"
        + struct.pack("<IH", 8, 3)
        + entries
        + bytes(4)
        + struct.pack("<II", x * divisor, divisor)
    )


def without_jfif(data: bytes) -> bytes:
    start = data.index(b"\xff\xe0")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


@pytest.mark.parametrize(("unit", "told"), [(2, 1), (3, 2)])
def test_the_resolution_of_exif_goes_into_jfif(tmp_path: Path, unit: int, told: int) -> None:
    plain = without_jfif(encoded(photo(16, 16), "JPEG"))
    header = header_with(tmp_path, plain, (0xE1, exif_with_resolution(300, unit, 10)))
    expected = b"JFIF\0\1\2" + struct.pack(">BHH", told, 300, 300) + bytes(2)
    assert bare_segments(header, UPRIGHT) == ((APP0, expected),)


@pytest.mark.parametrize("broken", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0XX"])
def test_a_resolution_that_makes_no_sense_is_none(tmp_path: Path, broken: bytes) -> None:
    plain = without_jfif(encoded(photo(16, 16), "JPEG"))
    assert bare_segments(header_with(tmp_path, plain, (0xE1, broken)), UPRIGHT) == ()
    zero = exif_with_resolution(0, 2, 0)
    assert bare_segments(header_with(tmp_path, plain, (0xE1, zero)), UPRIGHT) == ()


def test_a_preview_in_the_jfif_segment_goes(tmp_path: Path) -> None:
    plain = without_jfif(encoded(photo(16, 16), "JPEG"))
    with_preview = b"JFIF\0\1\2\1\0\x48\0\x48\2\1secret"
    ((marker, data),) = bare_segments(header_with(tmp_path, plain, (APP0, with_preview)), UPRIGHT)
    assert (marker, data) == (APP0, b"JFIF\0\1\2\1\0\x48\0\x48\0\0")


@pytest.mark.parametrize("value", range(1, 9))
def test_the_orientation_alone_is_readable(tmp_path: Path, value: int) -> None:
    header = header_with(tmp_path, encoded(photo(16, 16), "JPEG"))
    segments = bare_segments(header, Orientation.from_exif(value))
    stream = io.BytesIO(with_segments(without_jfif(encoded(photo(16, 16), "JPEG")), segments))
    with Image.open(stream) as picture:
        assert dict(picture.getexif()) == ({} if value == 1 else {0x0112: value})


def test_a_file_without_an_end_is_refused(tmp_path: Path) -> None:
    path, output = tmp_path / "a.jpg", tmp_path / "out.jpg"
    path.write_bytes(encoded(photo(96, 64), "JPEG")[:-200])
    with pytest.raises(UnreadableImageError, match=r"a\.jpg is damaged"):
        write_bare(path, read_jpeg_header(path), output, UPRIGHT, Progress())
    assert not output.exists()


def test_a_copy_can_be_cancelled(tmp_path: Path) -> None:
    path, output = tmp_path / "a.jpg", tmp_path / "out.jpg"
    path.write_bytes(encoded(photo(96, 64), "JPEG"))
    progress = Progress()
    progress.cancel()
    with pytest.raises(CancelledError):
        write_bare(path, read_jpeg_header(path), output, UPRIGHT, progress)
    assert list(tmp_path.iterdir()) == [path]


def test_segments_between_scans_go_as_well(tmp_path: Path) -> None:
    target, output = tmp_path / "a.jpg", tmp_path / "out.jpg"
    data = jpeg(photo(96, 64), progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    target.write_bytes(data[:second] + b"\xff\xfe\0\x08secret" + data[second:])
    write_bare(target, read_jpeg_header(target), output, UPRIGHT, Progress())
    assert b"secret" not in output.read_bytes()
    assert np.array_equal(load_pixels(output), load_pixels(target))


def test_red_green_and_blue_stay_so(tmp_path: Path) -> None:
    """A JFIF segment would turn them into YCbCr."""
    target, output = tmp_path / "rgb.jpg", tmp_path / "out.jpg"
    target.write_bytes(
        with_segments(
            encoded(photo(96, 64), "JPEG", keep_rgb=True), [(0xE1, exif_with_resolution(300, 2))]
        )
    )
    header = read_jpeg_header(target)
    assert header.is_rgb
    assert all(marker != APP0 for marker, _ in bare_segments(header, UPRIGHT))
    write_bare(target, header, output, UPRIGHT, Progress())
    assert np.array_equal(load_pixels(output), load_pixels(target))
