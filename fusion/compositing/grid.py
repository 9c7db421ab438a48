"""A coarse grid over the target face on which an engine keeps its smooth maps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray, Region, Size


@dataclass(frozen=True, slots=True)
class FaceGrid:
    """Nodes at ``(x, y) + step * (column, row)`` in pixels of the target picture.

    columns and rows are at least 2; step is in target pixels and may be below 1.
    """

    x: float
    y: float
    step: float
    columns: int
    rows: int

    @classmethod
    def over(cls, points: FloatArray, margin: float, step: float) -> FaceGrid:
        """The grid over all ``points`` (N x 2 target pixels) and ``margin`` px around them."""
        low = points.min(axis=0) - margin
        extent = points.max(axis=0) + margin - low
        columns, rows = (int(np.ceil(length / step)) + 2 for length in extent)
        return cls(float(low[0]), float(low[1]), step, columns, rows)

    def coarser(self, every: int) -> FaceGrid:
        """The grid of each ``every``-th node, as ``maps[..., ::every, ::every]`` has them."""
        columns, rows = (-(-count // every) for count in (self.columns, self.rows))
        return FaceGrid(self.x, self.y, self.step * every, columns, rows)

    def averaged(self, every: int) -> FaceGrid:
        """The grid of the means over ``every`` x ``every`` nodes that `averages` answers."""
        shift = self.step * (every - 1) / 2
        columns, rows = (max(2, -(-count // every)) for count in (self.columns, self.rows))
        return FaceGrid(self.x + shift, self.y + shift, self.step * every, columns, rows)

    def cropped(self, maps: FloatArray) -> tuple[FaceGrid, FloatArray]:
        """The part of maps (C x rows x columns) that is not 0, with a rim that is; its grid.

        Maps whose rim is not 0 stay whole, and so do those that are 0 all over.
        """
        used: NDArray[np.bool_] = np.asarray((maps != 0).any(axis=0), np.bool_)
        ends = []
        for axis in (1, 0):
            flags = np.asarray(used.any(axis=axis))
            along = np.flatnonzero(flags)
            if not along.size:
                return self, maps
            ends.append((max(int(along[0]) - 1, 0), min(int(along[-1]) + 2, len(flags))))
        (top, bottom), (left, right) = ends
        x, y = self.x + self.step * left, self.y + self.step * top
        grid = FaceGrid(x, y, self.step, right - left, bottom - top)
        return grid, np.ascontiguousarray(maps[:, top:bottom, left:right])

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    def nodes_of(self, points: FloatArray) -> FloatArray:
        """Target pixels (... x 2) to grid coordinates (column, row)."""
        origin = np.array([self.x, self.y], np.float32)
        return np.asarray((points - origin) / np.float32(self.step), np.float32)

    def positions(self) -> FloatArray:
        """Target pixel of every node, rows x columns x 2."""
        x = self.x + self.step * np.arange(self.columns, dtype=np.float32)
        y = self.y + self.step * np.arange(self.rows, dtype=np.float32)
        return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)

    def fill(self, polygon: FloatArray) -> FloatArray:
        """Coverage of a polygon (N x 2 target pixels) per node, 0-1, antialiased."""
        fine = 4
        nodes = self.nodes_of(polygon)
        covered = np.zeros(self.shape, np.float32)
        # Only the nodes around it; a whole number of them moves no edge.
        left, top = (max(int(np.floor(edge)) - 1, 0) for edge in nodes.min(axis=0))
        right, bottom = (int(np.ceil(edge)) + 2 for edge in nodes.max(axis=0))
        columns, rows = min(right, self.columns) - left, min(bottom, self.rows) - top
        if columns <= 0 or rows <= 0:
            return covered
        scaled = (nodes - np.array([left, top], np.float32) + 0.5) * fine - 0.5
        canvas = np.zeros((rows * fine, columns * fine), np.uint8)
        cv2.fillPoly(canvas, [np.round(scaled * 16).astype(np.int32)], 255, cv2.LINE_8, shift=4)
        coverage = cv2.resize(canvas, (columns, rows), interpolation=cv2.INTER_AREA)
        covered[top : top + rows, left : left + columns] = coverage
        covered /= np.float32(255.0)
        return covered

    def extent(self, target: Size, at: Size) -> Region:
        """The output pixels between the outermost nodes, inside the picture."""
        factor = (at.width / target.width, at.height / target.height)
        low = [(edge + 0.5) * f - 0.5 for edge, f in zip((self.x, self.y), factor, strict=True)]
        far = (self.x + self.step * (self.columns - 1), self.y + self.step * (self.rows - 1))
        high = [(edge + 0.5) * f - 0.5 for edge, f in zip(far, factor, strict=True)]
        left, top = (int(np.ceil(value)) for value in low)
        right, bottom = (int(np.floor(value)) + 1 for value in high)
        return Region(left, top, right - left, bottom - top).clip(at)

    def sample(self, maps: FloatArray, block: Region, target: Size, at: Size) -> FloatArray:
        """Bilinear values of the maps at the pixels of an output block.

        Args:
            maps: C x rows x columns.
            block: Output pixels; the outermost nodes' values continue outside the grid.

        Returns:
            C x H x W float32.
        """
        y = places(block.y, block.height, at.height / target.height)
        x = places(block.x, block.width, at.width / target.width)
        return self._at(maps, x, y)

    def at_nodes(self, maps: FloatArray, other: FaceGrid) -> FloatArray:
        """Bilinear values of the maps (C x rows x columns) at the nodes of another grid."""
        x = other.x + other.step * np.arange(other.columns, dtype=np.float64)
        y = other.y + other.step * np.arange(other.rows, dtype=np.float64)
        return self._at(maps, x, y)

    def _at(self, maps: FloatArray, x: NDArray[np.float64], y: NDArray[np.float64]) -> FloatArray:
        """Values at the crossings of columns x and rows y, target pixels that rise."""
        row, down = _between((y - self.y) / self.step, self.rows)
        column, across = _between((x - self.x) / self.step, self.columns)
        part = maps[:, row[0] : row[-1] + 2, column[0] : column[-1] + 2]
        row, column = row - row[0], column - column[0]
        # Plain arithmetic on each element: a matrix product would be BLAS, which starts threads
        # of its own even for blocks this small and waits for them. Along the rows first: of those
        # there are fewer now than afterwards.
        wide = _mixed(part.take(column, 2), part.take(column + 1, 2), across)
        return _mixed(wide.take(row, 1), wide.take(row + 1, 1), down[:, None])


def averages(values: FloatArray, every: int) -> FloatArray:
    """Means over ``every`` x ``every`` nodes, for rows x columns [x channels]; see `averaged`."""
    rows, columns = (max(2, -(-count // every)) for count in values.shape[:2])
    down, across = rows * every - values.shape[0], columns * every - values.shape[1]
    padded = cv2.copyMakeBorder(values, 0, down, 0, across, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _mixed(near: FloatArray, far: FloatArray, share: FloatArray) -> FloatArray:
    """``near`` moved towards ``far`` by ``share``; uses up both arrays."""
    far -= near
    far *= share
    near += far
    return near


def places(start: int, count: int, factor: float) -> NDArray[np.float64]:
    """Where ``count`` output pixels from ``start`` on lie in the target, one direction.

    Args:
        factor: Output pixels per target pixel.
    """
    return (np.arange(start, start + count, dtype=np.float64) + 0.5) / factor - 0.5


def _between(position: NDArray[np.float64], nodes: int) -> tuple[NDArray[np.int64], FloatArray]:
    """The node before each position and how far it is on to the next, 0-1."""
    position = np.clip(position, 0.0, nodes - 1.0)
    low = np.minimum(position.astype(np.int64), nodes - 2)
    return low, (position - low).astype(np.float32)
