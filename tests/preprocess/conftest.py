"""Real detectors and networks for the tests of faces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.progress import Progress
from common.types import Face
from preprocess.faces import FaceFinder
from preprocess.image_file import ImageFile

Look = Callable[..., tuple[Face, ...]]


@pytest.fixture(scope="session")
def finder(model_directory: Path) -> FaceFinder:
    return FaceFinder(model_directory)


@pytest.fixture(scope="session")
def look(finder: FaceFinder, tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Finds faces: look(array H x W x 3 uint8 or file, threshold, min_face)."""
    folder = tmp_path_factory.mktemp("looked-at")

    def find(
        picture: NDArray[Any] | Path, threshold: float = 0.5, min_face: int | None = None
    ) -> tuple[Face, ...]:
        path = picture
        if not isinstance(path, Path):
            path = folder / "picture.png"
            Image.fromarray(np.ascontiguousarray(picture)).save(path, compress_level=1)
        image = ImageFile.open(path, max_megapixels=390)
        return finder.find(image, threshold, min_face, Progress())[1]

    return find


@pytest.fixture(scope="session")
def astronaut_face(look: Look, astronaut: NDArray[Any]) -> Face:
    (face,) = look(astronaut)
    return face
