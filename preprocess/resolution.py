"""How large the output is: the picture's own size, a tier, an exact size, or what auto decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import ImageSizeError, OptionError
from common.types import Size
from preprocess.image_source import MAX_SIDE, MIN_SIDE

TIERS = (512, 1024, 2048, 4096)
"""Output tiers in pixels of the longer side."""

FITS = ("keep", "pad", "crop")
"""How the target fills a size: its aspect inside it, with a reflected border, or cut to it."""

_ORIGINAL_WORD, _AUTO_WORD = "original", "auto"
_EXACT = re.compile(r"([0-9]{1,9}) ?[x×] ?([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Resolution:
    """An output resolution as it was asked for; with all defaults, the target's own size.

    tier: pixels of the output's longer side, one of `TIERS`. exact: a size of one's own, sides
    of 16 to 65 535 px. automatic: to be decided by `auto_resolution.choose_resolution`. At most
    one of the three is given.
    """

    tier: int | None = None
    exact: Size | None = None
    automatic: bool = False

    def __post_init__(self) -> None:
        if (self.tier is not None) + (self.exact is not None) + self.automatic > 1:
            raise ValueError("a resolution is a tier, an exact size or automatic, not several")
        if self.tier is not None and self.tier not in TIERS:
            raise OptionError(f"resolution {self.tier} is not known; use {_ACCEPTED}")
        if self.exact is not None:
            _check_sides(self.exact.width, self.exact.height)

    @classmethod
    def parse(cls, text: str) -> Resolution:
        """Read ``original``, a tier such as ``2048``, a size such as ``1920x1080``, or ``auto``.

        Raises:
            OptionError: It is none of them, or a side is outside 16 to 65 535; the message says
                what is accepted.
        """
        word = text.strip().lower()
        if word == _ORIGINAL_WORD:
            return ORIGINAL
        if word == _AUTO_WORD:
            return AUTO
        if word in {str(tier) for tier in TIERS}:
            return cls(int(word))
        sides = _EXACT.fullmatch(word)
        if sides is None:
            raise OptionError(f"resolution {text!r} is not known; use {_ACCEPTED}")
        width, height = map(int, sides.groups())
        _check_sides(width, height)
        return cls(exact=Size(width, height))

    def __str__(self) -> str:
        """The text that `parse` reads back."""
        if self.automatic:
            return _AUTO_WORD
        if self.exact is not None:
            return str(self.exact)
        return _ORIGINAL_WORD if self.tier is None else str(self.tier)

    def box(self, size: Size) -> Size:
        """The rectangle that a target of ``size`` is fitted into.

        Raises:
            ValueError: The resolution is automatic and has not been decided.
        """
        if self.automatic:
            raise ValueError("an automatic resolution has to be decided before its size is known")
        if self.exact is not None:
            return self.exact
        return size if self.tier is None else Size(self.tier, self.tier)


def _check_sides(width: int, height: int) -> None:
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        raise OptionError(
            f"resolution {width}x{height}: each side must have {MIN_SIDE} to {MAX_SIDE} pixels"
        )


_ACCEPTED = (
    f"one of: {_ORIGINAL_WORD}, {', '.join(map(str, TIERS))}, {_AUTO_WORD}, "
    "or WIDTHxHEIGHT such as 1920x1080"
)
ORIGINAL = Resolution()
AUTO = Resolution(automatic=True)


def output_size(
    size: Size, resolution: Resolution, max_megapixels: float, fit: str = "keep"
) -> Size:
    """The output's size. A target that is smaller is enlarged.

    keep: the largest size of the target's aspect inside the resolution's box, so that a tier is
    the longer side; the other side is rounded to the nearest pixel and is at least 1. pad and
    crop: the box itself.

    Args:
        size: The upright target.
        resolution: What was asked for; auto must have been decided.
        max_megapixels: Largest output, in millions of pixels.
        fit: One of `FITS`.

    Raises:
        ImageSizeError: The output would be larger than ``max_megapixels``; the message names
            the nearest resolution that is possible.
        OptionError: The fit is not known.
        ValueError: The resolution is auto.
    """
    limit = max_megapixels * 1e6
    wanted = filled(size, resolution, fit)
    if wanted.pixels <= limit:
        return wanted
    nearest = _nearest(size, resolution, fit, limit)
    advice = (
        "no resolution fits that limit"
        if nearest is None
        else f"the nearest possible resolution is {nearest} ({filled(size, nearest, fit)})"
    )
    raise ImageSizeError(
        f"resolution {resolution} makes a picture of {wanted} ({wanted.pixels / 1e6:.1f} "
        f"megapixels), more than the limit of {max_megapixels:g} megapixels; {advice}"
    )


def filled(size: Size, resolution: Resolution, fit: str) -> Size:
    """`output_size` without a limit.

    Raises:
        OptionError: The fit is not known.
        ValueError: The resolution is auto.
    """
    if fit not in FITS:
        raise OptionError(f"fit {fit!r} is not known; use one of: {', '.join(FITS)}")
    box = resolution.box(size)
    return inscribed(size, box) if fit == "keep" else box


def _nearest(size: Size, resolution: Resolution, fit: str, limit: float) -> Resolution | None:
    """The largest of the named resolutions within the limit; an exact one made smaller."""

    def pixels(other: Resolution) -> int:
        return filled(size, other, fit).pixels

    if resolution.exact is None:
        possible = [
            other for other in (ORIGINAL, *map(Resolution, TIERS)) if pixels(other) <= limit
        ]
        return max(possible, key=pixels, default=None)
    reduced = reduced_box(resolution.exact, lambda box: pixels(Resolution(exact=box)) <= limit)
    return None if reduced is None else Resolution(exact=reduced)


def inscribed(size: Size, box: Size) -> Size:
    """The largest size of ``size``'s aspect inside ``box``, to the nearest pixel, at least 1."""
    if size.width * box.height >= size.height * box.width:
        return Size(box.width, _times(size.height, box.width, size.width))
    return Size(_times(size.width, box.height, size.height), box.height)


def circumscribed(size: Size, box: Size) -> Size:
    """The smallest size of ``size``'s aspect that covers ``box``, to the nearest pixel."""
    if size.width * box.height <= size.height * box.width:
        return Size(box.width, _times(size.height, box.width, size.width))
    return Size(_times(size.width, box.height, size.height), box.height)


def reduced_box(box: Size, possible: Callable[[Size], bool]) -> Size | None:
    """The largest box of the same aspect that is ``possible``, if any that may be asked for is."""

    def at(longer: int) -> Size:
        return inscribed(box, Size(longer, longer))

    # The least longer side at which the shorter one has MIN_SIDE.
    least = -(-MIN_SIDE * box.longer // min(box.width, box.height))
    longer = largest(least, box.longer, lambda side: possible(at(side)))
    return None if longer is None else at(longer)


def largest(low: int, high: int, possible: Callable[[int], bool]) -> int | None:
    """The largest number in [low, high] that is ``possible``; None if not even ``low`` is.

    If a number is possible, all smaller ones must be.
    """
    if low > high or not possible(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if possible(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _times(side: int, numerator: int, denominator: int) -> int:
    """Half up, at least 1. Integers: the same on every platform, exact for any length."""
    return max(1, (2 * side * numerator + denominator) // (2 * denominator))
