"""Mattes on the face grid."""

import numpy as np
import pytest

from common.types import FloatArray
from fusion.compositing.grid import FaceGrid
from fusion.compositing.masks import mouth_gap, mouth_matte, oval_matte, smoothstep
from preprocess import face_topology as topology
from tests.fusion.pictures import Fusion


@pytest.fixture
def landmarks(fusion: Fusion) -> FloatArray:
    return fusion.target.face.landmarks


@pytest.fixture
def grid(landmarks: FloatArray) -> FaceGrid:
    return FaceGrid.over(landmarks[topology.FACE_OVAL, :2], 8.0, 0.8)


def closed(landmarks: FloatArray, gap: float) -> FloatArray:
    """The same face with its inner lips ``gap`` of the mouth's width apart."""
    moved = landmarks.copy()
    ring = moved[topology.INNER_LIPS]
    factor = gap / mouth_gap(landmarks)
    line = np.interp(ring[:, 0], *moved[list(topology.MOUTH_CORNERS), :2].T)
    ring[:, 1] = line + (ring[:, 1] - line) * factor
    moved[topology.INNER_LIPS] = ring
    return moved


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


def test_an_open_mouth_is_cut_out(grid: FaceGrid, landmarks: FloatArray) -> None:
    matte = mouth_matte(grid, landmarks, feather=1.2)
    middle = landmarks[[topology.UPPER_LIP_INSIDE, topology.LOWER_LIP_INSIDE], :2].mean(axis=0)
    column, row = np.round(grid.nodes_of(middle)).astype(int)
    assert matte[row, column] == pytest.approx(1.0, abs=1e-6)
    column, row = np.round(grid.nodes_of(landmarks[topology.NOSE_TIP, :2])).astype(int)
    assert matte[row, column] == 0.0


def test_a_closed_mouth_has_no_matte(grid: FaceGrid, landmarks: FloatArray) -> None:
    assert mouth_gap(closed(landmarks, 0.02)) == pytest.approx(0.02, abs=0.005)
    assert not mouth_matte(grid, closed(landmarks, 0.02), 1.2).any()


def test_a_mouth_that_opens_fades_in(grid: FaceGrid, landmarks: FloatArray) -> None:
    gaps = (0.02, 0.03, 0.035, 0.04, 0.05, 0.08, 0.12)
    shown = [float(mouth_matte(grid, closed(landmarks, gap), 1.2).sum()) for gap in gaps]
    assert shown == sorted(shown)
    assert shown[0] == 0 < shown[2] < 0.5 * shown[-1]


def test_the_gap_does_not_depend_on_size(landmarks: FloatArray) -> None:
    assert mouth_gap(landmarks * np.float32(3.3)) == pytest.approx(mouth_gap(landmarks), rel=1e-4)
