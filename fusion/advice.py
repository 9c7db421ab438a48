"""Warnings: what the person should know about the chosen faces, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from common.types import Face

_BLURRED = 2.0  # FaceQuality.sharpness
_ENLARGED = 2.0
_TURNED = 45.0  # degrees between the two heads


def warnings_for(pairs: Sequence[tuple[Face, Face]], output_scale: float) -> tuple[str, ...]:
    """Sentences for the pairs of (source face, target face).

    Args:
        output_scale: Output pixels per target pixel.
    """
    found = []
    for source, target in pairs:
        shown = target.quality.size * output_scale
        name = f"target face {target.index}"
        if source.quality.sharpness < _BLURRED:
            found.append(f"{name}: the source's face is blurred, so the result is soft")
        if shown > _ENLARGED * source.quality.size:
            found.append(
                f"{name}: the source's face is {source.quality.size:.0f} px and is shown at "
                f"{shown:.0f} px; a larger source would give more detail"
            )
        if abs(source.pose.yaw - target.pose.yaw) > _TURNED:
            found.append(
                f"{name}: the heads are turned {abs(source.pose.yaw - target.pose.yaw):.0f} "
                "degrees apart; a source seen from a similar side looks more natural"
            )
    return tuple(found)
