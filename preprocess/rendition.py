"""The whole target at the output's scale: read in strips for rendering, then written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import OutputError
from common.progress import Progress
from common.types import PixelArray, Region, Size
from preprocess.apart import Watch, read_apart
from preprocess.encoders import encode, encoding_like, fit_format, without_metadata
from preprocess.enlarge import enlarged
from preprocess.image_pipeline import (
    framed,
    stepwise,
    stored_numbers,
    upright,
)
from preprocess.image_source import (
    Header,
    Orientation,
    load,
    raise_if_short,
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
from preprocess.jpeg_bare import removed_by_encoding
from preprocess.jpeg_metadata import clean_xmp, lost_by_encoding
from preprocess.patch import Patch, insert
from preprocess.scratch import Scratch
from preprocess.strips import Rows, Strip, array_of, decoded

if TYPE_CHECKING:
    import pyvips


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

    def bands(self, region: Region, columns: int) -> list[Region]:
        """An upright region in parts that are columns of the stored picture.

        Args:
            region: Not empty.
            columns: Of the stored picture in a part; the parts are cut at the multiples of this
                number in upright coordinates.
        """
        turn = self._header.orientation
        return _cut(region, columns, replace(turn, swap=not turn.swap))

    def strips(
        self, region: Region, rows: int, margin: int = 0, progress: Progress | None = None
    ) -> Iterator[Strip]:
        """A region in parts, each read when it is asked for, in one pass of the decoder.

        Args:
            region: Upright; inside the picture, not empty.
            rows: Rows of the stored picture in a part. The parts are cut at the multiples of
                this number in upright coordinates.
            margin: Pixels that are seen around each part, on all sides.
            progress: Checked while a part is decoded.

        Raises:
            UnreadableImageError: The pixel data are damaged.
            MemoryLimitError: Memory ran out.
            StoppedError: ``progress`` ended the work.
        """
        if region.is_empty or region.clip(self.size) != region:
            raise ValueError(f"{region} is empty or lies outside {self.size}")
        whole = self.stored_region(region.grow(margin).clip(self.size))
        image, corner = self._source(whole)
        seen = Rows(whole.y, ())
        for part in _cut(region, rows, self._header.orientation):
            around = part.grow(margin).clip(self.size)
            place = self.stored_region(around)
            if seen.bottom < place.bottom:
                with reading(self._header.path):
                    crop = image.crop(
                        place.x - corner[0],
                        seen.bottom - corner[1],
                        place.width,
                        place.bottom - seen.bottom,
                    )
                    fresh = read_apart(partial(_decoded, crop), progress)
                seen = seen.rolled(place.y, fresh)
            else:
                seen = seen.rolled(place.y, ())
            yield self._strip(part, around, seen.arrays)

    def _strip(self, part: Region, around: Region, seen: Sequence[PixelArray]) -> Strip:
        colours, turn = seen[0], self._header.orientation
        under = np.broadcast_to(seen[-1], (*colours.shape[:2], 3))
        place = self.stored_region(part)
        inner = place.within(self.stored_region(around))
        working = np.array(under[inner])
        return Strip(
            region=part,
            pixels=turned(working, turn),
            around=around,
            under=turned(under, turn),
            stored_region=place,
            original=colours[inner],
            _header=self._header,
            _working=working,
            _before=under[inner] if len(seen) == 2 else None,
        )

    def write(
        self,
        output: Path,
        window: Region,
        patches: Sequence[Patch],
        quality: int | None,
        progress: Progress,
        *,
        bare: bool = False,
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
            bare: Leave out all metadata but ICC profile and DPI.

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
                image = without_metadata(image) if bare else _reset_metadata(image)
                image, lost = fit_format(image, kind)
                encoding = replace(encoding_like(self._header, kind, quality), bare=bare)
                run_with_progress(
                    image, lambda: encode(image, kind, partial, encoding, progress.check), progress
                )
                behind: tuple[str, ...] = ()
                if self._header.format == "jpeg":
                    behind = (removed_by_encoding if bare else lost_by_encoding)(self._header.path)
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


def _decoded(image: pyvips.Image, watched: Watch) -> tuple[PixelArray, ...]:
    return decoded(watched(image))


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
            return array_of(image.crop(0, first, image.width, after - first))

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
