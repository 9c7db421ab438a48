"""What can be measured on a fusion's pixels without knowing how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import ByteArray, Face, FloatArray, Region
from fusion.compositing.masks import hull
from preprocess import face_topology as topology

_LIGHT_WIDTH = 200  # px across the face when light is compared
_LIGHT_SIGMA = 0.12  # of the face's width: what is broader than a nose counts as light
_FEATURE_MARGIN = 0.03  # of the face's width
_SURE = (  # mesh points around both cheeks and the bridge of the nose: skin on nearly every face
    (117, 118, 101, 36, 205, 187, 123),
    (346, 347, 330, 266, 425, 411, 352),
    (193, 168, 417, 399, 5, 174),
)
_LEAST_SPREAD = np.array([12.0, 3.0, 3.5], np.float32)  # of L, a, b: shading is skin still
_SKIN_REACH = 3.5  # spreads
_LEAST_SKIN = 0.1  # of the oval
_BAND = (0.02, 0.5)  # opacity between which a seam would lie
_SEAM_SIGMA = 1 / 200  # of the face's width: grain is no seam
_INSIDE = 0.9  # opacity from which a pixel is the source's
_DETAIL_SIGMA = 2.0  # px: finer than this is detail
_BLOWN = 254
_CROP = 256  # px across the crop that common face swappers work on
_CROP_MARGIN = 0.25  # of the face's size, around its box, in such a crop


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """A fusion and its target over the same pixels.

    fused, target: H x W x 3 uint8 sRGB of ``region``. opacity: H x W in [0, 1]. face: the
    target's, in coordinates of the picture.
    """

    fused: ByteArray
    target: ByteArray
    region: Region
    opacity: FloatArray
    face: Face


def light_distance(pair: Compared) -> float:
    """Mean CIE Lab distance of the two faces after a blur of 0.12 face widths.

    Both are blurred inside the face oval alone. 1 is just visible side by side.
    """
    scale = min(1.0, _LIGHT_WIDTH / pair.face.box.width)
    return _distance(pair, scale, _oval(pair, scale))


def skin_light_distance(pair: Compared) -> float | None:
    """The same on what is skin in both: not features, hair, beard, spectacles or highlights.

    Skin is what lies within `_SKIN_REACH` spreads of the cheeks' and the nose's median colour; a
    blur inside it alone keeps everything else from counting. None where almost nothing is.
    """
    scale = min(1.0, _LIGHT_WIDTH / pair.face.box.width)
    inside = _oval(pair, scale) * (1 - _features(pair, scale))
    sure = _covered(pair, scale, [pair.face.landmarks[list(area), :2] for area in _SURE]) > 0
    for pixels in (pair.fused, pair.target):
        inside *= _skin(_lab(pixels, inside), sure)
    enough = _LEAST_SKIN * _oval(pair, scale).sum()
    return _distance(pair, scale, inside) if inside.sum() > enough else None


def seam_ratio(pair: Compared) -> float:
    """Edges where the fusion fades out, over those that the target has there.

    Mean absolute Laplacian after a slight blur, where opacity is 0.02 to 0.5, but for the
    mouth: lips against teeth are an edge in every face. 1 is as smooth as the photograph.
    """
    band = (pair.opacity > _BAND[0]) & (pair.opacity < _BAND[1])
    band &= _covered(pair, 1.0, [pair.face.landmarks[topology.OUTER_LIPS, :2]]) == 0
    sigma = max(1.0, pair.face.box.width * _SEAM_SIGMA)
    fused, target = (
        np.abs(cv2.Laplacian(cv2.GaussianBlur(_luma(pixels), (0, 0), sigma), cv2.CV_32F))
        for pixels in (pair.fused, pair.target)
    )
    return float(fused[band].mean() / max(float(target[band].mean()), 1e-6))


def blown_increase(pair: Compared) -> float:
    """Percentage points by which more of the face is burnt out (a channel of 254 or 255)."""
    inside = _oval(pair, 1.0) > 0
    fused, target = (
        float((one.max(axis=2) >= _BLOWN)[inside].mean()) for one in (pair.fused, pair.target)
    )
    return 100 * (fused - target)


def detail_over_crop(pair: Compared) -> float:
    """Detail finer than 2 px, over what is left of it after a crop of 256 px and back.

    That is what common face swappers do: the square around the face with a margin of a
    quarter is brought to 256 px, and the result is scaled up again.
    """
    inside = pair.opacity > _INSIDE
    side = max(pair.face.box.width, pair.face.box.height) * (1 + 2 * _CROP_MARGIN)
    height, width = pair.fused.shape[:2]
    scale = min(1.0, _CROP / side)
    small_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pair.fused, small_size, interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    kept = _detail(np.asarray(back, np.uint8), inside)
    return _detail(pair.fused, inside) / max(kept, 1e-6)


def _luma(pixels: ByteArray) -> FloatArray:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _detail(pixels: ByteArray, inside: NDArray[np.bool_]) -> float:
    luma = _luma(pixels)
    return float(np.abs(luma - cv2.GaussianBlur(luma, (0, 0), _DETAIL_SIGMA))[inside].mean())


def _oval(pair: Compared, scale: float) -> FloatArray:
    """1 inside the face oval, else 0, for the region at ``scale``."""
    return _covered(pair, scale, [pair.face.landmarks[topology.FACE_OVAL, :2]])


def _features(pair: Compared, scale: float) -> FloatArray:
    """1 over eyes, brows and lips and a little around them."""
    points = pair.face.landmarks[:, :2]
    areas = [
        hull(points[np.concatenate(parts)])
        for parts in (
            (topology.OUTER_LIPS,),
            (topology.RIGHT_EYE, topology.RIGHT_BROW),
            (topology.LEFT_EYE, topology.LEFT_BROW),
        )
    ]
    reach = 2 * round(_FEATURE_MARGIN * scale * pair.face.box.width) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return np.asarray(cv2.dilate(_covered(pair, scale, areas), disc), np.float32)


def _covered(pair: Compared, scale: float, areas: Sequence[FloatArray]) -> FloatArray:
    """1 inside any of the polygons (pixels of the picture), for the region at ``scale``."""
    height, width = (max(1, round(side * scale)) for side in pair.target.shape[:2])
    mask = np.zeros((height, width), np.uint8)
    for area in areas:
        outline = (area - (pair.region.x, pair.region.y)) * scale
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return mask.astype(np.float32)


def _skin(lab: FloatArray, sure: NDArray[np.bool_]) -> FloatArray:
    """1 where the colour is the skin's, whose median and spread are those where ``sure``."""
    known = lab[sure]
    middle = np.median(known, axis=0)
    spread = 1.48 * np.median(np.abs(known - middle), axis=0)
    apart = (lab - middle) / np.maximum(spread, _LEAST_SPREAD)
    return np.asarray(np.sqrt(np.square(apart).sum(axis=2)) < _SKIN_REACH, np.float32)


def _distance(pair: Compared, scale: float, inside: FloatArray) -> float:
    """Mean Lab distance where ``inside``, both blurred inside it alone."""
    sigma = _LIGHT_SIGMA * scale * pair.face.box.width
    weight = np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-3)[..., None]
    fused, target = (
        cv2.GaussianBlur(_lab(one, inside) * inside[..., None], (0, 0), sigma) / weight
        for one in (pair.fused, pair.target)
    )
    apart = np.sqrt(np.square(fused - target).sum(axis=2))
    return float(apart[inside > 0].mean())


def _lab(pixels: ByteArray, like: FloatArray) -> FloatArray:
    """CIE Lab of the pixels reduced to the size of ``like``."""
    size = (like.shape[1], like.shape[0])
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32)
