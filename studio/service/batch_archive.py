"""The results of a batch in one ZIP file, written on disk piece by piece."""

from __future__ import annotations

import shutil
import time
import unicodedata
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from common.errors import DiskFullError
from studio.service.storage import storage_errors

_PIECE = 1 << 20
_SPARE = 100_000_000  # bytes of the disk that an archive leaves to everything else
_READABLE = 0o644 << 16


class Names:
    """Names for files of one folder, none of them twice.

    Two names that differ in case, or in how an accent is written, are one file on many systems.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str) -> str:
        """``name``, or with a number before its suffix: ``a.jpg``, ``a-2.jpg``, ``a-3.jpg``."""
        stem, dot, suffix = name.rpartition(".")
        if not stem:
            stem, dot, suffix = name, "", ""
        number, free = 1, name
        while self._key(free) in self._taken:
            number += 1
            free = f"{stem}-{number}{dot}{suffix}"
        self._taken.add(self._key(free))
        return free

    @staticmethod
    def _key(name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold()


def write_archive(
    path: Path,
    files: Sequence[tuple[str, Path]],
    texts: Mapping[str, str],
    advance: Callable[[float], None],
) -> None:
    """Write a ZIP of files and texts to ``path``, complete or not at all.

    Pictures are compressed already, so they are stored as they are.

    Args:
        files: (name in the archive, file); names are unique.
        texts: Text files by their names in the archive; they come last.
        advance: Told the fraction that is done after each piece; may raise to give up.

    Raises:
        DiskFullError: There is no room for it.
        ResourceError: The storage cannot be written to or read for another reason.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        with storage_errors():
            total = sum(file.stat().st_size for _, file in files)
            if shutil.disk_usage(path.parent).free < total + _SPARE:
                raise DiskFullError(
                    f"there is no room for an archive of {total / 1e6:.0f} MB; download the "
                    "results one by one, or make room and run the batch again"
                )
            written = 0

            def count(length: int) -> None:
                nonlocal written
                written += length
                advance(written / max(1, total))

            with zipfile.ZipFile(
                partial, "w", zipfile.ZIP_STORED, strict_timestamps=False
            ) as zipped:
                for name, file in files:
                    _store(zipped, name, file, count)
                for name, text in texts.items():
                    zipped.writestr(
                        _entry(zipfile.ZipInfo(name, time.localtime()[:6])), text.encode()
                    )
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _store(zipped: zipfile.ZipFile, name: str, file: Path, count: Callable[[int], None]) -> None:
    entry = _entry(zipfile.ZipInfo.from_file(file, name, strict_timestamps=False))
    with file.open("rb") as content, zipped.open(entry, "w") as stored:
        while piece := content.read(_PIECE):
            stored.write(piece)
            count(len(piece))


def _entry(entry: zipfile.ZipInfo) -> zipfile.ZipInfo:
    entry.external_attr = _READABLE
    return entry
