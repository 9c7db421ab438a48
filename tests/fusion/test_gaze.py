"""The source's irises go where the target looks; lids that differ stay the target's."""

import cv2
import numpy as np
import pytest

from common.types import FloatArray
from fusion.compositing import gaze
from fusion.compositing.grid import FaceGrid
from fusion.compositing.visibility import Halves
from preprocess import face_topology as topology
from tests.fusion.faces import closed_eye, width_of
from tests.fusion.pictures import Fusion

Face = tuple[FloatArray, FloatArray]


@pytest.fixture
def target(fusion: Fusion) -> Face:
    return fusion.target.face.landmarks, fusion.target.face.irises


@pytest.fixture
def source(fusion: Fusion) -> Face:
    """Looks aside: both irises a third of their width further to the left."""
    face = fusion.source.face
    radius = np.linalg.norm(face.irises[:, 1] - face.irises[:, 0], axis=1).mean()
    return face.landmarks, face.irises - np.array([0.6 * radius, 0], np.float32)


@pytest.fixture
def grid(target: Face) -> FaceGrid:
    return FaceGrid.over(target[0][topology.FACE_OVAL, :2], 6.0, width_of(target[0]) / 320)


def mapped(grid: FaceGrid, origin: FloatArray, points: FloatArray) -> FloatArray:
    nodes = grid.nodes_of(points)
    x, y = np.ascontiguousarray(nodes[:, :1]), np.ascontiguousarray(nodes[:, 1:])
    return np.hstack([cv2.remap(plane, x, y, cv2.INTER_LINEAR) for plane in origin])


@pytest.mark.parametrize("mirrored", [False, True])
def test_irises_land_on_irises(grid: FaceGrid, target: Face, source: Face, mirrored: bool) -> None:
    halves = Halves.of(grid, target[0], source[0])
    before = halves.other if mirrored else halves.own
    after = gaze.aligned(grid, before, target, source, mirrored=mirrored)
    between = np.linalg.norm(source[0][33, :2] - source[0][263, :2])
    for which in (0, 1):
        wanted = source[1][1 - which if mirrored else which, 0]
        off = [
            np.linalg.norm(mapped(grid, origin, target[1][which, :1])[0] - wanted) / between
            for origin in (before, after)
        ]
        assert off[1] < 0.006  # measured 0.003
        assert off[1] < off[0]


def test_an_iris_stays_round(grid: FaceGrid, target: Face, source: Face) -> None:
    halves = Halves.of(grid, target[0], source[0])
    after = gaze.aligned(grid, halves.own, target, source)
    for which in (0, 1):
        centre, rim = target[1][which, 0], target[1][which, [1, 3]]  # beside, not under a lid
        places = centre + 0.6 * (rim - centre)
        radii = np.linalg.norm(
            mapped(grid, after, places) - mapped(grid, after, centre[None]), axis=1
        )
        assert radii[0] == pytest.approx(radii[1], rel=0.12)


def test_lids_and_all_outside_the_eyes_stay(grid: FaceGrid, target: Face, source: Face) -> None:
    halves = Halves.of(grid, target[0], source[0])
    moved = np.abs(gaze.aligned(grid, halves.own, target, source) - halves.own).max(axis=0)
    eyes = [grid.fill(target[0][eye, :2]) for eye in (topology.RIGHT_EYE, topology.LEFT_EYE)]
    near = cv2.dilate(np.maximum(*eyes), np.ones((7, 7), np.uint8))
    assert moved.max() > 1
    assert moved[near == 0].max() == 0
    lids = np.concatenate([topology.RIGHT_EYE, topology.LEFT_EYE])
    shift = mapped(grid, np.stack([moved, moved]), target[0][lids, :2])
    assert shift.max() < 0.01 * width_of(source[0])


def test_openings_tell_open_from_closed(target: Face) -> None:
    right, left = gaze.openings(*target)
    assert min(right, left) > gaze.EYE_OPEN
    closed = closed_eye(target[0], topology.LEFT_EYE)
    right, left = gaze.openings(closed, target[1])
    assert right > gaze.EYE_OPEN
    assert left < gaze.EYE_CLOSED


def test_no_hole_where_both_eyes_are_open_or_closed(
    grid: FaceGrid, target: Face, source: Face
) -> None:
    assert not gaze.eyes_matte(grid, target, source, 1.0).any()
    shut = [
        (closed_eye(closed_eye(face, topology.LEFT_EYE), topology.RIGHT_EYE), irises)
        for face, irises in (target, source)
    ]
    assert not gaze.eyes_matte(grid, shut[0], shut[1], 1.0).any()


@pytest.mark.parametrize("closed", ["target", "source"])
def test_an_eye_that_only_one_face_closes_stays_the_targets(
    grid: FaceGrid, target: Face, source: Face, closed: str
) -> None:
    faces = {"target": target, "source": source}
    faces[closed] = (closed_eye(faces[closed][0], topology.LEFT_EYE), faces[closed][1])
    matte = gaze.eyes_matte(grid, faces["target"], faces["source"], 1.0)
    rows, columns = np.nonzero(matte > 0.5)
    x = grid.x + grid.step * columns
    assert x.min() > target[0][topology.NOSE_TIP, 0]  # the left eye is on the right
    inside = grid.fill(faces["target"][0][topology.LEFT_EYE, :2]) > 0.9
    assert matte[inside].min(initial=1.0) > 0.95
    assert len(rows) < 0.05 * matte.size


def test_a_closed_eye_keeps_its_map(grid: FaceGrid, target: Face, source: Face) -> None:
    shut = (closed_eye(target[0], topology.RIGHT_EYE), target[1])
    halves = Halves.of(grid, shut[0], source[0])
    moved = np.abs(gaze.aligned(grid, halves.own, shut, source) - halves.own).max(axis=0)
    right_side = grid.positions()[..., 0] < shut[0][topology.NOSE_TIP, 0]
    assert moved[right_side].max() == 0
