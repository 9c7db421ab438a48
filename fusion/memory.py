"""How much memory there is, how much this process uses, and how it gives it back."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from common.settings import MAX_MEMORY_RANGE

_MIB = 2**20
_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_OWN_MAPPING = 4 * _MIB
_M_TRIM_THRESHOLD = -1
_HEAP_TOP = 64 * _MIB
_M_ARENA_MAX = -8
_ARENAS = 2
_SHARE_OF_FREE = 0.5


@dataclass(frozen=True, slots=True)
class Budget:
    """What one fusion may hold, all its processes together.

    total_mb: MiB, with what this process holds already.
    """

    total_mb: float

    @classmethod
    def of(cls, max_memory_mb: int | None) -> Budget:
        """The limit that was given, else what this process holds and half of what is free.

        The other half is for whatever else starts meanwhile. However little is free, the budget
        is never below the least that may be asked for, 300 MiB.
        """
        if max_memory_mb is not None:
            return cls(float(max_memory_mb))
        found = resident_mb() + _SHARE_OF_FREE * free_memory_mb()
        return cls(max(found, float(MAX_MEMORY_RANGE[0])))

    def spare_mb(self) -> float:
        """What may still be taken now, MiB; 0 when the budget is used up."""
        return max(0.0, self.total_mb - resident_mb())


def free_memory_mb(
    proc: Path = Path("/proc/self"), cgroups: Path = Path("/sys/fs/cgroup")
) -> float:
    """What this process may still take, MiB: the least of the machine's and its groups' rest.

    A container's or a service's limit (cgroup v1 or v2) is not in the machine's own figures.
    The file cache, which the kernel gives up first, counts as free in both.

    Args:
        proc: Where the process's ``cgroup`` file is.
        cgroups: Where the hierarchies of control groups are mounted.
    """
    available = psutil.virtual_memory().available / _MIB
    return min([available, *_rests_of_groups(proc, cgroups)])


def resident_mb() -> float:
    """What this process holds now, MiB."""
    held: int = psutil.Process().memory_info().rss
    return held / _MIB


def peak_rss_mb() -> float:
    """The largest resident size of this process so far, MiB.

    Linux: VmHWM, because ru_maxrss also remembers the program that started this one.
    """
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        status = b""
    for line in status.splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024 / _MIB
    return _largest_mb(resource.RUSAGE_SELF)


def return_large_blocks() -> None:
    """Make glibc give blocks above 4 MiB back to the system as soon as they are freed.

    By default the limit creeps up to 32 MiB, and decoded pictures of that size stay in the heap
    in pieces, so that a server grows with every request (docs/decisions.md has the figures). Each
    thread would also keep a heap of its own; two are enough for threads that compute.
    With that limit fixed glibc also gives back whatever is free at a heap's end above 128 KiB, and
    the next array takes it page by page again: a third of the time that a face is prepared in. So
    up to 64 MiB stay, until `preprocess.libvips.return_free_blocks`.
    Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and sys.platform == "linux":
        mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING)
        mallopt(_M_TRIM_THRESHOLD, _HEAP_TOP)
        mallopt(_M_ARENA_MAX, _ARENAS)


def _largest_mb(whose: int) -> float:
    peak = resource.getrusage(whose).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / _MIB


@dataclass(frozen=True, slots=True)
class _GroupFiles:
    """What a version of control groups calls its files, and a line of its ``memory.stat``."""

    limit: str
    used: str
    cache: bytes


_VERSION_1 = _GroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file")
_VERSION_2 = _GroupFiles("memory.max", "memory.current", b"inactive_file")


def _rests_of_groups(proc: Path, cgroups: Path) -> Iterator[float]:
    """What is left, MiB, of every limit on this process's groups and on those around them."""
    try:
        lines = (proc / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        # hierarchy:controllers:path; version 2 has one hierarchy and names no controllers.
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, files = (cgroups / "memory", _VERSION_1) if controllers else (cgroups, _VERSION_2)
        # In a container the path may be the host's; then only the root, its own group, exists.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            rest = _rest(root.joinpath(*parts[:depth]), files)
            if rest is not None:
                yield rest


def _rest(group: Path, files: _GroupFiles) -> float | None:
    """What is left of a group's limit, MiB; None without one."""
    try:
        limit = (group / files.limit).read_bytes().strip()
        if limit == b"max":
            return None
        used = int((group / files.used).read_bytes())
        statistics = (group / "memory.stat").read_bytes().splitlines()
    except OSError:
        return None
    cache = sum(int(line.split()[1]) for line in statistics if line.split()[0] == files.cache)
    return max(0.0, (int(limit) - used + cache) / _MIB)
