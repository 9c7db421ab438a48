"""Whose mouth and lids are shown."""

import cv2
import numpy as np
import pytest

from common.types import FloatArray
from fusion.compositing import expression, gaze, lips, masks
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology
from tests.fusion.faces import closed_eye, open_mouth, turned, width_of
from tests.fusion.pictures import Fusion

Face = tuple[FloatArray, FloatArray]


@pytest.fixture
def smiling(fusion: Fusion) -> Face:
    """The astronaut: teeth between parted lips."""
    face = fusion.target.face
    return face.landmarks, face.irises


@pytest.fixture
def serious(smiling: Face) -> Face:
    """The same with closed lips."""
    return closed_mouth(smiling[0]), smiling[1]


def closed_mouth(landmarks: FloatArray) -> FloatArray:
    moved = landmarks.copy()
    upper, lower = topology.INNER_LIPS[1:10], topology.INNER_LIPS[:10:-1]
    moved[upper] = moved[lower] = (landmarks[upper] + landmarks[lower]) / 2
    return moved


@pytest.fixture
def grid(smiling: Face) -> FaceGrid:
    return FaceGrid.over(smiling[0][topology.FACE_OVAL, :2], 6.0, width_of(smiling[0]) / 240)


def plain_skin(grid: FaceGrid) -> FloatArray:
    return np.full((*grid.shape, 3), (0.8, 0.6, 0.5), np.float32)


def painted_mouth(grid: FaceGrid, landmarks: FloatArray) -> FloatArray:
    """Red lips and white teeth on skin, where the landmarks say."""
    picture = plain_skin(grid)
    for ring, colour in (
        (topology.OUTER_LIPS, (0.7, 0.33, 0.35)),
        (topology.INNER_LIPS, (0.93, 0.92, 0.88)),
    ):
        cover = grid.fill(landmarks[ring, :2])[..., None]
        picture += (np.array(colour, np.float32) - picture) * cover
    return np.asarray(picture, np.float32)


def test_the_astronaut_smiles_and_the_other_does_not(smiling: Face, serious: Face) -> None:
    assert masks.mouth_gap(smiling[0]) > masks.MOUTH_OPEN
    assert masks.mouth_gap(serious[0]) < masks.MOUTH_OPEN / 4


def test_a_faces_own_expression_changes_nothing(smiling: Face) -> None:
    source = (turned(smiling[0], 0) * np.float32(1.5) + 20, smiling[1] * np.float32(1.5) + 20)
    landmarks, irises = expression.transferred(smiling[0], source)
    assert np.abs(landmarks - smiling[0]).max() < 0.003 * width_of(smiling[0])
    assert np.abs(irises - smiling[1]).max() < 0.003 * width_of(smiling[0])


def test_a_smile_is_put_onto_a_serious_face(smiling: Face, serious: Face) -> None:
    landmarks, _ = expression.transferred(serious[0], smiling)
    assert masks.mouth_gap(landmarks) == pytest.approx(masks.mouth_gap(smiling[0]), rel=0.15)
    landmarks, _ = expression.transferred(smiling[0], serious)
    assert masks.mouth_gap(landmarks) < masks.MOUTH_OPEN / 2


def test_the_jaw_drops_with_an_open_mouth_and_the_bones_stay(serious: Face) -> None:
    width = width_of(serious[0])
    source = (open_mouth(serious[0], 0.12 * width), serious[1])
    landmarks, _ = expression.transferred(serious[0], source)
    moved = (landmarks - serious[0])[:, 1] / width
    assert moved[topology.LOWER_LIP_INSIDE] == pytest.approx(0.12, abs=0.02)
    assert 0.06 < moved[topology.CHIN] < 0.13
    assert np.abs(moved[[topology.FOREHEAD, 168, 6, 33, 263, 127, 356]]).max() < 0.005
    # What lies between follows: no point moves further than lips and chin, none back.
    assert moved.max() < 0.14
    assert moved.min() > -0.02


def test_closed_lids_are_transferred(smiling: Face) -> None:
    source = (closed_eye(smiling[0], topology.RIGHT_EYE), smiling[1])
    landmarks, irises = expression.transferred(smiling[0], source)
    right, left = gaze.openings(landmarks, irises)
    assert right < gaze.EYE_CLOSED
    assert left == pytest.approx(gaze.openings(*smiling)[1], rel=0.1)


def test_a_source_without_teeth_has_its_inner_edge_in_the_lips(
    smiling: Face, serious: Face
) -> None:
    inset = expression.without_teeth(smiling[0])
    gap = [masks.mouth_gap(p) for p in (smiling[0], inset)]
    assert gap[1] > gap[0]
    free = np.setdiff1d(
        np.arange(topology.POINTS), np.concatenate([topology.INNER_LIPS, lips.TUCKED])
    )
    assert np.array_equal(inset[free], smiling[0][free])
    assert expression.without_teeth(serious[0]) is serious[0]


def test_two_closed_mouths_need_no_hole(grid: FaceGrid, serious: Face) -> None:
    matte = expression.mouth_matte(grid, serious[0], serious[0], plain_skin(grid), 1.0)
    assert not matte.any()


@pytest.mark.parametrize("source_smiles", [True, False])
def test_an_open_mouth_keeps_its_interior(
    grid: FaceGrid, smiling: Face, serious: Face, source_smiles: bool
) -> None:
    source = smiling if source_smiles else serious
    wanted = painted_mouth(grid, smiling[0])
    matte = expression.mouth_matte(grid, smiling[0], source[0], wanted, grid.step)
    inside = grid.fill(smiling[0][topology.INNER_LIPS, :2])
    assert matte[inside > 0.99].mean() > 0.9
    lips_and_rim = cv2.dilate(
        grid.fill(smiling[0][topology.OUTER_LIPS, :2]), np.ones((5, 5), np.uint8)
    )
    assert matte[lips_and_rim == 0].max() < 0.1
    assert matte.sum() == pytest.approx(inside.sum(), rel=0.25)


def test_teeth_beyond_the_meshs_edge_are_found_by_colour(grid: FaceGrid, smiling: Face) -> None:
    width = width_of(smiling[0])
    lower = smiling[0].copy()
    lower[topology.INNER_LIPS[11:], 1] += 0.012 * width
    wanted = painted_mouth(grid, lower)
    matte = expression.mouth_matte(grid, smiling[0], smiling[0], wanted, grid.step / 2)
    teeth = grid.fill(lower[topology.INNER_LIPS, :2])
    missed = (teeth > 0.99) & (grid.fill(smiling[0][topology.INNER_LIPS, :2]) < 0.01)
    assert missed.sum() > 20
    assert matte[missed].mean() > 0.7


def test_closed_lips_over_a_smiling_source_keep_their_line(
    grid: FaceGrid, smiling: Face, serious: Face
) -> None:
    wanted = painted_mouth(grid, serious[0])
    matte = expression.mouth_matte(grid, serious[0], smiling[0], wanted, grid.step)
    line = serious[0][topology.INNER_LIPS[2:9], :2]
    column, row = np.round(grid.nodes_of(line)).astype(int).T
    assert matte[row, column].min() > 0.9
    assert matte.sum() < 0.5 * grid.fill(serious[0][topology.OUTER_LIPS, :2]).sum()
