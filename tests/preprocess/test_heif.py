"""HEIC in and out; pillow-heif's own objects are the independent reader and writer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from common.errors import (
    CancelledError,
    ImageSizeError,
    UnreadableImageError,
    UnsupportedFormatError,
)
from common.progress import Progress
from common.types import Size
from preprocess import heif
from preprocess.image_source import Header, load, read_header, reading, vips
from preprocess.image_write import Encoding, check_output, encode, encoding_like
from tests.preprocess.pictures import Pixels, as_vips, photo

ROOT = Path(__file__).resolve().parents[2]


def header_of(path: Path) -> Header:
    return read_header(path, 390)


def pixels_of(path: Path) -> Pixels:
    with reading(path):
        image = load(path, "heic")
        return image.numpy().reshape(image.height, image.width, image.bands)


def save_heic(path: Path, pixels: Pixels, mode: str, **options: Any) -> Path:
    size = (pixels.shape[1], pixels.shape[0])
    pillow_heif.encode(mode, size, pixels.tobytes(), path, **options)
    return path


def reference(path: Path) -> Pixels:
    """What stands in the file, as pillow-heif decodes it, at its own depth."""
    return np.asarray(pillow_heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False))


@pytest.mark.parametrize(
    ("mode", "channels", "bits"),
    [
        ("L", 1, 8),
        ("RGB", 3, 8),
        ("RGBA", 4, 8),
        ("RGB;16", 3, 10),
        ("RGB;16", 3, 12),
        ("RGBA;16", 4, 10),
        ("L;16", 1, 12),
    ],
)
def test_heic_is_read_as_its_header_says(
    tmp_path: Path, mode: str, channels: int, bits: int
) -> None:
    pixels = photo(160, 96, channels, 8 if bits == 8 else 16)
    path = save_heic(tmp_path / "a.heic", pixels, mode, quality=90, bit_depth=bits)
    header = header_of(path)
    assert (header.format, header.bits) == ("heic", bits)
    assert header.depth == (8 if bits == 8 else 16)
    assert header.has_alpha == (channels == 4)
    assert header.orientation.is_upright
    read = pixels_of(path)
    assert read.shape[2] == header.bands == max(channels, 3)  # grey comes as RGB
    expected = reference(path).reshape(96, 160, -1)
    if bits > 8:
        expected = np.round(expected * (65_535 / (2**bits - 1)))
    assert np.abs(read.astype(float) - expected).max() <= (0 if bits == 8 else 1)


def test_a_premultiplied_heic_comes_divided(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 100, 128
    save_heic(tmp_path / "a.heic", pixels, "RGBa", quality=100, subsampling="4:4:4")
    read = pixels_of(tmp_path / "a.heic").astype(int)
    assert np.abs(read[..., 0] - 199).max() <= 4  # 100 * 255 / 128, and the codec's loss
    assert np.abs(read[..., 3] - 128).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_turned_once(tmp_path: Path, orientation: int) -> None:
    """pillow-heif writes the orientation as the container's own turn and keeps it in EXIF."""
    corner = np.zeros((48, 64, 3), np.uint8)
    corner[:16, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(corner)
    pillow_heif.from_pillow(picture).save(tmp_path / "a.heic", quality=90, exif=exif.tobytes())
    expected = np.asarray(pillow_heif.open_heif(tmp_path / "a.heic")).astype(int)
    header = header_of(tmp_path / "a.heic")
    assert header.orientation.is_upright
    assert header.stored == Size(expected.shape[1], expected.shape[0])
    assert np.array_equal(pixels_of(tmp_path / "a.heic"), expected)
    bright = np.argwhere(expected[..., 0] > 128).mean(axis=0) / expected.shape[:2]
    right, below = (bright[1] > 0.5), (bright[0] > 0.5)
    corners = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1)}
    assert (right, below) == corners.get(orientation, (0, 1))

    image = load(tmp_path / "a.heic", "heic")
    encode(image, "jpeg", tmp_path / "out.jpg", Encoding())
    with Image.open(tmp_path / "out.jpg") as result:
        assert result.getexif().get(0x0112, 1) == 1
        assert result.size == (header.stored.width, header.stored.height)


def test_of_several_pictures_the_primary_one_is_used_and_said(tmp_path: Path) -> None:
    levels = (40, 130, 220)
    pictures = [Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in levels]
    file = pillow_heif.HeifFile()
    for picture in pictures:
        file.add_from_pillow(picture)
    file.save(tmp_path / "a.heic", quality=95, primary_index=1)
    (warning,) = header_of(tmp_path / "a.heic").warnings
    assert warning == f"{tmp_path / 'a.heic'} holds 3 pictures; its primary one is used"
    assert np.abs(pixels_of(tmp_path / "a.heic").astype(int) - 130).max() <= 1


@pytest.mark.parametrize(
    ("channels", "depth", "bits"), [(1, 8, 8), (3, 8, 8), (4, 8, 8), (3, 16, 10), (3, 16, 12)]
)
def test_heic_is_written(tmp_path: Path, channels: int, depth: int, bits: int) -> None:
    pixels = photo(200, 150, channels, depth)
    encode(as_vips(pixels), "heic", tmp_path / "a.heic", Encoding(95, bits=bits))
    header = header_of(tmp_path / "a.heic")
    assert (header.stored, header.bits) == (Size(200, 150), bits)
    assert header.has_alpha == (channels == 4)
    unit = 257 if depth == 16 else 1
    difference = (pixels_of(tmp_path / "a.heic").astype(float) - pixels) / unit
    assert np.abs(difference).mean() < 0.8  # measured 0.4 to 0.5 on noise
    assert abs(difference.mean()) < 0.1


def test_a_large_heic_is_written_in_tiles_that_meet(tmp_path: Path) -> None:
    y, x = np.mgrid[0:1300, 0:1500]
    pixels = np.stack([x % 256, (x + y) // 11, y // 6], axis=2).astype(np.uint8)
    pixels[..., 0] = x // 6
    encode(as_vips(pixels), "heic", tmp_path / "a.heic", Encoding(95))
    tiling = pillow_heif.open_heif(tmp_path / "a.heic").info["tiling"]
    assert (tiling["tile_width"], tiling["tile_height"]) == (1024, 1024)
    read = pixels_of(tmp_path / "a.heic").astype(int)
    assert read.shape == pixels.shape
    difference = np.abs(read - pixels)
    assert difference.mean() < 0.6
    assert difference[1020:1028].mean() < 0.6  # rows and columns where tiles meet
    assert difference[:, 1020:1028].mean() < 0.6  # measured 0.35, as everywhere


def test_quality_decides_the_size(tmp_path: Path) -> None:
    sizes = []
    for quality in (30, 80, 95):
        encode(as_vips(photo(256, 192)), "heic", tmp_path / "a.heic", Encoding(quality))
        sizes.append((tmp_path / "a.heic").stat().st_size)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_the_depth_of_a_target_is_kept(tmp_path: Path) -> None:
    pixels = photo(160, 96, 3, 16)
    path = save_heic(tmp_path / "a.heic", pixels, "RGB;16", quality=95, bit_depth=10)
    encoding = encoding_like(header_of(path), "heic", None)
    assert encoding.bits == 10
    encode(load(path, "heic"), "heic", tmp_path / "out.heic", encoding)
    assert header_of(tmp_path / "out.heic").bits == 10


def test_half_a_file_is_damaged(tmp_path: Path) -> None:
    path = save_heic(tmp_path / "half.heic", photo(400, 300), "RGB", quality=95)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImageError, match=r"half\.heic is damaged"):
        pixels_of(path)


def test_random_damage_never_escapes_the_errors_we_have(tmp_path: Path) -> None:
    path = save_heic(tmp_path / "a.heic", photo(80, 64), "RGB", quality=80)
    content = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(content)
        for at in rng.integers(0, 500, 3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            if header_of(path).format == "heic":
                pixels_of(path)
        except (UnreadableImageError, UnsupportedFormatError, ImageSizeError):
            continue


def test_without_an_encoder_other_formats_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages without x265 exist; theirs report no encoder, as this information does."""
    monkeypatch.setattr(pillow_heif, "libheif_info", lambda: {"HEIF": "", "AVIF": ""})
    with pytest.raises(UnsupportedFormatError, match="write AVIF or JPEG"):
        heif.require_encoder()
    with pytest.raises(UnsupportedFormatError, match="write AVIF or JPEG"):
        check_output(tmp_path / "a.heic")
    with pytest.raises(UnsupportedFormatError, match="no HEVC encoder"):
        encode(as_vips(photo(64, 48)), "heic", tmp_path / "a.heic", Encoding())
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_other_formats_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnsupportedFormatError, match="pillow-heif, which is not installed"):
        heif.require_encoder()


def test_the_encoder_can_be_stopped_between_tiles(tmp_path: Path) -> None:
    asked = threading.Event()
    progress = Progress()

    def check() -> None:
        asked.set()
        progress.cancel()
        progress.check()

    with pytest.raises(CancelledError):
        encode(as_vips(photo(1100, 64)), "heic", tmp_path / "a.heic", Encoding(), check)
    assert asked.is_set()


PEAK = """
import os, sys
from pathlib import Path
os.environ["VIPS_CONCURRENCY"] = "2"
import pillow_heif
from preprocess.image_source import load, vips
from preprocess.image_write import Encoding, encode

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

noise = vips().Image.new_from_file(sys.argv[1]).copy_memory()
file = Path(sys.argv[1]).with_name("out.heic")
before = peak()
for down in (2, 8):
    image = noise.replicate(3, down)
    encode(image, "heic", file, Encoding(60))
    print((peak() - before) / 2**20, flush=True)
before = peak()
load(file, "heic").avg()
print((peak() - before) / image.width / image.height)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_the_memory_of_both_codecs_is_bounded(tmp_path: Path) -> None:
    as_vips(photo(1024, 512)).pngsave(str(tmp_path / "noise.png"))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "noise.png")],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    small, large, decoding = map(float, done.stdout.split())
    assert large < 150, done.stdout  # MiB; measured 68, mostly of x265
    assert large - small < 40  # four times the pixels
    assert decoding < 11.5  # bytes per pixel, as `image_source` reckons; measured 4.8 (4:2:0)
    assert vips().version(0) == 8
