"""Edge-preserving smoothing of skin in fixed blocks, at a cost that no size of face raises."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import FloatArray, Region, Size
from fusion.compositing import tone
from fusion.field import BLOCK

_EDGE = 0.04  # standard deviation of the luma around a pixel at which half of it is kept
_FINEST = 0.45  # of the finest texture stays: skin without any looks like plastic
_FINEST_SPAN = 3  # of such windows' radii make one of the filter's: below that it is texture
_LEAST_WEIGHT = 1e-3  # of what is not skin: something must count where nothing is
_CELLS_BACK = 3  # the radius is at least so many reduced pixels
_LARGEST_CELL = BLOCK // 2


@dataclass(frozen=True, slots=True)
class GuidedSmoothing:
    """The guided filter of He, Sun and Tang (ECCV 2010, TPAMI 2013) with the luma as its guide.

    Its coefficients are computed on a reduced copy, as in the fast guided filter of He and Sun
    (arXiv:1505.00996, 2015), and only skin counts in its means, so that hair, brows and lips
    neither darken nor colour the skin beside them. Means are plain sums over each
    window: a running sum's rounding depends on where it started.

    cell: Side of a reduced pixel, a power of 2. radius: of a mean's window in reduced pixels.
    """

    cell: int
    radius: int

    @classmethod
    def of_radius(cls, radius: float) -> GuidedSmoothing:
        """For means over windows of about ``radius`` output pixels to each side."""
        cell = 2
        while cell < _LARGEST_CELL and 2 * cell * _CELLS_BACK <= radius:
            cell *= 2
        return cls(cell, max(1, round(radius / cell)))

    @property
    def margin(self) -> int:
        """Pixels around a block that `smoothed` takes, a multiple of the cell."""
        return self.cell * (2 * self.radius + self._fine_radius + 2)

    @property
    def reach(self) -> int:
        """How far a pixel looks: a reduced pixel at the edge of the margin is looked at whole."""
        return self.margin + self.cell

    @property
    def _fine_radius(self) -> int:
        return max(1, round(self.radius / _FINEST_SPAN))

    def reduced_size(self, size: Size) -> Size:
        """Of a picture, whose last reduced pixels may lie partly outside."""
        return Size(-(-size.width // self.cell), -(-size.height // self.cell))

    def reduced(self, region: Region) -> Region:
        """A region that follows the grid of reduced pixels, in those."""
        return Region(
            region.x // self.cell,
            region.y // self.cell,
            region.width // self.cell,
            region.height // self.cell,
        )

    def smoothed(self, values: FloatArray, skin: FloatArray) -> FloatArray:
        """One block, as smooth as it gets.

        Args:
            values: The block and `margin` pixels around it, side x side x 3 in [0, 1].
            skin: What of the same is skin, in reduced pixels, 0-1.

        Returns:
            `BLOCK` x `BLOCK` x 3.
        """
        # Around the block, for the means of what was taken away.
        keep = self.cell * (self._fine_radius + 2)
        slopes = self._slopes(self._shrunk(values), skin + np.float32(_LEAST_WEIGHT))
        edge = (self.margin - keep) // self.cell
        slope, level = (
            self._enlarged(np.ascontiguousarray(plane[edge:-edge, edge:-edge])) for plane in slopes
        )
        first, last = self.margin - keep, self.margin + BLOCK + keep
        part = values[first:last, first:last]
        smooth = slope * tone.luma(part)[..., None] + level
        taken = part - smooth
        finest = taken - self._enlarged(_means(self._shrunk(taken), self._fine_radius))
        inner = np.s_[keep:-keep, keep:-keep]
        return np.asarray(smooth[inner] + finest[inner] * np.float32(_FINEST), np.float32)

    def _slopes(self, values: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the luma is multiplied by and what is added to it, h x w x 3 each."""
        guide = tone.luma(values)[..., None]
        shares = weight[..., None]
        planes = [shares, shares * guide, shares * guide * guide, shares * values]
        sums = _means(np.concatenate(planes, axis=2), self.radius)
        products = _means(shares * guide * values, self.radius)
        total = sums[..., :1]
        mean, mean_square, mean_values = sums[..., 1:2], sums[..., 2:3], sums[..., 3:]
        mean, mean_square, mean_values = mean / total, mean_square / total, mean_values / total
        variance = np.maximum(mean_square - mean * mean, np.float32(0))
        slope = (products / total - mean * mean_values) / (variance + np.float32(_EDGE**2))
        level = mean_values - slope * mean
        slope, level = (_means(shares * plane, self.radius) for plane in (slope, level))
        return slope / total, level / total

    def _shrunk(self, values: FloatArray) -> FloatArray:
        height, width, channels = values.shape
        cells = (width // self.cell, height // self.cell)
        small = cv2.resize(values, cells, interpolation=cv2.INTER_AREA)
        return np.asarray(small.reshape(cells[1], cells[0], channels), np.float32)

    def _enlarged(self, values: FloatArray) -> FloatArray:
        height, width, channels = values.shape
        side = (width * self.cell, height * self.cell)
        large = cv2.resize(values, side, interpolation=cv2.INTER_LINEAR)
        return np.asarray(large.reshape(side[1], side[0], channels), np.float32)


def _means(planes: FloatArray, radius: int) -> FloatArray:
    """Of each channel over the window around each pixel."""
    side = 2 * radius + 1
    kernel = np.full(side, 1 / side, np.float32)
    filtered = cv2.sepFilter2D(planes, -1, kernel, kernel)
    return np.asarray(filtered.reshape(planes.shape), np.float32)
