"""A JPEG cut at its units: those that changed are coded anew, the others keep their bytes.

With a restart marker behind every minimum coded unit, the code of each stands for itself
(ITU-T T.81, F.2.1.3.1: its DC prediction starts at zero). Two pictures of the same sampling,
steps and Huffman codes can then be mixed unit by unit without decoding either.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from common.progress import Progress
from common.types import ByteArray, PixelArray, Region, Size
from preprocess.image_source import reading, vips
from preprocess.jpeg_header import EOI, SOS, JpegHeader, Table
from preprocess.jpegtran import GraftError, Jpegtran

if TYPE_CHECKING:
    from pathlib import Path

    import pyvips

Piece = tuple[Region, PixelArray]
"""A region of the stored picture and its pixels, H x W x 3 uint8."""

# Pixels that are decoded, compared and encoded at a time: about 10 bytes of memory each.
_STRIP_PIXELS = 2_000_000

# How Pillow numbers samplings; 4:4:0, which it lacks, is 4:2:2 of the transposed picture.
_PILLOW_SAMPLINGS = {"grey": 0, "4:4:4": 0, "4:2:2": 1, "4:2:0": 2, "4:4:0": 1}

_RESTART = 0xD0
_RESTARTS = 8


def on_grid(region: Region, header: JpegHeader) -> Region:
    """``region`` grown to whole units and clipped to the picture; both as stored."""
    across, down = header.unit.width, header.unit.height
    x, y = region.x // across * across, region.y // down * down
    right, bottom = -(-region.right // across) * across, -(-region.bottom // down) * down
    return Region(x, y, right - x, bottom - y).clip(header.size)


@dataclass(frozen=True, slots=True)
class _Units:
    """A JPEG with a restart marker behind each unit.

    bounds: unit i, with the marker behind it, is data[bounds[i]:bounds[i + 1]].
    """

    data: bytes | bytearray
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, data: bytes | bytearray, count: int, path: Path) -> _Units:
        """Look for the markers.

        Raises:
            GraftError: It is no JPEG, or there are not ``count`` units.
        """
        try:
            start = _data_start(data)
        except struct.error as error:
            raise GraftError(f"what jpegtran wrote of {path} is not a JPEG") from error
        code = np.frombuffer(data, np.uint8, offset=start)
        marks = np.flatnonzero(code[:-1] == 0xFF)
        kinds = code[marks + 1]
        ends = marks[(kinds >= _RESTART) & (kinds <= EOI) & (kinds != EOI - 1)] + 2
        if len(ends) != count:
            raise GraftError(f"jpegtran wrote {len(ends)} units of {path} instead of {count}")
        return cls(data, np.concatenate([[0], ends]) + start)


class Mosaic:
    """A part of a JPEG in which units are replaced.

    Bytes of the part are kept for every unit in which no pixel differs, so that it is decoded
    to the very same pixels.
    """

    def __init__(self, part: bytes, window: Region, header: JpegHeader, path: Path) -> None:
        """Find the units.

        Args:
            part: The JPEG of ``window``: sequential, standard Huffman codes, a restart marker
                behind each unit.
            window: Where it lies in the stored picture; on the grid.
            header: The whole picture's.
            path: The picture's name, for errors.

        Raises:
            GraftError: It is not such a JPEG.
        """
        self._window, self._header, self._path = window, header, path
        self._grid = _grid(window, header.unit)
        self._part = _Units.of(part, self._grid.pixels, path)
        self._owner = np.zeros((self._grid.height, self._grid.width), np.int32)
        self._others: list[tuple[_Units, Region]] = []

    def replace(self, region: Region, pieces: Sequence[Piece], progress: Progress) -> None:
        """Lay pieces, in their order, over a region on the grid, which bounds them.

        Raises:
            UnreadableImageError: The part does not decode.
            StoppedError: Cancelled or out of time.
        """
        rows = max(1, _STRIP_PIXELS // (region.width * self._header.unit.height))
        height = rows * self._header.unit.height
        image: pyvips.Image = None
        with reading(self._path):
            image = vips().Image.jpegload_buffer(self._part.data, access="sequential")
        for top in range(region.y, region.bottom, height):
            progress.check()
            strip = Region(region.x, top, region.width, min(height, region.bottom - top))
            inside = Region(strip.x - self._window.x, top - self._window.y, *_sides(strip))
            with reading(self._path):
                crop = image.crop(inside.x, inside.y, inside.width, inside.height).numpy()
            old = crop.reshape(inside.height, inside.width, -1)
            self._replace_strip(strip, old, _overlaid(old, strip, pieces), progress)

    def parts(self) -> Iterator[bytes | bytearray | memoryview]:
        """The JPEG with its new units, in pieces."""
        yield memoryview(self._part.data)[: self._part.bounds[0]]
        owner = self._owner.ravel()
        starts = np.arange(len(owner)) % self._grid.width == 0
        starts[1:] |= owner[1:] != owner[:-1]
        places = np.append(np.flatnonzero(starts), len(owner))
        last = memoryview(b"")
        for first, stop in zip(places[:-1].tolist(), places[1:].tolist(), strict=True):
            yield last
            last = self._run(int(owner[first]), first, stop - first)
        yield last[:-2]
        yield bytes((0xFF, EOI))  # in place of the marker behind the last unit

    def _run(self, owner: int, first: int, count: int) -> memoryview:
        """Units ``first`` ... of one row, from the part or from what replaces it."""
        units = self._part
        if owner:
            units, place = self._others[owner - 1]
            row, column = divmod(first, self._grid.width)
            first = (row - place.y) * place.width + column - place.x
        return memoryview(units.data)[units.bounds[first] : units.bounds[first + count]]

    def _replace_strip(
        self, strip: Region, old: ByteArray, new: ByteArray, progress: Progress
    ) -> None:
        unit = self._header.unit
        # Channels side by side: sums along long rows are several times faster.
        differs = (old != new).reshape(strip.height, -1)
        rows = np.logical_or.reduceat(differs, np.arange(0, strip.height, unit.height), axis=0)
        columns = np.arange(0, differs.shape[1], unit.width * old.shape[2])
        changed = np.logical_or.reduceat(rows, columns, axis=1)
        if not changed.any():
            return
        place = Region(
            (strip.x - self._window.x) // unit.width,
            (strip.y - self._window.y) // unit.height,
            changed.shape[1],
            changed.shape[0],
        )
        code = bytearray(_encode(new, self._header, self._path, progress))
        units = _Units.of(code, place.pixels, self._path)
        self._number(units, place)
        self._others.append((units, place))
        area = self._owner[place.y : place.bottom, place.x : place.right]
        area[changed] = len(self._others)

    def _number(self, units: _Units, place: Region) -> None:
        """Restart markers count units from 0 to 7 and again: give ours those of their places."""
        row, column = np.divmod(np.arange(place.pixels), place.width)
        index = (row + place.y) * self._grid.width + column + place.x
        code = np.frombuffer(units.data, np.uint8)
        code[units.bounds[1:] - 1] = _RESTART + index % _RESTARTS


def _sides(region: Region) -> tuple[int, int]:
    return region.width, region.height


def _grid(window: Region, unit: Size) -> Size:
    """Units across and down."""
    return Size(-(-window.width // unit.width), -(-window.height // unit.height))


def _overlaid(old: ByteArray, strip: Region, pieces: Sequence[Piece]) -> ByteArray:
    """A copy of the strip's pixels (H x W x 1 or 3) with the pieces over it."""
    from PIL import Image

    new: ByteArray = old.copy()
    for region, pixels in pieces:
        common = region.intersect(strip)
        if common.is_empty:
            continue
        laid = pixels[common.within(region)]
        if old.shape[2] == 1:
            # Rec. 601, which leaves R = G = B as it is.
            luma = Image.fromarray(np.ascontiguousarray(laid)).convert("L")
            laid = np.asarray(luma)[..., np.newaxis]
        new[common.within(strip)] = laid
    return new


def _encode(pixels: ByteArray, header: JpegHeader, path: Path, progress: Progress) -> bytes:
    """A JPEG with the picture's own steps and sampling and a restart marker behind each unit."""
    from PIL import Image

    transposed = header.sampling == "4:4:0"
    tables: list[Table] = [part.table for part in header.components]
    if transposed:
        pixels = pixels.swapaxes(0, 1)
        tables = [
            tuple(table[place % 8 * 8 + place // 8] for place in range(64)) for table in tables
        ]
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        stream,
        "JPEG",
        qtables=[list(table) for table in tables],
        subsampling=_PILLOW_SAMPLINGS[header.sampling or ""],
        keep_rgb=header.is_rgb,
        restart_marker_blocks=1,
    )
    if not transposed:
        return stream.getvalue()
    with tempfile.TemporaryFile() as file:
        file.write(stream.getbuffer())
        with Jpegtran(path, ["-transpose", "-restart", "1B"], file) as child:
            return b"".join(child.pieces(progress))


def _data_start(data: bytes | bytearray) -> int:
    """Where the entropy-coded data of the first scan start."""
    place = 2
    while True:
        marker: int
        length: int
        marker, length = struct.unpack_from(">xBH", data, place)
        place += 2 + length
        if marker == SOS:
            return place
