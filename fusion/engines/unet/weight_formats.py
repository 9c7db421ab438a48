"""What is wrong with a file of weights, judged by its format alone."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path


def broken(path: Path, kind: str) -> str:
    """Such as 'is cut off'; "" for nothing.

    Args:
        kind: torch, mat or jpeg.

    Raises:
        OSError: The file cannot be read.
    """
    if path.is_dir():
        return "is a folder"
    if not path.is_file():
        return "is missing"
    with path.open("rb") as file:  # the checks take a refusal for damage
        if not file.read(1):
            return "is empty"
    return _CHECKS[kind](path)


def _broken_torch(path: Path) -> str:
    """A zip archive since torch 1.6; before that pickles, which begin with a magic number.

    Source: torch/serialization.py (`MAGIC_NUMBER`).
    """
    legacy = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    with path.open("rb") as file:
        head = file.read(len(legacy))
    if head == legacy:
        return ""
    if not head.startswith(b"PK"):
        return "is not a file that torch has written"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            names = archive.namelist()
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        return "is cut off or damaged"
    if damaged is not None:
        return f"is damaged at {damaged}"
    if not any(name.endswith("/data.pkl") for name in names):
        return "is an archive, but none that torch has written"
    return ""


def _broken_mat(path: Path) -> str:
    """A header of 128 bytes, then elements that begin with their type and length.

    Source: MAT-File Format (MathWorks), "Level 5 MAT-File Format".
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(128)
        if not head.startswith(b"MATLAB 5.0 MAT-file") or head[126:128] not in (b"IM", b"MI"):
            return "is not a MATLAB 5 file"
        length = struct.Struct("<I" if head[126:128] == b"IM" else ">I")
        at = 128
        while at < size:
            file.seek(at + length.size)
            tag = file.read(length.size)
            if len(tag) < length.size:
                return "is cut off"
            at += 2 * length.size + length.unpack(tag)[0]
    return "" if at == size > 128 else "is cut off"


def _broken_jpeg(path: Path) -> str:
    from PIL import Image

    try:
        with Image.open(path, formats=("JPEG",)) as picture:
            picture.load()
    except (OSError, SyntaxError) as error:
        return f"is not a whole JPEG ({error})"
    return ""


_CHECKS: dict[str, Callable[[Path], str]] = {
    "torch": _broken_torch,
    "mat": _broken_mat,
    "jpeg": _broken_jpeg,
}
