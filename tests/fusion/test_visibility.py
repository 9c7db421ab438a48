"""What a turned head shows, and what its other half lends."""

import cv2
import numpy as np
import pytest

from common.types import FloatArray, Region, Size
from fusion.compositing.grid import FaceGrid
from fusion.compositing.shape import symmetric
from fusion.compositing.visibility import Halves, shown, underlit
from preprocess import face_topology as topology
from preprocess.window import Window
from tests.fusion.faces import turned, width_of
from tests.fusion.pictures import Fusion

LEFT_HALF = topology.mirrored() < np.arange(topology.POINTS)


@pytest.fixture
def landmarks(fusion: Fusion) -> FloatArray:
    return fusion.target.face.landmarks


@pytest.fixture
def grid(landmarks: FloatArray) -> FaceGrid:
    return FaceGrid.over(landmarks[topology.FACE_OVAL, :2], 6.0, width_of(landmarks) / 160)


def at_points(grid: FaceGrid, plane: FloatArray, points: FloatArray) -> FloatArray:
    column, row = np.round(grid.nodes_of(points)).astype(int).T
    return plane[np.clip(row, 0, grid.rows - 1), np.clip(column, 0, grid.columns - 1)]


def nothing(grid: FaceGrid) -> FloatArray:
    return np.zeros(grid.shape, np.float32)


def everywhere(grid: FaceGrid) -> FloatArray:
    return np.ones(grid.shape, np.float32)


def test_a_face_in_the_same_pose_is_shown_everywhere(landmarks: FloatArray) -> None:
    for degrees in (0, 30):
        pose = turned(landmarks, degrees)
        assert np.median(shown(pose * np.float32(1.7), pose)) > 0.99
    frontal = Halves.of(FaceGrid.over(landmarks[:, :2], 4.0, 2.0), landmarks, landmarks)
    assert frontal.turned.max() < 0.02


@pytest.mark.parametrize("degrees", [-40, 40])
def test_the_far_half_is_taken_from_the_near_one(
    landmarks: FloatArray, grid: FaceGrid, degrees: float
) -> None:
    source = turned(landmarks, degrees)
    halves = Halves.of(grid, landmarks, source)
    share, plain = halves.filled(grid, nothing(grid), everywhere(grid))
    depth = source[:, 2] - source[topology.mirrored(), 2]
    far = depth > 0.25 * width_of(landmarks)  # well to the side, away from the camera
    near = depth < -0.25 * width_of(landmarks)
    assert far.sum() > 50
    assert at_points(grid, share, landmarks[far, :2]).mean() > 0.85
    assert at_points(grid, share, landmarks[near, :2]).max() < 0.05
    assert plain.max() < 0.2


@pytest.mark.parametrize("degrees", [15, 22, 30, 40, 50])
def test_a_feature_comes_from_one_half_alone(
    landmarks: FloatArray, grid: FaceGrid, degrees: float
) -> None:
    halves = Halves.of(grid, landmarks, turned(landmarks, degrees))
    for eye in (topology.RIGHT_EYE, topology.LEFT_EYE):
        share = at_points(grid, halves.turned, landmarks[eye, :2])
        assert min(share.max(), 1 - share.min()) < 0.05


def test_the_share_is_smooth(landmarks: FloatArray, grid: FaceGrid) -> None:
    share = Halves.of(grid, landmarks, turned(landmarks, 35)).turned
    step = max(np.abs(np.diff(share, axis=axis)).max() for axis in (0, 1))
    assert step < 0.16  # of a whole change, from node to node; measured 0.12


def test_the_mirrored_map_leads_to_the_counterparts(landmarks: FloatArray, grid: FaceGrid) -> None:
    source = landmarks * np.float32(1.3)
    halves = Halves.of(grid, landmarks, source)
    inner = topology.RIGID
    mirror = topology.mirrored()[inner]
    for axis in (0, 1):
        there = at_points(grid, halves.other[axis], landmarks[inner, :2])
        assert np.abs(there - source[mirror, axis]).max() < 3 * grid.step
        here = at_points(grid, halves.counterpart[axis], landmarks[inner, :2])
        assert np.abs(here - landmarks[mirror, axis]).max() < 3 * grid.step


def test_hair_on_one_cheek_is_filled_from_the_other(landmarks: FloatArray, grid: FaceGrid) -> None:
    halves = Halves.of(grid, landmarks, landmarks)
    right_cheek = landmarks[[117, 118, 101, 36, 205, 187, 123], :2]
    hair = grid.fill(right_cheek)
    share, plain = halves.filled(grid, hair, everywhere(grid))
    middle = right_cheek.mean(axis=0)[None]
    assert at_points(grid, share, middle)[0] > 0.95
    assert plain.max() < 0.1
    assert share[hair == 0].max() < 0.05

    both = np.maximum(hair, grid.fill(landmarks[[346, 347, 330, 266, 425, 411, 352], :2]))
    share, plain = halves.filled(grid, both, everywhere(grid))
    assert at_points(grid, share, middle)[0] < 0.05
    assert at_points(grid, plain, middle)[0] > 0.95


def test_what_is_hidden_is_never_taken(landmarks: FloatArray, grid: FaceGrid) -> None:
    """Also not where the other half is half free, or lends only a part."""
    halves = Halves.of(grid, landmarks, landmarks)
    rng = np.random.default_rng(5)
    hidden, lent = (
        cv2.resize(rng.random((12, 12)), grid.shape[::-1]).astype(np.float32) for _ in range(2)
    )
    share, plain = halves.filled(grid, hidden, lent)
    assert min(share.min(), plain.min()) >= 0
    assert max(share.max(), plain.max()) <= 1
    own = (1 - share) * (1 - plain)
    assert (own - (1 - hidden)).max() < 0.01
    assert share[lent == 0].max(initial=0) < 0.05


def test_a_free_frontal_face_needs_nothing(landmarks: FloatArray, grid: FaceGrid) -> None:
    halves = Halves.of(grid, landmarks, landmarks)
    share, plain = halves.filled(grid, nothing(grid), everywhere(grid))
    assert share.max() < 0.02
    assert plain.max() < 0.02


def lit_face(
    landmarks: FloatArray, colour: tuple[float, float, float], right: tuple[float, float, float]
) -> Window:
    """A plain picture of one colour whose left part, the person's right half, has another."""
    low = landmarks[:, :2].min(axis=0)
    width, height = (int(length) for length in landmarks[:, :2].max(axis=0) + low)
    picture = np.full((height, width, 3), colour)
    picture[:, : round(float(landmarks[topology.NOSE_TIP, 0]))] = right
    size = Size(width, height)
    pixels = np.round(picture * 255).astype(np.uint8)
    return Window.of(pixels, Region.whole(size), size, size)


BRIGHT, RED_SHADOW, GREY_SHADOW = (0.9, 0.75, 0.68), (0.5, 0.25, 0.18), (0.5, 0.42, 0.38)


def test_a_coloured_shadow_counts_as_unseen_under_even_light(
    landmarks: FloatArray, grid: FaceGrid
) -> None:
    face = symmetric(landmarks)
    even = (face, lit_face(face, BRIGHT, BRIGHT))
    unlit = underlit(even, (face, lit_face(face, BRIGHT, RED_SHADOW)))
    beside = np.abs(face[:, 0] - face[topology.NOSE_TIP, 0]) > 0.1 * width_of(face)
    assert unlit[beside & ~LEFT_HALF].mean() > 0.8
    assert unlit[beside & LEFT_HALF].max() < 0.05
    share = Halves.of(grid, landmarks, landmarks, unlit).turned
    assert at_points(grid, share, landmarks[topology.RIGHT_EYE, :2]).min() > 0.95
    assert at_points(grid, share, landmarks[topology.LEFT_EYE, :2]).max() < 0.05


def test_a_shadow_that_the_light_can_lift_is_kept(landmarks: FloatArray) -> None:
    face = symmetric(landmarks)
    even, red, grey = (
        (face, lit_face(face, BRIGHT, right)) for right in (BRIGHT, RED_SHADOW, GREY_SHADOW)
    )
    assert underlit(even, grey).max() < 0.2  # of the light's own colour
    assert underlit(red, red).max() < 0.05  # the target has it as well
    dark = (face, lit_face(face, RED_SHADOW, RED_SHADOW))
    assert underlit(even, dark).max() < 0.05  # the other half has no more
