import hashlib
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.progress import Progress
from preprocess.faces import FaceFinder
from preprocess.image_file import ImageFile
from studio.service.demo import make_demo_pair, second_person


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_demo_pair(tmp_path_factory.mktemp("demo"))


def test_each_picture_shows_exactly_one_face(
    pair: tuple[Path, Path], model_directory: Path
) -> None:
    finder = FaceFinder(model_directory)
    for path in pair:
        image = ImageFile.open(path, max_megapixels=10)
        _, faces = finder.find(image, 0.5, None, Progress())
        assert len(faces) == 1, path.name
        assert abs(faces[0].pose.yaw) < 25


def test_it_is_quick_and_made_once(tmp_path: Path) -> None:
    begun = time.perf_counter()
    pair = make_demo_pair(tmp_path)
    assert time.perf_counter() - begun < 3  # 0.4 s on two idle cores
    stamps = [path.stat().st_mtime_ns for path in pair]
    assert make_demo_pair(tmp_path) == pair
    assert [path.stat().st_mtime_ns for path in pair] == stamps
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in pair)


def test_the_same_pictures_every_time(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for one, other in zip(pair, make_demo_pair(tmp_path), strict=True):
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other)]
        assert digests[0] == digests[1]


def test_the_second_person_looks_different(astronaut: np.ndarray) -> None:
    other = second_person(astronaut)
    assert other.shape == (600, 520, 3)
    mirrored = np.asarray(Image.fromarray(astronaut).crop((88, 0, 348, 300)).resize((520, 600)))
    mirrored = mirrored[:, ::-1].astype(float)
    face = np.s_[190:350, 170:330]  # cheeks, nose and eyes
    hair = np.s_[60:140, 150:330]
    darker_skin = mirrored[face].mean() - other[face].mean()
    darker_hair = mirrored[hair].mean() - other[hair].mean()
    assert darker_skin > 20
    assert darker_hair > 40
    assert other[face].std() > 20  # still a face with eyes, not a flat patch
