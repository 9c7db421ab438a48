"""The pictures of a ZIP archive that somebody uploaded, as flat files; nothing in it is believed.

Folders are dropped, so no name leads out of the folder that is written to; links, hidden files and
what is no picture by its content are never written.
"""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common.errors import DiskFullError, InputError
from common.progress import Progress
from preprocess.image_format import recognise
from studio.service.batch_archive import Names
from studio.service.storage import storage_errors

_HEAD_BYTES = 512
_PIECE = 1 << 20
_MOST_RATIO = 100  # photographs hardly shrink; a flat scan as raw TIFF does by 50
_MOST_DIRECTORY = 4 << 20  # bytes; it is read into memory whole, and is some 100 for each file
_KEPT_FREE = 1_000_000_000  # bytes of the disk that are left to everything else
_LONGEST_STEM = 60
_LONGEST_SHOWN = 200
_ENCRYPTED, _UTF8 = 0x1, 0x800  # bits of an entry's flags
_ARCHIVES = (b"PK\3\4", b"PK\5\6", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b\x08")
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError)


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """What an archive may hold.

    files: pictures. file_bytes: of each, unpacked.
    """

    files: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class UnpackedFile:
    """name: as it is called in the archive, with its folders. path: the file."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive held.

    left_out: a sentence for each file that was left out; hidden ones are not mentioned.
    """

    files: tuple[UnpackedFile, ...]
    left_out: tuple[str, ...]


class _LeftOutError(Exception):
    """A file is left out; the message says why."""


def unpack(archive: Path, folder: Path, limits: UnpackLimits, progress: Progress) -> Unpacked:
    """Write the pictures of ``archive`` into ``folder``, an empty one of our own.

    Raises:
        InputError: It is no ZIP archive, damaged or encrypted, holds no usable picture or too many,
            or is packed tighter than photographs can be.
        DiskFullError: There is no room for the pictures.
        StoppedError: ``progress`` ended the work. As with the others, what was written stays.
    """
    _check_directory(archive)
    with progress.stage("unpack"), _damage(archive), zipfile.ZipFile(archive) as zipped:
        pictures, left_out = _sort_out(archive, zipped, limits, progress)
        _check_whole(archive, pictures, folder, limits)
        names, files = Names(), []
        for number, entry in enumerate(pictures):
            progress.advance(number / len(pictures))
            name = _shown(entry)
            path = folder / names.take(_safe(name))
            try:
                _write(zipped, entry, path, progress)
            except _LeftOutError as reason:
                path.unlink(missing_ok=True)
                left_out.append(str(reason))
            else:
                files.append(UnpackedFile(name, path))
    if not files:
        if not left_out:
            raise InputError(f"{archive.name} holds no photograph; choose another archive")
        raise InputError(
            f"no photograph in {archive.name} can be used; choose another archive; {left_out[0]}"
        )
    return Unpacked(tuple(files), tuple(left_out))


def _check_directory(archive: Path) -> None:
    """Refuse an archive whose list of files alone would fill the memory.

    The record at the end that tells the list's size is of PKWARE's APPNOTE 4.3.16, and 4.3.14 for
    large archives.
    """
    with storage_errors(), archive.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - (1 << 16) - 100))
        end = file.read()
    usual = end.rfind(b"PK\5\6")
    if usual < 0:
        return  # no archive; opening it says so
    large = end.rfind(b"PK\6\6", 0, usual)
    is_large = large >= 0 and end.startswith(b"PK\6\7", max(0, usual - 20))
    try:
        if is_large:
            (size,) = struct.unpack_from("<Q", end, large + 40)
        else:
            (size,) = struct.unpack_from("<I", end, usual + 12)
    except struct.error:
        return  # cut off; opening it says so
    if min(size, length) > _MOST_DIRECTORY:
        raise InputError(
            f"{archive.name} holds too many files; use several archives of photographs alone"
        )


def _sort_out(
    archive: Path, zipped: zipfile.ZipFile, limits: UnpackLimits, progress: Progress
) -> tuple[list[zipfile.ZipInfo], list[str]]:
    """The entries that are pictures, and why others are left out."""
    pictures, left_out = [], []
    for entry in zipped.infolist():
        progress.check()
        if entry.is_dir() or _is_hidden(entry):
            continue
        if entry.flag_bits & _ENCRYPTED:
            raise InputError(
                f"{archive.name} is protected by a password; choose the photographs themselves"
            )
        try:
            _check_entry(zipped, entry, limits)
        except _LeftOutError as reason:
            left_out.append(str(reason))
        else:
            pictures.append(entry)
    return pictures, left_out


def _check_entry(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: UnpackLimits) -> None:
    """Leave out what is no picture of a size that is taken.

    Raises:
        _LeftOutError: It is none.
    """
    name, mode = _shown(entry), entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _LeftOutError(f"{name} is a link or a device and not a file; it was left out")
    with _entry_damage(name), zipped.open(entry) as content:
        head = content.read(_HEAD_BYTES)
    if head.startswith(_ARCHIVES):
        raise _LeftOutError(
            f"{name} is an archive inside the archive and was left out; upload it by itself"
        )
    try:
        recognise(Path(name), head)
    except InputError as error:
        raise _LeftOutError(error.message) from error
    if entry.file_size > limits.file_bytes:
        raise _LeftOutError(
            f"{name} is larger than the {limits.file_bytes / 1e6:.0f} MB that a file may have; it "
            "was left out"
        )


def _check_whole(
    archive: Path, pictures: list[zipfile.ZipInfo], folder: Path, limits: UnpackLimits
) -> None:
    """Refuse more than a batch takes, more than there is room for, and bombs."""
    if len(pictures) > limits.files:
        raise InputError(
            f"{archive.name} holds {len(pictures)} photographs, and a batch takes at most "
            f"{limits.files}; make several batches of it"
        )
    total = sum(entry.file_size for entry in pictures)
    with storage_errors():
        packed, free = archive.stat().st_size, shutil.disk_usage(folder).free
    # By the file as well: entries of a bomb may all stand on the same packed bytes.
    if total > _MOST_RATIO * min(packed, sum(entry.compress_size for entry in pictures)):
        raise InputError(
            f"{archive.name} would grow to {total / 1e6:.0f} MB, which no archive of photographs "
            "does; save them in a new one"
        )
    if free < total + _KEPT_FREE:
        raise DiskFullError(
            f"there is no room to unpack {archive.name}: its photographs are {total / 1e6:.0f} MB; "
            "make room, or choose fewer at once"
        )


def _write(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, progress: Progress) -> None:
    """Unpack one file; its checksum is compared at its end.

    zipfile reads no more of it than the size that it says it has.
    """
    with path.open("xb") as file:
        with _entry_damage(_shown(entry)), zipped.open(entry) as content:
            while piece := content.read(_PIECE):
                progress.check()
                with storage_errors():
                    file.write(piece)
        with storage_errors():
            file.flush()


@contextmanager
def _damage(archive: Path) -> Iterator[None]:
    """What zipfile says of a damaged archive as an error of ours."""
    try:
        yield
    except _BROKEN as error:
        raise InputError(
            f"{archive.name} is not a ZIP archive, or it is damaged; save the photographs in a new "
            "one"
        ) from error


@contextmanager
def _entry_damage(name: str) -> Iterator[None]:
    """Likewise of a file in it, which is left out then."""
    try:
        yield
    except (*_BROKEN, OSError) as error:
        raise _LeftOutError(f"{name} is damaged in the archive; it was left out") from error
    except NotImplementedError as error:  # a packing method that zipfile does not know
        raise _LeftOutError(
            f"{name} is packed in a way that is not known here; it was left out"
        ) from error


def _shown(entry: zipfile.ZipInfo) -> str:
    """An entry's name with its folders as people read it: no way up, nothing unprintable."""
    parts = PurePosixPath(_decoded(entry).replace("\\", "/")).parts
    kept = "/".join(part for part in parts if part not in ("/", ".", ".."))
    return "".join(sign for sign in kept if sign.isprintable())[-_LONGEST_SHOWN:] or "file"


def _decoded(entry: zipfile.ZipInfo) -> str:
    """The name; of an archive that does not say how it is written, as it most likely is.

    zipfile then reads it as IBM's code page 437, while Windows in China writes GBK and macOS UTF-8.
    """
    if entry.flag_bits & _UTF8 or entry.orig_filename.isascii():
        return entry.filename
    try:
        raw = entry.filename.encode("cp437")
    except UnicodeEncodeError:
        return entry.filename
    for encoding in ("utf-8", "gb18030"):
        try:
            name = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or re.fullmatch(
            r"[\x20-~\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]+", name
        ):
            return name
    return entry.filename


def _is_hidden(entry: zipfile.ZipInfo) -> bool:
    """What a system puts into archives besides what was packed."""
    parts = PurePosixPath(_decoded(entry).replace("\\", "/")).parts
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts
    ) or bool(parts and parts[-1].lower() in ("thumbs.db", "desktop.ini"))


def _safe(name: str) -> str:
    """A plain name for a file of our own."""
    path = PurePosixPath(name)
    stem = re.sub(r"[^\w.-]+", "-", path.stem).strip("-.")[:_LONGEST_STEM] or "photo"
    suffix = re.sub(r"[^\w.]", "", path.suffix)[:10]
    return f"{stem}{suffix}"
