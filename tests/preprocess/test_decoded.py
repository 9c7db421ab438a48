"""One decoding for all who look at a whole picture; what they see is what each would read."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.progress import Progress
from common.types import Region, Size
from preprocess import image_pipeline
from preprocess.faces import FaceFinder
from preprocess.image_file import ImageFile
from preprocess.window import scaled_size
from tests.preprocess.pictures import encoded, photo


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How far each decoding shrank the picture."""
    asked: list[int] = []
    load = image_pipeline.load

    def counted(path: Path, kind: str, shrink: int = 1) -> Any:
        asked.append(shrink)
        return load(path, kind, shrink)

    monkeypatch.setattr(image_pipeline, "load", counted)
    return asked


def large(astronaut: NDArray[Any], path: Path, side: int, **options: Any) -> ImageFile:
    """The astronaut as a file, ``side`` px wide and two thirds as high."""
    part = astronaut[: len(astronaut) * 2 // 3]
    pixels = cv2.resize(part, (side, side * 2 // 3), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(pixels).save(path, **options)
    return ImageFile.open(path, max_megapixels=50)


@pytest.mark.parametrize(
    ("name", "side", "shrink"), [("a.jpg", 4200, 2), ("b.jpg", 1500, 1), ("c.png", 1500, 1)]
)
def test_faces_and_preview_need_one_decoding(
    astronaut: NDArray[Any],
    finder: FaceFinder,
    loads: list[int],
    tmp_path: Path,
    name: str,
    side: int,
    shrink: int,
) -> None:
    image = large(astronaut, tmp_path / name, side)
    at = scaled_size(image.size, 600 / side)
    _, expected = finder.find(image, 0.5, None, Progress())
    preview = image.shown(at, Progress())
    loads.clear()
    held = image.decoded(Progress())
    assert loads == [shrink]
    _, faces = finder.find(held, 0.5, None, Progress())
    assert np.array_equal(held.shown(at, Progress()), preview)
    assert loads == [shrink]
    assert len(faces) == len(expected) == 1
    assert faces[0].box == expected[0].box
    assert np.array_equal(faces[0].landmarks, expected[0].landmarks)


def test_what_is_too_large_is_read_each_time(
    loads: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(photo(300, 200), "PNG"))
    image = ImageFile.open(path, max_megapixels=50)
    monkeypatch.setattr(image_pipeline, "_HELD_IN_MEMORY", 300 * 200 * 3 - 1)
    held = image.decoded(Progress())
    assert np.array_equal(
        held.shown(Size(150, 100), Progress()), image.shown(Size(150, 100), Progress())
    )
    assert loads == [1, 1, 1]


@pytest.mark.parametrize("side", [1600, 2047, 3000])
def test_a_preview_looks_like_the_exact_reduction(
    astronaut: NDArray[Any], loads: list[int], tmp_path: Path, side: int
) -> None:
    """The decoder's own reduction is coarser than Lanczos', but not so that one could see it."""
    image = large(astronaut, tmp_path / "a.jpg", 4200, quality=95)
    at = scaled_size(image.size, side / image.size.longer)
    shown = image.shown(at, Progress()).astype(int)
    assert loads == [2 if side <= 2100 else 1]
    exact = image.read_srgb(Region.whole(at), at)
    assert np.abs(shown - exact).mean() < 0.5
    assert np.abs(shown - exact).max() < 12
