"""The faces of whole pictures: which are found, in which order, as which values."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import ModelMissingError
from common.progress import Progress
from common.types import Face, Region
from preprocess.face_topology import FACE_OVAL, POINTS
from preprocess.faces import FaceFinder
from preprocess.image_file import ImageFile
from tests.preprocess.conftest import Look
from tests.preprocess.pictures import encoded

# Centres of the faces in the group's picture, by eye; the frame cuts three more.
GROUP_WHOLE = ((423, 212), (142, 374), (260, 193), (39, 307))
GROUP_CUT = 3


def centre(face: Face) -> tuple[float, float]:
    return face.box.x + face.box.width / 2, face.box.y + face.box.height / 2


def near(face: Face, place: tuple[int, int]) -> bool:
    return bool(np.hypot(*(np.array(centre(face)) - place)) < 40)


def test_every_face_of_the_portraits_is_found(faces_folder: Path, look: Look) -> None:
    files = sorted(faces_folder.glob("*.jpg"))
    assert files, f"{faces_folder} holds no .jpg file"
    for file in files:
        if not file.name.startswith("group"):
            found = look(file)
            expected = 2 if file.name.startswith("a_couple") else 1
            assert len(found) == expected, file.name
            assert all(face.score > 0.9 for face in found), file.name
            assert all(abs(face.pose.roll) < 15 for face in found), file.name


def test_a_group_with_faces_that_the_frame_cuts(faces_folder: Path, look: Look) -> None:
    faces = look(faces_folder / "group_604.jpg")
    whole = [face for face in faces if any(near(face, place) for place in GROUP_WHOLE)]
    assert len(whole) == len(GROUP_WHOLE)
    assert all(sum(near(face, place) for face in faces) == 1 for place in GROUP_WHOLE)
    cut = [face for face in faces if face not in whole]
    assert 1 <= len(cut) <= GROUP_CUT  # measured 2
    right = next(face for face in faces if near(face, GROUP_WHOLE[0]))
    left = next(face for face in faces if near(face, GROUP_WHOLE[1]))
    assert right.pose.yaw < -10  # the man on the right looks to the left of the picture
    assert left.pose.yaw > 5


def test_faces_with_another_one_for_company(look: Look, astronaut: NDArray[Any]) -> None:
    picture = np.full((512, 800, 3), 120, np.uint8)
    picture[:, 288:] = astronaut
    picture[100:356, :256] = astronaut[::2, ::2]
    large, small = look(picture)
    assert (large.index, small.index) == (0, 1)
    assert large.quality.size == pytest.approx(2 * small.quality.size, rel=0.1)
    assert centre(small)[0] < 256
    assert centre(large)[0] > 288


def test_a_face_is_a_frozen_value(astronaut_face: Face) -> None:
    face = astronaut_face
    assert face.landmarks.shape == (POINTS, 3)
    assert face.landmarks.dtype == face.irises.dtype == np.float32
    for array in (face.landmarks, face.irises):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        face.score = 1.0  # type: ignore[misc]
    assert not hasattr(face, "__dict__")


def test_box_and_size_are_those_of_the_oval(astronaut_face: Face) -> None:
    oval = astronaut_face.landmarks[FACE_OVAL, :2]
    assert astronaut_face.box == Region.around(oval)
    width, height = np.ptp(oval, axis=0)
    assert astronaut_face.quality.size == pytest.approx(np.sqrt(width * height))
    # The astronaut's face in the photograph, by eye: columns 178-274, rows 68-178.
    assert astronaut_face.box.as_list() == pytest.approx([178, 68, 96, 110], abs=4)


def test_the_same_picture_gives_the_same_faces(
    look: Look, astronaut: NDArray[Any], astronaut_face: Face
) -> None:
    (again,) = look(astronaut)
    assert np.array_equal(again.landmarks, astronaut_face.landmarks)
    assert np.array_equal(again.irises, astronaut_face.irises)
    assert (again.pose, again.quality) == (astronaut_face.pose, astronaut_face.quality)


def test_threads_do_not_disturb_each_other(
    finder: FaceFinder, astronaut: NDArray[Any], tmp_path: Path
) -> None:
    files = []
    for index, picture in enumerate((astronaut, astronaut[:, ::-1], astronaut[:300, 60:400])):
        files.append(tmp_path / f"{index}.png")
        files[-1].write_bytes(encoded(np.ascontiguousarray(picture), "PNG"))

    def find(file: Path) -> NDArray[Any]:
        image = ImageFile.open(file, max_megapixels=1)
        _, (face,) = finder.find(image, 0.5, None, Progress())
        return face.landmarks

    alone = [find(file) for file in files]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(find, files * 3))
    for index, landmarks in enumerate(together):
        assert np.array_equal(landmarks, alone[index % len(files)])


def test_without_models_it_says_what_to_run(astronaut: NDArray[Any], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(astronaut, "PNG"))
    image = ImageFile.open(tmp_path / "a.png", max_megapixels=1)
    finder = FaceFinder(tmp_path / "models")
    with pytest.raises(ModelMissingError, match=r"\.tflite is not in .*models; run \./run\.sh"):
        finder.find(image, 0.5, None, Progress())
