"""Mattes on the face grid."""

import cv2
import numpy as np
import pytest

from common.types import FloatArray, Size
from fusion.compositing.grid import FaceGrid
from fusion.compositing.masks import (
    RAISED,
    inside_matte,
    mouth_gap,
    outline,
    oval_matte,
    smoothstep,
    softly_inside,
)
from preprocess import face_topology as topology
from tests.fusion.faces import width_of
from tests.fusion.pictures import Fusion


@pytest.fixture
def landmarks(fusion: Fusion) -> FloatArray:
    return fusion.target.face.landmarks


@pytest.fixture
def grid(landmarks: FloatArray) -> FaceGrid:
    return FaceGrid.over(landmarks[topology.FACE_OVAL, :2], 8.0, 0.8)


def test_smoothstep() -> None:
    values = smoothstep(np.array([-1, 0, 0.25, 0.5, 1, 2], np.float32))
    assert values.tolist() == pytest.approx([0, 0, 0.15625, 0.5, 1, 1])
    assert values.dtype == np.float32


def test_the_oval_rises_from_its_rim_to_its_middle(grid: FaceGrid, landmarks: FloatArray) -> None:
    matte = oval_matte(grid, landmarks, inset=4.0, feather=20.0)
    assert (matte[0], matte[-1]) == (pytest.approx(0), pytest.approx(0))
    assert not matte[:, [0, -1]].any()
    rim = np.round(grid.nodes_of(landmarks[topology.FACE_OVAL, :2])).astype(int)
    assert matte[rim[:, 1], rim[:, 0]].max() == 0.0
    column, row = np.round(grid.nodes_of(landmarks[topology.NOSE_TIP, :2])).astype(int)
    assert matte[row, column] == 1.0
    step = max(np.abs(np.diff(matte, axis=axis)).max() for axis in (0, 1))
    assert step < 1.6 * grid.step / 20.0  # the cubic's steepest slope is 1.5


def test_the_oval_is_the_same_wherever_it_lies_in_memory(
    grid: FaceGrid, landmarks: FloatArray
) -> None:
    kept, seen = [], set()
    for index in range(300):
        seen.add(oval_matte(grid, landmarks, 4.0, 20.0).tobytes())
        kept.append(bytearray(16 * (index * 37 % 301)))  # shifts what is allocated next
    assert len(seen) == 1


def test_a_wider_feather_shows_less(grid: FaceGrid, landmarks: FloatArray) -> None:
    narrow, wide = (oval_matte(grid, landmarks, 4.0, feather) for feather in (10.0, 30.0))
    assert (wide <= narrow).all()


def test_the_gap_does_not_depend_on_size(landmarks: FloatArray) -> None:
    assert mouth_gap(landmarks * np.float32(3.3)) == pytest.approx(mouth_gap(landmarks), rel=1e-4)


def test_the_outline_goes_on_above_the_mesh(landmarks: FloatArray) -> None:
    width = width_of(landmarks)
    plain, raised = (outline(landmarks, share * width) for share in (0.0, RAISED))
    top = landmarks[topology.FOREHEAD, :2].astype(float)
    assert plain[:, 1].min() == pytest.approx(top[1], abs=0.02 * width)
    assert plain[:, 1].min() - raised[:, 1].min() == pytest.approx(RAISED * width, rel=0.1)
    for corners in (plain, raised):
        contour = corners[:, None].astype(np.float32)
        assert cv2.isContourConvex(contour)
        assert all(
            cv2.pointPolygonTest(contour, point.tolist(), True) > -0.01
            for point in landmarks[:, :2]
        )
    lower = landmarks[topology.CHIN, 1] - 0.5 * width
    assert np.array_equal(plain[plain[:, 1] > lower], raised[raised[:, 1] > lower])


def test_a_turned_picture_raises_the_forehead_along_the_face(landmarks: FloatArray) -> None:
    turned = landmarks.copy()
    turned[:, 0], turned[:, 1] = -landmarks[:, 1], landmarks[:, 0]
    expected = outline(landmarks, 20.0)
    found = outline(turned, 20.0)
    low, high = expected.min(axis=0), expected.max(axis=0)
    assert found.min(axis=0) == pytest.approx([-high[1], low[0]], abs=1e-3)
    assert found.max(axis=0) == pytest.approx([-low[1], high[0]], abs=1e-3)


def test_inside_a_polygon_is_1_and_fades_around_it() -> None:
    grid = FaceGrid(0.0, 0.0, 0.5, 120, 100)
    square = np.array([[20, 15], [40, 15], [40, 35], [20, 35]], np.float32)
    matte = softly_inside(grid, square, 6.0)
    places = grid.positions()
    apart = np.maximum(np.abs(places - [30, 25]) - 10, 0)
    distance = np.hypot(apart[..., 0], apart[..., 1])
    assert matte[distance == 0].min() > 0.98
    assert not matte[distance > 6.5].any()
    half = np.abs(distance - 3) < 0.1
    assert matte[half] == pytest.approx(0.5, abs=0.12)


def test_a_pictures_border_fades_in() -> None:
    points = np.array([[[-3, 20], [-0.5, 20], [4.5, 20], [9.5, 20], [50, 39.5]]], np.float32)
    matte = inside_matte(points, Size(100, 40), 10.0)
    assert matte[0].tolist() == pytest.approx([0, 0, 0.5, 1, 0], abs=1e-6)
