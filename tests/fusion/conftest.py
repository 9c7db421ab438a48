"""A pipeline with the real networks, and fusions that several tests look at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from common.progress import Progress
from common.settings import load_settings
from fusion.engines.registry import create_engine
from fusion.pipeline import Pipeline, build_pipeline
from fusion.request import Blend, FusionRequest, Output
from tests.fusion.pictures import (
    Fusion,
    Observer,
    save,
    source_portrait,
    tan,
    target_portrait,
)

Prepare = Callable[[NDArray[Any], NDArray[Any]], Fusion]


@pytest.fixture(scope="session")
def pipeline(model_directory: Path) -> Pipeline:
    return build_pipeline(load_settings())


@pytest.fixture(scope="session")
def target_file(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("target") / "target.png", target_portrait(astronaut))


@pytest.fixture(scope="session")
def source_file(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("source") / "source.png", source_portrait(astronaut))


@pytest.fixture(scope="session")
def prepare(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """prepare(target, source): what the pipeline hands to the embedded engine for two arrays."""

    def views(target: NDArray[Any], source: NDArray[Any]) -> Fusion:
        folder = tmp_path_factory.mktemp("prepared")
        seen_file, given_file = (
            save(folder / f"{index}.png", pixels) for index, pixels in enumerate((target, source))
        )
        observer = Observer(create_engine("mesh"))
        request = FusionRequest(seen_file, (given_file,), Output(folder / "out.png"), Blend(1.0))
        pipeline.run(request, observer, Progress())
        ((given, seen),) = observer.seen
        return Fusion(observer.engine, given, seen, target, source)

    return views


@pytest.fixture(scope="session")
def fusion(prepare: Prepare, astronaut: NDArray[Any]) -> Fusion:
    """The source portrait onto the target portrait."""
    return prepare(target_portrait(astronaut), source_portrait(astronaut))


@pytest.fixture(scope="session")
def alike(fusion: Fusion) -> Fusion:
    """The target with tanned skin onto itself: no point has to move, other colours come."""
    own = Fusion(fusion.engine, fusion.target, fusion.target, fusion.pixels, fusion.pixels)
    return own.painted(source=tan)
