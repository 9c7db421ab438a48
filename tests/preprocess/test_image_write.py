"""Writing: patches, formats, metadata, complete files or none."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from common.errors import (
    CancelledError,
    DeadlineError,
    DiskFullError,
    OutputError,
    UnsupportedFormatError,
)
from common.progress import Progress
from common.types import Region, Size
from preprocess.image_file import ImageFile, Patch, check_output, output_format
from preprocess.image_write import Encoding, encode, replacing
from tests.preprocess.pictures import (
    Pixels,
    as_vips,
    encoded,
    grey_profile,
    load_pixels,
    photo,
    save_png,
)
from tests.preprocess.renditions import Change, rendered, write

ROOT = Path(__file__).resolve().parents[2]
KINDS = [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (2, 16), (3, 16), (4, 16)]
DESCRIPTION, ORIENTATION, COPYRIGHT, TAKEN = 0x010E, 0x0112, 0x8298, 0x9003
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128


def open_file(path: Path) -> ImageFile:
    return ImageFile.open(path, max_megapixels=390)


def noise(region: Region, depth: int, grey: bool = False) -> Pixels:
    shape = (region.height, region.width, 1 if grey else 3)
    dtype = np.uint16 if depth == 16 else np.uint8
    values = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    return np.repeat(values, 3, axis=2) if grey else values


# --- pixels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [None, Size(127, 91), Size(411, 290)])
@pytest.mark.parametrize("orientation", [1, 2, 5, 8])
@pytest.mark.parametrize(("channels", "depth"), KINDS)
def test_what_is_read_is_what_is_written(
    tmp_path: Path, channels: int, depth: int, orientation: int, at: Size | None
) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(230, 164, channels, depth), orientation))
    at = at or image.size
    region = Region(20, 15, 50, 40)
    patch = Change(region, noise(region, depth, grey=channels < 3))
    assert write(image, tmp_path / "out.png", patch, at=at) == ()

    result = open_file(tmp_path / "out.png")
    assert (result.size, result.depth, result.has_alpha) == (at, depth, channels in (2, 4))
    assert load_pixels(tmp_path / "out.png").shape[2] == channels
    expected = rendered(image, at)
    rows, columns = region.within(Region.whole(at))
    expected[rows, columns] = patch.pixels
    assert np.array_equal(rendered(result, result.size, Region.whole(at)), expected)
    if channels in (2, 4):
        # The patch changes no transparency: the same file without it has the same alpha.
        write(image, tmp_path / "plain.png", at=at)
        alpha = load_pixels(tmp_path / "out.png")[..., -1]
        assert np.array_equal(alpha, load_pixels(tmp_path / "plain.png")[..., -1])
        if at == image.size and orientation == 1:
            assert np.array_equal(alpha, photo(230, 164, channels, depth)[..., -1])


def test_a_jpeg_of_the_same_size_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(photo(801, 603), "JPEG", quality=90))
    image = open_file(tmp_path / "a.jpg")
    for at in (image.size, Size(160, 121), Size(1000, 753)):
        write(image, tmp_path / "out.png", at=at)
        assert np.array_equal(load_pixels(tmp_path / "out.png"), rendered(image, at))


def test_patches_are_laid_in_order_and_may_touch_the_frame(tmp_path: Path) -> None:
    pixels = photo(60, 50)
    image = open_file(save_png(tmp_path / "a.png", pixels))
    regions = [Region(0, 0, 20, 20), Region(10, 10, 50, 40), Region(59, 0, 1, 50)]
    patches = [
        Change(r, np.full((r.height, r.width, 3), 50 * i + 20, np.uint8))
        for i, r in enumerate(regions)
    ]
    write(image, tmp_path / "out.png", *patches)
    for patch in patches:
        rows, columns = patch.region.within(Region(0, 0, 60, 50))
        pixels[rows, columns] = patch.pixels
    assert np.array_equal(load_pixels(tmp_path / "out.png"), pixels)


def test_many_small_patches_make_one_picture(tmp_path: Path) -> None:
    pixels = photo(640, 480, seed=1)
    image = open_file(save_png(tmp_path / "a.png", photo(640, 480, seed=2)))
    patches = []
    for region in Region(31, 17, 600, 440).blocks(32):
        rows, columns = region.within(Region(0, 0, 640, 480))
        patches.append(Change(region, pixels[rows, columns]))
    assert len(patches) > 250
    write(image, tmp_path / "out.png", *patches)
    assert np.array_equal(load_pixels(tmp_path / "out.png")[17:457, 31:631], pixels[17:457, 31:631])


def test_a_colour_patch_on_a_grey_picture_becomes_its_luma(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(64, 48, 1)))
    region = Region(8, 8, 3, 1)
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    write(image, tmp_path / "out.png", Change(region, primaries))
    assert load_pixels(tmp_path / "out.png")[8, 8:11, 0].tolist() == [76, 150, 29]


def test_a_palette_target_keeps_a_patch_of_many_colours(tmp_path: Path) -> None:
    Image.fromarray(photo(64, 48)).quantize(8).save(tmp_path / "a.png")
    Image.fromarray(photo(64, 48)).convert("1").save(tmp_path / "b.png")
    region = Region(4, 4, 40, 30)
    for name, grey in (("a.png", False), ("b.png", True)):
        patch = Change(region, noise(region, 8, grey))
        write(open_file(tmp_path / name), tmp_path / "out.png", patch)
        result = open_file(tmp_path / "out.png")
        assert np.array_equal(rendered(result, result.size, region), patch.pixels)


def test_patches_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(64, 48)))
    corner = Region(0, 0, 4, 4)
    with pytest.raises(ValueError, match="needs pixels"):
        Patch(Region(0, 0, 4, 5), np.zeros((4, 5, 3), np.uint8))
    for region, pixels, reason in (
        (corner, np.zeros((4, 4, 3), np.uint16), "3 x ushort does not fit"),
        (corner, np.zeros((4, 4, 1), np.uint8), "1 x uchar does not fit"),
        (Region(62, 0, 4, 4), np.zeros((4, 4, 3), np.uint8), "outside"),
    ):
        with (
            image.rendition(image.size, Progress()) as base,
            pytest.raises(ValueError, match=reason),
        ):
            base.write(
                tmp_path / "o.png",
                Region.whole(image.size),
                [Patch(region, pixels)],
                95,
                Progress(),
            )
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# --- formats --------------------------------------------------------------------------------


def test_the_suffix_is_the_format() -> None:
    for name, kind in (
        ("a.png", "png"),
        ("a.JPG", "jpeg"),
        ("a.jpeg", "jpeg"),
        ("b.c.WebP", "webp"),
        ("a.tif", "tiff"),
        ("a.TIFF", "tiff"),
        ("a.avif", "avif"),
        ("a.heic", "heic"),
    ):
        assert output_format(Path(name)) == kind
    for name in ("a.gif", "a", ".png", "a.png.bak"):
        with pytest.raises(UnsupportedFormatError, match=r"\.png, \.jpg, .*\.heic$") as caught:
            output_format(Path(name))
        assert name in caught.value.message


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".webp", ".tif", ".avif", ".heic"])
@pytest.mark.parametrize(("channels", "depth"), KINDS)
def test_every_kind_goes_into_every_format(
    tmp_path: Path, channels: int, depth: int, suffix: str
) -> None:
    pixels = photo(96, 72, channels, depth)
    image = open_file(save_png(tmp_path / "a.png", pixels))
    output = tmp_path / f"out{suffix}"
    warnings = write(image, output)
    result = open_file(output)
    kind = output_format(output)
    assert (result.format, result.size) == (kind, image.size)
    lossless, keeps_alpha = kind in ("png", "tiff"), kind != "jpeg"
    assert result.depth == (8 if kind in ("jpeg", "webp") else depth)
    assert result.has_alpha == (channels in (2, 4) and keeps_alpha)
    expected = ["transparency" for _ in "a" if channels in (2, 4) and not keeps_alpha] + [
        "8 bits" if kind in ("jpeg", "webp") else "12 bits"
        for _ in "d"
        if depth == 16 and not lossless
    ]
    assert len(warnings) == len(expected)
    assert all(word in sentence for word, sentence in zip(expected, warnings, strict=True))
    if not (channels in (2, 4) and not keeps_alpha):
        whole = Region.whole(image.size)
        difference = result.read_srgb(whole).astype(int) - image.read_srgb(whole)
        assert np.abs(difference).mean() < (0.01 if lossless else 8)


def test_transparency_in_jpeg_is_white(tmp_path: Path) -> None:
    for depth in (8, 16):
        pixels = photo(64, 48, 4, depth)
        pixels[..., 3] = 0
        write(open_file(save_png(tmp_path / "a.png", pixels)), tmp_path / "out.jpg")
        assert load_pixels(tmp_path / "out.jpg").min() == 255


def test_cmyk_is_written_as_srgb_and_says_so(tmp_path: Path) -> None:
    Image.fromarray(photo(64, 48)).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    image = open_file(tmp_path / "c.jpg")
    region = Region(4, 4, 20, 20)
    patch = Change(region, np.full((20, 20, 3), 128, np.uint8))
    assert write(image, tmp_path / "out.png", patch) == (
        "CMYK colours were converted to sRGB; JPEG and TIFF keep them",
    )
    result = open_file(tmp_path / "out.png")
    difference = rendered(result, result.size, Region.whole(result.size)).astype(int)
    difference -= rendered(image, image.size, Region.whole(image.size))
    inside = np.zeros((48, 64), bool)
    inside[4:24, 4:24] = True
    assert not difference[~inside].any()
    # Through the inks and back, on top of those of noise.
    assert (
        np.abs(rendered(result, result.size, region).astype(int).mean(axis=(0, 1)) - 128).max() < 25
    )


def test_quality_decides_size_and_colour_resolution(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(256, 192)))
    for suffix in (".jpg", ".webp", ".avif", ".heic"):
        sizes = []
        for quality in (30, 80, 95):
            write(image, tmp_path / f"q{suffix}", quality=quality)
            sizes.append((tmp_path / f"q{suffix}").stat().st_size)
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2] / 2
    for quality, expected in ((89, "4:2:0"), (90, "4:4:4")):
        write(image, tmp_path / "q.jpg", quality=quality)
        written = pyvips.Image.new_from_file(str(tmp_path / "q.jpg"))
        assert written.get("jpeg-chroma-subsample") == expected


@pytest.mark.parametrize(
    ("name", "side", "limit"),
    [("out.webp", 16_384, 16_383), ("out.jpg", 65_501, 65_500), ("out.avif", 16_385, 16_384)],
)
def test_sides_that_a_format_cannot_hold(tmp_path: Path, name: str, side: int, limit: int) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(64, 48)))
    for at in (Size(side, 48), Size(64, side)):
        with pytest.raises(OutputError, match=f"at most {limit}") as caught:
            write(image, tmp_path / name, at=at)
        assert name in caught.value.message
        with pytest.raises(OutputError, match=f"at most {limit}"):
            check_output(tmp_path / name, at)
    check_output(tmp_path / name, Size(limit, 48))
    check_output(tmp_path / "out.png", Size(side, side))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(("name", "limit"), [("a.jpg", 65_500), ("a.webp", 16_383)])
def test_the_longest_sides_are_those_of_the_encoders(tmp_path: Path, name: str, limit: int) -> None:
    kind = output_format(Path(name))
    encode(as_vips(np.zeros((16, limit, 3), np.uint8)), kind, tmp_path / name, Encoding())
    assert load_pixels(tmp_path / name).shape == (16, limit, 3)
    with pytest.raises(pyvips.Error):
        encode(as_vips(np.zeros((16, limit + 1, 3), np.uint8)), kind, tmp_path / name, Encoding())


def test_avif_takes_no_longer_side(tmp_path: Path) -> None:
    """Only the refusal: the longest possible side takes seconds to encode."""
    with pytest.raises(pyvips.Error, match="too large"):
        encode(as_vips(np.zeros((16, 16_385, 3), np.uint8)), "avif", tmp_path / "a", Encoding())


# --- metadata -------------------------------------------------------------------------------

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax'
    b'-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="kept"/></rdf:RDF></x:xmpmeta>'
)


@pytest.fixture
def rich_picture(tmp_path: Path) -> tuple[Path, bytes]:
    """A turned JPEG with EXIF, a preview, XMP, DPI and a profile; its path and the profile."""
    exif = Image.Exif()
    exif[DESCRIPTION], exif[ORIENTATION], exif[COPYRIGHT] = "on the pier", 6, "A. Photographer"
    exif.get_ifd(0x8769)[TAKEN] = "2021:05:04 03:02:01"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "rich.jpg"
    path.write_bytes(
        encoded(
            photo(90, 60),
            "JPEG",
            quality=95,
            exif=exif,
            icc_profile=profile,
            xmp=XMP,
            dpi=(240, 240),
        )
    )
    picture = pyvips.Image.new_from_file(str(path))
    picture = picture.copy()
    picture.set_type(pyvips.GValue.blob_type, "jpeg-thumbnail-data", encoded(photo(16, 16), "JPEG"))
    content = picture.jpegsave_buffer(Q=95)
    path.write_bytes(content)
    assert "jpeg-thumbnail-data" in pyvips.Image.new_from_file(str(path)).get_fields()
    return path, profile


@pytest.mark.parametrize("at", [None, Size(30, 45)])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_metadata_come_out_as_they_went_in(
    tmp_path: Path, rich_picture: tuple[Path, bytes], suffix: str, at: Size | None
) -> None:
    path, profile = rich_picture
    output = tmp_path / f"out{suffix}"
    write(open_file(path), output, at=at)
    with Image.open(output) as result:
        exif = result.getexif()
        assert result.info["icc_profile"] == profile
        assert exif[ORIENTATION] == 1
        assert (exif[DESCRIPTION], exif[COPYRIGHT]) == ("on the pier", "A. Photographer")
        assert exif.get_ifd(0x8769)[TAKEN] == "2021:05:04 03:02:01"
        if suffix != ".webp":
            assert result.info["dpi"] == pytest.approx((240, 240), abs=0.1)
        assert (float(exif[X_RESOLUTION]), exif[RESOLUTION_UNIT]) == (240, 2)
    written = pyvips.Image.new_from_file(str(output))
    assert written.get("xmp-data") == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    assert "jpeg-thumbnail-data" not in written.get_fields()


def test_a_wide_profile_and_its_numbers_stay(tmp_path: Path) -> None:
    wide = as_vips(photo(64, 48)).icc_transform("p3", input_profile="srgb")
    wide.pngsave(str(tmp_path / "a.png"))
    region = Region(10, 10, 20, 20)
    write(open_file(tmp_path / "a.png"), tmp_path / "out.png", Change(region, noise(region, 8)))
    result = pyvips.Image.new_from_file(str(tmp_path / "out.png"))
    assert result.get("icc-profile-data") == wide.get("icc-profile-data")
    expected = wide.numpy().copy()
    expected[10:30, 10:30] = noise(region, 8)
    assert np.array_equal(result.numpy(), expected)


def test_a_grey_profile_stays(tmp_path: Path) -> None:
    profile = grey_profile()
    (tmp_path / "a.jpg").write_bytes(encoded(photo(64, 48, 1)[..., 0], "JPEG", icc_profile=profile))
    image = open_file(tmp_path / "a.jpg")
    assert image.has_profile
    for suffix in (".jpg", ".png"):
        write(image, tmp_path / f"out{suffix}")
        result = pyvips.Image.new_from_file(str(tmp_path / f"out{suffix}"))
        assert result.get("icc-profile-data") == profile
        assert result.bands == 1
    # Its curve is the square: half the number is a quarter of the light, 137 in sRGB.
    stored = rendered(image, image.size, Region(0, 0, 64, 48)).astype(float) / 255
    light = stored**2
    expected = 255 * np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    seen = image.read_srgb(Region(0, 0, 64, 48))
    assert np.abs(seen - expected).max() <= 2


@pytest.mark.parametrize(("unit", "dpi"), [(2, 240), (3, 609.6)])
def test_the_dpi_of_webp_stand_in_its_exif(tmp_path: Path, unit: int, dpi: float) -> None:
    exif = Image.Exif()
    exif[X_RESOLUTION], exif[Y_RESOLUTION], exif[RESOLUTION_UNIT] = 240.0, 120.0, unit
    (tmp_path / "a.webp").write_bytes(encoded(photo(64, 48), "WEBP", exif=exif))
    image = open_file(tmp_path / "a.webp")
    write(image, tmp_path / "out.jpg")
    result = pyvips.Image.new_from_file(str(tmp_path / "out.jpg"))
    written = (result.xres * 25.4, result.yres * 25.4)
    assert written == pytest.approx((dpi, dpi / 2), abs=1)
    write(image, tmp_path / "out.webp")
    with Image.open(tmp_path / "out.webp") as picture:
        tags = picture.getexif()
        in_inches = 2.54 if tags[RESOLUTION_UNIT] == 3 else 1
        assert float(tags[X_RESOLUTION]) * in_inches == pytest.approx(dpi, abs=1)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_without_dpi_gets_72(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a.webp").write_bytes(encoded(photo(64, 48), "WEBP"))
    write(open_file(tmp_path / "a.webp"), tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as result:
        assert result.info["dpi"] == pytest.approx((72, 72), abs=0.1)


# --- files ----------------------------------------------------------------------------------


def test_the_target_itself_may_be_the_output(tmp_path: Path) -> None:
    pixels = photo(300, 200)
    path = save_png(tmp_path / "a.png", pixels, 6)
    region = Region(10, 20, 30, 40)
    image = open_file(path)
    write(image, path, Change(region, noise(region, 8)))
    expected = np.rot90(pixels, -1).copy()
    expected[20:60, 10:40] = noise(region, 8)
    assert np.array_equal(load_pixels(path), expected)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_a_result_has_the_permissions_of_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write(open_file(save_png(tmp_path / "a.png", photo(64, 48))), tmp_path / "out.png")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "out.png")}
    assert len(modes) == 1


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(64, 48)))
    output = tmp_path / "out.png"
    output.touch()
    output.chmod(mode)
    for replace in (lambda: write(image, output), lambda: image.copy_to(output)):
        replace()
        assert output.stat().st_size > 0
        assert stat.S_IMODE(output.stat().st_mode) == mode


def test_a_private_file_is_replaced_in_private(tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    output.touch(mode=0o600)
    with replacing(output) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "out.png").symlink_to(tmp_path / "store" / "real.png")
    write(open_file(save_png(tmp_path / "a.png", photo(64, 48))), tmp_path / "out.png")
    assert (tmp_path / "out.png").is_symlink()
    assert np.array_equal(load_pixels(tmp_path / "store" / "real.png"), photo(64, 48))


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(64, 48)))
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    before = sorted(tmp_path.rglob("*"))
    cases = {
        tmp_path / "folder.png": "is a folder",
        tmp_path / "pipe.png": "not a regular file",
        tmp_path / "missing" / "out.png": "missing is not a folder",
        tmp_path / "a.png" / "out.png": "a.png is not a folder",
        Path("/proc/out.png"): "cannot be written",
        tmp_path / ("n" * 300 + ".png"): "cannot be written",
    }
    for output, says in cases.items():
        for attempt in (check_output, lambda output: write(image, output)):
            with pytest.raises(OutputError, match=re.escape(says)) as caught:
                attempt(output)
            assert output.name in caught.value.message
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_and_a_file_without_permission(tmp_path: Path) -> None:
    folder, file = tmp_path / "locked", tmp_path / "locked.png"
    folder.mkdir(mode=0o500)
    file.touch(mode=0o400)
    with pytest.raises(OutputError, match="locked is not writable"):
        check_output(folder / "out.png")
    with pytest.raises(OutputError, match="write-protected"):
        check_output(file)


def test_a_good_place_is_left_as_it_was(tmp_path: Path) -> None:
    check_output(tmp_path / "new.png")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old.jpg").write_bytes(b"old")
    check_output(tmp_path / "old.jpg")
    assert (tmp_path / "old.jpg").read_bytes() == b"old"
    with pytest.raises(UnsupportedFormatError):
        check_output(tmp_path / "out.bmp")


DISK = """
import resource, sys
from pathlib import Path
from common.errors import DiskFullError
from preprocess.image_file import ImageFile
from tests.preprocess.renditions import write
folder = Path(sys.argv[1])
image = ImageFile.open(folder / "a.png", max_megapixels=390)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write(image, folder / sys.argv[2], quality=100)
except DiskFullError as error:
    print(error.message)
"""


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp", "out.tif", "out.avif"])
def test_a_disk_without_room(tmp_path: Path, name: str) -> None:
    """A limit on file sizes stands for the full disk: the write fails midway just so."""
    save_png(tmp_path / "a.png", noise(Region(0, 0, 700, 500), 8))
    (tmp_path / name).write_bytes(b"the result of yesterday")
    done = subprocess.run(
        [sys.executable, "-c", DISK, str(tmp_path), name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "disk is full" in done.stdout
    assert name in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.png", name])
    assert (tmp_path / name).read_bytes() == b"the result of yesterday"


def test_no_room_for_turning_a_large_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preprocess.image_pipeline._HELD_IN_MEMORY", 1000)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("preprocess.scratch.shutil.disk_usage", lambda _: usage)
    image = open_file(save_png(tmp_path / "a.png", photo(64, 48), 6))
    with pytest.raises(DiskFullError, match="TMPDIR"):
        write(image, tmp_path / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# --- progress -------------------------------------------------------------------------------


@pytest.fixture
def slow_picture(tmp_path: Path) -> ImageFile:
    """Noise of 12 megapixels, which no encoder writes within a tenth of a second."""
    block = noise(Region(0, 0, 1000, 750), 8)
    as_vips(block).replicate(4, 4).jpegsave(str(tmp_path / "slow.jpg"), Q=100)
    return open_file(tmp_path / "slow.jpg")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_progress_rises_in_the_callers_thread(slow_picture: ImageFile, tmp_path: Path) -> None:
    heard: list[Any] = []
    progress = Progress(lambda _, done: heard.append((done, threading.get_ident())))
    write(slow_picture, tmp_path / "out.png", progress=progress)
    fractions = [done for done, _ in heard]
    assert fractions == sorted(fractions)
    assert 0 < fractions[-1] <= 1
    assert {thread for _, thread in heard} == {threading.get_ident()}


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp", "out.tif", "out.heic"])
def test_a_cancelled_write_ends_soon_and_leaves_nothing(
    slow_picture: ImageFile, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"the result of yesterday")
    progress = Progress(lambda *_: progress.cancel())
    with pytest.raises(CancelledError):
        write(slow_picture, tmp_path / name, progress=progress)
    assert names(tmp_path) == sorted([name, "slow.jpg"])
    assert (tmp_path / name).read_bytes() == b"the result of yesterday"


def test_a_deadline_ends_the_encoding(slow_picture: ImageFile, tmp_path: Path) -> None:
    with pytest.raises(DeadlineError):
        write(slow_picture, tmp_path / "out.png", progress=Progress(deadline_s=0.01))
    assert names(tmp_path) == ["slow.jpg"]


def test_turning_a_picture_can_be_cancelled(
    slow_picture: ImageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preprocess.image_pipeline._HELD_IN_MEMORY", 1000)
    picture = pyvips.Image.new_from_file(str(tmp_path / "slow.jpg")).copy()
    picture.set_type(pyvips.GValue.gint_type, "orientation", 8)
    picture.jpegsave(str(tmp_path / "turned.jpg"), Q=100)
    progress = Progress(lambda *_: progress.cancel())
    image = open_file(tmp_path / "turned.jpg")
    with pytest.raises(CancelledError):
        write(image, tmp_path / "out.png", progress=progress)
    assert names(tmp_path) == ["slow.jpg", "turned.jpg"]


def test_a_listener_that_fails_leaves_nothing(slow_picture: ImageFile, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(slow_picture, tmp_path / "out.png", progress=Progress(fail))
    assert names(tmp_path) == ["slow.jpg"]


def test_two_threads_write_the_same_bytes(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(400, 300)))
    outputs = [tmp_path / f"out{i}.jpg" for i in range(4)]
    threads = [threading.Thread(target=write, args=(image, output)) for output in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({output.read_bytes() for output in outputs}) == 1


THREADS = """
import os, sys
from pathlib import Path
os.environ["VIPS_CONCURRENCY"] = sys.argv[2]
from preprocess.image_file import ImageFile
from tests.preprocess.renditions import write
folder = Path(sys.argv[1])
image = ImageFile.open(folder / "a.png", max_megapixels=9)
write(image, folder / f"{sys.argv[2]}.avif", quality=60)
"""


def test_an_avif_does_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", photo(700, 500))
    for threads in ("1", "3"):
        subprocess.run(
            [sys.executable, "-c", THREADS, str(tmp_path), threads], cwd=ROOT, check=True
        )
    assert (tmp_path / "1.avif").read_bytes() == (tmp_path / "3.avif").read_bytes()


def test_what_a_killed_program_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(40, 30)))
    left, fresh, held, other = (
        tmp_path / name
        for name in (
            ".part-0123456789abcdef.png",
            ".part-0123456789abcde0.png",
            ".part-0123456789abcde1.png",
            ".part-a-name.png",
        )
    )
    for path in (left, fresh, held, other):
        path.write_bytes(b"half a picture")
        os.utime(path, (1e9, 1e9))
    os.utime(fresh)
    with held.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write(image, tmp_path / "out.png")
    names_left = sorted(path.name for path in tmp_path.iterdir())
    assert names_left == sorted(["a.png", "out.png", fresh.name, held.name, other.name])
