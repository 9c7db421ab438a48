"""The dense map between two faces and sampling along it."""

import cv2
import numpy as np
import pytest

from common.types import FloatArray, Region, Size
from fusion.compositing.grid import FaceGrid
from fusion.compositing.warp import Cover, level_ring, sample, spacing, with_ring
from preprocess import face_topology as topology
from preprocess.window import Window
from tests.fusion.faces import turned, width_of
from tests.fusion.pictures import Fusion


@pytest.fixture
def landmarks(fusion: Fusion) -> FloatArray:
    return fusion.target.face.landmarks


@pytest.fixture
def grid(landmarks: FloatArray) -> FaceGrid:
    return FaceGrid.over(landmarks[topology.FACE_OVAL, :2], 8.0, 1.0)


def mapped(grid: FaceGrid, origin: FloatArray, points: FloatArray) -> FloatArray:
    nodes = grid.nodes_of(points)
    x, y = np.ascontiguousarray(nodes[:, :1]), np.ascontiguousarray(nodes[:, 1:])
    return np.hstack([cv2.remap(part, x, y, cv2.INTER_LINEAR) for part in origin])


def test_landmarks_go_to_landmarks(fusion: Fusion, grid: FaceGrid, landmarks: FloatArray) -> None:
    source = fusion.source.face.landmarks
    origin = Cover.of(grid, landmarks).carry(with_ring(source)[:, :2])
    assert origin.shape == (2, *grid.shape)
    apart = np.hypot(*(mapped(grid, origin, landmarks[:, :2]) - source[:, :2]).T)
    step = spacing(origin[0], origin[1])
    assert apart.mean() < 0.1 * step  # measured 0.05 of a grid step
    assert apart.max() < 1.5 * step  # measured 0.8, at the oval's corners that are smoothed


def test_a_similar_face_gives_a_similarity(grid: FaceGrid, landmarks: FloatArray) -> None:
    scale, shift = np.float32(1.4), np.array([30.0, -12.0], np.float32)
    source = landmarks * scale
    source[:, :2] += shift
    origin = Cover.of(grid, landmarks).carry(with_ring(source)[:, :2])
    expected = grid.positions() * scale + shift
    inner = np.s_[4:-4, 4:-4]  # the smoothing's border repeats the edge
    apart = np.abs(np.moveaxis(origin, 0, -1) - expected)[inner]
    assert apart.max() < 0.05
    assert spacing(origin[0], origin[1]) == pytest.approx(1.4 * grid.step, rel=0.01)


def test_the_map_never_folds_on_a_frontal_face(
    fusion: Fusion, grid: FaceGrid, landmarks: FloatArray
) -> None:
    x, y = Cover.of(grid, landmarks).carry(with_ring(fusion.source.face.landmarks)[:, :2])
    area = (
        np.diff(x, axis=1)[:-1] * np.diff(y, axis=0)[:, :-1]
        - np.diff(y, axis=1)[:-1] * np.diff(x, axis=0)[:, :-1]
    )
    assert (area > 0).mean() > 0.999


@pytest.mark.parametrize("degrees", [-45, 45])
def test_a_head_turned_far_still_gives_finite_maps(landmarks: FloatArray, degrees: float) -> None:
    target = turned(landmarks, degrees)
    grid = FaceGrid.over(target[topology.FACE_OVAL, :2], 8.0, 1.0)
    origin = Cover.of(grid, target).carry(with_ring(landmarks)[:, :2])
    assert np.isfinite(origin).all()
    # Of the folded mesh the near side wins: the nose is on top.
    nose = mapped(grid, origin, target[[topology.NOSE_TIP], :2])[0]
    assert nose == pytest.approx(landmarks[topology.NOSE_TIP, :2], abs=4)


def test_a_fold_is_not_smoothed_over(landmarks: FloatArray) -> None:
    target = turned(landmarks, 40)
    grid = FaceGrid.over(target[:, :2], 8.0, 0.7)
    cover = Cover.of(grid, target)
    jump = np.abs(np.diff(cover.carry(with_ring(landmarks)[:, :2])[0], axis=1))
    inside = grid.fill(target[topology.FACE_OVAL, :2])[:, 1:] > 0.9
    steep = (jump > 0.04 * width_of(landmarks)) & inside
    assert steep.sum() >= 5  # along the nose, behind which the cheek hides
    assert (cover.fold[:, 1:][steep] > 0.5).all()


def test_a_frontal_face_has_folds_only_at_its_lips(grid: FaceGrid, landmarks: FloatArray) -> None:
    fold = Cover.of(grid, landmarks).fold
    mouth = cv2.dilate(grid.fill(landmarks[topology.OUTER_LIPS, :2]), np.ones((13, 13), np.uint8))
    assert fold.max() == pytest.approx(1.0, abs=0.01)
    assert (fold[mouth == 0] > 0.5).mean() < 0.02


def test_closed_lips_do_not_mix(grid: FaceGrid, landmarks: FloatArray) -> None:
    closed = landmarks.copy()
    upper, lower = topology.INNER_LIPS[1:10], topology.INNER_LIPS[:10:-1]
    closed[upper] = closed[lower] = (landmarks[upper] + landmarks[lower]) / 2
    source = landmarks * np.float32(2)
    y = Cover.of(grid, closed).carry(with_ring(source)[:, :2])[1]
    column, row = np.round(grid.nodes_of(closed[[topology.UPPER_LIP_INSIDE], :2])[0]).astype(int)
    edges = source[[topology.UPPER_LIP_INSIDE, topology.LOWER_LIP_INSIDE], 1]
    assert y[row - 3, column] < edges[0] + 1
    assert y[row + 3, column] > edges[1] - 1


def test_attributes_hardly_leave_their_range(grid: FaceGrid, landmarks: FloatArray) -> None:
    values = np.random.default_rng(3).uniform(0, 1, (topology.POINTS, 1)).astype(np.float32)
    plane = Cover.of(grid, landmarks).carry(level_ring(values))[0]
    inside = grid.fill(landmarks[topology.FACE_OVAL, :2]) > 0.9
    assert plane[inside].min() > -0.7  # a node lies up to half a step outside its triangle
    assert plane[inside].max() < 1.7


def picture(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x % 256, y % 256, (x + y) % 256], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sampling_at_pixel_centres_reads_the_pixels(dtype: type) -> None:
    pixels = picture(90, 70).astype(dtype) * (np.iinfo(dtype).max // 255)
    region = Region(20, 10, 90, 70)
    window = Window.of(pixels, region, Size(200, 150), Size(200, 150))
    x, y = np.meshgrid(np.arange(30, 60), np.arange(25, 50))
    values = sample(window, np.stack([x, y], axis=-1).astype(np.float32))
    assert values == pytest.approx(picture(90, 70)[15:40, 10:40] / 255.0, abs=1e-5)
    assert values.dtype == np.float32


def test_sampling_between_pixels_follows_a_ramp() -> None:
    window = Window.of(picture(90, 70), Region(0, 0, 90, 70), Size(90, 70), Size(90, 70))
    points = np.random.default_rng(1).uniform(5, 60, (6, 7, 2)).astype(np.float32)
    values = sample(window, points)
    assert values[..., :2] * 255 == pytest.approx(points, abs=0.05)  # OpenCV: 1/32 px steps


def test_points_outside_take_the_nearest_border() -> None:
    window = Window.of(picture(90, 70), Region(0, 0, 90, 70), Size(90, 70), Size(90, 70))
    far = np.array([[[-50.0, 30.0], [500.0, 30.0], [20.0, -999.0]]], np.float32)
    assert (sample(window, far)[0, :, 0] * 255).tolist() == pytest.approx([0, 89, 20], abs=0.1)
    assert (sample(window, far)[0, :, 1] * 255).tolist() == pytest.approx([30, 30, 0], abs=0.1)


def test_spacing_is_the_typical_cell() -> None:
    y, x = np.mgrid[0:40, 0:50].astype(np.float32)
    assert spacing(3 * x, 3 * y) == pytest.approx(3.0)
    assert spacing(3 * y, 12 * x) == pytest.approx(6.0)
