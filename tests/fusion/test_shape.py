"""A target takes on another face's proportions, and its surroundings follow smoothly."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from common.progress import Progress
from common.types import Face, FloatArray
from fusion.compositing import shape
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology
from preprocess.faces import FaceFinder
from preprocess.image_file import ImageFile
from tests.fusion.faces import open_mouth, turned, width_of
from tests.fusion.pictures import Fusion


@pytest.fixture
def face(fusion: Fusion) -> Face:
    return fusion.target.face


def widened(landmarks: FloatArray, factor: float) -> FloatArray:
    """Another person: the whole face wider below the eyes, in its own axes."""
    frame = shape.Frame.of(landmarks)
    own = frame.inward(landmarks)
    below = np.clip(own[:, 1] / own[topology.CHIN, 1], 0, 1)
    own[:, 0] *= 1 + (factor - 1) * below
    return np.asarray(frame.outward(own) + frame.centre, np.float32)


def area_of(moves: FloatArray, step: float) -> FloatArray:
    """The Jacobian's determinant of p -> p + moves(p) in every cell."""
    d = moves / step
    right_x, right_y = (np.diff(plane, axis=1)[:-1] for plane in d)
    down_x, down_y = (np.diff(plane, axis=0)[:, :-1] for plane in d)
    return np.asarray((1 + right_x) * (1 + down_y) - down_x * right_y, np.float32)


def test_amount_0_moves_features_and_leaves_the_outline(fusion: Fusion, face: Face) -> None:
    target, source = face.landmarks, fusion.source.face.landmarks
    none, full = (shape.reshaped(target, face.irises, source, amount)[0] for amount in (0.0, 1.0))
    assert np.abs(none - target)[topology.FACE_OVAL].max() < 1e-3
    features = np.concatenate([topology.RIGHT_EYE, topology.LEFT_EYE, topology.OUTER_LIPS])
    moved, most = ((points - target)[features] for points in (none, full))
    assert np.abs(most).max() > 0.005 * width_of(target)
    share = float((moved * most).sum() / np.square(most).sum())
    assert share == pytest.approx(shape.OWN, abs=0.08)


@pytest.mark.parametrize("degrees", [0, -25, 25])
def test_the_same_person_elsewhere_and_turned_changes_nothing(face: Face, degrees: float) -> None:
    angle = np.radians(17.0)
    roll = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    person = shape.symmetric(face.landmarks)
    source = turned(person, degrees) * np.float32(1.9)
    source[:, :2] = source[:, :2] @ roll.T.astype(np.float32) + 40
    landmarks, irises = shape.reshaped(person, face.irises, source, 1.0)
    assert np.abs(landmarks - person).max() < 0.004 * width_of(person)  # measured 0.001
    assert np.abs(irises - face.irises).max() < 0.004 * width_of(person)


def test_a_wider_jaw_widens_the_jaw(face: Face) -> None:
    wide = widened(face.landmarks, 1.15)
    jaw = [172, 397]  # below the ears, right and left
    width = [float(np.ptp(p[jaw, 0])) for p in (face.landmarks, wide)]
    for amount in (0.35, 1.0):
        landmarks, _ = shape.reshaped(face.landmarks, face.irises, wide, amount)
        share = (float(np.ptp(landmarks[jaw, 0])) - width[0]) / (width[1] - width[0])
        assert share == pytest.approx(amount, abs=0.25)
    brows = landmarks[topology.RIGHT_BROW] - face.landmarks[topology.RIGHT_BROW]
    assert np.abs(brows).max() < 0.03 * width_of(face.landmarks)


def test_the_movement_grows_with_the_amount(fusion: Fusion, face: Face) -> None:
    lengths = [
        np.abs(
            shape.reshaped(face.landmarks, face.irises, fusion.source.face.landmarks, amount)[0]
            - face.landmarks
        ).mean()
        for amount in (0.0, 0.2, 0.35, 0.7, 1.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] > 0
    assert lengths[-1] > 1.2 * lengths[0]


def test_an_open_mouth_is_expression_and_not_shape(face: Face) -> None:
    width = width_of(face.landmarks)
    source = open_mouth(face.landmarks, 0.1 * width)
    landmarks, _ = shape.reshaped(face.landmarks, face.irises, source, 1.0)
    inside = [topology.UPPER_LIP_INSIDE, topology.LOWER_LIP_INSIDE]
    gap, before = (float(np.diff(p[inside, 1])[0]) for p in (landmarks, face.landmarks))
    assert gap == pytest.approx(before, abs=0.012 * width)
    chin = landmarks[topology.CHIN, 1] - face.landmarks[topology.CHIN, 1]
    assert abs(chin) < 0.035 * width  # of the 0.1 that the source's chin is lower


def test_lids_keep_their_opening(fusion: Fusion, face: Face) -> None:
    source = fusion.source.face.landmarks.copy()
    for contour in (topology.RIGHT_EYE, topology.LEFT_EYE):
        source[contour[1:8], 1] = (source[contour[1:8], 1] + source[contour[:8:-1], 1]) / 2
    landmarks, _ = shape.reshaped(face.landmarks, face.irises, source, 1.0)
    for upper, lower, corners in ((159, 145, (33, 133)), (386, 374, (263, 362))):
        opening = [
            np.linalg.norm(p[upper, :2] - p[lower, :2])
            / np.linalg.norm(p[corners[0], :2] - p[corners[1], :2])
            for p in (face.landmarks, landmarks)
        ]
        assert opening[1] == pytest.approx(opening[0], rel=0.06)


def test_irises_move_with_their_eyes(face: Face) -> None:
    source = widened(face.landmarks, 1.2)
    landmarks, irises = shape.reshaped(face.landmarks, face.irises, source, 1.0)
    for which, contour in enumerate((topology.RIGHT_EYE, topology.LEFT_EYE)):
        eye = (landmarks - face.landmarks)[contour, :2].mean(axis=0)
        iris = (irises - face.irises)[which].mean(axis=0)
        assert iris == pytest.approx(eye, abs=0.003 * width_of(landmarks))


def test_displacement_leads_back_to_the_points(fusion: Fusion, face: Face) -> None:
    after, _ = shape.reshaped(face.landmarks, face.irises, fusion.source.face.landmarks, 1.0)
    width = width_of(face.landmarks)
    grid = shape.neighbourhood(face.landmarks, width / 160)
    moves = shape.displacement(grid, face.landmarks, after)
    column, row = np.round(grid.nodes_of(after[:, :2])).astype(int).T
    back = grid.positions()[row, column] + moves[:, row, column].T
    # A node is up to 0.7 steps beside its point.
    off = np.linalg.norm(back - face.landmarks[:, :2], axis=1) / width
    assert np.median(off) < 0.005
    assert off.max() < 0.012


def test_nothing_moves_outside_the_neighbourhood(fusion: Fusion, face: Face) -> None:
    after, _ = shape.reshaped(face.landmarks, face.irises, fusion.source.face.landmarks, 1.0)
    width = width_of(face.landmarks)
    grid = shape.neighbourhood(face.landmarks, width / 96)
    moves = shape.displacement(grid, face.landmarks, after)
    for edge in (moves[:, 0], moves[:, -1], moves[:, :, 0], moves[:, :, -1]):
        assert not edge.any()
    oval = after[topology.FACE_OVAL, :2]
    apart = np.linalg.norm(grid.positions()[:, :, None] - oval, axis=3).min(axis=2)
    apart[grid.fill(oval) > 0] = 0
    assert not moves[:, apart > (shape.SURROUNDINGS + 0.05) * width].any()
    assert shape.reach(moves) <= 0.1 * width


def test_points_that_did_not_move_move_nothing(face: Face) -> None:
    grid = shape.neighbourhood(face.landmarks, 4.0)
    moves = shape.displacement(grid, face.landmarks, face.landmarks)
    assert moves.shape == (2, *grid.shape)
    assert not moves.any()
    assert shape.reach(moves) == 0


def test_a_rigid_shift_moves_the_face_with_it(face: Face) -> None:
    width = width_of(face.landmarks)
    shift = np.array([0.03 * width, -0.02 * width, 0], np.float32)
    grid = FaceGrid.over(face.landmarks[:, :2], 0.5 * width, width / 96)
    moves = shape.displacement(grid, face.landmarks, face.landmarks + shift)
    inside = grid.fill((face.landmarks + shift)[topology.FACE_OVAL, :2]) > 0.99
    assert np.abs(moves[0][inside] + shift[0]).max() < 0.02 * shift[0]
    assert np.abs(moves[1][inside] + shift[1]).max() < 0.02 * shift[0]
    # And it slows down without a kink: from node to node the slope hardly changes.
    bend = max(np.abs(np.diff(moves, n=2, axis=axis)).max() for axis in (1, 2)) / grid.step
    assert bend < 0.03  # measured 0.02 of a shift of 2.9 nodes


@pytest.mark.parametrize("factor", [0.5, 1.6])
def test_an_impossible_face_folds_nothing_over(face: Face, factor: float) -> None:
    source = widened(face.landmarks, factor)
    after, _ = shape.reshaped(face.landmarks, face.irises, source, 1.0)
    grid = shape.neighbourhood(face.landmarks, width_of(face.landmarks) / 96)
    moves = shape.displacement(grid, face.landmarks, after)
    assert area_of(moves, grid.step).min() > 0.3


def test_portraits_fold_nothing_over(model_directory: Path, faces_folder: Path) -> None:
    finder = FaceFinder(model_directory)
    names = ("a_smile_1868", "g_front_1080", "f_front_1800", "c_left_2048", "e_turned_4600")
    found = []
    for name in names:
        image = ImageFile.open(faces_folder / f"{name}.jpg", max_megapixels=50)
        found.append(finder.find(image, 0.5, None, Progress())[1][0])
    for target, source in permutations(found, 2):
        for amount, least in ((0.35, 0.6), (1.0, 0.3)):
            after, _ = shape.reshaped(target.landmarks, target.irises, source.landmarks, amount)
            grid = shape.neighbourhood(target.landmarks, width_of(target.landmarks) / 96)
            moves = shape.displacement(grid, target.landmarks, after)
            assert area_of(moves, grid.step).min() > least
