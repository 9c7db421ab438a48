"""A whole picture in memory at a reduced size: fused on again and again, and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.progress import Progress
from common.types import ByteArray, PixelArray, Region, Size
from preprocess.apart import read_apart
from preprocess.image_pipeline import shown_numbers, srgb_numbers, working_numbers
from preprocess.image_source import Header, reading, vips
from preprocess.rendition import turned
from preprocess.scratch import with_meaning
from preprocess.strips import array_of, luma

if TYPE_CHECKING:
    import pyvips

Change = tuple[Region, PixelArray]
"""An upright region and its new pixels, H x W x 3, in the numbers that faces are fused in."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """The picture before any change; safe to use from several threads.

    pixels: H x W x 3 uint8 or uint16, upright, in the numbers that faces are fused in. srgb:
    H x W x 3 uint8, as it is shown.
    """

    pixels: PixelArray
    srgb: ByteArray
    _header: Header
    _stored: PixelArray  # H x W x C as in the file, upright
    _like: pyvips.Image  # what those numbers mean

    @classmethod
    def of(cls, header: Header, at: Size, progress: Progress) -> Canvas:
        """See `preprocess.image_file.ImageFile.canvas`."""
        with reading(header.path):
            image = read_apart(
                lambda watched: watched(shown_numbers(header, at)).copy_memory(), progress
            )
            stored, working, shown = (
                np.ascontiguousarray(turned(array_of(each), header.orientation))
                for each in (image, working_numbers(image), srgb_numbers(image))
            )
        like = image.crop(0, 0, 1, 1).copy_memory()
        return cls(working, shown, header, stored, like)

    @property
    def size(self) -> Size:
        return Size(self.pixels.shape[1], self.pixels.shape[0])

    @property
    def held_bytes(self) -> int:
        """What its pixels take."""
        return self.pixels.nbytes + self.srgb.nbytes + self._stored.nbytes

    def shown(self, changes: Sequence[Change]) -> ByteArray:
        """The picture with changes as 8-bit sRGB, as its file would be shown; H x W x 3.

        Inks are shown as they are wanted, though those that are written may come only near.
        """
        result: ByteArray = self.srgb.copy()
        whole = Region.whole(self.size)
        for region, pixels in changes:
            place = region.within(whole)
            if self._header.is_cmyk:
                result[place] = self._inked(place, pixels)
            else:
                result[place] = self._converted(self._stored[place], pixels)
        return result

    def _converted(self, stored: PixelArray, pixels: PixelArray) -> ByteArray:
        """Changed pixels of the file's own grey or RGB, with the opacity that is there."""
        colours = stored.shape[2] - self._header.has_alpha
        if colours == 1:
            pixels = luma(pixels)[..., None]
        numbers = np.concatenate([pixels, stored[..., colours:]], axis=2)
        image = vips().Image.new_from_array(np.ascontiguousarray(numbers))
        shown = array_of(srgb_numbers(with_meaning(image, self._like)))
        return np.asarray(shown, np.uint8)

    def _inked(self, place: tuple[slice, slice], pixels: PixelArray) -> ByteArray:
        """Inks are fused in sRGB: what has changed, as far as it is opaque."""
        change = pixels.astype(np.float32) - self.pixels[place]
        if self._header.has_alpha:
            opacity = self._stored[place][..., -1:]
            change *= opacity / np.float32(np.iinfo(opacity.dtype).max)
        shown: ByteArray = np.clip(np.rint(self.srgb[place] + change), 0, 255).astype(np.uint8)
        return shown
