"""How a target's surroundings follow its face."""

from __future__ import annotations

from dataclasses import dataclass

from common.types import FloatArray
from fusion.compositing.grid import FaceGrid


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """How the target's surroundings follow the face's new shape.

    maps: 2 x rows x columns target pixels over ``grid``: a node at p shows the target at p + maps.
    longest: of them, target pixels; 0 where nothing moves.
    """

    grid: FaceGrid
    maps: FloatArray
    longest: float
