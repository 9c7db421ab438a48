"""The network's face in the studio's composite: detail, edges, mouths, light, borders."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.types import FloatArray, Size
from fusion.compositing.face_field import FaceField, Remarks
from fusion.engines.unet import alignment
from fusion.engines.unet.aligned import Aligned
from fusion.engines.unet.alignment import Alignment
from fusion.engines.unet.composite import NetworkFace, studio_field
from fusion.request import MODES, Blend, Network
from preprocess import face_topology as topology
from preprocess.window import Window
from tests.fusion.conftest import Prepare
from tests.fusion.faces import width_of
from tests.fusion.pictures import (
    Fusion,
    Paint,
    Pixels,
    as_float,
    enlarged,
    source_portrait,
)
from tests.fusion.unet.surrogate import engine_with, ideal, surrogate_for, using

PORTRAITS = (
    ("d_front_1200.jpg", "f_front_1800.jpg"),  # the target softer than the source
    ("f_front_1800.jpg", "g_front_1080.jpg"),  # and sharper
)
FEATURES = (topology.RIGHT_EYE, topology.LEFT_EYE, topology.OUTER_LIPS, [1, 2, 98, 327])


def pores(seed: int) -> Paint:
    """Fine texture over a face, finer than the network's pixels."""

    def paint(pixels: Pixels, landmarks: FloatArray) -> Pixels:
        texture = np.random.default_rng(seed).normal(0, 1, pixels.shape[:2]).astype(np.float32)
        texture = cv2.GaussianBlur(texture, (0, 0), max(0.6, width_of(landmarks) / 600))
        values = pixels * (1 + 0.05 * texture / texture.std())[..., None]
        return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)

    return paint


@pytest.fixture(scope="module")
def plain(prepare: Prepare, astronaut: NDArray[Any]) -> Fusion:
    """Two portraits so large that a pixel of the network covers 2.3 of the target's."""
    target = enlarged(astronaut, slice(0, 300), slice(60, 420), 4.0)
    source = cv2.resize(source_portrait(astronaut), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return prepare(target, np.asarray(source))


@pytest.fixture(scope="module")
def large(plain: Fusion) -> Fusion:
    """With pores on both faces."""
    return plain.painted(target=pores(1), source=pores(2))


def made(
    fusion: Fusion,
    folder: Path,
    *,
    boost: int = 1,
    enhance: float = 0.0,
    answer: Pixels | None = None,
    shift: tuple[float, float] = (0.0, 0.0),
    ratio: float = 1.0,
    **blend: Any,
) -> FaceField:
    """The engine's field; the network's face is `ideal`, or ``answer``."""
    surrogate = surrogate_for(fusion, shift=shift)
    if answer is not None:
        surrogate.target(fusion.target, {0: answer})
    network = Network(boost=boost, enhance=enhance)
    return using(fusion, engine_with(surrogate, folder)).field(ratio, network=network, **blend)


def fusion_alignment(fusion: Fusion, n: int = 1) -> Alignment:
    return Aligned.of(fusion.target, mirrors=False).fusion.finer(n)


def window_of(pixels: Pixels) -> Window:
    return Window(pixels, np.ones(2, np.float32), np.zeros(2, np.float32))


def blown_up(fusion: Fusion, n: int = 1) -> FloatArray:
    """The network's crop enlarged to the target's size."""
    place = fusion_alignment(fusion, n)
    crop = alignment.smooth_crop(window_of(ideal(fusion)), place)
    size = (fusion.size.width, fusion.size.height)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(crop, place.matrix, size, flags=flags), np.float32)


def inside(fusion: Fusion, field: FaceField) -> NDArray[np.bool_]:
    return field.opacity(fusion.whole, fusion.size) > 0.9


def detail(picture: FloatArray, where: NDArray[np.bool_]) -> float:
    luma = np.ascontiguousarray(picture[..., 1], np.float32)
    return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F))[where].mean())


def features(fusion: Fusion) -> NDArray[np.bool_]:
    """Eyes, lips and nostrils, with a margin."""
    shown = np.zeros(fusion.pixels.shape[:2], np.uint8)
    landmarks = fusion.target.face.landmarks
    for points in FEATURES:
        hull = cv2.convexHull(np.rint(landmarks[list(points), :2]).astype(np.int32))
        cv2.fillConvexPoly(shown, hull, 1)
    side = round(0.03 * width_of(landmarks))
    return np.asarray(cv2.dilate(shown, np.ones((side, side), np.uint8)) > 0)


def edges(picture: FloatArray, limit: float) -> FloatArray:
    """The luma's band around the network's limit, target pixels."""
    luma = np.ascontiguousarray(picture.mean(axis=2), np.float32)
    band = cv2.GaussianBlur(luma, (0, 0), 0.7) - cv2.GaussianBlur(luma, (0, 0), 2 * limit)
    return np.asarray(band, np.float32)


def correlation(one: FloatArray, other: FloatArray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


# Detail.


def test_it_is_finer_than_the_networks_crop_and_near_to_the_full_resolution(
    large: Fusion, tmp_path: Path
) -> None:
    field = made(large, tmp_path)
    result, full = large.render(field), as_float(ideal(large))
    where = inside(large, field)
    assert detail(result, where) > 3 * detail(blown_up(large), where)  # measured 4.8
    assert detail(result, where) == pytest.approx(
        detail(full, where), rel=0.2
    )  # measured 0.99 of it
    assert np.abs(result - full)[where].mean() < 0.03  # measured 0.020
    soft = [cv2.GaussianBlur(one, (0, 0), 4) for one in (result, full)]
    assert np.abs(soft[0] - soft[1])[where].mean() < 0.012  # measured 0.006
    fine = [one - two for one, two in zip((result, full), soft, strict=True)]
    assert correlation(fine[0][where], fine[1][where]) > 0.7  # measured 0.81


def test_the_detail_is_the_sources_and_in_its_place(plain: Fusion, tmp_path: Path) -> None:
    """Pores of the source alone: those of the result are the same, at the same pixels."""
    pored = plain.painted(source=pores(2))
    with_pores, without = (made(one, tmp_path) for one in (pored, plain))
    where = inside(plain, with_pores) & ~features(plain)
    added = pored.render(with_pores) - plain.render(without)
    expected = as_float(ideal(pored)) - as_float(ideal(plain))
    assert correlation(added[where], expected[where]) > 0.55  # measured 0.66


@pytest.mark.parametrize("boost", [2, 4])
def test_a_boost_never_costs_detail(large: Fusion, tmp_path: Path, boost: int) -> None:
    fields = [made(large, tmp_path, boost=n) for n in (1, boost)]
    where = inside(large, fields[0]) & inside(large, fields[1])
    none, more = (detail(large.render(field), where) for field in fields)
    assert more > 0.9 * none  # measured 1.07 and 1.09
    assert more > detail(blown_up(large, boost), where)


@pytest.mark.parametrize("boost", [2, 4])
def test_a_boost_costs_no_detail_where_the_target_is_soft(
    plain: Fusion, tmp_path: Path, boost: int
) -> None:
    """The network's phases then show nothing finer: the source's own detail has to."""
    pored = plain.painted(source=pores(2))
    fields = [made(pored, tmp_path, boost=n) for n in (1, boost)]
    where = inside(pored, fields[0]) & inside(pored, fields[1])
    none, more = (detail(pored.render(field), where) for field in fields)
    assert none > 2.3 * detail(blown_up(pored), where)  # measured 2.9
    assert more > 0.6 * none  # measured 0.82 and 0.67


@pytest.mark.parametrize(("target", "source"), PORTRAITS)
def test_portraits_keep_their_detail(
    prepare: Prepare, faces_folder: Path, tmp_path: Path, target: str, source: str
) -> None:
    pixels = []
    for name in (target, source):
        with Image.open(faces_folder / name) as picture:
            pixels.append(np.asarray(picture.convert("RGB")))
    pair = prepare(*pixels)
    full = as_float(ideal(pair))
    for boost in (1, 4):
        field = made(pair, tmp_path, boost=boost)
        result, where = pair.render(field), inside(pair, field)
        crop = detail(blown_up(pair, boost), where)
        assert detail(result, where) > (4 if boost == 1 else 0.8) * crop
        assert detail(result, where) > 0.55 * detail(full, where)  # measured 0.59 to 1.2
        assert np.abs(result - full)[where].mean() < 0.03  # measured 0.011 to 0.023


def test_an_enlarged_result_takes_detail_from_the_source(
    prepare: Prepare, plain: Fusion, astronaut: NDArray[Any], tmp_path: Path
) -> None:
    """The target is small; the source has what neither it nor the network shows."""
    source = pores(2)(plain.source_pixels, plain.source.face.landmarks)
    small = prepare(enlarged(astronaut, slice(0, 300), slice(60, 420), 1.0), source)
    large_source = replace(small.source, window=window_of(source))
    small = replace(small, source=large_source)
    field, at = made(small, tmp_path), Size(1080, 900)
    fine = small.render(field, at)
    coarse = cv2.resize(small.render(field), (1080, 900), interpolation=cv2.INTER_CUBIC)
    where = field.opacity(small.whole, small.size) > 0.9
    shown = cv2.resize(where.astype(np.uint8), (1080, 900), interpolation=cv2.INTER_NEAREST) > 0
    assert detail(fine, shown) > 1.5 * detail(np.asarray(coarse), shown)


# Edges.


@pytest.mark.parametrize(
    ("shape", "shift"), [(0.35, (0, 0)), (0.35, (2, 1)), (0.0, (1, 0)), (0.0, (3, 0))]
)
def test_a_network_that_moves_features_shows_none_twice(
    plain: Fusion, tmp_path: Path, shape: float, shift: tuple[float, float]
) -> None:
    """Its own edges and no others, though the source's and the target's lie elsewhere."""
    field = made(plain, tmp_path, shift=shift, shape=shape)
    place = fusion_alignment(plain)
    across, down = place.inverse[:, :2] @ np.array(shift, float)
    full = as_float(ideal(plain))
    move = np.array([[1, 0, across], [0, 1, down]], np.float32)
    expected = cv2.warpAffine(full, move, (full.shape[1], full.shape[0]))
    where = features(plain) & (field.opacity(plain.whole, plain.size) > 0.5)
    pictures = (plain.render(field), expected, full)
    result, own, unmoved = (edges(one, place.spacing)[where] for one in pictures)
    assert correlation(result, own) > 0.96  # measured 0.975 to 0.989
    assert float(result.std() / own.std()) == pytest.approx(0.94, abs=0.06)  # measured 0.90 to 0.97
    if shift[0] >= 2:
        assert correlation(result, unmoved) < 0.45  # measured 0.24 and 0.33


def test_without_landmarks_it_is_laid_in_by_the_targets(plain: Fusion) -> None:
    place = fusion_alignment(plain)
    crop = alignment.smooth_crop(window_of(ideal(plain)), place)
    face = NetworkFace(crop, place, ((place.spacing, 1.0),), None, 1.0)
    field = studio_field(plain.pair, face, Blend(1.0), Remarks(("a note",), ("a warning",)))
    result = plain.render(field)
    assert np.isfinite(result).all()
    assert field.reach(plain.size) == 0  # nothing has to follow
    where = inside(plain, field)
    assert np.abs(result - as_float(ideal(plain)))[where].mean() < 0.02
    assert "a note" in field.notes
    assert field.warnings == ("a warning",)


# Mouths, light and colour.


def mouth_of(fusion: Fusion, field: FaceField) -> NDArray[np.bool_]:
    """Between the lips, where the field shows them."""
    ring = fusion.shown_at(field, fusion.target.face.landmarks[topology.INNER_LIPS, :2])
    shown = np.zeros(fusion.pixels.shape[:2], np.uint8)
    cv2.fillPoly(shown, [np.rint(ring).astype(np.int32)], 1)
    return np.asarray(shown > 0)


def closed(pixels: Pixels, landmarks: FloatArray) -> Pixels:
    """A mouth without teeth: the colour of the lips between them."""
    hull = cv2.convexHull(np.rint(landmarks[topology.INNER_LIPS, :2]).astype(np.int32))
    shown = np.zeros(pixels.shape[:2], np.float32)
    cv2.fillConvexPoly(shown, hull, 1.0)
    soft = cv2.GaussianBlur(cv2.dilate(shown, np.ones((7, 7))), (0, 0), 2)[..., None]
    x, y = np.rint(landmarks[0, :2]).astype(int)
    return np.asarray(np.rint(pixels + soft * (pixels[y - 2, x] - pixels.astype(float))), np.uint8)


def test_the_targets_teeth_stay_where_the_network_shows_the_same_mouth(
    plain: Fusion, tmp_path: Path
) -> None:
    field = made(plain, tmp_path)
    result, target = plain.render(field), plain.moved(field)
    mouth = mouth_of(plain, field)
    kept = mouth & (field.opacity(plain.whole, plain.size) < 0.05)
    assert kept.sum() > 0.1 * mouth.sum()  # measured 0.23: the middle of each tooth
    assert np.abs(result - target)[kept].mean() < 0.004  # measured 0.001
    assert np.abs(result - target)[mouth].mean() < 0.04  # measured 0.021


def test_another_mouth_of_the_network_is_shown_as_it_is(plain: Fusion, tmp_path: Path) -> None:
    answer = closed(ideal(plain), plain.target.face.landmarks)
    field = made(plain, tmp_path, answer=answer)
    result = plain.render(field)
    mouth = np.zeros(result.shape[:2], np.uint8)
    ring = plain.target.face.landmarks[topology.INNER_LIPS, :2]
    cv2.fillPoly(mouth, [np.rint(ring).astype(np.int32)], 1)
    where = cv2.erode(mouth, np.ones((9, 9), np.uint8)) > 0
    assert np.abs(as_float(answer) - as_float(plain.pixels))[where].mean() > 0.12
    assert np.abs(result - as_float(answer))[where].mean() < 0.04
    assert field.opacity(plain.whole, plain.size)[where].mean() > 0.9


def without_colour(pixels: Pixels, _: FloatArray) -> Pixels:
    return np.repeat(pixels.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


@pytest.mark.parametrize("enhance", [0.0, 0.7])
def test_a_black_and_white_target_takes_no_colour(
    fusion: Fusion, tmp_path: Path, enhance: float
) -> None:
    grey = fusion.painted(target=without_colour)
    field = made(grey, tmp_path, answer=ideal(fusion), enhance=enhance)
    result = grey.render(field)
    assert np.abs(result - as_float(grey.pixels)).max() > 0.1
    assert float(np.ptp(result, axis=2).max()) < 1 / 255


def test_a_networks_cast_and_shade_do_not_show(fusion: Fusion, tmp_path: Path) -> None:
    """It answers a darker and greener face; the light is the target's."""
    tinted = np.rint(ideal(fusion) * np.array([0.75, 0.9, 0.75])).astype(np.uint8)
    plain, cast = (made(fusion, tmp_path, answer=one) for one in (None, tinted))
    where = inside(fusion, plain)
    apart = np.abs(as_float(tinted) - as_float(ideal(fusion)))[where].mean()
    left = np.abs(fusion.render(plain) - fusion.render(cast))[where].mean()
    assert apart > 0.1
    assert left < 0.2 * apart


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_shows_the_networks_face(fusion: Fusion, tmp_path: Path, mode: str) -> None:
    field = made(fusion, tmp_path, mode=mode)
    result = fusion.render(field)
    where = inside(fusion, field)
    assert np.isfinite(result).all()
    assert np.abs(result - as_float(fusion.pixels))[where].mean() > 0.01


# Borders.


def steps(picture: FloatArray, axis: int = 1) -> FloatArray:
    """How much a pixel differs from its neighbour, in luma."""
    luma = picture.mean(axis=2)
    return np.asarray(np.abs(np.diff(luma, axis=axis, prepend=luma[:, :1])), np.float32)


def test_a_crop_that_ends_inside_the_face_leaves_no_edge(plain: Fusion) -> None:
    """A network that sees little more than eyes, nose and mouth: beyond is the target's skin."""
    place = fusion_alignment(plain)
    shrink = np.array([[1.7, 0, -0.7 * 127.5], [0, 1.7, -0.7 * 127.5]])
    matrix = shrink[:, :2] @ place.matrix
    matrix[:, 2] += shrink[:, 2]
    near = Alignment(matrix, alignment.inverted(matrix), place.side)
    tinted = np.rint(ideal(plain) * np.array([0.8, 0.9, 1.0])).astype(np.uint8)
    crop = alignment.smooth_crop(window_of(tinted), near)
    face = NetworkFace(crop, near, ((near.spacing, 1.0),), None, 1.0)
    field = studio_field(plain.pair, face, Blend(1.0), Remarks())
    result, target = plain.render(field), as_float(plain.pixels)
    shown = cv2.warpAffine(
        np.ones((256, 256), np.float32),
        near.matrix,
        (plain.size.width, plain.size.height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    edge = cv2.dilate(shown, np.ones((9, 9))) - cv2.erode(shown, np.ones((25, 25))) > 0
    edge &= field.opacity(plain.whole, plain.size) > 0.9
    assert edge.sum() > 1000
    assert (field.opacity(plain.whole, plain.size) > 0.9)[shown == 0].sum() > 1000
    # The picture without the field has as strong steps there: hair and wrinkles.
    assert steps(result)[edge].mean() < 1.2 * steps(target)[edge].mean() + 0.001
    assert steps(result)[edge].max() < steps(target)[edge].max() + 0.03


@pytest.mark.parametrize("network", [{}, {"boost": 2}, {"enhance": 0.7}], ids=str)
def test_a_face_that_the_pictures_border_cuts_has_no_edge(
    prepare: Prepare, fusion: Fusion, tmp_path: Path, network: dict[str, Any]
) -> None:
    """Its left cheek lies outside; there the network sees the border's pixels continued."""
    oval = fusion.target.face.landmarks[topology.FACE_OVAL, 0]
    right = int(oval.min() + 0.7 * (oval.max() - oval.min()))
    cut = prepare(np.ascontiguousarray(fusion.pixels[:, :right]), fusion.source_pixels)
    field = made(cut, tmp_path, **network)
    result = cut.render(field)
    assert np.isfinite(result).all()
    shown = field.opacity(cut.whole, cut.size) > 0.5
    assert shown[:, -1].sum() > 100  # the face does reach the border; measured 157 rows
    assert np.abs(result - as_float(ideal(cut)))[shown].mean() < 0.02  # measured 0.012
    last = shown.copy()
    last[:, :-12] = False
    before = steps(as_float(cut.pixels))[last]
    assert steps(result)[last].mean() < 1.3 * before.mean() + 0.002


def test_the_face_fades_in_from_nothing(plain: Fusion) -> None:
    """Nothing jumps where the slider leaves 0, not even what moves around a wider face."""
    place, landmarks = fusion_alignment(plain), plain.target.face.landmarks
    crop = alignment.smooth_crop(window_of(ideal(plain)), place)
    wider = np.asarray(0.05 * (landmarks - landmarks.mean(axis=0)), np.float32)
    changes = []
    for opacity in (0.02, 0.1, 1.0):
        face = NetworkFace(crop, place, ((place.spacing, 1.0),), wider, opacity)
        fused = plain.render(studio_field(plain.pair, face, Blend(1.0), Remarks()))
        changes.append(float(np.abs(fused - as_float(plain.pixels)).mean()))
    assert changes[0] < 0.1 * changes[2]  # measured 0.035
    assert changes[0] < changes[1] < changes[2]
