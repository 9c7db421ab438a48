"""What is done to the fused picture: smoothed skin, sharpness and tone, as layers over it.

All work on encoded values, in which equal steps look alike, and in whole blocks of the fixed
grid, so that a pixel is the same however the picture is cut. What is neutral makes no layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.types import FloatArray, Region, Size
from fusion.compositing import tone
from fusion.compositing.smoothing import GuidedSmoothing
from fusion.field import BLOCK, Backdrop, FusionField, Layer, blocks
from fusion.request import Finish

_SMOOTH_RADIUS = 0.013  # of the face's longer side
_SHARPEN_SIGMA = 0.7  # px of the target, or of the output where that is finer
_SHARPEN_AMOUNT = 1.4  # of what the blur takes away, at 1
_CORING = 0.009  # differences well below this are grain or pores and stay as they are
_HALO = 0.10  # what the strongest edges gain at most


_Matte = Callable[[Region, Size], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class FinishedFace:
    """A fused face, and the part of the target picture outside which none of it lies."""

    field: FusionField
    area: Region


def needs_faces(finish: Finish) -> bool:
    """Whether it matters where faces are."""
    return finish.smooth > 0 or (finish.scope == "face" and _changes_all(finish))


def finishing_layers(
    finish: Finish, faces: Sequence[FinishedFace], target: Size, output: Size
) -> tuple[Layer, ...]:
    """The layers of a finish, to be laid over the fused picture in this order.

    Skin is smoothed before anything is sharpened, and tone comes last, so that the threshold
    below which grain is left alone means the same whatever the tone.

    Args:
        finish: At 0 each of its values adds no layer.
        faces: All that are fused.
        target: Size of the target picture.
        output: Size of the picture that the finish is meant for.
    """
    places = [_Place(faces, index, target) for index in range(len(faces))]
    layers: list[Layer] = []
    if finish.smooth:
        layers += [SkinSmoothing(place, finish.smooth) for place in places]
    scopes: Sequence[_Place | None] = places if finish.scope == "face" else [None]
    if finish.sharpen:
        layers += [Sharpening(scope, finish.sharpen, target, output) for scope in scopes]
    curves = tone.Tone(finish.brightness, finish.contrast, finish.saturation)
    if not curves.is_neutral:
        layers += [Toning(scope, curves) for scope in scopes]
    return tuple(layers)


def _changes_all(finish: Finish) -> bool:
    """Whether there is anything that the scope decides about."""
    return any((finish.sharpen, finish.brightness, finish.contrast, finish.saturation))


class _Place:
    """Where one of the faces is; where several share a pixel, it belongs to one of them.

    Args:
        faces: All.
        index: Of this one.
        target: Size of the target picture.
    """

    def __init__(self, faces: Sequence[FinishedFace], index: int, target: Size) -> None:
        self._faces = faces
        self._index = index
        self._target = target

    def bounds(self, at: Size) -> Region:
        return self._area(self._index, at)

    def width(self, at: Size) -> float:
        """Of the face, output pixels."""
        return self._faces[self._index].field.width * _scale(self._target, at)

    def face(self, region: Region, at: Size) -> FloatArray:
        """H x W in [0, 1]: the face's matte where it is the largest of all."""
        return self._own([face.field.face for face in self._faces], region, at)

    def skin(self, region: Region, at: Size) -> FloatArray:
        """Likewise its skin."""
        return self._own([face.field.skin for face in self._faces], region, at)

    def _own(self, mattes: Sequence[_Matte], region: Region, at: Size) -> FloatArray:
        own = mattes[self._index](region, at)
        for other, matte in enumerate(mattes):
            if other == self._index or self._area(other, at).intersect(region).is_empty:
                continue
            values = matte(region, at)
            wins = own >= values if self._index < other else own > values
            own = np.where(wins, own, np.float32(0))
        return own

    def _area(self, index: int, at: Size) -> Region:
        across, down = at.width / self._target.width, at.height / self._target.height
        return self._faces[index].area.scale(across, down).clip(at)


class SkinSmoothing:
    """Evens out one face's skin and keeps its edges and a part of its finest texture.

    Args:
        place: Of the face.
        strength: 0-1.
    """

    def __init__(self, place: _Place, strength: float) -> None:
        self._place = place
        self._strength = np.float32(strength)

    def bounds(self, at: Size) -> Region:
        return self._place.bounds(at)

    def reach(self, at: Size) -> int:
        return self._filter(at).reach

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        out = under.read(region)
        smoothing = self._filter(at)
        small = smoothing.reduced_size(at)
        for part, block in blocks(region.intersect(self.bounds(at))):
            weight = self._place.skin(part, at)
            if not weight.any():
                continue
            seen = block.grow(smoothing.margin)
            values = _block_of(under, seen, at)
            cells = smoothing.reduced(seen)
            skin = _padded(self._place.skin(cells.clip(small), small), cells, small)
            smooth = smoothing.smoothed(values, skin)[part.within(block)]
            tile = out[part.within(region)]
            tile += (weight * self._strength)[..., None] * (smooth - tile)
        return np.clip(out, 0.0, 1.0, out=out)

    def _filter(self, at: Size) -> GuidedSmoothing:
        return GuidedSmoothing.of_radius(_SMOOTH_RADIUS * self._place.width(at))


class Sharpening:
    """Unsharp masking of the luma: the same is added to all channels, so that no hue turns.

    Args:
        scope: The face that is sharpened; None for the whole picture.
        strength: 0-1.
        target: Size of the target picture; enlarging it makes the radius larger.
        output: Size of the picture that is sharpened; one rendered smaller shows what is left of
            it there.
    """

    def __init__(self, scope: _Place | None, strength: float, target: Size, output: Size) -> None:
        self._scope = scope
        self._amount = np.float32(strength * _SHARPEN_AMOUNT)
        self._output = output
        self._own_sigma = _SHARPEN_SIGMA * max(1.0, _scale(target, output))

    def bounds(self, at: Size) -> Region:
        return Region.whole(at) if self._scope is None else self._scope.bounds(at)

    def reach(self, at: Size) -> int:
        return math.ceil(3 * self._sigma(at))

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        out = under.read(region)
        reach = self.reach(at)
        for part, block in blocks(region.intersect(self.bounds(at))):
            weight = None if self._scope is None else self._scope.face(part, at)
            if weight is not None and not weight.any():
                continue
            seen = block.grow(reach)
            gain = self._gain(_block_of(under, seen, at), at)[part.within(block)]
            if weight is not None:
                gain = gain * weight
            tile = out[part.within(region)]
            # No channel leaves its range: that would turn the hue.
            low, high = tone.extremes(tile)
            gain = np.minimum(np.maximum(gain, -low), 1 - high)
            for channel in range(3):
                tile[..., channel] += gain
        return np.clip(out, 0.0, 1.0, out=out)

    def _sigma(self, at: Size) -> float:
        return self._own_sigma * _scale(self._output, at)

    def _gain(self, values: FloatArray, at: Size) -> FloatArray:
        """What is added to each pixel of a block, of the pixels around it as well."""
        reach = self.reach(at)
        luma = tone.luma(values)
        soft = _blurred(luma, self._sigma(at), reach)
        inner = np.s_[reach : reach + BLOCK, reach : reach + BLOCK]
        fine = np.asarray(luma[inner] - soft[inner], np.float32)
        square = fine * fine
        gain = fine * (square / (square + np.float32(_CORING**2))) * self._amount
        return np.asarray(gain / (1 + np.abs(gain) * np.float32(1 / _HALO)), np.float32)


class Toning:
    """Brightness, contrast and saturation.

    Args:
        scope: The face that is changed; None for the whole picture.
        curves: See `fusion.compositing.tone.Tone`.
    """

    def __init__(self, scope: _Place | None, curves: tone.Tone) -> None:
        self._scope = scope
        self._curves = curves

    def bounds(self, at: Size) -> Region:
        return Region.whole(at) if self._scope is None else self._scope.bounds(at)

    def reach(self, at: Size) -> int:  # noqa: ARG002 - of the protocol
        return 0

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        out = under.read(region)
        for part, _ in blocks(region.intersect(self.bounds(at))):
            tile = out[part.within(region)]
            if self._scope is None:
                tile[...] = self._curves.applied(tile)
                continue
            weight = self._scope.face(part, at)[..., None]
            if weight.any():
                tile += weight * (self._curves.applied(tile) - tile)
        return np.clip(out, 0.0, 1.0, out=out)


def _blurred(values: FloatArray, sigma: float, reach: int) -> FloatArray:
    """H x W, blurred by a Gaussian cut off at ``reach``.

    Samples of one that is narrower than an output's would have too small a variance: a preview
    would show nothing of what reducing the output leaves. Three taps have the right one.
    """
    if sigma < _SHARPEN_SIGMA:
        side = sigma * sigma / 2
        taps = np.array([side, 1 - 2 * side, side], np.float32)
        return np.asarray(cv2.sepFilter2D(values, -1, taps, taps), np.float32)
    return np.asarray(cv2.GaussianBlur(values, (2 * reach + 1,) * 2, sigma), np.float32)


def _scale(target: Size, at: Size) -> float:
    """Output pixels per target pixel."""
    return math.sqrt(at.pixels / target.pixels)


def _block_of(under: Backdrop, seen: Region, at: Size) -> FloatArray:
    """The pixels of a fixed rectangle, of which ``under`` need not hold all.

    What it lacks is 0, and no pixel that is asked for depends on it: filters that look no
    further than a layer's reach only have to find each pixel at the same place of the array.
    Outside the picture its edge continues. Not to be written to.
    """
    inside = seen.clip(at)
    known = inside.intersect(under.region)
    if known == seen and under.pixels.dtype == np.float32:
        return under.pixels[seen.within(under.region)]
    values = np.zeros((inside.height, inside.width, 3), np.float32)
    values[known.within(inside)] = under.read(known)
    return _padded(values, seen, at)


def _padded(values: FloatArray, seen: Region, at: Size) -> FloatArray:
    """Values of the part of ``seen`` inside the picture, continued over its edges."""
    inside = seen.clip(at)
    if inside == seen:
        return values
    edges = [
        (inside.y - seen.y, seen.bottom - inside.bottom),
        (inside.x - seen.x, seen.right - inside.right),
    ]
    return np.pad(values, edges + [(0, 0)] * (values.ndim - 2), mode="edge")
