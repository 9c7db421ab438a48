"""How large the output is: the picture's own size, or a tier for its longer side."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import ImageSizeError, OptionError
from common.types import Size

TIERS = (512, 1024, 2048, 4096)
"""Output tiers in pixels of the longer side."""

_ORIGINAL_WORD = "original"


@dataclass(frozen=True, slots=True)
class Resolution:
    """An output resolution as it was asked for.

    tier: pixels of the output's longer side, one of `TIERS`; None for the target's own size.
    """

    tier: int | None = None

    def __post_init__(self) -> None:
        if self.tier is not None and self.tier not in TIERS:
            raise OptionError(f"resolution {self.tier} is not known; use one of: {_accepted()}")

    @classmethod
    def parse(cls, text: str) -> Resolution:
        """Read ``original`` or a tier such as ``2048``.

        Raises:
            OptionError: It is neither; the message lists what is accepted.
        """
        word = text.strip().lower()
        if word == _ORIGINAL_WORD:
            return ORIGINAL
        if word in {str(tier) for tier in TIERS}:
            return cls(int(word))
        raise OptionError(f"resolution {text!r} is not known; use one of: {_accepted()}")

    def __str__(self) -> str:
        """The text that `parse` reads back."""
        return _ORIGINAL_WORD if self.tier is None else str(self.tier)


ORIGINAL = Resolution()


def output_size(size: Size, resolution: Resolution, max_megapixels: float) -> Size:
    """The output's size: a tier becomes the longer side, the aspect ratio is kept.

    Pictures smaller than the tier are enlarged. The shorter side is rounded to the nearest
    pixel and is at least 1.

    Args:
        size: The upright target.
        resolution: What was asked for.
        max_megapixels: Largest output, in millions of pixels.

    Raises:
        ImageSizeError: The output would be larger than ``max_megapixels``; the message names
            the nearest resolution that is possible.
    """
    wanted = _scaled(size, resolution)
    limit = max_megapixels * 1e6
    if wanted.pixels <= limit:
        return wanted
    others = [ORIGINAL, *(Resolution(tier) for tier in TIERS)]
    possible = [other for other in others if _scaled(size, other).pixels <= limit]
    nearest = max(possible, key=lambda other: _scaled(size, other).longer, default=None)
    advice = (
        "no resolution fits that limit"
        if nearest is None
        else f"the nearest possible resolution is {nearest} ({_scaled(size, nearest)})"
    )
    raise ImageSizeError(
        f"resolution {resolution} makes a picture of {wanted} ({wanted.pixels / 1e6:.1f} "
        f"megapixels), more than the limit of {max_megapixels:g} megapixels; {advice}"
    )


def _scaled(size: Size, resolution: Resolution) -> Size:
    """``size`` with its longer side at the tier; ``size`` itself without a tier."""
    tier = resolution.tier
    if tier is None or tier == size.longer:
        return size
    # Integers, half up: the same on every platform, and exact for sides of any length.
    width, height = (
        max(1, (2 * side * tier + size.longer) // (2 * size.longer))
        for side in (size.width, size.height)
    )
    return Size(width, height)


def _accepted() -> str:
    return ", ".join([_ORIGINAL_WORD, *map(str, TIERS)])
