"""Warnings: what the person should know about the chosen faces, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from common.types import Face, Region, Size

_BLURRED = 2.0  # FaceQuality.sharpness
_ENLARGED = 2.0
_TURNED = 45.0  # degrees between the two heads
_CUT = 0.9  # of a face's box that lies inside its picture


def warnings_for(
    pairs: Sequence[tuple[Face, Face]], source_size: Size, output_scale: float
) -> tuple[str, ...]:
    """Sentences for the pairs of (source face, target face), none of them twice.

    Args:
        source_size: Of the source picture.
        output_scale: Output pixels per target pixel.
    """
    found: dict[str, None] = {}
    whole = Region.whole(source_size)
    for source, target in pairs:
        shown = target.quality.size * output_scale
        which = f" (the face at {target.box.x}, {target.box.y})" if len(pairs) > 1 else ""
        turned = abs(source.pose.yaw - target.pose.yaw)
        if source.quality.sharpness < _BLURRED:
            found["the source's face is blurred, so the result is soft"] = None
        if source.box.intersect(whole).pixels < _CUT * source.box.pixels:
            found["the frame cuts the source's face; what it hides stays the target's"] = None
        if shown > _ENLARGED * source.quality.size:
            found[
                f"the source's face is {source.quality.size:.0f} px and is shown at {shown:.0f} "
                f"px; a larger source would give more detail{which}"
            ] = None
        if turned > _TURNED:
            found[
                f"the heads are turned {turned:.0f} degrees apart; a source seen from a similar "
                f"side looks more natural{which}"
            ] = None
    return tuple(found)
