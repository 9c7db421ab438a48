"""libvips, started on first use, and its failures in the words of `common.errors`."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from common.errors import DiskFullError, MemoryLimitError, UnreadableImageError
from preprocess.image_format import ACCEPTED

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system says when no more fits on a disk, in a quota or in a file."""

_MOST_THREADS = 8

# libvips and the decoders below it tell what went wrong in words alone, "domain: words" a line.
_OUT_OF_MEMORY = re.compile(
    ": (?:out of memory|insufficient memory|unable to allocate|failed to allocate"
    f"|error creating thread|{re.escape(os.strerror(errno.ENOMEM))})",
    re.IGNORECASE,
)
_OUT_OF_DISK = re.compile(
    f": (?:{'|'.join(re.escape(os.strerror(code)) for code in DISK_FULL)})", re.IGNORECASE
)

# A computation that found less than this had too little.
_NO_MEMORY = 64 * 2**20
_NO_DISK = 2**20


@cache
def vips() -> Any:
    """The pyvips module, started on first use so that commands without pictures start fast."""
    # Each thread holds its own tiles, so that memory grows with the cores of a large server.
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    os.environ.setdefault("VIPS_CONCURRENCY", str(threads))
    import pyvips

    # The operation cache would keep pictures open and give an old one back for a file that
    # was replaced under the same name.
    pyvips.cache_set_max(0)
    return pyvips


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate libvips' failures inside the block.

    Raises:
        UnreadableImageError: libvips could not read ``path``.
        MemoryLimitError: Memory ran out meanwhile.
        DiskFullError: The temporary folder is full.
    """
    try:
        yield
    except vips().Error as error:
        raise_if_short(error, path)
        if _without_words(error):
            raise UnreadableImageError(
                f"{path} could not be read: it is damaged or incomplete, or memory or disk space "
                f"ran out; use a complete {ACCEPTED} file, or try again"
            ) from error
        raise damaged(path) from error


def damaged(path: Path) -> UnreadableImageError:
    """The error for a file that is not a complete picture."""
    return UnreadableImageError(f"{path} is damaged or incomplete; use a complete {ACCEPTED} file")


def raise_if_short(error: Exception, path: Path) -> None:
    """Tell a machine without room from a damaged picture, by the words of libvips' failure.

    It has one buffer of words for all threads, which pyvips empties even at ``image.crop``, so
    that another thread may have taken them. Then only what there is of room now can tell.

    Raises:
        MemoryLimitError: Memory (or threads, which need it) ran out over ``path``.
        DiskFullError: The folder of temporary files is full.
    """
    words = str(error)
    silent = _without_words(error)
    if _OUT_OF_MEMORY.search(words) or (silent and _memory_is_short()):
        raise MemoryLimitError(
            f"the memory was not enough for {path}; free some, or use a smaller picture"
        ) from error
    if _OUT_OF_DISK.search(words) or (silent and _disk_is_full()):
        raise temporary_folder_full(path) from error


def _without_words(error: Exception) -> bool:
    """Whether a failure of libvips came without its reason; our own are in the message."""
    if not isinstance(error, vips().Error):
        return False
    return not error.detail.strip() and error.message.startswith("unable to ")


def _memory_is_short() -> bool:
    import psutil

    available: int = psutil.virtual_memory().available
    return available < _NO_MEMORY


def _disk_is_full() -> bool:
    try:
        return shutil.disk_usage(tempfile.gettempdir()).free < _NO_DISK
    except OSError:
        return False  # there is no such folder: that was not the reason


def temporary_folder_full(path: Path) -> DiskFullError:
    """The error for a picture whose temporary file found no room."""
    return DiskFullError(
        f"the disk is full: no room in {tempfile.gettempdir()} for a temporary file of {path}; "
        "make room or set TMPDIR to another folder"
    )


def return_free_blocks() -> None:
    """Give the system what glibc keeps of freed blocks; other C libraries are left alone.

    The rows that libvips holds of a wide picture are smaller than blocks of their own, and stay
    with the process when a decoder is done with them. Takes a few milliseconds.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
