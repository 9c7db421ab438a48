"""Pictures that one request keeps on disk: read at any place, gone with the process.

They are uncompressed tiled TIFFs, because libvips reads those tile by tile, while a raw file
would be mapped into memory whole and count as resident.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from common.errors import DiskFullError, ResourceError
from common.progress import Progress
from common.types import PixelArray, Size
from preprocess.image_source import DISK_FULL, vips

if TYPE_CHECKING:
    import pyvips

_OWN_FILES = Path("/proc/self/fd")
_TILE = 256
_MARGIN_BYTES = 2**20  # header and table of tiles


class Scratch:
    """A picture in a temporary file, in the system's temporary folder (TMPDIR).

    Where the system can open a file without a name again (Linux), it has none, so that not
    even a kill leaves it behind; elsewhere `close` or the object's end deletes it.
    """

    def __init__(self, needed: int, what: str) -> None:
        """An empty file.

        Args:
            needed: Bytes that will be written.
            what: The picture's name for the error.

        Raises:
            DiskFullError: The temporary folder has too little room.
            ResourceError: There is none, or nothing can be written there.
        """
        try:
            folder = tempfile.gettempdir()
        except OSError as error:  # its words name all places that were tried
            raise ResourceError(
                f"there is no temporary folder for {what}: {error.strerror}; set TMPDIR to a "
                "folder that can be written"
            ) from error
        self._full = DiskFullError(
            f"the disk is full: {what} needs {math.ceil(needed / 1e6)} MB in {folder}, which has "
            "less; make room or set TMPDIR to another folder"
        )
        try:
            if shutil.disk_usage(folder).free < needed + _MARGIN_BYTES:
                raise self._full
            number, name = tempfile.mkstemp(".tif", dir=folder)
            os.close(number)
            # By its name: the writer of rows asks the file for it.
            self._file: BinaryIO = Path(name).open("w+b")  # noqa: SIM115 - `_end` closes it
            nameless = _OWN_FILES.exists()
            if nameless:
                Path(name).unlink()
            self._path = _OWN_FILES / str(self._file.fileno()) if nameless else Path(name)
            self._end = weakref.finalize(self, _end, self._file, None if nameless else self._path)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise self._full from error
            raise ResourceError(
                f"{what} needs a file in the temporary folder {folder}, which cannot be made: "
                f"{error.strerror}; set TMPDIR to a folder that can be written"
            ) from error

    @classmethod
    def of_image(cls, image: pyvips.Image, what: str, progress: Progress | None = None) -> Scratch:
        """Compute a picture into a file.

        Raises:
            DiskFullError: There is no room for it.
            ResourceError: There is no folder for it.
            pyvips.Error: It could not be computed.
            StoppedError: ``progress`` ended the work.
        """
        from preprocess.image_write import run_with_progress

        scratch = cls(bytes_of(image), what)
        target = vips().Target.new_to_descriptor(scratch._file.fileno())
        layout = {"tile": True, "tile_width": _TILE, "tile_height": _TILE, "bigtiff": True}

        plain = image.copy(interpretation="multiband")  # numbers as they are, whatever they mean

        def write() -> None:
            plain.tiffsave_target(target, compression="none", keep="none", **layout)

        try:
            if progress is None:
                write()
            else:
                progress.check()
                run_with_progress(plain, write, progress)
        except vips().Error as error:
            scratch._raise_if_full(error)
            raise
        return scratch

    @classmethod
    def of_rows(
        cls, size: Size, bands: int, dtype: np.dtype[Any], rows: Iterator[PixelArray], what: str
    ) -> Scratch:
        """Write a picture that comes in strips.

        Args:
            rows: h x W x ``bands`` arrays of any heights, from the top, H rows in all.

        Raises:
            DiskFullError: There is no room for it.
            ResourceError: There is no folder for it.
        """
        import tifffile

        scratch = cls(size.pixels * bands * dtype.itemsize, what)
        try:
            tifffile.imwrite(
                scratch._file,
                data=_tiles(size.width, rows),
                shape=(size.height, size.width, bands)[: 2 if bands == 1 else 3],
                dtype=dtype,
                tile=(_TILE, _TILE),
                photometric="minisblack",
                planarconfig=None if bands == 1 else "contig",
                bigtiff=True,
                metadata=None,
            )
            scratch._file.flush()
        except OSError as error:
            # numpy, which the writer uses, only says how many bytes were left over.
            if error.errno is None or error.errno in DISK_FULL:
                raise scratch._full from error
            raise
        return scratch

    def image(self, like: pyvips.Image | None = None) -> pyvips.Image:
        """The picture for random access, with the meaning of ``like``'s numbers and its metadata.

        Each call answers an independent picture with a file position of its own.
        """
        # A copy of the descriptor would share its position with every other one.
        number = os.open(self._path, os.O_RDONLY)
        try:
            source = vips().Source.new_from_descriptor(number)  # makes a copy of its own
        finally:
            os.close(number)
        image = vips().Image.tiffload_source(source)
        return image if like is None else with_meaning(image, like)

    def close(self) -> None:
        """Give the room back; pictures that are still open keep it until they end."""
        self._end()

    def _raise_if_full(self, error: Exception) -> None:
        """Find out by a trial whether the disk was the reason.

        Raises:
            DiskFullError: One more mebibyte does not fit.
        """
        try:
            os.pwrite(
                self._file.fileno(), bytes(_MARGIN_BYTES), os.fstat(self._file.fileno()).st_size
            )
        except OSError as trial:
            if trial.errno in DISK_FULL:
                raise self._full from error


def _end(file: BinaryIO, path: Path | None) -> None:
    with suppress(OSError):  # bytes that found no room; the error was raised when they were written
        file.close()
    if path is not None:
        path.unlink(missing_ok=True)


def with_meaning(image: pyvips.Image, like: pyvips.Image) -> pyvips.Image:
    """``image`` with the interpretation, resolution and metadata of ``like``."""
    image = image.copy(interpretation=like.interpretation, xres=like.xres, yres=like.yres)
    own = set(image.get_fields())
    for name in like.get_fields():
        if name not in own or name in ("orientation", "bits-per-sample"):
            image.set_type(like.get_typeof(name), name, like.get(name))
    for name in own - set(like.get_fields()):
        image.remove(name)
    return image


def bytes_of(image: pyvips.Image) -> int:
    """What all pixels of a picture of 8 or 16 bits take."""
    return int(image.width * image.height * image.bands * (2 if image.format == "ushort" else 1))


def _tiles(width: int, rows: Iterator[PixelArray]) -> Iterator[PixelArray]:
    """Strips of any heights cut into tiles, row of tiles after row of tiles."""
    held: list[PixelArray] = []
    count = 0
    for strip in rows:
        held.append(strip)
        count += len(strip)
        while count >= _TILE:
            joined = np.concatenate(held)
            yield from _row_of_tiles(joined[:_TILE], width)
            held, count = [joined[_TILE:]], count - _TILE
    if count:
        yield from _row_of_tiles(np.concatenate(held), width)


def _row_of_tiles(strip: PixelArray, width: int) -> Iterator[PixelArray]:
    padded = np.zeros((_TILE, -(-width // _TILE) * _TILE, strip.shape[2]), strip.dtype)
    padded[: len(strip), :width] = strip
    for left in range(0, width, _TILE):
        yield padded[:, left : left + _TILE]
