"""Mouth and lids: the target's, with the source's lips, or the source's."""

from __future__ import annotations

import cv2
import numpy as np

from common.types import FloatArray
from fusion.compositing import masks
from fusion.compositing.grid import FaceGrid
from fusion.compositing.lips import MIDDLE, TUCKED
from fusion.compositing.shape import Frame, aligned, jaw_share
from preprocess import face_topology as topology

_INSET = 0.25  # of the way to the middle of the lip, where the source's mouth is open
_BAND = 0.014  # of the face's width: how far from the mesh the lips' edge may lie
_FEWEST = 30  # nodes of a lip that tell its colour
_LEAST_SPREAD = np.array([8.0, 3.0, 3.0], np.float32)  # of L, a, b
_SURELY_LIP = 2.0  # spreads
_LINE, _LINE_NODES = 0.006, 1.8  # half the height of the line between closed lips, face widths
_RELAXING = 60  # rounds in which what lies between moving and resting points follows
_SUBNASALE = 2
_EYES = (topology.RIGHT_EYE_REGION, topology.LEFT_EYE_REGION)
_RINGS = 32  # points of an eye's region that are the lids' edges and the ring around them
_UPPER_OVAL = topology.indices("10 338 297 332 284 251 389 356 109 67 103 54 21 162 127")
LIPS = np.concatenate([topology.INNER_LIPS, TUCKED, MIDDLE, topology.OUTER_LIPS])


def _openness(landmarks: FloatArray) -> float:
    """0 for a closed mouth, 1 from `masks.MOUTH_OPEN` on."""
    half = masks.MOUTH_OPEN / 2
    return min(max((masks.mouth_gap(landmarks) - half) / half, 0.0), 1.0)


def without_teeth(source: FloatArray) -> FloatArray:
    """A source's landmarks whose inner edge of open lips lies within the lips.

    Between closed or parted lips of the target not even a trace of the source's teeth may show.
    A closed mouth stays as it is.

    Args:
        source: 468 x 3, of `lips.refined`.
    """
    opening = _openness(source)
    if opening == 0:
        return source
    moved = np.array(source, np.float32)
    inner, outer = topology.INNER_LIPS, topology.OUTER_LIPS
    moved[inner] += (source[MIDDLE] - source[inner]) * np.float32(_INSET * opening)
    moved[TUCKED] = moved[inner] + (source[outer] - moved[inner]) / 3
    return moved


def mouth_matte(
    grid: FaceGrid,
    target: FloatArray,
    source: FloatArray,
    wanted: FloatArray,
    feather: float,
) -> FloatArray:
    """Where the target's own mouth stays: its interior, or the line between its closed lips.

    The mesh finds the lips' inner edge to about a hundredth of the face; near it, the colour
    decides what is lip and what is teeth, gums or dark.

    Args:
        target, source: 468 x 3 landmarks; of the source only whether its mouth is open counts.
        wanted: rows x columns x 3, the target at the nodes, encoded in [0, 1].
        feather: Softness of the edges, target pixels.

    Returns:
        rows x columns float32 in [0, 1].
    """
    here, there = _openness(target), _openness(source)
    if here == there == 0:
        return np.zeros(grid.shape, np.float32)
    width = float(np.ptp(target[topology.FACE_OVAL, :2], axis=0).max())
    matte = np.zeros(grid.shape, np.float32)
    if here > 0:
        inside = _interior(grid, target, wanted, _BAND * width)
        matte = _softened(inside, feather / grid.step) * np.float32(here)
    if here < 1 and there > 0:
        # Thin: at most half as soft as high, or it would nowhere be opaque.
        half = max(_LINE * width, _LINE_NODES * grid.step)
        line = _softened(_lip_line(grid, target, half), half / 2 / grid.step)
        matte = np.maximum(matte, np.minimum(line * np.float32(1.25), 1) * np.float32(there))
    return matte


def _softened(matte: FloatArray, sigma: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(matte, (0, 0), max(sigma, 0.5)), np.float32)


def _interior(grid: FaceGrid, landmarks: FloatArray, wanted: FloatArray, band: float) -> FloatArray:
    """Between the lips of an open mouth, the edge found by colour within ``band`` px, 0-1."""
    inside = grid.fill(landmarks[topology.INNER_LIPS, :2])
    nodes = max(1, round(band / grid.step))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * nodes + 1, 2 * nodes + 1))
    most = cv2.dilate(inside, disc)
    lips = grid.fill(landmarks[topology.OUTER_LIPS, :2]) > 0.9
    lip = cv2.erode((lips & (most < 0.1)).astype(np.uint8), disc) > 0
    if np.count_nonzero(lip) < _FEWEST:
        return inside
    rows, columns = (slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(most > 0))
    part = np.ascontiguousarray(wanted[rows, columns])
    lab = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2LAB), np.float32)
    known = cv2.cvtColor(wanted[lip][None], cv2.COLOR_RGB2LAB)[0]
    middle = np.median(known, axis=0)
    spread = 1.48 * np.median(np.abs(known - middle), axis=0)
    apart = np.abs(lab - middle) / np.maximum(spread, _LEAST_SPREAD)
    # Teeth are less red than lips, the dark behind them is darker; a highlight on a lip is neither.
    paler = np.where(lab[..., 1] < middle[1], apart[..., 1], 0)
    darker = np.where(lab[..., 0] < middle[0], apart[..., 0], 0)
    other = masks.smoothstep(
        np.asarray((np.maximum(paler, darker) - _SURELY_LIP) / 1.5, np.float32)
    )
    colour = np.zeros(grid.shape, np.float32)
    colour[rows, columns] = other
    least = cv2.erode(inside, disc)
    return np.asarray(np.clip(np.maximum(least, colour), 0, most), np.float32)


def _lip_line(grid: FaceGrid, landmarks: FloatArray, half: float) -> FloatArray:
    """The line between the inner lips and ``half`` target pixels to either side, 0-1."""
    upper = landmarks[topology.INNER_LIPS[:11], :2]
    lower = landmarks[np.concatenate([topology.INNER_LIPS[:1], topology.INNER_LIPS[:9:-1]]), :2]
    up = landmarks[topology.FOREHEAD, :2] - landmarks[topology.CHIN, :2]
    up = up / max(float(np.hypot(*up)), 1e-6) * half
    taper = np.sin(np.linspace(0.15, np.pi - 0.15, 11))[:, None]
    ring = np.concatenate([upper + up * taper, (lower - up * taper)[::-1]])
    return grid.fill(np.asarray(ring, np.float32))


def transferred(
    target: FloatArray, source: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """The target's points with the source's expression: lips, jaw, lids and gaze.

    Lips keep the source's form and lie below the target's nose; the jaw drops by what the mouth
    opens more; lids open as far as the source's for the width of the target's eyes. What lies
    between follows smoothly; the points over bone stay.

    Args:
        target: 468 x 3 landmarks in target pixels.
        source: Landmarks (468 x 3) and irises (2 x 5 x 2) in source pixels.

    Returns:
        Landmarks and irises in target pixels.
    """
    frame = Frame.of(target)
    a, b = frame.inward(target), frame.inward(aligned(source[0], target))
    change = np.zeros_like(a)
    jaw = jaw_share(a)
    gap = [p[topology.LOWER_LIP_INSIDE, 1] - p[topology.UPPER_LIP_INSIDE, 1] for p in (a, b)]
    change[:, 1] = jaw * (gap[1] - gap[0])
    change[LIPS] = (b[LIPS] - b[_SUBNASALE]) - (a[LIPS] - a[_SUBNASALE])
    fixed = np.zeros(topology.POINTS, bool)
    for points in (LIPS, topology.RIGID, topology.FACE_OVAL, _UPPER_OVAL):
        fixed[points] = True
    change[topology.RIGID] = 0
    change[_UPPER_OVAL] = 0
    change = frame.outward(change.astype(np.float32))
    eyes = []
    for which, region in enumerate(_EYES):
        points, iris = _lids(target[region, :2], source[0][region, :2], source[1][which])
        change[region[:_RINGS], :2] = (points - target[region, :2])[:_RINGS]
        change[region[:_RINGS], 2] = 0
        fixed[region[:_RINGS]] = True
        eyes.append(iris)
    for _ in range(_RELAXING):
        around = change[topology.neighbours()].mean(axis=1)
        change = np.where(fixed[:, None], change, around)
    return np.asarray(target + change, np.float32), np.asarray(eyes, np.float32)


def _lids(here: FloatArray, there: FloatArray, iris: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A source's eye region (71 x 2) and iris (5 x 2) put between the target's corners."""
    start, end = there[0], there[8]
    base, tip = here[0], here[8]
    # A turn and a scale in the plane are one complex factor.
    factor = complex(*(tip - base)) / (complex(*(end - start)) or 1)
    turned = []
    for points in (there, iris):
        plane = (points[:, 0] - start[0] + 1j * (points[:, 1] - start[1])) * factor
        turned.append(np.stack([plane.real, plane.imag], axis=1) + base)
    return turned[0].astype(np.float32), turned[1].astype(np.float32)
