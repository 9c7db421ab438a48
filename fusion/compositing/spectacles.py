"""Spectacles: whether a face wears them, and where their frame is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray
from fusion.compositing import masks
from fusion.compositing.grid import FaceGrid
from fusion.compositing.skin import covered, dilated, disc
from preprocess import face_topology as topology

# Channel of the colours, sign and weight: darker, lighter, less red, less blue, bluer. Weighted
# so that bare faces reach 9 and frames 10 and more, of metal in the skin's lightness too.
_LINES = np.array(
    [(0, -1, 1.0), (0, 1, 1.0), (1, -1, 150.0), (2, -1, 100.0), (2, 1, 150.0)], np.float32
)
WORN, WORN_IN_SOURCE = 11.0, 14.0
"""Strength from which a frame is one; a face seen on another's form has more that looks like it."""
_MOST = 40.0  # a single strong stroke must not make up for the gaps
_BRIDGE_SHARE = 2.0  # of what is asked below the eyes
_LEAST_STROKE = 4.0
_WEAKEST = 20  # percentile of a line's strokes that stands for the line
_STEP = 2  # samples that a line moves from ray to ray at most
_REACH = 7  # samples to either side of a stroke, beyond half of the thickest frame
_SCALE = np.array([25.0, 0.12, 0.12], np.float32)  # of lightness and the two ratios
_CUT = (0.35, 0.75)  # between the skin's colour, 0, and the frame's, 1

# Shares of the face's width.
_EYE_EDGE = 0.012
_BROW_EDGE = 0.012
_BROW_REACH = 0.026
_GLINT = 0.009


@dataclass(frozen=True, slots=True, eq=False)
class _Eyes:
    """Centres of the eyes, unit vectors from right to left and downwards, distance; target px."""

    right: FloatArray
    left: FloatArray
    across: FloatArray
    down: FloatArray
    apart: float

    @classmethod
    def of(cls, landmarks: FloatArray) -> _Eyes:
        right = landmarks[topology.RIGHT_EYE, :2].mean(axis=0)
        left = landmarks[topology.LEFT_EYE, :2].mean(axis=0)
        apart = max(float(np.hypot(*(left - right))), 1e-6)
        across = np.asarray((left - right) / np.float32(apart), np.float32)
        down = np.array([-across[1], across[0]], np.float32)
        return cls(np.asarray(right), np.asarray(left), across, down, apart)

    def rays(self, *, left: bool, below: bool) -> FloatArray:
        """From an eye, from outwards through below or above to the nose: 40 x 48 x 2."""
        eye, outwards = (self.left, self.across) if left else (self.right, -self.across)
        angle = np.radians(np.linspace(15, 165, 40, dtype=np.float32))[:, None, None]
        radius = (np.linspace(0.12, 0.72, 48, dtype=np.float32) * self.apart)[:, None]
        upright = self.down if below else -self.down
        spread = np.float32(1.15) * np.cos(angle) * outwards + np.sin(angle) * upright
        return np.asarray(eye + spread * radius, np.float32)

    def bridge(self) -> FloatArray:
        """Lines down between the eyes, 9 x 54 x 2."""
        aside = np.linspace(-0.04, 0.04, 9, dtype=np.float32)[:, None, None] * self.across
        below = np.linspace(-0.35, 0.45, 54, dtype=np.float32)[:, None] * self.down
        middle = (self.right + self.left) / 2
        return np.asarray(middle + (aside + below) * np.float32(self.apart), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Trace:
    """A line through a fan of rays.

    points: N x 2 nodes. colours: 3 x N. strokes: N, how far each stands out. strength: that of
    nearly all of it.
    """

    points: FloatArray
    colours: FloatArray
    strokes: FloatArray
    strength: float


def frame_matte(
    grid: FaceGrid, landmarks: FloatArray, colours: FloatArray, width: float, least: float
) -> FloatArray | None:
    """The frame of the spectacles that a face wears.

    Frames are lines that differ from the skin on both sides, below either eye and across the
    nose, in lightness or in colour. Wrinkles and bags under the eyes differ less, and not in all
    three places.

    Args:
        landmarks: 468 x 3 target pixels.
        colours: 3 x rows x columns of `skin.Complexion`.
        width: Of the face, target pixels.
        least: `WORN` or `WORN_IN_SOURCE`.

    Returns:
        rows x columns float32 in [0, 1]: rims, bridge and temples; None without spectacles.
    """
    eyes = _Eyes.of(landmarks)
    lower = [eyes.rays(left=left, below=True) for left in (False, True)]
    found = []
    for places in (*lower, eyes.bridge()):
        fan = grid.nodes_of(places)
        found.append(_traces(fan, _looked_up(colours, fan), _LINES))
    shares = (1.0, 1.0, _BRIDGE_SHARE)
    strengths = [
        min(share * trace.strength for share, trace in zip(shares, kind, strict=True))
        for kind in zip(*found, strict=True)
    ]
    best = int(np.argmax(strengths))
    if strengths[best] < least:
        return None
    traces = [kinds[best] for kinds in found]
    upper = []
    for left in (False, True):
        fan = grid.nodes_of(eyes.rays(left=left, below=False))
        upper += _traces(fan, _looked_up(colours, fan), _LINES[best : best + 1])
    like = _frame_colour(colours, np.concatenate([trace.colours for trace in traces], axis=1))
    like *= _zone(grid, eyes)
    core = _strokes(grid, traces, _LEAST_STROKE) | _strokes(grid, upper, WORN)
    nodes = width / grid.step
    for area in (topology.RIGHT_EYE, topology.LEFT_EYE):
        eye = covered(grid, masks.hull(landmarks[area, :2]))
        like[dilated(eye, _EYE_EDGE * nodes)] = 0
    for area, trace in zip((topology.RIGHT_BROW, topology.LEFT_BROW), upper, strict=True):
        if np.median(trace.strokes) > WORN:
            brow = dilated(covered(grid, masks.hull(landmarks[area, :2])), _BROW_EDGE * nodes)
            like[brow & ~dilated(core, _BROW_REACH * nodes)] = 0
    return _joined(like, core, _GLINT * nodes)


def _joined(like: FloatArray, core: NDArray[np.bool_], glint: float) -> FloatArray:
    """What is like the frame and hangs together with its traced lines."""
    _, parts = cv2.connectedComponents((like > 0.3).astype(np.uint8), connectivity=8)
    chosen = np.zeros(int(parts.max()) + 1, np.bool_)
    chosen[parts[core]] = True
    chosen[0] = False
    like = like * chosen[parts]
    # Highlights on a frame may look like skin; they lie within it. One more node all around
    # keeps the whole frame clear of the matte's soft edge.
    whole = ((like > 0.5) | dilated(core, 1)).astype(np.uint8)
    closed = cv2.morphologyEx(whole, cv2.MORPH_CLOSE, disc(glint))
    return np.asarray(np.maximum(like, cv2.dilate(closed, disc(1))), np.float32)


def _zone(grid: FaceGrid, eyes: _Eyes) -> NDArray[np.bool_]:
    """Where a frame can be, out to the ears."""
    place = (grid.positions() - (eyes.right + eyes.left) / 2) / np.float32(eyes.apart)
    height, aside = place @ eyes.down, np.abs(place @ eyes.across)
    return np.asarray((height > -0.45) & (height < 0.62) & (aside < 1.4))


def _frame_colour(colours: FloatArray, samples: FloatArray) -> FloatArray:
    """How near each node is to the frame's colour on the way from the skin's, in [0, 1]."""
    towards = np.median(samples, axis=1).astype(np.float32) / _SCALE
    towards /= _SCALE * np.float32(max(float((towards * towards).sum()), 1e-6))
    share = np.einsum("c,chw->hw", towards, colours)
    return masks.smoothstep((share - _CUT[0]) / (_CUT[1] - _CUT[0]))


def _strokes(grid: FaceGrid, traces: list[_Trace], least: float) -> NDArray[np.bool_]:
    """The parts of the traces that stand out enough, drawn one node wide."""
    canvas = np.zeros(grid.shape, np.uint8)
    for trace in traces:
        firm = np.flatnonzero(trace.strokes[:-1] > least)
        for index in firm:
            ends = np.round(trace.points[index : index + 2] * 16).astype(np.int32)
            cv2.polylines(canvas, [ends], False, 1, 1, cv2.LINE_8, 4)
    return canvas > 0


def _looked_up(colours: FloatArray, nodes: FloatArray) -> FloatArray:
    """The maps (C x rows x columns) at grid coordinates (h x w x 2)."""
    x, y = np.ascontiguousarray(np.moveaxis(nodes, -1, 0))
    return np.stack(
        [
            cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for plane in colours
        ]
    )


def _traces(fan: FloatArray, views: FloatArray, lines: FloatArray) -> list[_Trace]:
    """The strongest line of each kind from the first to the last ray (dynamic programming)."""
    kinds = np.arange(len(lines))
    seen = views[lines[:, 0].astype(np.intp)] * (lines[:, 1] * lines[:, 2])[:, None, None]
    strokes = np.minimum(_standing_out(seen), np.float32(_MOST))
    rays, samples = strokes.shape[1:]
    total = np.full((len(lines), samples + 2 * _STEP), -np.inf, np.float32)
    total[:, _STEP:-_STEP] = strokes[:, 0]
    steps = []
    for ray in range(1, rays):
        nearby = np.stack([total[:, shift : shift + samples] for shift in range(2 * _STEP + 1)])
        steps.append(nearby.argmax(axis=0) - _STEP)
        total[:, _STEP:-_STEP] = strokes[:, ray] + nearby.max(axis=0)
    path = [total[:, _STEP:-_STEP].argmax(axis=1)]
    for step in reversed(steps):
        path.append(path[-1] + step[kinds, path[-1]])
    found = []
    for kind, places in enumerate(np.stack(path[::-1], axis=1)):
        at = (np.arange(rays), places)
        along = strokes[kind][at]
        strength = float(np.sort(along)[rays * _WEAKEST // 100])
        found.append(_Trace(fan[at], views[:, at[0], at[1]], along, strength))
    return found


def _standing_out(values: FloatArray) -> FloatArray:
    """By how much each sample of a ray (last axis) exceeds the lowest on its lesser side."""
    count = values.shape[-1]
    padded = np.pad(values, ((0, 0), (0, 0), (_REACH, _REACH)), mode="edge")
    shifted = [padded[..., start : start + count] for start in range(2 * _REACH + 1)]
    before, after = (np.minimum.reduce(side) for side in (shifted[:_REACH], shifted[_REACH + 1 :]))
    return np.asarray(values - np.maximum(before, after), np.float32)
