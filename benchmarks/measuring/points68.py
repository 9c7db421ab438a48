"""Where features lie, by another method than the studio's: dlib's 68 points.

Ensemble of regression trees (Kazemi and Sullivan, 2014), trained on iBUG 300-W; numbering and
layout are that data set's: 36-41 and 42-47 the eyes, 48-67 the mouth.
"""

from __future__ import annotations

import dlib
import numpy as np

from benchmarks.measuring.likeness import box_of, model_file, reduced
from common.types import ByteArray, Face, FloatArray, Region

_OUTER_CORNERS = (36, 45)
_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
_LIPS = ((61, 67), (62, 66), (63, 65))  # the inner ones
# The trees waver with the box that they start from; shares of its size.
_MOVES = ((0.0, 0.0), (0.04, 0.0), (-0.04, 0.0), (0.0, 0.04), (0.0, -0.04))


class Landmarker:
    """Finds the points; not thread-safe."""

    def __init__(self) -> None:
        self._points = dlib.shape_predictor(str(model_file("shape_predictor_68_face_landmarks")))

    def find(self, pixels: ByteArray, region: Region, face: Face) -> FloatArray:
        """68 x 2 points in pixels of the picture, the mean over slightly moved boxes.

        Args:
            pixels: sRGB pixels of ``region`` of the picture.
            face: Where to look: a fusion is looked at where its target's face was, with the
                same boxes, so that equal pixels give equal points.
        """
        crop, scale = reduced(pixels)
        box = box_of(face, region, scale)
        found = [self._run(crop, box, move) for move in _MOVES]
        return np.asarray(np.mean(found, axis=0) / scale + (region.x, region.y), np.float32)

    def _run(self, crop: ByteArray, box: FloatArray, move: tuple[float, float]) -> FloatArray:
        left, top, right, bottom = box
        across, down = move[0] * (right - left), move[1] * (bottom - top)
        moved = (left + across, top + down, right + across, bottom + down)
        shape = self._points(crop, dlib.rectangle(*(int(edge) for edge in moved)))
        return np.array([(point.x, point.y) for point in shape.parts()], np.float32)


def inter_ocular(points: FloatArray) -> float:
    """Distance of the outer corners of the eyes."""
    return float(np.hypot(*(points[_OUTER_CORNERS[0]] - points[_OUTER_CORNERS[1]])))


def drift(before: FloatArray, after: FloatArray) -> float:
    """Mean distance of the points over the inter-ocular distance of ``before``."""
    return float(np.hypot(*(after - before).T).mean() / inter_ocular(before))


def mouth_opening(points: FloatArray) -> float:
    """Gap between the inner lips over the inter-ocular distance."""
    return _gap(points, _LIPS)


def lid_opening(points: FloatArray) -> float:
    """Gap between the lids, mean of both eyes, over the inter-ocular distance."""
    return _gap(points, _LIDS)


def _gap(points: FloatArray, pairs: tuple[tuple[int, int], ...]) -> float:
    apart = [np.hypot(*(points[upper] - points[lower])) for upper, lower in pairs]
    return float(np.mean(apart) / inter_ocular(points))
