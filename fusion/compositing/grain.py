"""Grain: the noise that a photograph has at the scale of its own pixels.

A clean source in a noisy photograph looks pasted, however well its light fits. `Grain.of`
measures in small patches of skin what the target has and the source lacks, and `Grain.laid`
lays that much noise over the fused pixels. The noise is a function of the pixel's place in the
target: no state, no repetition, the same whatever part of the picture is asked for.

Two bands are told apart, by differences of Gaussians of 0, 0.8 and 1.6 px: noise of a bare
sensor is strong in the first, that of film, of enlarged and of denoised pictures in the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray, Region, Size
from fusion.compositing.grid import places

Levels = tuple[float, float]
"""Deviation of the luma in the fine and in the coarser band, encoded values in [0, 1]."""

NO_LEVELS: Levels = (0.0, 0.0)

_SIGMAS = (0.8, 1.6)  # px
_TAPS = (7, 13)  # 4 sigma to each side
_REACH = 6  # px, of the wider filter
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as JPEG and OpenCV have it

_CELL = 12  # px, side of the squares whose deviations are compared
_QUANTILE = 0.1  # of them: pores, stubble and wrinkles fill many squares, noise fills all
_BIAS = (0.918, 0.888)  # what that quantile shows of the deviation of white noise, per band
_EVEN = (0.74, 0.86)  # that quantile over the median: skin without noise, noise (0.9 if white)
_FEWEST_CELLS = 4
_UNCLIPPED = (0.02, 0.97)  # mean of a square: noise is cut off near black and white

_VISIBLE = 0.4 / 255
_MOST = 0.05
_BALANCES = 181  # of fine and soft noise that are compared
_SAMPLE = 256  # px, side of the noise on which the filters are measured


@dataclass(frozen=True, slots=True)
class Grain:
    """Noise to be laid over a fused face.

    levels: Deviations per band at the scale of the target's pixels; `NO_LEVELS` for none.
    """

    levels: Levels = NO_LEVELS

    @classmethod
    def of(cls, wanted: Sequence[FloatArray], given: Sequence[FloatArray]) -> Grain:
        """What patches of the target have and the source lacks at their places.

        Args:
            wanted: Patches of the target at its own resolution, each H x W x 3 encoded in
                [0, 1].
            given: What the source would show at the same pixels, lit and with its detail as it
                will be laid into the target; likewise.

        Returns:
            No grain where none of the patches tells anything, or too little to be seen.
        """
        there, here = measured(wanted, doubting=True), measured(given)
        return cls((_missing(there[0], here[0]), _missing(there[1], here[1])))

    @property
    def is_none(self) -> bool:
        return self.levels == NO_LEVELS

    def values(self, block: Region, target: Size, at: Size) -> FloatArray:
        """The noise of an output block, H x W float32 to be added to encoded values.

        Enlarged with the picture; in a reduced one as weak as averaging makes it.

        Args:
            block: Output pixels.
            target: Size of the target picture.
            at: Size of the output picture.
        """
        scale = float(np.sqrt(at.pixels / target.pixels))
        levels = reduced(self.levels, scale)
        if levels == NO_LEVELS:
            return np.zeros((block.height, block.width), np.float32)
        if scale <= 1:
            return _noise(block, _amplitudes(levels))
        x = places(block.x, block.width, at.width / target.width)
        y = places(block.y, block.height, at.height / target.height)
        left, top = (int(np.floor(places[0])) - 1 for places in (x, y))
        right, bottom = (int(np.floor(places[-1])) + 3 for places in (x, y))
        around = Region(left, top, right - left, bottom - top)
        columns, rows = np.meshgrid((x - left).astype(np.float32), (y - top).astype(np.float32))
        own = _noise(around, _amplitudes(levels))
        return np.asarray(cv2.remap(own, columns, rows, cv2.INTER_CUBIC), np.float32)

    def laid(
        self, values: FloatArray, weight: FloatArray, block: Region, target: Size, at: Size
    ) -> FloatArray:
        """A block of the fused picture with grain.

        What is mixed of two pictures has less noise than either: of the target's, 1 - weight
        is left. The noise laid on top makes up for the rest.

        Args:
            values: H x W x 3 encoded, already mixed.
            weight: H x W in [0, 1], how much of it is the source's.
            block, target, at: As for `values`.

        Returns:
            H x W x 3 float32 in [0, 1]; ``values`` itself if there is no grain.
        """
        if self.is_none:
            return values
        noise = self.values(block, target, at) * np.sqrt(weight * (2 - weight))
        grained = np.array(values, np.float32)
        for channel in range(grained.shape[2]):  # faster than a sum over three at a time
            grained[..., channel] += noise
        return np.clip(grained, 0, 1, out=grained)


def measured(patches: Sequence[FloatArray], doubting: bool = False) -> Levels:
    """The noise of patches of skin.

    Of each patch a low quantile of the deviations of small squares counts, of all patches the
    median: texture and hair are in some places, noise is everywhere.

    Args:
        patches: Each H x W x 3 encoded in [0, 1].
        doubting: Whether what differs from square to square, as skin does, is no noise at all.

    Returns:
        `NO_LEVELS` where every patch is too small, too dark or too bright.
    """
    found = [levels for patch in patches if (levels := _measured(patch, doubting)) is not None]
    if not found:
        return NO_LEVELS
    fine, coarse = np.median(np.array(found), axis=0)
    return float(fine), float(coarse)


def _measured(patch: FloatArray, doubting: bool) -> Levels | None:
    luma = _luma(patch)
    rows, columns = ((side - _REACH) // _CELL for side in luma.shape)
    if rows * columns < _FEWEST_CELLS:
        return None
    level = _cells(luma, rows, columns)
    usable = (level > _UNCLIPPED[0]) & (level < _UNCLIPPED[1])
    if np.count_nonzero(usable) < _FEWEST_CELLS:
        return None
    spread = [
        np.quantile(np.sqrt(_cells(band * band, rows, columns)[usable]), (_QUANTILE, 0.5))
        for band in _bands(luma)
    ]
    # The coder of a JPEG leaves the coarser band of noise more even than the fine one.
    even = max(float(low) / max(float(middle), 1e-6) for low, middle in spread)
    trust = min(max((even - _EVEN[0]) / (_EVEN[1] - _EVEN[0]), 0.0), 1.0) if doubting else 1.0
    fine, coarse = (trust * float(low) / bias for (low, _), bias in zip(spread, _BIAS, strict=True))
    return fine, coarse


def _missing(wanted: float, given: float) -> float:
    lack = float(np.sqrt(max(0.0, wanted * wanted - given * given)))
    return 0.0 if lack < _VISIBLE else min(lack, _MOST)


def _luma(patch: FloatArray) -> FloatArray:
    red, green, blue = _LUMA
    return np.asarray(
        red * patch[..., 0] + green * patch[..., 1] + blue * patch[..., 2], np.float32
    )


def _cells(values: FloatArray, rows: int, columns: int) -> FloatArray:
    """Means over squares of `_CELL` px away from the border, rows x columns."""
    edge = _REACH // 2
    cut = values[edge : edge + rows * _CELL, edge : edge + columns * _CELL]
    means = cut.reshape(rows, _CELL, columns, _CELL).mean(axis=(1, 3))
    return np.asarray(means, np.float32)


def _bands(luma: FloatArray) -> tuple[FloatArray, FloatArray]:
    soft, softer = _soft(luma, 0), _soft(luma, 1)
    return np.asarray(luma - soft, np.float32), np.asarray(soft - softer, np.float32)


def _soft(luma: FloatArray, which: int) -> FloatArray:
    taps = (_TAPS[which], _TAPS[which])
    return np.asarray(cv2.GaussianBlur(luma, taps, _SIGMAS[which]), np.float32)


def _noise(block: Region, amplitudes: Levels) -> FloatArray:
    """Noise at the pixels of a block, H x W float32.

    amplitudes: Of white noise above and below the border of the two bands; the same for
    both is white noise.
    """
    around = block.grow(_TAPS[0] // 2)
    white = _white(around)
    soft = _soft(white, 0)
    total = np.float32(amplitudes[0]) * (white - soft) + np.float32(amplitudes[1]) * soft
    return np.asarray(total[block.within(around)], np.float32)


def _white(region: Region) -> FloatArray:
    """White noise of mean 0 and deviation 1, a function of each pixel's place; H x W.

    The hash is "lowbias32" by Chris Wellons (hash-prospector, public domain), applied to the
    row and then to the row's hash and the column. The sum of its four bytes is nearly normal.
    """
    rows = np.arange(region.y, region.bottom, dtype=np.int64).astype(np.uint32)
    columns = np.arange(region.x, region.right, dtype=np.int64).astype(np.uint32)
    bits = _hashed(_hashed(rows)[:, None] + columns)
    pairs = (bits & np.uint32(0x00FF00FF)) + ((bits >> np.uint32(8)) & np.uint32(0x00FF00FF))
    sums = (pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))
    mean, deviation = 4 * 127.5, np.sqrt(4 * (256**2 - 1) / 12)
    white = (sums.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
    return np.asarray(white, np.float32)


def _hashed(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = numbers ^ (numbers >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return np.asarray(x ^ (x >> np.uint32(16)), np.uint32)


@lru_cache(maxsize=1)
def _balances() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the bands measure in noise of every balance of both amplitudes.

    Returns:
        Amplitudes (N x 2 on the unit circle, from fine to soft) and variances (N x 2).
    """
    region = Region(0, 0, _SAMPLE, _SAMPLE)
    turn = np.linspace(0, np.pi / 2, _BALANCES)
    amplitudes = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    fine, soft, white = (
        _variances(_noise(region, share)) for share in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    )
    own, other = amplitudes[:, :1], amplitudes[:, 1:]
    both = own * other * (white - fine - soft)  # what two parts of one noise have in common
    return amplitudes, own * own * fine + other * other * soft + both


def _variances(luma: FloatArray) -> NDArray[np.float64]:
    inner = slice(_REACH, -_REACH)
    return np.array([np.mean(band[inner, inner].astype(np.float64) ** 2) for band in _bands(luma)])


def _amplitudes(levels: Levels) -> Levels:
    """The amplitudes of `_noise` in which the bands measure ``levels``.

    Noise softer than these can make, as of an enlarged picture, gets the strength between
    what either band asks for; noise finer than that the strength of the fine band.
    """
    if levels == NO_LEVELS:
        return NO_LEVELS
    amplitudes, variances = _balances()
    ratios = variances[:, 1] / variances[:, 0]  # rises from fine to soft
    fine, coarse = np.square(np.maximum(levels, _VISIBLE / 8))
    coarse = max(coarse, fine * ratios[0])
    nearest = int(np.argmin(np.abs(np.log(ratios * (fine / coarse)))))
    strength = (fine * coarse / variances[nearest].prod()) ** 0.25
    fine, soft = strength * amplitudes[nearest]
    return float(fine), float(soft)


@lru_cache(maxsize=16)
def reduced(levels: Levels, scale: float) -> Levels:
    """What is measured of noise in a picture that was reduced by averaging.

    Args:
        levels: Of the picture at its own size.
        scale: Of the reduced picture over its own; from 1 on nothing changes.
    """
    if scale >= 1 or levels == NO_LEVELS:
        return levels
    side = max(4 * _REACH, round(_SAMPLE * scale))
    sample = round(side / scale)
    if sample > 4 * _SAMPLE:
        return NO_LEVELS  # a fortieth of the picture's size: nothing to be seen
    noise = _noise(Region(0, 0, sample, sample), _amplitudes(levels))
    small = cv2.resize(noise, (side, side), interpolation=cv2.INTER_AREA)
    fine, coarse = np.sqrt(_variances(np.asarray(small, np.float32)))
    return (float(fine), float(coarse)) if max(fine, coarse) >= _VISIBLE else NO_LEVELS
