"""Lays a source that already has the target's shape into the target: mattes, light, detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray, Region
from fusion.compositing import light, masks, modes, occlusion, skin
from fusion.compositing.face_field import (
    FaceField,
    FaceMaps,
    Lighting,
    Mattes,
    Remarks,
)
from fusion.compositing.grain import Grain
from fusion.compositing.grid import FaceGrid, averages
from fusion.compositing.ground import Ground
from fusion.compositing.moves import Moves
from fusion.compositing.origin import Origin
from fusion.engines.base import FaceView
from fusion.request import Blend
from preprocess import face_topology as topology
from preprocess import transfer

# Shares of the face's longer side.
_FILL_AROUND = 0.05  # how far around what is filled the light is matched more closely
_SKIN_AROUND = 0.04  # how far beyond the outline skin is smoothed as well
_BEARDED = (0.25, 0.6)  # share of the chin that is no skin: none, a full beard
_GAIN = (0.7, 1.0, 1.6)  # of detail
_FAITHFUL = (3.0, 8.0)  # sharpness of a source whose detail is all blur and noise, or all real
_DETAIL_WIDTH = 256  # px across the face at which detail is compared
_AROUND_OVAL = 4  # nodes that a Laplacian inside the oval may look at


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Both faces on the nodes of a grid over the target's.

    landmarks: 468 x 3 target pixels, of the face that will be seen. width: of its oval, target
    pixels. given: rows x columns x 3 encoded in [0, 1], the source. ground: the target.
    sharpness: `FaceQuality.sharpness` of the source and of the target.
    """

    grid: FaceGrid
    landmarks: FloatArray
    width: float
    given: FloatArray
    ground: Ground
    sharpness: tuple[float, float]

    @property
    def wanted(self) -> FloatArray:
        """The target, like the source."""
        return self.ground.values


def compose(
    seen: Seen,
    origin: Origin,
    moves: Moves,
    holes: FloatArray,
    target: FaceView,
    blend: Blend,
    remarks: Remarks,
) -> FaceField:
    """The field that shows a source on a target.

    Args:
        origin: What is laid into the target.
        moves: How the target's surroundings follow.
        holes: rows x columns in [0, 1], where the target's own pixels stay.
        target: Its face.
        remarks: About what is laid in, for the person.
    """
    grid, width, ground = seen.grid, seen.width, seen.ground
    covered = 1 - ground.front.matte
    colour = skin.SkinColour.of(seen.given, ground.sure)
    likely = colour.likelihood(skin.TOLERANT)
    opacity = np.asarray(ground.open * (1 - holes), np.float32)
    shown = np.asarray(opacity * covered, np.float32)
    free = np.asarray(ground.clear * (1 - origin.plain), np.float32)
    weight = _skin_of_both(seen, free, (colour, ground.colour), (likely, ground.likely))
    bare = np.asarray(ground.likely * ground.apart * covered, np.float32)
    lighting = _lighting(seen, weight, shown, (origin.plain, bare, ground.apart), blend.mode)
    mattes = Mattes(
        opacity=opacity,
        face=np.asarray(ground.oval * covered, np.float32),
        skin=_skin(grid, width, shown, (likely, ground.likely), ground.apart * covered),
        front=ground.front.matte,
        coefficients=ground.coefficients,
    )
    maps = FaceMaps(grid, origin, mattes, lighting, moves, target.picture, width)
    grain = _grain(FaceField(maps, blend, Grain()), target)
    notes = (*_notes(ground.front, blend), *remarks.notes)
    return FaceField(maps, blend, grain, Remarks(notes, remarks.warnings))


def _notes(front: occlusion.Occlusion, blend: Blend) -> tuple[str, ...]:
    if not front.glasses:
        return ()
    if blend.keep_glasses:
        return (
            "the target's spectacles stay in front of the face; without keep-glasses they are "
            "replaced",
        )
    return (
        "the target's spectacles are replaced as far as they lie over the face; parts beside it, "
        "such as temples, stay",
    )


def _skin(
    grid: FaceGrid, width: float, shown: FloatArray, likely: Sequence[FloatArray], free: FloatArray
) -> FloatArray:
    """What is skin in the result, a little beyond the face's outline as well.

    Args:
        likely: How likely the source's nodes and the target's are skin.
    """
    there, here = likely
    near = cv2.GaussianBlur(shown, (0, 0), _SKIN_AROUND * width / grid.step)
    near = np.clip(3 * near - 0.1, 0, 1)
    near[0, :] = near[-1, :] = 0
    near[:, 0] = near[:, -1] = 0
    return np.asarray(near * free * (shown * there + (1 - shown) * here), np.float32)


def _grain(field: FaceField, target: FaceView) -> Grain:
    """What the source lacks of the target's grain."""
    wanted, given = [], []
    for window in target.close:
        rows, columns = window.pixels.shape[:2]
        left, top = (round(float(edge)) for edge in window.offset)
        values = window.pixels.astype(np.float32) / np.float32(np.iinfo(window.pixels.dtype).max)
        shown = field.source_on(values, Region(left, top, columns, rows))
        if shown is not None:
            wanted.append(values)
            given.append(shown)
    return Grain.of(wanted, given)


def _lighting(
    seen: Seen,
    weight: FloatArray,
    shown: FloatArray,
    fills: tuple[FloatArray, FloatArray, FloatArray],
    mode: str,
) -> Lighting:
    """What fits the source to the target's light and sharpness; all rows x columns in [0, 1].

    Args:
        weight: Where both faces show skin.
        shown: The source's opacity.
        fills: Where the target's own skin is shown instead, where that is bare, and where
            neither eyes nor brows nor lips are.
        mode: One of `fusion.request.MODES`.
    """
    every = light.EVERY
    grid = seen.grid.averaged(every)
    width = seen.width / grid.step
    few = averages(weight, every)
    counted = (weight + np.float32(1e-4))[..., None]
    known = averages(counted[..., 0], every)[..., None]
    given, wanted = (averages(one * counted, every) / known for one in (seen.given, seen.wanted))
    plain, bare, apart = fills
    near = cv2.GaussianBlur(averages(plain, every), (0, 0), _FILL_AROUND * width)
    maps = light.light_maps(given, wanted, few, np.minimum(2 * near, 1), width)
    soft, base = (averages(one, every) for one in (seen.given, seen.wanted))
    fill = _filling(base, averages(bare, every), averages(apart, every), width)
    held = np.zeros((3, *grid.shape), np.float32)
    if mode == "blend":
        lit = light.relight(soft, *(np.moveaxis(part, 0, -1) for part in (maps[:3], maps[3:])))
        lit = light.shoulder(lit)
        lit += averages(plain, every)[..., None] * (np.moveaxis(fill[:3], 0, -1) - lit)
        difference = transfer.to_linear(lit) - transfer.to_linear(base)
        held = np.moveaxis(modes.held_back(difference, width), -1, 0)
    maps = np.concatenate([maps, np.moveaxis(soft, -1, 0)])
    gain = _detail_gain(seen, grid.at_nodes(maps, seen.grid), shown, plain)
    maps, fill, held = (np.ascontiguousarray(each, np.float32) for each in (maps, fill, held))
    return Lighting(grid, maps, gain, fill, held)


def _filling(base: FloatArray, bare: FloatArray, apart: FloatArray, width: float) -> FloatArray:
    """What of the target is shown where the source shows nothing, 7 x rows x columns.

    Its bare skin, continued below whatever covers it; its own eyes, brows and lips. See
    `Lighting.fill`.

    Args:
        base: The target, rows x columns x 3, and all others rows x columns on the same grid.
        width: Of the face in nodes.
    """
    around = light.spread_from(base, bare, width, light.NEAR)
    around = base + apart[..., None] * (around - base)
    texture = bare + (1 - apart) * (1 - bare)
    return np.moveaxis(np.concatenate([around, base, texture[..., None]], axis=2), -1, 0)


def _skin_of_both(
    seen: Seen,
    free: FloatArray,
    colours: Sequence[skin.SkinColour],
    tolerant: Sequence[FloatArray],
) -> FloatArray:
    """What counts for the light: skin in the source and in the target, rows x columns in [0, 1].

    Shaded skin counts. So would a beard's shade, and the skin put in its place would darken, or
    the beard itself be bleached: below the nose of a bearded face only skin counts whose light
    changes evenly.

    Args:
        free: rows x columns in [0, 1], what is covered by nothing in either.
        colours: Of the source's skin and of the target's.
        tolerant: How likely their nodes are skin, shaded or not.
    """
    every = light.EVERY
    rows, columns = free.shape
    low = 1 - masks.hair_zone(seen.grid, seen.landmarks)
    chin = seen.grid.fill(seen.landmarks[topology.CHIN_SKIN, :2])
    weight = free
    faces = zip((seen.given, seen.wanted), colours, tolerant, strict=True)
    for values, colour, likely in faces:
        strict = colour.likelihood(skin.STRICT)
        even = light.evenly_lit(averages(values, every), averages(free * strict, every))
        bare = strict * cv2.resize(even, None, fx=every, fy=every)[:rows, :columns]
        covered = 1 - float((bare * chin).sum()) / max(float(chin.sum()), 1e-6)
        beard = masks.smoothstep(np.float32((covered - _BEARDED[0]) / (_BEARDED[1] - _BEARDED[0])))
        weight = weight * (likely + low * beard * (bare - likely))
    return np.asarray(weight, np.float32)


def _detail_gain(seen: Seen, maps: FloatArray, shown: FloatArray, plain: FloatArray) -> float:
    """What the source's detail is multiplied by for a result between both faces' sharpness.

    Args:
        maps: Of `Lighting`, at the nodes: 9 x rows x columns.
        shown: rows x columns in [0, 1], the source's opacity.
        plain: Of `Origin`.
    """
    given, wanted = seen.sharpness
    if given <= 0:
        return 1.0
    # Beyond the outline nothing counts: there the target is left as it is.
    corners = seen.grid.nodes_of(seen.landmarks[topology.FACE_OVAL, :2])
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - _AROUND_OVAL, 0)
    high = np.ceil(corners.max(axis=0)).astype(int) + _AROUND_OVAL
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    given_there, wanted_there = seen.given[part], seen.wanted[part]
    weight, bare = shown[part][..., None], plain[part][..., None]
    lack, level, soft = (
        np.ascontiguousarray(np.moveaxis(each, 0, -1)[part]) for each in np.split(maps, 3)
    )
    fused = seen.wanted.copy()

    def sharp(gain: float) -> float:
        detailed = light.with_detail(given_there, soft, gain)
        lit = light.shoulder(light.relight(detailed, lack, level))
        lit += bare * (wanted_there - lit)
        fused[part] = wanted_there + weight * (lit - wanted_there)
        return sharpness_at(seen.grid, seen.landmarks, fused)

    # The nodes show a little less than the pictures: only ratios are compared.
    own = sharpness_at(seen.grid, seen.landmarks, seen.given) / given
    gain = np.interp(own * (given + wanted) / 2, [sharp(gain) for gain in _GAIN], _GAIN)
    return float(min(gain, np.interp(given, _FAITHFUL, _GAIN[1:])))


def sharpness_at(grid: FaceGrid, landmarks: FloatArray, values: FloatArray) -> float:
    """Mean absolute Laplacian of the luma of a face brought to `_DETAIL_WIDTH` px.

    Args:
        landmarks: 468 x 3 target pixels.
        values: rows x columns x 3 encoded in [0, 1], the face at the nodes.
    """
    oval = landmarks[topology.FACE_OVAL, :2]
    inside: NDArray[np.bool_] = grid.fill(oval) > 0.5
    if not inside.any():
        return 0.0
    scale = _DETAIL_WIDTH * grid.step / float(np.ptp(oval, axis=0).max())
    luma = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        size = (max(3, round(luma.shape[1] * scale)), max(3, round(luma.shape[0] * scale)))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
        inside = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F))[inside].mean())
