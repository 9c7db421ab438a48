"""Where a face shows skin: not lips, eyes or brows, not hair, beard, spectacles or teeth."""

from __future__ import annotations

import cv2
import numpy as np

from common.types import ByteArray, FloatArray
from fusion.compositing.grid import FaceGrid
from fusion.compositing import masks
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
        hull = cv2.convexHull(landmarks[area, :2])[:, 0]
        covered = np.maximum(covered, grid.fill(hull))
    reach = margin / grid.step
    return _softened(np.asarray(cv2.dilate(covered, _disc(reach))), reach / 2)


def skin_likelihood(
    grid: FaceGrid, landmarks: FloatArray, values: FloatArray, spread: FloatArray
) -> FloatArray:
    """How much each node's colour is like that of the face's own skin.

    The skin's colour is the median over the sure areas, its spread their median absolute
    deviation (times 1.48, the standard deviation of a normal distribution), in CIELAB.

    Args:
        landmarks: Of the face on whose shape the grid lies.
        values: rows x columns x 3, sRGB-encoded, on that shape.
        spread: Least spread of L, a and b: `STRICT` or `TOLERANT`.

    Returns:
        rows x columns float32 in [0, 1]; all 1 for a face too small to tell.
    """
    sure = np.zeros(grid.shape, bool)
    for area in _SURE_AREAS:
        sure |= grid.fill(landmarks[list(area), :2]) > 0.5
    if int(sure.sum()) < _FEWEST:
        return np.ones(grid.shape, np.float32)
    lab = cv2.cvtColor(np.ascontiguousarray(values, np.float32), cv2.COLOR_RGB2LAB)
    known = lab[sure]
    middle = np.median(known, axis=0)
    spread = np.maximum(1.48 * np.median(np.abs(known - middle), axis=0), spread)
    distance = np.sqrt((((lab - middle) / spread) ** 2).sum(axis=-1))
    likely = 1 - masks.smoothstep((distance - _CERTAIN) / (_EXCLUDED - _CERTAIN))
    return np.asarray(cv2.GaussianBlur(likely, (0, 0), 1.5), np.float32)


def source_hair(
    grid: FaceGrid, landmarks: FloatArray, values: FloatArray, width: float
) -> FloatArray:
    """Hair over the source's face, which must not be carried along.

    Args:
        landmarks: Of the target, on whose shape the grid and ``values`` lie.
        width: Of the face, target pixels.

    Returns:
        rows x columns float32 in [0, 1], grown by a little so that no fringe stays.
    """
    near_rim = 1 - masks.oval_matte(grid, landmarks, 0.15 * width, 0.15 * width)
    apart = 1 - features_matte(grid, landmarks, 0.008 * width)
    zone = near_rim * apart * masks.hair_zone(grid, landmarks, sides=False)
    covered = (1 - skin_likelihood(grid, landmarks, values, TOLERANT)) * zone
    covered = cv2.dilate(covered, _disc(0.018 * width / grid.step))
    return _softened(covered, 0.012 * width / grid.step)


def target_hair(
    grid: FaceGrid, landmarks: FloatArray, values: FloatArray, width: float
) -> FloatArray:
    """Hair over the target's face, which stays in front. Arguments as in `source_hair`.

    Returns:
        rows x columns float32 in [0, 1].
    """
    near_rim = 1 - masks.oval_matte(grid, landmarks, 0.11 * width, 0.11 * width)
    apart = 1 - features_matte(grid, landmarks, 0.03 * width)
    zone = near_rim * apart * masks.hair_zone(grid, landmarks, sides=True)
    covered = (1 - skin_likelihood(grid, landmarks, values, TOLERANT)) * zone
    return _softened(covered, 0.006 * width / grid.step)


def _disc(radius: float) -> ByteArray:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _softened(matte: FloatArray, sigma: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(matte, (0, 0), max(sigma, 0.5)), np.float32)
