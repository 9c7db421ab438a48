"""The resolution auto: chosen from the picture, its faces and the memory that is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.types import Size
from preprocess.image_source import MAX_SIDE
from preprocess.resolution import ORIGINAL, TIERS, Resolution, circumscribed, filled

AUTO_TABLE: tuple[tuple[int, int | None], ...] = (
    (2048, None),
    (1024, 4096),
    (512, 2048),
    (256, 1024),
    (128, 512),
    (1, None),
)
"""Rows of (side from, largest tier); the first row that a target reaches counts.

The side is the one that a tier sets: the longer, for crop the shorter. None: always original.
No row enlarges more than four times.
"""

ENOUGH_DETAIL = 0.8
"""A face shows what the source has if it is this large beside the source's own."""

# Measured with outputs of 0.7 to 384 megapixels (docs/resolution.md); meant to be too high rather
# than too low. MiB and bytes.
_FIXED_MB = 80.0
_BYTES_PER_COLUMN = 8 * 2**10
_SOURCE_AREA = 3.24  # of a face's size squared: its box and 0.4 of it on each side
_SOURCE_RESERVE = 1.25  # finer than it is shown, as far as the source goes
_SOURCE_BYTES = 6  # 8-bit RGB, and once more while it is read
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class AutoChoice:
    """What auto decided, and why as a sentence for the person who asked."""

    resolution: Resolution
    reason: str


def choose_resolution(
    size: Size,
    faces: Sequence[tuple[float, float]],
    free_mb: float,
    max_megapixels: float,
    fit: str = "keep",
) -> AutoChoice:
    """Decide a resolution.

    A target that is large enough keeps its size. A smaller one goes to the smallest tier at
    which its faces show the detail that the sources have, as far as `AUTO_TABLE` and the limits
    of size allow. Where free memory does not hold what that takes, to a smaller one.

    Args:
        size: The upright target.
        faces: For each pair the size of the target's and of the source's face, px.
        free_mb: MiB that the fusion may still take.
        max_megapixels: Largest output, in millions of pixels; the target is within it.
        fit: One of `resolution.FITS`.

    Raises:
        ValueError: There is no pair, or a face without a size.
    """
    if not faces or any(min(pair) <= 0 for pair in faces):
        raise ValueError("auto needs the sizes of at least one pair of faces")
    side = min(size.width, size.height) if fit == "crop" else size.longer
    original = _Option(ORIGINAL, 1.0, size)
    tiers = [
        _Option(resolution, tier / side, filled(size, resolution, fit))
        for tier in TIERS
        for resolution in [Resolution(tier)]
        if _is_possible(size, resolution, max_megapixels, fit)
    ]
    chosen, reason = _by_detail(side, faces, original, tiers)
    smaller = [option for option in reversed(tiers) if option.scale < chosen.scale]
    needed = chosen.needed_mb(faces)
    if needed <= free_mb or not smaller:
        return AutoChoice(chosen.resolution, reason)
    fitting = [option for option in smaller if option.needed_mb(faces) <= free_mb]
    instead = fitting[0] if fitting else smaller[-1]
    return AutoChoice(
        instead.resolution,
        f"auto chose {instead.resolution}: {chosen.resolution} would take about {needed:.0f} MB "
        f"of memory, and {free_mb:.0f} MB are free",
    )


def working_set_mb(at: Size, faces: Sequence[tuple[float, float]]) -> float:
    """Roughly what rendering and writing hold beside what the process has already, MiB.

    The streamed rows of an 8-bit picture and the pixels of the sources' faces. The fused pixels
    are not in it: what memory does not hold of them is kept on disk.

    Args:
        at: The output's size.
        faces: For each pair the size of the target's face in the output and of the source's
            face in its own picture, px.
    """
    given = sum(min(_SOURCE_RESERVE * shown, source) ** 2 for shown, source in faces)
    size = at.width * _BYTES_PER_COLUMN + given * _SOURCE_AREA * _SOURCE_BYTES
    return _FIXED_MB + size / _MIB


@dataclass(frozen=True, slots=True)
class _Option:
    """A resolution, how much it enlarges the target, and the output's size."""

    resolution: Resolution
    scale: float
    at: Size

    def needed_mb(self, faces: Sequence[tuple[float, float]]) -> float:
        return working_set_mb(self.at, [(target * self.scale, source) for target, source in faces])


def _is_possible(size: Size, resolution: Resolution, max_megapixels: float, fit: str) -> bool:
    """Whether `frame.plan_frame` takes a resolution, as far as sizes go."""
    box = filled(size, resolution, fit)
    too_long = fit == "crop" and circumscribed(size, box).longer > MAX_SIDE
    return box.pixels <= max_megapixels * 1e6 and not too_long


def _by_detail(
    side: int,
    faces: Sequence[tuple[float, float]],
    original: _Option,
    tiers: Sequence[_Option],
) -> tuple[_Option, str]:
    """What the picture and its faces call for, whatever memory there is, and the sentence."""
    largest = next(tier for least, tier in AUTO_TABLE if side >= least)
    if largest is None:
        why = "are enough" if side >= AUTO_TABLE[0][0] else "are too few to enlarge"
        return original, f"auto chose original: the target's {side} px {why}"
    target, source = max(faces, key=lambda pair: pair[1] / pair[0])
    seen = f"the source's face has detail for {source:.0f} px, the target shows {target:.0f}"
    wanted = ENOUGH_DETAIL * source / target
    if wanted <= 1:
        return original, f"auto chose original: {seen}"
    larger = [
        option for option in tiers if option.scale > 1 and (option.resolution.tier or 0) <= largest
    ]
    if not larger:
        return original, "auto chose original: the limits of size allow no larger tier"
    chosen = next((option for option in larger if option.scale >= wanted), larger[-1])
    what = str(chosen.resolution)
    if chosen.scale < wanted:
        what = f"{what}, the largest that is possible here"
    return chosen, f"auto chose {what}: {seen}"
