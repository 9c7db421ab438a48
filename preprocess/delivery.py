"""How a result becomes a file: copied, grafted into the target's JPEG, or encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import MemoryLimitError, OptionError
from common.progress import Progress
from common.types import PixelArray
from preprocess import jpeg_graft
from preprocess.frame import Frame
from preprocess.image_file import ImageFile
from preprocess.image_write import output_format, replacing
from preprocess.jpeg_header import JpegHeader, read_jpeg_header
from preprocess.patch import Patch
from preprocess.rendition import Rendition


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for.

    output: its suffix decides the format. quality: 1-100, None for the target's own. graft:
    'auto', 'always' or 'never'.
    """

    output: Path
    quality: int | None
    graft: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """written: 'copied', 'grafted' or 'encoded'. warnings: what was lost on the way.

    extra_mb: resident memory of other processes that took part, MiB.
    """

    written: str
    warnings: tuple[str, ...] = ()
    extra_mb: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """The decision, made before anything is rendered; see `plan_delivery`."""

    target: ImageFile
    frame: Frame
    wishes: Wishes
    _grafting: JpegHeader | None
    _warnings: tuple[str, ...]

    def write(self, base: Rendition, patches: Sequence[Patch], progress: Progress) -> Delivered:
        """Write the output, complete or not at all.

        Args:
            base: The target at the output's scale.
            patches: In the order of laying, aligned.
            progress: Advanced and checked meanwhile.

        Raises:
            OutputError: The file cannot be written there, or is too large for the format.
            UnreadableImageError: The target's pixel data are damaged.
            ResourceError: Memory or disk ran out.
            StoppedError: Cancelled or out of time.
        """
        output = self.wishes.output
        own = self.frame.at == self.target.size and self.frame.is_whole
        if not patches and own and output_format(output) == self.target.format:
            self.target.copy_to(output)
            return Delivered("copied")
        if self._grafting is not None:
            return self._graft(self._grafting, patches, progress)
        window = self.frame.window
        lost = base.write(output, window, patches, self.wishes.quality, progress)
        return Delivered("encoded", (*self._warnings, *lost))

    def _graft(self, header: JpegHeader, patches: Sequence[Patch], progress: Progress) -> Delivered:
        pieces = [(patch.region, _rgb(patch.array())) for patch in patches]
        turn = self.target.header.orientation
        with replacing(self.wishes.output) as partial:
            done = jpeg_graft.graft(self.target.path, header, pieces, partial, turn, progress)
        regions = [region for region, _ in pieces]
        return Delivered("grafted", done.lost, jpeg_graft.memory_mb(header, regions, turn))


def _rgb(pixels: PixelArray) -> PixelArray:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def plan_delivery(target: ImageFile, frame: Frame, wishes: Wishes, spare_mb: float) -> Delivery:
    """Decide how the output will be written.

    A JPEG that stays what it is, apart from the faces, is grafted: only the blocks under them
    are replaced. Where that is not possible, or its memory does not fit, the picture is streamed
    through the decoder and the encoder, and a warning says why.

    Args:
        target: The picture.
        frame: How the output lies over it.
        wishes: What was asked for.
        spare_mb: Memory that may still be taken, MiB.

    Raises:
        OptionError: A graft was asked for and is not possible.
        MemoryLimitError: A graft was asked for and does not fit the memory.
    """
    always = wishes.graft == "always"
    stays = (
        target.format == output_format(wishes.output) == "jpeg"
        and frame.at == target.size
        and frame.is_whole
    )
    if not stays:
        if always:
            raise OptionError(
                "jpeg-graft always needs a JPEG target, an output that ends in .jpg or .jpeg, and "
                "the original resolution; use jpeg-graft auto"
            )
        return Delivery(target, frame, wishes, None, ())
    if wishes.graft == "never" or (wishes.quality is not None and not always):
        return Delivery(target, frame, wishes, None, ())
    header = read_jpeg_header(target.path)
    reason = jpeg_graft.obstacle(header)
    if reason is not None and always:
        raise OptionError(f"jpeg-graft always: {target.path} cannot be grafted because {reason}")
    if reason is None:
        needed = jpeg_graft.memory_mb(header)
        if needed <= spare_mb:
            return Delivery(target, frame, wishes, header, ())
        reason = f"grafting would need {needed:.0f} MB of memory and {spare_mb:.0f} MB may be used"
        if always:
            raise MemoryLimitError(f"jpeg-graft always: {reason}; raise max-memory-mb")
    warning = f"the whole picture was encoded anew at quality {header.quality()}, because {reason}"
    return Delivery(target, frame, wishes, None, (warning,))
