"""How the source is mixed with the target: modes blend and overlay."""

from __future__ import annotations

import cv2
import numpy as np

from common.types import FloatArray

_BANDS = (0.01, 0.02, 0.04, 0.08, 0.16)  # of the face's width
_LEFT = (0.1, 0.25, 0.45, 0.6, 0.7)  # of each band, and of all that is coarser than the last


def overlay(base: FloatArray, source: FloatArray) -> FloatArray:
    """The blend mode "overlay" of a source on a base, encoded in [0, 1].

    Multiplies dark bases and screens light ones (W3C, Compositing and Blending Level 1, 9.1.5).
    """
    dark = 2 * base * source
    bright = 1 - 2 * (1 - base) * (1 - source)
    return np.asarray(np.where(base <= 0.5, dark, bright), np.float32)


def held_back(difference: FloatArray, width: float) -> FloatArray:
    """What mode blend leaves of the difference between source and target to the target.

    The bands of a Laplacian pyramid (Burt and Adelson, 1983), each the less taken from the
    source the coarser it is: details come in full, tone and transitions stay soft.

    Args:
        difference: H x W x 3 source less target in linear light.
        width: Of the face in the array's pixels.
    """
    sigmas = [max(share * width, 0.5) for share in _BANDS]
    lower = [cv2.GaussianBlur(difference, (0, 0), sigma) for sigma in sigmas]
    held = np.float32(_LEFT[-1]) * lower[-1]
    for fine, coarse, left in zip(lower, lower[1:], _LEFT, strict=False):
        held += np.float32(left) * (fine - coarse)
    return np.asarray(held, np.float32)
