"""A JPEG's metadata: what would show the old picture goes, all else stays byte for byte.

Sources of the formats: EXIF (CIPA DC-008), MPF (CIPA DC-007), JFIF 1.02, Photoshop image
resources (Adobe), XMP part 3 (Adobe), JUMBF in JPEG (ISO/IEC 19566-5).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UnreadableImageError
from preprocess.image_source import Orientation
from preprocess.jpeg_header import (
    APP0,
    APP1,
    APP2,
    APP11,
    APP13,
    read_jpeg_header,
    read_scans,
)

Segment = tuple[int, bytes]
"""Marker and payload."""

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_MORE_XMP_HEAD = len(_MORE_XMP) + 32 + 4 + 4  # digest, length of the whole, place in it
_PHOTOSHOP = b"Photoshop 3.0\0"
_PHOTOSHOP_PREVIEWS = (0x0409, 0x040C)
_MPF = b"MPF\0"
_JUMBF = b"JP"
_JFIF, _JFXX = b"JFIF\0", b"JFXX\0"
_JFIF_LENGTH = 14
_MOST_PAYLOAD = 65_533

_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>))[1-8](?=["'<])""")
_XMP_PREVIEWS = (b"xmp:Thumbnails", b"xap:Thumbnails")
# What XMP says of pictures behind the main one (Ultra HDR, motion photo), and of its extension.
_XMP_DIRECTORIES = (b"Container:Directory", b"GContainer:Directory")
_XMP_FLAGS = re.compile(
    rb"""\s(?:GCamera:(?:MotionPhoto|MicroVideo)\w*|hdrgm:\w+)\s*=\s*(?:"[^"]*"|'[^']*')"""
)
# The same as elements: longer names first, because they are found by how they begin.
_XMP_FLAG_ELEMENTS = (
    *(b"GCamera:MotionPhotoPresentationTimestampUs", b"GCamera:MotionPhotoVersion"),
    *(b"GCamera:MotionPhoto", b"GCamera:MicroVideoPresentationTimestampUs"),
    *(b"GCamera:MicroVideoVersion", b"GCamera:MicroVideoOffset", b"GCamera:MicroVideo"),
    *(b"hdrgm:Version", b"hdrgm:BaseRenditionIsHDR", b"hdrgm:GainMapMin", b"hdrgm:GainMapMax"),
    *(b"hdrgm:Gamma", b"hdrgm:OffsetSDR", b"hdrgm:OffsetHDR"),
    *(b"hdrgm:HDRCapacityMin", b"hdrgm:HDRCapacityMax"),
)
_XMP_HAS_MORE = re.compile(rb"""\sxmpNote:HasExtendedXMP\s*=\s*(?:"[^"]*"|'[^']*')""")
_XMP_PICTURE = re.compile(rb"Thumbnails|xmpGImg:image|G(?:Image|Depth):Data")

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_HEAD = 8  # byte order, mark, place of the first folder
_SHORT = 3
_ENTRY = 12
_ORIENTATION = 0x0112
_SIDES = ((0x0100, 0x0101), (0xA002, 0xA003))
_FOLDERS = (0x8769, 0x8825, 0xA005)  # Exif, GPS, interoperability
_PREVIEWS = ((0x0201, 0x0202), (0x0111, 0x0117))  # places and lengths: JPEG, bare pixels

FOLLOWING_LEFT_OUT = (
    "what the target's file holds behind its picture (a gain map, depth map, preview or video) "
    "was left out: it would show the old face"
)
INSIDE_LEFT_OUT = (
    "a second picture in the target's XMP (the original or a depth map) was left out: it would "
    "show the old face"
)
MORE_LEFT_OUT = "the part of the target's XMP that one segment did not hold was left out"
CREDENTIALS_LEFT_OUT = "the target's content credentials were left out: they sign the old picture"


@dataclass(frozen=True, slots=True)
class Kept:
    """segments: those of the new file, in order. lost: a sentence for everything left out
    that the person may miss; previews are not among them.
    """

    segments: tuple[Segment, ...]
    lost: tuple[str, ...]


def keep_segments(segments: Sequence[Segment], turn: Orientation, follows: bool) -> Kept:
    """The metadata of a picture of which blocks were replaced and that may have been turned.

    Left out are previews (EXIF, JFIF, Photoshop, XMP), the index of further pictures (MPF) and
    signed or residual data (JUMBF). Maker notes stay as they are, and so does everything else.

    Args:
        segments: APPn and COM, in order.
        turn: What was applied to the pixels; the orientation tags are reset if it is one.
        follows: Whether something follows the picture in its file; it will not in the new.
    """
    lost = [FOLLOWING_LEFT_OUT] if follows else []
    drop_more = _XMP_PICTURE.search(_more_xmp(segments)) is not None
    if drop_more:
        lost.append(INSIDE_LEFT_OUT)
    kept: list[Segment] = []
    for marker, data in _without_photoshop_previews(segments):
        if marker == APP1 and data.startswith(_EXIF):
            kept.append((marker, _EXIF + clean_exif(data[len(_EXIF) :], turn)))
        elif marker == APP1 and data.startswith(_XMP):
            packet = _clean_xmp(data[len(_XMP) :], not turn.is_upright, follows, drop_more)
            kept.append((marker, _XMP + packet))
        elif marker == APP11 and data.startswith(_JUMBF):
            if CREDENTIALS_LEFT_OUT not in lost:
                lost.append(CREDENTIALS_LEFT_OUT)
        elif marker == APP0 and data.startswith(_JFIF) and len(data) > _JFIF_LENGTH:
            kept.append((marker, data[: _JFIF_LENGTH - 2] + bytes(2)))  # no preview: 0 x 0
        elif not (
            (marker == APP2 and data.startswith(_MPF))
            or (marker == APP0 and data.startswith(_JFXX))
            or (drop_more and marker == APP1 and data.startswith(_MORE_XMP))
        ):
            kept.append((marker, data))
    return Kept(tuple(kept), tuple(lost))


def lost_by_encoding(path: Path) -> tuple[str, ...]:
    """What a JPEG loses when it is encoded anew from its pixels, EXIF, XMP, IPTC and ICC profile.

    Previews do not count. The file is read once, about a millisecond for each megabyte.

    Args:
        path: The old picture. One that does not read to its end loses nothing here: its decoder
            decides whether it is damaged.

    Returns:
        A sentence for each thing that the person may miss.

    Raises:
        FileMissingError: The file cannot be read.
    """
    try:
        header = read_jpeg_header(path)
        follows = read_scans(path, header).follows
    except UnreadableImageError:
        return ()
    more = _more_xmp(header.segments)
    signed = any(marker == APP11 and data.startswith(_JUMBF) for marker, data in header.segments)
    lost = [FOLLOWING_LEFT_OUT] if follows else []
    if more:
        lost.append(INSIDE_LEFT_OUT if _XMP_PICTURE.search(more) else MORE_LEFT_OUT)
    return (*lost, CREDENTIALS_LEFT_OUT) if signed else tuple(lost)


def clean_xmp(packet: bytes) -> bytes:
    """The XMP of a picture that was changed, turned upright and encoded anew, and is alone.

    Its orientation is 1, and it has no previews, no word of pictures or a video behind it (Ultra
    HDR, motion photo), nor of a second part of itself. All else is as it was, byte for byte.

    Args:
        packet: As libvips gives it, without the name of its segment.
    """
    return _clean_xmp(packet, upright=True, alone=True, drop_more=True)


def tells_orientation(segments: Sequence[Segment]) -> bool:
    """Whether there is EXIF data in which the orientation can be found and reset."""
    found = [data for marker, data in segments if marker == APP1 and data.startswith(_EXIF)]
    try:
        return bool(found) and all(
            _ORIENTATION in Exif(data[len(_EXIF) :]).main.entries for data in found
        )
    except (struct.error, KeyError):
        return False


def _more_xmp(segments: Sequence[Segment]) -> bytes:
    """The XMP that did not fit into one segment: chunks with a digest and a place in front."""
    chunks = [data for marker, data in segments if marker == APP1 and data.startswith(_MORE_XMP)]
    chunks.sort(key=lambda data: data[len(_MORE_XMP) : _MORE_XMP_HEAD])
    return b"".join(data[_MORE_XMP_HEAD:] for data in chunks)


def _upright_xmp(packet: bytes) -> bytes:
    """An XMP packet in which the orientation, which some programs repeat there, is 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


def _without_previews(packet: bytes) -> bytes:
    """An XMP packet without the previews of the picture that it may hold."""
    return _without_elements(packet, _XMP_PREVIEWS)


def _without_elements(packet: bytes, names: Sequence[bytes]) -> bytes:
    """XML without all elements of some names; one that does not end stays."""
    for name in names:
        opening, closing = b"<" + name, b"</" + name + b">"
        kept, place = [], 0
        while (start := packet.find(opening, place)) >= 0:
            head = packet.find(b">", start)
            empty = packet[head - 1 : head] == b"/"
            end = head if empty else packet.find(closing, head)
            if head < 0 or end < 0:
                break
            kept.append(packet[place:start])
            place = end + (1 if empty else len(closing))
        packet = b"".join(kept) + packet[place:]
    return packet


def _clean_xmp(packet: bytes, upright: bool, alone: bool, drop_more: bool) -> bytes:
    packet = _without_previews(packet)
    if upright:
        packet = _upright_xmp(packet)
    if alone:
        packet = _without_elements(packet, (*_XMP_DIRECTORIES, *_XMP_FLAG_ELEMENTS))
        packet = _XMP_FLAGS.sub(b"", packet)
    return _XMP_HAS_MORE.sub(b"", packet) if drop_more else packet


def _without_photoshop_previews(segments: Sequence[Segment]) -> list[Segment]:
    """Photoshop's resources may run over several segments; they are cut anew if one goes."""
    places = [
        index
        for index, (marker, data) in enumerate(segments)
        if marker == APP13 and data.startswith(_PHOTOSHOP)
    ]
    whole = b"".join(segments[index][1][len(_PHOTOSHOP) :] for index in places)
    resources = [
        (start, stop)
        for number, start, stop in _photoshop_resources(whole)
        if number in _PHOTOSHOP_PREVIEWS
    ]
    if not resources:
        return list(segments)
    for start, stop in reversed(resources):
        whole = whole[:start] + whole[stop:]
    step = _MOST_PAYLOAD - len(_PHOTOSHOP)
    anew = [
        (APP13, _PHOTOSHOP + whole[start : start + step]) for start in range(0, len(whole), step)
    ]
    return [
        *segments[: places[0]],
        *anew,
        *(
            segment
            for index, segment in enumerate(segments)
            if index > places[0] and index not in places
        ),
    ]


def _photoshop_resources(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(number, start, stop) of each resource, as far as they are whole."""
    place = 0
    while place + 12 <= len(data):
        signature, number, name = struct.unpack_from(">4sHB", data, place)
        head = place + 6 + (name + 2) // 2 * 2
        if signature not in (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR") or head + 4 > len(data):
            return
        (length,) = struct.unpack_from(">I", data, head)
        stop = head + 4 + (length + 1) // 2 * 2
        yield number, place, min(stop, len(data))
        place = stop


@dataclass(frozen=True, slots=True)
class _Folder:
    """An image file directory: where its parts lie. entries: tag to place of its 12 bytes."""

    place: int
    entries: dict[int, int]

    @property
    def next_pointer(self) -> int:
        return self.place + 2 + _ENTRY * len(self.entries)


class Exif:
    """The TIFF structure of an EXIF segment, changed in place so that no offset moves."""

    def __init__(self, tiff: bytes) -> None:
        self.data = bytearray(tiff)
        self._order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        self.main = self.folder(self.number("I", 4))
        self.all = [self.main]
        for folder in self.all:  # grows meanwhile: folders lie in folders
            for tag in _FOLDERS:
                if tag in folder.entries and len(self.all) <= len(_FOLDERS):
                    self.all.append(self.folder(self.number("I", folder.entries[tag] + 8)))

    def number(self, kind: str, place: int) -> int:
        """An unsigned number, 'H' or 'I'; struct.error beyond the end."""
        value: int = struct.unpack_from(self._order + kind, self.data, place)[0]
        return value

    def set_number(self, kind: str, place: int, value: int) -> None:
        struct.pack_into(self._order + kind, self.data, place, value)

    def folder(self, place: int) -> _Folder:
        count = self.number("H", place)
        self.number("I", place + 2 + _ENTRY * count)  # so that all of it is there
        places = [place + 2 + _ENTRY * index for index in range(count)]
        entries = {self.number("H", where): where for where in places}
        if len(entries) != count:
            raise struct.error("a tag stands twice")
        return _Folder(place, entries)

    def value(self, entry: int) -> tuple[int, int]:
        """Where an entry's value starts and stops."""
        kind, count = self.number("H", entry + 2), self.number("I", entry + 4)
        length = _TYPE_BYTES.get(kind, 1) * count
        start = entry + 8 if length <= 4 else self.number("I", entry + 8)
        return start, start + length

    def numbers(self, entry: int) -> list[int]:
        """The value of an entry of short or long numbers."""
        kind = "H" if self.number("H", entry + 2) == _SHORT else "I"
        start, stop = self.value(entry)
        step = struct.calcsize("=" + kind)
        return [self.number(kind, place) for place in range(start, stop, step)]

    def ranges(self, folder: _Folder) -> list[tuple[int, int]]:
        """The bytes of a folder and of its values."""
        values = [self.value(entry) for entry in folder.entries.values()]
        return [(folder.place, folder.next_pointer + 4), *values]


def clean_exif(tiff: bytes, turn: Orientation) -> bytes:
    r"""EXIF data without their preview; upright if the pixels were turned.

    The preview's bytes go, at the end of the data for good, elsewhere to zeros, so that no
    other offset moves: those of maker notes, which nobody can rewrite, stay right.

    Args:
        tiff: Behind ``Exif\0\0``. Data whose structure is damaged come back as they are.
        turn: What was applied to the pixels.
    """
    try:
        exif = Exif(tiff)
    except (struct.error, KeyError):
        return tiff
    if not turn.is_upright:
        _reset_orientation(exif, turn)
    try:
        _drop_preview(exif)
    except struct.error:  # what stands there is no preview that a reader could find
        exif.set_number("I", exif.main.next_pointer, 0)
    return bytes(exif.data)


def _reset_orientation(exif: Exif, turn: Orientation) -> None:
    if _ORIENTATION in exif.main.entries:
        entry = exif.main.entries[_ORIENTATION]
        exif.set_number("H" if exif.number("H", entry + 2) == _SHORT else "I", entry + 8, 1)
    if not turn.swap:
        return
    for folder in exif.all:
        for across, down in _SIDES:
            if across in folder.entries and down in folder.entries:
                a, b = folder.entries[across] + 2, folder.entries[down] + 2
                tail = _ENTRY - 2
                exif.data[a : a + tail], exif.data[b : b + tail] = (
                    exif.data[b : b + tail],
                    exif.data[a : a + tail],
                )


def _drop_preview(exif: Exif) -> None:
    place = exif.number("I", exif.main.next_pointer)
    if not place:
        return
    kept = [(0, _HEAD), *(part for folder in exif.all for part in exif.ranges(folder))]
    before = bytes(exif.data)
    preview = exif.folder(place)
    gone = [(place, preview.next_pointer + 4)]
    for places, lengths in _PREVIEWS:
        if places in preview.entries and lengths in preview.entries:
            starts = exif.numbers(preview.entries[places])
            counts = exif.numbers(preview.entries[lengths])
            gone += [(start, start + count) for start, count in zip(starts, counts, strict=False)]
    length = len(before)
    gone = [(start, min(stop, length)) for start, stop in gone if start < length]
    for start, stop in gone:
        exif.data[start:stop] = bytes(stop - start)
    for start, stop in kept:  # a damaged file may say that they overlap
        exif.data[start : min(stop, length)] = before[start:stop]
    exif.set_number("I", exif.main.next_pointer, 0)
    end = length
    for start, stop in sorted(gone, key=lambda part: part[1], reverse=True):
        end = min(start, end) if stop >= end else end
    del exif.data[max(end, *(min(stop, length) for _, stop in kept)) :]
