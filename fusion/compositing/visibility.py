"""Which places of a face its picture shows, and what the other half lends to the rest."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray
from fusion.compositing import masks
from fusion.compositing.grid import FaceGrid
from fusion.compositing.warp import Cover, front_area, level_ring, sample, with_ring
from preprocess import face_topology as topology
from preprocess.window import Window

_SMEARED, _CLEAR = 0.4, 0.75  # source pixels per expected one: stretched 2.5 x, hardly
_BEHIND = 0.07  # of the face's width: that far behind another triangle a point is hidden
_VIEW = 160  # px across the face in which triangles hide each other
_ROUNDS = 4  # of averaging with neighbouring points: the mesh's depth is rough
_BETTER, _MUCH_BETTER = 0.2, 0.5  # by how much the other half shows a place more clearly
_MOST = 0.4  # of a feature that the other half shows better: then it lends the whole
_RELAXING = 24  # rounds, in which shares between features become smooth
_SOFTNESS = 3.0  # nodes
_LIFT = (1.4, 2.4)  # stops by which a shadow's weakest colour is raised: all right, too far
_LIFT_GAIN = (0.5, 1.2)  # stops by which the other half needs less
_CAST = (0.75, 1.15)  # stops between a shadow's colours: it has a light of its own
_AROUND = 0.05  # of the face's width: brightness is measured over that
_NOISE = 0.004  # of full light

_RIGHT_FEATURES = (
    np.concatenate([topology.RIGHT_EYE_REGION, topology.RIGHT_BROW]),
    topology.indices("61 185 40 39 37 146 91 181 84 78 191 80 81 82 95 88 178 87 62 76 57 "),
    topology.indices("48 64 98 97 129 102 49 209 198 131 134 51 45 220 115 218 219 235 240"),
)
"""Points of the right half that must come from one half together: eye, lips, wing of the nose."""
_RIGHT_CHEEK = topology.indices("117 118 101 36 205 50 123 187")


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """A source's two halves on a grid over the target: its own places and their counterparts.

    own, other: 2 x rows x columns, the source pixel of a node's place and that of the mirrored
    place. counterpart: 2 x rows x columns, the target pixel of the mirrored place. seen,
    other_seen: rows x columns in [0, 1], how well the source shows each: 1 as seen from the
    front, 0 hidden or smeared. turned: rows x columns in [0, 1], how much of the mirrored half
    to take because the head is turned.
    """

    own: FloatArray
    other: FloatArray
    counterpart: FloatArray
    seen: FloatArray
    other_seen: FloatArray
    turned: FloatArray

    @classmethod
    def of(
        cls,
        grid: FaceGrid,
        target: FloatArray,
        source: FloatArray,
        unlit: FloatArray | None = None,
    ) -> Halves:
        """Compare two faces.

        Args:
            target, source: 468 x 3 landmarks in pixels of either picture.
            unlit: 468 values in [0, 1] of `underlit`: places that count as not seen.
        """
        mirror = topology.mirrored()
        seen = shown(source, target)
        if unlit is not None:
            seen = seen * (1 - unlit)
        share = _share(seen)
        values = np.concatenate(
            [
                with_ring(source)[:, :2],
                with_ring(source[mirror])[:, :2],
                with_ring(target[mirror])[:, :2],
                level_ring(np.stack([seen, seen[mirror], share], axis=1)),
            ],
            axis=1,
        )
        maps = Cover.of(grid, target).carry(values)
        soft = [_soft(np.clip(plane, 0, 1)) for plane in maps[6:]]
        return cls(maps[0:2], maps[2:4], maps[4:6], *soft)

    def filled(
        self, grid: FaceGrid, over_source: FloatArray, lent: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """What to take from the mirrored half, and where neither half has anything.

        What is hidden is never taken: a pixel made of (1 - plain) times the two halves mixed by
        share, and of plain times something else, has no more of its own place than is seen.

        Args:
            over_source: rows x columns in [0, 1]: hair or spectacles over the source's face,
                already in the target's shape.
            lent: rows x columns in [0, 1], where the mirrored half may be taken.

        Returns:
            (share of the mirrored half, plain), both rows x columns in [0, 1].
        """
        if not over_source.any() and not self.turned.any():
            return self.turned, np.zeros_like(self.turned)
        x, y = np.ascontiguousarray(np.moveaxis(grid.nodes_of(_last(self.counterpart)), -1, 0))
        over_other = cv2.remap(over_source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        free = masks.smoothstep((self.other_seen * (1 - over_other) - 0.3) / 0.4) * lent
        hidden = over_source + (1 - over_source) * (1 - masks.smoothstep(self.seen / 0.3))
        plain = np.clip(hidden * (1 - free), 0, 1)
        wanted = hidden + (1 - hidden) * self.turned
        share = np.clip(wanted * free / np.maximum(1 - plain, np.float32(1e-3)), 0, 1)
        return np.asarray(share, np.float32), np.asarray(plain, np.float32)


def _last(planes: FloatArray) -> FloatArray:
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def underlit(target: tuple[FloatArray, Window], source: tuple[FloatArray, Window]) -> FloatArray:
    """Where the source lies in a shadow that the target's light would have to lift too far.

    In a deep shadow there is little but noise and the colours of stray light; brought to a
    brighter target it looks like paint. Only a shadow of another colour that the other half
    does not have counts, and not what the whole face lacks against the target.

    Args:
        target, source: Landmarks (468 x 3) and pixels of either picture around the face.

    Returns:
        468 values in [0, 1].
    """
    wanted, given = (_light_at(*face) for face in (target, source))
    lift = np.log2(wanted / given)
    mirror = topology.mirrored()
    other = np.log2(wanted / given[mirror])
    usual = np.median(lift[topology.RIGID], axis=0)  # what the light's match does everywhere
    cast = _averaged(np.ptp(lift - usual, axis=1))
    lift, other = (_averaged((each - usual).max(axis=1)) for each in (lift, other))
    gain = lift - np.maximum(other, 0)
    ramps = ((lift, _LIFT), (gain, _LIFT_GAIN), (cast, _CAST))
    shares = [masks.smoothstep((value - low) / (high - low)) for value, (low, high) in ramps]
    unlit = np.asarray(np.prod(shares, axis=0), np.float32)
    for cheek, eye in zip((_RIGHT_CHEEK, mirror[_RIGHT_CHEEK]), _features()[:2], strict=True):
        # Lids and brows are dark of their own: the cheek below tells the light.
        unlit[eye] = np.maximum(unlit[eye], unlit[cheek].mean())
    return unlit


def _light_at(landmarks: FloatArray, window: Window) -> FloatArray:
    """About the linear light around each point, at least that of noise, 468 x 3."""
    width = float(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0).max()) * window.scale
    values = sample(window.shrunk(width * _AROUND), landmarks[None, :, :2])[0]
    return np.asarray(np.square(values) + _NOISE, np.float32)


def _averaged(values: FloatArray) -> FloatArray:
    for _ in range(_ROUNDS):
        values = values / 2 + values[topology.neighbours()].mean(axis=1) / 2
    return values


def shown(source: FloatArray, target: FloatArray) -> FloatArray:
    """How well the source's picture shows each point, 468 values in [0, 1].

    From the triangles around a point: how much less wide they are in the source than a face of
    its size in the target's pose would have them; 0 for those seen from behind or through
    others. Averaged over neighbours.

    Args:
        source, target: 468 x 3 landmarks.
    """
    faces = topology.triangles()
    corners, wanted = source[faces], target[faces, :2]
    area = front_area(wanted)
    scale = _size(source) / _size(target)
    linear = _linear_maps(wanted, corners[..., :2])
    squares = np.einsum("nij,nij->n", linear, linear)
    det = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
    root = np.sqrt(np.maximum(squares * squares - 4 * det * det, 0.0))
    least = np.sqrt(np.maximum(squares - root, 0.0) / 2) * np.sign(det) / scale
    clear = masks.smoothstep(np.asarray((least - _SMEARED) / (_CLEAR - _SMEARED), np.float32))
    weight = np.maximum(area, 0.0) * ~_openings()
    total = np.zeros(topology.POINTS)
    value = np.zeros(topology.POINTS)
    np.add.at(total, faces, weight[:, None])
    np.add.at(value, faces, (weight * clear)[:, None])
    # Points that the target hides as well are of no account: they follow their neighbours.
    trust = total + 1e-3 * max(float(total.mean()), 1e-6)
    value = (value + (trust - total)) * (~_covered(source) | _covered(target))
    for points in _features():
        value[points] = trust[points] * (value[points] / trust[points]).mean()
    for _ in range(_ROUNDS):
        value = value / 2 + value[topology.neighbours()].mean(axis=1) / 2
        trust = trust / 2 + trust[topology.neighbours()].mean(axis=1) / 2
    return np.asarray(np.clip(value / trust, 0, 1), np.float32)


def _features() -> list[topology.IntArray]:
    mirror = topology.mirrored()
    return [points for right in _RIGHT_FEATURES for points in (right, mirror[right])]


def _size(landmarks: FloatArray) -> float:
    rigid = landmarks[topology.RIGID]
    return float(np.sqrt(np.square(rigid - rigid.mean(axis=0)).sum(axis=1).mean()))


def _linear_maps(before: FloatArray, after: FloatArray) -> FloatArray:
    """N x 2 x 2: the linear parts that take triangles N x 3 x 2 to others."""
    a, b = before[:, 1] - before[:, 0], before[:, 2] - before[:, 0]
    u, v = after[:, 1] - after[:, 0], after[:, 2] - after[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    least = np.float32(1e-3 * float(np.abs(area).mean()) + 1e-9)
    area = np.where(np.abs(area) < least, np.where(area < 0, -least, least), area)[:, None]
    across = (u * b[:, 1:] - v * a[:, 1:]) / area
    down = (v * a[:, :1] - u * b[:, :1]) / area
    return np.asarray(np.stack([across, down], axis=2), np.float32)


def _openings() -> NDArray[np.bool_]:
    """Triangles whose corners are all of one eye or of the lips: their size is expression."""
    parts = (
        topology.RIGHT_EYE,
        topology.LEFT_EYE,
        np.concatenate([topology.INNER_LIPS, topology.OUTER_LIPS]),
    )
    return np.asarray(np.any([np.isin(topology.triangles(), p).all(axis=1) for p in parts], axis=0))


def _covered(landmarks: FloatArray) -> NDArray[np.bool_]:
    """Points that lie well behind the nearest triangle at their place."""
    faces = topology.triangles()
    low = landmarks[:, :2].min(axis=0)
    width = float(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0).max())
    factor = _VIEW / max(width, 1e-6)
    places = (landmarks[:, :2] - low) * np.float32(factor)
    extent = np.ceil(places.max(axis=0)).astype(int) + 2
    depth = landmarks[:, 2][faces].mean(axis=1)
    owner = np.zeros((int(extent[1]), int(extent[0])), np.int32)
    fixed = np.round(places[faces] * 16).astype(np.int32)
    for index in np.argsort(-depth, kind="stable").tolist():
        cv2.fillConvexPoly(owner, fixed[index], index + 1, cv2.LINE_8, shift=4)
    column, row = np.round(places).astype(int).T
    nearest = np.concatenate([[np.inf], depth])[owner[row, column]]
    return np.asarray(landmarks[:, 2] - nearest > _BEHIND * width)


def _share(seen: FloatArray) -> FloatArray:
    """How much of the mirrored half each point takes, 468 values in [0, 1].

    A feature's points agree on all or nothing, so that no two eyes, lips or nostrils show at
    once; the skin between passes smoothly from one half to the other.
    """
    mirror = topology.mirrored()
    gain = seen[mirror] - seen
    share = masks.smoothstep((gain - _BETTER) / (_MUCH_BETTER - _BETTER))
    if not share.any():
        return share
    fixed = np.zeros(topology.POINTS, bool)
    for points in _features():
        share[points] = share[points].mean() > _MOST
        fixed[points] = True
    fixed[topology.neighbours()[topology.MIDLINE]] = False  # both halves agree there
    for _ in range(_RELAXING):
        around = share[topology.neighbours()].mean(axis=1)
        share = np.where(fixed, share, share / 2 + around / 2)
    return np.asarray(share, np.float32)


def _soft(matte: FloatArray) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(matte, (0, 0), _SOFTNESS), np.float32)
