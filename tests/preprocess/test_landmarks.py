"""Landmarks, irises, pose and sharpness of a face."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import Face
from preprocess import face_topology as topology
from preprocess.landmarks import pose_of, sharpness_of
from tests.preprocess.conftest import Look


def mirrored_ring(ring: NDArray[Any], first: int) -> NDArray[Any]:
    """A closed symmetric contour as the mirror shows it; ``first`` is where point 0 goes."""
    return ring[(first - np.arange(len(ring))) % len(ring)]


# Points of the mesh and the points that take their place in a mirror.
MIRRORED = {
    "oval": (topology.FACE_OVAL, mirrored_ring(topology.FACE_OVAL, 0)),
    "outer lips": (topology.OUTER_LIPS, mirrored_ring(topology.OUTER_LIPS, 10)),
    "inner lips": (topology.INNER_LIPS, mirrored_ring(topology.INNER_LIPS, 10)),
    "right eye": (topology.RIGHT_EYE_REGION, topology.LEFT_EYE_REGION),
    "left eye": (topology.LEFT_EYE_REGION, topology.RIGHT_EYE_REGION),
    "right lids": (topology.RIGHT_EYE, topology.LEFT_EYE),
    "right brow": (topology.RIGHT_BROW, topology.LEFT_BROW),
    "left brow": (topology.LEFT_BROW, topology.RIGHT_BROW),
}

# Mean and largest distance in face widths; the oval's points may slide along it.
TOLERANCES = {"oval": (0.02, 0.045), "outer lips": (0.016, 0.026), "inner lips": (0.016, 0.026)}


@pytest.fixture(scope="module")
def reflection(look: Look, astronaut: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Landmarks and irises of the mirrored astronaut, mirrored back."""
    (face,) = look(astronaut[:, ::-1])
    landmarks, irises = face.landmarks.copy(), face.irises.copy()
    landmarks[:, 0] = astronaut.shape[1] - 1 - landmarks[:, 0]
    irises[..., 0] = astronaut.shape[1] - 1 - irises[..., 0]
    return landmarks, irises


@pytest.mark.parametrize("part", MIRRORED)
def test_a_mirror_swaps_left_and_right(
    astronaut_face: Face, reflection: tuple[NDArray[Any], NDArray[Any]], part: str
) -> None:
    here, there = MIRRORED[part]
    expected = astronaut_face.landmarks[here, :2]
    apart = np.hypot(*(reflection[0][there, :2] - expected).T)
    apart /= np.ptp(astronaut_face.landmarks[topology.FACE_OVAL, 0])
    mean, largest = TOLERANCES.get(part, (0.005, 0.01))
    assert apart.mean() < mean
    assert apart.max() < largest


def test_irises_are_the_right_eyes_first(
    astronaut_face: Face, reflection: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    face = astronaut_face
    assert face.irises.shape == (2, 5, 2)
    for iris, corners in zip(
        face.irises,
        (topology.RIGHT_EYE_CORNERS, topology.LEFT_EYE_CORNERS),
        strict=True,
    ):
        low, high = sorted(face.landmarks[list(corners), 0])
        assert low < iris[0, 0] < high
        rim = np.hypot(*(iris[1:] - iris[0]).T)
        assert rim.mean() / (high - low) == pytest.approx(0.21, abs=0.08)
    width = np.ptp(face.landmarks[topology.FACE_OVAL, 0])
    apart = np.hypot(*(reflection[1][::-1, 0] - face.irises[:, 0]).T) / width
    assert apart.max() < 0.006  # measured 0.0016


@pytest.mark.parametrize("degrees", [-20, 20, 35])
def test_roll_is_clockwise(
    look: Look, astronaut: NDArray[Any], astronaut_face: Face, degrees: int
) -> None:
    x, y = astronaut_face.landmarks[topology.NOSE_TIP, :2]
    turn = cv2.getRotationMatrix2D((float(x), float(y)), -degrees, 1.0)
    (face,) = look(cv2.warpAffine(astronaut, turn, (512, 512), borderMode=cv2.BORDER_REFLECT))
    rolled = face.pose.roll - astronaut_face.pose.roll
    assert rolled == pytest.approx(degrees, abs=1)  # measured 0.12
    assert face.pose.yaw == pytest.approx(astronaut_face.pose.yaw, abs=2)
    assert face.pose.pitch == pytest.approx(astronaut_face.pose.pitch, abs=2)


def head(yaw: float, pitch: float, roll: float) -> NDArray[Any]:
    """A flat face turned by degrees: about its own axes first, then in the picture."""
    points = np.zeros((topology.POINTS, 3), np.float64)
    points[topology.RIGHT_CHEEK, 0], points[topology.LEFT_CHEEK, 0] = -50, 50
    points[topology.FOREHEAD, 1], points[topology.CHIN, 1] = -60, 60
    points[topology.RIGHT_EYE_CORNERS[0], 0] = -30
    points[topology.LEFT_EYE_CORNERS[0], 0] = 30
    a, b, c = np.radians([yaw, pitch, roll])
    # z points away from the camera, so the face looks along -z.
    nod = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    shake = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    tilt = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    looks = tilt @ shake @ nod @ np.array([0, 0, -1])
    if roll == 0:
        assert np.sign(looks[0]) == np.sign(round(yaw, 6))  # right in the picture
        assert np.sign(looks[1]) == np.sign(round(pitch, 6))  # down in the picture
    return np.asarray(points @ (tilt @ shake @ nod).T, np.float32)


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"),
    [(0, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 25), (0, 0, 180)],
)
def test_pose_of_a_known_turn(yaw: float, pitch: float, roll: float) -> None:
    pose, level = pose_of(head(yaw, pitch, roll)), pose_of(head(0, 0, 0))
    assert pose.yaw == pytest.approx(yaw, abs=0.01)
    assert pose.pitch - level.pitch == pytest.approx(pitch, abs=0.01)
    assert (pose.roll - roll + 180) % 360 - 180 == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("turn", [(25, 15, 10), (-25, -15, 90), (25, -15, -120)])
def test_roll_does_not_change_yaw_and_pitch(turn: tuple[float, float, float]) -> None:
    yaw, pitch, _ = turn
    upright, rolled = pose_of(head(yaw, pitch, 0)), pose_of(head(*turn))
    assert rolled.yaw == pytest.approx(upright.yaw, abs=0.01)
    assert rolled.pitch == pytest.approx(upright.pitch, abs=0.01)
    assert np.sign(rolled.yaw) == np.sign(yaw)
    assert np.sign(rolled.pitch - pose_of(head(0, 0, 0)).pitch) == np.sign(pitch)


def test_a_mirror_turns_yaw_and_roll_around(
    look: Look, astronaut: NDArray[Any], astronaut_face: Face
) -> None:
    (face,) = look(astronaut[:, ::-1])
    assert face.pose.roll == pytest.approx(-astronaut_face.pose.roll, abs=1)  # 3.4 degrees
    assert face.pose.yaw == pytest.approx(-astronaut_face.pose.yaw, abs=3)


def test_sharpness_falls_with_blur(look: Look, astronaut: NDArray[Any]) -> None:
    pictures = [astronaut, *(cv2.GaussianBlur(astronaut, (0, 0), sigma) for sigma in (1, 2, 4))]
    measured = [look(picture)[0].quality.sharpness for picture in pictures]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > 2 > measured[1]  # measured 3.24, 1.57, 1.27, 1.10


def test_sharpness_of_a_face_outside_the_pixels_is_nothing(astronaut_face: Face) -> None:
    assert sharpness_of(np.zeros((20, 20, 3), np.uint8), astronaut_face.landmarks) == 0.0
