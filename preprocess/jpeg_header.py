"""What the marker segments of a JPEG file say: how it is coded, and its metadata, unread.

Source of the format: ITU-T T.81 (JPEG), Annex B for markers, Annex K for the standard tables.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

from common.errors import FileMissingError, UnreadableImageError
from common.types import Size

Table = tuple[int, ...]
"""64 quantisation steps, row by row (not in the zigzag order of the file)."""

APP0, APP1, APP2, APP11, APP13, APP14, COM = 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xEE, 0xFE
SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
_DHT, _DAC, _DQT, _DRI = 0xC4, 0xCC, 0xDB, 0xDD
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}
_PROGRESSIVE = (0xC2, 0xCA)
_ARITHMETIC = (0xC9, 0xCA)
_HUFFMAN_DCT = (0xC0, 0xC1, 0xC2)

_CHUNK = 2**18
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END = bytes((0xFF, EOI))
_PADDING = b"\0\r\n "

# How block counts per minimum coded unit are called when colour has one block of each.
_SAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0"}

# T.81 tables K.1 and K.2, row by row.
_STANDARD_LUMA: Table = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_STANDARD_COLOUR: Table = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)

# T.81 tables K.3 to K.6: how many codes have 1, 2, ... 16 bits. An encoder that adapts its
# codes to a picture ends with other counts, so the symbols need not be compared.
_STANDARD_CODES = {
    0x00: (0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0),
    0x01: (0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0),
    0x10: (0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D),
    0x11: (0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77),
}


@dataclass(frozen=True, slots=True)
class Component:
    """One channel: its number in the file, blocks per unit across and down, its table."""

    number: int
    across: int
    down: int
    table: Table


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """How a JPEG file is coded, as far as the start of its pixel data tells.

    size: stored, before any orientation. components: in the order of the file. precision:
    bits per sample. process: the code of its frame marker; see `progressive`, `arithmetic`
    and `usual_process`. one_scan: whether the first scan holds all components. restart_interval:
    units between restart markers, 0 for none. standard_huffman: whether its codes are the usual
    ones, not fitted to the picture. transform: the colour transform of the Adobe segment (0
    none, 1 YCbCr, 2 YCCK), None without that segment. segments: (marker, payload) of the APPn
    and COM segments, in order. scan_offset: where the header of the first scan starts, behind
    its marker.
    """

    size: Size
    components: tuple[Component, ...]
    precision: int
    process: int
    one_scan: bool
    restart_interval: int
    standard_huffman: bool
    transform: int | None
    segments: tuple[tuple[int, bytes], ...]
    scan_offset: int

    @property
    def progressive(self) -> bool:
        return self.process in _PROGRESSIVE

    @property
    def arithmetic(self) -> bool:
        return self.process in _ARITHMETIC

    @property
    def usual_process(self) -> bool:
        """Whether it is baseline, extended sequential or progressive with Huffman codes."""
        return self.process in _HUFFMAN_DCT

    @property
    def sampling(self) -> str | None:
        """'grey', '4:4:4', '4:2:2', '4:2:0', '4:4:0', or None for anything else."""
        if len(self.components) == 1:
            return "grey"
        first, *others = self.components
        if len(others) != 2 or any((part.across, part.down) != (1, 1) for part in others):
            return None
        return _SAMPLINGS.get((first.across, first.down))

    @property
    def subsampled(self) -> bool:
        """Whether colour has fewer samples than brightness."""
        return len({(part.across, part.down) for part in self.components}) > 1

    @property
    def unit(self) -> Size:
        """Pixels of a minimum coded unit: the grid on which pictures can be cut and turned."""
        if len(self.components) == 1:
            return Size(8, 8)  # T.81 A.2.2: a lone component is coded block by block
        return Size(
            8 * max(part.across for part in self.components),
            8 * max(part.down for part in self.components),
        )

    @property
    def is_rgb(self) -> bool:
        """Whether the three components are red, green and blue, judged as libjpeg does."""
        if len(self.components) != 3:
            return False
        if any(marker == APP0 and data.startswith(b"JFIF\0") for marker, data in self.segments):
            return False
        if self.transform is not None:
            return self.transform == 0
        return bytes(part.number for part in self.components) == b"RGB"

    def quality(self) -> int:
        """The quality 1-100 of the IJG scale whose standard tables are nearest.

        The scale is that of ``jpeg_quality_scaling`` in libjpeg's jcparam.c: the standard
        tables times (5000 / Q if Q < 50 else 200 - 2 Q) percent. Nearest is the least sum of
        differences of the steps' logarithms: a step of 4 for one of 2 costs as much as one of
        40 for one of 20. A lossless file, which has no tables, answers 100.
        """
        tables = [part.table for part in self.components[:2]]

        def distance(quality: int) -> float:
            return sum(
                abs(math.log(ours / theirs))
                for mine, standard in zip(tables, _standard_tables(quality), strict=False)
                for ours, theirs in zip(mine, standard, strict=False)
            )

        return min(range(100, 0, -1), key=distance)


@dataclass(frozen=True, slots=True)
class Scans:
    """How the pixel data are divided, and where they end.

    script: for each scan (component indices, first and last coefficient, bits of precision
    already known and now left out), T.81 B.2.3; empty for the one scan of an ordinary file.
    tables_change: whether quantisation tables stand between scans. follows: whether more than
    padding stands behind the picture.
    """

    script: tuple[tuple[tuple[int, ...], int, int, int, int], ...]
    tables_change: bool
    follows: bool


@dataclass(slots=True)
class _Found:
    """What the segments said so far."""

    tables: dict[int, Table] = field(default_factory=dict)
    frame: bytes = b""
    process: int = 0
    restart_interval: int = 0
    standard_huffman: bool = True
    transform: int | None = None
    segments: list[tuple[int, bytes]] = field(default_factory=list)


def read_jpeg_header(path: Path) -> JpegHeader:
    """Read the segments before the pixel data; those are not looked at.

    Raises:
        FileMissingError: The file cannot be read.
        UnreadableImageError: It is not a JPEG file, or its segments are damaged.
    """
    with parsing(path) as file:
        if file.read(2) != bytes((0xFF, SOI)):
            raise ValueError("no start of image")
        found = _Found()
        while (marker := find_marker(file)) != SOS:
            _take(found, marker, read_payload(file))
        offset = file.tell()
        return _header(found, read_payload(file), offset)


def read_scans(path: Path, header: JpegHeader) -> Scans:
    """Look through the pixel data for their scans and their end, a piece at a time.

    Raises:
        FileMissingError: The file cannot be read.
        UnreadableImageError: The pixel data have no end.
    """
    numbers = {part.number: index for index, part in enumerate(header.components)}
    script, tables_change = [], False
    with parsing(path) as file:
        file.seek(header.scan_offset)
        script.append(_scan(read_payload(file), numbers))
        if header.one_scan and not header.progressive:
            _find_end(file)
            return Scans((), False, _follows(file))
        while (marker := find_marker(file)) != EOI:
            data = read_payload(file)
            tables_change |= marker == _DQT
            if marker == SOS:
                script.append(_scan(data, numbers))
        return Scans(tuple(script), tables_change, _follows(file))


@contextmanager
def parsing(path: Path) -> Iterator[BinaryIO]:
    """The file open at its start; what is wrong with it becomes an error of the tree."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise FileMissingError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, struct.error) as error:
        raise UnreadableImageError(
            f"{path} is damaged or not a JPEG picture; use a complete JPEG file"
        ) from error


def find_marker(file: BinaryIO) -> int:
    """Go behind the next marker other than a restart, which is answered.

    Strange bytes before it are skipped, as decoders do.

    Raises:
        ValueError: There is none.
    """
    place, carried = file.tell(), b""
    while chunk := file.read(_CHUNK):
        data = carried + chunk
        if found := _MARKER.search(data):
            file.seek(place - len(carried) + found.end())
            return data[found.end() - 1]
        carried, place = data[-1:], place + len(chunk)
    raise ValueError("no further marker")


def _find_end(file: BinaryIO) -> None:
    """Go behind the end-of-image marker of a scan that no other marker interrupts.

    Raises:
        ValueError: There is none.
    """
    place, carried = file.tell(), b""
    while chunk := file.read(_CHUNK):
        data = carried + chunk
        found = data.find(_END)
        if found >= 0:
            file.seek(place - len(carried) + found + len(_END))
            return
        carried, place = data[-1:], place + len(chunk)
    raise ValueError("no end of image")


def _follows(file: BinaryIO) -> bool:
    return bool(file.read(_CHUNK).strip(_PADDING))


def read_payload(file: BinaryIO) -> bytes:
    """The segment that starts here, without its length."""
    (length,) = struct.unpack(">H", file.read(2))
    data = file.read(length - 2) if length >= 2 else b""
    if len(data) != length - 2:
        raise ValueError("a segment ends early")
    return data


def _take(found: _Found, marker: int, data: bytes) -> None:
    """Note what one segment before the first scan says."""
    if marker in _FRAMES:
        found.process, found.frame = marker, data
    elif marker == _DQT:
        _take_tables(found.tables, data)
    elif marker == _DHT:
        found.standard_huffman &= _all_standard(data)
    elif marker == _DRI:
        (found.restart_interval,) = struct.unpack(">H", data)
    elif marker == COM or APP0 <= marker <= APP0 + 15:
        found.segments.append((marker, data))
        if marker == APP14 and data.startswith(b"Adobe") and len(data) >= 12:
            found.transform = data[11]


def _take_tables(tables: dict[int, Table], data: bytes) -> None:
    place = 0
    while place < len(data):
        deep, index = data[place] >> 4, data[place] & 15
        steps = struct.unpack_from(">64H" if deep else ">64B", data, place + 1)
        if 0 in steps:
            raise ValueError("a quantisation step of zero")
        tables[index] = tuple(steps[where] for where in _natural_order())
        place += 1 + 64 * (2 if deep else 1)


def _all_standard(data: bytes) -> bool:
    """Whether all Huffman tables of a segment are the standard's."""
    place = 0
    while place < len(data):
        counts = struct.unpack_from("16B", data, place + 1)
        if _STANDARD_CODES.get(data[place]) != counts:
            return False
        place += 17 + sum(counts)
    return True


def _header(found: _Found, scan: bytes, offset: int) -> JpegHeader:
    precision, height, width, count = struct.unpack_from(">BHHB", found.frame)
    components = []
    for number, factors, table in struct.iter_unpack("BBB", found.frame[6 : 6 + 3 * count]):
        steps = found.tables.get(table, ())
        components.append(Component(number, factors >> 4, factors & 15, steps))
    if len(components) != count or not count:
        raise ValueError("a frame without its components")
    if any(not (1 <= part.across <= 4 and 1 <= part.down <= 4) for part in components):
        raise ValueError("sampling factors out of range")
    return JpegHeader(
        size=Size(width, height),
        components=tuple(components),
        precision=precision,
        process=found.process,
        one_scan=scan[0] == count,
        restart_interval=found.restart_interval,
        standard_huffman=found.standard_huffman,
        transform=found.transform,
        segments=tuple(found.segments),
        scan_offset=offset,
    )


def _scan(data: bytes, numbers: dict[int, int]) -> tuple[tuple[int, ...], int, int, int, int]:
    count = data[0]
    parts = tuple(numbers[data[1 + 2 * index]] for index in range(count))
    first, last, bits = struct.unpack_from("BBB", data, 1 + 2 * count)
    return parts, first, last, bits >> 4, bits & 15


@cache
def _natural_order() -> tuple[int, ...]:
    """For each place row by row, its place in the zigzag order of the file (T.81 figure 5)."""
    zigzag = sorted(
        range(64),
        key=lambda place: (
            place // 8 + place % 8,
            (place // 8 if (place // 8 + place % 8) % 2 else place % 8),
        ),
    )
    return tuple(zigzag.index(place) for place in range(64))


@cache
def _standard_tables(quality: int) -> tuple[Table, Table]:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, colour = (
        tuple(min(max((step * percent + 50) // 100, 1), 255) for step in table)
        for table in (_STANDARD_LUMA, _STANDARD_COLOUR)
    )
    return luma, colour
