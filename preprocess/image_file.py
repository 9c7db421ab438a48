"""A picture on disk: looked at, read in parts, and written with patches; never held whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.errors import OutputError
from common.progress import Progress
from common.types import ByteArray, PixelArray, Region, Size
from preprocess.image_pipeline import srgb_numbers, stored_numbers, upright
from preprocess.image_source import Header, load, raise_if_short, read_header, reading, vips
from preprocess.image_write import (
    Patch,
    check_output,
    check_size,
    encode,
    fit_format,
    insert,
    output_format,
    raise_if_full,
    replacing,
    run_with_progress,
)

if TYPE_CHECKING:
    import pyvips

__all__ = ["ImageFile", "Patch", "check_output", "output_format"]

# The orientation that some programs repeat in XMP, as attribute or as element.
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>))[1-8](?=["'<])""")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture file, of which only the header has been read.

    Sizes and regions are those of the upright picture (EXIF orientation applied). Every read
    decodes anew, in one pass from the top to the last row it needs; objects hold no file open
    and may be shared between threads.
    """

    _header: Header

    @classmethod
    def open(cls, path: Path, *, max_megapixels: float) -> ImageFile:
        """Look at the header of a JPEG, PNG or WebP file; content decides, not the suffix.

        Of an animated file the first frame is meant.

        Raises:
            FileMissingError: There is no such file, or it may not be read.
            UnsupportedFormatError: It is a picture of a format that is not accepted.
            UnreadableImageError: It is empty, no picture, or its header is damaged.
            ImageSizeError: More than ``max_megapixels``, a side shorter than 16 or longer than
                65 535 px, or a progressive JPEG, interlaced PNG or WebP, which only decode as a
                whole, that would take more than 1 GiB for it.
        """
        return cls(read_header(path, max_megapixels))

    @property
    def path(self) -> Path:
        return self._header.path

    @property
    def size(self) -> Size:
        """Upright size."""
        return self._header.orientation.size(self._header.stored)

    @property
    def format(self) -> str:
        """'jpeg', 'png' or 'webp'."""
        return self._header.format

    @property
    def depth(self) -> int:
        """Bits per channel of the pixels read: 8 or 16."""
        return self._header.depth

    @property
    def has_alpha(self) -> bool:
        return self._header.has_alpha

    @property
    def has_profile(self) -> bool:
        """Whether the file carries an ICC profile."""
        return self._header.has_profile

    def read(self, region: Region, at: Size | None = None) -> PixelArray:
        """The stored numbers of a region: what `write` writes there when no patch covers it.

        No profile is applied. Grey is repeated in three channels, alpha dropped, CMYK
        converted to sRGB.

        Args:
            region: Inside the picture scaled to ``at``, not empty.
            at: The size to which the whole picture is scaled; None for its own.

        Returns:
            H x W x 3 RGB, uint8 or uint16 as `depth` says.

        Raises:
            UnreadableImageError: The pixel data are damaged or end before the region does.
            MemoryLimitError: Memory ran out.
        """
        at = at or self.size
        with reading(self.path):
            image = stored_numbers(self._header, at)
            colours = image.extract_band(0, n=3 if image.bands >= 3 else 1)
            pixels = self._crop(colours, region, at)
        return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)

    def read_srgb(self, region: Region, at: Size | None = None) -> ByteArray:
        """A region in 8-bit sRGB, for looking at faces and for taking a source's pixels.

        The embedded profile is applied (one that is broken is ignored); transparency is laid
        on mid grey. Arguments and errors as in `read`.

        Returns:
            H x W x 3 RGB, uint8.
        """
        at = at or self.size
        with reading(self.path):
            return self._crop(srgb_numbers(self._header, at), region, at)

    def strips(self, at: Size, height: int, overlap: int) -> Iterator[tuple[int, ByteArray]]:
        """The sRGB picture at size ``at`` in horizontal strips, in one pass from the top.

        Each strip repeats the last ``overlap`` rows of the one before. Memory is bounded by
        the strips, except for a turned picture, which is computed whole first (on disk when
        large).

        Args:
            at: The size to which the whole picture is scaled.
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
            image = upright(srgb_numbers(self._header, at, in_steps=True), self._header)
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

    def write(
        self, output: Path, at: Size, patches: Sequence[Patch], quality: int, progress: Progress
    ) -> tuple[str, ...]:
        """Stream this picture at size ``at`` into ``output`` with ``patches`` laid over it.

        The format is that of the suffix. EXIF, XMP, IPTC, ICC profile and DPI are kept; the
        orientation is applied and its tag reset; a preview inside the EXIF block, which would
        still show the old picture, is dropped. The file appears complete or not at all and
        may be this picture's own.

        Args:
            output: The file to write or replace.
            at: The output's size.
            patches: In the order of laying; numbers and depth as `read` gives them.
            quality: 1-100 for JPEG (colour at full resolution from 90) and WebP.
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
        check_size(output, at)
        with replacing(output) as partial:
            try:
                return self._encode(partial, kind, at, patches, quality, progress)
            except vips().Error as error:
                raise_if_full(partial, output)
                raise_if_short(error, self.path)
                self._decode_all()
                raise OutputError(f"the output {output} could not be encoded: {error}") from error

    def copy_to(self, output: Path) -> None:
        """Write this very file, byte for byte, complete or not at all.

        Raises:
            OutputError: The file cannot be written there.
            DiskFullError: The disk is full.
            FileMissingError: This file has gone since it was opened.
        """
        with replacing(output) as partial, reading(self.path):
            shutil.copyfile(self.path, partial)

    def _encode(
        self,
        partial: Path,
        kind: str,
        at: Size,
        patches: Sequence[Patch],
        quality: int,
        progress: Progress,
    ) -> tuple[str, ...]:
        base = stored_numbers(self._header, at)
        if not self._header.orientation.is_upright:
            base = run_with_progress(base, lambda: upright(base, self._header), progress)
        image = _reset_metadata(insert(base, patches))
        image, lost = fit_format(image, kind)
        run_with_progress(image, lambda: encode(image, kind, partial, quality), progress)
        if self._header.is_cmyk:
            lost = ("CMYK colours were converted to sRGB", *lost)
        return lost

    def _crop(self, image: pyvips.Image, region: Region, at: Size) -> PixelArray:
        """A region of a picture that still lies as stored, upright."""
        if region.is_empty or region.clip(at) != region:
            raise ValueError(f"{region} is empty or lies outside {at}")
        turn = self._header.orientation
        stored = turn.stored_region(region, at)
        crop = image.crop(stored.x, stored.y, stored.width, stored.height)
        pixels = crop.numpy().reshape(stored.height, stored.width, image.bands)
        if turn.swap:
            pixels = pixels.swapaxes(0, 1)
        pixels = pixels[:: -1 if turn.flip_y else 1, :: -1 if turn.flip_x else 1]
        return np.ascontiguousarray(pixels)

    def _decode_all(self) -> None:
        """Tell a damaged picture from a failed write.

        Raises:
            UnreadableImageError: The picture does not decode to its end.
        """
        with reading(self.path):
            load(self.path, self.format).avg()


def _reset_metadata(image: pyvips.Image) -> pyvips.Image:
    """Metadata that stopped being true with the upright turn and the patches."""
    image = image.copy()
    fields = image.get_fields()
    if "orientation" in fields:
        image.set_type(vips().GValue.gint_type, "orientation", 1)
    if "jpeg-thumbnail-data" in fields:
        image.remove("jpeg-thumbnail-data")
    if "xmp-data" in fields:
        packet = _XMP_ORIENTATION.sub(rb"\g<1>1", image.get("xmp-data"))
        image.set_type(vips().GValue.blob_type, "xmp-data", packet)
    return image
