"""Eyes: the source's irises where the target looks, and lids that are open in one face only."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import FloatArray
from fusion.compositing import masks
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology

EYE_CLOSED, EYE_OPEN = 0.09, 0.15
"""Gap between the lids over the eye's width: closed below the first, open above the second."""
_LID_BAND = 0.2  # of the eye's opening, over which the iris gives way to the lid's edge
_LID_MARGIN = 0.04  # of the source's opening that stays hidden under its lids
_SOFTNESS = 0.7  # nodes
_RINGS = 32  # points of an eye's region that are the lids' edges and the ring around them
_EYES = (
    (topology.RIGHT_EYE, topology.RIGHT_EYE_REGION),
    (topology.LEFT_EYE, topology.LEFT_EYE_REGION),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Eye:
    """One eye in its own axes: x from the outer corner to the inner one, y to the lower lid.

    upper, lower: x and y of the lids' edges, x rising. iris: its centre. radius: its mean
    radius. All in pixels of the picture.
    """

    corner: FloatArray
    along: FloatArray
    down: FloatArray
    upper: tuple[FloatArray, FloatArray]
    lower: tuple[FloatArray, FloatArray]
    iris: FloatArray
    radius: float

    @classmethod
    def of(cls, contour: FloatArray, iris: FloatArray) -> _Eye:
        """contour: 16 x 2, from the outer corner over the upper lid. iris: 5 x 2."""
        along = contour[8] - contour[0]
        along = along / max(float(np.hypot(*along)), 1e-6)
        down = np.array([-along[1], along[0]], np.float32)
        if float((contour[12] - contour[4]) @ down) < 0:
            down = -down
        axes = np.stack([along, down], axis=1)
        local = np.einsum("nj,jk->nk", contour - contour[0], axes)
        rim = np.linalg.norm(iris[1:] - iris[0], axis=1).mean()
        lids = [_rising(local[:9]), _rising(np.concatenate([local[8:], local[:1]]))]
        centre = np.einsum("j,jk->k", iris[0] - contour[0], axes)
        return cls(contour[0], along, down, lids[0], lids[1], centre, max(float(rim), 1e-3))

    @property
    def width(self) -> float:
        return float(self.upper[0][-1] - self.upper[0][0])

    @property
    def opening(self) -> float:
        """The lids' mean distance over the eye's width."""
        x = self.upper[0][0] + self.width * np.array([0.35, 0.5, 0.65], np.float32)
        gap = np.interp(x, *self.lower) - np.interp(x, *self.upper)
        return float(max(gap.mean(), 0.0) / max(self.width, 1e-6))


def _rising(line: FloatArray) -> tuple[FloatArray, FloatArray]:
    order = np.argsort(line[:, 0], kind="stable")
    return np.ascontiguousarray(line[order, 0]), np.ascontiguousarray(line[order, 1])


def _eye(landmarks: FloatArray, irises: FloatArray, which: int, *, mirrored: bool = False) -> _Eye:
    """Eye 0 is the person's right; ``mirrored`` takes the other one in its place."""
    contour = _EYES[which][0]
    if mirrored:
        contour = topology.mirrored()[contour]
        which = 1 - which
    return _Eye.of(landmarks[contour, :2], irises[which])


def openings(landmarks: FloatArray, irises: FloatArray) -> tuple[float, float]:
    """Mean gap between the lids over the eye's width, right and left eye."""
    return (_eye(landmarks, irises, 0).opening, _eye(landmarks, irises, 1).opening)


def aligned(
    grid: FaceGrid,
    origin: FloatArray,
    target: tuple[FloatArray, FloatArray],
    source: tuple[FloatArray, FloatArray],
    *,
    mirrored: bool = False,
) -> FloatArray:
    """A map whose irises lie where the target's are, round and of the target's size.

    Between the lids the mesh knows nothing of the gaze. Here each iris is moved and scaled onto
    its counterpart; the white of the eye stretches between it and the corners, and at the lids'
    edges the map is as before. What the source's lids hide of its iris is not shown.

    Args:
        origin: 2 x rows x columns source pixels of each node.
        target, source: Landmarks (468 x 3) and irises (2 x 5 x 2) in pixels of either picture.
        mirrored: ``origin`` leads to the source's mirrored half.

    Returns:
        A new map like ``origin``.
    """
    out = np.array(origin, np.float32)
    for which in (0, 1):
        eye, theirs = _eye(*target, which), _eye(*source, which, mirrored=mirrored)
        contour = grid.nodes_of(target[0][_EYES[which][0], :2])
        low = np.maximum(np.floor(contour.min(axis=0)).astype(int) - 2, 0)
        high = np.minimum(np.ceil(contour.max(axis=0)).astype(int) + 3, grid.shape[::-1])
        if (high - low < 3).any() or min(eye.opening, theirs.opening) < EYE_CLOSED:
            continue
        part = np.s_[:, low[1] : high[1], low[0] : high[0]]
        column, row = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        places = np.stack([grid.x + grid.step * column, grid.y + grid.step * row], axis=-1)
        ideal, weight = _gaze(eye, theirs, (places - eye.corner).astype(np.float32))
        shift = (np.moveaxis(ideal, -1, 0) - out[part]) * weight
        soft = [cv2.GaussianBlur(plane, (0, 0), _SOFTNESS) for plane in shift]
        out[part] += np.stack(soft)
    return out


def _gaze(eye: _Eye, theirs: _Eye, places: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Source pixels of places (from the eye's outer corner) by the irises, and their weight."""
    x = places[..., 0] * eye.along[0] + places[..., 1] * eye.along[1]
    y = places[..., 0] * eye.down[0] + places[..., 1] * eye.down[1]
    upper, lower = np.interp(x, *eye.upper), np.interp(x, *eye.lower)
    gap = float(eye.opening * eye.width)
    depth = np.minimum(y - upper, lower - y) / (_LID_BAND * gap)
    scale = theirs.radius / eye.radius
    their_x = theirs.iris[0] + (x - eye.iris[0]) * scale
    their_y = theirs.iris[1] + (y - eye.iris[1]) * scale
    margin = _LID_MARGIN * theirs.opening * theirs.width
    least = np.interp(their_x, *theirs.upper) + margin
    most = np.interp(their_x, *theirs.lower) - margin
    their_y = np.clip(their_y, least, np.maximum(most, least))
    ideal = theirs.corner + their_x[..., None] * theirs.along + their_y[..., None] * theirs.down
    ahead = x - eye.iris[0]
    room = np.where(ahead < 0, eye.iris[0] - eye.upper[0][0], eye.upper[0][-1] - eye.iris[0])
    room = np.maximum(room - eye.radius, 0.15 * eye.radius)
    beside = np.clip(1 - (np.abs(ahead) - eye.radius) / room, 0, 1)
    return ideal.astype(np.float32), np.asarray(
        masks.smoothstep(np.asarray(depth, np.float32)) * beside, np.float32
    )


def eyes_matte(
    grid: FaceGrid,
    target: tuple[FloatArray, FloatArray],
    source: tuple[FloatArray, FloatArray],
    feather: float,
) -> FloatArray:
    """1 over eyes that are closed in one face and open in the other: the target's stay there.

    Args:
        target, source: Landmarks (468 x 3) and irises (2 x 5 x 2).
        feather: Softness of the edges, target pixels.

    Returns:
        rows x columns float32 in [0, 1].
    """
    matte = np.zeros(grid.shape, np.float32)
    for (_, region), *gaps in zip(_EYES, openings(*target), openings(*source), strict=True):
        here, there = (_openness(gap) for gap in gaps)
        if here == there:
            continue
        ring = masks.hull(target[0][region[:_RINGS], :2])
        matte = np.maximum(matte, grid.fill(ring) * np.float32(abs(here - there)))
    if not matte.any():
        return matte
    return np.asarray(cv2.GaussianBlur(matte, (0, 0), max(feather / grid.step, 0.5)), np.float32)


def _openness(opening: float) -> float:
    share = (opening - EYE_CLOSED) / (EYE_OPEN - EYE_CLOSED)
    return float(masks.smoothstep(np.array(share, np.float32)))
