"""What the embedded engine does to a picture: properties, not today's pixels."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import CancelledError, OptionError
from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.compositing import masks
from fusion.compositing.masks import MOUTH_OPEN, mouth_gap
from fusion.compositing.skin import SURE_AREAS
from fusion.request import MODES, Blend, Network
from preprocess import face_topology as topology
from tests.fusion.conftest import Prepare
from tests.fusion.faces import width_of
from tests.fusion.pictures import (
    Fusion,
    Paint,
    Pixels,
    as_float,
    linear,
    source_portrait,
    target_portrait,
)
from tests.fusion.sight import Sight, strand


@pytest.fixture(scope="module")
def result(fusion: Fusion) -> FloatArray:
    return fusion.render(fusion.field(1.0))


def opacity(fusion: Fusion, ratio: float = 1.0) -> FloatArray:
    return fusion.field(ratio).opacity(Region.whole(fusion.size), fusion.size)


def lower_band(picture: FloatArray, weight: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur in which only ``weight`` counts."""
    soft = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(picture * weight[..., None], (0, 0), sigma)
    return np.asarray(blurred / np.maximum(soft, 1e-3), np.float32)


def test_a_face_on_itself_stays_as_it_is(prepare: Prepare, astronaut: NDArray[Any]) -> None:
    """But for what replaces her hair, and the lips without the teeth between them."""
    portrait = target_portrait(astronaut)
    same = prepare(portrait, portrait)
    field = same.field()
    change = np.abs(same.render(field) - as_float(portrait))
    assert field.reach(same.size) == 0  # nothing has to move
    seen = opacity(same) > 0
    assert change[~seen].max() < 0.003
    assert change[seen].mean() < 0.015  # measured 0.008
    landmarks = same.target.face.landmarks
    skin = np.zeros(seen.shape, np.uint8)
    for area in SURE_AREAS[:3]:  # cheeks and nose; above, her fringe is replaced
        cv2.fillConvexPoly(skin, np.rint(masks.hull(landmarks[list(area), :2])).astype(int), 1)
    assert change[skin > 0].mean() < 0.008  # measured 0.005, where highlights are held back


def test_the_low_frequencies_are_the_targets(fusion: Fusion, result: FloatArray) -> None:
    target = as_float(fusion.pixels)
    weight = (opacity(fusion) > 0.95).astype(np.float32)
    sigma = 0.15 * fusion.target.face.box.width
    bands = [lower_band(picture, weight, sigma) for picture in (result, target)]
    apart = np.abs(bands[0] - bands[1])[weight > 0]
    assert apart.mean() < 0.015  # measured 0.004
    # The source itself is darker and redder by far more than that.
    given = as_float(source_portrait_on(fusion))
    assert np.abs(lower_band(given, weight, sigma) - bands[1])[weight > 0].mean() > 0.06


def source_portrait_on(fusion: Fusion) -> NDArray[Any]:
    """The source's pixels moved onto the target's eyes and mouth, its colours unchanged."""
    points = [33, 263, 13]
    source = fusion.source.face.landmarks[points, :2]
    window = fusion.source.window
    move = cv2.getAffineTransform(window.inward(source), fusion.target.face.landmarks[points, :2])
    return cv2.warpAffine(window.pixels, move, (fusion.size.width, fusion.size.height))


RIGHT_CHEEK_SKIN, LEFT_CHEEK_SKIN = 205, 425


def test_the_details_are_the_sources(fusion: Fusion) -> None:
    """A freckle on the source's right cheek appears, one on the target's left cheek goes."""
    freckled = fusion.painted(target=freckle(LEFT_CHEEK_SKIN), source=freckle(RIGHT_CHEEK_SKIN))
    field = freckled.field()
    result, before = freckled.render(field), as_float(freckled.pixels)
    places = fusion.target.face.landmarks[[RIGHT_CHEEK_SKIN, LEFT_CHEEK_SKIN], :2]
    right, left = places
    assert darkness(before, left) > 0.06  # measured 0.077
    assert darkness(before, right) < 0.0  # measured -0.018
    right, left = fusion.shown_at(field, places)
    assert darkness(result, left) < 0.01  # measured -0.015
    assert darkness(result, right) > 0.04  # measured 0.074


def freckle(point: int) -> Paint:
    def paint(pixels: Pixels, landmarks: FloatArray) -> Pixels:
        unit = width_of(landmarks) / 219
        spot = np.zeros(pixels.shape[:2], np.float32)
        centre = np.round(landmarks[point, :2] * 16).astype(int).tolist()
        cv2.circle(spot, centre, round(2.2 * unit * 16), 1.0, -1, shift=4)
        spot = cv2.GaussianBlur(spot, (0, 0), unit)
        return np.asarray(np.round(pixels * (1 - 0.2 * spot[..., None])), np.uint8)

    return paint


def darkness(picture: FloatArray, place: NDArray[Any]) -> float:
    """How much darker a place is than its surroundings."""
    x, y = np.round(place).astype(int)
    around = picture[y - 10 : y + 11, x - 10 : x + 11].mean(axis=-1)
    return float(np.median(around) - around[9:12, 9:12].mean())


@pytest.mark.parametrize("mode", MODES)
def test_the_ratio_mixes_in_linear_light(alike: Fusion, mode: str) -> None:
    """Between faces of one form; others are first brought to a form in between."""
    full = alike.field(mode=mode)
    face = full._grid.extent(alike.size, alike.size).within(alike.whole)
    low, high = (linear(one[face]) for one in (as_float(alike.pixels), alike.render(full)))
    assert np.abs(high - low).max() > 0.1
    for ratio in (0.25, 0.75):
        field = alike.field(ratio, mode=mode)
        mixed = linear(alike.render(field)[face])
        shown = high > 0  # mode blend may ask for less than black, which is cut off
        apart = np.abs(mixed - (low + ratio * (high - low)))
        assert apart[shown].max() < 1e-4  # measured 2e-5
        assert apart.max() < 1e-3
        whole = alike.whole, alike.size
        assert np.abs(field.opacity(*whole) - ratio * full.opacity(*whole)).max() < 1e-6


def test_more_ratio_comes_nearer_to_the_source(fusion: Fusion, result: FloatArray) -> None:
    inside = opacity(fusion) > 0.5
    target = as_float(fusion.pixels)
    pictures = [fusion.render(fusion.field(ratio)) for ratio in (0.0, 0.25, 0.5, 0.75)]
    assert np.array_equal(pictures[0], target)
    left = [float(np.abs(one - result)[inside].mean()) for one in pictures]
    # measured 0.038 0.029 0.020 0.011
    assert all(more - less > 0.005 for more, less in pairwise([*left, 0.0]))


def test_half_a_fusion_shows_no_feature_twice(fusion: Fusion) -> None:
    """Both faces get the form in between: points move in proportion."""
    moves = [fusion.field(ratio)._moves.longest for ratio in (0.25, 0.5, 1.0)]
    assert moves[2] > 3
    assert moves[0] == pytest.approx(moves[2] / 4, rel=0.02)
    assert moves[1] == pytest.approx(moves[2] / 2, rel=0.02)


def test_the_teeth_stay_the_targets(fusion: Fusion, result: FloatArray) -> None:
    assert mouth_gap(fusion.target.face.landmarks) > 2 * MOUTH_OPEN  # the astronaut smiles
    field = fusion.field()
    target = fusion.moved(field)
    lips = np.zeros(result.shape[:2], np.uint8)
    ring = fusion.shown_at(field, fusion.target.face.landmarks[topology.INNER_LIPS, :2])
    cv2.fillPoly(lips, [np.rint(ring).astype(np.int32)], 1)
    hole = (opacity(fusion) < 0.05) & (lips > 0)
    assert hole.sum() > 120  # measured 200: the gap is eight pixels high and has soft edges
    assert np.abs(result - target)[hole].mean() < 0.004  # measured 0.002
    teeth = (lips > 0) & (target.mean(axis=2) > 0.8) & (np.ptp(target, axis=2) < 0.15)
    assert teeth.sum() > 100
    assert np.abs(result - target)[teeth].mean() < 0.025  # measured 0.015


def test_the_matte_is_soft_and_full_in_the_middle(fusion: Fusion) -> None:
    field, grid = fusion.field(), fusion.field()._grid
    matte = field.opacity(fusion.whole, fusion.size)
    assert matte.min() == 0.0
    assert matte.max() <= 1.0
    nose = fusion.shown_at(field, fusion.target.face.landmarks[[topology.NOSE_TIP], :2])
    x, y = np.round(nose[0]).astype(int)
    assert matte[y, x] == pytest.approx(1.0, abs=1e-5)
    # But for what lies in front, whose edges are as sharp as the picture shows them.
    plain = field._mattes.opacity
    steps = max(np.abs(np.diff(plain, axis=axis)).max() for axis in (0, 1))
    assert steps < 0.5 * grid.step  # no hard edge; measured 0.31 at the mouth


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_every_size_shows_the_same_fusion(fusion: Fusion, result: FloatArray, scale: float) -> None:
    at = Size(round(fusion.size.width * scale), round(fusion.size.height * scale))
    shown = fusion.render(fusion.field(1.0), at)
    common = (min(at.width, fusion.size.width), min(at.height, fusion.size.height))
    shown, result = (
        cv2.resize(picture, common, interpolation=cv2.INTER_AREA) for picture in (shown, result)
    )
    matte = cv2.resize(opacity(fusion), shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    # Enlarged 0.0015. Reduced 0.006: grain and what is finer than the nodes are averaged.
    assert np.abs(shown - result)[matte > 0].mean() < (0.003 if scale > 1 else 0.01)


def test_an_enlarged_output_takes_real_detail_from_the_source(
    prepare: Prepare, astronaut: NDArray[Any]
) -> None:
    """A small target and a large source: more detail than the enlarged small result has."""
    half = cv2.resize(target_portrait(astronaut), (360, 300), interpolation=cv2.INTER_AREA)
    small = prepare(half, source_portrait(astronaut))
    field, at = small.field(), Size(720, 600)
    fine = small.render(field, at)
    coarse = cv2.resize(small.render(field), (720, 600), interpolation=cv2.INTER_CUBIC)
    inside = field.opacity(Region.whole(at), at) > 0.9

    def detail(picture: FloatArray) -> float:
        luma = np.ascontiguousarray(picture[..., 1])
        return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F))[inside].mean())

    assert detail(fine) > 1.15 * detail(coarse)  # measured 1.30


def test_prepare_can_be_cancelled(fusion: Fusion) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(CancelledError):
        fusion.engine.prepare([fusion.pair], Blend(1.0), progress)


@pytest.mark.parametrize(
    "network", [Network("official"), Network(boost=1), Network(enhance=0.0)], ids=str
)
def test_what_only_networks_have_is_refused(fusion: Fusion, network: Network) -> None:
    capabilities = fusion.engine.capabilities
    with pytest.raises(OptionError, match="not for engine mesh; leave them out, or use engine mod"):
        capabilities.check(Blend(1.0, network=network))
    capabilities.check(Blend(1.0))


def test_several_pairs_are_the_same_fields_as_one_after_the_other(fusion: Fusion) -> None:
    darker = fusion.painted(target=lambda pixels, _: np.asarray(pixels * 0.9, pixels.dtype))
    fields = fusion.engine.prepare([fusion.pair, darker.pair], Blend(0.8), Progress())
    assert len(fields) == 2
    for pair, field in zip((fusion, darker), fields, strict=True):
        assert np.array_equal(pair.render(field), pair.render(pair.field(0.8)))
    assert fusion.engine.prepare([], Blend(0.8), Progress()) == ()


def test_prepare_twice_gives_the_same_field(fusion: Fusion, result: FloatArray) -> None:
    assert np.array_equal(fusion.render(fusion.field(1.0)), result)


def test_what_the_frame_hides_of_the_source_comes_from_its_other_half(fusion: Fusion) -> None:
    """The source's picture ends at its nose; beyond is paint that must not show."""
    window, nose = fusion.source.window, fusion.source.face.landmarks[[topology.NOSE_TIP], :2]
    pixels = window.pixels.copy()
    pixels[:, round(float(window.inward(nose)[0, 0])) :] = (255, 0, 255)
    cut = replace(
        fusion.source,
        window=replace(window, pixels=pixels),
        picture=Size(round(float(nose[0, 0])), fusion.source.picture.height),
    )
    halved = replace(fusion, source=cut)
    field, plain = halved.field(), fusion.field()
    result, whole = halved.render(field), fusion.render(plain)
    left, right = np.rint(
        fusion.shown_at(
            field,
            fusion.target.face.landmarks[
                [topology.LEFT_EYE_CORNERS[1], topology.RIGHT_EYE_CORNERS[1]], :2
            ],
        )
    ).astype(int)
    matte = field.opacity(fusion.whole, fusion.size)
    assert matte[left[1], left[0]] == matte[right[1], right[0]] == 1
    magenta = [one[..., 0] - one[..., 1] for one in (result, whole)]
    excess = np.maximum(magenta[0] - magenta[1], 0)
    assert excess.max() < 0.3  # of the paint's 1; measured 0.2
    assert (excess > 0.1).sum() < 150  # measured 67, the other half being redder
    eye = np.s_[left[1] - 8 : left[1] + 9, left[0] - 8 : left[0] + 9]
    mirrored = np.s_[right[1] - 8 : right[1] + 9, right[0] - 8 : right[0] + 9]
    luma = result.mean(axis=2)
    assert np.corrcoef(luma[eye].ravel(), luma[mirrored][:, ::-1].ravel())[0, 1] > 0.7


def test_a_black_and_white_target_takes_no_colour(fusion: Fusion) -> None:
    grey = fusion.painted(target=without_colour)
    result = grey.render(grey.field())
    assert np.abs(result - as_float(grey.pixels)).max() > 0.1
    assert float(np.ptp(result, axis=2).max()) < 1 / 255


def without_colour(pixels: Pixels, _: FloatArray) -> Pixels:
    return np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


GREEN = (60, 120, 70)


def test_hair_over_the_sources_temple_is_left_behind(fusion: Fusion, result: FloatArray) -> None:
    """It is filled from the other half, and the face stays whole."""
    haired = fusion.painted(source=green_strand)
    field = haired.field()
    covered = haired.render(field)
    green = [one[..., 1] - one[..., 0] for one in (covered, result, as_float(haired.source_pixels))]
    excess = np.maximum(green[0] - green[1], 0)
    assert green[2].max() > 0.2
    assert excess.max() < 0.15
    assert (excess > 0.05).sum() < 150
    inside = opacity(fusion) > 0.9
    assert field.opacity(fusion.whole, fusion.size)[inside].min() > 0.85
    assert np.abs(covered - result)[inside].mean() < 0.02  # measured 0.009


def green_strand(pixels: Pixels, landmarks: FloatArray) -> Pixels:
    sight = Sight.of(pixels, landmarks)
    return sight.line(strand(sight), GREEN, 0.1 * sight.apart).pixels
