"""Pictures that only decode as a whole, and machines that have no room for them."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from common.errors import ImageSizeError
from common.types import Size
from preprocess.image_file import ImageFile
from tests.preprocess.pictures import bare_png, encoded, photo, save_png

ROOT = Path(__file__).resolve().parents[2]


def open_file(path: Path) -> ImageFile:
    return ImageFile.open(path, max_megapixels=390)


def large_png(size: Size, depth: int = 8, colour: int = 2, interlaced: bool = True) -> bytes:
    """A PNG that claims a size; colour as in its header: 0 grey, 2 RGB, 6 RGBA."""
    content = bytearray(bare_png(size.width, size.height))
    content[24:29] = bytes([depth, colour, 0, 0, interlaced])
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def large_jpeg(size: Size, channels: int = 3, progressive: bool = True) -> bytes:
    """A JPEG that claims a size and holds the data of a small one."""
    pixels = photo(32, 32, channels)
    content = bytearray(
        encoded(pixels if channels == 3 else pixels[..., 0], "JPEG", progressive=progressive)
    )
    frame = content.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    struct.pack_into(">HH", content, frame + 5, size.height, size.width)
    return bytes(content)


def large_webp(size: Size) -> bytes:
    """A lossless WebP that claims a size and holds the data of a small one."""
    content = bytearray(encoded(photo(32, 32), "WEBP", lossless=True))
    assert content[12:16] == b"VP8L"
    sides = (size.width - 1) | (size.height - 1) << 14
    flags = struct.unpack_from("<I", content, 21)[0] & ~(2**28 - 1)
    struct.pack_into("<I", content, 21, flags | sides)
    return bytes(content)


TOO_LARGE = [
    (large_jpeg(Size(24_000, 16_000)), "is a progressive JPEG of 24000x16000.*2.3 GB.*a baseline"),
    (large_jpeg(Size(13_500, 13_500)), "1.1 GB"),
    (large_jpeg(Size(24_000, 24_000), 1), "1.2 GB"),
    (large_png(Size(19_500, 19_500)), "is an interlaced PNG of 19500x19500.*1.1 GB.*without inter"),
    (large_png(Size(12_000, 12_000), 16, 6), "1.2 GB"),
    (large_webp(Size(16_383, 16_383)), "is a WebP picture of 16383x16383.*2.1 GB.*a baseline JPEG"),
    (large_webp(Size(11_700, 11_700)), "1.1 GB"),
]


@pytest.mark.parametrize(("content", "says"), TOO_LARGE)
def test_what_cannot_be_read_in_strips_is_bounded_by_its_memory(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "whole.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageSizeError, match=says) as caught:
        ImageFile.open(path, max_megapixels=600)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        large_jpeg(Size(24_000, 16_000), progressive=False),
        large_jpeg(Size(12_000, 9_000)),  # the most that phones and presses deliver
        large_jpeg(Size(24_000, 16_000), 1),
        large_png(Size(19_500, 19_500), 16, 6, interlaced=False),
        large_png(Size(18_900, 18_900)),
        large_png(Size(19_700, 19_700), 16, 0, interlaced=False),
        large_webp(Size(11_500, 11_500)),
    ],
)
def test_what_streams_or_fits_is_accepted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(content)
    assert open_file(path).size.pixels >= 100e6


NO_MEMORY = """
import os, resource, sys
from pathlib import Path
from common.errors import MemoryLimitError
from common.types import Region, Size
from preprocess.image_file import ImageFile
from tests.preprocess.renditions import rendered, write

os.environ["VIPS_CONCURRENCY"] = "1"
folder = Path(sys.argv[1])
small = ImageFile.open(folder / "small.png", max_megapixels=390)
write(small, folder / "warm.png")  # every thread has started
image = ImageFile.open(folder / "large", max_megapixels=390)
pages = int(Path("/proc/self/statm").read_text().split()[0])
# Enough for all but the picture.
limit = pages * resource.getpagesize() + 300 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for attempt in (
    lambda: rendered(image, image.size, Region(0, 0, 16, 16)),
    lambda: list(image.strips(Size(64, 64), 16, 0)),
    lambda: write(image, folder / "out.png", at=Size(64, 64)),
):
    try:
        attempt()
    except MemoryLimitError as error:
        print(error.message)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.parametrize(
    "content",
    [
        large_jpeg(Size(13_000, 13_000)),
        large_png(Size(11_500, 11_500), 16, 6),
        large_webp(Size(11_500, 11_500)),
    ],
    ids=["progressive JPEG", "interlaced PNG", "WebP"],
)
def test_memory_that_runs_out_is_not_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    """Each holds 1 GB as one piece, which the limit refuses before any of it is filled."""
    (tmp_path / "large").write_bytes(content)
    save_png(tmp_path / "small.png", photo(64, 48))
    done = run_in_process(NO_MEMORY, tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert all(f"the memory was not enough for {tmp_path / 'large'}" in line for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large", "small.png", "warm.png"]


NO_DISK = """
import resource, sys, tempfile
from pathlib import Path
import preprocess.image_pipeline
from common.errors import DiskFullError
from preprocess.image_file import ImageFile
from tests.preprocess.renditions import rendered, write

preprocess.image_pipeline._HELD_IN_MEMORY = 1000
folder = Path(sys.argv[1])
image = ImageFile.open(folder / "turned.png", max_megapixels=390)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for attempt in (
    lambda: list(image.strips(image.size, 64, 0)),
    lambda: write(image, folder / "out.jpg", quality=10),
):
    try:
        attempt()
    except DiskFullError as error:
        assert tempfile.gettempdir() in error.message
        print(error.message)
"""


def test_a_full_temporary_folder_is_not_a_damaged_file(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk: the write fails midway just so."""
    save_png(tmp_path / "turned.png", photo(400, 300), orientation=6)
    done = run_in_process(NO_DISK, tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert all("the disk is full" in line and "set TMPDIR" in line for line in lines)
    assert all(str(tmp_path / "turned.png") in line for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["turned.png"]


def run_in_process(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
