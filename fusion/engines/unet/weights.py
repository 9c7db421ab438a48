"""The files of ModelScope's face-fusion model: which, where, whole or not, and how they get here.

No sizes or checksums of them are published outside of the hub, so there are three checks: the
hub's client compares size and SHA-256 with the hub's own listing while it downloads; `verify`
looks whether each file is complete for its format; with ``deep`` the networks are built from them,
which compares the name and the shape of every array.

Nothing here imports torch or modelscope before it is needed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from common.errors import (
    DiskFullError,
    EngineUnavailableError,
    ModelMissingError,
    StudioError,
)
from common.settings import ModelScopeSettings
from fusion.engines.unet.weight_formats import broken

COMMAND = "./run.sh models download"
"""What a person runs to get the files."""
INSTALL = "./run.sh --full setup"
"""What a person runs to get `PACKAGES`."""
PACKAGES = ("torch", "torchvision", "modelscope", "addict", "scipy")
"""What the networks need besides the core."""
_INSTALL_AND_GET = "./run.sh --full models download"
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_OFFLINE = (
    "check the network, or MODELSCOPE_ENDPOINT if a mirror of the hub is used, and run "
    f"{COMMAND} again: what has come so far is kept"
)


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of the model.

    name: its path in the model's folder. kind: torch, mat (MATLAB 5) or jpeg. purpose: what it
    is for, to a person.
    """

    name: str
    kind: str
    purpose: str


WEIGHT_FILES = (
    WeightFile("pytorch_model.pt", "torch", "fuses the face, 256 px"),
    WeightFile("faceRecog/CurricularFace_Backbone.pth", "torch", "whose face it is"),
    WeightFile("3dRecon/face_3d.pth", "torch", "shape, pose and expression of a face"),
    WeightFile("BFM/BFM_model_front.mat", "mat", "the face in 3-D that those describe"),
    WeightFile("faceEnhance/GPEN-BFR-1024.pth", "torch", "restores fine detail, 1024 px"),
    WeightFile("alpha.jpg", "jpeg", "where the fused face covers the photograph"),
)
"""All that is used; the hub also has two TensorFlow graphs, which are not downloaded."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a file.

    reason: such as 'is cut off'. lasting: whether a new file would not help: it is a matter of
    rights or of the disk, or a folder is in its place.
    """

    file: str
    reason: str
    lasting: bool = False


def missing_packages() -> tuple[str, ...]:
    """Those of `PACKAGES` that are not installed; nothing is imported."""
    return tuple(name for name in PACKAGES if not _is_installed(name))


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:  # of a finder that does not let it through
        return False


def find_folder(settings: ModelScopeSettings) -> Path | None:
    """The folder with the model's files, looked for on this machine alone.

    The configured one; else that of ModelScope's cache which has the most of the files; None
    where there is none.
    """
    if settings.folder is not None:
        folder = settings.folder.expanduser().absolute()
        return folder if folder.is_dir() else None
    found = None
    fewest = len(WEIGHT_FILES)
    for folder in _cache_folders(settings):
        missing = len(missing_files(folder))
        if missing < fewest:
            found, fewest = folder, missing
    return found


def _cache_folders(settings: ModelScopeSettings) -> Iterator[Path]:
    """Where ModelScope's client keeps a model: since version 1.38 first, then the older ways.

    Source: modelscope_hub/_download.py (`_repo_cache_dir_path`, `_find_legacy_repo_dir`) and
    modelscope/hub/utils/utils.py (`find_reusable_legacy_repo_dir`) of modelscope 1.40.
    """
    cache = cache_folder()
    owner, name = settings.model.split("/")
    yield cache / "models" / f"{owner}--{name}" / "snapshots" / settings.revision
    safe = name.replace(".", "___")
    yield cache / "models" / owner / safe
    yield cache / "hub" / "models" / owner / safe
    for base in (cache, cache / "hub"):
        for part in dict.fromkeys((name, safe)):
            yield base / owner / part


def cache_folder() -> Path:
    """Where ModelScope's client keeps models: MODELSCOPE_CACHE, else ~/.cache/modelscope."""
    configured = os.environ.get("MODELSCOPE_CACHE")
    folder = Path(configured) if configured else Path.home() / ".cache" / "modelscope"
    return folder.expanduser().absolute()


def missing_files(folder: Path) -> tuple[str, ...]:
    """The names of `WEIGHT_FILES` that are not in ``folder``, or empty there."""
    return tuple(file.name for file in WEIGHT_FILES if _size(folder / file.name) == 0)


def require_folder(settings: ModelScopeSettings) -> Path:
    """The folder with all files.

    Raises:
        ModelMissingError: Some are missing; each is named, and the command that gets them.
    """
    folder = find_folder(settings)
    if folder is None:
        where = settings.folder or cache_folder()
        raise ModelMissingError(
            f"the files of {settings.model} are not in {where}; run {COMMAND} to get them, or "
            "name a folder that has them with modelscope.folder in config.yaml"
        )
    missing = missing_files(folder)
    if missing:
        raise ModelMissingError(
            f"{folder} lacks {', '.join(missing)}; run {COMMAND} to get what is missing"
        )
    return folder


def verify(folder: Path, deep: bool = False) -> tuple[Flaw, ...]:
    """What is missing or wrong in a folder; empty if nothing is.

    Args:
        deep: Also build the networks, if no file is missing or broken: some seconds, 2 GB.

    Raises:
        EngineUnavailableError: ``deep``, and torch or modelscope are not installed.
    """
    flaws = []
    for file in WEIGHT_FILES:
        path = folder / file.name
        try:
            reason = broken(path, file.kind)
        except OSError as error:
            told = f"cannot be read: {error.strerror or error}"
            flaws.append(Flaw(file.name, told, lasting=True))
            continue
        if reason:
            flaws.append(Flaw(file.name, reason, lasting=path.is_dir()))
    if flaws or not deep:
        return tuple(flaws)
    require_packages()
    try:
        from fusion.engines.unet.nets.networks import Networks
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise unusable_packages(error) from error
    try:
        Networks.load(folder).close()
    except ModelMissingError as error:
        named = (file.name for file in WEIGHT_FILES if file.name in error.message)
        return (Flaw(next(named, str(folder)), f"does not fit: {error.message}"),)
    return ()


def require_packages(command: str = INSTALL) -> None:
    """Check that the networks can be imported.

    Args:
        command: What a person runs to install what is missing.

    Raises:
        EngineUnavailableError: Packages are missing; each is named, and the command that gets them.
    """
    missing = missing_packages()
    if missing:
        raise EngineUnavailableError(
            f"engine modelscope needs {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed; {command} installs "
            "everything (several GB)"
        )


def unusable_packages(error: BaseException) -> EngineUnavailableError:
    """The error about packages that are installed but cannot be loaded.

    Args:
        error: What importing them raised: an ImportError, or of releases that do not fit each
            other or libraries that are missing, whatever torch happens to raise.
    """
    told = next(iter(str(error).splitlines()), type(error).__name__)
    return EngineUnavailableError(
        f"engine modelscope cannot load torch, torchvision or modelscope ({told}); {INSTALL} "
        "installs them anew, or use engine mesh"
    )


def download(settings: ModelScopeSettings, say: Callable[[str], None]) -> Path:
    """Bring the model's files to this machine; answers their folder.

    Files that are whole already are not fetched again: with all of them there, nothing is asked
    of the network. What an interrupted download has brought is kept and gone on from.

    Args:
        say: Gets a sentence for a person about each step.

    Raises:
        EngineUnavailableError: torch or modelscope are not installed.
        ModelMissingError: The hub cannot be reached, does not have the model or a file, or what
            came is not whole; the message says what to do.
        DiskFullError: There is no room.
    """
    folder = find_folder(settings)
    flaws = () if folder is None else verify(folder)
    if folder is not None and not flaws:
        say(f"all {len(WEIGHT_FILES)} files are in {folder}; nothing was downloaded")
        return folder
    require_packages(_INSTALL_AND_GET)
    for flaw in flaws:
        say(f"{flaw.file} {flaw.reason}")
        if flaw.lasting:
            raise ModelMissingError(
                f"{folder}: {flaw.file} {flaw.reason}; a download cannot mend that: see to the "
                "file, or name another folder with modelscope.folder in config.yaml"
            )
    flawed = [] if folder is None else [folder / flaw.file for flaw in flaws]
    with _set_aside(flawed):
        say(f"downloading {settings.model}, revision {settings.revision}")
        folder = _fetch(settings)
        flaws = verify(folder)
    if flaws:
        told = "; ".join(f"{flaw.file} {flaw.reason}" for flaw in flaws)
        raise ModelMissingError(
            f"after the download of {settings.model}, revision {settings.revision}, in {folder}: "
            f"{told}; check modelscope.model and modelscope.revision in config.yaml, and run "
            f"{COMMAND} again"
        )
    say(f"all {len(WEIGHT_FILES)} files are in {folder}")
    return folder


@contextlib.contextmanager
def _set_aside(flawed: Sequence[Path]) -> Iterator[None]:
    """Broken files renamed while new ones come; put back if none does.

    The client may take a broken file for whole where the hub lists no checksum.
    """
    kept = {path: path.with_name(f"{path.name}.broken") for path in flawed if path.is_file()}
    try:
        for path, aside in kept.items():
            path.replace(aside)
        yield
    except BaseException:  # raised again
        for path, aside in kept.items():
            if aside.exists() and not path.exists():
                aside.replace(path)
        raise
    finally:
        for path, aside in kept.items():
            if path.exists():
                aside.unlink(missing_ok=True)


def _fetch(settings: ModelScopeSettings) -> Path:
    """Let ModelScope's client bring the files, and translate its failures."""
    # Both libraries print to stdout, which belongs to the command's one line.
    with contextlib.redirect_stdout(sys.stderr):
        from modelscope.hub.snapshot_download import snapshot_download
        from modelscope_hub.errors import FileDownloadError, HubError
        from requests import RequestException

        try:
            return Path(
                snapshot_download(
                    settings.model,
                    revision=settings.revision,
                    local_dir=None if settings.folder is None else str(settings.folder),
                    allow_patterns=[file.name for file in WEIGHT_FILES],
                )
            )
        except FileDownloadError as error:
            failures = [*error.failed_files.items()]
            _raise_if_disk(*(failure for _, failure in failures))
            told = "; ".join(f"{name}: {_headline(failure)}" for name, failure in failures)
            raise _not_fetched(settings, told or _headline(error)) from error
        except (HubError, RequestException, OSError) as error:
            _raise_if_disk(error)
            raise _not_fetched(settings, _headline(error)) from error


def _headline(error: BaseException) -> str:
    """What happened, in a line: the client's own words for it go on about the request."""
    from requests import ConnectionError as Unreachable

    cause = error.__cause__ or error
    if isinstance(cause, Unreachable):
        return "the hub cannot be reached"
    return next(iter(str(cause).splitlines()), type(cause).__name__)


def _raise_if_disk(*errors: BaseException) -> None:
    for error in errors:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in _DISK_FULL:
                raise DiskFullError(
                    "the disk is full: the model's files take about 2 GB; make room there, or "
                    "name another folder with modelscope.folder in config.yaml, and run "
                    f"{COMMAND} again: what has come so far is kept"
                ) from error
            cause = cause.__cause__


def _not_fetched(settings: ModelScopeSettings, told: str) -> StudioError:
    return ModelMissingError(
        f"{settings.model}, revision {settings.revision}, could not be downloaded ({told}); "
        f"{_OFFLINE}"
    )


def _size(path: Path) -> int:
    """Bytes; 0 where there is no file."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
