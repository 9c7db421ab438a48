"""Where the page's uploads, previews and results live, and how they go away again.

One private folder per running server, inside a folder of our own that nobody else may
read. Names are random, so that a link cannot be guessed from another one; the page's
server (Gradio) may hand out whatever lies inside, and copies nothing that already does.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import DiskFullError, FileMissingError, ResourceError, SettingsError

LOG = logging.getLogger(__name__)
FOLDER_NAME = "face-fusion-studio"
PRIVATE = 0o700
LONGEST_STEM = 60
MOST_SWEEP_PAUSE_S = 3600.0
FULL = (errno.ENOSPC, errno.EDQUOT)


class Storage:
    """A private folder for one run of the server.

    Args:
        parent: Where the studio's folder is made; None for the system's temporary folder.
        keep_hours: Age at which a file is deleted, also one left by an earlier run.

    Raises:
        SettingsError: The folder cannot be made or belongs to somebody else.
    """

    def __init__(self, parent: Path | None, keep_hours: float) -> None:
        self._keep_s = keep_hours * 3600
        self._root = _own_folder(parent)
        self.directory = self._root / f"run-{secrets.token_hex(8)}"
        self.directory.mkdir(mode=PRIVATE)
        self._closed = threading.Event()
        self._sweeper: threading.Thread | None = None

    def new_file(self, name: str) -> Path:
        """A path for a file called ``name`` in a new folder that nobody can guess.

        Args:
            name: A plain file name, not a path.

        Raises:
            ValueError: ``name`` is not a plain file name.
            ResourceError: The folder cannot be made, above all for want of room.
        """
        if name in ("", ".", "..") or Path(name).name != name:
            raise ValueError(f"{name!r} is not a plain file name")
        folder = self.directory / secrets.token_urlsafe(24)
        with storage_errors():
            folder.mkdir(mode=PRIVATE)
        return folder / name

    def require(self, path: str | Path) -> Path:
        """The file at ``path`` if it lies in this storage, symbolic links resolved.

        A page may only name files that it was given or has uploaded.

        Raises:
            FileMissingError: It lies elsewhere, or has been deleted since.
        """
        missing = FileMissingError(
            f"the file {_printable(Path(path).name)} is not here any more; add it again, or make "
            "it anew"
        )
        try:
            resolved = Path(path).resolve()
            known = resolved.is_relative_to(self.directory.resolve()) and resolved.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # no name that a file could have
            raise missing from error
        if not known:
            raise missing
        return resolved

    def discard(self, path: Path) -> None:
        """Delete a file that `new_file` named or that was uploaded, with its folder.

        A file elsewhere is left alone; one that is gone already is fine.
        """
        if path.parent.parent == self.directory:
            shutil.rmtree(path.parent, ignore_errors=True)

    def sweep(self) -> int:
        """Delete what is older than the time to keep, of this and of earlier runs.

        Returns:
            The number of deleted files.
        """
        oldest = time.time() - self._keep_s
        deleted = 0
        for folder, names, files in os.walk(self._root, topdown=False):
            for name in files:
                deleted += _delete_if_older(Path(folder, name), oldest)
            for name in names:
                _remove_if_empty_and_older(Path(folder, name), oldest, keep=self.directory)
        if deleted:
            LOG.info("deleted %d files older than %g hours", deleted, self._keep_s / 3600)
        return deleted

    def start_sweeping(self) -> None:
        """Sweep now and then from a background thread until `close`."""
        pause = min(MOST_SWEEP_PAUSE_S, max(self._keep_s / 10, 1.0))

        def work() -> None:
            self.sweep()
            while not self._closed.wait(pause):
                self.sweep()

        self._sweeper = threading.Thread(target=work, name="storage-sweeper", daemon=True)
        self._sweeper.start()

    def close(self) -> None:
        """Stop sweeping and delete everything of this run."""
        self._closed.set()
        if self._sweeper is not None:
            self._sweeper.join(timeout=5.0)
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Translate failures of writing into the storage; no path is told, for visitors read it.

    Raises:
        DiskFullError: The disk is full.
        ResourceError: The storage cannot be written to for another reason.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(
                "the disk on which the studio keeps its files is full; make room or try again later"
            ) from error
        LOG.warning("cannot write to the storage: %s", error)
        raise ResourceError(
            "the studio cannot write to its storage folder; its log has the details"
        ) from error


def download_name(target: str, suffix: str) -> str:
    """The file name offered for a result: ``portrait.png``, ``.jpg`` -> ``portrait-fused.jpg``.

    Letters and digits of every script stay; what file systems or shells could stumble over
    becomes a hyphen. A path in ``target`` is dropped.
    """
    stem = Path(target.replace("\\", "/")).stem
    stem = re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:LONGEST_STEM].strip("-.")
    return f"{stem or 'photo'}-fused{suffix}"


def _own_folder(parent: Path | None) -> Path:
    """The studio's folder in ``parent``: made if absent, readable for this user alone.

    In a temporary folder that everybody shares, another user could have made it first.
    """
    if parent is None:
        folder = Path(tempfile.gettempdir()) / f"{FOLDER_NAME}-{_user_id()}"
    else:
        folder = _expanded(parent) / FOLDER_NAME
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user_id():
            raise SettingsError(
                f"storage.directory: {folder} belongs to another user; set another folder"
            )
        folder.chmod(PRIVATE)
    except OSError as error:
        raise SettingsError(
            f"storage.directory: cannot use {folder}: {error.strerror or error}"
        ) from error
    return folder.resolve()


def _expanded(path: Path) -> Path:
    """``path`` as a shell would understand it: ``~`` is the home folder."""
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:  # ~somebody, who is no user of this machine
        raise SettingsError(f"storage.directory: {path} names no home folder: {error}") from error


def _printable(name: str) -> str:
    """``name`` without what UTF-8 cannot express."""
    return name.encode("utf-8", "replace").decode("utf-8") or "the file"


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _delete_if_older(path: Path, oldest: float) -> int:
    try:
        if path.lstat().st_mtime >= oldest:
            return 0
        path.unlink()
    except FileNotFoundError:  # another run's sweep was faster
        return 0
    except OSError as error:
        LOG.warning("cannot delete %s: %s", path, error)
        return 0
    return 1


def _remove_if_empty_and_older(folder: Path, oldest: float, keep: Path) -> None:
    """An empty folder that is still young may be about to be written to."""
    try:
        if folder != keep and folder.lstat().st_mtime < oldest:
            folder.rmdir()
    except OSError:  # not empty, or gone: both are fine
        return
