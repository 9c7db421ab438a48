"""The embedded engine: a dense warp over the 468-point mesh, lit like the target.

No learned weights and no GPU. `MeshEngine.prepare` looks at both faces at a few hundred
pixels and writes maps on a grid over the target's face: where each pixel comes from in the
source, what gives it the target's light, what stays in front. `FaceField` then renders any
rectangle at any scale from the source's own pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from common.progress import Progress
from fusion.compositing import composition, placing
from fusion.compositing.composition import Seen
from fusion.compositing.face_field import FaceField, Remarks
from fusion.compositing.form import ANALYSIS_PX, Form
from fusion.compositing.ground import Ground
from fusion.compositing.moves import Moves
from fusion.compositing.origin import Origin, Picture
from fusion.engines.base import Capabilities, Pair, Sight
from fusion.request import EXPRESSIONS, MODES, Blend

_DRAFT_PX = 200
"""Nodes across a face of a draft: little more than a third of the work, and hardly to be seen."""


class MeshEngine:
    """Embedded engine; stateless, one instance serves all threads.

    Args:
        why: A sentence that says why it is used.
    """

    def __init__(self, why: str = "") -> None:
        self._capabilities = Capabilities("mesh", "cpu", MODES, EXPRESSIONS, why=why)

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def sight(self, blend: Blend) -> Sight:  # noqa: ARG002 - the same for all
        """See `fusion.engines.base.Engine.sight`."""
        return Sight(ANALYSIS_PX)

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FaceField, ...]:
        """See `fusion.engines.base.Engine.prepare`."""
        return tuple(_field(pair, blend, progress) for pair in pairs)

    def close(self) -> None:
        """Nothing is held."""


def _field(pair: Pair, blend: Blend, progress: Progress) -> FaceField:
    source, target = pair.source, pair.target
    form = Form.between(source, target, blend)
    grid = form.grid(_DRAFT_PX if pair.draft else ANALYSIS_PX)

    def look() -> tuple[Moves, Ground]:
        moves = form.moves(grid.step, target.in_front)
        progress.check()
        wanted = placing.moved(grid, moves, target.window)
        place = (grid, form.landmarks, form.width)
        return moves, Ground.of(*place, wanted, target, blend.keep_glasses)

    # Neither picture needs the other yet.
    with ThreadPoolExecutor(1) as beside:
        looking = beside.submit(look)
        window = placing.toned_like(source.window, target.window)
        placed = placing.placed(grid, form, source, window, target.window)
        progress.check()
        moves, ground = looking.result()
    sharpness = (source.face.quality.sharpness, target.face.quality.sharpness)
    seen = Seen(grid, form.landmarks, form.width, placed.given, ground, sharpness)
    holes = np.zeros(grid.shape, np.float32)
    if blend.expression == "target":
        holes = form.holes(grid, ground.values)
    remarks = Remarks(warnings=(placing.SOURCE_GLASSES,) if placed.glasses else ())
    progress.check()
    origin = Origin(Picture(window, placed.places, grid, target.picture), grid, target.picture)
    return composition.compose(seen, origin, moves, holes, target, blend, remarks)
