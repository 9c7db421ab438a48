"""How a result becomes a file: copied, grafted into the target's JPEG, or encoded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import MemoryLimitError, OptionError, StudioError
from common.progress import Progress
from common.types import PixelArray, Region
from preprocess.encoders import encoder_memory
from preprocess.frame import Frame
from preprocess.image_file import ImageFile
from preprocess.image_format import NAMES
from preprocess.image_write import check_size, filling, output_format, replacing
from preprocess.jpeg_bare import write_bare
from preprocess.jpeg_graft import Graft, memory_mb, obstacle
from preprocess.jpeg_header import JpegHeader, read_jpeg_header
from preprocess.jpegtran import GraftError
from preprocess.patch import Patch
from preprocess.rendition import Rendition

# For a graft: three channels and up to two bytes of code; what comparing a strip takes.
_PIXEL_BYTES = 5
_STRIP_BYTES = 20_000_000
_MOST = 0.9  # share of the picture that changes above which a graft would spare next to nothing
_LIES = (
    "the picture stays as it lies in the file, with the tag by which viewers turn it: its sides "
    "do not let it be turned without loss"
)
_LIES_BARE = (
    "the tag by which viewers turn the picture is the only one that stays: its sides do not let "
    "it be turned without loss"
)
_COPY_LIES = (
    "the tag by which viewers turn the picture is the only one that stays: its pixels are as they "
    "were"
)
_LOSSLESS = ("png", "tiff")
_ENCODED_BARE = (
    "the picture was encoded anew to leave its metadata out, although nothing in it changes; PNG "
    "and TIFF would keep every pixel"
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for.

    output: its suffix decides the format. quality: 1-100, None for the target's own. graft:
    'auto', 'always' or 'never'. bare: without metadata but colour profile and resolution.
    """

    output: Path
    quality: int | None
    graft: str
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of it.

    written: 'copied' byte for byte, 'stripped' (a copy without its metadata), 'grafted' or
    'encoded'. warnings: what was lost on the way. notes: what was decided. extra_mb: resident
    memory of other processes that took part, MiB.
    """

    written: str
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    extra_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be delivered.

    target: the picture. frame: how the output lies over it. regions: where pixels may change,
    in the picture at ``frame.at`` before its upright turn.
    """

    target: ImageFile
    frame: Frame
    regions: tuple[Region, ...]


class Delivery(AbstractContextManager["Delivery"]):
    """A decision and what it began; see `plan_delivery`.

    A graft begins with the object: its program reads the target while faces are rendered.
    """

    def __init__(
        self,
        job: Job,
        wishes: Wishes,
        header: JpegHeader | None = None,
        reason: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Begin.

        Args:
            job: What is to be delivered.
            wishes: What was asked for.
            header: Of a JPEG that stays what it is; None for all others.
            reason: Why such a file is not grafted; None if it is.
            notes: What was decided about a picture that is encoded.

        Raises:
            GraftError: A graft was asked for and its program does not start.
        """
        self._job = job
        self._wishes = wishes
        self._header = header
        self._reason = reason
        self._notes = notes
        self._graft: Graft | None = None
        if header is None or reason is not None or not job.regions:
            return
        try:
            self._graft = Graft(job.target.path, header, job.regions)
        except GraftError as error:
            if wishes.graft == "always":
                raise
            self._reason = _failed(error)

    @property
    def held_mb(self) -> float:
        """What other processes hold of the memory while faces are rendered, MiB."""
        if self._graft is None or self._header is None:
            return 0.0
        return memory_mb(self._header, self._job.regions, self._job.target.header.orientation)

    def __exit__(self, *_: object) -> None:
        if self._graft is not None:
            self._graft.__exit__()

    def write(self, base: Rendition, patches: Sequence[Patch], progress: Progress) -> Delivered:
        """Write the output, complete or not at all.

        Args:
            base: The target at the output's scale.
            patches: In the order of laying, inside the job's regions.
            progress: Advanced and checked meanwhile.

        Raises:
            OutputError: The file cannot be written there, or is too large for the format.
            UnreadableImageError: The target's pixel data are damaged.
            ResourceError: Memory or disk ran out.
            StoppedError: Cancelled or out of time.
        """
        job, output = self._job, self._wishes.output
        own = job.frame.at == job.target.size and job.frame.is_whole
        kind = output_format(output)
        notes = self._notes
        if not patches and own and kind == job.target.format:
            if not self._wishes.bare:
                job.target.copy_to(output)
                return Delivered("copied")
            if kind == "jpeg":
                return self._write_bare(progress)
            notes = () if kind in _LOSSLESS else (_ENCODED_BARE,)
        reason = self._reason
        if self._graft is not None:
            try:
                return self._write_graft(self._graft, patches, progress)
            except (GraftError, MemoryLimitError) as error:
                if self._wishes.graft == "always":
                    raise
                reason = _failed(error)
                self._graft.__exit__()  # its memory is wanted now
        window, quality = job.frame.window, self._wishes.quality
        bare = self._wishes.bare
        lost = base.write(output, window, patches, quality, progress, bare=bare)
        if self._header is None or reason is None:
            return Delivered("encoded", lost, notes)
        quality = self._header.quality() if quality is None else quality
        warning = (
            f"the whole picture was encoded anew at quality {quality}, because {reason}; in a "
            "PNG or TIFF all but the face would stay exactly as it is"
        )
        return Delivered("encoded", (warning, *lost))

    def _write_bare(self, progress: Progress) -> Delivered:
        """Copy a JPEG of which no pixel changes, without its metadata."""
        target = self._job.target
        header = self._header or read_jpeg_header(target.path)
        lies = target.header.orientation
        lost = write_bare(target.path, header, self._wishes.output, lies, progress)
        return Delivered("stripped", lost, () if lies.is_upright else (_COPY_LIES,))

    def _write_graft(self, graft: Graft, patches: Sequence[Patch], progress: Progress) -> Delivered:
        pieces = [(patch.region, _rgb(patch.array())) for patch in patches]
        turn = self._job.target.header.orientation
        output = self._wishes.output
        with replacing(output) as partial, filling(output):
            done = graft.write(pieces, partial, turn, progress, bare=self._wishes.bare)
        notes = () if done.upright else (_LIES_BARE if self._wishes.bare else _LIES,)
        return Delivered("grafted", done.lost, notes, self.held_mb)


def plan_delivery(job: Job, wishes: Wishes, spare_mb: float) -> Delivery:
    """Decide how the output will be written, and begin.

    A JPEG that stays what it is, apart from the faces, is grafted: only the blocks under them
    are replaced. Where that is not possible, or its memory does not fit, the picture is streamed
    through the decoder and the encoder, and a warning says why; where nearly all of it changes,
    a note does, unless a graft was asked for.

    Args:
        job: What is to be delivered.
        wishes: What was asked for.
        spare_mb: Memory that may still be taken, MiB.

    Raises:
        OptionError: A graft was asked for and is not possible.
        MemoryLimitError: A graft was asked for and does not fit the memory, nor does an encoder
            that takes pictures whole.
        OutputError: The output is too large for its format.
    """
    _check_encoder(job, wishes.output, spare_mb)
    always = wishes.graft == "always"
    stays = (
        job.target.format == output_format(wishes.output) == "jpeg"
        and job.frame.at == job.target.size
        and job.frame.is_whole
    )
    if not stays:
        if always:
            raise OptionError(
                "jpeg-graft always needs a JPEG target, an output that ends in .jpg or .jpeg, and "
                "the original resolution; use jpeg-graft auto"
            )
        return Delivery(job, wishes)
    if wishes.graft == "never" or (wishes.quality is not None and not always):
        return Delivery(job, wishes)
    header = read_jpeg_header(job.target.path)
    if not always and _changing(job) > _MOST * job.frame.at.pixels:
        quality = header.quality()
        note = f"the whole picture was encoded at quality {quality}, because all of it changes"
        return Delivery(job, wishes, notes=(note,))
    reason = obstacle(header)
    if reason is not None and always:
        path = job.target.path
        raise OptionError(f"jpeg-graft always: {path} cannot be grafted, because {reason}")
    if reason is None:
        needed = memory_mb(header, job.regions, job.target.header.orientation) + _own_mb(job)
        if needed > spare_mb:
            reason = f"a graft needs {needed:.0f} MB of memory, and {spare_mb:.0f} MB may be used"
            if always:
                raise MemoryLimitError(f"jpeg-graft always: {reason}; raise max-memory-mb")
    return Delivery(job, wishes, header, reason)


def _own_mb(job: Job) -> float:
    """What this process holds for a graft, MiB: new pixels, the part as JPEG, a strip of it."""
    return (_PIXEL_BYTES * _changing(job) + _STRIP_BYTES) / 2**20


def _changing(job: Job) -> int:
    """How many pixels may change."""
    return sum(region.pixels for region in job.regions)


def _failed(error: StudioError) -> str:
    return f"it could not be grafted: {error.message}"


def _check_encoder(job: Job, output: Path, spare_mb: float) -> None:
    header, size = job.target.header, job.frame.size
    check_size(output, size, header.depth, header.has_alpha)
    kind = output_format(output)
    needed = encoder_memory(kind, size, header.depth, header.has_alpha) / 2**20
    if needed > spare_mb:
        raise MemoryLimitError(
            f"the output {output} of {size} would need {needed:.0f} MB of memory, because "
            f"{NAMES[kind]} is encoded whole, and {spare_mb:.0f} MB may be used; write TIFF, PNG "
            "or JPEG, choose a smaller resolution, or raise max-memory-mb"
        )


def _rgb(pixels: PixelArray) -> PixelArray:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
