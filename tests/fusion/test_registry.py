"""Engines by name, and what is chosen where nobody names one."""

from pathlib import Path
from typing import get_args

import pytest

from common.errors import EngineUnavailableError, ModelMissingError, OptionError
from common.settings import FusionSettings, ModelScopeSettings, Settings
from fusion.engines import registry
from fusion.engines.registry import CHOICES, OTHER, choose_engine, create_engine
from fusion.engines.unet import weights
from fusion.engines.unet.devices import NO_DRIVER, Gpu, Machine
from fusion.request import MODES
from tests.fusion.unet.fake_hub import model_files, write_files

GPU = Gpu("Big", 16_000, 1_000, 0, (8, 0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    write_files(made, model_files())
    return made


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the networks need is installed, whether it is or not."""
    monkeypatch.setattr(weights, "PACKAGES", ("json",))


def give_gpus(monkeypatch: pytest.MonkeyPatch, *gpus: Gpu) -> None:
    machine = Machine(gpus, "" if gpus else NO_DRIVER, frozenset(), 16_000)
    monkeypatch.setattr(registry, "this_machine", lambda: machine)


def settings(folder: Path, device: str = "auto", dtype: str = "auto") -> Settings:
    own = ModelScopeSettings.model_validate({"folder": folder, "device": device, "dtype": dtype})
    return Settings(modelscope=own)


@pytest.mark.parametrize("choice", ["auto", "mesh"])
def test_the_embedded_engine(choice: str, tmp_path: Path) -> None:
    capabilities = create_engine(choice, settings(tmp_path / "none")).capabilities
    assert (capabilities.name, capabilities.device) == ("mesh", "cpu")
    assert set(capabilities.modes) <= set(MODES)
    assert capabilities.composites == ()
    assert capabilities.why


@pytest.mark.parametrize("choice", ["Mesh", "unet", ""])
def test_other_names_are_refused(choice: str) -> None:
    with pytest.raises(OptionError, match="use one of: auto, mesh, modelscope") as caught:
        create_engine(choice, Settings())
    assert repr(choice) in caught.value.message


def test_the_settings_accept_what_the_registry_knows() -> None:
    assert get_args(FusionSettings.model_fields["engine"].annotation) == CHOICES
    assert {*OTHER, *OTHER.values()} == {*CHOICES} - {"auto"}


def test_an_engine_that_is_named_is_taken(tmp_path: Path) -> None:
    for name, other in OTHER.items():
        choice = choose_engine(name, settings(tmp_path))
        assert (choice.engine, choice.reason) == (name, "asked")
        assert choice.why == (
            f"engine {name} was asked for (engine {other}: --engine {other}, or fusion.engine in "
            "config.yaml)"
        )


def test_auto_takes_modelscope_with_its_files_and_a_gpu(
    installed: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_gpus(monkeypatch, GPU)
    choice = choose_engine("auto", settings(folder))
    assert (choice.engine, choice.reason) == ("modelscope", "gpu")
    assert "NVIDIA GPU" in choice.why
    assert "(engine mesh: --engine mesh, or fusion.engine in config.yaml)" in choice.why


def test_auto_without_the_packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_gpus(monkeypatch, GPU)
    monkeypatch.setattr(weights, "PACKAGES", ("json", "no_such_package"))
    choice = choose_engine("auto", settings(folder))
    assert (choice.engine, choice.reason, choice.told) == ("mesh", "no_packages", "no_such_package")
    for told in ("needs no_such_package;", "./run.sh --full setup", "./run.sh models download"):
        assert told in choice.why


def test_auto_without_files(installed: None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_gpus(monkeypatch, GPU)
    (folder / "alpha.jpg").unlink()
    choice = choose_engine("auto", settings(folder))
    assert (choice.engine, choice.reason, choice.told) == ("mesh", "no_files", "alpha.jpg")
    assert "./run.sh models download" in choice.why
    nowhere = choose_engine("auto", settings(folder / "elsewhere"))
    assert "engine modelscope lacks its files;" in nowhere.why


@pytest.mark.parametrize(
    ("gpus", "device", "dtype", "told"),
    [
        ((), "auto", "auto", NO_DRIVER),
        ((), "cuda", "auto", NO_DRIVER),
        ((GPU,), "cpu", "auto", "modelscope.device in config.yaml is cpu"),
        ((GPU,), "cuda:3", "auto", "no device cuda:3"),
        ((Gpu("Old", 16_000, 0, 0, (6, 1)),), "auto", "auto", "Old is too old for torch"),
        ((Gpu("Old", 16_000, 0, 0, (6, 1)),), "cuda", "bfloat16", "does not compute in bfloat16"),
        ((Gpu("Full", 16_000, 15_000),), "auto", "auto", "Full has 1000 MB of free memory"),
    ],
)
def test_auto_without_a_gpu_to_use(
    installed: None,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: tuple[Gpu, ...],
    device: str,
    dtype: str,
    told: str,
) -> None:
    give_gpus(monkeypatch, *gpus)
    choice = choose_engine("auto", settings(folder, device, dtype))
    assert (choice.engine, choice.reason) == ("mesh", "no_gpu")
    assert told in choice.why
    assert "also runs on the CPU: --engine modelscope" in choice.why


def test_modelscope_without_its_packages_names_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PACKAGES", ("no_such_package",))
    with pytest.raises(EngineUnavailableError, match="needs no_such_package, which is not") as seen:
        create_engine("modelscope", settings(folder))
    assert "./run.sh --full setup" in seen.value.message


def test_modelscope_without_its_files_names_each(installed: None, folder: Path) -> None:
    missing = ("alpha.jpg", "BFM/BFM_model_front.mat")
    for name in missing:
        (folder / name).unlink()
    with pytest.raises(ModelMissingError) as caught:
        create_engine("modelscope", settings(folder))
    for told in (*missing, str(folder), "./run.sh models download"):
        assert told in caught.value.message
