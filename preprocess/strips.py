"""Parts of a picture as they are read for rendering, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.types import PixelArray, Region
from preprocess.colour import cmyk_patch
from preprocess.image_pipeline import colours_of, working_numbers
from preprocess.image_source import Header, read_profile, vips
from preprocess.scratch import with_meaning

if TYPE_CHECKING:
    import pyvips

_LUMA = (19_595, 38_470, 7_471)  # Rec. 601, in 65536ths: they sum to exactly 1


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A part of the picture, as the upright pixels that faces are fused in.

    region: upright, at the output's scale. pixels: H x W x 3, uint8 or uint16, to be changed in
    place. around: ``region`` and its margin, as far as the picture goes. under: H x W x 3 of
    ``around``, as it was before the change; not to be written to. stored_region: where the strip
    lies in the picture as stored. original: H x W x C, colour channels and orientation of the
    file, before the change.
    """

    region: Region
    pixels: PixelArray
    around: Region
    under: PixelArray
    stored_region: Region
    original: PixelArray
    _header: Header
    _working: PixelArray  # what ``pixels`` is a view of: as stored, H x W x 3
    _before: PixelArray | None  # the same before the change, where the file holds inks

    def stored(self) -> PixelArray:
        """The part with the changes, H x W x C: colour channels and orientation of the file.

        Numbers of pixels that were not changed are the stored ones. On a grey picture the
        luma of a change is taken, which leaves R = G = B exactly as it is; with inks, the
        difference that the change makes is added to those that are there.
        """
        if self.original.shape[2] == 1:
            return luma(self._working)[..., None]
        if self._before is None:
            return self._working
        return cmyk_patch(self.original, self._before, self._working, read_profile(self._header))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of the stored picture that are in memory.

    top: The first. arrays: see `decoded`; none before the first rows are read.
    """

    top: int
    arrays: tuple[PixelArray, ...]

    @property
    def bottom(self) -> int:
        return self.top + (len(self.arrays[0]) if self.arrays else 0)

    def rolled(self, top: int, fresh: tuple[PixelArray, ...]) -> Rows:
        """From row ``top`` on, with those that follow the last."""
        held = tuple(array[top - self.top :] for array in self.arrays)
        if not (held and fresh):
            return Rows(top, held or fresh)
        if len(held[0]) == 0:
            return Rows(top, fresh)
        return Rows(top, tuple(np.concatenate(pair) for pair in zip(held, fresh, strict=True)))


def decoded(crop: pyvips.Image) -> tuple[PixelArray, ...]:
    """The colour channels as stored, and those that inks are worked on in, H x W x C each."""
    # Decoded once: both kinds of numbers come from the copy in memory.
    colours = array_of(colours_of(crop))
    if colours.shape[2] < 4:
        return (colours,)
    inks = vips().Image.new_from_array(colours)
    return colours, array_of(working_numbers(with_meaning(inks, crop)))


def array_of(image: pyvips.Image) -> PixelArray:
    """H x W x C."""
    pixels: PixelArray = image.numpy().reshape(image.height, image.width, image.bands)
    return pixels


def luma(pixels: PixelArray) -> PixelArray:
    """Of H x W x 3 pixels: H x W of the same depth."""
    wide = pixels.astype(np.uint32)
    red, green, blue = _LUMA
    luma = red * wide[..., 0] + green * wide[..., 1] + blue * wide[..., 2] + 32_768
    return (luma >> 16).astype(pixels.dtype)
