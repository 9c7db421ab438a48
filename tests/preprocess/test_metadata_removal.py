"""Results without metadata: what stays is colour profile, resolution and every pixel."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, PngImagePlugin

from common.progress import Progress
from common.types import Region, Size
from preprocess.delivery import Delivered, Job, Wishes, plan_delivery
from preprocess.frame import Frame
from preprocess.image_file import ImageFile
from preprocess.image_source import Orientation
from preprocess.jpeg_bare import FOLLOWING_REMOVED
from preprocess.jpeg_header import APP0, APP2, APP11, APP14, COM, read_jpeg_header
from tests.preprocess.jpegs import jpeg, units, with_segments
from tests.preprocess.pictures import encoded, load_pixels, photo
from tests.preprocess.renditions import Change, laid

SIZE = Size(96, 64)
PLACE = Region(32, 16, 24, 20)
NEW = np.full((PLACE.height, PLACE.width, 3), (250, 20, 120), np.uint8)
UPRIGHT = Orientation()

# What exiftool says of any file, of its coded picture, its profile and its resolution.
TECHNICAL_GROUPS = {"ExifTool", "System", "File", "Composite", "ICC_Profile", "ICC-header"}
TECHNICAL_GROUPS |= {"ICC-view", "ICC-meas", "ICC-chrm", "JFIF", "PNG-pHYs", "RIFF", "APP14"}
TECHNICAL_GROUPS |= {"QuickTime", "Meta", "Track1", "Unknown"}
TECHNICAL_TIFF = {
    *("SubfileType", "ImageWidth", "ImageHeight", "BitsPerSample", "Compression", "Predictor"),
    *("PhotometricInterpretation", "StripOffsets", "SamplesPerPixel", "RowsPerStrip"),
    *("StripByteCounts", "XResolution", "YResolution", "ResolutionUnit", "PlanarConfiguration"),
    *("SampleFormat", "ExtraSamples", "Orientation", "ICC_Profile", "TileWidth", "TileLength"),
    *("TileOffsets", "TileByteCounts"),
}
TECHNICAL_PNG = {
    *("ImageWidth", "ImageHeight", "BitDepth", "ColorType", "Compression", "Filter", "Interlace"),
    *("ProfileName", "PixelsPerUnitX", "PixelsPerUnitY", "PixelUnits", "SRGBRendering", "Gamma"),
}

TAGS = {
    "IFD0:ImageDescription": "secret pier",
    "IFD0:Artist": "secret person",
    "IFD0:Software": "secret program",
    "IFD0:Copyright": "secret owner",
    "ExifIFD:DateTimeOriginal": "2021:05:04 03:02:01",
    "ExifIFD:UserComment": "secret comment",
    "ExifIFD:SerialNumber": "secret 4711",
    "GPS:GPSLatitude": "1 deg 2' 3.00\"",
    "GPS:GPSLatitudeRef": "N",
    "XMP-dc:Title": "secret title",
    "XMP-photoshop:City": "secret city",
    "IPTC:Headline": "secret headline",
    "IFD0:XResolution": "240",
    "IFD0:YResolution": "240",
    "IFD0:ResolutionUnit": "inches",
}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Exiftool = Callable[..., str]


@pytest.fixture
def exiftool(require_program: Any) -> Exiftool:
    program = str(require_program("exiftool"))

    def run(*arguments: str | Path) -> str:
        command = [program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    return run


def preview() -> bytes:
    return encoded(photo(32, 24), "JPEG")


def tag(exiftool: Exiftool, path: Path, orientation: int = 1) -> Path:
    """Everything that exiftool can write into a picture, a preview included."""
    thumbnail = path.with_suffix(".thumbnail")
    thumbnail.write_bytes(preview())
    values = [f"-{name}={value}" for name, value in TAGS.items()]
    values += [f"-IFD0:Orientation#={orientation}", f"-ThumbnailImage<={thumbnail}"]
    exiftool("-q", "-overwrite_original", *values, path)
    thumbnail.unlink()
    return path


def make(folder: Path, suffix: str, exiftool: Exiftool, orientation: int = 1) -> Path:
    """A picture of that kind full of metadata."""
    path = folder / f"target{suffix}"
    pixels = photo(SIZE.width, SIZE.height, 4 if suffix in (".png", ".tif") else 3)
    picture = Image.fromarray(pixels)
    options: dict[str, Any] = {"icc_profile": PROFILE, "dpi": (240, 240)}
    if suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "secret person")
        text.add_itxt("Comment", "secret comment")
        text.add_text("Description", "secret words", zip=True)
        options["pnginfo"] = text
    if suffix == ".jpg":
        options |= {"comment": b"secret comment", "quality": 90}
    if suffix in (".avif", ".heic"):
        from pillow_heif import register_heif_opener

        register_heif_opener()
        exif = Image.Exif()
        exif[0x010E] = "secret pier"
        exif[0x0112] = orientation if suffix == ".webp" else 1
        options |= {"exif": exif.tobytes(), "xmp": b"<x:xmpmeta>secret title</x:xmpmeta>"}
        options["quality"] = 90
    picture.save(path, **options)
    return path if suffix in (".avif", ".heic") else tag(exiftool, path, orientation)


def deliver(target: Path, output: Path, *changes: Change, graft: str = "auto") -> Delivered:
    """The whole picture at its own size, without metadata."""
    image = ImageFile.open(target, max_megapixels=390)
    turn = image.header.orientation
    stored = tuple(turn.stored_region(change.region, image.size) for change in changes)
    job = Job(image, Frame(image.size, Region.whole(image.size)), stored)
    with (
        plan_delivery(job, Wishes(output, None, graft, bare=True), 2000) as delivery,
        image.rendition(image.size, Progress()) as base,
    ):
        return delivery.write(base, laid(base, changes), Progress())


def check_bare(exiftool: Exiftool, path: Path, *, orientation: int | None = None) -> None:
    """Nothing is left but what the pixels need.

    Args:
        orientation: The value of the one tag that may stay.
    """
    assert b"secret" not in path.read_bytes()
    lines = exiftool("-G1", "-s", "-a", "-u", "-ee", "-n", path).splitlines()
    found = [re.fullmatch(r"\[(\S+) *\] +(\S+) *: (.*)", line) for line in lines]
    tags = {(match[1], match[2]): match[3] for match in found if match is not None}
    assert len(tags) > 10
    allowed = {"IFD0": TECHNICAL_TIFF if path.suffix == ".tif" else set(), "PNG": TECHNICAL_PNG}
    if orientation is not None:
        assert tags.pop(("IFD0", "Orientation")) == str(orientation)
    else:
        assert tags.get(("IFD0", "Orientation"), "1") == "1"
        if path.suffix != ".tif":
            assert ("File", "ExifByteOrder") not in tags
    left = [
        (group, name)
        for group, name in tags
        if name not in allowed.get(group, ()) and group not in TECHNICAL_GROUPS
    ]
    assert left == []
    assert ("File", "Comment") not in tags


def check_kept(path: Path) -> None:
    """The profile, and the resolution of formats that have one of their own."""
    image = pyvips.Image.new_from_file(str(path))
    assert bytes(image.get("icc-profile-data")) == PROFILE
    if path.suffix in (".jpg", ".png", ".tif"):
        assert image.xres * 25.4 == pytest.approx(240, abs=0.1)


# --- encoded ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "suffix"),
    [
        *((".jpg", suffix) for suffix in (".jpg", ".png", ".webp", ".tif", ".avif", ".heic")),
        *((".png", suffix) for suffix in (".jpg", ".png", ".tif")),
        *((".tif", suffix) for suffix in (".jpg", ".png", ".tif")),
    ],
)
def test_no_format_keeps_any(tmp_path: Path, exiftool: Exiftool, source: str, suffix: str) -> None:
    target = make(tmp_path, source, exiftool)
    assert b"secret" in target.read_bytes()
    done = deliver(target, tmp_path / f"out{suffix}", Change(PLACE, NEW), graft="never")
    assert done.written == "encoded"
    assert not any("IPTC" in warning for warning in done.warnings), "that was asked for"
    check_bare(exiftool, tmp_path / f"out{suffix}")
    if suffix not in (".avif", ".heic"):
        check_kept(tmp_path / f"out{suffix}")


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".heic"])
def test_they_lose_their_own_as_well(tmp_path: Path, exiftool: Exiftool, suffix: str) -> None:
    target = make(tmp_path, suffix, exiftool)
    assert b"secret" in target.read_bytes()
    for output in (tmp_path / f"out{suffix}", tmp_path / "out.png"):
        deliver(target, output, Change(PLACE, NEW))
        check_bare(exiftool, output)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_lossless_pixels_and_alpha_stay_and_stand_upright(
    tmp_path: Path, exiftool: Exiftool, suffix: str, orientation: int
) -> None:
    target = make(tmp_path, suffix, exiftool, orientation)
    output = tmp_path / f"out{suffix}"
    assert deliver(target, output) == Delivered("encoded")
    check_bare(exiftool, output)
    check_kept(output)
    expected = load_pixels(target)
    expected = np.rot90(expected, 2 if orientation == 3 else -1)
    assert np.array_equal(load_pixels(output), expected)


def test_sixteen_bits_stay(tmp_path: Path, exiftool: Exiftool) -> None:
    target = tmp_path / "deep.tif"
    pixels = photo(SIZE.width, SIZE.height, 3, depth=16)
    pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16").tiffsave(str(target))
    tag(exiftool, target)
    for suffix in (".tif", ".png"):
        deliver(target, tmp_path / f"out{suffix}")
        check_bare(exiftool, tmp_path / f"out{suffix}")
        assert np.array_equal(load_pixels(tmp_path / f"out{suffix}"), pixels)


def test_premultiplied_alpha_is_declared_without_metadata(
    tmp_path: Path, exiftool: Exiftool
) -> None:
    target, output = tmp_path / "a.tif", tmp_path / "out.tif"
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(
        target, photo(SIZE.width, SIZE.height, 4), photometric="rgb", extrasamples=["assocalpha"]
    )
    tag(exiftool, target)
    deliver(target, output)
    check_bare(exiftool, output)
    with tifffile.TiffFile(output) as file:
        assert file.pages.first.extrasamples == (1,)


def test_a_lossy_file_that_changes_in_nothing_says_why_it_is_encoded(
    tmp_path: Path, exiftool: Exiftool
) -> None:
    done = deliver(make(tmp_path, ".webp", exiftool), tmp_path / "out.webp")
    assert done.written == "encoded"
    assert done.notes[0].startswith("the picture was encoded anew to leave its metadata out")


# --- JPEG, grafted ----------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_grafted_jpeg_has_none_and_stands_upright(
    tmp_path: Path, exiftool: Exiftool, orientation: int
) -> None:
    target, output = make(tmp_path, ".jpg", exiftool, orientation), tmp_path / "out.jpg"
    done = deliver(target, output, Change(PLACE, NEW), graft="always")
    assert (done.written, done.warnings, done.notes) == ("grafted", (), ())
    check_bare(exiftool, output)
    check_kept(output)
    with Image.open(output) as picture:
        assert Size(*picture.size) == (SIZE if orientation == 1 else Size(SIZE.height, SIZE.width))


def test_a_grafted_jpeg_that_cannot_be_turned_keeps_that_tag_alone(
    tmp_path: Path, exiftool: Exiftool
) -> None:
    target, output = tmp_path / "a.jpg", tmp_path / "out.jpg"
    target.write_bytes(jpeg(photo(93, 61), "4:2:0"))
    tag(exiftool, target, 3)
    done = deliver(target, output, Change(PLACE, NEW), graft="always")
    assert done.written == "grafted"
    assert "the only one that stays" in done.notes[0]
    assert "its sides do not let it be turned" in done.notes[0]
    check_bare(exiftool, output, orientation=3)


# --- JPEG, copied -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("sampling", ["grey", "4:4:4", "4:2:0"])
def test_a_copied_jpeg_keeps_every_coefficient(
    tmp_path: Path, exiftool: Exiftool, sampling: str, options: dict[str, Any]
) -> None:
    target, output = tmp_path / "a.jpg", tmp_path / "out.jpg"
    pixels = photo(SIZE.width, SIZE.height, 1 if sampling == "grey" else 3)
    target.write_bytes(jpeg(pixels, sampling, comment=b"secret words", **options))
    tag(exiftool, target)
    assert deliver(target, output) == Delivered("stripped")
    check_bare(exiftool, output)
    assert units(output)[1] == units(target)[1]
    header, before = read_jpeg_header(output), read_jpeg_header(target)
    assert header.progressive == before.progressive
    assert header.restart_interval == before.restart_interval
    assert len(output.read_bytes()) < len(target.read_bytes())


def test_a_copied_jpeg_that_lies_keeps_that_tag_alone(tmp_path: Path, exiftool: Exiftool) -> None:
    target, output = make(tmp_path, ".jpg", exiftool, 8), tmp_path / "out.jpg"
    done = deliver(target, output)
    assert done.written == "stripped"
    assert done.notes == (
        "the tag by which viewers turn the picture is the only one that stays: its pixels are as "
        "they were",
    )
    check_bare(exiftool, output, orientation=8)
    check_kept(output)
    assert units(output)[1] == units(target)[1]


def test_a_copy_may_replace_its_target(tmp_path: Path, exiftool: Exiftool) -> None:
    target = make(tmp_path, ".jpg", exiftool)
    pixels = load_pixels(target)
    deliver(target, target)
    check_bare(exiftool, target)
    assert np.array_equal(load_pixels(target), pixels)


def test_what_follows_the_picture_goes_and_is_told(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    target.write_bytes(encoded(photo(96, 64), "JPEG") + b"secret" + encoded(photo(32, 24), "JPEG"))
    for graft, changes in (("auto", ()), ("always", (Change(PLACE, NEW),)), ("never", ())):
        output = tmp_path / f"{graft}.jpg" if graft != "never" else tmp_path / "out.png"
        done = deliver(target, output, *changes, graft=graft)
        assert done.warnings == (FOLLOWING_REMOVED,)
        assert b"secret" not in output.read_bytes()


def test_signed_data_and_second_pictures_go_without_a_word(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    more = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"secret GDepth:Data"
    segments = [(0xE1, more), (APP11, b"JP secret"), (APP2, b"MPF\0secret"), (COM, b"secret")]
    target.write_bytes(with_segments(encoded(photo(96, 64), "JPEG"), segments))
    assert deliver(target, tmp_path / "out.jpg") == Delivered("stripped")
    assert deliver(target, tmp_path / "o.png") == Delivered("encoded")
    assert b"secret" not in (tmp_path / "out.jpg").read_bytes()


@pytest.mark.parametrize("graft", ["auto", "never"])
def test_inks_stay_inks(tmp_path: Path, graft: str) -> None:
    target, output = tmp_path / "inks.jpg", tmp_path / "out.jpg"
    Image.fromarray(photo(96, 64, 4), "CMYK").save(target, dpi=(300, 300), quality=95)
    changes = () if graft == "auto" else (Change(PLACE, NEW),)
    deliver(target, output, *changes, graft=graft)
    assert [marker for marker, _ in read_jpeg_header(output).segments] == [APP0, APP14]
    outside = np.abs(load_pixels(output)[:, 64:].astype(int) - load_pixels(target)[:, 64:])
    assert outside.max() <= (0 if graft == "auto" else 8)
    with Image.open(output) as picture:
        assert (picture.mode, picture.info["dpi"]) == ("CMYK", (300, 300))
