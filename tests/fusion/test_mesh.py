"""What the embedded engine does to a picture: properties, not today's pixels."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import CancelledError
from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.compositing.masks import MOUTH_OPEN, mouth_gap
from fusion.request import Blend
from preprocess import face_topology as topology
from tests.fusion.conftest import Prepare
from tests.fusion.pictures import Fusion, as_float, linear, source_portrait, target_portrait


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
    portrait = target_portrait(astronaut)
    same = prepare(portrait, portrait)
    change = np.abs(same.render(same.field(1.0)) - as_float(portrait))[opacity(same) > 0]
    assert change.mean() < 0.001  # measured 0.00005
    assert np.percentile(change, 99) < 0.01  # measured 0.002
    assert change.max() < 0.06  # measured 0.022, at the mouth


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


def test_the_details_are_the_sources(prepare: Prepare, fusion: Fusion) -> None:
    """A freckle on the source's right cheek appears, one on the target's left cheek goes."""
    target, source = fusion.pixels.copy(), fusion.source_pixels.copy()
    right, left = fusion.target.face.landmarks[[RIGHT_CHEEK_SKIN, LEFT_CHEEK_SKIN], :2]
    add_freckle(target, left)
    add_freckle(source, fusion.source.face.landmarks[RIGHT_CHEEK_SKIN, :2])
    freckled = prepare(target, source)
    result = freckled.render(freckled.field(1.0))
    before = as_float(target)
    assert darkness(before, left) > 0.06  # measured 0.076
    assert darkness(result, left) < 0.01  # measured -0.026
    assert darkness(before, right) < 0.0  # measured -0.018
    assert darkness(result, right) > 0.03  # measured 0.057


def add_freckle(picture: NDArray[Any], place: NDArray[Any]) -> None:
    spot = np.zeros(picture.shape[:2], np.float32)
    cv2.circle(spot, np.round(place).astype(int).tolist(), 2, 1.0, -1)
    spot = cv2.GaussianBlur(spot, (0, 0), 1)[..., None]
    picture[:] = np.round(picture * (1 - 0.2 * spot))


def darkness(picture: FloatArray, place: NDArray[Any]) -> float:
    """How much darker a place is than its surroundings."""
    x, y = np.round(place).astype(int)
    around = picture[y - 10 : y + 11, x - 10 : x + 11].mean(axis=-1)
    return float(np.median(around) - around[9:12, 9:12].mean())


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_the_ratio_mixes_in_linear_light(fusion: Fusion, result: FloatArray, ratio: float) -> None:
    face = fusion.field().bounds(fusion.size).within(Region.whole(fusion.size))
    low, high = linear(as_float(fusion.pixels)[face]), linear(result[face])
    mixed = linear(fusion.render(fusion.field(ratio))[face])
    assert np.abs(mixed - (low + ratio * (high - low))).max() < 1e-4  # measured 2e-5
    assert opacity(fusion, ratio) == pytest.approx(ratio * opacity(fusion), abs=1e-6)


def test_more_ratio_moves_every_pixel_further(fusion: Fusion) -> None:
    ratios = np.linspace(0, 1, 6)
    face = fusion.field().bounds(fusion.size).within(Region.whole(fusion.size))
    pictures = np.stack([linear(fusion.render(fusion.field(ratio))[face]) for ratio in ratios])
    direction = np.sign(pictures[-1] - pictures[0])
    assert (np.diff(pictures, axis=0) * direction).min() > -1e-4


def test_an_open_mouth_stays_the_targets(fusion: Fusion, result: FloatArray) -> None:
    landmarks = fusion.target.face.landmarks
    assert mouth_gap(landmarks) > 2 * MOUTH_OPEN  # the astronaut smiles
    inside = np.zeros(result.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.round(landmarks[topology.INNER_LIPS, :2]).astype(np.int32)], 1)
    inside = cv2.erode(inside, np.ones((11, 11), np.uint8))
    target = as_float(fusion.pixels)
    assert inside.sum() > 100
    difference = np.abs(result - target)[inside > 0]
    assert np.rint(difference * 255).max() == 0


def test_the_matte_is_soft_and_full_in_the_middle(fusion: Fusion) -> None:
    matte = opacity(fusion)
    assert matte.min() == 0.0
    assert matte.max() <= 1.0
    x, y = np.round(fusion.target.face.landmarks[topology.NOSE_TIP, :2]).astype(int)
    assert matte[y, x] == pytest.approx(1.0, abs=1e-5)
    steps = max(np.abs(np.diff(matte, axis=axis)).max() for axis in (0, 1))
    assert steps < 0.5  # no hard edge; measured 0.3 at the mouth


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_every_size_shows_the_same_fusion(fusion: Fusion, result: FloatArray, scale: float) -> None:
    at = Size(round(fusion.size.width * scale), round(fusion.size.height * scale))
    shown = fusion.render(fusion.field(1.0), at)
    common = (min(at.width, fusion.size.width), min(at.height, fusion.size.height))
    shown, result = (
        cv2.resize(picture, common, interpolation=cv2.INTER_AREA) for picture in (shown, result)
    )
    matte = cv2.resize(opacity(fusion), shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(shown - result)[matte > 0].mean() < 0.006  # measured 0.0026


def test_an_enlarged_output_takes_real_detail_from_the_source(
    prepare: Prepare, astronaut: NDArray[Any]
) -> None:
    """A small target and a large source: more detail than the enlarged small result has."""
    small = cv2.resize(target_portrait(astronaut), (240, 200), interpolation=cv2.INTER_AREA)
    large = prepare(cv2.resize(small, (720, 600)), source_portrait(astronaut))
    tiny = prepare(small, source_portrait(astronaut))
    fine = large.render(large.field(1.0))
    coarse = cv2.resize(tiny.render(tiny.field(1.0)), (720, 600), interpolation=cv2.INTER_CUBIC)
    inside = opacity(large) > 0.9

    def detail(picture: FloatArray) -> float:
        luma = np.ascontiguousarray(picture[..., 1])
        return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F))[inside].mean())

    assert detail(fine) > 1.5 * detail(coarse)  # measured 2.1


def test_prepare_can_be_cancelled(fusion: Fusion) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(CancelledError):
        fusion.engine.prepare(fusion.source, fusion.target, Blend(1.0), progress)


def test_prepare_twice_gives_the_same_field(fusion: Fusion, result: FloatArray) -> None:
    assert np.array_equal(fusion.render(fusion.field(1.0)), result)


def test_what_the_frame_hides_of_the_source_stays_the_targets(fusion: Fusion) -> None:
    landmarks = fusion.source.face.landmarks
    nose = round(float(landmarks[topology.NOSE_TIP, 0]))
    cut = replace(fusion.source, picture=Size(nose, fusion.source.picture.height))
    field = fusion.engine.prepare(cut, fusion.target, Blend(1.0), Progress())
    opacity = field.opacity(Region.whole(fusion.size), fusion.size)
    target = np.rint(fusion.target.face.landmarks[:, :2]).astype(int)
    left, right = target[topology.LEFT_EYE_CORNERS[1]], target[topology.RIGHT_EYE_CORNERS[1]]
    assert opacity[left[1], left[0]] == 0
    assert opacity[right[1], right[0]] > 0.5


def test_a_black_and_white_target_takes_no_colour(fusion: Fusion) -> None:
    window = fusion.target.window
    grey = np.repeat(window.pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    target = replace(fusion.target, window=replace(window, pixels=grey))
    field = fusion.engine.prepare(fusion.source, target, Blend(1.0), Progress())
    whole = as_float(np.repeat(fusion.pixels.mean(axis=2, keepdims=True), 3, axis=2).astype("u1"))
    result = field.render(whole, Region.whole(fusion.size), fusion.size)
    assert not np.array_equal(result, whole)
    assert float(np.ptp(result, axis=2).max()) < 1 / 255


def test_hair_over_the_sources_cheek_is_left_behind(fusion: Fusion) -> None:
    landmarks = fusion.source.face.landmarks
    window = fusion.source.window
    strand = window.inward(landmarks[[127, 234, 93], :2])  # along the rim, from temple to cheek
    towards = window.inward(landmarks[[topology.NOSE_TIP], :2])
    strand = strand + (towards - strand) * np.float32(0.25)
    pixels = window.pixels.copy()
    corners = np.round(strand).astype(np.int32)
    cv2.polylines(pixels, [corners], isClosed=False, color=(60, 90, 40), thickness=9)
    haired = replace(fusion.source, window=replace(window, pixels=pixels))
    place = np.rint(fusion.target.face.landmarks[[127, 234, 93], :2]).astype(int)
    nose = np.rint(fusion.target.face.landmarks[topology.NOSE_TIP, :2])
    x, y = np.rint(place[1] + (nose - place[1]) * 0.25).astype(int)
    whole = Region.whole(fusion.size)
    before = fusion.field().opacity(whole, fusion.size)[y, x]
    field = fusion.engine.prepare(haired, fusion.target, Blend(1.0), Progress())
    after = field.opacity(whole, fusion.size)[y, x]
    assert before > 0.6
    assert after < 0.5 * before
