"""Who is shown: embeddings and 3-D shapes between two persons, and how a ratio uses them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.types import FloatArray

SHAPE = 80
"""Leading 3-D coefficients that say whose face it is; the rest is expression, colour and pose."""
OFFICIAL_SHAPE = 0.5
"""How far the official class moves them towards the source's."""
_SHOWN_FROM = 0.4  # ratio at which nothing but the network's face shows

Embeddings = FloatArray
Coefficients = FloatArray


@dataclass(frozen=True, slots=True)
class Mixture:
    """What a ratio means to the network.

    identity: how far the embedding goes from the target's to the source's, 0-1. shape: how far the
    3-D shape does. opacity: of the network's face over the target's, 0-1.
    """

    identity: float
    shape: float
    opacity: float

    @classmethod
    def of(cls, ratio: float, shape: float = OFFICIAL_SHAPE) -> Mixture:
        """A face in between needs no double exposure: it is faded in only for small ratios.

        There the network, asked for almost the target's own face, answers something very close
        to it but not the same pixels; at 0 the target is exact.

        Args:
            ratio: 0-1.
            shape: Share of the source's 3-D shape at ratio 1.
        """
        return cls(ratio, shape * ratio, min(1.0, ratio / _SHOWN_FROM))


def mean_embedding(embeddings: Embeddings) -> FloatArray:
    """One person out of several pictures: the direction of the mean, 512 of unit length.

    Args:
        embeddings: N x 512 of unit length.
    """
    return _unit(embeddings.mean(axis=0))


def between(target: FloatArray, source: FloatArray, share: float) -> FloatArray:
    """An embedding on the great circle from one to another (Shoemake 1985, slerp).

    Equal shares are equal angles, which is what recognisers compare by.

    Args:
        target, source: 512 of unit length.
        share: 0 is the target's, 1 the source's, both exactly.
    """
    if share in (0, 1):
        return source if share else target
    angle = float(np.arccos(np.clip((target * source).sum(), -1, 1)))
    if np.sin(angle) < 1e-3:  # the same direction, or opposite ones without a shortest way
        return _unit((1 - share) * target + share * source)
    parts = np.sin((1 - share) * angle) * target + np.sin(share * angle) * source
    return _unit(np.asarray(parts / np.sin(angle), np.float32))


def mixed_shape(target: Coefficients, source: Coefficients, share: float) -> Coefficients:
    """The target's 3-D coefficients with the shape moved towards the source's.

    Args:
        target, source: 257 each.
        share: 0 leaves the target's; `OFFICIAL_SHAPE` is the official class's mean of both.
    """
    mixed: FloatArray = np.array(target, np.float32)
    if share == OFFICIAL_SHAPE:  # in its very words, for the same rounding
        mixed[:SHAPE] = (source[:SHAPE] + target[:SHAPE]) / 2
    else:
        mixed[:SHAPE] += np.float32(share) * (source[:SHAPE] - target[:SHAPE])
    return mixed


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / max(float(np.sqrt(np.square(vector).sum())), 1e-12), np.float32)
