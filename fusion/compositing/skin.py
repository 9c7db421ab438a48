"""Where a face shows skin: not lips, eyes or brows, not hair, beard, spectacles or teeth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import ByteArray, FloatArray
from fusion.compositing import masks
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology

# Areas that are skin on nearly every face: both cheeks beside the nose, the nose's bridge and
# the place between the brows. Mesh points in order around each area.
_SURE_AREAS = (
    (117, 118, 101, 36, 205, 187, 123),
    (346, 347, 330, 266, 425, 411, 352),
    (193, 168, 417, 399, 5, 174),
    (9, 107, 66, 69, 151, 299, 296, 336),
)
_FEWEST = 40  # nodes
STRICT = np.array([14.0, 3.0, 3.5], np.float32)
"""Least spread of L, a, b that is taken for skin, to be sure that it is: for measuring light."""
TOLERANT = np.array([24.0, 3.0, 3.5], np.float32)
"""The same to be sure that it is not: shadows are skin, hair differs in its colour as well."""
_CERTAIN, _EXCLUDED = 2.6, 4.2  # distances from the skin's colour, in spreads


def features_matte(grid: FaceGrid, landmarks: FloatArray, margin: float) -> FloatArray:
    """1 over lips, eyes and brows and ``margin`` target pixels around them, else 0; soft edges."""
    areas = (
        topology.OUTER_LIPS,
        np.concatenate([topology.RIGHT_EYE, topology.RIGHT_BROW]),
        np.concatenate([topology.LEFT_EYE, topology.LEFT_BROW]),
    )
    covered = np.zeros(grid.shape, np.float32)
    for area in areas:
        covered = np.maximum(covered, grid.fill(masks.hull(landmarks[area, :2])))
    reach = margin / grid.step
    return _softened(np.asarray(cv2.dilate(covered, _disc(reach))), reach / 2)


@dataclass(frozen=True, slots=True, eq=False)
class SkinColour:
    """How far each node's colour is from that of the face's own skin, in CIELAB.

    The skin's colour is the median over the sure areas, its spread their median absolute
    deviation (times 1.48, the standard deviation of a normal distribution).

    deviation: rows x columns x 3. spread: of L, a and b; None for a face too small to tell.
    """

    deviation: FloatArray
    spread: FloatArray | None

    @classmethod
    def of(cls, values: FloatArray, sure: NDArray[np.bool_]) -> SkinColour:
        """Measure ``values`` (rows x columns x 3, sRGB-encoded) where ``sure`` says skin."""
        lab = np.asarray(cv2.cvtColor(np.ascontiguousarray(values), cv2.COLOR_RGB2LAB), np.float32)
        known = lab[sure]
        if len(known) < _FEWEST:
            return cls(np.zeros_like(lab), None)
        middle = np.median(known, axis=0)
        spread = 1.48 * np.median(np.abs(known - middle), axis=0)
        return cls(np.asarray(lab - middle, np.float32), np.asarray(spread, np.float32))

    def likelihood(self, least: FloatArray) -> FloatArray:
        """How likely each node shows skin, rows x columns in [0, 1].

        Args:
            least: Spread of L, a and b that is assumed at least: `STRICT` or `TOLERANT`.
        """
        if self.spread is None:
            return np.ones(self.deviation.shape[:2], np.float32)
        share = self.deviation / np.maximum(self.spread, least)
        distance = np.sqrt(np.einsum("hwc,hwc->hw", share, share))
        likely = 1 - masks.smoothstep((distance - _CERTAIN) / (_EXCLUDED - _CERTAIN))
        return _softened(likely, 1.5)


def sure_skin(grid: FaceGrid, landmarks: FloatArray) -> NDArray[np.bool_]:
    """Nodes that are skin on nearly every face, rows x columns."""
    areas = [grid.fill(landmarks[list(area), :2]) for area in _SURE_AREAS]
    return np.asarray(np.max(areas, axis=0) > 0.5)


def source_hair(
    grid: FaceGrid, landmarks: FloatArray, colour: SkinColour, width: float
) -> FloatArray:
    """Hair over the source's face, which must not be carried along.

    Args:
        landmarks: Of the target, on whose shape the grid and ``colour`` lie.
        width: Of the face, target pixels.

    Returns:
        rows x columns float32 in [0, 1], grown by a little so that no fringe stays.
    """
    near_rim = 1 - masks.oval_matte(grid, landmarks, 0.1 * width, 0.1 * width)
    apart = 1 - features_matte(grid, landmarks, 0.008 * width)
    zone = near_rim * apart * masks.hair_zone(grid, landmarks, sides=False)
    covered = (1 - colour.likelihood(TOLERANT)) * zone
    grown = np.asarray(cv2.dilate(covered, _disc(0.018 * width / grid.step)), np.float32)
    return _softened(grown, 0.012 * width / grid.step)


def target_hair(
    grid: FaceGrid, landmarks: FloatArray, colour: SkinColour, width: float
) -> FloatArray:
    """Hair over the target's face, which stays in front. Arguments as in `source_hair`.

    Returns:
        rows x columns float32 in [0, 1].
    """
    near_rim = 1 - masks.oval_matte(grid, landmarks, 0.08 * width, 0.08 * width)
    apart = 1 - features_matte(grid, landmarks, 0.03 * width)
    zone = near_rim * apart * masks.hair_zone(grid, landmarks, sides=True)
    covered = (1 - colour.likelihood(TOLERANT)) * zone
    return _softened(covered, 0.006 * width / grid.step)


def _disc(radius: float) -> ByteArray:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _softened(matte: FloatArray, sigma: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(matte, (0, 0), max(sigma, 0.5)), np.float32)
