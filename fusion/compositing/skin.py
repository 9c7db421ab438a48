"""Where a face shows skin: not lips, eyes or brows, not hair, beard, spectacles or teeth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import ByteArray, FloatArray
from fusion.compositing import masks
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology

# Areas that are skin on nearly every face: both cheeks beside the nose, the nose's bridge and
# the place between the brows. Mesh points in order around each area.
SURE_AREAS = (
    (117, 118, 101, 36, 205, 187, 123),
    (346, 347, 330, 266, 425, 411, 352),
    (193, 168, 417, 399, 5, 174),
    (9, 107, 66, 69, 151, 299, 296, 336),
)
FEATURES: Final = (
    topology.OUTER_LIPS,
    np.concatenate([topology.RIGHT_EYE, topology.RIGHT_BROW]),
    np.concatenate([topology.LEFT_EYE, topology.LEFT_BROW]),
)
_FEWEST = 40  # nodes
STRICT = np.array([14.0, 3.0, 3.5], np.float32)
"""Least spread of L, a, b that is taken for skin, to be sure that it is: for measuring light."""
TOLERANT = np.array([24.0, 3.0, 3.5], np.float32)
"""The same to be sure that it is not: shadows are skin, hair differs in its colour as well."""
_CERTAIN, _EXCLUDED = 2.6, 4.2  # distances from the skin's colour, in spreads


def features_matte(grid: FaceGrid, landmarks: FloatArray, margin: float) -> FloatArray:
    """1 over lips, eyes and brows and ``margin`` target pixels around them, else 0; soft edges."""
    covered = np.zeros(grid.shape, np.float32)
    for area in FEATURES:
        np.maximum(covered, grid.fill(masks.hull(landmarks[area, :2])), out=covered)
    reach = margin / grid.step
    # Coverage comes in steps of 1 / 255, and bytes are compared four times as fast.
    grown = cv2.dilate(np.rint(covered * np.float32(255)).astype(np.uint8), disc(reach))
    return softened(np.asarray(grown / np.float32(255), np.float32), reach / 2)


@dataclass(frozen=True, slots=True, eq=False)
class SkinColour:
    """How far each node's colour is from that of the face's own skin, in CIELAB.

    The skin's colour is the median over the sure areas, its spread their median absolute
    deviation (times 1.48, the standard deviation of a normal distribution).

    deviation: rows x columns x 3. spread: of L, a and b; None for a face too small to tell.
    """

    deviation: FloatArray
    spread: FloatArray | None

    @classmethod
    def of(cls, values: FloatArray, sure: NDArray[np.bool_]) -> SkinColour:
        """Measure ``values`` (rows x columns x 3, sRGB-encoded) where ``sure`` says skin."""
        lab = np.asarray(cv2.cvtColor(np.ascontiguousarray(values), cv2.COLOR_RGB2LAB), np.float32)
        known = lab[sure]
        if len(known) < _FEWEST:
            return cls(np.zeros_like(lab), None)
        middle = np.median(known, axis=0)
        spread = 1.48 * np.median(np.abs(known - middle), axis=0)
        return cls(np.asarray(lab - middle, np.float32), np.asarray(spread, np.float32))

    def likelihood(self, least: FloatArray) -> FloatArray:
        """How likely each node shows skin, rows x columns in [0, 1].

        Args:
            least: Spread of L, a and b that is assumed at least: `STRICT` or `TOLERANT`.
        """
        if self.spread is None:
            return np.ones(self.deviation.shape[:2], np.float32)
        share = self.deviation / np.maximum(self.spread, least)
        distance = np.sqrt(np.einsum("hwc,hwc->hw", share, share))
        likely = 1 - masks.smoothstep((distance - _CERTAIN) / (_EXCLUDED - _CERTAIN))
        return softened(likely, 1.5)


def sure_skin(grid: FaceGrid, landmarks: FloatArray) -> NDArray[np.bool_]:
    """Nodes that are skin on nearly every face, rows x columns."""
    areas = [grid.fill(landmarks[list(area), :2]) for area in SURE_AREAS]
    return np.asarray(np.max(areas, axis=0) > 0.5)


# Of the histograms of colour: lightness and the two ratios, see `Complexion`.
_CELLS = (22, 40, 40)
_CELL = np.array([5.0, 0.025, 0.025], np.float32)
_MIDDLE = np.array([14.0, 20.0, 20.0], np.float32)
_CELL_SIGMA = 1.2
_EVERY = 2  # nodes; statistics need no more
_STAIN = np.float32(0.06)  # added before ratios are taken: black has no colour
_LEAST_SPREAD = np.array([0.0, 0.02, 0.015], np.float32)
_SLOPES = (-0.012, 0.004)  # of a ratio over lightness, as cameras' tone curves bring
_UNSEEN = np.float32(2e-6)  # density of colours that neither side shows
_LEAST_SKIN = 0.06  # share of skin in whatever lies well within the face
_SKIN_SHARE = 2.0  # how much more of the nodes are skin than not
_TEXTURES = 48
_TEXTURE_WEIGHT = 10.0  # most that texture alone shifts the odds
_ODD = (0.4, 0.6)  # distance from what skin, hair and beards look like: none, full
_DEEPEST = 2.5  # how much more than the skin's own the colour of shaded skin or hair may be


@dataclass(frozen=True, slots=True, eq=False)
class Complexion:
    """A face's own skin told from what surrounds the face.

    The colours are lightness (0-100) and the logarithms of red and of blue over green, which
    the strength of light does not change, each less that of the skin; the ratios also less
    their regression on lightness within the skin.

    colours: 3 x rows x columns. foreign: rows x columns in [0, 1], how likely a node shows not
    this skin but what surrounds the face. odd: rows x columns in [0, 1], 1 for colours that
    neither skin nor natural hair has.
    """

    colours: FloatArray
    foreign: FloatArray
    odd: FloatArray

    @classmethod
    def of(
        cls,
        values: FloatArray,
        sure: NDArray[np.bool_],
        inner: FloatArray,
        outside: NDArray[np.bool_],
    ) -> Complexion:
        """Two histograms, of the face and of its surroundings, by colour and by texture.

        A node's likelihood follows from their ratio by Bayes' rule. Everything is skin where
        ``sure`` covers too little to tell.

        Args:
            values: rows x columns x 3, encoded in [0, 1].
            sure: Nodes that are skin on nearly every face.
            inner: rows x columns in [0, 1], the face without eyes, brows and lips.
            outside: Nodes outside the face.
        """
        colours = _ratios(values)
        few = (slice(None, None, _EVERY), slice(None, None, _EVERY))
        if np.count_nonzero(sure) < _FEWEST:
            nothing = np.zeros(sure.shape, np.float32)
            return cls(np.zeros_like(colours), nothing, nothing)
        middle, slope, like, unlike = _without_shade(
            colours[:, ::_EVERY, ::_EVERY], inner[few], sure[few]
        )
        odd = _oddity(colours, middle)
        colours -= middle[:, None, None]
        for ratio in (1, 2):
            colours[ratio] -= slope[ratio] * colours[0]
        cells = _cells(colours)
        within = np.clip(inner[few] * 4 - 3, 0, 1)
        face = _histogram(cells[few], inner[few] * np.maximum(like, _LEAST_SKIN * within))
        around = _histogram(cells[few], outside[few] * unlike)
        odds = ((around + _UNSEEN) / (_SKIN_SHARE * face + _UNSEEN)).ravel().take(cells)
        odds *= _texture_odds(colours[0] + middle[0], inner, outside)
        foreign = odds / (1 + odds)
        foreign *= 1 - _shade(colours)
        return cls(colours, softened(foreign, 0.7), softened(odd, 0.7))


def _ratios(values: FloatArray) -> FloatArray:
    """Lightness and the logarithms of red and of blue over green, 3 x rows x columns."""
    red, green, blue = cv2.split(values + _STAIN)
    light = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY) * np.float32(100)
    level = cv2.log(green)
    return np.stack([light, cv2.log(red) - level, cv2.log(blue) - level]).astype(np.float32)


def _without_shade(
    colours: FloatArray, inner: FloatArray, sure: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The skin's colour, its slopes over lightness, and how like and unlike it each node is.

    Measured where the skin is sure, then twice on what looks like it: darker skin is the same
    skin, redder skin nearly so, hair of any colour is less red.
    """
    weight = sure.astype(np.float32)
    for last in (False, False, True):
        total = np.float32(weight.sum())
        middle = np.einsum("chw,hw->c", colours, weight) / total
        apart = colours - middle[:, None, None]
        together = np.einsum("chw,hw->c", apart * apart[0], weight) / total
        slope = np.clip(together / (together[0] + 30), *_SLOPES).astype(np.float32)
        if last:
            break
        for ratio in (1, 2):
            apart[ratio] -= slope[ratio] * apart[0]
        spread = np.sqrt(np.einsum("chw,hw->c", apart * apart, weight) / total) + _LEAST_SPREAD
        red = apart[1] / spread[1]
        red *= np.where(red < 0, np.float32(1), np.float32(0.7))
        dark = np.minimum(apart[0] + 10, 0) / 40
        far = red**2 + (apart[2] / spread[2]) ** 2 + dark**2
        weight = np.maximum(inner * np.exp(-far / 4), np.float32(1e-6))
    return middle, slope, weight, 1 - np.exp(-far / 1.5)


def _cells(colours: FloatArray) -> NDArray[np.int32]:
    """The cell of `_histogram` into which each node's colour falls."""
    index = np.zeros(colours.shape[1:], np.int32)
    for plane, size, count, middle in zip(colours, _CELL, _CELLS, _MIDDLE, strict=True):
        index *= count
        index += np.clip(np.rint(plane / size + middle), 0, count - 1).astype(np.int32)
    return index


def _histogram(cells: NDArray[np.int32], weight: FloatArray) -> FloatArray:
    """Density of colours, smoothed along all three axes."""
    counts = np.bincount(cells.ravel(), weight.ravel(), minlength=int(np.prod(_CELLS)))
    table = np.asarray(counts.reshape(_CELLS), np.float32)
    for _ in _CELLS:
        flat = table.reshape(table.shape[0], -1)
        smooth = cv2.GaussianBlur(
            flat, (1, 7), 0, sigmaY=_CELL_SIGMA, borderType=cv2.BORDER_CONSTANT
        )
        table = np.ascontiguousarray(smooth.reshape(table.shape).transpose(1, 2, 0), np.float32)
    return np.asarray(table / np.float32(max(float(weight.sum()), 1e-6)), np.float32)


def _texture_odds(light: FloatArray, inner: FloatArray, outside: NDArray[np.bool_]) -> FloatArray:
    """How much likelier each node's roughness is outside the face than in it."""
    fine = cv2.absdiff(light, cv2.GaussianBlur(light, (0, 0), 2.0))
    rough = cv2.GaussianBlur(fine, (0, 0), 2.0) / (light + 10) + np.float32(1e-4)
    steps = np.clip(np.rint(4.33 * cv2.log(rough) + 40), 0, _TEXTURES - 1).astype(np.int32)
    few = steps[::_EVERY, ::_EVERY].ravel()
    densities = []
    for area in (outside.astype(np.float32), inner):
        weight = area[::_EVERY, ::_EVERY].ravel()
        counts = np.bincount(few, weight, minlength=_TEXTURES).astype(np.float32)
        smooth = cv2.GaussianBlur(counts[None], (0, 0), 1.5)[0]
        densities.append(smooth / max(float(smooth.sum()), 1e-6) + 1e-3)
    odds = np.clip(densities[0] / densities[1], 1 / _TEXTURE_WEIGHT, _TEXTURE_WEIGHT)
    return np.asarray(odds.take(steps), np.float32)


def _shade(colours: FloatArray) -> FloatArray:
    """1 where the skin is only darker and, as shades between skin are, redder."""
    shade = masks.smoothstep(colours[0] / -10)
    shade *= masks.smoothstep(colours[1] / 0.06)
    shade *= masks.smoothstep((colours[2] + 0.06) / 0.05)
    return shade


def _oddity(ratios: FloatArray, skin: FloatArray) -> FloatArray:
    """1 for ratios far from the line from grey through the skin, on which hair lies too."""
    along = ratios[1] * skin[1] + ratios[2] * skin[2]
    along /= max(float(skin[1] ** 2 + skin[2] ** 2), 1e-4)
    np.clip(along, 0, _DEEPEST, out=along)
    far = cv2.magnitude(ratios[1] - along * skin[1], ratios[2] - along * skin[2])
    return masks.smoothstep((far - _ODD[0]) / (_ODD[1] - _ODD[0]))


def covered(grid: FaceGrid, polygon: FloatArray) -> NDArray[np.bool_]:
    """Nodes inside a polygon (N x 2 target pixels); `FaceGrid.fill` without soft edges."""
    canvas = np.zeros(grid.shape, np.uint8)
    corners = np.round(grid.nodes_of(polygon) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 1, cv2.LINE_8, shift=4)
    return np.asarray(canvas > 0)


def dilated(area: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """``area`` grown by a disc, nodes."""
    return np.asarray(cv2.dilate(area.astype(np.uint8), disc(radius)) > 0)


def disc(radius: float) -> ByteArray:
    """A round structuring element, at least 3 x 3."""
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def softened(matte: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur, at least half a node wide."""
    return np.asarray(cv2.GaussianBlur(matte, (0, 0), max(sigma, 0.5)), np.float32)
