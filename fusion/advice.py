"""Warnings: what the person should know about the chosen faces, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from common.types import Region
from fusion.pairing import BLURRED, Match, degrees_apart

TURNED = 45.0
"""Degrees between the two heads from which half of the face has to be made up."""
_ENLARGED = 2.0
_CUT = 0.9  # of a face's box that lies inside its picture


def warnings_for(matches: Sequence[Match], output_scale: float) -> tuple[str, ...]:
    """Sentences for the chosen faces, none of them twice.

    Args:
        matches: When they come from several source pictures, each sentence names its own.
        output_scale: Output pixels per target pixel.
    """
    found: dict[str, None] = {}
    several = len({match.view for match in matches}) > 1
    for match in matches:
        source, target = match.source, match.target
        shown = target.quality.size * output_scale
        face = f"the source's face in {match.path}" if several else "the source's face"
        which = f" (the face at {target.box.x}, {target.box.y})" if len(matches) > 1 else ""
        if source.quality.sharpness < BLURRED:
            found[
                f"{face} is blurred, so the result is soft; a sharper picture would give more "
                "detail"
            ] = None
        inside = source.box.intersect(Region.whole(match.picture)).pixels
        if inside < _CUT * source.box.pixels:
            found[
                f"the frame cuts {face}; what it hides stays the target's, so use a picture that "
                "shows the whole face"
            ] = None
        if shown > _ENLARGED * source.quality.size:
            found[
                f"{face} is {source.quality.size:.0f} px and is shown at {shown:.0f} "
                f"px; a larger source would give more detail{which}"
            ] = None
        turned = degrees_apart(source.pose, target.pose)
        if turned > TURNED:
            found[
                f"the heads are turned {turned:.0f} degrees apart; a source seen from a similar "
                f"side looks more natural{which}"
            ] = None
    return tuple(found)
