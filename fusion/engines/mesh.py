"""The embedded engine: a dense warp over the 468-point mesh, lit like the target.

No learned weights and no GPU. `MeshEngine.prepare` looks at both faces at a few hundred
pixels and writes maps on a grid over the target's face: where each pixel comes from in the
source, what gives it the target's light, what stays in front. `FaceField` then renders any
rectangle at any scale from the source's own pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.progress import Progress
from common.types import FloatArray
from fusion.compositing import composition, expression, gaze, lips, masks, shape, visibility, warp
from fusion.compositing.composition import Seen
from fusion.compositing.face_field import FaceField, Moves, Origin
from fusion.compositing.grid import FaceGrid
from fusion.compositing.occlusion import over_source
from fusion.engines.base import Capabilities, FaceView
from fusion.request import MODES, Blend
from preprocess import face_topology as topology
from preprocess.window import Window

_ANALYSIS_PX = 320  # across the face, and the most nodes that the grid has there
_FEWEST_NODES = 96
_MARGIN = 0.14  # of the face width, around the oval
_MOVES_EVERY = 3  # nodes: what lies around the face moves smoothly
_MOUTH_FEATHER = 0.006  # of the face width
_LID_FEATHER = 0.01  # likewise
_RIM = 0.05  # likewise
_APART = 0.06  # likewise, over which the target's movement ends before a nearer face
_CUT_FEATHER = 0.05  # of the face width, inside the source picture's border
_COLOURLESS = 0.02  # spread of a pixel's channels
_SOURCE_GLASSES = (
    "the source wears spectacles; they are not carried over, but traces of them may stay"
)
_FEW = 4  # every so many pixels tell whether a picture has colours


class MeshEngine:
    """Embedded engine; stateless, one instance serves all threads."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="mesh", device="cpu", modes=MODES, analysis_px=_ANALYSIS_PX)

    def prepare(
        self, source: FaceView, target: FaceView, blend: Blend, progress: Progress
    ) -> FaceField:
        """See `fusion.engines.base.Engine.prepare`."""
        form = _Form.of(source, target, blend)
        width = _width(form.landmarks)
        step = width / float(np.clip(width, _FEWEST_NODES, _ANALYSIS_PX))
        grid = FaceGrid.over(form.landmarks[:, :2], _MARGIN * width, step)
        moves = _moves(form.before, form.landmarks, step, target.in_front)
        progress.check()
        window = _toned_like(source.window, target.window)
        unlit = visibility.underlit((form.before, target.window), (form.mouth, window))
        origin, given, glasses = _placed(grid, form, window, source, unlit)
        progress.check()
        places = grid.positions()
        if moves.longest > 0:
            shown_at = moves.grid.at_nodes(moves.maps, grid)
            places = places + np.moveaxis(shown_at, 0, -1)
        wanted = warp.sample(target.window.shrunk(grid.step * target.window.scale), places)
        sharpness = (source.face.quality.sharpness, target.face.quality.sharpness)
        seen = Seen(grid, form.landmarks, width, given, wanted, sharpness)
        holes = np.zeros(grid.shape, np.float32)
        if blend.expression == "target":
            holes = form.holes(grid, width, wanted)
        warnings = (_SOURCE_GLASSES,) if glasses else ()
        progress.check()
        return composition.compose(seen, origin, moves, holes, target, blend, warnings)


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
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
    def of(cls, source: FaceView, target: FaceView, blend: Blend) -> _Form:
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

    def holes(self, grid: FaceGrid, width: float, wanted: FloatArray) -> FloatArray:
        """Where the target's own mouth and lids show, rows x columns in [0, 1]."""
        feather = _MOUTH_FEATHER * width
        mouth = expression.mouth_matte(grid, self.landmarks, self.mouth, wanted, feather)
        here = (self.landmarks, self.irises)
        return np.maximum(mouth, gaze.eyes_matte(grid, here, self.source, _LID_FEATHER * width))


def _width(landmarks: FloatArray) -> float:
    """The longer side of the face oval's box, pixels of its picture."""
    return float(max(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0)))


def _moves(
    before: FloatArray, after: FloatArray, step: float, in_front: tuple[FloatArray, ...]
) -> Moves:
    """How the target follows the new form; faces in front stay where they are."""
    grid = shape.neighbourhood(before, _MOVES_EVERY * step)
    maps = shape.displacement(grid, before, after)
    for nearer in in_front:
        maps *= 1 - masks.softly_inside(grid, masks.hull(nearer[:, :2]), _APART * _width(before))
    grid, maps = grid.cropped(maps)
    return Moves(grid, maps, shape.reach(maps))


def _placed(
    grid: FaceGrid, form: _Form, window: Window, source: FaceView, unlit: FloatArray
) -> tuple[Origin, FloatArray, bool]:
    """Where the source's pixels come from, and what they show: rows x columns x 3, encoded.

    Also answers whether the source wears spectacles.

    Args:
        unlit: 468 values in [0, 1], what of the source is too dark to use.
    """
    here = (form.landmarks, form.irises)
    halves = visibility.Halves.of(grid, form.landmarks, form.source[0], unlit)
    own = gaze.aligned(grid, halves.own, here, form.source)
    shrunk = window.shrunk(warp.spacing(*own) * window.scale)
    given = warp.sample(shrunk, np.moveaxis(own, 0, -1))
    width = _width(form.landmarks)
    over = over_source(grid, form.landmarks, given, width)
    feather = _CUT_FEATHER * _width(source.face.landmarks)
    cut = 1 - masks.inside_matte(np.moveaxis(own, 0, -1), source.picture, feather)
    # Along the outline the other half shows an ear or hair as well.
    deep = masks.oval_matte(grid, form.landmarks, _RIM * width, _RIM * width)
    share, plain = halves.filled(grid, np.maximum(over.matte, cut), np.maximum(deep, halves.turned))
    other = own
    if share.any():
        other = gaze.aligned(grid, halves.other, here, form.source, mirrored=True)
        mirrored = warp.sample(shrunk, np.moveaxis(other, 0, -1))
        given = given + share[..., None] * (mirrored - given)
    return Origin(window, own, other, share, plain), given, over.glasses


def _toned_like(source: Window, target: Window) -> Window:
    """The source, without its colours where the target is black and white."""
    few = np.ascontiguousarray(target.pixels[::_FEW, ::_FEW])
    red, green, blue = cv2.split(few)
    high, low = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    spread = float(np.percentile(high - low, 99)) / np.iinfo(few.dtype).max
    if spread > _COLOURLESS:
        return source
    grey = cv2.cvtColor(source.pixels, cv2.COLOR_RGB2GRAY)
    return Window(np.repeat(grey[..., None], 3, axis=2), source.factor, source.offset)
