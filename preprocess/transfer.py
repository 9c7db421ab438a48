"""Linear light: the sRGB transfer function in both directions."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from common.types import FloatArray

# IEC 61966-2-1 (sRGB) transfer function.
_LINEAR_BELOW = 0.04045
_SLOPE = 12.92
_OFFSET = 0.055
_EXPONENT = 2.4


@lru_cache(maxsize=1)
def _decode_table() -> FloatArray:
    encoded = np.linspace(0.0, 1.0, 65536)
    table = np.where(
        encoded <= _LINEAR_BELOW,
        encoded / _SLOPE,
        ((encoded + _OFFSET) / (1 + _OFFSET)) ** _EXPONENT,
    ).astype(np.float32)
    table.flags.writeable = False
    return table


def to_linear(encoded: FloatArray) -> FloatArray:
    """sRGB-encoded values in [0, 1] to linear light, to 16 bit precision.

    A table of all 16 bit values: exact for what 8 and 16 bit files hold, and the same on
    every machine. Values outside [0, 1] are clipped.
    """
    index = np.rint(np.clip(encoded, 0.0, 1.0) * np.float32(65535.0)).astype(np.uint16)
    return np.asarray(_decode_table()[index], np.float32)


def to_encoded(linear: FloatArray) -> FloatArray:
    """Linear light to sRGB-encoded values, both in [0, 1]; values outside are clipped."""
    clipped = np.clip(linear, 0.0, 1.0)
    power = cv2.pow(clipped, 1 / _EXPONENT).reshape(clipped.shape)  # OpenCV drops a lone channel
    power *= np.float32(1 + _OFFSET)
    power -= np.float32(_OFFSET)
    straight = clipped * np.float32(_SLOPE)
    return np.where(clipped <= _LINEAR_BELOW / _SLOPE, straight, power)
