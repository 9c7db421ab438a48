"""Writing pictures: formats out, patches into the stream, complete files only."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import DiskFullError, OutputError, StudioError, UnsupportedFormatError
from common.progress import Progress
from common.types import PixelArray, Region, Size
from preprocess.image_pipeline import flatten, to_8_bits
from preprocess.image_source import DISK_FULL, vips

if TYPE_CHECKING:
    import pyvips

_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_NAMES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP"}
_LONGEST_SIDE = {"jpeg": 65_535, "webp": 16_383}

# Measured on photographs of 1.4 and 14 megapixels: about half the time and half the bytes of
# libvips' defaults (level 6 without a filter); slower levels save a twentieth more.
_PNG_COMPRESSION, _PNG_FILTER = 3, "up"

# Half the time of libvips' default effort for the same number of bytes.
_WEBP_EFFORT = 2
_POLL_S = 0.05
_PROBE_BYTES = 2**20
_PERMISSIONS = 0o777  # without the bits that run a file as somebody else
_LUMA = (19_595, 38_470, 7_471)  # Rec. 601, in 65536ths: they sum to exactly 1


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Pixels that replace a rectangle of the written picture.

    region: where, in coordinates of the upright output; inside it.
    pixels: H x W x 3, the numbers and depth (uint8 or uint16) that `ImageFile.read` gives.
    """

    region: Region
    pixels: PixelArray

    def __post_init__(self) -> None:
        expected = (self.region.height, self.region.width, 3)
        if self.pixels.shape != expected:
            raise ValueError(f"a patch of {self.region} needs pixels {expected}")


def output_format(path: Path) -> str:
    """The format that a file name asks for: 'png', 'jpeg' or 'webp'.

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
        UnsupportedFormatError: The suffix is not one that can be written.
        OutputError: The folder is missing or not writable, ``path`` is a folder, a read-only
            file, or no regular file, or its format cannot hold ``size``.
        DiskFullError: There is no room even for an empty file.
    """
    output_format(path)
    if size is not None:
        check_size(path, size)
    _create_beside(_final_place(path), path).unlink(missing_ok=True)


def check_size(path: Path, size: Size) -> None:
    """Refuse sizes that the output's format cannot hold.

    Raises:
        OutputError: A side is too long; the message names the limit.
    """
    kind = output_format(path)
    limit = _LONGEST_SIDE.get(kind)
    if limit is not None and size.longer > limit:
        raise OutputError(
            f"the output {path} would have {size} pixels, but {_NAMES[kind]} holds at most {limit} "
            "on a side; write PNG or choose a smaller resolution"
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
    partial = _create_beside(place, output)
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
        partial.unlink(missing_ok=True)


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


def insert(image: pyvips.Image, patches: Sequence[Patch]) -> pyvips.Image:
    """Lay patches over an upright picture of 1-4 bands; its alpha stays.

    On a grey picture a patch becomes its luma, which leaves R = G = B exactly as it is.
    """
    if not patches:
        return image
    alpha = None
    if image.hasalpha():
        # Both halves come from one computation of the rows.
        image = image.linecache(tile_height=16, access="sequential", threaded=True)
        alpha = image.extract_band(image.bands - 1)
        image = image.extract_band(0, n=image.bands - 1)
    depth = np.dtype(np.uint16 if image.format == "ushort" else np.uint8)
    for patch in patches:
        if patch.pixels.dtype != depth:
            raise ValueError(f"a patch of {patch.pixels.dtype} does not fit a {depth} picture")
        if patch.region.clip(Size(image.width, image.height)) != patch.region:
            raise ValueError(f"{patch.region} lies outside {image.width}x{image.height}")
        pixels = patch.pixels if image.bands == 3 else _luma(patch.pixels)
        sub = vips().Image.new_from_array(np.ascontiguousarray(pixels))
        image = image.insert(
            sub.copy(interpretation=image.interpretation), patch.region.x, patch.region.y
        )
    return image if alpha is None else image.bandjoin(alpha)


def fit_format(image: pyvips.Image, kind: str) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Give up what ``kind`` cannot hold; answers the picture and a sentence for each loss."""
    lost = []
    if kind == "jpeg" and image.hasalpha():
        image = flatten(image, 255)
        lost.append("JPEG holds no transparency: the picture was laid on white")
    if kind != "png" and image.format == "ushort":
        image = to_8_bits(image)
        lost.append(f"{_NAMES[kind]} holds 8 bits per channel: the target's 16 were reduced")
    return image, tuple(lost)


def encode(image: pyvips.Image, kind: str, file: Path, quality: int) -> None:
    """Write ``image``, which must already fit the format, with all its metadata.

    Raises:
        pyvips.Error: Reading or writing failed, or the picture was killed.
    """
    name = os.fsencode(file)
    if kind == "jpeg":
        # Optimised or progressive coding would hold all coefficients of the picture.
        image.jpegsave(name, Q=quality)
    elif kind == "webp":
        image.webpsave(name, Q=quality, effort=_WEBP_EFFORT)
    else:
        # Said outright: a palette or 1-bit target must not squeeze the result into its own.
        depth = 16 if image.format == "ushort" else 8
        image.pngsave(
            name, compression=_PNG_COMPRESSION, filter=_PNG_FILTER, palette=False, bitdepth=depth
        )


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


def _create_beside(place: Path, output: Path) -> Path:
    partial = place.with_name(f".part-{secrets.token_hex(8)}{place.suffix}")
    # Not tempfile: its files are private, and a new result should follow the umask. One that
    # will replace a file, which may be private, is so until it takes over the file's mode.
    mode = 0o600 if place.exists() else 0o666
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except OSError as error:
        raise _write_error(error, output) from error
    return partial


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


def _luma(pixels: PixelArray) -> PixelArray:
    """H x W of the same depth."""
    wide = pixels.astype(np.uint32)
    red, green, blue = _LUMA
    luma = red * wide[..., 0] + green * wide[..., 1] + blue * wide[..., 2] + 32_768
    return (luma >> 16).astype(pixels.dtype)
