"""The embedded engine: a dense warp over the 468-point mesh, lit like the target.

No learned weights and no GPU. `MeshEngine.prepare` looks at both faces at a few hundred
pixels and writes three maps on a grid over the target's face: where each pixel comes from in
the source, what gives it the target's light, and its opacity. `MeshField` then
renders any rectangle at any scale from the source's own pixels.
"""

from __future__ import annotations

import threading

import numpy as np

from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.compositing import light, masks, warp
from fusion.compositing.grid import FaceGrid
from fusion.engines.base import Capabilities, FaceView
from fusion.field import blocks
from fusion.request import Blend
from preprocess import face_topology as topology
from preprocess.window import Window

_ANALYSIS_PX = 320  # across the face, and the most nodes that the grid has there
_FEWEST_NODES = 96
_MARGIN = 0.04  # of the face width, around the oval

# Shares of the face width; chosen with benchmarks/quality.py, see docs/decisions.md.
_INSET = 0.015
_FEATHER = 0.11
_LIGHT_SIGMA = 0.125
_MOUTH_FEATHER = 0.006

_LIGHT_EVERY = 8  # the offset is smooth over 40 nodes; every eighth holds all there is


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
        outline = landmarks[topology.FACE_OVAL, :2]
        width = float(max(np.ptp(outline, axis=0)))
        nodes = float(np.clip(width, _FEWEST_NODES, _ANALYSIS_PX))
        grid = FaceGrid.over(outline, _MARGIN * width, width / nodes)
        progress.check()
        origin = warp.dense_map(grid, landmarks, source.face.landmarks)
        progress.check()
        oval = masks.oval_matte(grid, landmarks, _INSET * width, _FEATHER * width)
        mouth = masks.mouth_matte(grid, landmarks, _MOUTH_FEATHER * width)
        opacity = oval * (1 - mouth)
        offset = _match_light(grid, origin, source.window, target.window, oval * (1 - mouth), width)
        progress.check()
        shape = np.concatenate([origin, opacity[None]]).astype(np.float32)
        offset = np.ascontiguousarray(offset.transpose(2, 0, 1)[:, ::_LIGHT_EVERY, ::_LIGHT_EVERY])
        return MeshField(grid, shape, offset, source.window, target.picture, blend)


def _match_light(
    grid: FaceGrid,
    origin: FloatArray,
    source: Window,
    target: Window,
    weight: FloatArray,
    width: float,
) -> FloatArray:
    """What the grid's source pixels lack to have the target's light, rows x columns x 3."""
    apart = warp.spacing(origin[0], origin[1]) * source.scale
    given = warp.sample(source.shrunk(apart), origin.transpose(1, 2, 0))
    wanted = warp.sample(target.shrunk(grid.step * target.scale), grid.positions())
    return light.light_offset(given, wanted, weight, _LIGHT_SIGMA * width / grid.step)


class MeshField:
    """Fusion field of the embedded engine; see `fusion.field.FusionField`.

    Args:
        grid: Over the target's face, in pixels of the target picture.
        shape: 3 x rows x columns: source x and y in pixels of the source picture, opacity.
        offset: Added to the source's red, green and blue, on every `_LIGHT_EVERY`-th node.
        source: Pixels around the source's face, sRGB.
        target: Size of the target picture.
        blend: Its ratio scales the opacity.
    """

    def __init__(  # noqa: PLR0913 - the parts of one value
        self,
        grid: FaceGrid,
        shape: FloatArray,
        offset: FloatArray,
        source: Window,
        target: Size,
        blend: Blend,
    ) -> None:
        self._grid = grid
        self._shape = shape
        self._light_grid = grid.coarser(_LIGHT_EVERY)
        self._offset = offset
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
        out = tile.copy()
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
        offset = self._light_grid.sample(self._offset, block, self._target, at)
        warped = warp.sample(self._source_at(at), np.stack([x, y], axis=-1))
        lit = light.to_linear(light.shoulder(warped + np.moveaxis(offset, 0, -1)))
        base = light.to_linear(tile)
        mixed = light.to_encoded(base + weight * (lit - base))
        return np.where(weight > 0, mixed, tile)

    def _source_at(self, at: Size) -> Window:
        """The source, reduced where the output shows it smaller than it is."""
        scale = float(np.sqrt(at.pixels / self._target.pixels))
        with self._lock:
            if scale not in self._shrunk:
                self._shrunk[scale] = self._source.shrunk(self._spacing / scale)
            return self._shrunk[scale]
