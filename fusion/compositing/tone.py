"""Brightness, contrast and saturation that neither clip nor turn a hue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.types import FloatArray

_LUMA = (0.2126, 0.7152, 0.0722)  # Rec. ITU-R BT.709-6, on encoded values
_BRIGHTNESS = 0.4  # how far the middle moves, of 0.5, for a brightness of 1
_CONTRAST = 0.32  # likewise of the curve's steepness, where 0.5 is a straight line
_CONTRAST_CHROMA = 0.35  # power of the slope at middle grey by which the chroma follows
_SATURATION = (2.0, 1.6)  # chroma gained or lost: -0.5 leaves none, 0.5 makes 1.8 times as much
_LEAST = np.float32(1e-6)


def luma(values: FloatArray) -> FloatArray:
    """Rec. 709 luma of H x W x 3 encoded values, H x W."""
    total = values[..., 0] * np.float32(_LUMA[0])
    total += values[..., 1] * np.float32(_LUMA[1])
    total += values[..., 2] * np.float32(_LUMA[2])
    return np.asarray(total, np.float32)


def extremes(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest channel of H x W x 3 values, H x W each.

    Ten times as fast as numpy's own along so short an axis.
    """
    red, green, blue = (np.ascontiguousarray(values[..., channel]) for channel in range(3))
    low = np.minimum(np.minimum(red, green), blue)
    return low, np.maximum(np.maximum(red, green), blue)


@dataclass(frozen=True, slots=True)
class Tone:
    """Curves for the luma, and what becomes of the chroma; -0.5 to 0.5 each.

    The curves are Schlick's bias and gain ("Fast alternatives to Perlin's bias and gain
    functions", Graphics Gems IV, 1994): rational, with fixed black and white, of finite slope
    everywhere, and the opposite value is the exact inverse. Brightness moves middle grey by
    at most 0.2; contrast turns around middle grey.

    Chroma is the difference of the channels from their luma. It grows and shrinks with the
    luma, which for encoded values is a change of exposure, with the saturation, and a little
    with the contrast, without which more of it would look pale and less of it gaudy. What
    share of the chroma that fits into the range a colour uses is kept below 1 by the same
    rational curve, so that nothing is cut off and hues stay where they are.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    @property
    def is_neutral(self) -> bool:
        return not (self.brightness or self.contrast or self.saturation)

    @property
    def _chroma(self) -> float:
        """What the chroma is multiplied by whatever the luma."""
        steepness = 0.5 + _CONTRAST * self.contrast
        slope = steepness / (1 - steepness)  # of the gain at its middle
        own = 1 + _SATURATION[self.saturation > 0] * self.saturation
        return float(slope**_CONTRAST_CHROMA * own)

    def applied(self, values: FloatArray) -> FloatArray:
        """A new array of the same shape, H x W x 3 in [0, 1]; grey stays exactly grey."""
        before = np.minimum(luma(values), np.float32(1))
        after = before
        if self.brightness:
            after = _bias(after, 0.5 + _BRIGHTNESS * self.brightness)
        if self.contrast:
            after = _gain(after, 0.5 + _CONTRAST * self.contrast)
        factor = (after + _LEAST) / (before + _LEAST)
        factor *= np.float32(self._chroma)
        low, high = extremes(values)
        low, high = before - low, high - before
        used = _share(high, low, before)
        wanted = _share(high * factor, low * factor, after)
        factor /= 1 + np.maximum(wanted - used, np.float32(0))
        out = np.empty_like(values)
        for channel in range(3):
            plane = values[..., channel] - before
            plane *= factor
            plane += after
            np.clip(plane, 0.0, 1.0, out=out[..., channel])
        return out


def _bias(values: FloatArray, middle: float) -> FloatArray:
    """The curve through (0, 0), (0.5, middle) and (1, 1)."""
    bend = np.float32(1 / middle - 2)
    return np.asarray(values / (bend * (1 - values) + 1), np.float32)


def _gain(values: FloatArray, steepness: float) -> FloatArray:
    """An S through (0, 0), (0.5, 0.5) and (1, 1), steep in the middle above 0.5."""
    upper = values > np.float32(0.5)
    half = np.where(upper, 1 - values, values) * 2
    half = _bias(half, 1 - steepness) * np.float32(0.5)
    return np.asarray(np.where(upper, 1 - half, half), np.float32)


def _share(high: FloatArray, low: FloatArray, middle: FloatArray) -> FloatArray:
    """How much of the chroma that fits around a luma reaches: 1 touches black or white."""
    up = high / np.maximum(1 - middle, _LEAST)
    down = low / np.maximum(middle, _LEAST)
    return np.asarray(np.minimum(np.maximum(up, down), np.float32(1e3)), np.float32)
