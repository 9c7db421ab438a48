"""A picture on disk: looked at, read in parts, rendered at a size; never held whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.errors import FileMissingError
from common.progress import Progress
from common.types import ByteArray, Region, Size
from preprocess.apart import Watch, read_apart
from preprocess.canvas import Canvas
from preprocess.image_pipeline import (
    Decoded,
    decoded,
    numbers_for,
    shown_numbers,
    srgb_numbers,
    stepwise,
    stored_numbers,
    upright,
    working_numbers,
)
from preprocess.image_source import Header, read_header, read_profile, reading
from preprocess.image_write import check_output, filling, output_format, replacing
from preprocess.libvips import return_free_blocks
from preprocess.parts import crop, read_parts
from preprocess.patch import Patch
from preprocess.rendition import Rendition, turned
from preprocess.strips import array_of
from preprocess.window import Window, scaled_size

if TYPE_CHECKING:
    import pyvips

__all__ = ["ImageFile", "Patch", "Rendition", "check_output", "output_format"]


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """A part of the picture in memory: stored numbers, stored orientation, all channels."""

    at: Size  # upright size of the whole picture at this part's scale
    region: Region  # upright, in the picture at that scale
    image: pyvips.Image


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the pixels of a view lie."""

    at: Size  # upright size of the whole picture that they were cut from
    region: Region  # upright, in the picture of that size
    shrink: int = 1  # then made smaller by this


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture file, of which only the header has been read.

    Sizes and regions are those of the upright picture (EXIF orientation applied). Every read
    decodes anew, in one pass from the top to the last row it needs, except inside the parts
    that `keeping` has read; objects hold no file open and may be shared between threads.
    """

    header: Header
    _kept: tuple[_Kept, ...] = ()
    _decoded: Decoded | None = None

    @classmethod
    def open(cls, path: Path, *, max_megapixels: float) -> ImageFile:
        """Look at the header of a picture file; content decides, not the suffix.

        Raises:
            FileMissingError: There is no such file, or it may not be read.
            UnsupportedFormatError: It is a picture of a format that is not accepted.
            UnreadableImageError: It is empty, no picture, or its header is damaged.
            ImageSizeError: More than ``max_megapixels``, a side shorter than 16 or longer than
                65 535 px, or of a kind that only decodes as a whole and would take more than
                1 GiB for it.
        """
        return cls(read_header(path, max_megapixels))

    @property
    def path(self) -> Path:
        return self.header.path

    @property
    def size(self) -> Size:
        """Upright size."""
        return self.header.orientation.size(self.header.stored)

    @property
    def format(self) -> str:
        """By content: 'jpeg', 'png', 'webp', 'tiff', 'avif', 'heic' or 'gif'."""
        return self.header.format

    @property
    def depth(self) -> int:
        """Bits per channel of the pixels read: 8 or 16."""
        return self.header.depth

    @property
    def has_alpha(self) -> bool:
        return self.header.has_alpha

    @property
    def is_rgb(self) -> bool:
        """Whether its colours are stored as red, green and blue, not as grey or inks."""
        return not self.header.is_cmyk and self.header.bands - self.header.has_alpha == 3

    @property
    def has_profile(self) -> bool:
        """Whether the file carries an ICC profile."""
        return self.header.has_profile

    def decoded(self, progress: Progress) -> ImageFile:
        """The same picture with the whole of it in memory, as it is decoded to be looked over.

        For those who look for faces and show it as well. Nothing is read where it would take
        more than 128 MiB.

        Raises:
            UnreadableImageError: The pixel data are damaged.
            MemoryLimitError: Memory ran out.
            StoppedError: ``progress`` ended the work.
        """
        with reading(self.path):
            return replace(self, _decoded=decoded(self.header, progress))

    def keeping(
        self, regions: Sequence[Region], factor: float, progress: Progress | None = None
    ) -> ImageFile:
        """The same picture with parts in memory, from which `view` and renditions read.

        Args:
            regions: In pixels of the picture, clipped to it; read in one pass.
            factor: At most 1; the scale at which they are kept.
            progress: Checked meanwhile.

        Raises:
            UnreadableImageError: The pixel data are damaged or end early.
            MemoryLimitError: Memory ran out.
        """
        at = scaled_size(self.size, min(1.0, factor))
        parts = [_scaled(region, self.size, at) for region in regions]
        with reading(self.path):
            images = read_parts(self.header, at, parts, self._decoded, progress)
        return_free_blocks()  # the decoder's rows
        kept = tuple(_Kept(at, part, image) for part, image in zip(parts, images, strict=True))
        return replace(self, _kept=(*self._kept, *kept))

    def keeping_only(self, regions: Sequence[Region]) -> ImageFile:
        """The same picture, without the parts in memory that touch none of ``regions``."""
        used = [
            kept
            for kept in self._kept
            if any(
                not _scaled(region, self.size, kept.at).intersect(kept.region).is_empty
                for region in regions
            )
        ]
        return replace(self, _kept=tuple(used))

    def view(self, region: Region, factor: float, progress: Progress | None = None) -> Window:
        """A part in the numbers that faces are fused in.

        Stored numbers without any profile applied; grey is repeated in three channels, alpha
        dropped, inks (CMYK) converted to sRGB.

        Args:
            region: In pixels of the picture; what lies outside it is left out.
            factor: The scale wanted, at most 1; the answer may be finer.
            progress: Checked meanwhile.

        Returns:
            A window of uint8 or uint16 pixels, as `depth` says.

        Raises:
            UnreadableImageError: The pixel data are damaged or end before the region does.
            MemoryLimitError: Memory ran out.
        """
        with reading(self.path):
            return self._viewed(region, factor, working_numbers, progress)

    def view_srgb(self, region: Region, factor: float) -> Window:
        """Likewise in 8-bit sRGB, for finding faces: the profile applied, alpha on mid grey."""
        with reading(self.path):
            return self._viewed(region, factor, srgb_numbers, None)

    def view_for(
        self, other: ImageFile, region: Region, factor: float, progress: Progress | None = None
    ) -> Window:
        """Likewise in the numbers that ``other`` is fused in: its profile's, at its depth.

        16 bits only where both pictures have them.
        """
        profile = None
        if other.has_profile and other.is_rgb:
            with reading(other.path):
                profile = read_profile(other.header)
        depth = min(self.depth, other.depth)
        with reading(self.path):
            convert = partial(numbers_for, profile=profile, depth=depth)
            return self._viewed(region, factor, convert, progress)

    def read_srgb(self, region: Region, at: Size | None = None) -> ByteArray:
        """A region in 8-bit sRGB, as `view_srgb`, at an exact size of the picture.

        The embedded profile is applied (one that is broken is ignored); transparency is laid
        on mid grey.

        Args:
            region: Inside the picture scaled to ``at``, not empty.
            at: The size to which the whole picture is reduced; None for its own.

        Returns:
            H x W x 3 RGB, uint8.

        Raises:
            UnreadableImageError: The pixel data are damaged or end before the region does.
            MemoryLimitError: Memory ran out.
        """
        at = at or self.size
        if region.is_empty or region.clip(at) != region:
            raise ValueError(f"{region} is empty or lies outside {at}")
        with reading(self.path):
            image = stored_numbers(self.header, at, self._decoded)
            part = crop(image, self.header.orientation.stored_region(region, at))
            return turned(array_of(srgb_numbers(part)), self.header.orientation)

    def strips(self, at: Size, height: int, overlap: int) -> Iterator[tuple[int, ByteArray]]:
        """The sRGB picture at size ``at`` in horizontal strips, in one pass from the top.

        Each strip repeats the last ``overlap`` rows of the one before. Memory is bounded by
        the strips, except for a turned picture, which is computed whole first (on disk when
        large).

        Args:
            at: The size to which the whole picture is reduced.
            height: Rows of a strip; the last may have fewer.
            overlap: Rows that neighbours share, fewer than ``height``.

        Yields:
            (top row, H x W x 3 RGB uint8).

        Raises:
            UnreadableImageError: The pixel data are damaged or end early.
            MemoryLimitError: Memory ran out.
            DiskFullError: No room for the temporary file of a large turned picture.
        """
        if not 0 <= overlap < height:
            raise ValueError(f"strips of {height} rows cannot overlap by {overlap}")
        with reading(self.path):
            stored = Region.whole(self.header.orientation.size(at))
            image = stepwise(self.header, stored, at, Progress(), self._decoded)
            image = srgb_numbers(image)
            image = upright(image, self.header, Progress())
        top, kept = 0, np.empty((0, at.width, 3), np.uint8)
        while True:
            start, stop = top + len(kept), min(top + height, at.height)
            with reading(self.path):
                rows = image.crop(0, start, at.width, stop - start).numpy()
            strip = np.concatenate([kept, rows])
            yield top, strip
            if stop == at.height:
                return
            top, kept = stop - overlap, strip[len(strip) - overlap :]

    def rendition(self, at: Size, progress: Progress) -> Rendition:
        """The whole picture at size ``at``, to be rendered on and written; to be closed.

        Raises:
            UnreadableImageError: The pixel data are damaged.
            DiskFullError: No room for the temporary file of an enlarged picture.
            StoppedError: ``progress`` ended the work.
        """
        own = [(kept.region, kept.image) for kept in self._kept if kept.at == self.size]
        return Rendition.of(self.header, at, own if at == self.size else [], progress)

    def shown(self, at: Size, progress: Progress) -> ByteArray:
        """The whole picture as it is looked at: 8-bit sRGB, upright, reduced to size ``at``.

        Returns:
            H x W x 3 RGB, uint8.

        Raises:
            UnreadableImageError: The pixel data are damaged.
            MemoryLimitError: Memory ran out.
            StoppedError: ``progress`` ended the work.
        """
        with reading(self.path):
            pixels = read_apart(
                lambda watched: array_of(
                    watched(srgb_numbers(shown_numbers(self.header, at, self._decoded)))
                ),
                progress,
            )
            return turned(pixels, self.header.orientation)

    def canvas(self, at: Size, progress: Progress) -> Canvas:
        """The whole picture in memory, reduced to size ``at``; no file is held open.

        Raises:
            UnreadableImageError: The pixel data are damaged.
            MemoryLimitError: Memory ran out.
            StoppedError: ``progress`` ended the work.
        """
        return Canvas.of(self.header, at, progress)

    def copy_to(self, output: Path) -> None:
        """Write this very file, byte for byte, complete or not at all.

        Raises:
            OutputError: The file cannot be written there.
            DiskFullError: The disk is full.
            FileMissingError: This file has gone since it was opened.
        """
        try:
            source = self.path.open("rb")
        except OSError as error:
            raise FileMissingError(f"{self.path} cannot be read: {error.strerror}") from error
        with source, replacing(output) as partial, filling(output), partial.open("wb") as copy:
            shutil.copyfileobj(source, copy)

    def _cut(self, region: Region, factor: float) -> tuple[pyvips.Image, _Place]:
        """Stored numbers of a region at ``factor`` or finer, and where they lie."""
        wanted = scaled_size(self.size, min(1.0, factor))
        turn = self.header.orientation
        for kept in sorted(self._kept, key=lambda one: one.at.longer):
            part = _scaled(region, self.size, kept.at)
            if kept.at.longer < wanted.longer or kept.region.intersect(part) != part:
                continue
            shrink = min(kept.at.longer // wanted.longer, part.width, part.height)
            part = Region(
                part.x, part.y, part.width // shrink * shrink, part.height // shrink * shrink
            )
            inner = turn.stored_region(part, kept.at)
            outer = turn.stored_region(kept.region, kept.at)
            image = kept.image.crop(inner.x - outer.x, inner.y - outer.y, inner.width, inner.height)
            if shrink > 1:
                image = image.shrink(shrink, shrink)
            return image, _Place(kept.at, part, shrink)
        part = _scaled(region, self.size, wanted)
        stored = turn.stored_region(part, wanted)
        image = stored_numbers(self.header, wanted, self._decoded)
        return crop(image, stored), _Place(wanted, part)

    def _viewed(
        self,
        region: Region,
        factor: float,
        convert: Callable[[pyvips.Image], pyvips.Image],
        progress: Progress | None,
    ) -> Window:
        def read(watched: Watch) -> Window:
            image, place = self._cut(region, factor)
            return self._window(watched(convert(image)), place)

        return read_apart(read, progress)

    def _window(self, image: pyvips.Image, place: _Place) -> Window:
        pixels = np.ascontiguousarray(turned(array_of(image), self.header.orientation))
        return Window.of(pixels, place.region, place.at, self.size, place.shrink)


def _scaled(region: Region, size: Size, at: Size) -> Region:
    region = region.clip(size)
    return region.scale(at.width / size.width, at.height / size.height).clip(at)
