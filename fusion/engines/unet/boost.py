"""Detail boost: a network of 256 px sees a finer crop as many shifted coarse ones.

Every n-th pixel of a crop of n x 256 px, begun at each of the n x n places, makes n x n pictures of
256 px; what the network makes of them is put back in the same order. It does not treat all of
them quite alike, which would show as a fine grid: that is taken out.
"""

from __future__ import annotations

import cv2
import numpy as np

from common.types import FloatArray

_BIAS = 3.0  # px of a phase: what phases have in common is smoother than this
_CONTRAST = 0.02  # of the crop's side, over which the difference between phases is measured
_GAIN = 1.5  # of the crop's own contrast between phases, which the result may have
_NOISE = 0.5 / 255
_MIDDLE = (0.25, 0.85, 0.25, 0.75)  # top, bottom, left and right of a face's middle in its crop


def phases(crop: FloatArray, n: int) -> FloatArray:
    """The pictures that a crop consists of.

    Args:
        crop: S x S x 3, S a multiple of n.

    Returns:
        n*n x S/n x S/n x 3, row by row of the first pixel.
    """
    side = crop.shape[0] // n
    parts = crop.reshape(side, n, side, n, -1).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(parts.reshape(n * n, side, side, -1))


def interleaved(parts: FloatArray, n: int) -> FloatArray:
    """The reverse of `phases`."""
    side = parts.shape[1]
    crop = parts.reshape(n, n, side, side, -1).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(crop.reshape(side * n, side * n, -1))


def joined(parts: FloatArray, crop: FloatArray, n: int) -> FloatArray:
    """What a network made of `phases` as one picture, without the difference between phases.

    Args:
        parts: n*n x side x side x 3 in [0, 1], in the order of `phases`.
        crop: n*side x n*side x 3 in [0, 1], what the phases were taken from.
        n: At 1 the only part is the answer.

    Returns:
        n*side x n*side x 3 float32.
    """
    if n == 1:
        return np.asarray(parts[0], np.float32)
    picture = interleaved(_unbiased(parts, n), n)
    # What no phase has alone: the mean over every window of n x n neighbouring pixels.
    common = _windowed(picture, n)
    fine = picture - common
    # Where the crop itself hardly differs between phases, neither may the result.
    own = crop - _windowed(crop, n)
    side = _CONTRAST * len(crop)
    limit = _GAIN * _contrast(own, side) + _NOISE
    return np.asarray(common + fine * np.minimum(1, limit / (_contrast(fine, side) + 1e-6)))


def resolved(picture: FloatArray, source: FloatArray, n: int) -> float:
    """How much of the detail that a boost could show there is in its result, 0-1.

    A target without fine detail gives a result without it, however many phases it is made of.

    Args:
        picture: S x S x 3, of `joined`.
        source: Likewise, the source's face in a crop as fine: what there is to show.
    """
    if n == 1:
        return 1.0
    there, wanted = (_fine_contrast(each, n) for each in (picture, source))
    return min(1.0, there / max(wanted, 1e-6))


def _fine_contrast(crop: FloatArray, n: int) -> float:
    """Root mean square of what differs between phases, in the middle of the face."""
    top, bottom, left, right = (round(share * len(crop)) for share in _MIDDLE)
    fine = crop - _windowed(crop, n)
    return float(np.sqrt(np.square(fine[top:bottom, left:right]).mean()))


def _unbiased(parts: FloatArray, n: int) -> FloatArray:
    """The parts without what each has of its own in brightness and colour over wide areas."""
    common = phases(_windowed(interleaved(parts, n), n), n)
    own = np.stack([_blurred(part, _BIAS) for part in parts - common])
    return np.asarray(parts - own, np.float32)


def _windowed(picture: FloatArray, n: int) -> FloatArray:
    """Means over n x n pixels, which no pattern of period n passes.

    For an even n the window has half weights at both ends, so that it stays centred.
    """
    weights = np.ones(n, np.float32)
    if n % 2 == 0:
        weights = np.ones(n + 1, np.float32)
        weights[[0, -1]] = 0.5
    weights /= np.float32(n)
    return np.asarray(
        cv2.sepFilter2D(picture, cv2.CV_32F, weights, weights, borderType=cv2.BORDER_REFLECT_101),
        np.float32,
    )


def _blurred(picture: FloatArray, sigma: float) -> FloatArray:
    return np.asarray(
        cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), np.float32
    )


def _contrast(fine: FloatArray, sigma: float) -> FloatArray:
    """Root mean square around each pixel over all channels, H x W x 1."""
    squares = np.square(fine).mean(axis=2)
    return np.sqrt(np.maximum(_blurred(np.asarray(squares, np.float32), sigma), 0))[..., None]
