"""Rendered pixels and how they are laid into the stream of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from common.types import PixelArray, Region, Size
from preprocess.image_source import vips
from preprocess.scratch import Scratch

if TYPE_CHECKING:
    import pyvips


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Pixels that replace a rectangle of the picture as it is stored.

    region: where, in the picture at the output's scale before its upright turn; inside it.
    pixels: H x W x C, the colour channels (1, 3 or 4, no alpha) and the depth of the file; in
        memory, or on disk.
    """

    region: Region
    pixels: PixelArray | Scratch

    def __post_init__(self) -> None:
        if isinstance(self.pixels, Scratch):
            return
        expected = (self.region.height, self.region.width)
        if self.pixels.shape[:2] != expected or self.pixels.ndim != 3:
            raise ValueError(f"a patch of {self.region} needs pixels {expected}")

    def image(self) -> pyvips.Image:
        """The pixels as a picture of their own."""
        if isinstance(self.pixels, Scratch):
            return self.pixels.image()
        return vips().Image.new_from_array(np.ascontiguousarray(self.pixels))

    def array(self) -> PixelArray:
        """The pixels in memory, H x W x C."""
        if not isinstance(self.pixels, Scratch):
            return self.pixels
        image = self.image()
        pixels: PixelArray = image.numpy().reshape(image.height, image.width, image.bands)
        return pixels


def insert(image: pyvips.Image, patches: Sequence[Patch]) -> pyvips.Image:
    """Lay patches over a picture; its alpha stays."""
    if not patches:
        return image
    alpha = None
    if image.hasalpha():
        # Both halves come from one computation of the rows.
        image = image.linecache(tile_height=16, access="sequential", threaded=True)
        alpha = image.extract_band(image.bands - 1)
        image = image.extract_band(0, n=image.bands - 1)
    for patch in patches:
        sub = patch.image()
        if (sub.format, sub.bands) != (image.format, image.bands):
            raise ValueError(
                f"a patch of {sub.bands} x {sub.format} does not fit a picture of "
                f"{image.bands} x {image.format}"
            )
        if patch.region.clip(Size(image.width, image.height)) != patch.region:
            raise ValueError(f"{patch.region} lies outside {image.width}x{image.height}")
        image = image.insert(
            sub.copy(interpretation=image.interpretation), patch.region.x, patch.region.y
        )
    return image if alpha is None else image.bandjoin(alpha)
