"""What the networks are shown and asked, and where a fused face is found again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from common.errors import CancelledError
from common.progress import Progress
from common.types import FloatArray
from fusion.compositing.face_field import FaceField
from fusion.compositing.form import width_of
from fusion.engines.base import FaceView, Pair
from fusion.engines.unet import alignment
from fusion.engines.unet.aligned import Aligned
from fusion.engines.unet.devices import Attempt, Place
from fusion.engines.unet.faces import Maker, Recogniser
from fusion.engines.unet.identity import OFFICIAL_SHAPE, SHAPE, mixed_shape
from fusion.engines.unet.official import OfficialField
from fusion.engines.unet.rooms import Room
from fusion.field import FusionField
from fusion.request import Blend, Network
from tests.fusion.pictures import Fusion, Paint, Pixels, tan
from tests.fusion.unet.surrogate import EMBEDDING, Surrogate, ideal, share_of, surrogate_for

CPU = Place("cpu", "float32", "")
ROOM = Room(boost=4, enhance=8, faces=32, jobs=4)
PLAIN = Network(boost=1, enhance=0.0)


@pytest.fixture(scope="module")
def recogniser(model_directory: Any) -> Recogniser:
    return Recogniser(model_directory)


class Asked:
    """Fields of some pairs, made with a surrogate."""

    def __init__(self, recogniser: Recogniser, surrogate: Surrogate) -> None:
        self.recogniser, self.surrogate = recogniser, surrogate
        self.progress = Progress()

    def fields(
        self,
        pairs: Sequence[Pair],
        blend: Blend,
        batch: int = 32,
        boost: int = 4,
        warnings: tuple[str, ...] = (),
    ) -> tuple[FusionField, ...]:
        maker = Maker(pairs, blend, self.recogniser, self.progress)
        return maker.fields(self.surrogate, Attempt(CPU, batch, boost), ROOM, warnings)


@pytest.fixture
def asked(recogniser: Recogniser, fusion: Fusion) -> Asked:
    return Asked(recogniser, surrogate_for(fusion))


def darker(share: float) -> Paint:
    def paint(pixels: Pixels, _: FloatArray) -> Pixels:
        return np.asarray(np.rint(pixels * (1 - share)), pixels.dtype)

    return paint


def somebody_else(view: FaceView) -> FaceView:
    """Another person: tanned, and a face of its own."""
    points = np.array(view.face.landmarks)
    points[:, :2] = view.window.inward(points[:, :2])
    window = replace(view.window, pixels=tan(view.window.pixels, points))
    return replace(view, face=replace(view.face), window=window)


def crowd(fusion: Fusion, surrogate: Surrogate, count: int) -> list[Pair]:
    """Several targets for one source, each a little darker than the one before."""
    pairs, answer = [], ideal(fusion)
    for index in range(count):
        paint = darker(0.04 * index)
        one = fusion.painted(target=paint)
        pairs.append(one.pair)
        surrogate.target(one.target, {0: paint(answer, one.target.face.landmarks)})
    return pairs


def crop_of(fusion: Fusion, n: int = 1) -> tuple[FloatArray, FloatArray]:
    """The target's crop and its landmarks there."""
    place = Aligned.of(fusion.target).fusion.finer(n)
    crop = alignment.smooth_crop(fusion.target.window, place)
    landmarks, matrix = fusion.target.face.landmarks, place.matrix
    points = landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    depth = landmarks[:, 2] * np.hypot(matrix[0, 0], matrix[1, 0])
    return crop, np.column_stack([points, depth]).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_face_that_stays_has_not_moved(recogniser: Recogniser, fusion: Fusion, n: int) -> None:
    crop, landmarks = crop_of(fusion, n)
    moved = recogniser.moved(crop, crop.copy(), landmarks)
    assert moved is not None
    assert moved.shape == (468, 3)
    assert moved.dtype == np.float32
    assert not moved.any()


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.4])
def test_how_far_a_face_has_moved(
    recogniser: Recogniser, fusion: Fusion, n: int, share: float
) -> None:
    """So far that it is another one, it is none."""
    crop, landmarks = crop_of(fusion, n)
    width = width_of(landmarks)
    move = np.array([[1, 0, share * width], [0, 1, 0]], np.float32)
    after = cv2.warpAffine(crop, move, crop.shape[:2], borderMode=cv2.BORDER_REPLICATE)
    moved = recogniser.moved(crop, after, landmarks)
    if share > 0.15:
        assert moved is None
        return
    assert moved is not None
    apart = moved[:, :2] / width - np.array([share, 0])
    assert np.hypot(*apart.T).mean() < 0.004  # measured 0.0016
    again = recogniser.moved(crop, after, landmarks)
    assert again is not None
    assert np.array_equal(moved, again)


def test_noise_and_empty_crops_show_no_face(recogniser: Recogniser, fusion: Fusion) -> None:
    crop, landmarks = crop_of(fusion)
    noise = np.random.default_rng(0).uniform(0, 1, crop.shape).astype(np.float32)
    for empty in (noise, np.full_like(noise, 0.5), np.zeros_like(noise), np.ones_like(noise)):
        assert recogniser.moved(crop, empty, landmarks) is None
        assert recogniser.moved(empty, crop, landmarks) is None


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_network_sees_every_phase_once(asked: Asked, fusion: Fusion, n: int) -> None:
    """That they are just those of the target, the surrogate checks."""
    (field,) = asked.fields([fusion.pair], Blend(1.0, network=Network(boost=n, enhance=0.0)))
    assert asked.surrogate.count("fuse") == [n * n]
    assert {call.boost for call in asked.surrogate.calls if call.name == "fuse"} == {n}
    assert isinstance(field, FaceField)
    assert any(f"detail boost {n} as asked for" in note for note in field.notes)


def test_batches_are_as_large_as_the_attempt_says(asked: Asked, fusion: Fusion) -> None:
    blend = Blend(1.0, network=Network(boost=4, enhance=0.0))
    (whole,) = asked.fields([fusion.pair], blend)
    (parts,) = asked.fields([fusion.pair], blend, batch=3)
    assert asked.surrogate.count("fuse") == [16, 3, 3, 3, 3, 3, 1]
    assert np.array_equal(fusion.render(whole), fusion.render(parts))


def test_a_smaller_attempt_lowers_the_boost_and_says_so(asked: Asked, fusion: Fusion) -> None:
    blend = Blend(1.0, network=Network(boost=4, enhance=0.0))
    (field,) = asked.fields([fusion.pair], blend, boost=2, warnings=("less memory",))
    assert asked.surrogate.count("fuse") == [4]
    assert any("detail boost 2" in note for note in field.notes)
    assert field.warnings == ("less memory",)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.8])
def test_a_ratio_asks_for_a_person_in_between(asked: Asked, fusion: Fusion, ratio: float) -> None:
    asked.fields([fusion.pair], Blend(ratio, shape=0.6, network=PLAIN))
    (question,) = asked.surrogate.questions
    assert share_of(question.identity) == pytest.approx(ratio, abs=1e-4)
    assert np.linalg.norm(question.identity) == pytest.approx(1, abs=1e-6)
    (target,) = set(asked.surrogate.count("coefficients"))
    assert target == 1
    theirs = asked.surrogate.coefficients(source_crop(fusion)[None])[0]
    expected = mixed_shape(question.own, theirs, 0.6 * ratio)
    assert np.array_equal(question.fused, expected)
    assert np.array_equal(question.fused[SHAPE:], question.own[SHAPE:])


def source_crop(fusion: Fusion) -> FloatArray:
    place = Aligned.of(fusion.source, mirrors=False).fusion
    return alignment.smooth_crop(fusion.source.window, place)


def test_at_full_ratio_nobody_asks_who_the_target_is(asked: Asked, fusion: Fusion) -> None:
    asked.fields([fusion.pair], Blend(1.0, network=PLAIN))
    assert asked.surrogate.count("identities") == [1]
    (question,) = asked.surrogate.questions
    assert np.array_equal(question.identity, np.eye(EMBEDDING, dtype=np.float32)[0])


def test_the_official_composite_asks_what_the_official_class_asks(
    asked: Asked, fusion: Fusion
) -> None:
    (field,) = asked.fields([fusion.pair], Blend(1.0, shape=0.9, network=Network("official")))
    assert isinstance(field, OfficialField)
    assert asked.surrogate.count("fuse") == [1]
    assert asked.surrogate.count("enhance") == [1]
    (question,) = asked.surrogate.questions
    theirs = asked.surrogate.coefficients(Aligned.of(fusion.source).crop()[None])[0]
    assert np.array_equal(question.fused, mixed_shape(question.own, theirs, OFFICIAL_SHAPE))


def test_eight_faces_of_one_source_repeat_nothing(asked: Asked, fusion: Fusion) -> None:
    pairs = crowd(fusion, asked.surrogate, 8)
    asked.fields(pairs, Blend(0.5, network=PLAIN))
    assert asked.surrogate.count("identities") == [1, 8]
    assert sorted(asked.surrogate.count("coefficients")) == [1, 8]
    assert asked.surrogate.count("fuse") == [8]
    assert asked.surrogate.count("enhance") == []


def test_each_face_is_mapped_to_its_own_source(asked: Asked, fusion: Fusion) -> None:
    other = somebody_else(fusion.source)
    asked.surrogate.person(other, 1)
    first, second = crowd(fusion, asked.surrogate, 2)
    second = replace(second, source=other)
    asked.surrogate.target(second.target, {1: ideal(fusion)})
    asked.fields([first, second, replace(first)], Blend(1.0, network=PLAIN))
    assert asked.surrogate.count("identities") == [2]
    assert sorted(asked.surrogate.count("coefficients")) == [2, 3]
    assert [int(np.argmax(one.identity)) for one in asked.surrogate.questions] == [0, 1, 0]
    shapes = [float(one.fused[0]) for one in asked.surrogate.questions]
    assert shapes[0] == shapes[2] != shapes[1]


def test_several_pictures_are_one_person_of_their_mean(asked: Asked, fusion: Fusion) -> None:
    """The shape and the detail are those of the picture that suits best."""
    other = somebody_else(fusion.source)
    asked.surrogate.person(other, 0, direction=7)
    pair = replace(fusion.pair, others=(other,))
    asked.fields([pair], Blend(1.0, network=PLAIN))
    (question,) = asked.surrogate.questions
    expected = np.zeros(EMBEDDING)
    expected[[0, 7]] = np.sqrt(0.5)
    assert question.identity == pytest.approx(expected, abs=1e-6)
    assert asked.surrogate.count("identities") == [2]
    assert sorted(asked.surrogate.count("coefficients")) == [1, 1]


def test_the_restoration_runs_where_it_is_asked_for(asked: Asked, fusion: Fusion) -> None:
    pairs = crowd(fusion, asked.surrogate, 2)
    for strength, calls in ((0.0, []), (0.4, [1, 1])):
        asked.surrogate.calls.clear()
        fields = asked.fields(pairs, Blend(1.0, network=Network(boost=1, enhance=strength)))
        assert asked.surrogate.count("enhance") == calls
        said = f"GPEN at {strength:g} as asked for"
        assert all(said in field.notes[-1] for field in fields)


def test_the_restorations_strength_is_a_control(asked: Asked, fusion: Fusion) -> None:
    pictures = []
    for strength in (0.0, 0.5, 1.0):
        blend = Blend(1.0, network=Network(boost=1, enhance=strength))
        (field,) = asked.fields([fusion.pair], blend)
        pictures.append(fusion.render(field))
    inside = field.opacity(fusion.whole, fusion.size) > 0.9
    none, half, full = (np.asarray(one)[inside] for one in pictures)
    assert np.abs(full - none).mean() > 0.004
    assert np.abs(half - none).mean() < np.abs(full - none).mean()
    assert np.abs(half - full).mean() < np.abs(full - none).mean()


def test_the_boost_that_is_wanted_is_that_of_the_largest_face(
    recogniser: Recogniser, fusion: Fusion
) -> None:
    def wanted(blend: Blend, *shown: float, room: Room = ROOM) -> int:
        pairs = [replace(fusion.pair, shown=px) for px in shown]
        return Maker(pairs, blend, recogniser, Progress()).wanted_boost(room)

    assert wanted(Blend(1.0), 100) == 1
    assert wanted(Blend(1.0), 100, 900, 200) == 4
    assert wanted(Blend(1.0), 900, room=replace(ROOM, boost=2)) == 2
    assert wanted(Blend(1.0, network=Network(boost=2)), 100, 900) == 2
    assert wanted(Blend(1.0, network=Network("official")), 900) == 1


def test_work_can_be_cancelled_between_batches(asked: Asked, fusion: Fusion) -> None:
    surrogate = asked.surrogate

    def cancel_in_the_second(call: Any) -> None:
        if surrogate.count("fuse") == [2, 2]:
            asked.progress.cancel()

    surrogate.on_call = cancel_in_the_second
    with pytest.raises(CancelledError):
        asked.fields([fusion.pair], Blend(1.0, network=Network(boost=4, enhance=1.0)), batch=2)
    assert surrogate.count("fuse") == [2, 2]
    assert surrogate.count("enhance") == []


def test_a_crop_that_the_network_makes_noise_of_is_still_a_field(
    recogniser: Recogniser, fusion: Fusion
) -> None:
    noisy = Asked(recogniser, surrogate_for(fusion, noise=True))
    for network in (Network(boost=1, enhance=0.0), Network(boost=2, enhance=0.7)):
        (field,) = noisy.fields([fusion.pair], Blend(1.0, network=network))
        picture = fusion.render(field)
        assert np.isfinite(picture).all()
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert np.isfinite(field.opacity(fusion.whole, fusion.size)).all()
