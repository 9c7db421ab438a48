"""The dense map from the target's face to the source's, and sampling along it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import ByteArray, FloatArray
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology
from preprocess.window import Window

_RING = 1.45  # the mesh is continued outwards to this multiple of the oval
_SMOOTHING = 1.2  # nodes; softens the kinks along the triangles' edges
_FOLD = 0.05  # of the face's width: a step in depth between neighbouring nodes that hides something
_FOLD_REACH = 3  # nodes beside a fold that the smoothing stays away from
_SLIVER = 0.4  # nodes; less high triangles are slivers
_FINE = 256  # steps per node in which corners are given to the rasteriser
_MARGIN = 6  # source pixels around a block that interpolation may touch


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """The triangles of a face's mesh under the nodes of a grid: carries point values onto it.

    Where a turned head folds the mesh over itself, the triangle nearest to the camera wins and
    those seen from behind lose to all others. Outside the oval the mesh continues by a ring of
    proportional size, and beyond that by the affine map that fits all points best.

    owner: rows x columns, 1 + the index of the triangle, 0 beyond the ring. nodes: 504 x 2, the
    points and the ring in grid coordinates. fold: rows x columns in [0, 1], 1 beside edges where
    the mesh hides a part of itself, and where the lips meet.
    """

    owner: NDArray[np.int32]
    nodes: FloatArray
    fold: FloatArray

    @classmethod
    def of(cls, grid: FaceGrid, landmarks: FloatArray) -> Cover:
        """Lay the mesh of ``landmarks``, 468 x 3 target pixels, over the grid."""
        points, faces = with_ring(landmarks), _faces()
        nodes = grid.nodes_of(points[:, :2])
        corners = nodes[faces]
        depth = points[:, 2][faces].mean(axis=1)
        ring = np.arange(len(faces)) >= len(topology.triangles())
        # What wins comes last. Slivers only fill gaps: the rasteriser paints beyond their edges,
        # where their steep maps run away.
        order = np.lexsort((-depth, front_area(corners) > 0, _height(corners) > _SLIVER, ~ring))
        owner = np.zeros(grid.shape, np.int32)
        fixed = np.round(corners * _FINE).astype(np.int32)
        for index in order.tolist():
            cv2.fillConvexPoly(owner, fixed[index], index + 1, cv2.LINE_8, shift=8)
        return cls(owner, nodes, _softened(_folds(owner, points, faces), nodes))

    def carry(self, values: FloatArray) -> FloatArray:
        """Values at the points and the ring (504 x C) to the nodes, C x rows x columns.

        Linear over each triangle, softened along the edges except beside a fold, where that
        would mix places that are far apart.
        """
        faces = _faces()
        whole = _best_affine(self.nodes, values)
        inside = _triangle_maps(self.nodes[faces], values[faces], whole)
        affine = np.concatenate([whole[None], inside])
        row, column = (np.arange(count, dtype=np.float32) for count in self.owner.shape)
        maps = np.empty((values.shape[1], *self.owner.shape), np.float32)
        for channel, plane in enumerate(maps):
            across, down, level = np.ascontiguousarray(affine[:, channel].T)
            raw = across.take(self.owner) * column
            raw += down.take(self.owner) * row[:, None]
            raw += level.take(self.owner)
            soft = cv2.GaussianBlur(raw, (0, 0), _SMOOTHING, borderType=cv2.BORDER_REPLICATE)
            plane[...] = soft + (raw - soft) * self.fold
        return maps


def with_ring(landmarks: FloatArray) -> FloatArray:
    """The 468 landmarks and a ring of 36 points around the oval, 504 x 3."""
    oval = landmarks[topology.FACE_OVAL]
    outer = oval + (oval - oval.mean(axis=0)) * np.float32(_RING - 1)
    return np.concatenate([landmarks, outer]).astype(np.float32)


def level_ring(values: FloatArray) -> FloatArray:
    """Values at the 468 points (468 x C), and on the ring those of the oval: 504 x C."""
    return np.concatenate([values, values[topology.FACE_OVAL]]).astype(np.float32)


def front_area(corners: FloatArray) -> FloatArray:
    """Twice the area of N triangles of the mesh (N x 3 x 2); negative if seen from behind."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.float32)


def _height(corners: FloatArray) -> FloatArray:
    """The least height of N triangles (N x 3 x 2)."""
    edges = corners - np.roll(corners, 1, axis=1)
    longest = np.sqrt(np.square(edges).sum(axis=2).max(axis=1))
    return np.asarray(np.abs(front_area(corners)) / np.maximum(longest, 1e-6), np.float32)


@lru_cache(maxsize=1)
def _faces() -> topology.IntArray:
    """The mesh's triangles and those of the ring."""
    inner = topology.FACE_OVAL
    count = len(inner)
    outer = np.arange(topology.POINTS, topology.POINTS + count, dtype=np.int32)
    following = np.roll(np.arange(count), -1)
    ring = [
        np.stack([inner, outer, outer[following]], axis=1),
        np.stack([inner, outer[following], inner[following]], axis=1),
    ]
    return np.concatenate([topology.triangles(), *ring]).astype(np.int32)


def _folds(owner: NDArray[np.int32], points: FloatArray, faces: topology.IntArray) -> ByteArray:
    """1 at neighbouring nodes whose triangles share no corner and differ in depth."""
    step = _FOLD * float(np.ptp(points[topology.FACE_OVAL, :2], axis=0).max())
    mesh = topology.triangles()
    # Triangles of the ring and places beyond it compare with nothing: their depth is not known.
    depth = np.full(len(faces) + 1, np.nan, np.float32)
    depth[1 : len(mesh) + 1] = points[:, 2][mesh].mean(axis=1)
    level = depth.take(owner)
    edges = np.zeros(owner.shape, np.uint8)
    for here, there, found in (
        (np.s_[:, :-1], np.s_[:, 1:], edges[:, :-1]),
        (np.s_[:-1], np.s_[1:], edges[:-1]),
    ):
        place = np.nonzero(np.abs(level[here] - level[there]) > step)
        one, other = (faces[owner[side][place] - 1] for side in (here, there))
        found[place] |= ~(one[:, :, None] == other[:, None, :]).any(axis=(1, 2))
    return edges


def _softened(edges: ByteArray, nodes: FloatArray) -> FloatArray:
    """See `Cover.fold`; the line where the lips meet is one too: behind it lie the teeth."""
    side = 2 * _FOLD_REACH + 1
    wide = cv2.dilate(edges, np.ones((side, side), np.uint8)) if edges.any() else edges
    line = np.round(nodes[topology.INNER_LIPS] * _FINE).astype(np.int32)
    cv2.polylines(wide, [line], True, 1, side, cv2.LINE_8, shift=8)
    return np.asarray(cv2.GaussianBlur(wide.astype(np.float32), (0, 0), 1.0), np.float32)


def _triangle_maps(nodes: FloatArray, values: FloatArray, whole: FloatArray) -> FloatArray:
    """Affine maps N x C x 3 (grid node to value) of N triangles.

    A sliver, such as those between closed lips, has no such map: it would run away within half a
    node. Along its longest edge it follows the values there, and across it the whole face.

    Args:
        nodes: N x 3 x 2 grid coordinates of the corners.
        values: N x 3 x C values at them.
        whole: C x 3, the affine map that fits the whole face.
    """
    a, b = (nodes[:, k].astype(np.float64) - nodes[:, 0] for k in (1, 2))
    u, v = (values[:, k].astype(np.float64) - values[:, 0] for k in (1, 2))
    sliver = (_height(nodes) < _SLIVER)[:, None]
    area = np.where(sliver, 1.0, (a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1])[:, None])
    across = (u * b[:, 1:] - v * a[:, 1:]) / area
    down = (v * a[:, :1] - u * b[:, :1]) / area
    edge, rise = _longest_edges(nodes, values)
    # What the values do along the edge besides what the whole face does.
    rise = rise - edge[:, :1] * whole[:, 0] - edge[:, 1:] * whole[:, 1]
    across = np.where(sliver, whole[:, 0] + rise * edge[:, :1], across)
    down = np.where(sliver, whole[:, 1] + rise * edge[:, 1:], down)
    centre = nodes.mean(axis=1)
    level = values.mean(axis=1) - across * centre[:, :1] - down * centre[:, 1:]
    return np.stack([across, down, level], axis=2).astype(np.float32)


def _longest_edges(nodes: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of N triangles: the direction of the longest edge, N x 2, and the slope along it, N x C."""
    edges = np.roll(nodes, -1, axis=1) - nodes
    lengths = np.sqrt(np.square(edges).sum(axis=2))
    which = lengths.argmax(axis=1)
    every = np.arange(len(nodes))
    length = np.maximum(lengths[every, which], 1e-6)[:, None]
    change = np.roll(values, -1, axis=1) - values
    return edges[every, which] / length, change[every, which] / length


def _best_affine(nodes: FloatArray, values: FloatArray) -> FloatArray:
    """Least-squares affine map C x 3 from grid nodes (N x 2) to values there (N x C)."""
    known = np.column_stack([nodes, np.ones(len(nodes))]).astype(np.float64)
    squares = np.einsum("ni,nj->ij", known, known)
    products = np.einsum("ni,nc->ic", known, values.astype(np.float64))
    return np.asarray(np.linalg.solve(squares, products).T, np.float32)


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
    # Plane by plane, as maps over a grid lie in memory.
    x, y = (
        np.asarray((points[..., axis] + 0.5) * factor - offset - 0.5, np.float32)
        for axis, (factor, offset) in enumerate(zip(window.factor, window.offset, strict=True))
    )
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
