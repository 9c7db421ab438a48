"""Metadata of a grafted JPEG: byte for byte, but for what shows the old picture."""

from __future__ import annotations

import io
import json
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.errors import FileMissingError
from common.progress import Progress
from common.types import Region
from preprocess.image_source import Orientation
from preprocess.jpeg_graft import graft, turns_exactly
from preprocess.jpeg_header import APP0, APP1, APP2, APP11, APP13, APP14, COM, read_jpeg_header
from preprocess.jpeg_metadata import (
    CREDENTIALS_LEFT_OUT,
    FOLLOWING_LEFT_OUT,
    INSIDE_LEFT_OUT,
    MORE_LEFT_OUT,
    Kept,
    Segment,
    _upright_xmp,
    _without_previews,
    clean_exif,
    clean_xmp,
    keep_segments,
    lost_by_encoding,
)
from tests.preprocess.jpegs import jpeg, with_segments
from tests.preprocess.pictures import photo

UPRIGHT, TURNED = Orientation(), Orientation.from_exif(6)
XMP = b"http://ns.adobe.com/xap/1.0/\0"
MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", 99, 0)
PHOTOSHOP = b"Photoshop 3.0\0"
NOTE = b"MAKER NOTE with places that count from the start of the EXIF data"
PREVIEW = b"\xff\xd8\xff\xdb the old face \xff\xd9"

SHORT, LONG, UNDEFINED = 3, 4, 7


class Tiff:
    """EXIF data made by hand, part after part."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))

    def put(self, blob: bytes) -> int:
        place = len(self.data)
        self.data += blob
        return place

    def folder(self, *entries: tuple[int, int, int, int], after: int = 0) -> int:
        """Entries are (tag, type, count, value); a short value is written as one."""
        blob = struct.pack(self.order + "H", len(entries))
        for tag, kind, count, value in entries:
            packed = "HH" if kind == SHORT and count == 1 else "I"
            values = (value, 0) if packed == "HH" else (value,)
            blob += struct.pack(self.order + "HHI" + packed, tag, kind, count, *values)
        return self.put(blob + struct.pack(self.order + "I", after))

    def start_at(self, place: int) -> bytes:
        struct.pack_into(self.order + "I", self.data, 4, place)
        return bytes(self.data)


def exif(order: str = "<", preview_last: bool = True, preview: bytes = PREVIEW) -> bytes:
    """Orientation 6, 300 x 200, a maker note, and a preview behind all else or before it."""
    tiff = Tiff(order)

    def put_preview() -> int:
        place = tiff.put(preview)
        return tiff.folder(
            (0x0103, SHORT, 1, 6), (0x0201, LONG, 1, place), (0x0202, LONG, 1, len(preview))
        )

    second = 0 if preview_last else put_preview()
    note = tiff.put(NOTE)
    details = tiff.folder(
        (0x927C, UNDEFINED, len(NOTE), note), (0xA002, LONG, 1, 300), (0xA003, SHORT, 1, 200)
    )
    first = tiff.folder((0x0112, SHORT, 1, 6), (0x8769, LONG, 1, details), after=second)
    if preview_last:
        second = put_preview()
        struct.pack_into(order + "I", tiff.data, first + 2 + 24, second)
    return tiff.start_at(first)


def tags(data: bytes) -> dict[int, Any]:
    """Pillow's reading of EXIF data: both folders."""
    found = Image.Exif()
    found.load(b"Exif\0\0" + data)
    return dict(found) | dict(found.get_ifd(0x8769))


def second_folder(data: bytes) -> int:
    """Where the first folder says that the preview's lies; 0 for nowhere."""
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, first)
    (place,) = struct.unpack_from(order + "I", data, first + 2 + 12 * count)
    return int(place)


# --- EXIF -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("preview_last", [True, False])
def test_the_preview_goes_and_nothing_moves(order: str, preview_last: bool) -> None:
    before = exif(order, preview_last)
    assert second_folder(before)
    after = clean_exif(before, UPRIGHT)
    assert second_folder(after) == 0
    assert b"the old face" not in after
    assert tags(after) == tags(before)
    assert after.index(NOTE) == before.index(NOTE)
    if preview_last:
        assert len(after) == before.index(PREVIEW)
        second = before.index(NOTE) + len(NOTE) + 2 + 3 * 12 + 4 + 2 + 2 * 12
        assert after[:second] == before[:second]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_turned_picture_has_its_tags_reset(order: str) -> None:
    after = tags(clean_exif(exif(order), TURNED))
    assert after[0x0112] == 1
    assert (after[0xA002], after[0xA003]) == (200, 300)
    mirrored = tags(clean_exif(exif(order), Orientation.from_exif(2)))
    assert (mirrored[0x0112], mirrored[0xA002], mirrored[0xA003]) == (1, 300, 200)
    assert tags(clean_exif(exif(order), UPRIGHT))[0x0112] == 6


def test_a_preview_of_bare_pixels(tmp_path: Path) -> None:
    tiff = Tiff("<")
    strips = [tiff.put(b"old strip one"), tiff.put(b"old strip two")]
    places = tiff.put(struct.pack("<II", *strips))
    lengths = tiff.put(struct.pack("<HH", 13, 13))
    second = tiff.folder(
        (0x0111, LONG, 2, places), (0x0117, SHORT, 2, struct.unpack("<I", tiff.data[lengths:])[0])
    )
    first = tiff.folder((0x0112, SHORT, 1, 1), after=second)
    after = clean_exif(tiff.start_at(first), UPRIGHT)
    assert b"old strip" not in after
    assert tags(after) == {0x0112: 1}


def test_a_preview_that_claims_to_lie_over_other_data_takes_none_of_it() -> None:
    tiff = Tiff("<")
    note = tiff.put(NOTE)
    details = tiff.folder((0x927C, UNDEFINED, len(NOTE), note))
    second = tiff.folder((0x0201, LONG, 1, 0), (0x0202, LONG, 1, 10**9))
    first = tiff.folder((0x0112, SHORT, 1, 6), (0x8769, LONG, 1, details), after=second)
    before = tiff.start_at(first)
    after = clean_exif(before, UPRIGHT)
    assert tags(after) == tags(before)
    assert second_folder(after) == 0


@pytest.mark.parametrize("data", [b"", b"II", b"II*\0", b"XX*\0\x08\0\0\0", b"MM\0*\0\0\xff\xff"])
def test_damaged_data_come_back(data: bytes) -> None:
    assert clean_exif(data, TURNED) == data


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 300), st.binary(min_size=1, max_size=8), st.booleans(), st.sampled_from("<>"))
def test_any_damage_is_survived(place: int, blob: bytes, last: bool, order: str) -> None:
    data = bytearray(exif(order, last))
    data[place : place + len(blob)] = blob
    after = clean_exif(bytes(data), TURNED)
    assert len(after) <= len(data)


def test_a_picture_whose_tag_cannot_be_found_is_not_turned(tmp_path: Path) -> None:
    plain = jpeg(photo(64, 64))
    for segments, expected in (
        ([], False),
        ([(APP1, b"Exif\0\0II*\0\xff\xff\0\0")], False),
        ([(APP1, b"Exif\0\0" + exif())], True),
        ([(APP1, b"Exif\0\0" + exif()), (APP1, b"Exif\0\0??")], False),
    ):
        path = tmp_path / "a.jpg"
        path.write_bytes(with_segments(plain, segments))
        assert turns_exactly(read_jpeg_header(path), TURNED) == expected
        assert turns_exactly(read_jpeg_header(path), UPRIGHT)


# --- other segments -------------------------------------------------------------------------


def kept(
    *segments: Segment, turn: Orientation = UPRIGHT, follows: bool = False
) -> tuple[Sequence[Segment], tuple[str, ...]]:
    result: Kept = keep_segments(segments, turn, follows)
    return list(result.segments), result.lost


def test_what_shows_no_picture_stays_byte_for_byte() -> None:
    segments = [
        (APP0, b"JFIF\0\1\1\1\0H\0H\0\0"),
        (APP2, b"ICC_PROFILE\0\1\2" + b"x" * 65_000),
        (COM, b"made with care"),
        (APP2, b"ICC_PROFILE\0\2\2" + b"y" * 100),
        (APP13, PHOTOSHOP + resource(0x0404, b"caption") + b"and odd bytes"),
        (APP13, b"Adobe_CM\0"),
        (APP1, XMP + b'<x tiff:Orientation="6" GCamera:MotionPhoto="1"/>'),
        (APP1, MORE_XMP + b"<x>nothing to see</x>"),
        (APP2, b"FPXR\0..."),
        (APP14, b"Adobe\0d\0\0\0\0\1"),
        (0xEC, b"Ducky\0"),
        (COM, b""),
    ]
    assert kept(*segments) == (segments, ())


def test_previews_of_jfif_go() -> None:
    pixels = b"\2\1" + b"oldold"
    extension = (APP0, b"JFXX\0\x10" + PREVIEW)
    assert kept((APP0, b"JFIF\0\1\2\0\0\1\0\1" + pixels), extension, (COM, b"a")) == (
        [(APP0, b"JFIF\0\1\2\0\0\1\0\1\0\0"), (COM, b"a")],
        (),
    )


def resource(number: int, data: bytes, name: bytes = b"") -> bytes:
    """A Photoshop resource, padded to even lengths."""
    label = bytes((len(name),)) + name
    label += bytes(len(label) % 2)
    return (
        b"8BIM"
        + struct.pack(">H", number)
        + label
        + struct.pack(">I", len(data))
        + data
        + bytes(len(data) % 2)
    )


@pytest.mark.parametrize("number", [0x0409, 0x040C])
def test_photoshop_previews_go_and_the_others_stay(number: int) -> None:
    before, after = resource(0x0404, b"caption"), resource(0x03ED, b"sixteen dots", b"name")
    data = PHOTOSHOP + before + resource(number, PREVIEW) + after
    assert kept((APP13, data)) == ([(APP13, PHOTOSHOP + before + after)], ())
    assert kept((APP13, PHOTOSHOP + resource(number, PREVIEW))) == ([], ())


def test_photoshop_resources_over_several_segments() -> None:
    first, last = resource(0x0404, b"a" * 60_000), resource(0x0405, b"z" * 40_000)
    whole = first + resource(0x040C, b"old" * 10_000) + last
    cuts = [PHOTOSHOP + whole[start : start + 65_000] for start in range(0, len(whole), 65_000)]
    assert len(cuts) == 3
    result, lost = kept(
        *[(COM, b"a"), (APP13, cuts[0]), (COM, b"b"), (APP13, cuts[1]), (APP13, cuts[2])],
        (COM, b"c"),
    )
    assert lost == ()
    payloads = [data for marker, data in result if marker == APP13]
    assert b"".join(data[len(PHOTOSHOP) :] for data in payloads) == first + last
    assert max(map(len, payloads)) <= 65_533
    assert [data for marker, data in result if marker == COM] == [b"a", b"b", b"c"]


def test_the_index_of_further_pictures_goes() -> None:
    assert kept((APP2, b"MPF\0II*\0"), (COM, b"a")) == ([(COM, b"a")], ())
    assert kept((APP2, b"MPF\0II*\0"), follows=True) == ([], (FOLLOWING_LEFT_OUT,))


def test_credentials_go_with_one_sentence() -> None:
    assert kept((APP11, b"JP\0\1"), (APP11, b"JP\0\2"), (APP11, b"HDR_RI")) == (
        [(APP11, b"HDR_RI")],
        (CREDENTIALS_LEFT_OUT,),
    )


# --- XMP ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b'<a tiff:Orientation="6" b="6"/>', b'<a tiff:Orientation="1" b="6"/>'),
        (b"<a tiff:Orientation = '8'/>", b"<a tiff:Orientation = '1'/>"),
        (b"<tiff:Orientation>3</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
        (b'<a tiff:Orientation="12"/>', b'<a tiff:Orientation="12"/>'),
    ],
)
def test_the_orientation_that_xmp_repeats(packet: bytes, expected: bytes) -> None:
    assert _upright_xmp(packet) == expected
    assert kept((APP1, XMP + packet), turn=TURNED) == ([(APP1, XMP + expected)], ())
    assert kept((APP1, XMP + packet)) == ([(APP1, XMP + packet)], ())


@pytest.mark.parametrize("name", [b"xmp:Thumbnails", b"xap:Thumbnails"])
def test_previews_in_xmp(name: bytes) -> None:
    preview = b"<" + name + b">\n<rdf:Alt>old</rdf:Alt></" + name + b">"
    assert _without_previews(b"<a/>" + preview + b"<b/>" + preview + b"<c/>") == b"<a/><b/><c/>"
    assert _without_previews(b"<a/><" + name + b"/><b/>") == b"<a/><b/>"
    assert _without_previews(b"<a/><" + name + b"><b/>") == b"<a/><" + name + b"><b/>"


def test_many_openings_in_xmp_take_no_time() -> None:
    packet = b"<xmp:Thumbnails " * 200_000
    assert _without_previews(packet) == packet


def test_xmp_of_a_motion_photo_and_of_a_gain_map() -> None:
    packet = (
        b'<rdf:Description GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" '
        b'GCamera:MotionPhotoPresentationTimestampUs=\'0\' hdrgm:Version="1.0" xmp:Rating="4">'
        b"<Container:Directory><rdf:Seq>...</rdf:Seq></Container:Directory></rdf:Description>"
    )
    result, lost = kept((APP1, XMP + packet), follows=True)
    assert result == [(APP1, XMP + b'<rdf:Description xmp:Rating="4"></rdf:Description>')]
    assert lost == (FOLLOWING_LEFT_OUT,)


def test_a_picture_in_the_extension_of_xmp() -> None:
    main = (APP1, XMP + b'<a xmpNote:HasExtendedXMP="0123" b="1"/>')
    digest = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32
    parts = [b"<a GIm", b'age:Data="/9j/"/>']
    chunks = [
        (APP1, digest + struct.pack(">II", 23, place) + part)
        for place, part in zip((0, 6), parts, strict=True)
    ]
    expected = ([(APP1, XMP + b'<a b="1"/>')], (INSIDE_LEFT_OUT,))
    assert kept(main, *chunks) == expected
    assert kept(main, *reversed(chunks)) == expected


def test_xmp_of_a_picture_that_was_encoded_anew() -> None:
    packet = (
        b'<rdf:Description tiff:Orientation="6" GCamera:MicroVideo="1" hdrgm:Version=\'1.0\' '
        b'xmpNote:HasExtendedXMP="0123" xmp:Rating="4"><xmp:Thumbnails>old</xmp:Thumbnails>'
        b"<hdrgm:GainMapMax><rdf:Seq><rdf:li>2</rdf:li></rdf:Seq></hdrgm:GainMapMax>"
        b"<GCamera:MotionPhoto>1</GCamera:MotionPhoto><hdrgm:Version>1.0</hdrgm:Version>"
        b"<GCamera:MotionPhotoVersion>1</GCamera:MotionPhotoVersion><dc:source>a</dc:source>"
        b"<GContainer:Directory><rdf:Seq/></GContainer:Directory></rdf:Description>"
    )
    assert clean_xmp(packet) == (
        b'<rdf:Description tiff:Orientation="1" xmp:Rating="4"><dc:source>a</dc:source>'
        b"</rdf:Description>"
    )
    plain = b'<rdf:Description dc:hdrgm="a" xmp:Rating="4"><hdrgmx:Version/></rdf:Description>'
    assert clean_xmp(plain) == plain


# --- what encoding leaves out ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("segments", "behind", "expected"),
    [
        ([(COM, b"a"), (APP1, XMP + b"<a/>")], b"", ()),
        ([], b"\0\0\r\n", ()),
        ([(APP2, b"MPF\0II*\0")], b"", ()),
        ([], PREVIEW, (FOLLOWING_LEFT_OUT,)),
        ([(APP1, MORE_XMP + b'<a GImage:Data="/9j/"/>')], b"", (INSIDE_LEFT_OUT,)),
        (
            [(APP11, b"JP\0\1"), (APP1, MORE_XMP + b"<a/>"), (APP11, b"JP\0\2")],
            b"\0\0\0\x18ftypmp42",
            (FOLLOWING_LEFT_OUT, MORE_LEFT_OUT, CREDENTIALS_LEFT_OUT),
        ),
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_what_encoding_a_jpeg_anew_loses(
    tmp_path: Path,
    segments: list[Segment],
    behind: bytes,
    expected: tuple[str, ...],
    progressive: bool,
) -> None:
    path = tmp_path / "a.jpg"
    data = jpeg(photo(64, 48), progressive=progressive)
    path.write_bytes(with_segments(data, segments) + behind)
    assert lost_by_encoding(path) == expected


def test_a_jpeg_without_an_end_is_left_to_its_decoder(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(with_segments(jpeg(photo(64, 48)), [(APP11, b"JP\0\1")])[:-300])
    assert lost_by_encoding(path) == ()
    with pytest.raises(FileMissingError):
        lost_by_encoding(tmp_path / "b.jpg")


# --- whole files ----------------------------------------------------------------------------


def described(*paths: Path) -> list[dict[str, Any]]:
    """All tags that exiftool finds in each file, but for those of the file itself."""
    command = ["exiftool", "-j", "-G1", "-a", "-u", "-b", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=True)
    ignored = ("SourceFile", "System:", "File:", "ExifTool:")
    return [
        {name: value for name, value in found.items() if not name.startswith(ignored)}
        for found in json.loads(done.stdout)
    ]


def without_preview(found: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in found.items()
        if not name.startswith("IFD1:") and not name.endswith(("Thumbnail", "ThumbnailImage"))
    }


def regraft(path: Path, output: Path, upright: Orientation = UPRIGHT) -> Path:
    """Nothing but black laid over a corner."""
    piece = (Region(0, 0, 24, 24), np.zeros((24, 24, 3), np.uint8))
    graft(path, read_jpeg_header(path), [piece], output, upright, Progress())
    return output


def test_exiftool_finds_the_same_but_previews(
    tmp_path: Path, faces_folder: Path, require_program: Callable[[str], str]
) -> None:
    require_program("exiftool")
    require_program("jpegtran")
    portraits = [
        path for path in sorted(faces_folder.glob("*.jpg")) if path.read_bytes()[:2] == b"\xff\xd8"
    ]
    outputs = []
    for portrait in portraits:
        outputs.append(regraft(portrait, tmp_path / portrait.name))
        with Image.open(portrait) as before, Image.open(outputs[-1]) as after:
            assert after.info.get("icc_profile") == before.info.get("icc_profile")
    previews = 0
    for before, after in zip(described(*portraits), described(*outputs), strict=True):
        assert after == without_preview(before)
        previews += after != before
    assert previews >= 3


def test_exiftool_finds_a_whole_picture_after_a_turn(
    tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    require_program("exiftool")
    require_program("jpegtran")
    path = tmp_path / "a.jpg"
    xmp = XMP + (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-'
        b'rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        b'tiff:Orientation="6" tiff:Make="us"/></rdf:RDF></x:xmpmeta>'
    )
    thumb = io.BytesIO()
    Image.new("RGB", (16, 16)).save(thumb, "JPEG")
    segments = [(APP1, b"Exif\0\0" + exif(preview=thumb.getvalue())), (APP1, xmp)]
    path.write_bytes(with_segments(jpeg(photo(304, 208), "4:2:0"), segments))
    output = regraft(path, tmp_path / "out.jpg", TURNED)
    before, after = described(path, output)
    assert "IFD1:ThumbnailImage" in before
    before = without_preview(before)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {
        "IFD0:Orientation",
        "XMP-tiff:Orientation",
        "ExifIFD:ExifImageWidth",
        "ExifIFD:ExifImageHeight",
        "Composite:ImageSize",
    }
    done = subprocess.run(
        ["exiftool", "-validate", "-warning", "-a", "-s3", str(output)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Thumbnail" not in done.stdout
