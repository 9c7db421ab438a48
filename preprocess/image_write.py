"""Writing pictures: formats out, patches into the stream, complete files only."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DiskFullError, OutputError, StudioError, UnsupportedFormatError
from common.progress import Progress
from common.types import Size
from preprocess.encoders import Encoding, encode, encoder_memory, encoding_like, fit_format
from preprocess.image_format import NAMES
from preprocess.libvips import DISK_FULL

if TYPE_CHECKING:
    import pyvips

__all__ = [
    "Encoding",
    "check_output",
    "check_size",
    "encode",
    "encoder_memory",
    "encoding_like",
    "filling",
    "fit_format",
    "output_format",
    "raise_if_full",
    "replacing",
    "run_with_progress",
]

_FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".avif": "avif",
    ".heic": "heic",
}
# Of the encoders: JPEG_MAX_DIMENSION of libjpeg, WEBP_MAX_DIMENSION, and libvips' for AVIF.
_LONGEST_SIDE = {"jpeg": 65_500, "webp": 16_383, "avif": 16_384}

# What an encoder may hold of a picture that it takes whole.
_ENCODER_MEMORY = 2 * 2**30

_POLL_S = 0.05
_PROBE_BYTES = 2**20
_PARTIAL = re.compile(r"\.part-[0-9a-f]{16}\.\w+")
_LEFT_AFTER_S = 60
_PERMISSIONS = 0o777  # without the bits that run a file as somebody else


def output_format(path: Path) -> str:
    """The format that a file name asks for: 'png', 'jpeg', 'webp', 'tiff', 'avif' or 'heic'.

    Raises:
        UnsupportedFormatError: Another suffix, or none.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UnsupportedFormatError(
            f"the output {path} has no known format; its name must end in one of: "
            + ", ".join(_FORMATS)
        )
    return kind


def check_output(path: Path, size: Size | None = None) -> None:
    """Find out before any work whether ``path`` can be written; leaves nothing behind.

    Args:
        path: The output.
        size: Its size, if that is known already.

    Raises:
        UnsupportedFormatError: The suffix is not one that can be written, here or at all.
        OutputError: The folder is missing or not writable, ``path`` is a folder, a read-only
            file, or no regular file, or its format cannot hold ``size``.
        DiskFullError: There is no room even for an empty file.
    """
    if output_format(path) == "heic":
        from preprocess.heif import require_encoder

        require_encoder()
    if size is not None:
        check_size(path, size)
    partial, lock = _create_beside(_final_place(path), path)
    os.close(lock)
    partial.unlink(missing_ok=True)


def check_size(path: Path, size: Size, depth: int = 8, has_alpha: bool = False) -> None:
    """Refuse sizes that the output's format cannot hold, or its encoder not within 2 GiB.

    Args:
        path: The output.
        size: Its size.
        depth: Bits per channel of the target, 8 or 16.
        has_alpha: Whether it has an alpha channel.

    Raises:
        OutputError: A side is too long, or the picture too large; the message names the limit.
    """
    kind = output_format(path)
    limit = _LONGEST_SIDE.get(kind)
    if limit is not None and size.longer > limit:
        raise OutputError(
            f"the output {path} would have {size} pixels, but {NAMES[kind]} holds at most {limit} "
            "on a side; write PNG or choose a smaller resolution"
        )
    needed = encoder_memory(kind, size, depth, has_alpha)
    if needed > _ENCODER_MEMORY:
        most = size.pixels * _ENCODER_MEMORY / needed / 1e6
        raise OutputError(
            f"the output {path} would have {size} pixels ({size.pixels / 1e6:.0f} megapixels), but "
            f"the encoder of {NAMES[kind]} takes such pictures whole, at most {most:.0f} "
            "megapixels; write JPEG, PNG or TIFF, or choose a smaller resolution"
        )


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """A new hidden file beside ``output`` that takes its place when the block ends well.

    It also takes the permissions of the file that it replaces.

    Raises:
        OutputError: The file cannot be made or put in place.
        DiskFullError: The disk is full.
    """
    place = _final_place(output)
    partial, lock = _create_beside(place, output)
    try:
        yield partial
        try:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            _keep_mode(place, partial)
            partial.replace(place)
        except OSError as error:
            raise _write_error(error, output) from error
    finally:
        os.close(lock)
        partial.unlink(missing_ok=True)


@contextmanager
def filling(output: Path) -> Iterator[None]:
    """Translate what the operating system says while a file is written that becomes ``output``.

    Raises:
        OutputError: The file cannot be written.
        DiskFullError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        raise _write_error(error, output) from error


def raise_if_full(partial: Path, output: Path) -> None:
    """After a failed write: find out by a trial whether the disk had room.

    Raises:
        DiskFullError: One more mebibyte does not fit behind ``partial``.
    """
    try:
        with partial.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _write_error(error, output) from error


def run_with_progress(image: pyvips.Image, work: Callable[[], Any], progress: Progress) -> Any:
    """Run ``work``, which computes ``image``, in a thread; report and check from this one.

    Listeners are called in the caller's thread, and an interrupt from the keyboard ends the
    work as a cancelled request does.

    Raises:
        StoppedError: The work was cancelled or ran out of time; it has ended.
    """
    done = 0.0

    def note(_: Any, state: Any) -> None:
        nonlocal done
        done = state.percent / 100

    image.set_progress(True)
    image.signal_connect("eval", note)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            while not wait([future], _POLL_S).done:
                progress.advance(done)
        except BaseException:  # Ctrl-C too: the encoder must end before the pool is left
            image.set_kill(True)
            raise
    return future.result()


def _final_place(output: Path) -> Path:
    """Where the bytes go: a link is followed, so that it stays a link."""
    place = Path(os.path.realpath(output))
    try:
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return place  # making the file beside it says which of them matters
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise _write_error(error, output) from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"the output {output} is a folder; name a file")
    if not stat.S_ISREG(mode):
        raise OutputError(f"the output {output} is not a regular file; name another")
    if not os.access(place, os.W_OK):
        raise OutputError(f"the output {output} is write-protected; name another")
    return place


def _keep_mode(old: Path, new: Path) -> None:
    """Give ``new`` the permissions of ``old``, if there is such a file."""
    try:
        mode = old.stat().st_mode & _PERMISSIONS
    except FileNotFoundError:
        return
    # Some file systems have one mode for all files and refuse to hear of it.
    if new.stat().st_mode & _PERMISSIONS != mode:
        new.chmod(mode)


def _create_beside(place: Path, output: Path) -> tuple[Path, int]:
    """A new file beside ``place`` and a descriptor that keeps it locked until it is closed."""
    _sweep(place.parent)
    partial = place.with_name(f".part-{secrets.token_hex(8)}{place.suffix}")
    # Not tempfile: its files are private, and a new result should follow the umask. One that
    # will replace a file, which may be private, is so until it takes over the file's mode.
    mode = 0o600 if place.exists() else 0o666
    try:
        lock = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    except OSError as error:
        raise _write_error(error, output) from error
    with suppress(OSError):  # some network file systems have no locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    return partial, lock


def _sweep(folder: Path) -> None:
    """Delete what a killed program left of its outputs: old files that nobody keeps locked."""
    try:
        found = [path for path in folder.iterdir() if _PARTIAL.fullmatch(path.name)]
    except OSError:
        return  # making the new file says what is the matter with the folder
    for path in found:
        with suppress(OSError):
            _delete_if_left(path)


def _delete_if_left(partial: Path) -> None:
    if time.time() - partial.lstat().st_mtime < _LEFT_AFTER_S:
        return  # perhaps made a moment ago, and not yet locked
    descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial.unlink()
    finally:
        os.close(descriptor)


def _write_error(error: Exception, output: Path) -> StudioError:
    code = error.errno if isinstance(error, OSError) else None
    folder = output.parent
    if code in DISK_FULL:
        return DiskFullError(f"the disk is full: no room for {output}; make room in {folder}")
    if code in (errno.ENOENT, errno.ENOTDIR):
        return OutputError(f"the output {output} cannot be written: {folder} is not a folder")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"the output {output} cannot be written: {folder} is not writable")
    return OutputError(f"the output {output} cannot be written: {error}")
