"""The fusion field: a fusion as smooth maps that render any rectangle at any scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from common.types import FloatArray, Region, Size

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


class FusionField(Protocol):
    """One source face on one target face.

    ``at`` is the size of the output picture that regions refer to: the same field serves a
    preview and a poster. All methods are safe to call from several threads.
    """

    def bounds(self, at: Size) -> Region:
        """Output pixels that may change; inside the picture, empty where it is all opaque."""
        ...

    def opacity(self, region: Region, at: Size) -> FloatArray:
        """How much of the source shows, H x W float32 in [0, 1], ratio included."""
        ...

    def render(self, tile: FloatArray, region: Region, at: Size) -> FloatArray:
        """Fuse a rectangle.

        Args:
            tile: The target's pixels in ``region``, H x W x 3 float32 in [0, 1], encoded as
                in the file.
            region: Where the tile lies in the output.

        Returns:
            The fused pixels in the same form. A pixel depends on the target's same pixel and
            on its position alone, and equals the target's exactly where `opacity` is 0.
        """
        ...
