"""Past runs of this machine on disk, for `studio.service.cost_model`; several processes may write.

One JSON file of at most `MOST_RUNS` runs. It holds amounts and seconds, no names of files. A file
that is damaged, or of another version, counts as none and is written anew.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

from preprocess.face_models import model_directory
from studio.service.cost_model import TERMS, Run
from studio.service.workload import STAGES

LOG = logging.getLogger(__name__)
MOST_RUNS = 200
_VERSION = 1
_LARGEST_FILE = 4_000_000


def timings_file() -> Path | None:
    """The file in the user's cache folder; None if the user has none."""
    try:
        return model_directory(None).parent / "timings.json"
    except RuntimeError:  # no home folder
        return None


class Timings:
    """The runs that are known; not safe for threads.

    Args:
        file: None keeps them in memory.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._runs: tuple[Run, ...] = ()
        self._writable = file is not None

    def runs(self) -> tuple[Run, ...]:
        """From the oldest to the newest, with those that other processes have written."""
        if self._file is not None and self._writable:
            stamp = _stamp(self._file)
            if stamp is not None and stamp != self._seen:
                self._seen, self._runs = stamp, _read(self._file)
        return self._runs

    def add(self, run: Run) -> None:
        """Remember a run; where the file cannot be written, in this process alone."""
        if self._file is not None and self._writable:
            try:
                with _locked(self._file):
                    self._runs = (*self.runs(), run)[-MOST_RUNS:]
                    _write(self._file, self._runs)
                    self._seen = _stamp(self._file)
                return
            except OSError as error:
                LOG.warning("timings are not kept: %s", error)
                self._writable = False
        self._runs = (*self._runs, run)[-MOST_RUNS:]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Alone among the processes that write; the kernel ends it with the process."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(file: Path) -> tuple[Run, ...]:
    try:
        if file.stat().st_size > _LARGEST_FILE:
            return ()
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        return ()
    if found.get("cores") != os.cpu_count():  # another machine's, such as in a moved home folder
        return ()
    listed = found.get("runs")
    runs = [_run(entry) for entry in listed] if isinstance(listed, list) else []
    return tuple(run for run in runs if run is not None)[-MOST_RUNS:]


def _run(entry: Any) -> Run | None:
    """A run of the file; None for anything else."""
    if not isinstance(entry, dict):
        return None
    work, seconds = entry.get("work"), entry.get("seconds")
    if not (isinstance(work, dict) and _are_numbers(seconds, STAGES)):
        return None
    if not all(stage in STAGES and _are_numbers(work[stage], TERMS) for stage in work):
        return None
    return Run(work, seconds)


def _are_numbers(
    values: Any, names: Mapping[str, float] | tuple[str, ...]
) -> TypeGuard[dict[str, float]]:
    return isinstance(values, dict) and all(
        name in names and isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
        for name, value in values.items()
    )


def _write(file: Path, runs: tuple[Run, ...]) -> None:
    listed = [{"work": _short(run.work), "seconds": _rounded(run.seconds)} for run in runs]
    told = {"version": _VERSION, "cores": os.cpu_count(), "runs": listed}
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".timings-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as partial:
            json.dump(told, partial, separators=(",", ":"))
        Path(name).replace(file)
    except BaseException:  # raised again: no half file stays
        Path(name).unlink(missing_ok=True)
        raise


def _short(work: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {stage: _rounded(amounts) for stage, amounts in work.items() if amounts}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in values.items()}
