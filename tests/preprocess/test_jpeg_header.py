"""What is read from a JPEG's segments, compared with Pillow and with how it was made."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from common.errors import FileMissingError, UnreadableImageError
from common.types import Size
from preprocess.jpeg_header import COM, JpegHeader, read_jpeg_header, read_scans
from tests.preprocess.jpegs import jpeg, with_segments
from tests.preprocess.pictures import photo

Program = Callable[[str], str]

PHOTO = photo(90, 62)
GREY = photo(90, 62, 1)


def header_of(tmp_path: Path, data: bytes) -> JpegHeader:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    return read_jpeg_header(path)


@pytest.mark.parametrize("quality", [1, 2, 25, 49, 50, 51, 75, 85, 92, 99, 100])
def test_the_quality_of_standard_tables_is_told_exactly(tmp_path: Path, quality: int) -> None:
    header = header_of(tmp_path, jpeg(PHOTO, quality=quality))
    assert header.quality() == quality
    assert header_of(tmp_path, jpeg(GREY, "grey", quality=quality)).quality() == quality


@pytest.mark.parametrize(("preset", "low", "high"), [("web_low", 50, 75), ("web_maximum", 93, 99)])
def test_the_nearest_quality_of_other_tables(
    tmp_path: Path, preset: str, low: int, high: int
) -> None:
    """Pillow's presets are Photoshop's tables, which no quality of the IJG's has."""
    header = header_of(tmp_path, jpeg(PHOTO, quality=preset))
    assert low <= header.quality() <= high


def test_tables_stand_row_by_row(tmp_path: Path) -> None:
    tables = [list(range(1, 65)), list(range(101, 165)), list(range(65, 129))]
    header = header_of(tmp_path, jpeg(PHOTO, qtables=tables))
    assert [list(part.table) for part in header.components] == tables
    with Image.open(tmp_path / "a.jpg") as picture:
        assert list(header.components[0].table) == list(picture.quantization[0])


@pytest.mark.parametrize("sampling", ["grey", "4:4:4", "4:2:2", "4:2:0", "4:4:0"])
def test_sampling_and_unit(tmp_path: Path, sampling: str, require_program: Program) -> None:
    require_program("jpegtran")
    header = header_of(tmp_path, jpeg(GREY if sampling == "grey" else PHOTO, sampling))
    assert header.size == Size(90, 62)
    assert header.sampling == sampling
    assert header.subsampled == (sampling not in {"grey", "4:4:4"})
    factors = {"4:2:2": (16, 8), "4:2:0": (16, 16), "4:4:0": (8, 16)}.get(sampling, (8, 8))
    assert header.unit == Size(*factors)


def test_a_lone_channel_is_coded_by_the_block_whatever_its_factors(tmp_path: Path) -> None:
    data = bytearray(jpeg(GREY, "grey"))
    frame = data.index(b"\xff\xc0")
    data[frame + 11] = 0x22
    assert header_of(tmp_path, bytes(data)).unit == Size(8, 8)


def test_rare_sampling_has_no_name(tmp_path: Path) -> None:
    data = bytearray(jpeg(PHOTO))
    frame = data.index(b"\xff\xc0")
    data[frame + 11] = 0x41
    header = header_of(tmp_path, bytes(data))
    assert header.sampling is None
    assert header.unit == Size(32, 8)


@pytest.mark.parametrize(
    ("options", "progressive", "standard"),
    [
        ({}, False, True),
        ({"optimize": True}, False, False),
        ({"progressive": True}, True, False),
    ],
)
def test_kinds_of_coding(
    tmp_path: Path, options: dict[str, bool], progressive: bool, standard: bool
) -> None:
    header = header_of(tmp_path, jpeg(PHOTO, **options))
    assert header.progressive == progressive
    assert header.standard_huffman == standard
    assert header.usual_process
    assert not header.arithmetic
    assert header.precision == 8


def test_arithmetic_coding(tmp_path: Path, require_program: Program) -> None:
    require_program("jpegtran")
    header = header_of(tmp_path, jpeg(PHOTO, "4:2:0", "-arithmetic"))
    assert header.arithmetic
    assert not header.usual_process


def test_restart_interval(tmp_path: Path) -> None:
    assert header_of(tmp_path, jpeg(PHOTO)).restart_interval == 0
    assert header_of(tmp_path, jpeg(PHOTO, restart_marker_blocks=5)).restart_interval == 5


def test_rgb_is_told_as_decoders_do(tmp_path: Path) -> None:
    assert header_of(tmp_path, jpeg(PHOTO, keep_rgb=True)).is_rgb
    assert not header_of(tmp_path, jpeg(PHOTO)).is_rgb
    assert not header_of(tmp_path, jpeg(GREY, "grey")).is_rgb


def test_metadata_segments_in_order(tmp_path: Path) -> None:
    segments = (
        (0xE1, b"Exif\0\0..."),
        (COM, b"one"),
        (0xE9, b""),
        (COM, b"two"),
        (0xE2, b"\xff" * 9),
    )
    header = header_of(tmp_path, with_segments(jpeg(PHOTO), segments))
    assert header.segments[:-1] == segments
    assert header.segments[-1][1].startswith(b"JFIF")


def test_strange_bytes_between_segments_are_skipped(tmp_path: Path) -> None:
    data = jpeg(PHOTO)
    place = data.index(b"\xff\xdb")
    plain = header_of(tmp_path, data)
    strange = header_of(tmp_path, data[:place] + b"??\xff\xff" + data[place:])
    assert strange == replace(plain, scan_offset=plain.scan_offset + 4)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 30, 100, 400])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(UnreadableImageError, match=r"a\.jpg is damaged"):
        header_of(tmp_path, jpeg(PHOTO)[:length])


@pytest.mark.parametrize(
    ("find", "place", "new"),
    [
        (b"\xff\xdb", 5, b"\0"),  # a quantisation step of zero
        (b"\xff\xdb", 2, b"\0\1"),  # a length shorter than itself
        (b"\xff\xc0", 11, b"\x01"),  # no blocks across
        (b"\xff\xc0", 9, b"\x09"),  # more components than there is room for
        (b"\xff\xc0", 7, b"\0\0"),  # no width
    ],
)
def test_nonsense_is_refused(tmp_path: Path, find: bytes, place: int, new: bytes) -> None:
    data = bytearray(jpeg(PHOTO))
    start = data.index(find) + place
    data[start : start + len(new)] = new
    with pytest.raises(UnreadableImageError):
        header_of(tmp_path, bytes(data))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="none"):
        read_jpeg_header(tmp_path / "none.jpg")
    with pytest.raises(FileMissingError):
        read_jpeg_header(tmp_path)


def test_scans_of_an_ordinary_file(tmp_path: Path) -> None:
    scans = read_scans(tmp_path / "a.jpg", header_of(tmp_path, jpeg(PHOTO)))
    assert (scans.script, scans.tables_change, scans.follows) == ((), False, False)


def test_scans_of_a_progressive_file(tmp_path: Path) -> None:
    """libjpeg's own script for YCbCr has ten scans, of which the first holds all channels."""
    scans = read_scans(tmp_path / "a.jpg", header_of(tmp_path, jpeg(PHOTO, progressive=True)))
    assert len(scans.script) == 10
    assert scans.script[0] == ((0, 1, 2), 0, 0, 0, 1)
    assert scans.script[-1] == ((0,), 1, 63, 1, 0)


def test_scans_of_separate_channels(tmp_path: Path, require_program: Program) -> None:
    require_program("jpegtran")
    script = tmp_path / "script"
    script.write_text("0;\n2;\n1;\n")
    header = header_of(tmp_path, jpeg(PHOTO, "4:2:0", "-scans", str(script)))
    assert not header.one_scan
    scans = read_scans(tmp_path / "a.jpg", header)
    assert [parts for parts, *_ in scans.script] == [(0,), (2,), (1,)]


@pytest.mark.parametrize(
    ("tail", "follows"), [(b"", False), (b"\0" * 40, False), (b"\r\n", False), (b"SEFT", True)]
)
@pytest.mark.parametrize("progressive", [False, True])
def test_what_follows(tmp_path: Path, tail: bytes, follows: bool, progressive: bool) -> None:
    header = header_of(tmp_path, jpeg(PHOTO, progressive=progressive) + tail)
    assert read_scans(tmp_path / "a.jpg", header).follows == follows


@pytest.mark.parametrize("progressive", [False, True])
def test_pixel_data_without_an_end(tmp_path: Path, progressive: bool) -> None:
    header = header_of(tmp_path, jpeg(PHOTO, progressive=progressive)[:-2])
    with pytest.raises(UnreadableImageError):
        read_scans(tmp_path / "a.jpg", header)


def test_a_marker_on_the_border_of_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    data = jpeg(PHOTO, progressive=True)
    expected = read_scans(path, header_of(tmp_path, data))
    for chunk in (1, 2, 3, 7, 64):
        monkeypatch.setattr("preprocess.jpeg_header._CHUNK", chunk)
        assert read_scans(path, read_jpeg_header(path)) == expected


def test_tables_that_change_between_scans(tmp_path: Path) -> None:
    data = jpeg(PHOTO, progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    table = b"\xff\xdb" + struct.pack(">HB", 67, 0) + b"\1" * 64
    header = header_of(tmp_path, data[:second] + table + data[second:])
    assert read_scans(tmp_path / "a.jpg", header).tables_change
