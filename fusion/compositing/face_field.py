"""The fusion field that maps over a face make; every engine's maps may be laid into it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import FloatArray, Region, Size
from fusion.compositing import light, modes, occlusion
from fusion.compositing.grain import Grain
from fusion.compositing.grid import FaceGrid
from fusion.compositing.moves import Moves
from fusion.compositing.origin import Origin
from fusion.field import BLOCK, Backdrop, blocks
from fusion.request import Blend
from preprocess import transfer

_TAIL = 0.002
_PROBE_OPACITY, _PROBE_PLAIN = 0.5, 0.2  # of a place that tells how grainy the source looks
_CUBIC = 3  # pixels that bicubic interpolation reads beyond a point, and a rounding


@dataclass(frozen=True, slots=True, eq=False)
class Mattes:
    """What shows where, rows x columns in [0, 1].

    opacity: of the source at ratio 1, but for what lies in front. face: what belongs to the
    face. skin: what of it is skin. front: what lies in front of the face. coefficients: 4 x rows x
    columns of `occlusion.coefficients`, by which that is decided pixel by pixel.
    """

    opacity: FloatArray
    face: FloatArray
    skin: FloatArray
    front: FloatArray
    coefficients: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Lighting:
    """How the source is made to fit the target's light, on a coarser grid.

    maps: 9 x rows x columns: what each channel lacks and its level (`light.light_maps`), and
    the source without its finest detail. gain: what that detail is multiplied by. fill: 7 x rows
    x columns, for places that the source does not show: the target's bare skin continued from
    around, the target without its finest detail, and how much of that detail is to be seen.
    held: 3 x rows x columns, what mode blend leaves of the difference in linear light to the
    target.
    """

    grid: FaceGrid
    maps: FloatArray
    gain: float
    fill: FloatArray
    held: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class FaceMaps:
    """All that a field renders from.

    grid: over the target's face, in pixels of the target picture; origin and mattes lie on it.
    target: size of the target picture. width: the longer side of the face's oval, target pixels.
    """

    grid: FaceGrid
    origin: Origin
    mattes: Mattes
    lighting: Lighting
    moves: Moves
    target: Size
    width: float


@dataclass(frozen=True, slots=True)
class Remarks:
    """Sentences for the person; see `fusion.field.FusionField`."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class FaceField:
    """See `fusion.field.FusionField`.

    Args:
        maps: What it renders from.
        blend: Its ratio scales the opacity.
        grain: Laid over the fused pixels.
        remarks: For the person.
    """

    def __init__(
        self,
        maps: FaceMaps,
        blend: Blend,
        grain: Grain,
        remarks: Remarks = Remarks(),
    ) -> None:
        self.notes, self.warnings = remarks.notes, remarks.warnings
        self.width = maps.width
        self._blend = blend
        self._grain = grain
        self._grid = maps.grid
        self._origin = maps.origin
        self._mattes = maps.mattes
        self._lighting = maps.lighting
        self._moves = maps.moves
        self._target = maps.target
        opacity = _snapped(maps.mattes.opacity)
        self._shape = np.stack([opacity, maps.origin.plain]).astype(np.float32)
        self._shown = np.asarray(opacity * (1 - maps.mattes.front), np.float32)
        self._covers = bool(maps.mattes.coefficients.any())

    def bounds(self, at: Size) -> Region:
        if self._blend.ratio == 0 or not self._shape[0].any():
            return Region(0, 0, 0, 0)
        bounds = self._grid.extent(self._target, at)
        if self._moves.longest > 0:
            bounds = bounds.union(self._moves.grid.extent(self._target, at))
        return bounds

    def reach(self, at: Size) -> int:
        if self._moves.longest == 0:
            return 0
        factor = max(at.width / self._target.width, at.height / self._target.height)
        return int(np.ceil(self._moves.longest * factor)) + _CUBIC

    def opacity(self, region: Region, at: Size) -> FloatArray:
        shown = self._plane(self._shown, region, at)
        return np.asarray(shown * np.float32(self._blend.ratio), np.float32)

    def face(self, region: Region, at: Size) -> FloatArray:
        return self._plane(self._mattes.face, region, at)

    def skin(self, region: Region, at: Size) -> FloatArray:
        return self._plane(self._mattes.skin, region, at)

    def _plane(self, plane: FloatArray, region: Region, at: Size) -> FloatArray:
        out = np.zeros((region.height, region.width), np.float32)
        for part, block in blocks(region.intersect(self._grid.extent(self._target, at))):
            values = self._grid.sample(plane[None], block, self._target, at)[0]
            out[part.within(region)] = values[part.within(block)]
        return out

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        out = under.read(region)
        for part, block in blocks(region.intersect(self.bounds(at))):
            base = self._moved(under, block, at)
            self._fuse(base, block, at)
            out[part.within(region)] = base[part.within(block)]
        return out

    def _moved(self, under: Backdrop, block: Region, at: Size) -> FloatArray:
        """The target's pixels of a whole block, after its surroundings have moved.

        What lies outside ``under`` is black: no pixel that is asked for depends on it.
        """
        if self._moves.longest == 0:
            return _read(under, block)
        moves = self._moves.grid.sample(self._moves.maps, block, self._target, at)
        if not moves.any():
            return _read(under, block)
        x = moves[0] * np.float32(at.width / self._target.width)
        y = moves[1] * np.float32(at.height / self._target.height)
        still = (x == 0) & (y == 0)
        x += np.arange(block.width, dtype=np.float32)
        y += np.arange(block.height, dtype=np.float32)[:, None]
        # All that the block may look at, whatever part of it there is: so rounding is the same.
        box = _box_around(x, y, block).clip(at)
        x += np.float32(block.x - box.x)
        y += np.float32(block.y - box.y)
        base = cv2.remap(_read(under, box), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        np.clip(base, 0, 1, out=base)
        if still.any():
            np.copyto(base, _read(under, block), where=still[..., None])
        return np.asarray(base, np.float32)

    def _fuse(self, base: FloatArray, block: Region, at: Size) -> None:
        """Lay the source over a block of the target, in place."""
        if block.intersect(self._grid.extent(self._target, at)).is_empty:
            return  # only the target moves there
        opacity, plain = self._grid.sample(self._shape, block, self._target, at)
        if self._covers and opacity.any():
            front = self._grid.sample(self._mattes.coefficients, block, self._target, at)
            if front.any():
                opacity = opacity * (1 - occlusion.refined(front, base))
        weight = (opacity * np.float32(self._blend.ratio))[..., None]
        if not weight.any():
            return
        lit = self._lit(base, plain, block, at)
        if self._blend.mode == "overlay":
            lit = modes.overlay(base, lit)
        under = transfer.to_linear(base)
        change = transfer.to_linear(lit) - under
        if self._lighting.held.any():
            change -= self._sampled(self._lighting.held, self._lighting.grid, block, at)
        mixed = transfer.to_encoded(under + weight * change)
        bare = np.maximum(1 - plain, 0)  # interpolation may round to a little above 1
        grainy = self._grain.laid(mixed, weight[..., 0] * bare, block, self._target, at)
        mixed = np.minimum(grainy, np.maximum(mixed, light.CEILING))  # grain burns nothing out
        np.copyto(base, mixed, where=weight > 0)

    def source_on(self, base: FloatArray, region: Region) -> FloatArray | None:
        """The source in the target's light, as it is laid into the target at its own size.

        Args:
            base: The target's pixels in ``region``, H x W x 3 float32 encoded in [0, 1].

        Returns:
            Likewise; None where little of it would show.
        """
        at = self._target
        opacity, plain = self._grid.sample(self._shape, region, at, at)
        if opacity.mean() < _PROBE_OPACITY or plain.mean() > _PROBE_PLAIN:
            return None
        return self._lit(base, plain, region, at)

    def _lit(self, base: FloatArray, plain: FloatArray, block: Region, at: Size) -> FloatArray:
        place = (self._lighting.grid, block, at)
        maps = self._lighting.grid.sample(self._lighting.maps, block, self._target, at)
        lack, level, soft = (_joined(part) for part in np.split(maps, 3))
        source = light.with_detail(self._origin.pixels(base, block, at), soft, self._lighting.gain)
        lit = light.shoulder(light.relight(source, lack, level))
        if plain.any():
            fill = self._sampled(self._lighting.fill, *place)
            texture = (base - fill[..., 3:6]) * fill[..., 6:]
            lit += plain[..., None] * (fill[..., :3] + texture - lit)
        return lit

    def _sampled(self, maps: FloatArray, grid: FaceGrid, block: Region, at: Size) -> FloatArray:
        """Maps at the pixels of a block, H x W x C."""
        return _joined(grid.sample(maps, block, self._target, at))


def _snapped(opacity: FloatArray) -> FloatArray:
    """Opacity with the long tails of the blurs cut off: what looks untouched is untouched."""
    return np.where(opacity < _TAIL, np.float32(0), np.where(opacity > 1 - _TAIL, 1, opacity))


def _joined(planes: FloatArray) -> FloatArray:
    """C x H x W as H x W x C; computing with a mere view of it would take twice as long."""
    return np.asarray(cv2.merge(list(planes)), np.float32)


def _read(under: Backdrop, region: Region) -> FloatArray:
    """A rectangle of the backdrop, black where that does not reach."""
    seen = region.intersect(under.region)
    if seen == region:
        return under.read(region)
    pixels = np.zeros((region.height, region.width, 3), np.float32)
    pixels[seen.within(region)] = under.read(seen)
    return pixels


def _box_around(x: FloatArray, y: FloatArray, block: Region) -> Region:
    """The block, and what interpolation at points (from the block's corner) reads around it."""
    low = [min(0, int(np.floor(plane.min())) - _CUBIC) for plane in (x, y)]
    high = [max(BLOCK, int(np.ceil(plane.max())) + 1 + _CUBIC) for plane in (x, y)]
    return Region(block.x + low[0], block.y + low[1], high[0] - low[0], high[1] - low[1])
