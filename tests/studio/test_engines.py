"""The engines behind the page, and what of a wish reaches them."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from common.errors import EngineUnavailableError, OptionError
from common.progress import Progress
from common.settings import load_settings
from fusion.engines import registry
from fusion.engines.base import Capabilities, Pair
from fusion.engines.mesh import MeshEngine
from fusion.engines.unet.devices import gpu_status
from fusion.field import FusionField
from fusion.request import Blend, FaceSelection, Network
from studio.service.controls import Controls
from studio.service.engines import Engines
from studio.service.fusion_service import FusionService
from studio.service.storage import Storage
from studio.service.wish import Photo, Wish


class Recorder(MeshEngine):
    """The embedded engine, which also remembers what it was asked."""

    def __init__(self, composites: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.composites = composites
        self.asked: list[Network] = []
        self.closed = 0

    @property
    def capabilities(self) -> Capabilities:
        return dataclasses.replace(super().capabilities, composites=self.composites)

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FusionField, ...]:
        self.asked.append(blend.network)
        return super().prepare(pairs, blend, progress)

    def close(self) -> None:
        self.closed += 1


Made = list[tuple[str, Recorder]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """The engines that are loaded, which are recorders, by the name that each has."""
    known: Made = []

    def create(choice: registry.Choice, _: Any) -> Recorder:
        known.append((choice.engine, Recorder()))
        return known[-1][1]

    monkeypatch.setattr(registry, "create_engine", create)
    return known


@pytest.fixture
def engines_with(tmp_path: Path) -> Callable[..., Engines]:
    def make(**variables: str) -> Engines:
        nothing = {"STUDIO_MODELSCOPE__FOLDER": str(tmp_path / "empty")}
        return Engines(load_settings(Path(os.devnull), nothing | variables))

    return make


def test_an_engine_is_loaded_when_asked_for_and_then_kept(
    engines_with: Callable[..., Engines], made: Made
) -> None:
    engines = engines_with()
    assert engines.choice("auto").engine == "mesh"
    assert made == []
    first = engines.get("auto")
    assert engines.get("mesh") is first  # the same one under both names
    assert engines.get("modelscope") is not first
    assert [name for name, _ in made] == ["mesh", "modelscope"]
    engines.close()
    assert [engine.closed for _, engine in made] == [1, 1]


def test_an_engine_that_auto_stands_for_knows_why(
    engines_with: Callable[..., Engines], monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons: list[str] = []

    def create(choice: registry.Choice, _: Any) -> Recorder:
        reasons.append(choice.reason)
        return Recorder()

    monkeypatch.setattr(registry, "create_engine", create)
    engines = engines_with()
    engines.get("mesh")
    assert reasons == [engines.choice("auto").reason]
    assert reasons != ["asked"]


def test_an_engine_nobody_knows_is_an_error(engines_with: Callable[..., Engines]) -> None:
    engines = engines_with()
    for ask in (engines.choice, engines.get, engines.status):
        with pytest.raises(OptionError, match="watercolour"):
            ask("watercolour")


def test_the_status_says_why_an_engine_cannot_run(engines_with: Callable[..., Engines]) -> None:
    engines = engines_with()
    status = engines.status("modelscope")
    assert (status.choice.engine, status.choice.reason) == ("modelscope", "asked")
    assert isinstance(status.problem, EngineUnavailableError)
    assert "./run.sh" in status.problem.message
    with pytest.raises(EngineUnavailableError):
        engines.get("modelscope")
    assert engines.status("auto").problem is None


def test_the_service_asks_for_the_engine_of_the_settings(
    service: FusionService, demo: tuple[Photo, Photo], wish_for: Callable[..., Wish]
) -> None:
    before = service.engine_status()
    assert (before.choice.engine, before.problem) == ("mesh", None)
    service.submit(wish_for(*demo)).result()
    after = service.engine_status()
    assert after.choice == before.choice
    assert [gpu.name for gpu in after.gpus] == [gpu.name for gpu in gpu_status()]


@pytest.fixture
def service_of(
    tmp_path: Path, model_directory: Path
) -> Iterator[Callable[[dict[str, str]], FusionService]]:
    """Makes services whose settings differ; they are closed in the end."""
    services: list[FusionService] = []

    def make(variables: dict[str, str]) -> FusionService:
        environment = {
            "STUDIO_MODELS__DIRECTORY": str(model_directory),
            "STUDIO_MODELSCOPE__FOLDER": os.devnull,
        }
        settings = load_settings(Path(os.devnull), environment | variables)
        services.append(FusionService(settings, Storage(tmp_path, 24)))
        return services[-1]

    yield make
    for service in services:
        service.close()
        service.storage.close()


@pytest.mark.parametrize(
    ("composites", "expected"),
    [((), Network()), (("studio", "official"), Network("studio", 2, 0.25))],
)
def test_the_settings_of_the_network_are_for_engines_that_have_one(
    service_of: Callable[[dict[str, str]], FusionService],
    monkeypatch: pytest.MonkeyPatch,
    composites: tuple[str, ...],
    expected: Network,
) -> None:
    engine = Recorder(composites)
    monkeypatch.setattr(registry, "create_engine", lambda *_: engine)
    service = service_of({"STUDIO_MODELSCOPE__BOOST": "2", "STUDIO_MODELSCOPE__ENHANCE": "0.25"})
    target, source = (service.look_at_demo(role).result() for role in ("target", "source"))
    controls = Controls.defaults(service.settings)
    service.submit(Wish(target, (source,), FaceSelection(), controls)).result()
    assert engine.asked == [expected]
    assert not engine.closed
    service.close()
    assert engine.closed
