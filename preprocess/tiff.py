"""Directories of TIFF files: what libvips does not tell of them and does not write into them.

After the TIFF 6.0 specification (Adobe, 1992) and its BigTIFF extension (libtiff). An EXIF
block is such a file without pixels, so the same code reads and writes both.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

EXIF_PREFIX = b"Exif\0\0"

SIDES = (256, 257)
SUBFILE, COMPRESSION, PHOTOMETRIC, PREDICTOR = 254, 259, 262, 317
BITS, ROWS_PER_STRIP, PLANAR, EXTRA_SAMPLES = 258, 278, 284, 338
TILE_WIDTH, TILE_HEIGHT = 322, 323
SUB_DIRECTORIES, IPTC, EXIF, GPS, INTEROPERABILITY = 330, 33723, 34665, 34853, 40965
_EXIF_WIDTH, _EXIF_HEIGHT = 0xA002, 0xA003

# Tags of the first directory that tell about the photograph and not about the file's layout.
_TELLING = (
    270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095,
)  # fmt: skip

# Bytes of a value and of the pieces that byte order turns round, by the type's number.
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WIDTHS |= {16: 8, 17: 8, 18: 8}
_PIECES = _WIDTHS | {5: 4, 10: 4}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_MOST_ENTRIES = 4096
_MOST_DIRECTORIES = 1024
_MOST_TELLING_BYTES = 8 * 2**20
_DEEPEST = 3


class TiffError(ValueError):
    """The directories of a TIFF file do not make sense."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag: its type, how many values, where they lie, and the entry's own bytes."""

    tag: int
    kind: int
    count: int
    at: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """One picture's tags. order: '<' or '>'. big: BigTIFF. following: 0 for the last."""

    order: str
    big: bool
    entries: dict[int, Entry]
    following: int


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """How the pixels of a TIFF lie in the file.

    compression: libvips' name. tile: (width, height), None for strips. big: BigTIFF.
    premultiplied: whether colours are stored multiplied by alpha ("associated").
    """

    compression: str = "deflate"
    predictor: bool = True
    tile: tuple[int, int] | None = None
    big: bool = False
    premultiplied: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A tag to be written: its type, little-endian values, or the directory it points to."""

    tag: int
    kind: int
    data: bytes
    inner: tuple[Field, ...] = ()


# What is written again as it was; pixels behind a lossy or a fax compression are written with
# deflate, which keeps them exactly.
_COMPRESSIONS = {1: "none", 5: "lzw", 8: "deflate", 32_946: "deflate", 32_773: "packbits"}


def read_directory(file: BinaryIO, at: int | None = None) -> Directory:
    """The first directory of a TIFF file, or the one at ``at``.

    Raises:
        TiffError: There is none, or it is damaged.
    """
    order, big, first = _read_start(file)
    start = first if at is None else at
    head, width, layout = (8, 20, "HHQ") if big else (2, 12, "HHI")
    count = _unpack(order, "Q" if big else "H", _read(file, start, head))
    if not 0 < count <= _MOST_ENTRIES:
        raise TiffError(f"{count} entries")
    table = _read(file, start + head, count * width)
    entries: dict[int, Entry] = {}
    inline = 8 if big else 4
    for index in range(count):
        raw = table[index * width : (index + 1) * width]
        tag, kind, number = struct.unpack_from(order + layout, raw)
        at = start + head + (index + 1) * width - inline
        if number * _WIDTHS.get(kind, 1) > inline:
            at = _unpack(order, "Q" if big else "I", raw[-inline:])
        entries.setdefault(tag, Entry(tag, kind, number, at, raw))
    try:
        tail = _read(file, start + head + count * width, inline)
    except TiffError:
        tail = bytes(inline)  # some writers of EXIF blocks leave out the last pointer
    return Directory(order, big, entries, _unpack(order, "Q" if big else "I", tail))


def directories(file: BinaryIO) -> list[Directory]:
    """All directories of the main chain, at most 1024; it ends where damage begins.

    Raises:
        TiffError: Not even the first can be read.
    """
    found = [read_directory(file)]
    seen: set[int] = set()
    while (at := found[-1].following) and at not in seen and len(found) < _MOST_DIRECTORIES:
        seen.add(at)
        try:
            found.append(read_directory(file, at))
        except TiffError:
            break
    return found


def number(file: BinaryIO, directory: Directory, tag: int, default: int) -> int:
    """The first value of a tag of whole numbers, ``default`` if there is none."""
    entry = directory.entries.get(tag)
    if entry is None or entry.kind not in _NUMBERS or entry.count == 0:
        return default
    data = _read(file, entry.at, _WIDTHS[entry.kind])
    return _unpack(directory.order, _NUMBERS[entry.kind], data)


def read_layout(file: BinaryIO, directory: Directory) -> TiffLayout:
    """How a file lays out its pixels, as far as it can be done again."""
    across, down = (number(file, directory, tag, 0) for tag in (TILE_WIDTH, TILE_HEIGHT))
    compression = _COMPRESSIONS.get(number(file, directory, COMPRESSION, 1), "deflate")
    predicted = number(file, directory, PREDICTOR, 1) == 2
    lossy = number(file, directory, COMPRESSION, 1) not in _COMPRESSIONS
    return TiffLayout(
        compression=compression,
        predictor=lossy or predicted,
        tile=(across, down) if across and down else None,
        big=directory.big,
        premultiplied=number(file, directory, EXTRA_SAMPLES, 0) == 1,
    )


def pages(file: BinaryIO) -> int:
    """How many full pictures a file holds; reduced versions and masks do not count.

    Raises:
        TiffError: Not even the first directory can be read.
    """
    return 1 + sum(_is_page(file, part) for part in directories(file)[1:])


def _is_page(file: BinaryIO, directory: Directory) -> bool:
    """Whether a directory tells of a full picture; one whose word for it is damaged does."""
    try:
        return not number(file, directory, SUBFILE, 0) & 0b101
    except TiffError:
        return True


def exif_block(file: BinaryIO, directory: Directory) -> bytes:
    """What a TIFF file says about its photograph, as an EXIF block; empty if nothing.

    Notes of camera makers that count positions from the start of the old file come along, but
    such positions are wrong in any other.
    """
    fields = _telling(file, directory)
    if not fields:
        return b""
    return EXIF_PREFIX + b"II*\0" + struct.pack("<I", 8) + _serialise(fields, 8, big=False)


def with_size(block: bytes, width: int, height: int) -> bytes:
    """An EXIF block that names another size of the picture, where it names one."""
    prefix = EXIF_PREFIX if block.startswith(EXIF_PREFIX) else b""
    data = bytearray(block[len(prefix) :])
    file = io.BytesIO(data)
    try:
        first = read_directory(file)
        part = read_directory(file, number(file, first, EXIF, 0))
    except TiffError:
        return block
    for tag, side in ((_EXIF_WIDTH, width), (_EXIF_HEIGHT, height)):
        entry = part.entries.get(tag)
        if entry is not None and entry.count == 1 and entry.kind in (3, 4):
            kind = _NUMBERS[entry.kind]
            struct.pack_into(part.order + kind, data, entry.at, side)
    return prefix + bytes(data)


def add_metadata(path: Path, exif: bytes, iptc: bytes, premultiplied: bool) -> None:
    """Complete a TIFF file that libvips wrote with what it leaves out.

    Args:
        path: The file; it gets a new first directory at its end.
        exif: An EXIF block, or empty.
        iptc: IPTC records without any envelope, or empty.
        premultiplied: Declare the alpha channel as associated.

    Raises:
        TiffError: ``path`` is no TIFF file.
        OSError: It cannot be written.
    """
    fields = {field.tag: field for field in _fields_of_exif(exif)}
    if iptc:
        fields[IPTC] = Field(IPTC, 7, iptc)
    if not fields and not premultiplied:
        return
    with path.open("r+b") as file:
        old = read_directory(file)
        if premultiplied:
            fields[EXTRA_SAMPLES] = Field(EXTRA_SAMPLES, 3, struct.pack("<H", 1))
        at = file.seek(0, io.SEEK_END)
        at += file.write(bytes(-at % 8))
        kept = [entry for tag, entry in old.entries.items() if tag not in fields]
        file.write(_serialise(list(fields.values()), at, old.big, kept, old.following))
        file.seek(8 if old.big else 4)
        file.write(struct.pack("<Q" if old.big else "<I", at))


def _read_start(file: BinaryIO) -> tuple[str, bool, int]:
    """Byte order, whether BigTIFF, and where the first directory lies."""
    head = _read(file, 0, 8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise TiffError("no byte order")
    version = _unpack(order, "H", head[2:4])
    if version == 42:
        return order, False, _unpack(order, "I", head[4:8])
    if version == 43:
        return order, True, _unpack(order, "Q", _read(file, 8, 8))
    raise TiffError(f"version {version}")


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    try:
        file.seek(at)
        data = file.read(size)
    except (OverflowError, ValueError) as error:  # a position beyond what files can have
        raise TiffError(f"position {at}") from error
    if len(data) != size:
        raise TiffError(f"the file ends before {at + size}")
    return data


def _unpack(order: str, kind: str, data: bytes) -> int:
    return int(struct.unpack(order + kind, data)[0])


def _telling(file: BinaryIO, directory: Directory) -> list[Field]:
    """Fields of a first directory that tell about the photograph."""
    fields = _copy(file, directory, _TELLING, _MOST_TELLING_BYTES)
    for tag in (EXIF, GPS):
        if inner := _inner(file, directory, tag, 1):
            fields.append(Field(tag, 4, b"", inner))
    return fields


def _inner(file: BinaryIO, directory: Directory, tag: int, depth: int) -> tuple[Field, ...]:
    """The directory that a tag points to, as fields; empty if there is none or it is damaged."""
    try:
        at = number(file, directory, tag, 0)
        if not at or depth >= _DEEPEST:
            return ()
        part = read_directory(file, at)
    except TiffError:
        return ()
    fields = _copy(file, part, None, _MOST_TELLING_BYTES)
    if below := _inner(file, part, INTEROPERABILITY, depth + 1):
        fields.append(Field(INTEROPERABILITY, 4, b"", below))
    return tuple(fields)


def _copy(
    file: BinaryIO, directory: Directory, tags: tuple[int, ...] | None, most: int
) -> list[Field]:
    """The values of some tags, or of all but pointers, little-endian, up to ``most`` bytes."""
    fields = []
    for tag, entry in directory.entries.items():
        wanted = tag in tags if tags is not None else tag != INTEROPERABILITY
        size = entry.count * _WIDTHS.get(entry.kind, 0)
        if not wanted or not 0 < size <= most:
            continue
        try:
            data = _read(file, entry.at, size)
        except TiffError:
            continue
        most -= size
        piece = _PIECES[entry.kind]
        if directory.order == ">" and piece > 1:
            data = b"".join(data[i : i + piece][::-1] for i in range(0, size, piece))
        fields.append(Field(tag, entry.kind, data))
    return fields


def _fields_of_exif(block: bytes) -> list[Field]:
    """What can be carried into a TIFF file from an EXIF block; nothing from a damaged one."""
    file = io.BytesIO(block.removeprefix(EXIF_PREFIX))
    try:
        return _telling(file, read_directory(file))
    except TiffError:
        return []


def _serialise(
    fields: list[Field],
    start: int,
    big: bool,
    kept: list[Entry] | None = None,
    following: int = 0,
) -> bytes:
    """A little-endian directory for position ``start``, its values behind it.

    ``kept``: entries whose bytes, and so whose values' positions, stay as they are.
    """
    kept = kept or []
    pointer, inline = ("<Q", 8) if big else ("<I", 4)
    count = len(fields) + len(kept)
    head = struct.pack("<Q" if big else "<H", count)
    behind = start + len(head) + count * (20 if big else 12) + inline
    rows = [(entry.tag, entry.raw) for entry in kept]
    body = b""
    for field in fields:
        kind, data, values = field.kind, field.data, len(field.data) // _WIDTHS[field.kind]
        if field.inner:
            body += bytes(-(behind + len(body)) % 8)
            at = behind + len(body)
            body += _serialise(list(field.inner), at, big)
            kind, values, data = (
                (16, 1, struct.pack("<Q", at)) if big else (4, 1, struct.pack("<I", at))
            )
        elif len(data) > inline:
            body += bytes(-(behind + len(body)) % 8)
            at = behind + len(body)
            body += data
            data = struct.pack(pointer, at)
        row = struct.pack("<HHQ" if big else "<HHI", field.tag, kind, values)
        rows.append((field.tag, row + data.ljust(inline, b"\0")))
    table = b"".join(row for _, row in sorted(rows))
    return head + table + struct.pack(pointer, following) + body
