"""How much memory this process uses, and how it gives it back."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_OWN_MAPPING = 4 * 2**20


def return_large_blocks() -> None:
    """Make glibc give blocks above 4 MiB back to the system as soon as they are freed.

    By default the limit creeps up to 32 MiB, and decoded pictures of that size stay in the heap
    in pieces, so that a server grows with every request (docs/decisions.md has the figures).
    Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and sys.platform == "linux":
        mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING)


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
            return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
