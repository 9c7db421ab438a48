"""Mattes on the face grid: how far into the face the source shows."""

from __future__ import annotations

import cv2
import numpy as np

from common.types import FloatArray, Size
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology

MOUTH_OPEN = 0.05
"""Gap between the inner lips over the mouth's width from which a mouth counts as open."""


def smoothstep(values: FloatArray) -> FloatArray:
    """Cubic ramp from 0 at 0 to 1 at 1 with level ends (Hermite)."""
    clipped = np.clip(values, 0.0, 1.0)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)


def hull(points: FloatArray) -> FloatArray:
    """Corners of the convex hull of N x 2 points, in order."""
    return np.asarray(cv2.convexHull(np.ascontiguousarray(points))[:, 0], np.float32)


RAISED = 0.08
"""How much higher than the mesh the forehead goes, of the face's width."""
_RISE = {
    10: 1.0,
    338: 0.97,
    109: 0.97,
    297: 0.88,
    67: 0.88,
    332: 0.72,
    103: 0.72,
    284: 0.5,
    54: 0.5,
    251: 0.25,
    21: 0.25,
}


def outline(landmarks: FloatArray, raised: float) -> FloatArray:
    """Corners of the face's outline: the hull of all landmarks with a higher forehead.

    The hull is the face oval, and of a head turned far to the side also the nose that stands out
    over it. The mesh ends in the middle of the forehead: the outline goes on above it.

    Args:
        landmarks: 468 x 3 target pixels.
        raised: How much higher it is in the middle of the forehead, target pixels.
    """
    up = landmarks[topology.FOREHEAD, :2] - landmarks[topology.CHIN, :2]
    up = up / max(float(np.hypot(*up)), 1e-6) * np.float32(raised)
    share = np.array(list(_RISE.values()), np.float32)[:, None]
    higher = landmarks[list(_RISE), :2] + share * up
    return hull(np.concatenate([landmarks[:, :2], higher]))


def oval_matte(
    grid: FaceGrid, landmarks: FloatArray, inset: float, feather: float, raised: float = 0.0
) -> FloatArray:
    """0 outside and along the face's outline, then a smooth rise to 1.

    Args:
        landmarks: 468 x 3 target pixels.
        inset: Width of the transparent rim, target pixels.
        feather: Width of the rise, target pixels.
        raised: See `outline`.

    Returns:
        rows x columns float32 in [0, 1]; 0 on the grid's outermost nodes.
    """
    inside = (grid.fill(outline(landmarks, raised)) > 0.5).astype(np.uint8)
    inside[0, :] = inside[-1, :] = 0
    inside[:, 0] = inside[:, -1] = 0
    nodes = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared distances of nodes are whole numbers; OpenCV's differ from them by a rounding
    # that depends on where the array lies in memory.
    distance = np.sqrt(np.rint(nodes * nodes)) * np.float32(grid.step)
    return smoothstep(np.asarray((distance - inset) / feather, np.float32))


def softly_inside(grid: FaceGrid, polygon: FloatArray, feather: float) -> FloatArray:
    """1 inside a polygon (N x 2 target pixels), falling to 0 over ``feather`` px around it."""
    outside = (grid.fill(polygon) < 0.5).astype(np.uint8)
    nodes = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = np.sqrt(np.rint(nodes * nodes)) * np.float32(grid.step / feather)
    return 1 - smoothstep(np.asarray(distance, np.float32))


def inside_matte(points: FloatArray, picture: Size, feather: float) -> FloatArray:
    """0 for points outside a picture, rising to 1 over ``feather`` px inside its border.

    Args:
        points: rows x columns x 2, pixels of that picture.
    """
    depths = []
    for axis, length in enumerate((picture.width, picture.height)):
        place = points[..., axis]
        depths.append(np.minimum(place + np.float32(0.5), np.float32(length - 0.5) - place))
    return smoothstep(np.asarray(np.minimum(*depths) / np.float32(feather), np.float32))


def hair_zone(grid: FaceGrid, landmarks: FloatArray) -> FloatArray:
    """Where something that is not skin is hair on the head rather than a beard.

    1 above the nose's tip and 0 below the mouth, along the face's own axis.
    """
    up = landmarks[topology.FOREHEAD, :2] - landmarks[topology.CHIN, :2]
    up = (up / max(float(np.hypot(*up)), 1e-6)).astype(np.float32)
    mouth = landmarks[list(topology.MOUTH_CORNERS), :2].mean(axis=0)
    nose = landmarks[topology.NOSE_TIP, :2]
    return smoothstep((grid.positions() - mouth) @ up / max(float((nose - mouth) @ up), 1e-6))


def mouth_gap(landmarks: FloatArray) -> float:
    """Distance between the inner lips over the distance between the mouth's corners."""
    gap = landmarks[topology.LOWER_LIP_INSIDE, :2] - landmarks[topology.UPPER_LIP_INSIDE, :2]
    corners = landmarks[list(topology.MOUTH_CORNERS), :2]
    return float(np.hypot(*gap) / max(np.hypot(*(corners[1] - corners[0])), 1e-6))
