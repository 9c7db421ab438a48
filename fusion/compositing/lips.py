"""The inner edge of the lips, found in the picture.

The mesh network sees a mouth at about fifty pixels and places the edge to one or two hundredths
of the face; teeth on a lip show at a tenth of that. Colour tells it: teeth are less red than
lips, the cavity between is darker, and closed lips meet in a dark line.
"""

from __future__ import annotations

import cv2
import numpy as np

from common.types import FloatArray
from fusion.compositing import masks
from fusion.compositing.warp import sample
from preprocess import face_topology as topology
from preprocess.window import Window

_SAMPLES = 72  # from the upper lip's outer edge to the lower one's
_COLUMNS = 9  # pairs of points between the corners
_BESIDE = 0.004  # of the face's width: samples to both sides are averaged
_FARTHEST = 0.03  # of the face's width that a point may be off
_LEAST_RED = 8.0  # a* of lips that can be told from teeth
_TEETH, _TEETH_RAMP = 0.65, 0.25  # of the lips' a*
_DARK, _DARK_RAMP = 0.5, 0.15  # of the lips' lightness
_SLACK = 0.15  # of the mouth's height around the mesh's opening
_LEAST_OPENING = 0.05  # of the mouth's height: less is the dark line of closed lips
_RIM = 0.12  # of the mouth's height at both outer edges, where moustaches end
_LINE_DEPTH = 6.0  # by how much that line is darker than the lips, L*

TUCKED = topology.indices("62 183 42 41 38 12 268 271 272 407 292 325 319 403 316 15 86 179 89 96")
MIDDLE = topology.indices("76 184 74 73 72 11 302 303 304 408 306 307 320 404 315 16 85 180 90 77")
"""The two rings of points between `face_topology.INNER_LIPS` and the outer edge, in its order."""


def refined(landmarks: FloatArray, window: Window) -> FloatArray:
    """Landmarks whose inner lips lie on the lips' edges, the rings between in proportion.

    Where the picture does not tell lips from teeth (grey, or hardly red), the inner edge stays
    the mesh's. The rings are always put between the edges: they roll inwards with the lip, and
    a map over the fold would show teeth on lips.

    Args:
        landmarks: 468 x 3, pixels of the picture.
        window: Pixels of the picture around the face.
    """
    moved = np.array(landmarks, np.float32)
    outer, inner = landmarks[topology.OUTER_LIPS], landmarks[topology.INNER_LIPS].copy()
    top = np.arange(1, _COLUMNS + 1)
    bottom = 2 * (_COLUMNS + 1) - top
    start, across = outer[top, :2], outer[bottom, :2] - outer[top, :2]
    height = np.square(across).sum(axis=1)
    before = np.stack(
        [((inner[side, :2] - start) * across).sum(axis=1) / height for side in (top, bottom)]
    )
    width = float(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0).max())
    after = _edges(_profiles(start, across, width, window), np.clip(before, 0.02, 0.98))
    if after is not None:
        taper = np.sin(np.pi * top / (_COLUMNS + 1))  # near the corners the mesh knows best
        most = _FARTHEST * width / np.sqrt(height) * taper
        shift = np.clip(after - before, -most, most)
        shift = np.pad(shift, ((0, 0), (1, 1)))
        shift = shift[:, :-2] / 4 + shift[:, 1:-1] / 2 + shift[:, 2:] / 4
        for side, share in ((top, before[0] + shift[0]), (bottom, before[1] + shift[1])):
            inner[side, :2] = start + share[:, None] * across
    moved[topology.INNER_LIPS] = inner
    moved[TUCKED] = inner + (outer - inner) / 3
    moved[MIDDLE] = inner + (outer - inner) * np.float32(2 / 3)
    return moved


def _profiles(start: FloatArray, across: FloatArray, width: float, window: Window) -> FloatArray:
    """CIELAB along the lines from the upper lip to the lower one, columns x samples x 3."""
    along = np.linspace(0, 1, _SAMPLES, dtype=np.float32)
    lines = start[:, None] + across[:, None] * along[:, None]
    level = start[-1] - start[0]
    level = level / max(float(np.hypot(*level)), 1e-6) * np.float32(_BESIDE * width)
    places = np.concatenate([lines - level, lines, lines + level]).astype(np.float32)
    apart = float(np.sqrt(np.square(across).sum(axis=1).mean())) / _SAMPLES
    values = sample(window.shrunk(apart * window.scale), places)
    mean = values.reshape(3, len(start), _SAMPLES, 3).mean(axis=0, dtype=np.float32)
    mean = cv2.GaussianBlur(mean, (5, 1), 1.0)
    return np.asarray(cv2.cvtColor(np.asarray(mean, np.float32), cv2.COLOR_RGB2LAB), np.float32)


def _edges(lab: FloatArray, before: FloatArray) -> FloatArray | None:
    """Where the upper lip ends and the lower one begins, 2 x columns in [0, 1] along the lines."""
    along = np.linspace(0, 1, _SAMPLES, dtype=np.float32)
    low = before[1][:, None]
    lip = (along > low + 0.3 * (1 - low)) & (along < low + 0.7 * (1 - low))
    if np.count_nonzero(lip) < _COLUMNS:
        return None
    light, red = (float(np.median(lab[lip][:, channel])) for channel in (0, 1))
    if red < _LEAST_RED:
        return None
    pale = masks.smoothstep((red * _TEETH - lab[..., 1]) / (red * _TEETH_RAMP))
    dark = masks.smoothstep((light * _DARK - lab[..., 0]) / (light * _DARK_RAMP))
    gap = np.maximum(pale, dark) > 0.5
    near = (along > before[0][:, None] - _SLACK) & (along < before[1][:, None] + _SLACK)
    near &= (along > _RIM) & (along < 1 - _RIM)
    runs = [_longest(*column) for column in zip(gap, near, strict=True)]
    wide = [run is not None and along[run[1]] - along[run[0]] >= _LEAST_OPENING for run in runs]
    # A mouth opens from its middle: a gap beside closed lips is a shadow, or hair of a beard.
    opened = sum(wide[_COLUMNS // 2 - 1 : _COLUMNS // 2 + 2]) >= 2
    after = np.array(before, np.float32)
    for column, run in enumerate(runs):
        if opened and wide[column] and run is not None:
            after[:, column] = along[list(run)]
            continue
        lightness = np.where(near[column], lab[column, :, 0], np.float32(np.inf))
        darkest = int(np.argmin(lightness))
        if lightness[darkest] < light - _LINE_DEPTH:
            after[:, column] = along[darkest]
    return after


def _longest(inside: FloatArray, near: FloatArray) -> tuple[int, int] | None:
    """First and last index of the longest run of ``inside`` that touches ``near``."""
    steps = np.diff(np.concatenate([[0], inside.astype(np.int8), [0]]))
    runs = zip(np.nonzero(steps > 0)[0], np.nonzero(steps < 0)[0] - 1, strict=True)
    touching = [(int(a), int(b)) for a, b in runs if near[a : b + 1].any()]
    return max(touching, key=lambda run: run[1] - run[0], default=None)
