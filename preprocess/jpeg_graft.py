"""JPEG to JPEG at the original size: only the units under the faces are coded anew.

jpegtran cuts the part around the faces out, coefficient by coefficient; `jpeg_splice` replaces
the units in it that changed; jpegtran lays the part back in, and turns the picture upright where
that can be done without loss. docs/jpeg.md tells how it was measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common.errors import FileMissingError
from common.progress import Progress
from common.types import Region, Size, separated
from preprocess.image_source import Orientation
from preprocess.image_write import filling
from preprocess.jpeg_bare import FOLLOWING_REMOVED, bare_segments
from preprocess.jpeg_header import APP0, COM, SOI, JpegHeader, Scans, read_scans
from preprocess.jpeg_metadata import Kept, Segment, keep_segments, tells_orientation
from preprocess.jpeg_splice import Mosaic, Piece, on_grid
from preprocess.jpegtran import PACKAGE, PROGRAM, GraftError, Jpegtran, child_name, find_program

_COEFFICIENT_BYTES = 2
_PROGRAM_MB = 4.0
_HEAD_BYTES = 4096  # jpegtran's own segments lie in the first few hundred
_LARGEST_STEP = 255

# jpegtran's switches for the combinations (swap, flip x, flip y) of `Orientation`.
_TURNS = {
    Orientation(False, True, False): ("-flip", "horizontal"),
    Orientation(False, True, True): ("-rotate", "180"),
    Orientation(False, False, True): ("-flip", "vertical"),
    Orientation(True, False, False): ("-transpose",),
    Orientation(True, True, False): ("-rotate", "90"),
    Orientation(True, True, True): ("-transverse",),
    Orientation(True, False, True): ("-rotate", "270"),
}


@dataclass(frozen=True, slots=True)
class Grafted:
    """What came of it.

    upright: whether the pixels stand upright and the orientation tag says so; else they lie as
    they lay, and the tag stays. lost: a sentence for everything that was left out.
    """

    upright: bool
    lost: tuple[str, ...]


def obstacle(header: JpegHeader) -> str | None:
    """Why a file's blocks cannot be replaced, as the end of a sentence; None if they can."""
    parts = header.components
    factors = ", ".join(f"{part.across}x{part.down}" for part in parts)
    usual = header.sampling is not None and (header.sampling == "4:4:4" or not header.is_rgb)
    coarse = any(max(part.table, default=0) > _LARGEST_STEP for part in parts)
    reasons = (
        (find_program() is None, f"{PROGRAM} is not installed (Debian's package {PACKAGE})"),
        (header.arithmetic, "it is coded arithmetically"),
        (not header.usual_process, "it is coded in a rare way (lossless or hierarchical)"),
        (header.precision != 8, f"it has {header.precision} bits per channel"),
        (len(parts) not in (1, 3), f"it has {len(parts)} channels (CMYK or the like)"),
        (not usual, f"its channels are sampled in a rare way ({factors})"),
        (any(not part.table for part in parts), "its quantisation tables stand between its scans"),
        (coarse, f"its quantisation tables have steps above {_LARGEST_STEP}"),
    )
    return next((reason for applies, reason in reasons if applies), None)


def memory_mb(
    header: JpegHeader, regions: Sequence[Region] = (), upright: Orientation | None = None
) -> float:
    """Resident memory of jpegtran, MiB: it holds all coefficients, two bytes each.

    It also holds those of the part around ``regions`` (stored coordinates), and twice the
    picture's if it is to turn it ``upright``.
    """
    whole = _coefficients(header, header.size)
    window = _window(header, regions)
    part = 0 if window.is_empty else _coefficients(header, Size(window.width, window.height))
    turned = _turn(header, upright or Orientation())
    held = max(whole + part, whole if turned.is_upright else 2 * whole)
    return _PROGRAM_MB + held * _COEFFICIENT_BYTES / 2**20


class Graft:
    """One replacing of units, begun early; a context that ends what it began.

    jpegtran cuts the part out while its new pixels are still being computed.
    """

    def __init__(self, path: Path, header: JpegHeader, regions: Sequence[Region]) -> None:
        """Begin.

        Args:
            path: The JPEG file.
            header: Its header; `obstacle` must have none.
            regions: Where pixels may change, stored coordinates; not empty, inside the picture
                and on no grid.

        Raises:
            FileMissingError: The file cannot be read.
            GraftError: jpegtran does not start.
        """
        self._path, self._header = path, header
        self._window = window = _window(header, regions)
        if window.is_empty:
            raise ValueError("a graft needs at least one region")
        with ExitStack() as stack:
            self._source = stack.enter_context(_opened(path))
            cut = ["-crop", f"{window.width}x{window.height}+{window.x}+{window.y}"]
            self._cutter = stack.enter_context(
                Jpegtran(path, [*cut, "-restart", "1B"], self._source)
            )
            self._open = stack.pop_all()

    def __enter__(self) -> Graft:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def write(
        self,
        pieces: Sequence[Piece],
        output: Path,
        upright: Orientation,
        progress: Progress,
        *,
        bare: bool = False,
    ) -> Grafted:
        """Write a copy of the JPEG with other pixels; once only.

        Units in which no pixel differs keep their coefficients; quantisation tables, sampling,
        kind of coding, restart interval and metadata stay, but for metadata that show the old
        picture. The picture is turned upright if its sides let that be done without loss.

        Args:
            pieces: In the order of laying: regions inside those of the beginning, on no grid, and
                their pixels (uint8, grey in three equal channels). Where one is to stay as it is,
                it is the very number that libvips decodes.
            output: A file of our own, which is overwritten; after an error it holds anything.
            upright: What the orientation tag asks for.
            progress: Checked at least every 0.1 s.
            bare: Leave all metadata out but those of `bare_segments`.

        Raises:
            GraftError: jpegtran cannot do it, or warns that the file is damaged.
            UnreadableImageError: The file's end is missing.
            OSError: The output cannot be written, or a file without a name beside it.
            MemoryLimitError: Memory ran out.
            StoppedError: Cancelled or out of time.
        """
        path, header = self._path, self._header
        turn = _turn(header, upright)
        scans = read_scans(path, header)
        if scans.tables_change:
            raise GraftError(f"{path} changes its quantisation tables between its scans")
        if bare:
            lies = Orientation() if turn == upright else upright
            lost = (FOLLOWING_REMOVED,) if scans.follows else ()
            kept = Kept(bare_segments(header, lies), lost)
        else:
            kept = keep_segments(header.segments, turn, scans.follows)
        with _beside(output) as part, _coding(header, scans) as coding:
            part.writelines(self._mosaic(pieces, progress).parts())
            drop = ["-drop", f"+{self._window.x}+{self._window.y}", child_name(part)]
            switches, scripts = coding
            if turn.is_upright:
                with Jpegtran(path, [*switches, *drop], self._source, (part, *scripts)) as layer:
                    _write(output, kept.segments, layer.pieces(progress))
            else:
                with _beside(output) as laid:
                    with Jpegtran(path, drop, self._source, (part,)) as layer:
                        laid.writelines(layer.pieces(progress))
                    switches = [*switches, "-perfect", *_TURNS[turn]]
                    with Jpegtran(path, switches, laid, scripts) as turner:
                        _write(output, kept.segments, turner.pieces(progress))
        return Grafted(turn == upright, kept.lost)

    def _mosaic(self, pieces: Sequence[Piece], progress: Progress) -> Mosaic:
        header = self._header
        cut = b"".join(self._cutter.pieces(progress))
        mosaic = Mosaic(cut, self._window, header, self._path)
        regions = [on_grid(region, header) for region, _ in pieces]
        if any(region.intersect(self._window) != region for region in regions):
            raise ValueError("a piece lies outside the regions that were begun with")
        for region in separated(regions):
            mosaic.replace(region, pieces, progress)
        return mosaic


def graft(
    path: Path,
    header: JpegHeader,
    pieces: Sequence[Piece],
    output: Path,
    upright: Orientation,
    progress: Progress,
) -> Grafted:
    """Begin and write in one call; see `Graft`.

    Raises:
        DiskFullError: No room in the output's folder.
        OutputError: The output cannot be written.
    """
    with filling(output), Graft(path, header, [region for region, _ in pieces]) as begun:
        return begun.write(pieces, output, upright, progress)


def turns_exactly(header: JpegHeader, upright: Orientation) -> bool:
    """Whether the picture can be turned without loss, and its tag reset.

    A side that is mirrored must hold whole units only: the last, cut one cannot come first.
    """
    if not upright.is_upright and not tells_orientation(header.segments):
        return False
    mirror_x, mirror_y = (
        (upright.flip_y, upright.flip_x) if upright.swap else (upright.flip_x, upright.flip_y)
    )
    return not (
        (mirror_x and header.size.width % header.unit.width)
        or (mirror_y and header.size.height % header.unit.height)
    )


def _turn(header: JpegHeader, upright: Orientation) -> Orientation:
    """What will be done to the pixels: all of ``upright`` or nothing."""
    return upright if turns_exactly(header, upright) else Orientation()


def _window(header: JpegHeader, regions: Iterable[Region]) -> Region:
    """The part of the picture that is cut out.

    One unit wider than the regions: a pixel's colour comes from neighbouring units too, and
    must be decoded from the part as from the whole.
    """
    window = Region(0, 0, 0, 0)
    for region in regions:
        if region.clip(header.size) != region or region.is_empty:
            raise ValueError(f"{region} is empty or lies outside {header.size}")
        window = region if window.is_empty else window.union(region)
    if window.is_empty:
        return window
    return on_grid(window.grow(max(header.unit.width, header.unit.height)), header)


def _coefficients(header: JpegHeader, size: Size) -> int:
    """How many a JPEG of ``size`` has, in whole units."""
    unit = header.unit
    units = -(-size.width // unit.width) * -(-size.height // unit.height)
    if len(header.components) == 1:
        return 64 * units
    return 64 * units * sum(part.across * part.down for part in header.components)


@contextmanager
def _coding(header: JpegHeader, scans: Scans) -> Iterator[tuple[list[str], tuple[IO[bytes], ...]]]:
    """Switches for the coding that the file has, and the files that they name."""
    switches = []
    if header.restart_interval:
        switches += ["-restart", f"{header.restart_interval}B"]
    if not header.standard_huffman and not header.progressive:
        switches.append("-optimize")
    if not scans.script:
        yield switches, ()
        return
    with tempfile.TemporaryFile() as script:
        for parts, first, last, known, left in scans.script:
            names = " ".join(map(str, parts))
            script.write(f"{names}: {first} {last} {known} {left};\n".encode())
        yield [*switches, "-scans", child_name(script)], (script,)


def _write(output: Path, segments: Sequence[Segment], pieces: Iterable[bytes]) -> None:
    """A JPEG with other metadata: ours instead of those that jpegtran made up."""
    with output.open("wb") as file:
        file.write(bytes((0xFF, SOI)))
        for marker, data in segments:
            file.write(bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data)
        head: bytes | None = b""
        for piece in pieces:
            if head is None:
                file.write(piece)
                continue
            head += piece
            if len(head) >= _HEAD_BYTES:
                file.write(_without_metadata(head))
                head = None
        if head:
            file.write(_without_metadata(head))


def _without_metadata(head: bytes) -> bytes:
    """A JPEG's first bytes without start marker and APPn and COM segments."""
    place = 2
    while head[place + 1] == COM or APP0 <= head[place + 1] <= APP0 + 15:
        place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    return head[place:]


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise FileMissingError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file


def _beside(output: Path) -> IO[bytes]:
    """A file without a name, on the disk of the output, that ends with us."""
    return tempfile.TemporaryFile(dir=output.parent)
