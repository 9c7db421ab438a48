"""The matching of one face's light to another's."""

from __future__ import annotations

import cv2
import numpy as np

from common.types import FloatArray
from fusion.compositing import masks

EVERY = 4
"""Light is measured on means over this many nodes in each direction: it is smooth."""

FAR, NEAR = (0.5, 0.25, 0.12), (0.5, 0.25, 0.12, 0.06, 0.03)
"""Scales of `spread_from`, of the face's width: what counts as light, and what lies around."""
_PASSES = 3
_TRUST = 0.03  # share of skin below which a scale is believed less than the coarser one
_FINE_SIGMA = 5.0  # px; a Gaussian of this width is still sampled finely enough
_LEAST_LEVEL = 0.05
_ROUNDS = 5
_STIFF = np.array([0.0, 0.003, 0.003, 0.02, 0.02, 0.02])  # against bending into a beard
_APART = np.array([15.0, 7.0, 8.0], np.float32)  # of L, a, b from a smooth course over the face
_NEAR_PASSES = 2
_DARKENING = 0.5
_HIGHLIGHT, _TAMING = 0.1, 0.5  # how far above the target's light skin may shine, and its limit
_SHOULDER = 0.95
CEILING = np.float32(0.988)
"""No fused highlight is brighter: none is burnt out."""


def spread_from(
    values: FloatArray, weight: FloatArray, width: float, scales: tuple[float, ...] = FAR
) -> FloatArray:
    """Low frequencies of H x W x C values where ``weight`` counts, continued everywhere else.

    Normalised convolutions (Knutsson and Westin, 1993) from coarse to fine: where a scale sees
    too little weight, the coarser one stands. Beards, hair and lips thereby get the light of
    the skin around them.

    Args:
        width: Of the face in the arrays' pixels.
        scales: Of the face's width, from coarse to fine.
    """
    total = np.float32(max(float(weight.sum()), 1e-6))
    joined = np.concatenate([values * weight[..., None], weight[..., None]], axis=2)
    mean = joined[..., :-1].reshape(-1, values.shape[2]).sum(axis=0) / total
    known = np.broadcast_to(mean, values.shape)
    trust = np.float32(_TRUST)
    for scale in scales:
        blurred = _gaussian(joined, max(scale * width, 0.3))
        known = (blurred[..., :-1] + trust * known) / (blurred[..., -1:] + trust)
    return np.asarray(known, np.float32)


def _gaussian(values: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur with black outside; wide ones on a reduced copy, which looks the same."""
    reduce = max(1, int(sigma / _FINE_SIGMA))
    if reduce == 1:
        blurred = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(blurred, np.float32)
    height, width = values.shape[:2]
    padded = cv2.copyMakeBorder(
        values, 0, -height % reduce, 0, -width % reduce, cv2.BORDER_CONSTANT
    )
    size = (padded.shape[1] // reduce, padded.shape[0] // reduce)
    small = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / reduce, borderType=cv2.BORDER_CONSTANT)
    whole = cv2.resize(small, padded.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole[:height, :width], np.float32)


def evenly_lit(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Where colours follow a smooth course over the face, as skin under any light does.

    A surface of second order is fitted to L, a and b where ``weight`` counts, then again to what
    lies near it (iteratively reweighted least squares with Tukey's biweight): the shaded side
    of a face belongs to it, a beard, however near to that shade, does not.

    Args:
        values: H x W x 3 encoded in [0, 1]. weight: H x W in [0, 1], what is likely skin.

    Returns:
        H x W float32 in [0, 1].
    """
    lab = cv2.cvtColor(np.ascontiguousarray(values), cv2.COLOR_RGB2LAB)
    rows, columns = weight.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).reshape(6, -1)
    colours = np.ascontiguousarray(lab.reshape(-1, 3).T, np.float64)
    first, second = np.triu_indices(len(terms))
    products = terms[first] * terms[second]
    normal = np.empty((len(terms), len(terms)))
    likely = even = weight.ravel()
    trust = likely.astype(np.float64)
    for _ in range(_ROUNDS):
        sums = np.einsum("kn,n->k", products, trust)
        normal[first, second] = normal[second, first] = sums
        normal += np.diag(_STIFF * trust.sum() + 1e-6)
        right = np.einsum("in,cn->ic", terms, colours * trust)
        course = np.einsum("ic,in->cn", np.linalg.solve(normal, right), terms)
        apart = (colours - course) / _APART[:, None]
        far = np.einsum("cn,cn->n", apart, apart)
        even = np.square(np.maximum(1 - far / 4, 0)).astype(np.float32)
        trust = (even * likely).astype(np.float64)
    return masks.smoothstep(even.reshape(weight.shape) / np.float32(0.5))


def light_maps(
    source: FloatArray, target: FloatArray, weight: FloatArray, near: FloatArray, width: float
) -> FloatArray:
    """How to light the source like the target, for `relight`.

    Args:
        source, target: H x W x 3 encoded in [0, 1], the source already on the target's shape,
            both already averages over some nodes.
        weight: H x W in [0, 1], where both show skin.
        near: H x W in [0, 1], where the match must be closer because the target's own skin is
            shown beside the source's.
        width: Of the face in the arrays' pixels.

    Returns:
        6 x H x W float32: what each channel lacks, and its level in the source.
    """
    level = np.maximum(spread_from(source, weight, width), np.float32(_LEAST_LEVEL))
    lack = np.zeros_like(source)
    for _ in range(_PASSES):
        lack += spread_from(target - shoulder(relight(source, lack, level)), weight, width)
    if near.any():
        for _ in range(_NEAR_PASSES):
            rest = target - shoulder(relight(source, lack, level))
            lack += near[..., None] * spread_from(rest, weight, width, NEAR)
    # Where the source's own light changes faster than this scale, the match overshoots.
    highest = np.maximum(spread_from(target, weight, width), target) + np.float32(_HIGHLIGHT)
    lack -= np.float32(_TAMING) * np.maximum(relight(source, lack, level) - highest, 0)
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
    """Bend values above 0.95 so that they approach 0.988 instead of being cut off at 1.

    Highlights of the source keep their shape on a bright target, and none is burnt out. Level
    and slope are continuous at the bend; negative values become 0.
    """
    room = np.float32(CEILING - _SHOULDER)
    lower = np.maximum(encoded, np.float32(0.0))
    over = np.maximum(lower - np.float32(_SHOULDER), np.float32(0.0))
    if not over.any():
        return np.asarray(lower, np.float32)
    bent = CEILING - room * np.exp(-over / room)
    return np.asarray(np.where(over > 0, bent, lower), np.float32)


def with_detail(values: FloatArray, soft: FloatArray, gain: float) -> FloatArray:
    """Values whose detail finer than ``soft`` (like them) is multiplied by ``gain``."""
    if gain == 1.0:
        return values
    values = values - soft
    values *= np.float32(gain)
    values += soft
    return values
