"""Moves a target's features and outline towards another face's proportions.

Two faces' shapes are compared after position, size and turn are taken out in 3-D. Both are made
symmetrical first, each point seen better counting more, because the mesh's depth is rough on a
turned head. Mouth and lids keep their state: that is expression.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import FloatArray
from fusion.compositing import masks
from fusion.compositing.grid import FaceGrid
from fusion.compositing.warp import Cover, level_ring
from preprocess import face_topology as topology

SURROUNDINGS = 0.35
"""Beyond the face, in its widths, nothing moves any more."""
_LONGEST = 0.1  # of the face's width: longer moves are bent towards this
_LEAST_AREA = 0.35  # of a place after the move; below, the whole move is made smaller
_SOFTNESS = 0.012  # of the face's width
_STAIRS = 1.5  # nodes
_CHECK_NODES = 64  # across the face
_EVERY = 4  # nodes: what lies around the face moves smoothly
OWN = 0.7
"""How far eyes, brows, nose and lips have the source's own form and place at any amount.

Squeezed into the target's proportions they lose the likeness that a fusion is for; this far they
stay within the drift at which a face keeps its pose and expression (docs/quality.md).
"""
_FEATURE_GAIN = 2.2  # features carry a likeness more than the outline, and are less in the way
_EYE_SCALES = (0.85, 1.18)
_BROW_LIFT = 0.7  # the rest of a brow's height is expression
_SMILE = 0.14  # difference of the mouths' widths that counts as expression


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A face's own axes: to the person's left, down to the chin and into the head.

    axes: 3 x 3, the directions as columns. centre: of the rigid points.
    """

    axes: FloatArray
    centre: FloatArray

    @classmethod
    def of(cls, landmarks: FloatArray) -> Frame:
        mirror = topology.mirrored()
        beside = landmarks - landmarks[mirror]
        side = mirror > np.arange(topology.POINTS)  # the right half
        across = -beside[side].sum(axis=0).astype(np.float64)
        across /= np.linalg.norm(across)
        down = (landmarks[topology.CHIN] - landmarks[topology.FOREHEAD]).astype(np.float64)
        down -= across * (across @ down)
        down /= np.linalg.norm(down)
        axes = np.stack([across, down, np.cross(across, down)], axis=1)
        centre = landmarks[topology.RIGID].mean(axis=0)
        return cls(axes.astype(np.float32), centre.astype(np.float32))

    def inward(self, points: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("nj,jk->nk", points - self.centre, self.axes), np.float32)

    def outward(self, moves: FloatArray) -> FloatArray:
        """Directions, not places."""
        return np.asarray(np.einsum("nk,jk->nj", moves, self.axes), np.float32)


def aligned(points: FloatArray, onto: FloatArray, *, scaled: bool = True) -> FloatArray:
    """A face moved, turned and scaled in 3-D so that its rigid points lie on another's.

    The least-squares similarity of Umeyama (1991).

    Args:
        points, onto: 468 x 3.
    """
    here, there = (p[topology.RIGID].astype(np.float64) for p in (points, onto))
    middle, place = here.mean(axis=0), there.mean(axis=0)
    here, there = here - middle, there - place
    u, singular, v = np.linalg.svd(np.einsum("ni,nj->ij", there, here))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    turn = np.einsum("ij,j,jk->ik", u, sign, v)
    scale = float((singular * sign).sum() / np.square(here).sum()) if scaled else 1.0
    return np.asarray(scale * np.einsum("nj,ij->ni", points - middle, turn) + place, np.float32)


def symmetric(landmarks: FloatArray) -> FloatArray:
    """A face with both halves alike, each made from what is seen better; 468 x 3."""
    mirror = topology.mirrored()
    flipped = landmarks[mirror] * np.array([-1, 1, 1], np.float32)
    flipped = aligned(flipped, landmarks, scaled=False)
    faces = topology.triangles()
    a, b, c = (landmarks[faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    total = np.zeros((topology.POINTS, 3))
    for corner in range(3):
        np.add.at(total, faces[:, corner], normals)
    facing = total[:, 2] / np.maximum(np.linalg.norm(total, axis=1), 1e-9)
    seen = np.clip(facing, 0.05, 1.0)[:, None]
    return np.asarray(
        (landmarks * seen + flipped * seen[mirror]) / (seen + seen[mirror]), np.float32
    )


def reshaped(
    target: FloatArray, irises: FloatArray, source: FloatArray, amount: float
) -> tuple[FloatArray, FloatArray]:
    """The target's points moved towards the source's proportions.

    Args:
        target, source: 468 x 3 landmarks in pixels of either picture.
        irises: 2 x 5 x 2, the target's.
        amount: 0 leaves the outline as it is and moves features by `OWN`, 1 moves all the way.

    Returns:
        (landmarks, irises) of the target afterwards.
    """
    change = _difference(target, source)
    features = 1 - (1 - OWN) * (1 - amount) ** _FEATURE_GAIN
    share = amount + (features - amount) * _inner()
    change = change * share[:, None]
    change *= _bearable(target, change)
    moved = []
    for eye, region in zip(irises, _EYES, strict=True):
        ring = region[:16]
        scale, start, end = _similarity(target[ring, :2], target[ring, :2] + change[ring, :2])
        moved.append((eye - start) * scale + end)
    return np.asarray(target + change, np.float32), np.asarray(moved, np.float32)


_EYES = (topology.RIGHT_EYE_REGION, topology.LEFT_EYE_REGION)
_BROWS = np.concatenate([topology.RIGHT_BROW, topology.LEFT_BROW])
_LIPS = np.union1d(
    np.concatenate([topology.INNER_LIPS, topology.OUTER_LIPS]),
    topology.indices("62 76 57 292 306 287 183 42 41 38 12 268 271 272 407 96 89 179 86 15 316 "
                     "403 319 325 184 74 73 72 11 302 303 304 408 77 90 180 85 16 315 404 320 307"),
)  # fmt: skip


def _difference(target: FloatArray, source: FloatArray) -> FloatArray:
    """How the target's points would have to move, 468 x 3, in its own pixels."""
    here = symmetric(target)
    there = aligned(symmetric(source), here)
    frame = Frame.of(here)
    a, b = frame.inward(here), frame.inward(there)
    change = b - a
    _drop_opening(change, a, b)
    _drop_smile(change, a, b)
    change[_BROWS, 1] *= _BROW_LIFT
    for _ in range(2):
        change = change / 2 + change[topology.neighbours()].mean(axis=1) / 2
    for region in _EYES:
        _keep_lids(change, a, b, region)
    width = float(np.ptp(a[topology.FACE_OVAL, 0]))
    length = np.linalg.norm(change, axis=1, keepdims=True) / (_LONGEST * width)
    change = change / np.sqrt(1 + length**2)
    return np.asarray(frame.outward(change.astype(np.float32)), np.float32)


def jaw_share(points: FloatArray) -> FloatArray:
    """How far each point goes along with the jaw, 468 values in [0, 1]; points in `Frame`."""
    mouth = points[list(topology.MOUTH_CORNERS)].mean(axis=0)
    height = float(points[topology.CHIN, 1] - mouth[1])
    width = float(np.ptp(points[topology.FACE_OVAL, 0]))
    lower = masks.smoothstep((points[:, 1] - mouth[1]) / (0.3 * height) + 0.5)
    aside = masks.smoothstep(np.abs(points[:, 0] - mouth[0]) / (0.5 * width))
    share = lower * (1 - 0.85 * aside)
    lips = np.isin(np.arange(topology.POINTS), _LIPS)
    upper = points[:, 1] < np.interp(points[:, 0], *_lip_line(points))
    return np.asarray(np.where(lips, np.where(upper, 0.0, 1.0), share), np.float32)


def _lip_line(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Between the inner lips from corner to corner: x rising, and y."""
    above = points[topology.INNER_LIPS[:11]]
    below = points[np.concatenate([topology.INNER_LIPS[:1], topology.INNER_LIPS[:9:-1]])]
    line = (above + below) / 2
    order = np.argsort(line[:, 0], kind="stable")
    return line[order, 0], line[order, 1]


def _drop_opening(change: FloatArray, here: FloatArray, there: FloatArray) -> None:
    """Take out what one mouth is open more than the other."""
    gap = [p[topology.LOWER_LIP_INSIDE, 1] - p[topology.UPPER_LIP_INSIDE, 1] for p in (here, there)]
    change[:, 1] -= jaw_share(here) * (gap[1] - gap[0])


def _drop_smile(change: FloatArray, here: FloatArray, there: FloatArray) -> None:
    """Keep of the lips' own change of form what is not a smile."""
    corners = list(topology.MOUTH_CORNERS)
    width = [float(np.ptp(p[corners, 0])) for p in (here, there)]
    open_by = [p[14, 1] - p[13, 1] for p in (here, there)]
    apart = (width[1] / width[0] - 1) / _SMILE
    opened = (open_by[1] - open_by[0]) / (0.12 * width[0])
    alike = float(np.exp(-(apart**2) - opened**2))
    middle = change[_LIPS].mean(axis=0)
    change[_LIPS] = middle + (change[_LIPS] - middle) * alike


def _keep_lids(
    change: FloatArray, here: FloatArray, there: FloatArray, region: topology.IntArray
) -> None:
    """Move an eye and its lids as one, by the place and size of its corners' distance."""
    corners = region[[0, 8]]
    start, end = here[corners].mean(axis=0), there[corners].mean(axis=0)
    scale = np.linalg.norm(np.diff(there[corners], axis=0))
    scale = scale / np.linalg.norm(np.diff(here[corners], axis=0))
    wanted = (here[region] - start) * (np.clip(scale, *_EYE_SCALES) - 1) + (end - start)
    share = np.zeros(len(region), np.float32)
    share[:32] = 1.0  # the lids' edges and the ring around them
    share[32:49] = 0.6
    change[region] += (wanted - change[region]) * share[:, None]


def _similarity(before: FloatArray, after: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Growth about the middle, the middle before and after."""
    start, end = before.mean(axis=0), after.mean(axis=0)
    size = [float(np.square(p - m).sum()) for p, m in ((before, start), (after, end))]
    return float(np.sqrt(size[1] / max(size[0], 1e-12))), start, end


def _inner() -> FloatArray:
    """1 at the features, 0 along the outline: 468 values."""
    rings = np.full(topology.POINTS, 9.0, np.float32)
    rings[topology.FACE_OVAL] = 0
    for _ in range(5):
        rings = np.minimum(rings, rings[topology.neighbours()].min(axis=1) + 1)
    return masks.smoothstep(np.asarray(rings / 4, np.float32))


def _bearable(target: FloatArray, change: FloatArray) -> float:
    """A factor to ``change`` at which no place shrinks too much or folds over."""
    width = float(np.ptp(target[topology.FACE_OVAL, :2], axis=0).max())
    grid = neighbourhood(target, width / _CHECK_NODES)
    after = (target + change).astype(np.float32)
    d = displacement(grid, target, after) / np.float32(grid.step)
    left_x, up_x = np.diff(d[0], axis=1)[:-1], np.diff(d[0], axis=0)[:, :-1]
    left_y, up_y = np.diff(d[1], axis=1)[:-1], np.diff(d[1], axis=0)[:, :-1]
    factor = 1.0
    for _ in range(12):
        area = (1 + factor * left_x) * (1 + factor * up_y) - factor**2 * up_x * left_y
        if float(area.min()) >= _LEAST_AREA:
            break
        factor *= 0.85
    return factor


def neighbourhood(landmarks: FloatArray, step: float) -> FaceGrid:
    """The grid over all that `displacement` may move around a face, 468 x 3."""
    width = float(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0).max())
    return FaceGrid.over(landmarks[:, :2], (SURROUNDINGS + _LONGEST) * width + 3 * step, step)


def displacement(grid: FaceGrid, before: FloatArray, after: FloatArray) -> FloatArray:
    """From where the target is shown once its points have moved.

    Inside the face linear over the mesh; around it the outline's movement, weighted by nearness,
    falls off smoothly to exactly 0 at `SURROUNDINGS` face widths.

    Args:
        grid: See `neighbourhood`.
        before, after: 468 x 3 target pixels.

    Returns:
        2 x rows x columns target pixels: a node at p shows the target at p + displacement.
    """
    change = (before - after)[:, :2]
    width = float(np.ptp(before[topology.FACE_OVAL, :2], axis=0).max())
    if not change.any():
        return np.zeros((2, *grid.shape), np.float32)
    inside = grid.fill(masks.hull(after[:, :2]))
    within = Cover.of(grid, after).carry(level_ring(change))
    around = _around(grid, after[topology.FACE_OVAL, :2], change[topology.FACE_OVAL])
    moves = around + (within - around) * inside
    sigma = max(_SOFTNESS * width / grid.step, 0.8)
    soft = [cv2.GaussianBlur(p, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for p in moves]
    return np.asarray(np.stack(soft) * _fall(grid, inside, SURROUNDINGS * width), np.float32)


def _fall(grid: FaceGrid, inside: FloatArray, reach: float) -> FloatArray:
    """1 inside, falling smoothly to exactly 0 at nine tenths of ``reach`` target pixels outside."""
    outside = (inside < 0.5).astype(np.uint8)
    nodes = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Whole squares: see masks.oval_matte. Whole nodes of an edge are stairs: softened.
    distance = cv2.GaussianBlur(np.sqrt(np.rint(nodes * nodes)), (0, 0), _STAIRS)
    share = distance * np.float32(grid.step / (0.9 * reach))
    return np.asarray(1 - masks.smoothstep(share), np.float32)


def _around(grid: FaceGrid, outline: FloatArray, change: FloatArray) -> FloatArray:
    """Values of the outline's points continued outwards, 2 x rows x columns."""
    coarse = grid.coarser(_EVERY)
    apart = coarse.positions()[:, :, None] - outline
    spacing = np.square(outline - np.roll(outline, 1, axis=0)).sum(axis=1).mean()
    weight = 1 / np.square(np.einsum("hwnc,hwnc->hwn", apart, apart) + np.float32(spacing))
    values = np.einsum("hwn,nc->chw", weight, change) / np.einsum("hwn->hw", weight)
    row, column = (np.arange(n, dtype=np.float32) / _EVERY for n in grid.shape)
    x, y = np.meshgrid(column, row)
    return np.stack(
        [
            cv2.remap(p.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for p in values
        ]
    )


def reach(moves: FloatArray) -> float:
    """The longest move of a `displacement`, target pixels."""
    return float(np.sqrt(np.square(moves).sum(axis=0).max()))
