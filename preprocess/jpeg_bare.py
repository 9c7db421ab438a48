"""A JPEG without its metadata: only what its pixels need to look the same stays.

That is the colour profile, the kind of its channels (Adobe), its resolution in dots per inch, and
its orientation where the pixels do not stand upright. Sources of the formats: JFIF 1.02, EXIF
(CIPA DC-008), Adobe's technical note 5116 (APP14), ICC.1 annex B (profiles in JPEG).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from common.errors import UnreadableImageError
from common.progress import Progress
from preprocess.image_source import Orientation
from preprocess.image_write import filling, replacing
from preprocess.jpeg_header import (
    APP0,
    APP1,
    APP2,
    APP14,
    COM,
    EOI,
    SOI,
    SOS,
    JpegHeader,
    find_marker,
    parsing,
    read_jpeg_header,
    read_payload,
    read_scans,
)
from preprocess.jpeg_metadata import Exif, Segment

FOLLOWING_REMOVED = (
    "what the target's file holds behind its picture (a gain map, depth map, preview or video) "
    "was left out with its metadata"
)

_JFIF, _EXIF, _ICC, _ADOBE = b"JFIF\0", b"Exif\0\0", b"ICC_PROFILE\0", b"Adobe"
_JFIF_LENGTH = 14
_ADOBE_LENGTH = 12
_ORIENTATION_TAG, _SHORT = 0x0112, 3
_RESOLUTION_TAGS, _UNIT_TAG = (0x011A, 0x011B), 0x0128
_PIECE = 2**20


def bare_segments(header: JpegHeader, lies: Orientation) -> tuple[Segment, ...]:
    """The APPn segments of a picture without metadata, in order.

    Args:
        header: The old file's.
        lies: What viewers still have to do to the pixels; a tag of its own tells them.
    """
    kept: list[Segment] = []
    density = _density(header)
    if density is not None:
        kept.append((APP0, _JFIF + b"\1\2" + density + bytes(2)))
    if not lies.is_upright:
        kept.append((APP1, _EXIF + _only_orientation(lies)))
    for marker, data in header.segments:
        if marker == APP2 and data.startswith(_ICC):
            kept.append((marker, data))
        elif marker == APP14 and data.startswith(_ADOBE) and len(data) >= _ADOBE_LENGTH:
            kept.append((marker, data[:_ADOBE_LENGTH]))
    return tuple(kept)


def write_bare(
    path: Path, header: JpegHeader, output: Path, lies: Orientation, progress: Progress
) -> tuple[str, ...]:
    """Copy a JPEG without its metadata; every bit of its pixels' code stays.

    What follows the picture in its file goes as well. The output appears complete or not at all.

    Args:
        path: The file.
        header: Its header.
        output: The file to write or replace; may be ``path``.
        lies: See `bare_segments`.
        progress: Checked for each MiB.

    Returns:
        A sentence if something followed the picture.

    Raises:
        FileMissingError: The file cannot be read.
        UnreadableImageError: It has no end.
        OutputError: The output cannot be written.
        DiskFullError: The disk is full.
        StoppedError: Cancelled or out of time.
    """
    follows = read_scans(path, header).follows
    with (
        parsing(path) as file,
        replacing(output) as partial,
        filling(output),
        partial.open("wb") as copy,
    ):
        copy.write(bytes((0xFF, SOI)))
        for marker, data in bare_segments(header, lies):
            copy.write(_segment(marker, data))
        for piece in _without_metadata(file):
            progress.check()
            copy.write(piece)
    return (FOLLOWING_REMOVED,) if follows else ()


def removed_by_encoding(path: Path) -> tuple[str, ...]:
    """A sentence if something behind a JPEG's picture goes when it is encoded without metadata.

    One that does not read to its end has nothing there: its decoder decides whether it is damaged.

    Raises:
        FileMissingError: The file cannot be read.
    """
    try:
        follows = read_scans(path, read_jpeg_header(path)).follows
    except UnreadableImageError:
        return ()
    return (FOLLOWING_REMOVED,) if follows else ()


def _without_metadata(file: BinaryIO) -> Iterator[bytes]:
    """A JPEG behind its start marker up to its end, without APPn and COM segments."""
    file.seek(2)
    coded = None  # where the code of a scan begins; before the first there are only segments
    while True:
        marker = find_marker(file)
        start = file.tell() - 2
        if coded is not None:
            yield from _between(file, coded, start)
        file.seek(start + 2)
        if marker == EOI:
            yield bytes((0xFF, EOI))
            return
        data = read_payload(file)
        if not (marker == COM or APP0 <= marker <= APP0 + 15):
            yield _segment(marker, data)
        if marker == SOS or coded is not None:
            coded = file.tell()


def _between(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    file.seek(start)
    while start < stop and (piece := file.read(min(_PIECE, stop - start))):
        start += len(piece)
        yield piece


def _segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data


def _density(header: JpegHeader) -> bytes | None:
    """Unit and resolution as JFIF writes them; None where there is none.

    None as well for red, green and blue: readers take three channels for YCbCr in a JFIF file.
    """
    for marker, data in header.segments:
        if marker == APP0 and data.startswith(_JFIF) and len(data) >= _JFIF_LENGTH:
            return data[len(_JFIF) + 2 : _JFIF_LENGTH - 2]
    if header.is_rgb:
        return None
    return _density_of_exif(header.segments)


def _density_of_exif(segments: Sequence[Segment]) -> bytes | None:
    """The same from EXIF data; None where there is none, or none that makes sense."""
    for marker, data in segments:
        if marker != APP1 or not data.startswith(_EXIF):
            continue
        try:
            exif = Exif(data[len(_EXIF) :])
            sides = [_ratio(exif, exif.main.entries[tag]) for tag in _RESOLUTION_TAGS]
            unit = exif.numbers(exif.main.entries[_UNIT_TAG])[0] - 1
            return struct.pack(">BHH", unit, *sides)
        except (struct.error, LookupError, ZeroDivisionError):
            return None
    return None


def _ratio(exif: Exif, entry: int) -> int:
    start, _ = exif.value(entry)
    return round(exif.number("I", start) / exif.number("I", start + 4))


def _only_orientation(lies: Orientation) -> bytes:
    """An EXIF block of one tag."""
    value = next(value for value in range(1, 9) if Orientation.from_exif(value) == lies)
    entry = struct.pack(">HHIHH", _ORIENTATION_TAG, _SHORT, 1, value, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
