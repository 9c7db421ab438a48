"""Engines by name, and which one is used where nobody has named one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import EngineUnavailableError
from common.settings import ModelScopeSettings, Settings
from fusion.engines.base import Engine
from fusion.engines.unet import weights
from fusion.engines.unet.devices import choose_place, this_machine
from fusion.request import Network, check_choice
from preprocess.face_models import model_directory

OTHER = {"mesh": "modelscope", "modelscope": "mesh"}
REASONS = ("asked", "gpu", "no_packages", "no_files", "no_gpu")
"""Why an engine is used: it was named; or what speaks for modelscope or against it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and why it is used.

    reason: one of `REASONS`. told: what is missing, where something is.
    """

    engine: str
    reason: str
    told: str = ""

    @property
    def why(self) -> str:
        """A sentence that also says how to get the other engine."""
        return _SENTENCES[self.reason].format(
            engine=self.engine, other=OTHER[self.engine], told=self.told
        )


_HOW = "--engine {other}, or fusion.engine in config.yaml"
_SENTENCES = {
    "asked": f"engine {{engine}} was asked for (engine {{other}}: {_HOW})",
    "gpu": "engine modelscope is used because its files and an NVIDIA GPU are here (engine mesh: "
    f"{_HOW})",
    "no_packages": "engine mesh is used because engine modelscope needs {told}; "
    f"{weights.INSTALL} installs what it needs, and {weights.COMMAND} gets its files",
    "no_files": "engine mesh is used because engine modelscope lacks {told}; "
    f"{weights.COMMAND} gets what is missing",
    "no_gpu": "engine mesh is used because {told} (engine modelscope, which also runs on the CPU: "
    f"{_HOW})",
}


def _mesh(_: Settings, why: str) -> Engine:
    from fusion.engines.mesh import MeshEngine

    return MeshEngine(why=why)


def _modelscope(settings: Settings, why: str) -> Engine:
    require_engine("modelscope", settings)
    # Torch numbers GPUs by their speed unless it is told to number them as the driver does.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    # Importing torch makes this folder, by default an empty one in the system's temporary folder.
    compiled = model_directory(settings.models.directory) / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))
    from fusion.engines.modelscope_unet import ModelScopeEngine

    return ModelScopeEngine(settings, why=why)


_ENGINES: dict[str, Callable[[Settings, str], Engine]] = {"mesh": _mesh, "modelscope": _modelscope}

CHOICES = ("auto", *_ENGINES)


def choose_engine(choice: str, settings: Settings) -> Choice:
    """Which engine is used; ``auto`` is modelscope where it runs on a GPU, else mesh.

    An engine that is named is answered whether it can run here or not.

    Raises:
        OptionError: No engine has that name.
    """
    check_choice("engine", choice, CHOICES)
    if choice != "auto":
        return Choice(choice, "asked")
    # In the order of what they cost to find out.
    packages = weights.missing_packages()
    if packages:
        return Choice("mesh", "no_packages", ", ".join(packages))
    folder = weights.find_folder(settings.modelscope)
    if folder is None:
        return Choice("mesh", "no_files", "its files")
    files = weights.missing_files(folder)
    if files:
        return Choice("mesh", "no_files", ", ".join(files))
    lack = _lack_of_gpu(settings.modelscope)
    return Choice("mesh", "no_gpu", lack) if lack else Choice("modelscope", "gpu")


def create_engine(choice: str | Choice, settings: Settings | None = None) -> Engine:
    """The engine of that name; ``auto`` is the one that `choose_engine` finds.

    Args:
        choice: A name of `CHOICES`, or what `choose_engine` has answered already.
        settings: None for the defaults.

    Raises:
        OptionError: No engine has that name.
        EngineUnavailableError: The engine cannot run here; the message says what to install.
        ModelMissingError: Files of the engine are missing; the message names each.
    """
    settings = settings or Settings()
    chosen = choice if isinstance(choice, Choice) else choose_engine(choice, settings)
    return _ENGINES[chosen.engine](settings, chosen.why)


def require_engine(name: str, settings: Settings) -> None:
    """Check, without loading it, that an engine can run here.

    Raises:
        EngineUnavailableError: It cannot; the message says what to install.
        ModelMissingError: Files of the engine are missing; the message names each.
    """
    if name == "modelscope":
        weights.require_packages()
        weights.require_folder(settings.modelscope)


def network_settings(own: ModelScopeSettings, composite: str | None = None) -> Network:
    """What the settings ask of a neural engine.

    Args:
        composite: One that was asked for instead of the settings'. Their boost and strength of
            enhance are for studio, the only one that has them.
    """
    composite = composite or own.composite
    if composite != "studio":
        return Network(composite)
    return Network(composite, own.boost, own.enhance)


def _lack_of_gpu(settings: ModelScopeSettings) -> str:
    """Why there is no GPU to use, "" if there is one."""
    if settings.device == "cpu":
        return "modelscope.device in config.yaml is cpu"
    machine = this_machine()
    try:
        place = choose_place(settings.device, settings.dtype, machine)
    except EngineUnavailableError as error:
        return error.message
    if place.device != "cpu":
        return ""
    return machine.no_gpu or f"no GPU can be used ({place.why})"
