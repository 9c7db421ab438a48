"""Opening and decoding picture files with libvips: what is accepted, and what goes wrong.

Every libvips failure while reading becomes an error of `common.errors` in `reading`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import (
    DiskFullError,
    FileMissingError,
    ImageSizeError,
    MemoryLimitError,
    UnreadableImageError,
    UnsupportedFormatError,
)
from common.types import Region, Size

if TYPE_CHECKING:
    import pyvips

ACCEPTED = "JPEG, PNG or WebP"
MIN_SIDE = 16
"""Shortest side of a picture in pixels; nothing smaller can hold a face."""
MAX_SIDE = 65_535
"""Longest side: that of JPEG. libvips holds whole rows, so few but endless ones cost gigabytes."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system says when no more fits on a disk, in a quota or in a file."""

_MOST_THREADS = 8
_HEAD_BYTES = 32
_JPEG_SHRINKS = (8, 4, 2)

# Largest shift, in output pixels, that a JPEG decoded at 1/2, 1/4 or 1/8 may bring at the far
# edge when its side is no multiple of the factor (the decoder rounds the side up).
_SHRINK_SHIFT = 0.1

# What decoders may hold of a picture that they cannot read in strips. Measured with libvips 8.18
# on 36 megapixels, in bytes per pixel, of which about 0.4 are for the strips handed on:
# progressive JPEG 6.3 (grey 2.2, CMYK 8.9, colour at half the resolution 3.4), interlaced PNG 3.0
# (grey 1.0, RGBA of 16 bits 7.9), WebP 8.0 (lossy or lossless, with or without alpha).
_DECODER_MEMORY = 2**30
_COEFFICIENT_BYTES = 2
_WEBP_BYTES_PER_PIXEL = 8

# libvips and the decoders below it tell what went wrong in words alone, "domain: words" a line.
_OUT_OF_MEMORY = re.compile(
    ": (?:out of memory|insufficient memory|unable to allocate|failed to allocate"
    f"|error creating thread|{re.escape(os.strerror(errno.ENOMEM))})",
    re.IGNORECASE,
)
_OUT_OF_DISK = re.compile(
    f": (?:{'|'.join(re.escape(os.strerror(code)) for code in DISK_FULL)})", re.IGNORECASE
)

# Formats that people do bring and that are refused by name; (offset, signature, name).
_REFUSED = (
    (0, b"GIF8", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (0, b"BM", "BMP"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n", "JPEG XL"),
    (4, b"jP  \r\n", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)


@cache
def vips() -> Any:
    """The pyvips module, started on first use so that commands without pictures start fast."""
    # Each thread holds its own tiles, so that memory grows with the cores of a large server.
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    os.environ.setdefault("VIPS_CONCURRENCY", str(threads))
    import pyvips

    # The operation cache would keep pictures open and give an old one back for a file that
    # was replaced under the same name.
    pyvips.cache_set_max(0)
    return pyvips


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the stored pixels become upright: swap the axes, then flip.

    The eight values of the EXIF tag are exactly these eight combinations.
    """

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_exif(cls, value: int) -> Orientation:
        """The orientation of EXIF values 1-8; others mean upright, as in every viewer."""
        if not 1 <= value <= 8:
            return cls()
        return cls(value >= 5, value in (2, 3, 6, 7), value in (3, 4, 7, 8))

    @property
    def is_upright(self) -> bool:
        return not (self.swap or self.flip_x or self.flip_y)

    def size(self, size: Size) -> Size:
        """The upright size of a stored one, and the stored size of an upright one."""
        return Size(size.height, size.width) if self.swap else size

    def stored_region(self, region: Region, upright: Size) -> Region:
        """Where ``region`` of the upright picture lies in the stored one."""
        x = upright.width - region.right if self.flip_x else region.x
        y = upright.height - region.bottom if self.flip_y else region.y
        if self.swap:
            return Region(y, x, region.height, region.width)
        return Region(x, y, region.width, region.height)

    def turn(self, image: pyvips.Image) -> pyvips.Image:
        """The upright picture; the stored one must be open for random access."""
        if self.swap:
            # A clockwise turn is a transposition and a flip of x.
            image = image.rot90()
        if self.flip_x != self.swap:
            image = image.fliphor()
        return image.flipver() if self.flip_y else image


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's header says.

    format: 'jpeg', 'png' or 'webp', by content. stored: the size before the orientation.
    depth: bits per channel, 8 or 16. bands: stored channels, alpha included.
    """

    path: Path
    format: str
    stored: Size
    orientation: Orientation
    depth: int
    bands: int
    has_alpha: bool
    has_profile: bool
    is_cmyk: bool


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate libvips' failures inside the block.

    Raises:
        UnreadableImageError: libvips could not read ``path``.
        MemoryLimitError: Memory ran out meanwhile.
        DiskFullError: The temporary folder is full.
    """
    try:
        yield
    except vips().Error as error:
        raise_if_short(error, path)
        raise UnreadableImageError(
            f"{path} is damaged or incomplete; use a complete {ACCEPTED} file"
        ) from error


def raise_if_short(error: Exception, path: Path) -> None:
    """Tell a machine without room from a damaged picture, by the words of libvips' failure.

    Raises:
        MemoryLimitError: Memory (or threads, which need it) ran out over ``path``.
        DiskFullError: The folder of temporary files is full.
    """
    words = str(error)
    if _OUT_OF_MEMORY.search(words):
        raise MemoryLimitError(
            f"the memory was not enough for {path}; free some, or use a smaller picture"
        ) from error
    if _OUT_OF_DISK.search(words):
        raise temporary_folder_full(path) from error


def temporary_folder_full(path: Path) -> DiskFullError:
    """The error for a picture whose temporary file found no room."""
    return DiskFullError(
        f"the disk is full: no room in {tempfile.gettempdir()} for a temporary file of {path}; "
        "make room or set TMPDIR to another folder"
    )


def read_header(path: Path, max_megapixels: float) -> Header:
    """Look at a file without decoding pixels.

    Raises:
        FileMissingError: There is no such file, or it may not be read.
        UnsupportedFormatError: It is a picture of a format that is not accepted.
        UnreadableImageError: It is empty, no picture, or its header is damaged.
        ImageSizeError: More than ``max_megapixels``, a side shorter than `MIN_SIDE` or longer
            than `MAX_SIDE`, or of a kind that must be decoded whole and too large for that.
    """
    head = _read_head(path)
    kind = _sniff(path, head)
    if kind == "png" and len(head) >= 24:
        # libpng answers an empty picture with the same failure as a damaged file.
        width, height = struct.unpack_from(">II", head, 16)
        _check_size(path, width, height, max_megapixels)
    with reading(path):
        image = load(path, kind)
    _check_size(path, image.width, image.height, max_megapixels)
    _check_decoder_memory(path, kind, image)
    fields = image.get_fields()
    orientation = image.get("orientation") if "orientation" in fields else 1
    return Header(
        path=path,
        format=kind,
        stored=Size(image.width, image.height),
        orientation=Orientation.from_exif(orientation),
        depth=16 if image.format == "ushort" else 8,
        bands=image.bands,
        has_alpha=bool(image.hasalpha()),
        has_profile="icc-profile-data" in fields,
        is_cmyk=image.interpretation == "cmyk",
    )


def load(path: Path, kind: str, shrink: int = 1) -> pyvips.Image:
    """Open a file of a known format for one pass from top to bottom.

    Only the three loaders named here are ever asked, so that a file cannot choose a decoder.
    A file whose pixel data end early fails when its last rows are read; a strange byte that
    the decoder can skip does not.

    Args:
        path: The file.
        kind: 'jpeg', 'png' or 'webp'.
        shrink: Decode a JPEG at 1/1, 1/2, 1/4 or 1/8.
    """
    options = {"access": "sequential", "fail_on": "truncated"}
    name = os.fsencode(path)  # file names need not be UTF-8
    image = vips().Image
    if kind == "jpeg":
        return image.jpegload(name, shrink=shrink, **options)
    if kind == "png":
        return image.pngload(name, **options)
    return image.webpload(name, **options)


def jpeg_shrink(stored: Size, wanted: Size) -> int:
    """The factor at which a JPEG of ``stored`` can be decoded on its way to ``wanted``.

    At least a factor of two is left for the Lanczos reduction, which hides the decoder's
    coarser one.
    """
    for shrink in _JPEG_SHRINKS:
        sides = ((stored.width, wanted.width), (stored.height, wanted.height))
        if all(
            side >= 2 * shrink * goal and -side % shrink * goal <= _SHRINK_SHIFT * side
            for side, goal in sides
        ):
            return shrink
    return 1


def _read_head(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise FileMissingError(f"{path} is {what}; name a {ACCEPTED} file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except PermissionError as error:
        raise FileMissingError(
            f"{path} may not be read; give this user permission or name another {ACCEPTED} file"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise FileMissingError(f"{path} does not exist; name a {ACCEPTED} file") from error
    if not head:
        raise UnreadableImageError(f"{path} is empty; use a {ACCEPTED} file")
    return head


def _sniff(path: Path, head: bytes) -> str:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    for offset, signature, name in _REFUSED:
        if head.startswith(signature, offset):
            raise UnsupportedFormatError(
                f"{path} is a {name} picture, which is not accepted; convert it to {ACCEPTED}"
            )
    raise UnreadableImageError(f"{path} is not a picture; use a {ACCEPTED} file")


def _check_size(path: Path, width: int, height: int, max_megapixels: float) -> None:
    if width * height > max_megapixels * 1e6:
        raise ImageSizeError(
            f"{path} has {width}x{height} pixels ({width * height / 1e6:.1f} megapixels); "
            f"at most {max_megapixels:g} megapixels are accepted"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageSizeError(
            f"{path} has {width}x{height} pixels; each side needs at least {MIN_SIDE}"
        )
    if max(width, height) > MAX_SIDE:
        raise ImageSizeError(
            f"{path} has {width}x{height} pixels; each side may have at most {MAX_SIDE}"
        )


def _check_decoder_memory(path: Path, kind: str, image: pyvips.Image) -> None:
    """The limit of pixels bounds memory only where a decoder works in strips; this the rest."""
    fields = image.get_fields()
    if kind == "jpeg" and "jpeg-multiscan" in fields and image.get("jpeg-multiscan"):
        # A decoder holds the coefficients of all channels; fewer of colour if it is subsampled,
        # but the header's word for that does not bound it.
        per_pixel = _COEFFICIENT_BYTES * image.bands
        what, instead = "a progressive JPEG", "a baseline JPEG"
    elif kind == "png" and "interlaced" in fields:
        per_pixel = image.bands * (2 if image.format == "ushort" else 1)
        what, instead = "an interlaced PNG", "a PNG without interlacing"
    elif kind == "webp":
        per_pixel = _WEBP_BYTES_PER_PIXEL
        what, instead = "a WebP picture", "a PNG or a baseline JPEG"
    else:
        return
    needed = image.width * image.height * per_pixel
    if needed > _DECODER_MEMORY:
        raise ImageSizeError(
            f"{path} is {what} of {image.width}x{image.height}, which cannot be read in strips "
            f"and would need up to {needed / 1e9:.1f} GB; save it as {instead}"
        )
