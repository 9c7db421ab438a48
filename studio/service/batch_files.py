"""The files of a batch: what each is made of, and how far it is."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.errors import StudioError
from common.types import Size
from studio.service.batch_report import ReportLine
from studio.service.jobs import JobStatus

_LOOKING = (0.0, 0.15)
# Usual shares of a file's time, by stage: where each begins and ends.
_FUSING = {
    "read": (0.15, 0.2),
    "detect": (0.2, 0.35),
    "prepare": (0.35, 0.6),
    "render": (0.6, 0.85),
    "write": (0.85, 1.0),
}


class FileState(enum.Enum):
    """Where a file of a batch is; the last three are final.

    SKIPPED: the batch ended before the file was done.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        return self in (FileState.DONE, FileState.FAILED, FileState.SKIPPED)


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One fusion of a batch.

    sources: at least one; several are views of one person. name: what the person calls the target,
    perhaps with the folders that it came in; the result's name is made of it. source: likewise for
    the sources.
    """

    target: Path
    sources: tuple[Path, ...]
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One look at a file of a batch.

    fraction: of the whole file, 0-1. output: the result's name in the archive. result: the file;
    preview, thumbnail: small pictures of it, if they could be made. seconds: of the fusion alone.
    problem: why it failed, in the person's names.
    """

    state: FileState = FileState.WAITING
    stage: str = ""
    fraction: float = 0.0
    output: str = ""
    result: Path | None = None
    preview: Path | None = None
    thumbnail: Path | None = None
    size: Size | None = None
    bytes: int | None = None
    engine: str | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    problem: StudioError | None = None


class Board:
    """The status of every file of a batch; thread-safe.

    Attributes:
        revision: Grows with every change.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._files = [FileStatus() for _ in range(count)]
        self._changed = [0] * count
        self._begun = 0.0
        self._taken: list[float] = []
        self.revision = 0

    def files(self) -> tuple[FileStatus, ...]:
        """Every file as it is now."""
        with self._lock:
            return tuple(self._files)

    def changed_since(self, seen: int) -> tuple[int, dict[int, FileStatus]]:
        """The revision as it is now, and the files that changed after revision ``seen``."""
        with self._lock:
            changed = {
                index: self._files[index]
                for index, revision in enumerate(self._changed)
                if revision > seen
            }
            return self.revision, changed

    def touch(self) -> None:
        """Something else about the batch has changed."""
        with self._lock:
            self.revision += 1

    def begin(self) -> None:
        """A file's turn has come; its time runs."""
        with self._lock:
            self._begun = time.monotonic()

    def update(self, index: int, **values: Any) -> None:
        """Change a file; a final state ends its time."""
        with self._lock:
            self._set(index, replace(self._files[index], **values))
            if self._files[index].state in (FileState.DONE, FileState.FAILED):
                self._taken.append(time.monotonic() - self._begun)

    def skip_rest(self) -> None:
        """The batch ends here: what is not done is skipped."""
        with self._lock:
            for index, file in enumerate(self._files):
                if not file.state.is_final:
                    self._set(index, FileStatus(FileState.SKIPPED))

    def remaining_s(self) -> float | None:
        """Seconds until all files are done, by the mean of those that are; None before the first.

        Waiting for others counts: it is part of what the files so far have taken.
        """
        with self._lock:
            left = sum(not file.state.is_final for file in self._files)
            if not self._taken:
                return None
            mean = sum(self._taken) / len(self._taken)
            return max(0.0, mean * left - min(mean, time.monotonic() - self._begun)) if left else 0

    def _set(self, index: int, status: FileStatus) -> None:
        if status != self._files[index]:
            self.revision += 1
            self._files[index] = status
            self._changed[index] = self.revision


def count_states(files: Sequence[FileStatus]) -> dict[str, int]:
    """How many files are in each state, by its name."""
    return {state.value: sum(file.state is state for file in files) for state in FileState}


def looked_so_far(status: JobStatus) -> float:
    """How far a file is while its target is looked at, 0-1."""
    begin, end = _LOOKING
    share = 0.5 * status.fraction + (0.5 if status.stage == "detect" else 0.0)
    return begin + (end - begin) * share


def fused_so_far(status: JobStatus) -> float:
    """Likewise while it is fused."""
    begin, end = _FUSING.get(status.stage, (0.0, 0.0))
    return begin + (end - begin) * status.fraction


def report_line(item: BatchItem, file: FileStatus) -> ReportLine:
    """What the report says of a file."""
    return ReportLine(
        target=item.name,
        source=item.source,
        output=file.output,
        state=file.state.value,
        width=None if file.size is None else file.size.width,
        height=None if file.size is None else file.size.height,
        bytes=file.bytes,
        engine=file.engine,
        seconds=None if file.seconds is None else round(file.seconds, 3),
        warnings=file.warnings,
        error=None if file.problem is None else file.problem.code,
        message=None if file.problem is None else file.problem.message,
    )
