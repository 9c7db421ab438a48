"""The form that a fused face gets, the grid over it and what must move around it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from common.types import FloatArray
from fusion.compositing import expression, gaze, lips, masks, shape
from fusion.compositing.grid import FaceGrid
from fusion.compositing.moves import Moves
from fusion.engines.base import FaceView
from fusion.request import Blend
from preprocess import face_topology as topology

ANALYSIS_PX = 320
"""Target pixels across the face that a form is made from, and the most nodes of its grid."""
_FEWEST_NODES = 96
_MARGIN = 0.14  # of the face width, around the oval
_MOVES_EVERY = 3  # nodes: what lies around the face moves smoothly
_APART = 0.06  # of the face width, over which the movement ends before a nearer face
_MOUTH_FEATHER = 0.006  # likewise
_LID_FEATHER = 0.01  # likewise
_EYES = (topology.RIGHT_EYE, topology.LEFT_EYE)


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """The form that the fused face gets, and the source's points that belong there.

    before: 468 x 3, the target as it is. landmarks: 468 x 3 and irises: 2 x 5 x 2, target pixels.
    source: the same two of the source, in its pixels; open lips without the teeth between them
    where the target's are shown. mouth: the source's landmarks as they are.
    """

    before: FloatArray
    landmarks: FloatArray
    irises: FloatArray
    source: tuple[FloatArray, FloatArray]
    mouth: FloatArray

    @classmethod
    def between(cls, source: FaceView, target: FaceView, blend: Blend) -> Form:
        """The form that the source's proportions and the target's give."""
        before, mouth = (lips.refined(v.face.landmarks, v.window) for v in (target, source))
        theirs = (mouth, source.face.irises)
        landmarks, irises = before, target.face.irises
        if blend.expression == "source":
            landmarks, irises = expression.transferred(landmarks, theirs)
        else:
            theirs = (expression.without_teeth(mouth), source.face.irises)
        landmarks, irises = shape.reshaped(landmarks, irises, mouth, blend.shape)
        # Both faces are brought to a form in between, so that a half fusion shows no feature twice.
        part = np.float32(blend.ratio)
        landmarks = before + part * (landmarks - before)
        irises = target.face.irises + part * (irises - target.face.irises)
        return cls(before, landmarks, irises, theirs, mouth)

    def moved_by(self, moves: FloatArray) -> Form:
        """Likewise, with landmarks moved by 468 x 3 target pixels, and the irises with the eyes."""
        moved = []
        for iris, region in zip(self.irises, _EYES, strict=True):
            moved.append(iris + moves[region, :2].mean(axis=0))
        return replace(self, landmarks=self.landmarks + moves, irises=np.asarray(moved, np.float32))

    @property
    def here(self) -> tuple[FloatArray, FloatArray]:
        """Landmarks and irises of the fused face."""
        return self.landmarks, self.irises

    @property
    def width(self) -> float:
        """Of the fused face, target pixels."""
        return width_of(self.landmarks)

    def grid(self, most: int = ANALYSIS_PX) -> FaceGrid:
        """Over the fused face; ``most`` is the number of nodes across it, at most."""
        step = self.width / float(np.clip(self.width, _FEWEST_NODES, most))
        return FaceGrid.over(self.landmarks[:, :2], _MARGIN * self.width, step)

    def moves(self, step: float, in_front: tuple[FloatArray, ...]) -> Moves:
        """How the target follows; faces in front (468 x 3 each) stay where they are.

        Args:
            step: Of the form's grid, target pixels.
        """
        before, after = self.before, self.landmarks
        grid = shape.neighbourhood(before, _MOVES_EVERY * step)
        maps = shape.displacement(grid, before, after)
        for nearer in in_front:
            apart = _APART * width_of(before)
            maps *= 1 - masks.softly_inside(grid, masks.hull(nearer[:, :2]), apart)
        grid, maps = grid.cropped(maps)
        return Moves(grid, maps, shape.reach(maps))

    def mouth_hole(self, grid: FaceGrid, wanted: FloatArray, lips_of: FloatArray) -> FloatArray:
        """Where the target's own mouth shows, rows x columns in [0, 1].

        Args:
            wanted: rows x columns x 3, the target at the nodes.
            lips_of: 468 x 3, whose lips are laid around it.
        """
        feather = _MOUTH_FEATHER * self.width
        return expression.mouth_matte(grid, self.landmarks, lips_of, wanted, feather)

    def holes(self, grid: FaceGrid, wanted: FloatArray) -> FloatArray:
        """Where the target's own mouth and lids show, likewise."""
        eyes = gaze.eyes_matte(grid, self.here, self.source, _LID_FEATHER * self.width)
        return np.maximum(self.mouth_hole(grid, wanted, self.mouth), eyes)


def width_of(landmarks: FloatArray) -> float:
    """The longer side of the face oval's box, pixels of its picture."""
    return float(max(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0)))
