"""Which format a file is in, by its content, and what only its own structure tells."""

from __future__ import annotations

import math
import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common.errors import FileMissingError, UnreadableImageError, UnsupportedFormatError
from preprocess import tiff

ACCEPTED = "JPEG, PNG, WebP, TIFF, AVIF, HEIC or GIF"
NAMES = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WebP",
    "tiff": "TIFF",
    "avif": "AVIF",
    "heic": "HEIC",
    "gif": "GIF",
}
"""How the formats, by libvips' or our own word, are written in sentences."""

TIFF_NUMBERS = "1, 8 or 16 bits per channel of whole numbers"

_HEAD_BYTES = 512
_MOST_CHUNKS = 1000

# HEIF brands (ISO/IEC 23008-12, and AV1's own): those of a codec, and those of any.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF_BRANDS = {b"mif1", b"mif2", b"miaf", b"msf1"}
_SEQUENCE_BRANDS = {b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}

# An offset, the signature that stands there, and the format that it means.
_TAKEN = (
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (8, b"WEBP", "webp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
)

# Formats that people do bring and that are refused by name; (offset, signature, name).
_REFUSED = (
    (0, b"BM", "BMP"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n", "JPEG XL"),
    (4, b"jP  \r\n", "JPEG 2000"),
    (4, b"ftypcrx ", "camera raw (CR3)"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
)

_COLOUR_FILTER = (32_803, 34_892)  # photometric interpretations of camera raw files


def read_head(path: Path) -> bytes:
    """The first bytes of a regular file.

    Raises:
        FileMissingError: There is no such file, or it may not be read.
        UnreadableImageError: It is empty.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise FileMissingError(f"{path} is {what}; name a {ACCEPTED} file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except PermissionError as error:
        raise FileMissingError(
            f"{path} may not be read; give this user permission or name another {ACCEPTED} file"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise FileMissingError(f"{path} does not exist; name a {ACCEPTED} file") from error
    if not head:
        raise UnreadableImageError(f"{path} is empty; use a {ACCEPTED} file")
    return head


def recognise(path: Path, head: bytes) -> str:
    """The format of a file that begins with ``head``.

    Returns:
        A key of `NAMES`; 'heif' if the codec inside can only be told from the whole header.

    Raises:
        UnsupportedFormatError: It is a picture of a format that is not accepted.
        UnreadableImageError: It is none that is known.
    """
    for offset, signature, kind in _TAKEN:
        if head.startswith(signature, offset) and (kind != "webp" or head.startswith(b"RIFF")):
            return kind
    if brands(head) & (_AVIF_BRANDS | _HEIC_BRANDS | _HEIF_BRANDS):
        return "heif"
    for offset, signature, name in _REFUSED:
        if head.startswith(signature, offset):
            raise UnsupportedFormatError(
                f"{path} is a {name} picture, which is not accepted; convert it to {ACCEPTED}"
            )
    raise UnreadableImageError(f"{path} is not a picture; use a {ACCEPTED} file")


def brands(head: bytes) -> set[bytes]:
    """The brands that a file of the ISO media family names; empty for any other file."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(struct.unpack_from(">I", head)[0], len(head))
    return {head[at : at + 4] for at in (8, *range(16, end - 3, 4))}


def is_sequence(head: bytes) -> bool:
    """Whether the main brand says that a HEIF file is an animation or a burst."""
    return head[4:8] == b"ftyp" and head[8:12] in _SEQUENCE_BRANDS


def png_frames(path: Path) -> int:
    """How many frames a PNG has: 1, or those that an animation's acTL chunk counts."""
    with path.open("rb") as file:
        file.seek(8)
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IDAT":
                break
            if head[4:] == b"acTL":
                return int.from_bytes(file.read(4), "big")
            file.seek(struct.unpack(">I", head[:4])[0] + 4, os.SEEK_CUR)
    return 1


def check_tiff(path: Path, file: BinaryIO, directory: tiff.Directory) -> None:
    """Refuse TIFF files that hold no finished photograph.

    Raises:
        UnsupportedFormatError: It is a camera's raw file.
    """
    photometric = tiff.number(file, directory, tiff.PHOTOMETRIC, 0)
    is_preview = tiff.number(file, directory, tiff.SUBFILE, 0) & 1
    if photometric in _COLOUR_FILTER or (is_preview and tiff.SUB_DIRECTORIES in directory.entries):
        raise UnsupportedFormatError(
            f"{path} is a camera raw picture, which is not accepted; develop it to {ACCEPTED}"
        )


def tiff_memory(file: BinaryIO, directory: tiff.Directory) -> int:
    """Bytes that decoding a TIFF holds beyond a band of rows.

    A strip or tile is read whole as it is compressed; tiles, and strips of single channels,
    are decoded whole as well, for a row of them and the next.
    """

    def value(tag: int, default: int) -> int:
        return tiff.number(file, directory, tag, default)

    width, height = (value(side, 1) for side in tiff.SIDES)
    sample = math.ceil(value(tiff.BITS, 1) / 8) * value(277, 1)
    tiled = 322 in directory.entries
    compressed = 0
    if value(tiff.COMPRESSION, 1) != 1:
        compressed = _largest_piece(file, directory, 325 if tiled else 279)
    if tiled:
        across, down = value(322, 1), value(323, 1)
        return compressed + 2 * math.ceil(width / max(across, 1)) * across * down * sample
    rows = min(value(tiff.ROWS_PER_STRIP, height), height)
    if value(tiff.PLANAR, 1) == 2 or value(tiff.PHOTOMETRIC, 2) == 6:
        return compressed + rows * width * sample
    return compressed


def is_lab_of_8_bits(file: BinaryIO, directory: tiff.Directory) -> bool:
    """Whether a TIFF holds CIELAB in bytes, which libvips does not read."""
    lab = tiff.number(file, directory, tiff.PHOTOMETRIC, 0) == 8
    return lab and tiff.number(file, directory, tiff.BITS, 1) == 8


def _largest_piece(file: BinaryIO, directory: tiff.Directory, tag: int) -> int:
    """The largest number of bytes of a compressed strip or tile, at most the file's."""
    size = file.seek(0, os.SEEK_END)
    entry = directory.entries.get(tag)
    kinds = {3: "u2", 4: "u4", 16: "u8"}
    if entry is None or entry.kind not in kinds or entry.count == 0:
        return size
    kind = np.dtype(directory.order + kinds[entry.kind])
    file.seek(min(entry.at, size))
    data = file.read(min(entry.count * kind.itemsize, size))
    counts = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
    return min(int(counts.max(initial=0)), size)
