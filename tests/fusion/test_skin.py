"""Skin told from lips, hair and surroundings by its own colour."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import FloatArray
from fusion.compositing import skin
from fusion.compositing.grid import FaceGrid
from preprocess import face_topology as topology
from tests.fusion.pictures import Fusion

SKIN = np.array([0.8, 0.6, 0.5], np.float32)
HAIR = np.array([0.32, 0.26, 0.2], np.float32)
SIZE = 120
FACE = (slice(30, 90), slice(30, 90))
SURE = (slice(45, 75), slice(45, 75))
PLACE = (slice(78, 86), slice(40, 60))
"""Within the face, but not where skin is sure."""


def area(part: tuple[slice, slice]) -> NDArray[np.bool_]:
    inside = np.zeros((SIZE, SIZE), np.bool_)
    inside[part] = True
    return inside


def scene(*, colourful: bool = True) -> FloatArray:
    """A square face amid hair, both with some grain and a fall of light."""
    rng = np.random.default_rng(11)
    values = np.where(area(FACE)[..., None], SKIN, HAIR)
    grain = np.where(area(FACE), 0.01, 0.05)[..., None] * rng.normal(0, 1, (SIZE, SIZE, 1))
    light = np.linspace(1.1, 0.75, SIZE)[None, :, None]
    values = np.clip((values + grain) * light, 0, 1).astype(np.float32)
    if not colourful:
        values = np.repeat(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return np.asarray(values, np.float32)


def complexion(values: FloatArray, sure: NDArray[np.bool_] | None = None) -> skin.Complexion:
    inner = area(FACE).astype(np.float32)
    outside = ~area((slice(28, 92), slice(28, 92)))
    return skin.Complexion.of(values, area(SURE) if sure is None else sure, inner, outside)


@pytest.mark.parametrize("colourful", [True, False])
def test_surroundings_are_foreign_and_the_face_is_not(colourful: bool) -> None:
    seen = complexion(scene(colourful=colourful))
    assert float(seen.foreign[area((slice(33, 87), slice(33, 87)))].max()) < 0.1
    assert float(np.median(seen.foreign[~area((slice(25, 95), slice(25, 95)))])) > 0.9
    assert seen.foreign.dtype == seen.odd.dtype == seen.colours.dtype == np.float32


def test_hair_over_the_face_is_foreign() -> None:
    values = scene()
    values[PLACE] = scene()[2:10, 40:60]
    assert float(np.median(complexion(values).foreign[PLACE])) > 0.8


def test_shade_is_skin() -> None:
    values = scene()
    values[PLACE] *= np.array([0.62, 0.57, 0.56], np.float32)  # skin reddens its own shade
    assert float(complexion(values).foreign[PLACE].max()) < 0.1


def test_the_strength_of_light_is_no_colour() -> None:
    colours = complexion(scene()).colours
    face = colours[:, 35:85, 35:85]
    assert float(np.abs(face[1:]).mean()) < 0.03
    assert float(np.ptp(cv2.blur(face[0], (9, 9)))) > 5


@pytest.mark.parametrize("colour", [(0.2, 0.3, 0.8), (0.1, 0.6, 0.2), (0.7, 0.05, 0.1)])
def test_cloth_is_odd_and_skin_and_hair_are_not(colour: tuple[float, float, float]) -> None:
    values = scene()
    values[PLACE] = colour
    odd = complexion(values).odd
    assert float(odd[79:85, 42:58].min()) > 0.9
    assert float(odd[30:70].max()) < 0.05
    assert float(odd[100:].max()) < 0.3


def test_everything_is_skin_where_too_little_is_sure() -> None:
    seen = complexion(scene(), sure=area((slice(50, 53), slice(50, 53))))
    assert not seen.foreign.any()
    assert not seen.odd.any()
    assert not seen.colours.any()


def test_lips_are_a_feature_and_cheeks_are_sure(fusion: Fusion) -> None:
    landmarks = fusion.target.face.landmarks
    grid = FaceGrid.over(landmarks[:, :2], 8.0, 1.0)
    features, sure = skin.features_matte(grid, landmarks, 6.0), skin.sure_skin(grid, landmarks)
    for index, feature in ((topology.LOWER_LIP_INSIDE, 1.0), (50, 0.0), (topology.CHIN, 0.0)):
        column, row = np.rint(grid.nodes_of(landmarks[index, :2])).astype(int)
        assert float(features[row, column]) == pytest.approx(feature, abs=1e-3)
        assert bool(sure[row, column]) == (index == 50)
    assert not (features[sure] > 0.99).any()


def test_a_faces_own_colour_is_likely_and_hairs_is_not() -> None:
    values = scene()
    colour = skin.SkinColour.of(values, area(SURE))
    for least in (skin.STRICT, skin.TOLERANT):
        likely = colour.likelihood(least)
        assert float(likely[area(SURE)].min()) > 0.8
        assert float(np.median(likely[~area((slice(25, 95), slice(25, 95)))])) < 0.3


def test_too_small_a_face_is_all_skin() -> None:
    colour = skin.SkinColour.of(scene(), area((slice(50, 53), slice(50, 53))))
    assert colour.spread is None
    assert (colour.likelihood(skin.STRICT) == 1).all()


def test_grown_and_covered_areas() -> None:
    grid = FaceGrid(0.0, 0.0, 1.0, 40, 30)
    square = skin.covered(grid, np.array([[10, 10], [20, 10], [20, 20], [10, 20]], np.float32))
    assert int(square.sum()) == 11 * 11
    grown = skin.dilated(square, 3)
    assert grown[10 - 3, 15]
    assert not grown[10 - 4, 15]
    assert not grown[7, 7]  # the disc leaves the corners round
    assert skin.disc(0.2).shape == (3, 3)
