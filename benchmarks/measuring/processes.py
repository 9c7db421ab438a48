"""Programs as a person starts them: how long they take and how much memory they hold."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

_SAMPLE_S = 0.01
_SAMPLES_PER_SEARCH = 10  # looking for child processes reads the list of all there are
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Run:
    """One program, from its start to its end.

    wall: seconds. peak_mb: the largest sum of the resident sizes of it and its child processes
    at one moment, MiB; pages that they share count for each of them. out: what it printed.
    """

    wall: float
    peak_mb: float
    out: str


def run(command: Sequence[str], cwd: Path) -> Run:
    """Run a program to its end and watch its memory meanwhile.

    Raises:
        SystemExit: It failed.
    """
    begun = perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = _Watch(process.pid)
    out, problems = process.communicate()
    wall = perf_counter() - begun
    peak_mb = watch.end()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {problems}")
    return Run(wall, peak_mb, out)


class _Watch:
    """Samples the resident sizes of a process and its children from a thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        # Once at once: on a busy machine a short program may be over before the thread looks.
        self._peak = sum(map(_resident, _family(pid)))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """Stop; answers the largest sum, MiB."""
        self._ended.set()
        self._thread.join()
        return self._peak / _MEBIBYTE

    def _sample(self) -> None:
        members: list[psutil.Process] = []
        samples = 0
        while not self._ended.is_set():
            if samples % _SAMPLES_PER_SEARCH == 0:
                members = _family(self._pid)
            self._peak = max(self._peak, sum(map(_resident, members)))
            samples += 1
            self._ended.wait(_SAMPLE_S)


def _family(pid: int) -> list[psutil.Process]:
    """The process and all below it; none when it has ended."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
