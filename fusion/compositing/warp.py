"""The dense map from the target's face to the source's, and sampling along it."""

from __future__ import annotations

import cv2
import numpy as np

from common.types import FloatArray
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology
from preprocess.window import Window

_RING = 1.45  # the mesh is continued outwards to this multiple of the oval
_SMOOTHING = 1.2  # nodes; softens the kinks along the triangles' edges
_MARGIN = 6  # source pixels around a block that interpolation may touch


def dense_map(grid: FaceGrid, target: FloatArray, source: FloatArray) -> FloatArray:
    """Where in the source each grid node's pixel comes from.

    Piecewise linear over the mesh's triangles. Where a turned head folds the mesh over
    itself, the triangle nearest to the camera wins. Outside the oval both meshes continue by
    a ring of proportional size, and beyond that by the affine map that fits them best.

    Args:
        target, source: 468 x 3 landmarks in pixels of either picture.

    Returns:
        2 x rows x columns float32: x and y in source pixels.
    """
    target_points, faces = _with_ring(target)
    source_points, _ = _with_ring(source)
    depth = target_points[:, 2][faces].mean(axis=1)
    ring = np.arange(len(faces)) >= len(topology.triangles())
    order = np.lexsort((-depth, ~ring))  # the ring first, then the mesh from far to near
    nodes = grid.nodes_of(target_points[:, :2])
    owner = np.zeros(grid.shape, np.int32)
    corners = np.round(nodes[faces] * 256).astype(np.int32)
    for index in order:
        cv2.fillConvexPoly(owner, corners[index], int(index) + 1, cv2.LINE_8, shift=8)
    affine = _triangle_maps(nodes[faces], source_points[faces, :2])
    whole = _best_affine(nodes, source_points[:, :2])
    affine = np.concatenate([whole[None], affine])
    column, row = np.meshgrid(
        np.arange(grid.columns, dtype=np.float32), np.arange(grid.rows, dtype=np.float32)
    )
    chosen = affine[owner]
    mapped = chosen[..., 0] * column[..., None] + chosen[..., 1] * row[..., None] + chosen[..., 2]
    smooth = cv2.GaussianBlur(mapped, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(smooth.transpose(2, 0, 1), np.float32)


def _with_ring(landmarks: FloatArray) -> tuple[FloatArray, topology.IntArray]:
    """The landmarks and a ring of 36 points around the oval, with all triangles."""
    oval = landmarks[topology.FACE_OVAL]
    centre = oval.mean(axis=0)
    outer = centre + (oval - centre) * np.float32(_RING)
    count = len(topology.FACE_OVAL)
    inner_index = topology.FACE_OVAL
    outer_index = np.arange(topology.POINTS, topology.POINTS + count, dtype=np.int32)
    following = np.roll(np.arange(count), -1)
    ring = np.concatenate(
        [
            np.stack([inner_index, outer_index, outer_index[following]], axis=1),
            np.stack([inner_index, outer_index[following], inner_index[following]], axis=1),
        ]
    )
    points = np.concatenate([landmarks, outer]).astype(np.float32)
    return points, np.concatenate([topology.triangles(), ring]).astype(np.int32)


def _triangle_maps(nodes: FloatArray, source: FloatArray) -> FloatArray:
    """Affine maps N x 2 x 3 (grid node to source pixel) of N triangles (N x 3 x 2 each).

    A triangle that is seen edge-on has no such map; it covers no node either, and gets a
    regularised one so that nothing becomes infinite.
    """
    edges = np.stack([nodes[:, 1] - nodes[:, 0], nodes[:, 2] - nodes[:, 0]], axis=2)
    images = np.stack([source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]], axis=2)
    edges = edges.astype(np.float64)
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    area = np.where(np.abs(area) < 1e-2, np.where(area < 0, -1e-2, 1e-2), area)
    inverse = np.empty_like(edges)
    inverse[:, 0, 0], inverse[:, 1, 1] = edges[:, 1, 1], edges[:, 0, 0]
    inverse[:, 0, 1], inverse[:, 1, 0] = -edges[:, 0, 1], -edges[:, 1, 0]
    linear = images @ (inverse / area[:, None, None])
    offset = source[:, 0] - np.einsum("nij,nj->ni", linear, nodes[:, 0])
    return np.concatenate([linear, offset[..., None]], axis=2).astype(np.float32)


def _best_affine(nodes: FloatArray, source: FloatArray) -> FloatArray:
    """Least-squares affine map 2 x 3 from grid nodes to source pixels."""
    known = np.column_stack([nodes, np.ones(len(nodes))]).astype(np.float64)
    solution, *_ = np.linalg.lstsq(known, source.astype(np.float64), rcond=None)
    return np.asarray(solution.T, np.float32)


def spacing(x: FloatArray, y: FloatArray) -> float:
    """Typical distance of neighbouring samples of a map, in its units.

    The median over the map of the square root of the area that one cell spans.
    """
    right_x, right_y = np.diff(x, axis=1)[:-1], np.diff(y, axis=1)[:-1]
    down_x, down_y = np.diff(x, axis=0)[:, :-1], np.diff(y, axis=0)[:, :-1]
    return float(np.sqrt(np.median(np.abs(right_x * down_y - down_x * right_y))))


def sample(window: Window, points: FloatArray) -> FloatArray:
    """Bicubic values of a picture's window at points of that picture.

    Only the part that is touched is converted, so that memory follows the points and not the
    window. Points outside take the nearest border pixel.

    Args:
        points: h x w x 2 float32, x and y in pixels of the picture.

    Returns:
        h x w x 3 float32 in [0, 1], encoded as in the window.
    """
    x, y = np.ascontiguousarray(np.moveaxis(window.inward(points), -1, 0))
    height, width = window.pixels.shape[:2]
    low = [int(np.floor(plane.min())) - _MARGIN for plane in (x, y)]
    high = [int(np.ceil(plane.max())) + _MARGIN for plane in (x, y)]
    left, top = int(np.clip(low[0], 0, width - 1)), int(np.clip(low[1], 0, height - 1))
    right, bottom = int(np.clip(high[0], left + 1, width)), int(np.clip(high[1], top + 1, height))
    part = window.pixels[top:bottom, left:right]
    values = cv2.remap(
        part.astype(np.float32) * np.float32(1.0 / np.iinfo(part.dtype).max),
        x - np.float32(left),
        y - np.float32(top),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(np.clip(values, 0.0, 1.0), np.float32)
