"""The whole target at the output's scale: read in strips for rendering, then written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import OutputError
from common.progress import Progress
from common.types import PixelArray, Region, Size
from preprocess.colour import cmyk_patch
from preprocess.encoders import encode, encoding_like, fit_format
from preprocess.enlarge import enlarged
from preprocess.image_pipeline import (
    colours_of,
    framed,
    stepwise,
    stored_numbers,
    upright,
    working_numbers,
)
from preprocess.image_source import (
    Header,
    Orientation,
    load,
    raise_if_short,
    read_profile,
    reading,
    vips,
)
from preprocess.image_write import (
    check_size,
    output_format,
    raise_if_full,
    replacing,
    run_with_progress,
)
from preprocess.jpeg_metadata import clean_xmp, lost_by_encoding
from preprocess.patch import Patch, insert
from preprocess.scratch import Scratch, with_meaning

if TYPE_CHECKING:
    import pyvips

_LUMA = (19_595, 38_470, 7_471)  # Rec. 601, in 65536ths: they sum to exactly 1


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A part of the picture, as the upright pixels that faces are fused in.

    region: upright, at the output's scale. pixels: H x W x 3, uint8 or uint16, to be changed in
    place. stored_region: where it lies in the picture as stored. original: H x W x C, colour
    channels and orientation of the file, before the change.
    """

    region: Region
    pixels: PixelArray
    stored_region: Region
    original: PixelArray
    _header: Header
    _working: PixelArray  # what ``pixels`` is a view of: as stored, H x W x 3
    _before: PixelArray | None  # a copy of that before the change, where the file holds inks

    def stored(self) -> PixelArray:
        """The part with the changes, H x W x C: colour channels and orientation of the file.

        Numbers of pixels that were not changed are the stored ones. On a grey picture the
        luma of a change is taken, which leaves R = G = B exactly as it is; with inks, the
        difference that the change makes is added to those that are there.
        """
        if self.original.shape[2] == 1:
            return _luma(self._working)[..., None]
        if self._before is None:
            return self._working
        return cmyk_patch(self.original, self._before, self._working, read_profile(self._header))


class Rendition(AbstractContextManager["Rendition"]):
    """The whole picture at one size; a context manager, because an enlarged one lies on disk.

    Attributes:
        size: Upright size.
    """

    def __init__(
        self,
        header: Header,
        size: Size,
        enlarged: Scratch | None,
        kept: Sequence[tuple[Region, pyvips.Image]],
    ) -> None:
        self.size = size
        self._header = header
        self._enlarged = enlarged
        self._kept = kept

    @classmethod
    def of(
        cls,
        header: Header,
        size: Size,
        kept: Sequence[tuple[Region, pyvips.Image]],
        progress: Progress,
    ) -> Rendition:
        """See `preprocess.image_file.ImageFile.rendition`.

        Args:
            header: The file.
            size: Upright.
            kept: Parts that are in memory: upright regions at ``size`` and all their stored
                channels.
            progress: Advanced and checked while the picture is enlarged.
        """
        own = header.orientation.size(header.stored)
        scratch = None
        if size.width > own.width or size.height > own.height:
            scratch = _enlarge(header, size, progress)
        return cls(header, size, scratch, kept)

    def __exit__(self, *_: object) -> None:
        if self._enlarged is not None:
            self._enlarged.close()

    @property
    def channels(self) -> int:
        """Colour channels of the file: 1, 3 or 4."""
        return self._header.bands - self._header.has_alpha

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the file's numbers: uint8 or uint16."""
        return np.dtype(np.uint16 if self._header.depth == 16 else np.uint8)

    @property
    def bytes_per_pixel(self) -> int:
        return self.channels * self.dtype.itemsize

    def stored_region(self, region: Region) -> Region:
        """Where an upright region lies in the picture as it is stored."""
        return self._header.orientation.stored_region(region, self.size)

    def strips(self, region: Region, rows: int) -> Iterator[Strip]:
        """A region in parts, each read when it is asked for, in one pass of the decoder.

        Args:
            region: Upright; inside the picture, not empty.
            rows: Rows of the stored picture in a part. The parts are cut at the multiples of
                this number in upright coordinates.

        Raises:
            UnreadableImageError: The pixel data are damaged.
            MemoryLimitError: Memory ran out.
        """
        if region.is_empty or region.clip(self.size) != region:
            raise ValueError(f"{region} is empty or lies outside {self.size}")
        image, corner = self._source(self.stored_region(region))
        for part in _cut(region, rows, self._header.orientation):
            stored = self.stored_region(part)
            with reading(self._header.path):
                crop = image.crop(
                    stored.x - corner[0], stored.y - corner[1], stored.width, stored.height
                )
                yield self._strip(part, crop)

    def _strip(self, part: Region, crop: pyvips.Image) -> Strip:
        # Decoded once: both kinds of numbers come from the copy in memory.
        colours = _array(colours_of(crop))
        before = None
        if colours.shape[2] == 4:
            inks = vips().Image.new_from_array(colours)
            before = _array(working_numbers(with_meaning(inks, crop)))
            working = before.copy()
        else:
            working = np.repeat(colours, 3 // colours.shape[2], axis=2)
        pixels = turned(working, self._header.orientation)
        place = self.stored_region(part)
        return Strip(part, pixels, place, colours, self._header, working, before)

    def write(
        self,
        output: Path,
        window: Region,
        patches: Sequence[Patch],
        quality: int | None,
        progress: Progress,
    ) -> tuple[str, ...]:
        """Stream the picture into ``output`` with ``patches`` laid over it.

        The format is that of the suffix. EXIF, XMP, IPTC, ICC profile and DPI are kept; the
        orientation is applied and its tag reset; a preview inside the EXIF block, which would
        still show the old picture, is dropped. The file appears complete or not at all and
        may be the target itself.

        Args:
            output: The file to write or replace.
            window: What is written, upright; where it reaches outside, the picture is reflected.
            patches: In the order of laying.
            quality: 1-100 for lossy formats; None for that of a JPEG, else 95.
            progress: Advanced and checked while the file is encoded.

        Returns:
            A sentence for everything that the format cannot hold.

        Raises:
            UnsupportedFormatError: The suffix is not one that can be written.
            OutputError: The file cannot be written there, or is too large for the format.
            UnreadableImageError: This picture's pixel data are damaged.
            DiskFullError: The disk of the output or of the temporary folder is full.
            MemoryLimitError: Memory ran out.
            StoppedError: Cancelled or out of time.
        """
        kind = output_format(output)
        check_size(output, window.size, self._header.depth, self._header.has_alpha)
        with replacing(output) as partial:
            try:
                what = f"turning or reflecting {self._header.path}"
                image = insert(self._image(), patches)
                image = upright(image, self._header, progress)
                image = framed(image, window, what, progress)
                image, lost = fit_format(_reset_metadata(image), kind)
                encoding = encoding_like(self._header, kind, quality)
                run_with_progress(
                    image, lambda: encode(image, kind, partial, encoding, progress.check), progress
                )
                behind = (
                    lost_by_encoding(self._header.path) if self._header.format == "jpeg" else ()
                )
                return (*self._header.losses, *behind, *lost)
            except vips().Error as error:
                raise_if_full(partial, output)
                raise_if_short(error, self._header.path)
                self._decode_all()
                raise OutputError(f"the output {output} could not be encoded: {error}") from error

    def _image(self) -> pyvips.Image:
        if self._enlarged is None:
            return stored_numbers(self._header, self.size)
        return self._enlarged.image(stored_numbers(self._header, self._own_size))

    @property
    def _own_size(self) -> Size:
        return self._header.orientation.size(self._header.stored)

    def _source(self, stored: Region) -> tuple[pyvips.Image, tuple[int, int]]:
        """A picture that holds a stored region, and where its top-left pixel lies."""
        for region, image in self._kept:
            place = self.stored_region(region)
            if place.intersect(stored) == stored:
                return image, (place.x, place.y)
        if self._enlarged is not None:
            return self._image(), (0, 0)
        with reading(self._header.path):
            image = stepwise(self._header, stored, self.size, Progress())
        return image, (stored.x, stored.y)

    def _decode_all(self) -> None:
        """Tell a damaged picture from a failed write.

        Raises:
            UnreadableImageError: The picture does not decode to its end.
        """
        with reading(self._header.path):
            load(self._header.path, self._header.format).avg()


def turned(pixels: PixelArray, turn: Orientation) -> PixelArray:
    """The upright view of an array that lies as stored."""
    if turn.swap:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if turn.flip_y else 1, :: -1 if turn.flip_x else 1]


def _cut(region: Region, rows: int, turn: Orientation) -> list[Region]:
    """An upright region in parts that are rows of the stored picture, from its top."""
    if turn.swap:
        edges = _edges(region.x, region.right, rows)
        parts = [Region(a, region.y, b - a, region.height) for a, b in edges]
    else:
        edges = _edges(region.y, region.bottom, rows)
        parts = [Region(region.x, a, region.width, b - a) for a, b in edges]
    backwards = turn.flip_x if turn.swap else turn.flip_y
    return parts[::-1] if backwards else parts


def _edges(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    inner = range((start // step + 1) * step, stop, step)
    edges = [start, *inner, stop]
    return list(itertools.pairwise(edges))


def _enlarge(header: Header, size: Size, progress: Progress) -> Scratch:
    own = header.orientation.size(header.stored)
    goal = header.orientation.size(size)
    with reading(header.path):
        image = stepwise(header, Region.whole(header.stored), own, progress)

    def read(first: int, after: int) -> PixelArray:
        with reading(header.path):
            return _array(image.crop(0, first, image.width, after - first))

    def rows() -> Iterator[PixelArray]:
        done = 0
        for strip in enlarged(
            read,
            header.stored,
            goal,
            has_alpha=header.has_alpha,
            is_light=image.interpretation != "cmyk",
        ):
            done += len(strip)
            progress.advance(done / goal.height)
            yield strip

    depth = np.dtype(np.uint16 if header.depth == 16 else np.uint8)
    return Scratch.of_rows(goal, image.bands, depth, rows(), f"enlarging {header.path}")


def _array(image: pyvips.Image) -> PixelArray:
    """H x W x C."""
    pixels: PixelArray = image.numpy().reshape(image.height, image.width, image.bands)
    return pixels


def _luma(pixels: PixelArray) -> PixelArray:
    """H x W of the same depth."""
    wide = pixels.astype(np.uint32)
    red, green, blue = _LUMA
    luma = red * wide[..., 0] + green * wide[..., 1] + blue * wide[..., 2] + 32_768
    return (luma >> 16).astype(pixels.dtype)


def _reset_metadata(image: pyvips.Image) -> pyvips.Image:
    """Metadata that stopped being true with the upright turn and the patches."""
    image = image.copy()
    fields = image.get_fields()
    if "orientation" in fields:
        image.set_type(vips().GValue.gint_type, "orientation", 1)
    if "jpeg-thumbnail-data" in fields:
        image.remove("jpeg-thumbnail-data")
    if "xmp-data" in fields:
        packet = clean_xmp(image.get("xmp-data"))
        image.set_type(vips().GValue.blob_type, "xmp-data", packet)
    return image
