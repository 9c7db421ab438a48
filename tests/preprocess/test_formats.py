"""TIFF, AVIF and GIF in and out, checked by other readers and writers than libvips."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms

from common.errors import ImageSizeError, OutputError, UnreadableImageError, UnsupportedFormatError
from common.types import Size
from preprocess import tiff
from preprocess.image_source import Header, load, read_header, read_profile, reading
from preprocess.image_write import (
    Encoding,
    check_size,
    encode,
    encoder_memory,
    encoding_like,
    fit_format,
    output_format,
)
from preprocess.tiff import TiffLayout
from tests.preprocess.pictures import Pixels, as_vips, encoded, photo

ROOT = Path(__file__).resolve().parents[2]


def header_of(path: Path) -> Header:
    return read_header(path, 390)


def pixels_of(path: Path) -> Pixels:
    """H x W x C as `load` gives them."""
    header = header_of(path)
    with reading(path):
        image = load(path, header.format)
        assert image.bands == header.bands
        assert (image.format == "ushort") == (header.depth == 16)
        return image.numpy().reshape(image.height, image.width, image.bands)


def convert(source: Path, output: Path, quality: int | None = None) -> tuple[str, ...]:
    """The file written anew with nothing changed; answers the losses."""
    header = header_of(source)
    kind = output_format(output)
    image, lost = fit_format(load(source, header.format), kind)
    encode(image, kind, output, encoding_like(header, kind, quality))
    return lost


def save_tiff(path: Path, pixels: Pixels, **options: Any) -> Path:
    photometric = options.pop("photometric", "rgb" if pixels.shape[-1] in (3, 4) else "minisblack")
    tifffile.imwrite(path, np.squeeze(pixels), photometric=photometric, **options)
    return path


# --- TIFF in --------------------------------------------------------------------------------

LAYOUTS: list[dict[str, Any]] = [
    {},
    {"byteorder": ">"},
    {"byteorder": "<", "bigtiff": True},
    {"byteorder": ">", "bigtiff": True},
    {"tile": (32, 48)},
    {"compression": "zlib", "predictor": True},
    {"compression": "zlib", "tile": (64, 64), "bigtiff": True},
    {"rowsperstrip": 7},
    {"rowsperstrip": 200},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_layouts_are_read_exactly(
    tmp_path: Path, channels: int, depth: int, layout: dict[str, Any]
) -> None:
    pixels = photo(150, 90, channels, depth)
    path = save_tiff(tmp_path / "a.tif", pixels, **layout)
    assert np.array_equal(pixels_of(path), pixels)
    header = header_of(path)
    assert (header.format, header.depth, header.bits) == ("tiff", depth, depth)
    assert (header.stored, header.warnings, header.losses) == (Size(150, 90), (), ())


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"]
)
def test_tiff_compressions_are_read_exactly(tmp_path: Path, compression: str) -> None:
    pixels = photo(150, 90)
    path = tmp_path / "a.tif"
    Image.fromarray(pixels).save(path, compression=compression)
    assert np.array_equal(pixels_of(path), pixels)


def test_jpeg_inside_tiff_is_read_as_other_readers_do(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(photo(150, 90)).save(path, compression="jpeg", quality=90)
    with Image.open(path) as other:
        expected = np.asarray(other.convert("RGB")).astype(int)
    # Both decode YCbCr with libjpeg; rounding may differ.
    assert np.abs(pixels_of(path) - expected).max() <= 2


def test_channels_in_planes_are_read_exactly(tmp_path: Path) -> None:
    pixels = photo(150, 90)
    planes = np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(pixels_of(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGBA", "CMYK"])
def test_pillow_modes_are_read_exactly(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(photo(64, 48)).convert("RGB" if mode == "LA" else mode)
    picture = picture.convert(mode)
    picture.save(tmp_path / "a.tif")
    plain = {"1": "L", "P": "RGB"}.get(mode, mode)
    expected = np.asarray(picture.convert(plain)).reshape(48, 64, -1)
    assert np.array_equal(pixels_of(tmp_path / "a.tif"), expected)
    header = header_of(tmp_path / "a.tif")
    assert header.is_cmyk == (mode == "CMYK")
    assert header.has_alpha == (mode in ("LA", "RGBA"))
    assert header.bits == (1 if mode == "1" else 8)


def test_white_may_be_zero(tmp_path: Path) -> None:
    pixels = photo(64, 48, 1)
    path = save_tiff(tmp_path / "a.tif", pixels, photometric="miniswhite")
    assert np.array_equal(pixels_of(path), 255 - pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_tiff_is_found(tmp_path: Path, orientation: int) -> None:
    path = save_tiff(tmp_path / "a.tif", photo(64, 48), extratags=[(274, 3, 1, orientation, True)])
    header = header_of(path)
    assert header.orientation.swap == (orientation >= 5)
    assert header.orientation.is_upright == (orientation == 1)
    assert header.stored == Size(64, 48)


def test_cielab_becomes_srgb(tmp_path: Path) -> None:
    """LittleCMS through Pillow is the reference, for bytes and (made from them) for 16 bits."""
    smooth = Image.fromarray(photo(64, 48)).resize((160, 120), Image.Resampling.BICUBIC)
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    stored = ImageCms.profileToProfile(smooth, srgb, lab, outputMode="LAB")
    stored.save(tmp_path / "a.tif")
    header = header_of(tmp_path / "a.tif")
    assert header.losses == ("CIELAB colours were converted to sRGB",)
    assert (header.depth, header.bands, header.is_cmyk) == (8, 3, False)
    difference = np.abs(pixels_of(tmp_path / "a.tif") - np.asarray(smooth).astype(int))
    assert difference.mean() < 1  # a byte of Lab is about one step; measured 0.38
    assert difference.max() <= 4

    numbers = np.asarray(stored).astype(np.int32)
    deep = np.empty((120, 160, 3), np.uint16)
    deep[..., 0] = numbers[..., 0] * 257
    # Pillow shows a and b as the file's bytes: two's complement.
    deep[..., 1:] = (((numbers[..., 1:] + 128) % 256 - 128) * 256) % 65_536
    tifffile.imwrite(tmp_path / "b.tif", deep, photometric="cielab")
    assert header_of(tmp_path / "b.tif").depth == 16
    eight = pixels_of(tmp_path / "a.tif").astype(float)
    assert np.abs(pixels_of(tmp_path / "b.tif") / 257 - eight).max() <= 1.01


def test_a_tiff_of_cmyk_with_16_bits_is_read_with_8(tmp_path: Path) -> None:
    pixels = photo(64, 48, 4)
    deep = pixels.astype(np.uint16) * 257
    path = save_tiff(tmp_path / "a.tif", deep, photometric="separated")
    header = header_of(path)
    assert (header.depth, header.bits, header.is_cmyk) == (8, 16, True)
    assert "8 bits" in header.losses[0]
    assert np.array_equal(pixels_of(path), pixels)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_colours_come_divided_and_go_back_exactly(
    tmp_path: Path, channels: int, depth: int
) -> None:
    most = 2**depth - 1
    rng = np.random.default_rng(0)
    if depth == 8:
        alpha, colour = np.meshgrid(np.arange(256), np.arange(256))
    else:
        alpha, colour = rng.integers(0, most + 1, (2, 300, 400))
        alpha[:60] = rng.integers(most - 500, most + 1, (60, 400))  # nearly opaque: the hard case
        alpha[60:120] = rng.integers(0, 300, (60, 400))
    colour = np.minimum(colour, alpha)
    pixels = np.stack([colour] * (channels - 1) + [alpha], axis=2).astype(f"u{depth // 8}")
    kind = "rgb" if channels == 4 else "minisblack"
    options = {"photometric": kind, "planarconfig": "contig", "extrasamples": ["assocalpha"]}
    path = save_tiff(tmp_path / "a.tif", pixels, **options)
    read = pixels_of(path)
    expected = np.where(alpha > 0, np.rint(colour * most / np.maximum(alpha, 1)), 0)
    assert np.abs(read[..., 0] - expected).max() == 0
    assert np.array_equal(read[..., -1], alpha)

    convert(path, tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.pages[0].tags["ExtraSamples"].value in (1, (1,))
        assert np.array_equal(file.asarray(), pixels)


def test_of_several_pages_the_first_is_used_and_said(tmp_path: Path) -> None:
    pages = [photo(64, 48, seed=seed) for seed in (1, 2, 3)]
    tifffile.imwrite(tmp_path / "a.tif", np.stack(pages), photometric="rgb")
    (warning,) = header_of(tmp_path / "a.tif").warnings
    assert warning == f"{tmp_path / 'a.tif'} has 3 pages; the first one is used"
    assert np.array_equal(pixels_of(tmp_path / "a.tif"), pages[0])


def test_reduced_versions_are_no_pages(tmp_path: Path) -> None:
    as_vips(photo(600, 400)).tiffsave(str(tmp_path / "a.tif"), pyramid=True, tile=True)
    assert pyvips.Image.new_from_file(str(tmp_path / "a.tif")).get("n-pages") > 1
    assert header_of(tmp_path / "a.tif").warnings == ()


def break_entry(path: Path, directory: int, tag: int, into: int) -> None:
    """Make a tag of a TIFF another one whose values lie far behind the end of the file."""
    data = bytearray(path.read_bytes())
    entry = tiff.directories(io.BytesIO(data))[directory].entries[tag]
    where = data.index(entry.raw)
    struct.pack_into("<HHII", data, where, into, 4, 2, 2**31)
    path.write_bytes(data)


def test_a_second_page_that_is_damaged_counts_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    page = photo(64, 48)
    with tifffile.TiffWriter(path, byteorder="<") as file:
        file.write(page, photometric="rgb", metadata=None)
        file.write(page[:24, :32], photometric="rgb", metadata=None, subfiletype=1)
    assert header_of(path).warnings == ()
    break_entry(path, 1, tiff.SUBFILE, tiff.SUBFILE)
    (warning,) = header_of(path).warnings
    assert warning == f"{path} has 2 pages; the first one is used"
    assert np.array_equal(pixels_of(path), page)


@pytest.mark.parametrize("tag", [tiff.EXIF, tiff.GPS])
def test_a_broken_pointer_costs_a_tiff_its_exif_data_alone(tmp_path: Path, tag: int) -> None:
    path = tmp_path / "a.tif"
    tags = [(34_700, 4, 1, 8, True), (270, 2, 0, "on the pier", True)]
    with tifffile.TiffWriter(path, byteorder="<") as file:
        file.write(photo(64, 48), photometric="rgb", metadata=None, extratags=tags)
    break_entry(path, 0, 34_700, tag)  # tifffile writes no pointers
    assert np.array_equal(pixels_of(path), photo(64, 48))
    image = load(path, "tiff")
    assert image.get("exif-ifd0-ImageDescription").startswith("on the pier")
    convert(path, tmp_path / "out.tif")
    assert np.array_equal(pixels_of(tmp_path / "out.tif"), photo(64, 48))


@pytest.mark.parametrize(
    ("pixels", "options", "says"),
    [
        (photo(64, 48).astype(np.float32), {}, "floating-point numbers"),
        (photo(64, 48).astype(np.float16), {}, "floating-point numbers"),
        (photo(64, 48).astype(np.uint32), {}, "32-bit numbers"),
        (photo(64, 48).astype(np.int16), {}, "signed numbers"),
        (photo(64, 48, 5), {"photometric": "rgb", "extrasamples": [0, 0]}, "5 channels"),
        (photo(64, 48), {"photometric": 32_803}, "is a camera raw picture"),
    ],
)
def test_what_is_no_photograph_is_refused_with_what_is_accepted(
    tmp_path: Path, pixels: Pixels, options: dict[str, Any], says: str
) -> None:
    if options.get("photometric") == 32_803:
        save_tiff(tmp_path / "a.tif", pixels)
        set_tag(tmp_path / "a.tif", 262, 32_803)
    else:
        save_tiff(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(UnsupportedFormatError, match=says) as caught:
        header_of(tmp_path / "a.tif")
    assert str(tmp_path / "a.tif") in caught.value.message
    accepted = ("16 bits", "grey, RGB, CMYK", "JPEG, PNG")
    assert any(word in caught.value.message for word in accepted)


# --- malformed ------------------------------------------------------------------------------


def set_tag(path: Path, tag: int, value: int, count: int | None = None) -> None:
    """Change a number of a little-endian TIFF where it stands."""
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for index in range(struct.unpack_from("<H", content, start)[0]):
        at = start + 2 + 12 * index
        found, kind, _ = struct.unpack_from("<HHI", content, at)
        if found == tag:
            if count is not None:
                struct.pack_into("<I", content, at + 4, count)
            struct.pack_into("<H" if kind == 3 else "<I", content, at + 8, value)
            path.write_bytes(content)
            return
    raise AssertionError(f"no tag {tag}")


def bare_tiff(width: int, height: int, **tags: int) -> bytes:
    """A TIFF that claims a size and a layout and holds next to nothing."""
    values = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 200, 277: 1, 279: 50}
    values |= {int(name[1:]): value for name, value in tags.items()}
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, values[tag]) for tag in sorted(values))
    head = b"II*\0" + struct.pack("<IH", 8, len(values)) + rows + bytes(4)
    return head + bytes(1000 - len(head))


def test_tiffs_in_enormous_pieces_are_refused_from_their_header(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bare_tiff(16_000, 16_000, _322=16_000, _323=16_000, _324=200, _325=50, _277=3))
    with pytest.raises(ImageSizeError, match=r"TIFF in large pieces.* 1\.5 GB; .*small tiles"):
        header_of(path)
    path.write_bytes(bare_tiff(1000, 1000, _322=2**30, _323=2**30, _324=200, _325=50))
    with pytest.raises(ImageSizeError, match="TIFF in large pieces"):
        header_of(path)
    path.write_bytes(bare_tiff(19_000, 19_000, _278=19_000, _284=2, _277=3))
    with pytest.raises(ImageSizeError, match=r"1\.1 GB; .*strips of few rows"):
        header_of(path)
    # A single strip of all rows streams.
    path.write_bytes(bare_tiff(19_000, 19_000, _278=19_000))
    assert header_of(path).stored == Size(19_000, 19_000)


def test_damaged_directories_are_damaged_files(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "a.tif", photo(64, 48))
    good = path.read_bytes()
    damaged = [
        good[:8],
        good[: len(good) // 2],
        good[:4] + struct.pack("<I", 2**32 - 1) + good[8:],
        good[:4] + struct.pack("<I", 8) + b"\0\0" + good[10:],
        b"II+\0\x08\0\0\0" + b"\xff" * 8 + good[16:],
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UnreadableImageError, match=r"a\.tif is damaged"):
            pixels_of(path)


def test_a_chain_of_directories_that_bites_its_tail_ends(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "a.tif", photo(64, 48))
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    path.write_bytes(content)
    assert np.array_equal(pixels_of(path), photo(64, 48))


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "AVIF"])
def test_random_damage_never_escapes_the_errors_we_have(tmp_path: Path, kind: str) -> None:
    content = encoded(photo(80, 60), kind)
    rng = np.random.default_rng(5)
    path = tmp_path / "a"
    for _ in range(60):
        damaged = bytearray(content)
        for at in rng.integers(0, min(len(damaged), 400), 3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            pixels_of(path)
        except (UnreadableImageError, UnsupportedFormatError, ImageSizeError):
            continue


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "AVIF"])
def test_half_a_file_is_damaged(tmp_path: Path, kind: str) -> None:
    content = encoded(photo(400, 300), kind)
    path = tmp_path / "half"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImageError, match="half is damaged or incomplete"):
        pixels_of(path)


# --- AVIF and GIF in ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_avif_is_read_as_pillow_reads_it(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(photo(160, 96, len(mode))).save(path, quality=90, subsampling="4:4:4")
    with Image.open(path) as other:
        expected = np.asarray(other).astype(int)
    difference = np.abs(pixels_of(path) - expected)
    assert difference.max() <= 1  # rounding of the conversion from YCbCr
    if mode == "RGBA":
        assert difference[..., 3].max() == 0
    assert header_of(path).format == "avif"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_once(tmp_path: Path, orientation: int) -> None:
    """Pillow writes the orientation as the container's own turn (irot, imir)."""
    corner = np.zeros((48, 64, 3), np.uint8)
    corner[:16, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(corner).save(tmp_path / "a.avif", quality=95, exif=exif)
    header = header_of(tmp_path / "a.avif")
    assert header.orientation.is_upright
    turns = {
        1: corner,
        2: corner[:, ::-1],
        3: corner[::-1, ::-1],
        4: corner[::-1],
        5: corner.swapaxes(0, 1),
        6: np.rot90(corner, -1),
        7: np.rot90(corner, -1)[::-1],
        8: np.rot90(corner),
    }
    expected = turns[orientation].astype(int)
    assert np.abs(pixels_of(tmp_path / "a.avif") - expected).mean() < 3
    convert(tmp_path / "a.avif", tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as result:
        assert result.getexif().get(0x0112, 1) == 1
        assert result.size == (header.stored.width, header.stored.height)


@pytest.mark.parametrize("bits", [10, 12])
def test_white_of_10_and_12_bits_is_full(tmp_path: Path, bits: int) -> None:
    pixels = np.full((48, 64, 4), 65_535, np.uint16)
    pixels[:, :32, :3] = 0
    as_vips(pixels).heifsave(str(tmp_path / "a.avif"), compression="av1", bitdepth=bits, Q=100)
    header = header_of(tmp_path / "a.avif")
    assert (header.depth, header.bits, header.has_alpha) == (16, bits, True)
    read = pixels_of(tmp_path / "a.avif")
    assert read[..., 3].min() == 65_535
    assert read[24, 60].tolist() == [65_535] * 4
    assert read[24, 2, :3].max() <= 256


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_the_first_frame_of_an_animation_is_used_and_said(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(np.full((32, 48, 3), v, np.uint8)) for v in (30, 220, 90)]
    path = tmp_path / "moving"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    (warning,) = header_of(path).warnings
    assert str(path) in warning
    assert "animation" in warning
    assert "first" in warning
    assert np.all(np.abs(pixels_of(path)[..., :3].astype(int) - 30) <= 1)
    frames[0].save(path, kind)
    assert header_of(path).warnings == ()


def test_a_gif_is_read_exactly(tmp_path: Path) -> None:
    picture = Image.fromarray(photo(64, 48)).quantize(200)
    picture.save(tmp_path / "a.gif", interlace=True)
    assert np.array_equal(
        pixels_of(tmp_path / "a.gif")[..., :3], np.asarray(picture.convert("RGB"))
    )
    with pytest.raises(UnsupportedFormatError, match=r"\.avif, \.heic"):
        output_format(Path("out.gif"))


# --- out ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib", "predictor": True, "tile": (64, 128), "bigtiff": True},
        {"compression": "zlib", "predictor": True},
        {"compression": "zlib"},
        {"byteorder": ">"},
        {"tile": (16, 16)},
    ],
    ids=str,
)
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_tiff_stays_as_it_is(
    tmp_path: Path, channels: int, depth: int, options: dict[str, Any]
) -> None:
    pixels = photo(150, 140, channels, depth)
    extra = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
    kind = "rgb" if channels > 2 else "minisblack"
    extra |= {"photometric": kind, "planarconfig": "contig"} if channels > 1 else {}
    path = save_tiff(tmp_path / "a.tif", pixels, **extra, **options)
    assert convert(path, tmp_path / "out.tif") == ()
    with tifffile.TiffFile(path) as old, tifffile.TiffFile(tmp_path / "out.tif") as new:
        before, after = old.pages[0], new.pages[0]
        assert np.array_equal(after.asarray(), np.squeeze(pixels))
        assert after.compression == before.compression
        assert after.predictor == before.predictor
        assert after.is_tiled == before.is_tiled
        if before.is_tiled:
            assert (after.tilewidth, after.tilelength) == (before.tilewidth, before.tilelength)
        assert new.is_bigtiff == old.is_bigtiff
        assert after.extrasamples == before.extrasamples
        assert after.photometric == before.photometric


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
def test_pillows_compressions_stay(tmp_path: Path, compression: str) -> None:
    pixels = photo(150, 90)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression)
    convert(tmp_path / "a.tif", tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as result:
        assert result.info["compression"] == compression
        assert np.array_equal(np.asarray(result), pixels)


def test_a_lossy_tiff_becomes_a_lossless_one(tmp_path: Path) -> None:
    Image.fromarray(photo(150, 90)).save(tmp_path / "a.tif", compression="jpeg", quality=70)
    convert(tmp_path / "a.tif", tmp_path / "out.tif")
    assert header_of(tmp_path / "out.tif").layout == TiffLayout("deflate", predictor=True)
    assert np.array_equal(pixels_of(tmp_path / "out.tif"), pixels_of(tmp_path / "a.tif"))


@pytest.mark.parametrize("mode", ["1", "P"])
def test_few_colours_come_out_with_the_same_values(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(photo(64, 48)).convert(mode)
    picture.save(tmp_path / "a.tif", compression="group4" if mode == "1" else "raw")
    convert(tmp_path / "a.tif", tmp_path / "out.tif")
    with Image.open(tmp_path / "out.tif") as result:
        plain = "L" if mode == "1" else "RGB"
        assert result.mode == plain
        assert np.array_equal(np.asarray(result), np.asarray(picture.convert(plain)))


def test_a_picture_that_may_pass_4_gb_becomes_a_bigtiff(tmp_path: Path) -> None:
    """Compressed zeros: 4 GB of pixels in a few megabytes and seconds would be too slow here,
    so only the choice is looked at, by a picture just below and one that is told to be big."""
    from preprocess.encoders import _tiff_options

    below = pyvips.Image.black(30_000, 40_000, bands=3)
    above = pyvips.Image.black(35_000, 40_000, bands=3)
    assert not _tiff_options(below, TiffLayout())["bigtiff"]
    assert _tiff_options(above, TiffLayout())["bigtiff"]
    assert _tiff_options(below, TiffLayout(big=True))["bigtiff"]


@pytest.mark.parametrize(("bits", "expected"), [(8, 8), (10, 10), (12, 12), (16, 12)], ids=str)
def test_avif_keeps_its_depth(tmp_path: Path, bits: int, expected: int) -> None:
    pixels = photo(160, 96, 3, 8 if bits == 8 else 16)
    path = tmp_path / ("a.png" if bits == 16 else "a.avif")
    if bits == 16:
        as_vips(pixels).pngsave(str(path))
    else:
        as_vips(pixels).heifsave(str(path), compression="av1", bitdepth=bits, Q=95)
    lost = convert(path, tmp_path / "out.avif")
    assert [word for word in lost if "at most 12 bits" in word] == list(lost)
    assert len(lost) == (bits == 16)
    assert header_of(tmp_path / "out.avif").bits == expected
    unit = 1 if bits == 8 else 257
    difference = pixels_of(tmp_path / "out.avif").astype(float) - pixels_of(path)
    assert np.abs(difference).mean() / unit < 2  # of 255; measured 0.6 to 1.1 on noise
    assert abs(difference.mean()) / unit < 0.2


@pytest.mark.parametrize("quality", [40, 95])
def test_avif_alpha_and_quality(tmp_path: Path, quality: int) -> None:
    pixels = photo(200, 160, 4)
    pixels[..., 3] = np.where(np.arange(200) < 100, 0, 255)
    as_vips(pixels).pngsave(str(tmp_path / "a.png"))
    assert convert(tmp_path / "a.png", tmp_path / "out.avif", quality) == ()
    with Image.open(tmp_path / "out.avif") as result:
        assert result.mode == "RGBA"
        alpha = np.asarray(result)[..., 3].astype(int)
    assert np.abs(alpha - pixels[..., 3]).mean() < 1
    assert (tmp_path / "out.avif").stat().st_size < (30_000 if quality == 40 else 90_000)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_inks_stay_inks(tmp_path: Path, suffix: str) -> None:
    inks = np.asarray(Image.fromarray(photo(64, 48)).convert("CMYK"))
    inks = np.maximum(inks, photo(64, 48, 4, seed=3) // 4)
    Image.fromarray(inks, "CMYK").save(tmp_path / f"a{suffix}", quality=97)
    before = pixels_of(tmp_path / f"a{suffix}")
    assert convert(tmp_path / f"a{suffix}", tmp_path / f"out{suffix}", 97) == ()
    with (
        Image.open(tmp_path / f"out{suffix}") as result,
        Image.open(tmp_path / f"a{suffix}") as old,
    ):
        assert result.mode == "CMYK"
        difference = np.asarray(result).astype(int) - np.asarray(old)
    assert np.abs(difference).mean() < (0 if suffix == ".tif" else 1.5) or not difference.any()
    assert np.abs(pixels_of(tmp_path / f"out{suffix}").astype(int) - before).mean() < 1.5


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif"])
def test_inks_become_srgb_where_a_format_has_none(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(photo(64, 48)).convert("CMYK").save(tmp_path / "a.tif")
    lost = convert(tmp_path / "a.tif", tmp_path / f"out{suffix}")
    assert lost == ("CMYK colours were converted to sRGB; JPEG and TIFF keep them",)
    header = header_of(tmp_path / f"out{suffix}")
    assert (header.bands, header.is_cmyk) == (3, False)


def test_limits_name_what_would_fit() -> None:
    check_size(Path("out.avif"), Size(8000, 8000))
    with pytest.raises(OutputError, match=r"100 megapixels\).*AVIF takes such pictures whole"):
        check_size(Path("out.avif"), Size(10_000, 10_000))
    with pytest.raises(OutputError, match="AVIF"):
        check_size(Path("out.avif"), Size(8000, 8000), depth=16, has_alpha=True)
    check_size(Path("out.heic"), Size(16_000, 24_000))
    check_size(Path("out.tif"), Size(65_535, 65_535), depth=16, has_alpha=True)
    assert encoder_memory("tiff", Size(16_000, 24_000), 16, has_alpha=True) == 0
    assert encoder_memory("avif", Size(1000, 1000), 8, has_alpha=False) > 10e6


# --- metadata -------------------------------------------------------------------------------

TAGS = {
    "IFD0:ImageDescription": "on the pier",
    "IFD0:Copyright": "A. Photographer",
    "IFD0:Make": "Maker",
    "ExifIFD:DateTimeOriginal": "2021:05:04 03:02:01",
    "ExifIFD:FNumber": "2.8",
    "GPS:GPSLatitude": "1 deg 2' 3.00\"",
    "XMP-dc:Title": "kept",
    "IPTC:Headline": "news",
}


def exiftool(program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.stdout


@pytest.fixture
def tagged(tmp_path: Path, require_program: Any) -> tuple[str, Path]:
    """exiftool, and a folder with a JPEG, a PNG and TIFFs of both byte orders full of metadata."""
    program = str(require_program("exiftool"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(photo(90, 60))
    for name in ("a.jpg", "a.png", "a.tif"):
        picture.save(tmp_path / name, icc_profile=profile, dpi=(240, 240))
    tifffile.imwrite(
        tmp_path / "b.tif",
        photo(90, 60),
        photometric="rgb",
        byteorder=">",
        bigtiff=False,
        iccprofile=profile,
        resolution=(240, 240),
        resolutionunit=2,
        metadata=None,
    )
    values = [f"-{tag}={value}" for tag, value in TAGS.items()]
    # exiftool completes a new EXIF block with 72 dpi.
    values += ["-GPS:GPSLatitudeRef=N", "-IFD0:XResolution=240", "-IFD0:YResolution=240"]
    names = [str(tmp_path / name) for name in ("a.jpg", "a.png", "a.tif", "b.tif")]
    exiftool(program, "-q", "-overwrite_original", *values, *names)
    return program, tmp_path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif", ".heic"])
@pytest.mark.parametrize("source", ["a.jpg", "a.png", "a.tif", "b.tif"])
def test_metadata_survive_every_change_of_format(
    tagged: tuple[str, Path], source: str, suffix: str
) -> None:
    program, folder = tagged
    output = folder / f"out{suffix}"
    lost = convert(folder / source, output)
    found = exiftool(program, "-G1", "-s", "-s", *[f"-{tag}" for tag in TAGS], str(output))
    for tag, value in TAGS.items():
        group, name = tag.split(":")
        if group == "IPTC" and suffix not in (".jpg", ".tif"):
            assert name not in found
            if source != "a.png":  # exiftool's way of hiding IPTC in PNG is its own
                assert any("IPTC" in sentence for sentence in lost)
        elif group != "IPTC" or source != "a.png":
            assert f"[{group}] {name}: {value}" in found.replace("  ", " "), (tag, found)
    assert read_profile(header_of(output)) == read_profile(header_of(folder / source))
    resolution = exiftool(program, "-s3", "-IFD0:XResolution", str(output))
    if suffix not in (".png", ".jpg"):
        assert float(resolution) == pytest.approx(240, abs=0.1)
    image = load(output, header_of(output).format)
    if suffix != ".webp":
        assert image.xres * 25.4 == pytest.approx(240, abs=0.1)
    problems = exiftool(program, "-validate", "-warning", "-error", "-s3", str(output))
    assert "Error" not in problems.replace("0 Errors", "")


def test_the_size_in_exif_is_that_of_the_picture(tagged: tuple[str, Path]) -> None:
    program, folder = tagged
    for suffix in (".tif", ".heic"):
        convert(folder / "a.jpg", folder / f"out{suffix}")
        said = exiftool(program, "-s3", "-ExifIFD:ExifImageWidth", str(folder / f"out{suffix}"))
        assert said.strip() in ("90", "")


# --- memory ---------------------------------------------------------------------------------

PEAK = """
import os, sys
from pathlib import Path
os.environ["VIPS_CONCURRENCY"] = "2"
from preprocess.image_source import load, read_header, vips

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

vips().Image.black(4000, 64).avg()
header = read_header(Path(sys.argv[1]), 390)
before = peak()
load(header.path, header.format).avg()
print((peak() - before) / header.stored.pixels)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(
    ("kind", "options", "most"),
    [
        ("avif", {"compression": "av1", "effort": 0, "Q": 95}, 22),
        ("gif", {"effort": 1, "bitdepth": 4}, 6),
        ("tif", {"compression": "deflate"}, 1.5),
        ("tif", {"compression": "deflate", "tile": True}, 2.5),
    ],
)
def test_decoders_hold_no_more_than_is_reckoned_with(
    tmp_path: Path, kind: str, options: dict[str, Any], most: float
) -> None:
    """12 megapixels; what libvips holds of any picture is within the figure."""
    tile = as_vips(photo(500, 400))
    path = tmp_path / f"a.{kind}"
    big = tile.replicate(8, 7)
    save = {"avif": big.heifsave, "gif": big.gifsave, "tif": big.tiffsave}[kind]
    save(str(path), **options)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < most + 0.5


def test_an_encoding_without_wishes_is_usable(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png", ".webp", ".tif", ".avif"):
        kind = output_format(Path(f"a{suffix}"))
        encode(as_vips(photo(64, 48)), kind, tmp_path / f"a{suffix}", Encoding())
        assert header_of(tmp_path / f"a{suffix}").stored == Size(64, 48)
    with Image.open(io.BytesIO((tmp_path / "a.jpg").read_bytes())) as result:
        assert result.size == (64, 48)
