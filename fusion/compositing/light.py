"""The matching of one face's light to another's."""

from __future__ import annotations

import cv2
import numpy as np

from common.types import FloatArray

_PASSES = 2  # the second takes away what the first leaves where the weight ends
_LEAST_LEVEL = 0.05
_DARKENING = 0.5
_SHOULDER = 0.94
_FINE_SIGMA = 6.0  # a Gaussian of this width, px, is still sampled finely enough


def blur_inside(values: FloatArray, weight: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur of H x W x C values that only ``weight`` (H x W, 0-1) lets count.

    Normalised convolution: what lies outside the weight neither darkens nor colours the
    result (Knutsson and Westin, 1993). Far outside it falls back to the weighted mean.
    """
    total = np.float32(max(float(weight.sum()), 1e-6))
    weighted = values * weight[..., None]
    mean = np.einsum("hwc->c", weighted) / total
    soft = _gaussian(weight, sigma)[..., None]
    blurred = _gaussian(weighted, sigma)
    trust = np.float32(1e-3)
    return np.asarray((blurred + trust * mean) / (soft + trust), np.float32)


def _gaussian(values: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur with black outside; wide ones on a reduced copy, which looks the same."""
    reduce = max(1, int(sigma / _FINE_SIGMA))
    height, width = values.shape[:2]
    if reduce == 1:
        return np.asarray(
            cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT), np.float32
        )
    down = -height % reduce
    across = -width % reduce
    padded = cv2.copyMakeBorder(values, 0, down, 0, across, cv2.BORDER_CONSTANT)
    size = (padded.shape[1] // reduce, padded.shape[0] // reduce)
    small = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / reduce, borderType=cv2.BORDER_CONSTANT)
    whole = cv2.resize(small, padded.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole[:height, :width], np.float32)


def light_maps(
    source: FloatArray, target: FloatArray, weight: FloatArray, sigma: float
) -> FloatArray:
    """How to light the source like the target, for `relight`.

    Args:
        source, target: H x W x 3 encoded in [0, 1], the source already on the target's shape.
        weight: H x W in [0, 1], where both show skin.
        sigma: Scale in the arrays' pixels below which the source keeps its own detail.

    Returns:
        6 x H x W float32: what each channel lacks, and its level in the source.
    """
    wanted = blur_inside(target, weight, sigma)
    level = np.maximum(blur_inside(source, weight, sigma), np.float32(_LEAST_LEVEL))
    lack = np.zeros_like(source)
    for _ in range(_PASSES):
        lack += wanted - blur_inside(relight(source, lack, level), weight, sigma)
    return np.ascontiguousarray(np.concatenate([lack, level], axis=2).transpose(2, 0, 1))


def relight(encoded: FloatArray, lack: FloatArray, level: FloatArray) -> FloatArray:
    """Source values under the target's light.

    Above the local level the lack is added, so that detail and highlights are not amplified.
    Below it, it is added in proportion, so that black stays black: pupils and brows neither
    grey on a brighter target nor, with a third of it added in any case, are they cut off on a
    darker one. Of {add, multiply} x {encoded, linear}, adding encoded values comes nearest to the
    target's light at no loss of likeness (docs/decisions.md); this removes its veil.

    Args:
        encoded, lack, level: H x W x 3 float32; see `light_maps`.
    """
    share = encoded / level
    np.minimum(share, np.float32(1.0), out=share)
    reserve = np.where(lack < 0, np.float32(_DARKENING), np.float32(0.0))
    share += reserve
    reserve += np.float32(1.0)
    share /= reserve
    share *= lack
    share += encoded
    return np.asarray(share, np.float32)


def shoulder(encoded: FloatArray) -> FloatArray:
    """Bend values above 0.94 so that they approach 1 instead of being cut off there.

    Highlights of the source keep their shape on a bright target. Level and slope are
    continuous at the bend; negative values become 0.
    """
    room = np.float32(1.0 - _SHOULDER)
    lower = np.maximum(encoded, np.float32(0.0))
    over = np.maximum(lower - np.float32(_SHOULDER), np.float32(0.0))
    if not over.any():
        return np.asarray(lower, np.float32)
    return np.asarray(
        np.where(over > 0, np.float32(1.0) - room * np.exp(-over / room), lower), np.float32
    )
