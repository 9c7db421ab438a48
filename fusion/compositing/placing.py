"""Where a source's pixels go in the fused face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import FloatArray
from fusion.compositing import gaze, masks, visibility, warp
from fusion.compositing.form import Form, width_of
from fusion.compositing.grid import FaceGrid
from fusion.compositing.moves import Moves
from fusion.compositing.occlusion import over_source
from fusion.compositing.origin import Places
from fusion.engines.base import FaceView
from preprocess.window import Window

_RIM = 0.05  # of the face width
_CUT_FEATHER = 0.05  # of the face width, inside the source picture's border
_COLOURLESS = 0.02  # spread of a pixel's channels
_FEW = 4  # every so many pixels tell whether a picture has colours
SOURCE_GLASSES = (
    "the source wears spectacles; they are not carried over, but traces of them may stay: a "
    "picture without spectacles gives a cleaner result"
)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A source in the fused face's form.

    given: rows x columns x 3, what it shows at the nodes, encoded in [0, 1]. glasses: whether it
    wears spectacles.
    """

    places: Places
    given: FloatArray
    glasses: bool


def placed(grid: FaceGrid, form: Form, source: FaceView, window: Window, target: Window) -> Placed:
    """Find each node's place in the source.

    Args:
        window: The source's pixels that will be shown.
        target: The target's pixels.
    """
    unlit = visibility.underlit((form.before, target), (form.mouth, window))
    halves = visibility.Halves.of(grid, form.landmarks, form.source[0], unlit)
    own = gaze.aligned(grid, halves.own, form.here, form.source)
    shrunk = window.shrunk(warp.spacing(*own) * window.scale)
    given = warp.sample(shrunk, np.moveaxis(own, 0, -1))
    over = over_source(grid, form.landmarks, given, form.width)
    feather = _CUT_FEATHER * width_of(source.face.landmarks)
    cut = 1 - masks.inside_matte(np.moveaxis(own, 0, -1), source.picture, feather)
    # Along the outline the other half shows an ear or hair as well.
    rim = _RIM * form.width
    deep = masks.oval_matte(grid, form.landmarks, rim, rim)
    share, plain = halves.filled(grid, np.maximum(over.matte, cut), np.maximum(deep, halves.turned))
    other = own
    if share.any():
        other = gaze.aligned(grid, halves.other, form.here, form.source, mirrored=True)
        mirrored = warp.sample(shrunk, np.moveaxis(other, 0, -1))
        given = given + share[..., None] * (mirrored - given)
    return Placed(Places(own, other, share, plain), given, over.glasses)


def toned_like(source: Window, target: Window) -> Window:
    """The source, without its colours where the target is black and white."""
    few = np.ascontiguousarray(target.pixels[::_FEW, ::_FEW])
    red, green, blue = cv2.split(few)
    high, low = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    spread = float(np.percentile(high - low, 99)) / np.iinfo(few.dtype).max
    if spread > _COLOURLESS:
        return source
    grey = cv2.cvtColor(source.pixels, cv2.COLOR_RGB2GRAY)
    return Window(np.repeat(grey[..., None], 3, axis=2), source.factor, source.offset)


def moved(grid: FaceGrid, moves: Moves, target: Window) -> FloatArray:
    """The target at the nodes after its surroundings have moved, rows x columns x 3 encoded."""
    positions = grid.positions()
    if moves.longest > 0:
        positions = positions + np.moveaxis(moves.grid.at_nodes(moves.maps, grid), 0, -1)
    return warp.sample(target.shrunk(grid.step * target.scale), positions)
