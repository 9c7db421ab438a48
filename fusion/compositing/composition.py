"""Lays a source that already has the target's shape into the target: mattes, light, detail."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from numpy.typing import NDArray

from common.progress import Progress
from common.types import FloatArray
from fusion.compositing import light, masks, modes, occlusion, skin
from fusion.compositing.face_field import FaceField, Lighting, Mattes, Moves, Origin
from fusion.compositing.grid import FaceGrid, averages
from fusion.engines.base import FaceView
from fusion.request import Blend
from preprocess import face_topology as topology
from preprocess import transfer

# Shares of the face's longer side, judged on contact sheets and by the recogniser: a wide feather
# costs likeness, a narrow one shows where the light does not fit.
_INSET = 0.008
_FEATHER = 0.045
_FEATURE_MARGIN = 0.03
_CHIN = (17, 83, 18, 201, 208, 171, 175, 396, 428, 421, 313)
_BEARDED = (0.25, 0.6)  # share of the chin that is no skin: none, a full beard
_GAIN = (0.6, 0.9, 1.2, 1.5)  # of detail
_DETAIL_WIDTH = 256  # px across the face at which detail is compared


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Both faces on the nodes of a grid over the target's.

    landmarks: 468 x 3 target pixels, of the face that will be seen. width: of its oval, target
    pixels. given, wanted: rows x columns x 3 encoded in [0, 1], the source and the target.
    sharpness: `FaceQuality.sharpness` of the source and of the target.
    """

    grid: FaceGrid
    landmarks: FloatArray
    width: float
    given: FloatArray
    wanted: FloatArray
    sharpness: tuple[float, float]


def compose(
    seen: Seen,
    origin: Origin,
    moves: Moves,
    holes: FloatArray,
    target: FaceView,
    blend: Blend,
    progress: Progress,
) -> FaceField:
    """The field that shows a source on a target.

    Args:
        origin: Where the source's pixels come from.
        moves: How the target's surroundings follow.
        holes: rows x columns in [0, 1], where the target's own pixels stay.
        target: Its face may lie behind others.

    Raises:
        StoppedError: ``progress`` ended the work.
    """
    grid, width = seen.grid, seen.width
    sure = skin.sure_skin(grid, seen.landmarks)
    there, here = (skin.SkinColour.of(values, sure) for values in (seen.given, seen.wanted))
    front = occlusion.in_front(
        grid, seen.landmarks, seen.wanted, width, blend.keep_glasses
    )
    progress.check()
    oval = masks.oval_matte(
        grid, seen.landmarks, _INSET * width, _FEATHER * width, masks.RAISED * width
    )
    apart = 1 - skin.features_matte(grid, seen.landmarks, _FEATURE_MARGIN * width)
    free = apart * (1 - front.matte)
    free = oval * free * (1 - origin.plain)
    free *= masks.inside_matte(grid.positions(), target.picture, grid.step)
    opacity = oval * (1 - holes)
    for nearer in target.in_front:
        opacity = opacity * (1 - grid.fill(masks.hull(nearer[:, :2])))
    shown = np.asarray(opacity * (1 - front.matte), np.float32)
    lighting = _lit(seen, free.astype(np.float32), (there, here), shown, origin.plain, blend)
    progress.check()
    fused_skin = opacity * there.likelihood(skin.TOLERANT)
    fused_skin += (1 - opacity) * here.likelihood(skin.TOLERANT)
    mattes = Mattes(
        opacity=np.asarray(opacity, np.float32),
        face=np.asarray(oval * (1 - front.matte), np.float32),
        skin=np.asarray(oval * apart * (1 - front.matte) * fused_skin, np.float32),
        front=front.matte,
        coefficients=occlusion.coefficients(
            front.matte, seen.wanted, occlusion.RADIUS, occlusion.EPSILON
        ),
    )
    return FaceField(grid, origin, mattes, lighting, moves, target.picture, blend, width)


def _lit(
    seen: Seen,
    free: FloatArray,
    colours: tuple[skin.SkinColour, skin.SkinColour],
    shown: FloatArray,
    plain: FloatArray,
    blend: Blend,
) -> Lighting:
    """What fits the source to the target's light and sharpness.

    Args:
        free: rows x columns in [0, 1], where both faces may show skin.
        colours: Of the source's skin and of the target's.
        shown: rows x columns in [0, 1], the source's opacity.
        plain: Of `Origin`.
    """
    every = light.EVERY
    grid = seen.grid.averaged(every)
    width = seen.width / grid.step
    weight = free.copy()
    beardless = 1 - masks.hair_zone(seen.grid, seen.landmarks, sides=False)
    chin = seen.grid.fill(seen.landmarks[list(_CHIN), :2])
    for values, colour in zip((seen.given, seen.wanted), colours, strict=True):
        strict = colour.likelihood(skin.STRICT)
        even = light.evenly_lit(averages(values, every), averages(free * strict, every))
        bare = strict * cv2.resize(even, None, fx=every, fy=every)[: free.shape[0], : free.shape[1]]
        covered = 1 - float((bare * chin).sum()) / max(float(chin.sum()), 1e-6)
        beard = masks.smoothstep(np.float32((covered - _BEARDED[0]) / (_BEARDED[1] - _BEARDED[0])))
        tolerant = colour.likelihood(skin.TOLERANT)
        weight *= tolerant + beardless * beard * (bare - tolerant)
    few = averages(weight, every)
    known = (few + np.float32(1e-4))[..., None]
    counted = weight[..., None] + np.float32(1e-4)
    given, wanted = (averages(one * counted, every) / known for one in (seen.given, seen.wanted))
    maps = light.light_maps(given, wanted, few, width)
    soft = averages(seen.given, every)
    held = np.zeros((3, *grid.shape), np.float32)
    if blend.mode == "blend":
        lit = light.relight(soft, *(np.moveaxis(part, 0, -1) for part in (maps[:3], maps[3:])))
        shown = transfer.to_linear(light.shoulder(lit))
        apart = shown - transfer.to_linear(averages(seen.wanted, every))
        held = np.moveaxis(modes.held_back(apart, width), -1, 0)
    fill = _filling(seen, plain, colours, width)
    maps = np.concatenate([maps, np.moveaxis(soft, -1, 0)])
    gain = _detail_gain(seen, grid.at_nodes(maps, seen.grid), shown)
    return Lighting(
        grid,
        np.ascontiguousarray(maps, np.float32),
        gain,
        np.ascontiguousarray(fill, np.float32),
        np.ascontiguousarray(held, np.float32),
    )


def _filling(
    seen: Seen, plain: FloatArray, colours: tuple[skin.SkinColour, skin.SkinColour], width: float
) -> FloatArray:
    """What is shown where the source shows nothing: its skin from around, the target's texture.

    Returns:
        7 x rows x columns: the source's colours continued from around, the target's without its
        finest detail, and how much of that detail is skin's texture.
    """
    every = light.EVERY
    own, texture = (averages(each.likelihood(skin.TOLERANT), every) for each in colours)
    known = np.square(1 - averages(plain, every)) * own
    around = light.spread_from(averages(seen.given, every), known, width, light.NEAR)
    parts = (around, averages(seen.wanted, every), texture[..., None])
    return np.moveaxis(np.concatenate(parts, axis=2), -1, 0)


def _detail_gain(seen: Seen, maps: FloatArray, shown: FloatArray) -> float:
    """What the source's detail is multiplied by for a result between both faces' sharpness.

    Args:
        maps: Of `Lighting`, at the nodes: 9 x rows x columns.
        shown: rows x columns in [0, 1], the source's opacity.
    """
    inside = seen.grid.fill(seen.landmarks[topology.FACE_OVAL, :2]) > 0.5
    given, wanted = seen.sharpness
    if not inside.any() or given <= 0:
        return 1.0
    scale = _DETAIL_WIDTH * seen.grid.step / seen.width
    lack, level, soft = (np.moveaxis(part, 0, -1) for part in np.split(maps, 3))

    def sharp(gain: float) -> float:
        lit = light.relight(light.with_detail(seen.given, soft, gain), lack, level)
        fused = seen.wanted + shown[..., None] * (light.shoulder(lit) - seen.wanted)
        return _sharpness(fused, inside, scale)

    # The nodes show a little less than the pictures: only ratios are compared.
    own = _sharpness(seen.given, inside, scale) / given
    return float(np.interp(own * (given + wanted) / 2, [sharp(gain) for gain in _GAIN], _GAIN))


def _sharpness(values: FloatArray, inside: NDArray[np.bool_], scale: float) -> float:
    """Mean absolute Laplacian of the luma of a face brought to `_DETAIL_WIDTH` px."""
    luma = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        size = (max(3, round(luma.shape[1] * scale)), max(3, round(luma.shape[0] * scale)))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
        inside = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F))[inside].mean())
