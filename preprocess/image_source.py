"""Opening picture files: what is accepted, what their headers say, and their pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ImageSizeError, UnsupportedFormatError
from common.types import Region, Size
from preprocess import loaders, tiff
from preprocess.image_format import (
    ACCEPTED,
    NAMES,
    TIFF_NUMBERS,
    check_tiff,
    is_sequence,
    png_frames,
    read_head,
    recognise,
    tiff_memory,
)
from preprocess.libvips import (
    DISK_FULL,
    damaged,
    raise_if_short,
    reading,
    temporary_folder_full,
    vips,
)

if TYPE_CHECKING:
    import pyvips

__all__ = [
    "ACCEPTED",
    "DISK_FULL",
    "MAX_SIDE",
    "MIN_SIDE",
    "Header",
    "Orientation",
    "jpeg_shrink",
    "load",
    "raise_if_short",
    "read_header",
    "read_profile",
    "reading",
    "temporary_folder_full",
    "vips",
]

MIN_SIDE = 16
"""Shortest side of a picture in pixels; nothing smaller can hold a face."""
MAX_SIDE = 65_535
"""Longest side: the most that a JPEG's header can name, though libjpeg neither reads nor writes
more than 65 500. libvips holds whole rows, so few but endless ones cost gigabytes."""
_JPEG_SHRINKS = (8, 4, 2)

# Largest shift, in output pixels, that a JPEG decoded at 1/2, 1/4 or 1/8 may bring at the far
# edge when its side is no multiple of the factor (the decoder rounds the side up).
_SHRINK_SHIFT = 0.1

# What decoders may hold of a picture that they cannot read in strips. Measured with libvips 8.18
# on 15 to 36 megapixels, in bytes per pixel, of which about 0.4 are for the strips handed on:
# progressive JPEG 6.3 (grey 2.2, CMYK 8.9, colour at half the resolution 3.4), interlaced PNG 3.0
# (grey 1.0, RGBA of 16 bits 7.9), WebP 8.0 (lossy or lossless, with or without alpha), AVIF 18.8
# to 21.4 (with alpha too; 10 and 12 bits 25.0), HEIC 10.3 (with alpha 14.2; 10 and 12 bits 18.9 and
# 28.7), GIF 5.5. TIFF: see `tiff_memory`.
_DECODER_MEMORY = 2**30
_COEFFICIENT_BYTES = 2
_BYTES_PER_PIXEL = {"webp": 8, "avif": 22, "heic": 11, "gif": 6}
_BYTES_PER_DEEP_PIXEL = {"avif": 28, "heic": 19}
_BYTES_PER_ALPHA = {"heic": 5}  # of 8 bits; of 16 twice as many

_PLAIN_FORMATS = ("uchar", "ushort")


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

    format: 'jpeg', 'png', 'webp', 'tiff', 'avif', 'heic' or 'gif', by content. stored: the size
    before the orientation. depth: bits per channel of the numbers that `load` gives, 8 or 16;
    bits: of those in the file, such as 1, 10 or 12. bands: channels that `load` gives, alpha
    included. layout: how the pixels of a TIFF lie in it. warnings: sentences about what the file
    holds besides this picture; losses: about what its form of numbers loses when it is written
    anew. decoder_mb: MiB that decoding holds of a picture that cannot be read in strips, at most.
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
    bits: int = 8
    layout: tiff.TiffLayout | None = None
    warnings: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    decoder_mb: float = 0.0


def read_header(path: Path, max_megapixels: float) -> Header:
    """Look at a file without decoding pixels.

    Raises:
        FileMissingError: There is no such file, or it may not be read.
        UnsupportedFormatError: It is a picture of a format, or with a kind of numbers, that is
            not accepted.
        UnreadableImageError: It is empty, no picture, or its header is damaged.
        ImageSizeError: More than ``max_megapixels``, a side shorter than `MIN_SIDE` or longer
            than `MAX_SIDE`, or of a kind that must be decoded whole and too large for that.
    """
    head = read_head(path)
    kind = recognise(path, head)
    if kind == "png" and len(head) >= 24:
        # libpng answers an empty picture with the same failure as a damaged file.
        width, height = struct.unpack_from(">II", head, 16)
        _check_size(path, width, height, max_megapixels)
    layout = _look_into_tiff(path, max_megapixels) if kind == "tiff" else None
    with reading(path):
        image = loaders.look(path, kind)
    _check_size(path, image.width, image.height, max_megapixels)
    fields = image.get_fields()
    if kind == "heif":
        kind = _codec(path, image)
    needed = _check_decoder_memory(path, kind, image)
    _check_numbers(path, image)
    alpha = bool(image.hasalpha())
    numbers, losses = loaders.unfolded(image)
    orientation = image.get("orientation") if "orientation" in fields else 1
    depth = 16 if numbers.format == "ushort" else 8
    return Header(
        path=path,
        format=kind,
        stored=Size(image.width, image.height),
        orientation=Orientation.from_exif(orientation),
        depth=depth,
        bands=numbers.bands,
        has_alpha=alpha,
        has_profile="icc-profile-data" in numbers.get_fields(),
        is_cmyk=numbers.interpretation == "cmyk",
        bits=image.get("bits-per-sample") if "bits-per-sample" in fields else depth,
        layout=layout,
        warnings=_other_pictures(path, kind, head, image),
        losses=losses,
        decoder_mb=needed / 2**20,
    )


def load(path: Path, kind: str, shrink: int = 1) -> pyvips.Image:
    """Open a file of a known format for one pass from top to bottom.

    Only the loader that belongs to the format is ever asked, so that a file cannot choose a
    decoder. A file whose pixel data end early fails when its last rows are read; a strange byte
    that the decoder can skip does not. HEIC alone is decoded here and now, whole.

    The numbers are 1-4 channels (CMYK with alpha: 5) of 8 or 16 bits, alpha last and never
    multiplied into the colours. 10 and 12 bits are spread over the range of 16, so that white
    is 65535; shifting right gives the stored numbers back. CIELAB comes as sRGB.

    Args:
        path: The file.
        kind: `Header.format`.
        shrink: Decode a JPEG at 1/1, 1/2, 1/4 or 1/8.

    Raises:
        pyvips.Error: It is damaged or gone. Wrap calls in `reading`.
    """
    return loaders.load(path, kind, shrink)


def read_profile(header: Header) -> bytes | None:
    """The ICC profile of a file, read from it anew.

    Raises:
        UnreadableImageError: The file has gone or changed.
    """
    if not header.has_profile:
        return None
    with reading(header.path):
        return bytes(loaders.look(header.path, header.format).get("icc-profile-data"))


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


def _check_decoder_memory(path: Path, kind: str, image: pyvips.Image) -> int:
    """The limit of pixels bounds memory only where a decoder works in strips; this the rest.

    Returns:
        Bytes that decoding will hold at most; 0 for a decoder that works in strips.

    Raises:
        ImageSizeError: They are more than 1 GiB.
    """
    fields = image.get_fields()
    deep = image.format == "ushort"
    pixels = image.width * image.height
    instead = "a PNG or a baseline JPEG"
    if kind == "jpeg" and "jpeg-multiscan" in fields and image.get("jpeg-multiscan"):
        # A decoder holds the coefficients of all channels; fewer of colour if it is subsampled,
        # but the header's word for that does not bound it.
        needed = int(pixels * _COEFFICIENT_BYTES * image.bands)
        what, instead = "a progressive JPEG", "a baseline JPEG"
    elif kind == "png" and "interlaced" in fields:
        needed = pixels * image.bands * (2 if deep else 1)
        what, instead = "an interlaced PNG", "a PNG without interlacing"
    else:
        per_pixel = (_BYTES_PER_DEEP_PIXEL if deep else _BYTES_PER_PIXEL).get(kind, 0)
        if image.hasalpha():
            per_pixel += _BYTES_PER_ALPHA.get(kind, 0) * (2 if deep else 1)
        needed = pixels * per_pixel
        what = f"an {NAMES[kind]} picture" if kind == "avif" else f"a {NAMES[kind]} picture"
    _refuse_memory(path, what, f"{image.width}x{image.height}", needed, instead)
    return needed


def _refuse_memory(path: Path, what: str, size: str, needed: int, instead: str) -> None:
    if needed > _DECODER_MEMORY:
        raise ImageSizeError(
            f"{path} is {what} of {size}, which cannot be read in strips and would need up to "
            f"{needed / 1e9:.1f} GB; save it as {instead}"
        )


def _look_into_tiff(path: Path, max_megapixels: float) -> tiff.TiffLayout:
    """The layout of a TIFF, after its own words were checked, before libtiff believes them.

    Raises:
        UnreadableImageError: Its directory is damaged.
        UnsupportedFormatError: It holds no finished photograph.
        ImageSizeError: It is too large, or its strips or tiles are.
    """
    try:
        with path.open("rb") as file:
            directory = tiff.read_directory(file)
            check_tiff(path, file, directory)
            width, height = (tiff.number(file, directory, tag, 0) for tag in tiff.SIDES)
            _check_size(path, width, height, max_megapixels)
            needed, size = tiff_memory(file, directory), f"{width}x{height}"
            instead = "a TIFF in strips of few rows or in small tiles"
            _refuse_memory(path, "a TIFF in large pieces", size, needed, instead)
            return tiff.read_layout(file, directory)
    except (tiff.TiffError, OSError) as error:
        raise damaged(path) from error


def _codec(path: Path, image: pyvips.Image) -> str:
    """Which of the formats in the HEIF container a file is.

    Raises:
        UnsupportedFormatError: Neither AVIF nor HEIC.
    """
    codec = image.get("heif-compression")
    kind = {"av1": "avif", "hevc": "heic"}.get(codec)
    if kind is None:
        raise UnsupportedFormatError(
            f"{path} is a HEIF picture coded as {codec}, which is not accepted; convert it to "
            f"{ACCEPTED}"
        )
    return kind


def _check_numbers(path: Path, image: pyvips.Image) -> None:
    """Refuse what cannot be meant as a photograph of 8 or 16 bits.

    Raises:
        UnsupportedFormatError: Other numbers or channels; the message says which are accepted.
    """
    colours = image.bands - (1 if image.hasalpha() else 0)
    lab = image.interpretation in ("lab", "labs")
    if image.format not in _PLAIN_FORMATS and not lab:
        names = {"float": "floating-point", "double": "floating-point"}
        what = names.get(
            image.format, f"{'signed' if image.format in ('char', 'short') else '32-bit'}"
        )
        raise UnsupportedFormatError(f"{path} holds {what} numbers; accepted are {TIFF_NUMBERS}")
    known = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb": 3, "rgb16": 3, "cmyk": 4, "lab": 3, "labs": 3}
    if known.get(image.interpretation) != colours:
        raise UnsupportedFormatError(
            f"{path} has {image.bands} channels that do not make a photograph; accepted are grey, "
            "RGB, CMYK and CIELAB, each with or without one alpha channel"
        )


def _other_pictures(path: Path, kind: str, head: bytes, image: pyvips.Image) -> tuple[str, ...]:
    """A sentence if the file holds more pictures than the one that is used.

    Raises:
        UnreadableImageError: The file has gone or changed.
    """
    count = image.get("n-pages") if "n-pages" in image.get_fields() else 1
    if kind == "png":
        count = png_frames(path)
    elif kind == "tiff":
        try:
            with path.open("rb") as file:
                count = tiff.pages(file)
        except (tiff.TiffError, OSError) as error:  # it has changed since it was looked into
            raise damaged(path) from error
    if is_sequence(head):
        return (f"{path} is an animation or a burst; its first frame is used",)
    if count <= 1:
        return ()
    if kind == "tiff":
        return (f"{path} has {count} pages; the first one is used",)
    if kind in ("avif", "heic"):
        return (f"{path} holds {count} pictures; its primary one is used",)
    return (f"{path} is an animation of {count} frames; the first one is used",)
