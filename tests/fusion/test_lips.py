"""The lips' inner edge is found in the picture where its colours tell it."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import FloatArray, Region, Size
from fusion.compositing import lips, masks
from preprocess import face_topology as topology
from preprocess.window import Window
from tests.fusion.faces import width_of
from tests.fusion.pictures import Fusion

SKIN, LIP, TEETH, LINE = (214, 170, 146), (178, 84, 88), (232, 228, 214), (92, 36, 40)
SIDE = 640


@pytest.fixture
def landmarks(fusion: Fusion) -> FloatArray:
    """A face with a mouth 12 % of its width high, in a picture of 640 x 640."""
    points = fusion.target.face.landmarks - fusion.target.face.landmarks.mean(axis=0)
    points = points * np.float32(420 / width_of(points)) + np.array([320, 320, 0], np.float32)
    middle = points[list(topology.MOUTH_CORNERS), :2].mean(axis=0)
    place = mouth_line(points)
    for ring, offset in ((topology.OUTER_LIPS, 25.0), (topology.INNER_LIPS, 0.0)):
        points[ring[:11], 1] = middle[1] - offset * place
        points[ring[11:], 1] = middle[1] + offset * place[9:0:-1]
        points[ring[11:], 0] = points[ring[9:0:-1], 0]
    return np.asarray(points, np.float32)


def mouth_line(points: FloatArray) -> FloatArray:
    """Height of the lips from corner to corner, 11 values in [0, 1]."""
    x = points[topology.OUTER_LIPS[:11], 0]
    share = (x - x[0]) / (x[-1] - x[0])
    return np.asarray(np.sin(np.pi * np.clip(share, 0, 1)), np.float32)


def painted(landmarks: FloatArray, upper: float, lower: float) -> NDArray[np.uint8]:
    """Lips that part from ``upper`` to ``lower`` px below the corners, in the middle."""
    picture = np.full((SIDE, SIDE, 3), SKIN, np.uint8)
    outline = landmarks[topology.OUTER_LIPS, :2]
    cv2.fillPoly(picture, [np.round(outline).astype(np.int32)], LIP)
    top = outline[:11].copy()
    level, place = landmarks[list(topology.MOUTH_CORNERS), 1].mean(), mouth_line(landmarks)
    top[:, 1] = level + upper * place
    bottom = top.copy()
    bottom[:, 1] = level + lower * place
    colour = TEETH if lower - upper > 3 else LINE
    ring = np.concatenate([top, bottom[::-1]])
    cv2.fillPoly(picture, [np.round(ring).astype(np.int32)], colour)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.0), np.uint8)


def window(picture: NDArray[np.uint8]) -> Window:
    size = Size(picture.shape[1], picture.shape[0])
    return Window.of(picture, Region.whole(size), size, size)


def middle_edges(landmarks: FloatArray) -> tuple[float, float]:
    """The inner lips' edges in the middle, px below the line of the corners."""
    level = landmarks[list(topology.MOUTH_CORNERS), 1].mean()
    inside = (topology.UPPER_LIP_INSIDE, topology.LOWER_LIP_INSIDE)
    upper, lower = (float(landmarks[point, 1] - level) for point in inside)
    return upper, lower


@pytest.mark.parametrize(("upper", "lower"), [(-9.0, 8.0), (-4.0, 10.0), (-12.0, 2.0)])
def test_teeth_are_outlined(landmarks: FloatArray, upper: float, lower: float) -> None:
    found = lips.refined(landmarks, window(painted(landmarks, upper, lower)))
    # measured 0.6 px of a face 420 px wide
    assert middle_edges(found) == pytest.approx((upper, lower), abs=1.5)
    assert masks.mouth_gap(landmarks) < 0.01 < masks.mouth_gap(found)


@pytest.mark.parametrize("at", [-6.0, 0.0, 5.0])
def test_closed_lips_meet_in_their_dark_line(landmarks: FloatArray, at: float) -> None:
    found = lips.refined(landmarks, window(painted(landmarks, at - 1, at + 1)))
    assert middle_edges(found) == pytest.approx((at, at), abs=1.5)


def test_a_grey_picture_keeps_the_meshs_edge(landmarks: FloatArray) -> None:
    grey = cv2.cvtColor(painted(landmarks, -9, 8), cv2.COLOR_RGB2GRAY)
    found = lips.refined(landmarks, window(np.repeat(grey[..., None], 3, axis=2)))
    assert np.array_equal(found[topology.INNER_LIPS], landmarks[topology.INNER_LIPS])


def test_the_rings_lie_between_the_edges_and_nothing_else_moves(landmarks: FloatArray) -> None:
    found = lips.refined(landmarks, window(painted(landmarks, -9, 8)))
    inner, outer = found[topology.INNER_LIPS], found[topology.OUTER_LIPS]
    assert found[lips.TUCKED] == pytest.approx(inner + (outer - inner) / 3, abs=1e-3)
    assert found[lips.MIDDLE] == pytest.approx(inner + (outer - inner) * 2 / 3, abs=1e-3)
    free = np.setdiff1d(
        np.arange(topology.POINTS),
        np.concatenate([topology.INNER_LIPS, lips.TUCKED, lips.MIDDLE]),
    )
    assert np.array_equal(found[free], landmarks[free])


def test_an_edge_moves_at_most_three_hundredths_of_the_face(landmarks: FloatArray) -> None:
    found = lips.refined(landmarks, window(painted(landmarks, -22, 22)))
    moved = np.linalg.norm((found - landmarks)[topology.INNER_LIPS, :2], axis=1)
    assert moved.max() <= 0.03 * width_of(landmarks) + 1e-3
