"""What the controls panel is built from: accepted values, ranges and presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fusion.request import BOOSTS, COMPOSITES, EXPRESSIONS, METADATA, MODES, SCOPES
from preprocess.image_source import MAX_SIDE, MIN_SIDE
from preprocess.resolution import AUTO, FITS, ORIGINAL, TIERS
from studio.service.controls import FORMATS, Controls
from studio.service.fusion_service import FusionService

ENGINES = ("auto", "mesh", "modelscope")
"""As `fusion.engines.registry.CHOICES`, which is too slow to import for a page that starts."""
RESOLUTIONS = (str(ORIGINAL), *map(str, TIERS), str(AUTO))
LOSSLESS = ("png", "tiff")

RANGES: dict[str, tuple[float, float, float]] = {
    "ratio": (0.0, 1.0, 0.01),
    "shape": (0.0, 1.0, 0.01),
    "threshold": (0.1, 0.9, 0.01),
    "smooth": (0.0, 1.0, 0.01),
    "brightness": (-0.5, 0.5, 0.01),
    "contrast": (-0.5, 0.5, 0.01),
    "saturation": (-0.5, 0.5, 0.01),
    "sharpen": (0.0, 1.0, 0.01),
    "enhance": (0.0, 1.0, 0.01),
    "quality": (1, 100, 1),
}
"""Lowest, highest, step."""

LOOK = (
    "ratio",
    "mode",
    "smooth",
    "brightness",
    "contrast",
    "saturation",
    "sharpen",
    "scope",
    "resolution",
)
"""What a preset of the studio sets: what it does not name goes back to its default. Faces, engine
and file stay as they are."""
OWN_LOOK = (*LOOK, "shape", "expression", "keep_glasses", "fit", "format", "quality", "metadata")
"""What a preset of one's own holds: all that depends neither on the photographs nor on the
machine."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A look that the studio offers.

    name: of its texts. values: of `LOOK`.
    """

    name: str
    values: dict[str, Any]


PRESETS = (
    Preset(
        "social",
        {
            "resolution": "512",
            "ratio": 0.5,
            "smooth": 0.4,
            "brightness": 0.1,
            "contrast": 0.05,
        },
    ),
    Preset(
        "art",
        {"resolution": "1024", "ratio": 0.7, "mode": "blend", "smooth": 0.3, "saturation": 0.2},
    ),
    Preset(
        "old",
        {
            "resolution": "2048",
            "ratio": 0.6,
            "smooth": 0.6,
            "brightness": 0.15,
            "contrast": 0.1,
        },
    ),
    Preset("print", {"resolution": "original", "ratio": 0.8}),
)


def control_props(service: FusionService) -> dict[str, Any]:
    """What the panel's script reads as ``props``."""
    return {
        "defaults": Controls.defaults(service.settings).model_dump(),
        "choices": {
            "resolution": list(RESOLUTIONS),
            "fit": list(FITS),
            "mode": list(MODES),
            "expression": list(EXPRESSIONS),
            "scope": list(SCOPES),
            "engine": list(ENGINES),
            "composite": list(COMPOSITES),
            "boost": list(BOOSTS),
            "format": list(FORMATS),
            "metadata": list(METADATA),
        },
        "ranges": {name: list(values) for name, values in RANGES.items()},
        "sides": [MIN_SIDE, MAX_SIDE],
        "lossless": list(LOSSLESS),
        "look": list(LOOK),
        "own_look": list(OWN_LOOK),
        "presets": [{"name": preset.name, "values": preset.values} for preset in PRESETS],
    }
