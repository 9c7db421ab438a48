"""A portrait on the nodes of a grid, and what may be drawn onto it: strands, hats, spectacles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray
from fusion.compositing.grid import FaceGrid
from fusion.compositing.occlusion import Occlusion, in_front, over_source
from preprocess import face_topology as topology
from tests.fusion.pictures import Pixels


@dataclass(frozen=True)
class Sight:
    """A portrait, its mesh and a grid of about 200 nodes over the face."""

    pixels: Pixels
    landmarks: FloatArray
    grid: FaceGrid
    width: float

    @classmethod
    def of(cls, pixels: Pixels, landmarks: FloatArray) -> Sight:
        width = float(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0).max())
        grid = FaceGrid.over(landmarks[:, :2], 0.14 * width, width / 260)
        return cls(pixels, landmarks, grid, width)

    @property
    def apart(self) -> float:
        """Distance of the eyes, px."""
        return float(np.hypot(*(self.eye(left=True) - self.eye(left=False))))

    def eye(self, *, left: bool) -> FloatArray:
        ring = topology.LEFT_EYE if left else topology.RIGHT_EYE
        return np.asarray(self.landmarks[ring, :2].mean(axis=0))

    def point(self, index: int) -> FloatArray:
        return np.asarray(self.landmarks[index, :2])

    def values(self) -> FloatArray:
        x, y = np.moveaxis(self.grid.positions(), -1, 0)
        pixels = self.pixels.astype(np.float32) / np.float32(255)
        seen = cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, np.float32)

    def line(self, points: Any, colour: tuple[int, int, int], thickness: float) -> Sight:
        pixels = self.pixels.copy()
        corners = [np.rint(np.asarray(points) * 16).astype(np.int32)]
        cv2.polylines(pixels, corners, False, colour, max(1, round(thickness)), cv2.LINE_AA, 4)
        return replace(self, pixels=pixels)

    def area(self, points: Any, colour: tuple[int, int, int], rough: float = 3.0) -> Sight:
        """A polygon with some grain of its own."""
        inside = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.rint(points).astype(np.int32)], 1)
        grain = np.random.default_rng(7).normal(0, rough, (*inside.shape, 1))
        painted = np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)
        return replace(self, pixels=np.where(inside[..., None] > 0, painted, self.pixels))

    def spectacles(self, colour: tuple[int, int, int], thickness: float) -> Sight:
        """Round ones; thickness over the eyes' distance."""
        sight, thick = self, thickness * self.apart
        turn = np.linspace(0, 2 * np.pi, 60)
        for left in (False, True):
            x, y = self.eye(left=left)
            ring = (x + 0.4 * self.apart * np.cos(turn), y + 0.33 * self.apart * np.sin(turn))
            sight = sight.line(np.stack(ring, axis=1), colour, thick)
        right, other = self.eye(left=False), self.eye(left=True)
        across = (other - right) / self.apart
        sight = sight.line(
            [right + 0.4 * self.apart * across, other - 0.4 * self.apart * across], colour, thick
        )
        for eye, ear, way in ((right, 127, -1), (other, 356, 1)):
            start = eye + way * 0.4 * self.apart * across
            sight = sight.line([start, self.point(ear)], colour, thick)
        return sight

    def at(self, matte: FloatArray, points: Any) -> FloatArray:
        """The matte's values next to target pixels."""
        nodes = np.rint(self.grid.nodes_of(np.asarray(points, np.float32))).astype(int)
        return np.asarray(matte[nodes[..., 1], nodes[..., 0]])

    def front(self, *, keep_glasses: bool = True) -> Occlusion:
        return in_front(self.grid, self.landmarks, self.values(), self.width, keep_glasses)

    def over(self) -> Occlusion:
        return over_source(self.grid, self.landmarks, self.values(), self.width)

    def middle(self) -> NDArray[np.bool_]:
        """Nodes well within the face, below the brows: hair hangs into the forehead."""
        oval = self.landmarks[topology.FACE_OVAL, :2]
        centre = oval.mean(axis=0)
        within = self.grid.fill(centre + (oval - centre) * np.float32(0.7)) > 0.5
        below = self.grid.positions()[..., 1] > self.landmarks[[105, 334], 1].mean()
        return np.asarray(within & below)


def strand(sight: Sight) -> FloatArray:
    """From above the forehead down to the cheek beside the right eye."""
    top, brow = sight.point(103), sight.point(70)
    above = top + (top - brow)
    cheek = sight.point(123) * 0.75 + sight.point(50) * 0.25
    middle = sight.point(63) * 0.4 + sight.point(127) * 0.6
    return np.stack([above, top, middle, cheek])
