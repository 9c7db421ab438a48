"""The target under a fused face: what it shows at the nodes and what of it may change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray
from fusion.compositing import masks, occlusion, skin
from fusion.compositing.grid import FaceGrid
from fusion.engines.base import FaceView

# Shares of the face's longer side, judged on contact sheets and by the recogniser: a wide feather
# costs likeness, a narrow one shows where the light does not fit.
_INSET = 0.008
_FEATHER = 0.045
_FEATURE_MARGIN = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The target on the nodes of a grid; all but the front are rows x columns.

    values: x 3, encoded in [0, 1], after its surroundings have moved. sure: skin on nearly every
    face. colour: of its skin; likely: how likely each node is skin, shaded or not. front: what
    lies in front of the face; coefficients: 4 x rows x columns, see `occlusion.coefficients`. oval:
    what belongs to the face. open: of that, what no nearer face covers. apart: 0 over eyes, brows
    and lips. clear: 1 where skin of the face is seen inside the picture.
    """

    values: FloatArray
    sure: NDArray[np.bool_]
    colour: skin.SkinColour
    likely: FloatArray
    front: occlusion.Occlusion
    coefficients: FloatArray
    oval: FloatArray
    open: FloatArray
    apart: FloatArray
    clear: FloatArray

    @classmethod
    def of(
        cls,
        grid: FaceGrid,
        landmarks: FloatArray,
        width: float,
        values: FloatArray,
        target: FaceView,
        keep_glasses: bool,
    ) -> Ground:
        """Look at the target.

        Args:
            landmarks: 468 x 3 target pixels, of the face that will be seen.
            width: Of its oval, target pixels.
            values: As above.
            target: Its face may lie behind others.
            keep_glasses: Whether spectacles stay in front.
        """
        front = occlusion.in_front(grid, landmarks, values, width, keep_glasses)
        sure = skin.sure_skin(grid, landmarks)
        colour = skin.SkinColour.of(values, sure)
        oval = masks.oval_matte(
            grid, landmarks, _INSET * width, _FEATHER * width, masks.RAISED * width
        )
        opened = oval
        for nearer in target.in_front:
            opened = opened * (1 - grid.fill(masks.hull(nearer[:, :2])))
        apart = 1 - skin.features_matte(grid, landmarks, _FEATURE_MARGIN * width)
        clear = oval * (apart * (1 - front.matte))
        clear *= masks.inside_matte(grid.positions(), target.picture, grid.step)
        return cls(
            values=values,
            sure=sure,
            colour=colour,
            likely=colour.likelihood(skin.TOLERANT),
            front=front,
            coefficients=occlusion.coefficients(
                front.matte, values, occlusion.RADIUS, occlusion.EPSILON
            ),
            oval=oval,
            open=np.asarray(opened, np.float32),
            apart=np.asarray(apart, np.float32),
            clear=np.asarray(clear, np.float32),
        )
