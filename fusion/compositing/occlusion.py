"""What lies in front of a face: hair, hats, spectacles, things held before it.

Decided once for each node of the face grid, from the face's own colours and texture, and refined
at the picture's resolution by a guided filter whose coefficients are kept on the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray
from fusion.compositing import masks, skin
from fusion.compositing.grid import FaceGrid
from fusion.compositing.skin import covered, dilated, disc, softened
from fusion.compositing.spectacles import WORN, WORN_IN_SOURCE, frame_matte
from preprocess import face_topology as topology

Mask = NDArray[np.bool_]

RADIUS, EPSILON = 5, 1e-3
"""Of the guided filter: nodes, and the square of a difference of encoded values."""

_STRONG, _WEAK = 0.75, 0.3  # an area counts if it holds strong nodes and reaches outside
_TRACE = (0.1, 0.3)  # likely enough in the gaps of a lock: not, entirely
_TAIL = 0.06
_SOLID = 0.96  # sure enough, above it, to need no refinement
_RARER = 1.0  # how much rarer something in front is well within the face
_COMMON = 0.25  # skin over hair above the mesh, where a fringe may begin

# Shares of the face's width.
_DEEP = 0.2
_FEATURE_MARGIN = 0.03
_CORE_MARGIN = 0.008
_FRAME_MARGIN = 0.012
_RIM = 0.03
_CROWD = 0.013
_GAP = 0.02
_BLEND = 0.02
_NOTCH = 0.1
_SHALLOW, _SHALLOW_REACH = 0.04, 0.07
_LOCK, _LOCK_REACH = 0.065, 0.07
_HAIR_GROWTH, _HAIR_SOFT = 0.024, 0.012
_FRAME_GROWTH, _FRAME_SOFT = 0.018, 0.008

_BEARDED = (0.16, 0.26)  # share of the chin that is not skin: none, full


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """What lies in front of a face.

    matte: rows x columns float32 in [0, 1]. glasses: whether the face wears spectacles, also
    where they are not part of the matte.
    """

    matte: FloatArray
    glasses: bool


def in_front(
    grid: FaceGrid, landmarks: FloatArray, wanted: FloatArray, width: float, keep_glasses: bool
) -> Occlusion:
    """What lies over the target's face and stays there.

    Eyes, brows, lips, moles, wrinkles and beards are the face and get replaced. What looks like a
    beard or like skin (a black microphone before the chin, a hand) cannot be told from them by
    colour and is taken for the face.

    Args:
        landmarks: 468 x 3 target pixels.
        wanted: rows x columns x 3, the target at the nodes, encoded in [0, 1].
        width: Of the face, target pixels.
        keep_glasses: Whether spectacles stay; if not they count as face.

    Returns:
        The matte is 1 also outside the face wherever that is not skin.
    """
    face = _Face.of(_Places.of(grid, landmarks, width), wanted, WORN)
    matte = face.hair(generous=False)
    if keep_glasses and face.frame is not None:
        matte = np.maximum(matte, face.frame)
    return Occlusion(matte, face.frame is not None)


def over_source(
    grid: FaceGrid, landmarks: FloatArray, given: FloatArray, width: float
) -> Occlusion:
    """What lies over the source's face and must not be carried over.

    Beards, make-up and brows are the person. Hair that only touches the outline is left out,
    because the fusion fades there.

    Args:
        landmarks: Of the target, 468 x 3 target pixels.
        given: rows x columns x 3, the source on the target's shape, encoded in [0, 1].
        width: Of the face, target pixels.

    Returns:
        The matte is grown so that no fringe stays; 0 outside the face but for its soft edge.
    """
    places = _Places.of(grid, landmarks, width)
    face, nodes = _Face.of(places, given, WORN_IN_SOURCE), places.nodes
    hair = face.hair(generous=True) * places.inside
    hair *= places.near(hair, _SHALLOW, _SHALLOW_REACH)
    matte = _grown(hair, _HAIR_GROWTH * nodes, _HAIR_SOFT * nodes)
    if face.frame is not None:
        frame = _grown(face.frame * places.inside, _FRAME_GROWTH * nodes, _FRAME_SOFT * nodes)
        matte = np.maximum(matte, frame)
    return Occlusion(matte, face.frame is not None)


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Where the mesh puts the parts of a face.

    All are rows x columns. inside: within the outline. features: of it eyes, brows and lips with
    a margin; core: with less. sure: skin on nearly every face. depth: 0 at the outline, 1 from a
    fifth of the width inwards. high: 1 above the nose's tip, 0 below the mouth. chin: around its
    middle. nodes: the face's width in nodes.
    """

    grid: FaceGrid
    landmarks: FloatArray
    nodes: float
    inside: Mask
    rarity: FloatArray
    features: Mask
    core: Mask
    sure: Mask
    depth: FloatArray
    high: FloatArray
    chin: Mask

    @classmethod
    def of(cls, grid: FaceGrid, landmarks: FloatArray, width: float) -> _Places:
        """From the target's landmarks (468 x 3) and the width of its face, target pixels."""
        nodes = width / grid.step
        inside = covered(grid, masks.outline(landmarks, masks.RAISED * width))
        features, sure = np.zeros(grid.shape, np.bool_), np.zeros(grid.shape, np.bool_)
        for feature in skin.FEATURES:
            features |= covered(grid, masks.hull(landmarks[feature, :2]))
        mesh = covered(grid, masks.hull(landmarks[:, :2]))
        above = softened((inside & ~mesh).astype(np.float32), _BLEND * nodes)
        depth = _depth(inside, _DEEP * nodes)
        for area in skin.SURE_AREAS:
            sure |= covered(grid, landmarks[list(area), :2])
        return cls(
            grid=grid,
            landmarks=landmarks,
            nodes=nodes,
            inside=inside,
            rarity=1 + _RARER * depth + (_COMMON - 1 - _RARER * depth) * above,
            features=dilated(features, _FEATURE_MARGIN * nodes) & inside,
            core=dilated(features, _CORE_MARGIN * nodes),
            sure=sure,
            depth=depth,
            high=masks.hair_zone(grid, landmarks),
            chin=covered(grid, landmarks[topology.CHIN_SKIN, :2]),
        )

    def near(self, hair: FloatArray, depth: float, reach: float) -> Mask:
        """Around hair that reaches further into the face than ``depth``, shares of the width."""
        deep = (hair > _STRONG) & (self.depth > depth / _DEEP)
        return _spread(deep, reach * self.nodes, cv2.MORPH_DILATE)


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """A face as its nodes show it; all rows x columns.

    foreign: how likely a node is not this face's skin; odd: see `skin.Complexion`. frame: of
    spectacles. features: those of the places and the frame within the face.
    """

    places: _Places
    foreign: FloatArray
    odd: FloatArray
    frame: FloatArray | None
    features: Mask

    @classmethod
    def of(cls, places: _Places, values: FloatArray, least: float) -> _Face:
        inner = np.clip((places.depth - 0.1) / 0.4, 0, 1) * ~places.features
        outside = ~dilated(places.inside, 1)
        seen = skin.Complexion.of(values, places.sure, inner.astype(np.float32), outside)
        skins = (1 - seen.foreign) * places.rarity
        rarer = seen.foreign / (seen.foreign + skins)
        width = places.nodes * places.grid.step
        frame = frame_matte(places.grid, places.landmarks, seen.colours, width, least)
        features = places.features
        if frame is not None:
            framed = dilated(frame > _WEAK, _FRAME_MARGIN * places.nodes)
            features = features | (places.inside & framed)
        return cls(
            places, np.maximum(rarer, seen.odd).astype(np.float32), seen.odd, frame, features
        )

    def hair(self, *, generous: bool) -> FloatArray:
        """Hair and whatever else reaches over the face from outside, rows x columns in [0, 1].

        Args:
            generous: Rather take lashes or the end of a brow for hair than leave some.
        """
        inside, nodes = self.places.inside, self.places.nodes
        likely = np.where(self.features, np.float32(0), self.foreign)
        high = likely * self.places.high
        high = np.where(inside, np.maximum(high, np.minimum(likely, self.odd)), likely)
        high *= _connected(high > _WEAK, (high > _STRONG) & ~inside)
        matte = np.maximum(high, likely * self._hanging(likely, high > _STRONG))
        # Gaps in a lock that shine like skin: between its strands, and then what little is left.
        whole = cv2.morphologyEx(
            (matte > 0.5).astype(np.uint8), cv2.MORPH_CLOSE, disc(_GAP * nodes)
        )
        share = np.asarray((likely - _TRACE[0]) / (_TRACE[1] - _TRACE[0]), np.float32)
        gaps = whole * masks.smoothstep(share)
        matte = np.maximum(matte, _SOLID * gaps)
        crowd = softened(matte, _CROWD * nodes)
        matte = np.maximum(matte, _SOLID * masks.smoothstep((crowd - 0.5) / 0.3))
        # Locks go on over the end of a brow or the corner of an eye.
        near = self.places.near(matte, _LOCK, _LOCK_REACH)
        around = near & self.features
        if self.frame is not None:
            around &= self.frame <= _WEAK
        lock = near & (matte > _WEAK)
        if generous:
            beside = around & ~self.places.core & (self.foreign > _WEAK)
            lock = _connected(lock | beside, lock & (matte > _STRONG))
        notch = _spread(lock, _NOTCH * nodes, cv2.MORPH_CLOSE) & around
        return np.asarray(np.where(notch, self.foreign, matte), np.float32)

    def _hanging(self, likely: FloatArray, above: Mask) -> FloatArray:
        """Where locks hang down beside the mouth; 0 all over on a bearded face.

        They come from above through the face: what else darkens the rim there is the jaw's shade.
        """
        places = self.places
        chin = places.chin
        beard = float(self.foreign[chin].mean()) if chin.any() else 0.0
        if beard >= _BEARDED[1]:
            return np.zeros(chin.shape, np.float32)
        dark = likely > _WEAK
        within = dark & places.inside & (places.depth > _RIM / _DEEP)
        reached = dilated(_connected(within, within & above), _RIM * places.nodes) & dark
        share = np.array((beard - _BEARDED[0]) / (_BEARDED[1] - _BEARDED[0]))
        return np.asarray(reached * (1 - masks.smoothstep(share)), np.float32)


def _depth(inside: Mask, reach: float) -> FloatArray:
    """0 outside, rising to 1 at ``reach`` nodes from the outline."""
    framed = np.pad(inside[1:-1, 1:-1], 1).astype(np.uint8)
    nodes = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Rounded for the same reason as in `masks.oval_matte`.
    distance = np.sqrt(np.rint(nodes * nodes)) / np.float32(reach)
    return np.asarray(np.minimum(distance, 1), np.float32)


def _connected(area: Mask, seeds: Mask) -> Mask:
    """The parts of ``area`` that hold a seed."""
    count, parts = cv2.connectedComponents(area.astype(np.uint8), connectivity=8)
    chosen = np.zeros(count, np.bool_)
    chosen[parts[seeds]] = True
    chosen[0] = False
    return np.asarray(chosen[parts])


def _spread(area: Mask, radius: float, operation: int) -> Mask:
    """A dilation or closing with a wide disc, on every fourth node."""
    rows, columns = area.shape
    room = round(radius / 4) + 1
    small = np.pad(area[::4, ::4], room, mode="edge").astype(np.uint8)
    done = cv2.morphologyEx(small, operation, disc(radius / 4))[room:-room, room:-room]
    return np.asarray(done.repeat(4, 0).repeat(4, 1)[:rows, :columns] > 0)


def _grown(matte: FloatArray, radius: float, sigma: float) -> FloatArray:
    return softened(np.asarray(cv2.dilate(matte, disc(radius)), np.float32), sigma)


def coefficients(matte: FloatArray, guide: FloatArray, radius: int, eps: float) -> FloatArray:
    """The linear model of a matte in the colours under it, for `refined`.

    The guided filter with a colour guide (He, Sun and Tang, "Guided image filtering", 2013): in
    each window of (2 radius + 1) squared nodes the matte is fitted as a . I + b by ridge
    regression, and each node takes the mean of its windows' fits.

    Args:
        matte: rows x columns in [0, 1].
        guide: rows x columns x 3, encoded values at the nodes.
        radius: Of the window, nodes.
        eps: Ridge: differences of colour whose square is below it are not followed.

    Returns:
        4 x rows x columns float32: a for R, G and B, then b; 0 where the matte is 0 all around.
    """
    if not matte.any():
        return np.zeros((4, *matte.shape), np.float32)
    side = (2 * radius + 1, 2 * radius + 1)

    def mean(plane: FloatArray) -> FloatArray:
        return np.asarray(cv2.boxFilter(plane, cv2.CV_32F, side), np.float32)

    colours = [np.ascontiguousarray(guide[..., channel]) for channel in range(3)]
    r, g, b = (mean(colour) for colour in colours)
    level = mean(matte)
    rr, rg, rb, gg, gb, bb = (
        mean(colours[i] * colours[j]) - (r, g, b)[i] * (r, g, b)[j]
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    rr, gg, bb = (variance + np.float32(eps) for variance in (rr, gg, bb))
    pr, pg, pb = (mean(c * matte) - m * level for c, m in zip(colours, (r, g, b), strict=True))
    # The inverse of the symmetric 3 x 3 matrix by its cofactors.
    i_rr, i_rg, i_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = 1 / (rr * i_rr + rg * i_rg + rb * i_rb)
    a_r = (i_rr * pr + i_rg * pg + i_rb * pb) * scale
    a_g = (i_rg * pr + i_gg * pg + i_gb * pb) * scale
    a_b = (i_rb * pr + i_gb * pg + i_bb * pb) * scale
    offset = level - a_r * r - a_g * g - a_b * b
    maps = np.stack([mean(plane) for plane in (a_r, a_g, a_b, offset)])
    # Well within the matte nothing is left to find: a highlight on a frame is no skin.
    solid = cv2.erode((matte > _SOLID).astype(np.float32), np.ones((3, 3), np.uint8))
    maps *= 1 - solid
    maps[3] += solid
    # Running sums leave roundings behind where nothing is.
    reach = 2 * radius
    near = cv2.dilate((matte > 0).astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8))
    return np.asarray(maps * near, np.float32)


def refined(coefficients: FloatArray, values: FloatArray) -> FloatArray:
    """The matte at the pixels of a picture ("Fast guided filter", He and Sun, 2015).

    Args:
        coefficients: 4 x H x W, of `coefficients`, interpolated at the pixels.
        values: H x W x 3, the picture there, encoded in [0, 1].

    Returns:
        H x W float32 in [0, 1]; exactly 0 and 1 where it is all but that.
    """
    matte = coefficients[3].copy()
    for channel in range(3):
        matte += coefficients[channel] * values[..., channel]
    matte -= np.float32(_TAIL)
    matte /= np.float32(1 - 2 * _TAIL)
    return np.asarray(np.clip(matte, 0, 1, out=matte), np.float32)
