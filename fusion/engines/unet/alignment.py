"""Where a face lies in the crops that ModelScope's networks see, exactly as its class finds it.

`ImageFaceFusion` of the package modelscope (1.40) looks at 13 of the 68 points of iBUG 300-W,
finds each pupil as the median of the dark pixels of the eye, and lays five points onto those of
InsightFace's (MTCNN's) reference face by a similarity. Coordinates are pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import ByteArray, FloatArray, PixelArray, Region, Size
from fusion.engines.unet.similarity import Matrix, fitted_back, umeyama
from preprocess.window import Window

CROP, RESTORED = 256, 1024
"""Sides of the crops of the fusion network and of the restoration (GPEN), px."""

# iBUG 300-W's numbers and the points of the face mesh that lie there: corners and lids of the eye
# on the left of the picture and of the other, the tip of the nose, the corners of the mouth. On
# frontal portraits dlib's 68 points are on average within 0.03 eye distances of these.
_MESH_POINTS = {
    **dict(zip(range(36, 42), (33, 160, 158, 133, 153, 144), strict=True)),
    **dict(zip(range(42, 48), (362, 385, 387, 263, 373, 380), strict=True)),
    30: 4,
    48: 61,
    54: 291,
}
_EYES = (slice(36, 41), slice(42, 47))  # the official class leaves out the sixth point
_OTHERS = [30, 48, 54]
_ISOLATED = 100  # threshold that Otsu's replaces

# InsightFace's reference: pupils, nose and mouth corners in a face of 96 x 112 px, here in the
# square of 112 px around it.
_SQUARE = 112.0
_REFERENCE = np.array(
    [
        [30.29459953, 51.69630051],
        [65.53179932, 51.50139999],
        [48.02519989, 71.73660278],
        [33.54930115, 92.3655014],
        [62.72990036, 92.20410156],
    ]
) + np.array([8.0, 0.0])
_SHARE = 0.85  # of the fusion network's crop that the square takes
_PADDING = 28.0  # px of the reference around the square in the restoration's crop

_LEAST_SPREAD = 0.01  # px
_TAPS = 2  # px beyond a point that bilinear sampling reads, and a rounding


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """How a picture is laid into a square crop.

    matrix: 2 x 3 float64, from pixels of the picture to those of the crop. inverse: the way back as
    the official class computes it, which is a least squares fit of its own and the inverse but
    for rounding. side: of the crop, px.
    """

    matrix: Matrix
    inverse: Matrix
    side: int

    @classmethod
    def for_fusion(cls, five: FloatArray, mirrors: bool = True) -> Alignment:
        """Of the 256 px crop that the fusion, identity and shape networks see.

        Args:
            five: 5 x 2, see `five_points`.
            mirrors: Whether a face turned far away may become a mirrored crop, as the official
                class has it.

        Raises:
            ValueError: The points lie on a line or in one place.
        """
        reference = np.float32(_REFERENCE)
        middle = np.float32(_SQUARE / 2)
        reference = (reference - middle) * np.float32(_SHARE) + middle
        reference *= np.float32(CROP / _SQUARE)
        forward, back = fitted_back(_apart(five), reference, mirrors)
        return cls(forward, back, CROP)

    @classmethod
    def for_restoration(cls, five: FloatArray) -> Alignment:
        """Of the 1024 px crop that GPEN restores; arguments and errors as above."""
        larger = RESTORED / (_SQUARE + 2 * _PADDING)
        reference = np.float32((_REFERENCE + _PADDING) * larger)
        points = _apart(five)
        forward, scale = umeyama(points, reference)
        back, _ = umeyama(reference, points, 1.0 / scale)
        return cls(forward, back, RESTORED)

    def finer(self, times: int) -> Alignment:
        """The same part of the picture in a crop with ``times`` as many pixels each way."""
        shift = np.array([[0.0, 0.0, (times - 1) / 2]] * 2)
        forward = self.matrix * times + shift
        return Alignment(forward, inverted(forward), self.side * times)

    @property
    def spacing(self) -> float:
        """Pixels of the picture from one pixel of the crop to the next."""
        return float(np.hypot(self.inverse[0, 0], self.inverse[1, 0]))

    def reads(self, margin: float = 0.0) -> Region:
        """The part of the picture that the crop shows, as far as interpolation reads.

        It may reach over the picture's edge.

        Args:
            margin: Grown by this much, px of the picture.
        """
        return reached(self.inverse, Region(0, 0, self.side, self.side), margin)


def _apart(five: FloatArray) -> FloatArray:
    """The points, unless they lie on a line."""
    points = np.asarray(five, np.float32)
    _, least = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if not least > _LEAST_SPREAD:
        raise ValueError(f"five points on a line give no alignment: {points.tolist()}")
    return points


def reached(matrix: Matrix, region: Region, margin: float = 0.0) -> Region:
    """Where a 2 x 3 matrix lays the pixels of a region, as far as interpolation reads."""
    ends = [
        (x, y, 1.0) for x in (region.x, region.right - 1) for y in (region.y, region.bottom - 1)
    ]
    return Region.around(np.einsum("ij,nj->ni", matrix, np.array(ends)), margin + _TAPS)


def points68(landmarks: FloatArray) -> FloatArray:
    """The points of iBUG 300-W that the official class reads.

    Args:
        landmarks: 468 x 2 or more columns of the face mesh.

    Returns:
        68 x 2 float32; NaN where it reads none.
    """
    points = np.full((68, 2), np.nan, np.float32)
    points[list(_MESH_POINTS)] = landmarks[list(_MESH_POINTS.values()), :2]
    return points


def five_points(points: FloatArray, window: Window, picture: Size) -> FloatArray:
    """Pupils, tip of the nose and corners of the mouth: the official ``get_f5p``.

    Exactly that of the whole picture where the window has the picture's own resolution and
    8 bits; in a reduced window pupils are whole pixels of the window.

    Args:
        points: 68 x 2, see `points68`; pixels of the picture.
        window: Pixels that hold both eyes, as far as the picture does.
        picture: Size of the picture.

    Returns:
        5 x 2 float32, pixels of the picture.
    """
    eyes = [_pupil(points[eye], window, picture) for eye in _EYES]
    found = [place for place in eyes if place is not None]
    if len(found) < len(eyes):
        found = [points[eye].mean(axis=0) for eye in _EYES]
    return np.concatenate([np.array(found, np.float32), points[_OTHERS]])


def _pupil(corners: FloatArray, window: Window, picture: Size) -> FloatArray | None:
    """The median of an eye's dark pixels by Otsu's threshold on the equalised grey values.

    The official ``find_pupil``: None where the eye is not a pixel large or not inside the picture.
    """
    native = bool((window.factor == 1).all())
    if native:
        shift = np.rint(window.offset).astype(int)
    else:
        corners, shift = window.inward(corners), np.zeros(2, int)
        picture = Size(window.pixels.shape[1], window.pixels.shape[0])
    # int() cuts off towards zero, as there.
    left, right = int(corners[:, 0].min()), int(corners[:, 0].max())
    top, bottom = int(corners[:, 1].min()), int(corners[:, 1].max())
    if top >= bottom or left >= right or top < 0 or left < 0:
        return None
    if bottom > picture.height or right > picture.width:
        return None
    eye = window.pixels[top - shift[1] : bottom - shift[1], left - shift[0] : right - shift[0]]
    grey = cv2.equalizeHist(cv2.cvtColor(levels(eye), cv2.COLOR_RGB2GRAY))
    outline = (corners - np.array([left, top])).astype(np.int32)
    inside = cv2.fillConvexPoly(np.zeros_like(grey), outline, 1)
    _, bright = cv2.threshold(grey, _ISOLATED, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    dark = (bright == 0) & (inside == 1)
    count = np.count_nonzero(dark)
    middle = np.array([grey.shape[1] / 2, grey.shape[0] / 2])
    if count:
        along = [np.cumsum(np.count_nonzero(dark, axis=axis)) for axis in (0, 1)]
        middle = np.array([np.searchsorted(sums, count // 2, side="right") for sums in along])
    place = np.asarray(middle + np.array([left, top]), np.float32)
    return place if native else window.outward(place)


def levels(pixels: PixelArray) -> ByteArray:
    """Pixels of 8 or 16 bits as the 8 bits that the official class knows."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    return np.asarray((pixels.astype(np.uint32) + 128) // 257, np.uint8)


def official_crop(window: Window, alignment: Alignment, picture: Size) -> ByteArray:
    """A crop as the official class cuts it: bilinear, black outside the picture.

    Nothing is averaged before; a face much larger than the crop is seen with aliasing.

    Args:
        window: Of the picture's own resolution for the very same numbers. What it lacks of the
            picture is continued from its edge.
        picture: Size of the picture.

    Returns:
        side x side x 3 uint8.
    """
    place = Region.whole(Size(alignment.side, alignment.side))
    matrix = inverted(alignment.matrix)
    box = reached(into_window(matrix, window), place).intersect(frame(window, picture))
    if box.is_empty:
        return np.zeros((alignment.side, alignment.side, 3), np.uint8)
    pixels = levels(cut(window.pixels, box))
    return np.asarray(sampled_part(pixels, matrix, place, window, box), np.uint8)


def smooth_crop(window: Window, alignment: Alignment) -> FloatArray:
    """A crop without aliasing: reduced by areas first, edges continued.

    Returns:
        side x side x 3 float32 in [0, 1], of 8 or 16 bits.
    """
    shrunk = window.shrunk(alignment.spacing * window.scale)
    matrix = into_window(inverted(alignment.matrix), shrunk)
    values = shrunk.pixels.astype(np.float32) / np.float32(np.iinfo(shrunk.pixels.dtype).max)
    crop = cv2.warpAffine(
        values,
        matrix,
        (alignment.side, alignment.side),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(crop, np.float32)


def sampled(pixels: PixelArray, matrix: Matrix, region: Region) -> PixelArray:
    """Bilinear samples for a region of whatever ``matrix`` leads from; black outside.

    Args:
        pixels: H x W or H x W x C.
        matrix: 2 x 3, from the region's plane to the pixels.
    """
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, 0] * region.x + matrix[:, 1] * region.y
    size = (region.width, region.height)
    return cv2.warpAffine(pixels, shifted, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def sampled_part(
    pixels: PixelArray, matrix: Matrix, region: Region, window: Window, box: Region
) -> PixelArray:
    """Likewise from a part of a picture, with the very numbers that the whole one would give.

    In OpenCV 5 `warpAffine` computes places in single precision, as x m0 + (y m1 + m2) with the
    product of x fused into the sum. In a large picture that is off by a thousandth of a pixel,
    which now and then is another level, and a network may make five levels of one.

    Args:
        pixels: Of ``box``.
        matrix: 2 x 3, from the region's plane to the picture.
        window: Tells how its pixels lie in the picture.
        box: In pixels of the window.
    """
    across = np.arange(region.x, region.right, dtype=np.float64)
    down = np.arange(region.y, region.bottom, dtype=np.float32)[:, None]
    corner = np.array([box.x, box.y], np.float32)
    shift = np.float32(0.5) * (window.factor - np.float32(1)) - window.offset - corner
    places = []
    for row, factor, moved in zip(matrix.astype(np.float32), window.factor, shift, strict=True):
        started = down * row[1] + row[2]
        # A product of two singles is exact in double precision: the sum is rounded once.
        place = (across * np.float64(row[0]) + started).astype(np.float32)
        places.append(place * factor + moved)
    return cv2.remap(pixels, places[0], places[1], cv2.INTER_LINEAR)


def inverted(matrix: Matrix) -> Matrix:
    """The way back of a 2 x 3 matrix."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def into_window(matrix: Matrix, window: Window) -> Matrix:
    """A matrix that leads to pixels of a picture, so that it leads to those of a window."""
    factor, offset = window.factor.astype(np.float64), window.offset.astype(np.float64)
    there = matrix * factor[:, None]
    there[:, 2] += 0.5 * (factor - 1) - offset
    return there


def out_of_window(window: Window) -> Matrix:
    """2 x 3, from pixels of a window to those of its picture."""
    factor, offset = window.factor.astype(np.float64), window.offset.astype(np.float64)
    matrix = np.zeros((2, 3))
    matrix[0, 0], matrix[1, 1] = 1 / factor
    matrix[:, 2] = (0.5 + offset) / factor - 0.5
    return matrix


def frame(window: Window, picture: Size) -> Region:
    """The whole picture in pixels of a window."""
    left, top = (round(-float(edge)) for edge in window.offset)
    width, height = (
        max(1, round(side * float(factor)))
        for side, factor in zip((picture.width, picture.height), window.factor, strict=True)
    )
    return Region(left, top, width, height)


def cut(pixels: PixelArray, box: Region) -> PixelArray:
    """A rectangle of an array; beyond its edges they are continued."""
    height, width = pixels.shape[:2]
    inner = box.clip(Size(width, height))
    if inner == box:
        return np.asarray(pixels[box.within(Region(0, 0, width, height))])
    rows = np.clip(np.arange(box.y, box.bottom), 0, height - 1)
    columns = np.clip(np.arange(box.x, box.right), 0, width - 1)
    return np.asarray(pixels[rows[:, None], columns])
