"""Decoded pixels of a part of a picture that know where they lie in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import FloatArray, PixelArray, Region, Size


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Pixels of a part of a picture, perhaps scaled.

    pixels: H x W x 3, uint8 or uint16. A point p of the picture lies at
    ``(p + 0.5) * factor - offset - 0.5`` in ``pixels``; both are pixel centres. factor and
    offset are (x, y) float32, factor in window pixels per picture pixel.
    """

    pixels: PixelArray
    factor: FloatArray
    offset: FloatArray

    @classmethod
    def of(
        cls, pixels: PixelArray, region: Region, at: Size, size: Size, shrink: int = 1
    ) -> Window:
        """The pixels of ``region`` of a picture of ``size`` that was scaled to ``at``.

        Args:
            pixels: Of the region, made smaller by the whole number ``shrink``.
            region: In the scaled picture.
            at: Size of the scaled picture.
            size: Size of the picture.
            shrink: As above.
        """
        factor = np.array([at.width / size.width, at.height / size.height], np.float32)
        offset = np.array([region.x, region.y], np.float32)
        return cls(pixels, factor / np.float32(shrink), offset / np.float32(shrink))

    @property
    def scale(self) -> float:
        """Window pixels per picture pixel, mean of both directions."""
        return float(np.sqrt(self.factor[0] * self.factor[1]))

    def inward(self, points: FloatArray) -> FloatArray:
        """Picture coordinates (... x 2) to window coordinates."""
        return np.asarray((points + 0.5) * self.factor - self.offset - 0.5, np.float32)

    def outward(self, points: FloatArray) -> FloatArray:
        """Window coordinates (... x 2) to picture coordinates."""
        return np.asarray((points + 0.5 + self.offset) / self.factor - 0.5, np.float32)

    def shrunk(self, spacing: float) -> Window:
        """This window reduced so that samples ``spacing`` window pixels apart skip nothing.

        Area averaging, the prefilter of a reduction; at a spacing of 1 or less, itself.
        """
        if spacing <= 1.0:
            return self
        height, width = self.pixels.shape[:2]
        size = (max(1, round(width / spacing)), max(1, round(height / spacing)))
        pixels = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
        exact = np.array([size[0] / width, size[1] / height], np.float32)
        return Window(np.asarray(pixels), self.factor * exact, self.offset * exact)


def scaled_size(size: Size, factor: float) -> Size:
    """``size`` times ``factor``, rounded, at least 1 x 1."""
    return Size(max(1, round(size.width * factor)), max(1, round(size.height * factor)))
