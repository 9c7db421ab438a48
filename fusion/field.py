"""The fusion field: a fusion as smooth maps that render any rectangle at any scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.types import FloatArray, PixelArray, Region, Size

BLOCK = 128
"""Fields compute whole blocks of this side, px, on a grid fixed to the output's (0, 0).

Arithmetic over an array may round differently at its ends than in its middle, so the same
pixel could depend on where a tile was cut. Because every block is always computed whole,
it cannot; tiles that follow the grid waste nothing.
"""


def blocks(region: Region) -> Iterator[tuple[Region, Region]]:
    """A region cut along the fixed grid: pairs of (part of the region, its whole block)."""
    for part in region.blocks(BLOCK):
        yield part, Region(part.x // BLOCK * BLOCK, part.y // BLOCK * BLOCK, BLOCK, BLOCK)


@dataclass(frozen=True, slots=True, eq=False)
class Backdrop:
    """What a layer is laid over: the pixels of a part of the output picture.

    pixels: H x W x 3 of ``region``: uint8 or uint16 as stored, or float32 in [0, 1].
    """

    pixels: PixelArray
    region: Region

    def read(self, part: Region) -> FloatArray:
        """A part that lies inside ``region``: a new array, H x W x 3 float32 in [0, 1]."""
        pixels = self.pixels[part.within(self.region)]
        if pixels.dtype == np.float32:
            return np.array(pixels, np.float32)
        values = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        return np.asarray(values, np.float32)


class Layer(Protocol):
    """Something that is laid over a picture: a fusion, or a finish.

    ``at`` is the size of the output picture that regions refer to: the same layer serves a
    preview and a poster. All methods are safe to call from several threads.
    """

    def bounds(self, at: Size) -> Region:
        """Output pixels that may change; inside the picture, perhaps empty."""
        ...

    def reach(self, at: Size) -> int:
        """How many output pixels away from a pixel `render` may look, at least 0."""
        ...

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        """The pixels of a rectangle with this layer on them.

        Args:
            under: Covers ``region`` grown by `reach`, as far as the picture goes.
            region: Inside the picture.

        Returns:
            H x W x 3 float32 in [0, 1], encoded as in the file. A pixel depends on its position
            and on what lies under it within the reach, not on how the region was cut, and
            is exactly what lay under it where this layer changes nothing.
        """
        ...


class FusionField(Layer, Protocol):
    """One source face on one target face.

    notes: what was decided on the person's behalf; warnings: what may disappoint.
    """

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def width(self) -> float:
        """The longer side of the face's oval in pixels of the target picture."""
        ...

    def opacity(self, region: Region, at: Size) -> FloatArray:
        """How much of the source shows, H x W float32 in [0, 1], ratio included."""
        ...

    def face(self, region: Region, at: Size) -> FloatArray:
        """What belongs to the fused face whatever the ratio, H x W in [0, 1] with soft edges."""
        ...

    def skin(self, region: Region, at: Size) -> FloatArray:
        """What of it is skin: not eyes, brows, lips, hair or spectacles; H x W in [0, 1]."""
        ...
