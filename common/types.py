"""Frozen values that cross module borders. Only numpy is imported here.

Coordinates are pixel centres of the upright (EXIF-applied) picture: the centre of the
top-left pixel is (0, 0) and a picture W wide spans [-0.5, W - 0.5].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]
PixelArray = NDArray[Any]  # uint8 or uint16, H x W x C, as stored in the file


@dataclass(frozen=True, slots=True)
class Size:
    """A picture size in pixels; both sides at least 1."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a size needs positive sides, not {self.width}x{self.height}")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def longer(self) -> int:
        return max(self.width, self.height)

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of whole pixels: columns [x, x + width), rows [y, y + height).

    It may be empty and may lie partly outside a picture; `clip` brings it inside.
    """

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def size(self) -> Size:
        """Of a region that is not empty."""
        return Size(self.width, self.height)

    @property
    def is_empty(self) -> bool:
        return self.width <= 0 or self.height <= 0

    @property
    def pixels(self) -> int:
        return max(self.width, 0) * max(self.height, 0)

    @classmethod
    def whole(cls, size: Size) -> Region:
        return cls(0, 0, size.width, size.height)

    @classmethod
    def around(cls, points: NDArray[Any], margin: float = 0.0) -> Region:
        """The smallest region over ``points`` (N x 2 or more columns), grown by ``margin`` px."""
        low = np.floor(points[:, :2].min(axis=0) - margin).astype(int)
        high = np.ceil(points[:, :2].max(axis=0) + margin).astype(int) + 1
        return cls(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))

    def grow(self, margin: int) -> Region:
        return Region(
            self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin
        )

    def intersect(self, other: Region) -> Region:
        x, y = max(self.x, other.x), max(self.y, other.y)
        width = min(self.right, other.right) - x
        height = min(self.bottom, other.bottom) - y
        return Region(x, y, max(width, 0), max(height, 0))

    def union(self, other: Region) -> Region:
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Region(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def clip(self, size: Size) -> Region:
        return self.intersect(Region.whole(size))

    def scale(self, factor_x: float, factor_y: float) -> Region:
        """The smallest whole-pixel region over this one after scaling the picture."""
        x, y = math.floor(self.x * factor_x), math.floor(self.y * factor_y)
        return Region(
            x,
            y,
            math.ceil(self.right * factor_x) - x,
            math.ceil(self.bottom * factor_y) - y,
        )

    def within(self, outer: Region) -> tuple[slice, slice]:
        """Index (rows, columns) of this region in an array that covers ``outer``."""
        return (
            slice(self.y - outer.y, self.bottom - outer.y),
            slice(self.x - outer.x, self.right - outer.x),
        )

    def blocks(self, side: int) -> Iterator[Region]:
        """This region cut along the lines of a fixed grid of ``side`` px with origin (0, 0)."""
        for top in range(self.y // side * side, self.bottom, side):
            for left in range(self.x // side * side, self.right, side):
                yield Region(left, top, side, side).intersect(self)

    def as_list(self) -> list[int]:
        return [self.x, self.y, self.width, self.height]


def separated(regions: Iterable[Region]) -> tuple[Region, ...]:
    """Rectangles over all ``regions`` that do not overlap, in order of their tops.

    Those that overlap become the one around them; empty ones are left out.
    """
    done: list[Region] = []
    for region in regions:
        if region.is_empty:
            continue
        joined = region
        while touching := [other for other in done if not other.intersect(joined).is_empty]:
            for other in touching:
                done.remove(other)
                joined = joined.union(other)
        done.append(joined)
    return tuple(sorted(done, key=lambda region: (region.y, region.x)))


@dataclass(frozen=True, slots=True)
class Pose:
    """Head pose in degrees.

    yaw > 0: the nose points to the right of the picture; pitch > 0: it points down;
    roll > 0: the head is turned clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """What can be expected of a face as a source or a target.

    size: geometric mean of the face oval's width and height, px.
    sharpness: mean absolute Laplacian of the face's luma at 256 px face width, in
        levels of 255; below about 2 the face looks blurred.
    """

    size: float
    sharpness: float


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face of a picture.

    index: position in the picture's list, largest face first.
    box: around the face oval, pixels of the upright picture; may reach over the frame.
    score: detection probability, 0-1.
    landmarks: 468 x 3 float32; x, y in pixels of the upright picture, z in the same unit,
        smaller is nearer to the camera (MediaPipe face mesh numbering).
    irises: 2 x 5 x 2 float32: per eye (the person's right eye first) the iris centre and
        its four rim points, pixels.
    """

    index: int
    box: Region
    score: float
    landmarks: FloatArray
    irises: FloatArray
    pose: Pose
    quality: FaceQuality
