"""The embedded engine: a dense warp over the 468-point mesh, lit like the target.

No learned weights and no GPU. `MeshEngine.prepare` looks at both faces at a few hundred
pixels and writes three maps on a grid over the target's face: where each pixel comes from in
the source, what gives it the target's light, and its opacity. `MeshField` then renders any
rectangle at any scale from the source's own pixels.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np

from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.compositing import light, masks, skin, warp
from fusion.compositing.grid import FaceGrid
from fusion.engines.base import Capabilities, FaceView
from fusion.field import blocks
from fusion.request import Blend
from preprocess import face_topology as topology
from preprocess import transfer
from preprocess.window import Window

_ANALYSIS_PX = 320  # across the face, and the most nodes that the grid has there
_FEWEST_NODES = 96
_MARGIN = 0.04  # of the face width, around the oval

# Shares of the face's longer side, judged on contact sheets; the light's scale lies between those
# that lose likeness (0.08) and those that miss the target's light (0.18).
_INSET = 0.015
_FEATHER = 0.11
_LIGHT_SIGMA = 0.125
_MOUTH_FEATHER = 0.006
_CUT_FEATHER = 0.05
_FEATURE_MARGIN = 0.03
_LEAST_WEIGHT = 0.03  # of what is not skin in both: the light's only witness in a full beard

_COLOURLESS = 0.02  # spread of a pixel's channels
_TAIL = 0.002
_LIGHT_EVERY = 8  # lighting is smooth over 40 nodes; every eighth holds all there is


class MeshEngine:
    """Embedded engine; stateless, one instance serves all threads."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="mesh", device="cpu", modes=("normal",), analysis_px=_ANALYSIS_PX)

    def prepare(
        self, source: FaceView, target: FaceView, blend: Blend, progress: Progress
    ) -> MeshField:
        """See `fusion.engines.base.Engine.prepare`."""
        landmarks = target.face.landmarks
        width = _width(landmarks)
        grid = FaceGrid.over(
            landmarks[:, :2], _MARGIN * width, width / np.clip(width, _FEWEST_NODES, _ANALYSIS_PX)
        )
        origin = warp.dense_map(grid, landmarks, source.face.landmarks)
        progress.check()
        pixels = _toned_like(source.window, target.window)
        given, wanted = _seen(grid, origin, pixels, target.window)
        sure = skin.sure_skin(grid, landmarks)
        there, here = (skin.SkinColour.of(seen, sure) for seen in (given, wanted))
        progress.check()
        oval = masks.oval_matte(grid, landmarks, _INSET * width, _FEATHER * width)
        oval *= masks.inside_matte(
            np.moveaxis(origin, 0, -1), source.picture, _CUT_FEATHER * _width(source.face.landmarks)
        )
        weight = oval * (1 - skin.features_matte(grid, landmarks, _FEATURE_MARGIN * width))
        weight *= _LEAST_WEIGHT + there.likelihood(skin.STRICT) * here.likelihood(skin.STRICT)
        weight *= masks.inside_matte(grid.positions(), target.picture, grid.step)
        lighting = light.light_maps(given, wanted, weight, _LIGHT_SIGMA * width / grid.step)
        progress.check()
        opacity = oval * (1 - masks.mouth_matte(grid, landmarks, _MOUTH_FEATHER * width))
        opacity *= 1 - skin.source_hair(grid, landmarks, there, width)
        opacity *= 1 - skin.target_hair(grid, landmarks, here, width)
        shape = np.concatenate([origin, _snapped(opacity)[None]]).astype(np.float32)
        lighting = np.ascontiguousarray(lighting[:, ::_LIGHT_EVERY, ::_LIGHT_EVERY])
        return MeshField(grid, shape, lighting, pixels, target.picture, blend)


def _width(landmarks: FloatArray) -> float:
    """The longer side of the face oval's box, pixels of its picture."""
    return float(max(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0)))


def _toned_like(source: Window, target: Window) -> Window:
    """The source, without its colours where the target is black and white."""
    values = target.pixels.astype(np.float32) / np.iinfo(target.pixels.dtype).max
    if float(np.percentile(np.ptp(values, axis=2), 99)) > _COLOURLESS:
        return source
    grey = cv2.cvtColor(source.pixels, cv2.COLOR_RGB2GRAY)
    return Window(np.repeat(grey[..., None], 3, axis=2), source.factor, source.offset)


def _snapped(opacity: FloatArray) -> FloatArray:
    """Opacity with the long tails of the blurs cut off: what looks untouched is untouched."""
    return np.where(opacity < _TAIL, np.float32(0), np.where(opacity > 1 - _TAIL, 1, opacity))


def _seen(
    grid: FaceGrid, origin: FloatArray, source: Window, target: Window
) -> tuple[FloatArray, FloatArray]:
    """Source and target at the grid's nodes, rows x columns x 3, encoded."""
    apart = warp.spacing(origin[0], origin[1]) * source.scale
    given = warp.sample(source.shrunk(apart), origin.transpose(1, 2, 0))
    wanted = warp.sample(target.shrunk(grid.step * target.scale), grid.positions())
    return given, wanted


class MeshField:
    """Fusion field of the embedded engine; see `fusion.field.FusionField`.

    Args:
        grid: Over the target's face, in pixels of the target picture.
        shape: 3 x rows x columns: source x and y in pixels of the source picture, opacity.
        lighting: Maps of `light.light_maps`, on every `_LIGHT_EVERY`-th node.
        source: Pixels around the source's face, in the numbers that the target is fused in.
        target: Size of the target picture.
        blend: Its ratio scales the opacity.
    """

    def __init__(
        self,
        grid: FaceGrid,
        shape: FloatArray,
        lighting: FloatArray,
        source: Window,
        target: Size,
        blend: Blend,
    ) -> None:
        self._grid = grid
        self._shape = shape
        self._light_grid = grid.coarser(_LIGHT_EVERY)
        self._lighting = lighting
        self._source = source
        self._target = target
        self._ratio = np.float32(blend.ratio)
        self._spacing = warp.spacing(shape[0], shape[1]) / grid.step * source.scale
        self._shrunk: dict[float, Window] = {}
        self._lock = threading.Lock()

    def bounds(self, at: Size) -> Region:
        if self._ratio == 0 or not self._shape[2].any():
            return Region(0, 0, 0, 0)
        return self._grid.extent(self._target, at)

    def opacity(self, region: Region, at: Size) -> FloatArray:
        out = np.zeros((region.height, region.width), np.float32)
        for part, block in blocks(region.intersect(self.bounds(at))):
            matte = self._grid.sample(self._shape[2:], block, self._target, at)[0]
            out[part.within(region)] = matte[part.within(block)] * self._ratio
        return out

    def render(self, tile: FloatArray, region: Region, at: Size) -> FloatArray:
        out: FloatArray = tile.copy()
        for part, block in blocks(region.intersect(self.bounds(at))):
            whole = np.zeros((block.height, block.width, 3), np.float32)
            whole[part.within(block)] = tile[part.within(region)]
            fused = self._render_block(whole, block, at)
            out[part.within(region)] = fused[part.within(block)]
        return out

    def _render_block(self, tile: FloatArray, block: Region, at: Size) -> FloatArray:
        x, y, opacity = self._grid.sample(self._shape, block, self._target, at)
        weight = (opacity * self._ratio)[..., None]
        if not weight.any():
            return tile
        lighting = self._light_grid.sample(self._lighting, block, self._target, at)
        warped = warp.sample(self._source_at(at), np.stack([x, y], axis=-1))
        lit = light.relight(warped, *np.split(np.moveaxis(lighting, 0, -1), 2, axis=-1))
        lit = transfer.to_linear(light.shoulder(lit))
        base = transfer.to_linear(tile)
        mixed = transfer.to_encoded(base + weight * (lit - base))
        return np.where(weight > 0, mixed, tile)

    def _source_at(self, at: Size) -> Window:
        """The source, reduced where the output shows it smaller than it is."""
        scale = float(np.sqrt(at.pixels / self._target.pixels))
        with self._lock:
            if scale not in self._shrunk:
                self._shrunk[scale] = self._source.shrunk(self._spacing / scale)
            return self._shrunk[scale]
