"""The state of the studio and of the machine it runs on, as the System tab and `/system` tell it.

Nothing heavy is loaded and no large file is read for it: it is asked for every few seconds.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import EngineUnavailableError, ModelMissingError
from common.settings import Settings
from studio.service.jobs import Load
from studio.service.storage import storage_errors

if TYPE_CHECKING:
    from studio.service.fusion_service import FusionService

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
PACKAGES = {
    "numpy": "numpy",
    "opencv": "opencv-python-headless",
    "libvips": "pyvips-binary",
    "pillow": "pillow",
    "litert": "ai-edge-litert",
    "torch": "torch",
    "gradio": "gradio",
}
"""What the studio stands on, and the package whose version counts."""
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class GpuReport:
    """A GPU; memory in MiB, utilisation in percent, None where the driver does not say."""

    name: str
    total_mb: float
    used_mb: float
    utilisation: int | None


@dataclass(frozen=True, slots=True)
class EngineReport:
    """The engine that fusions use where nobody names one.

    device: where it computes; None where it cannot run. reason: a sentence that also says how to
    get the other one. problem: why it cannot run, None if it can.
    """

    name: str
    device: str | None
    reason: str
    problem: str | None
    gpus: tuple[GpuReport, ...]


@dataclass(frozen=True, slots=True)
class MachineReport:
    """Processor cores that the studio may use; memory and disk in MiB.

    memory_free_mb: what it may still take. memory_own_mb: what its process holds now.
    disk_free_mb: where uploads and results are kept.
    """

    cores: int
    memory_total_mb: float
    memory_free_mb: float
    memory_own_mb: float
    disk_total_mb: float
    disk_free_mb: float


@dataclass(frozen=True, slots=True)
class ModelReport:
    """The files of some networks.

    name: faces or modelscope. engines: those that need them. files: how many there are to be.
    missing: those that are not here, or not whole. packages: Python packages that they need and
    that are not installed. commands: what a person runs, in this order, to get all of that.
    """

    name: str
    engines: tuple[str, ...]
    files: int
    missing: tuple[str, ...]
    packages: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LimitsReport:
    """What the settings allow; None where they leave it to the machine."""

    upload_mb: int
    megapixels: float
    memory_mb: int | None
    deadline_s: float
    keep_hours: float


@dataclass(frozen=True, slots=True)
class SystemReport:
    """Everything at one moment. versions: by name, only of what is installed."""

    engine: EngineReport
    machine: MachineReport
    fusions: Load
    uploads: Load
    models: tuple[ModelReport, ...]
    limits: LimitsReport
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, nested as the groups are."""
        return asdict(self)


def report(service: FusionService) -> SystemReport:
    """The state of the studio now.

    Raises:
        ResourceError: The storage cannot be looked at.
    """
    settings = service.settings
    limits = settings.limits
    return SystemReport(
        engine=_engine(service),
        machine=_machine(service.storage.directory),
        fusions=service.queue.load(),
        uploads=service.analyses.load(),
        models=(_face_models(settings), _modelscope(settings)),
        limits=LimitsReport(
            settings.server.max_upload_mb,
            limits.max_megapixels,
            limits.max_memory_mb,
            limits.deadline_s,
            settings.storage.keep_hours,
        ),
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """The studio's version, Python's, and those of `PACKAGES` that are installed."""
    found = re.search(r'^version = "([^"]+)"', PROJECT.read_text(encoding="utf-8"), re.MULTILINE)
    told = {"studio": found.group(1)} if found else {}
    told["python"] = platform.python_version()
    for name, package in PACKAGES.items():
        version = _version(package)
        if version is not None:
            told[name] = version
    return told


def _version(package: str) -> str | None:
    """None if it is not installed, as torch need not be."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _engine(service: FusionService) -> EngineReport:
    status = service.engine_status()
    problem = status.problem
    device = None
    if problem is None:
        try:
            device = service.engines.get(status.choice.engine).capabilities.device
        except EngineUnavailableError as error:  # found out only when it is loaded
            problem = error
    return EngineReport(
        status.choice.engine,
        device,
        status.choice.why,
        None if problem is None else problem.message,
        tuple(
            GpuReport(gpu.name, round(gpu.total_mb), round(gpu.used_mb), gpu.utilisation)
            for gpu in status.gpus
        ),
    )


def _machine(storage: Path) -> MachineReport:
    import psutil

    from fusion.memory import free_memory_mb, resident_mb

    with storage_errors():
        disk = shutil.disk_usage(storage)
    return MachineReport(
        cores=_cores(),
        memory_total_mb=round(psutil.virtual_memory().total / _MIB),
        memory_free_mb=round(free_memory_mb()),
        memory_own_mb=round(resident_mb()),
        disk_total_mb=round(disk.total / _MIB),
        disk_free_mb=round(disk.free / _MIB),
    )


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _face_models(settings: Settings) -> ModelReport:
    from preprocess.face_models import COMMAND, MODEL_FILES, model_directory, require_model

    directory = model_directory(settings.models.directory)

    def is_here(name: str) -> bool:
        try:
            require_model(name, directory)
        except ModelMissingError:
            return False
        return True

    missing = [model.name for model in MODEL_FILES if not is_here(model.name)]
    return ModelReport(
        name="faces",
        engines=("mesh", "modelscope"),
        files=len(MODEL_FILES),
        missing=tuple(missing),
        packages=(),
        commands=(COMMAND,) if missing else (),
    )


def _modelscope(settings: Settings) -> ModelReport:
    from fusion.engines.unet import weights

    folder = weights.find_folder(settings.modelscope)
    names = tuple(file.name for file in weights.WEIGHT_FILES)
    missing = names if folder is None else weights.missing_files(folder)
    packages = weights.missing_packages()
    wanted = ((weights.INSTALL, packages), (weights.COMMAND, missing))
    return ModelReport(
        name="modelscope",
        engines=("modelscope",),
        files=len(names),
        missing=missing,
        packages=packages,
        commands=tuple(command for command, lack in wanted if lack),
    )
