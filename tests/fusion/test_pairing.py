"""Which source face is laid on which target face."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import OptionError
from common.progress import Progress
from common.types import Face, FaceQuality, Pose, Region, Size
from fusion import pairing
from fusion.pairing import View
from fusion.pipeline import Pipeline
from fusion.request import Detection, FaceSelection
from preprocess import face_topology as topology
from tests.fusion.pictures import Fusion


@pytest.fixture
def face(fusion: Fusion) -> Face:
    good = FaceQuality(size=200.0, sharpness=8.0)
    return replace(fusion.target.face, quality=good, pose=Pose(0.0, 0.0, 0.0))


def turned(face: Face, yaw: float, pitch: float = 0.0) -> Face:
    return replace(face, pose=Pose(yaw, pitch, 0.0))


def opened(face: Face, gap: float) -> Face:
    """The face with a gap between its lips, over the mouth's width."""
    points = face.landmarks.copy()
    corners = points[list(topology.MOUTH_CORNERS), :2]
    points[topology.LOWER_LIP_INSIDE, :2] = points[topology.UPPER_LIP_INSIDE, :2]
    points[topology.LOWER_LIP_INSIDE, 1] += gap * np.hypot(*(corners[1] - corners[0]))
    return replace(face, landmarks=points)


def view(*faces: Face, name: str = "s.png") -> View:
    return View(Path(name), Size(1000, 1000), faces)


@pytest.mark.parametrize(
    ("one", "other", "degrees"),
    [
        (Pose(0, 0, 0), Pose(0, 0, 0), 0),
        (Pose(-20, 0, 0), Pose(25, 0, 0), 45),
        (Pose(0, -15, 0), Pose(0, 15, 0), 30),
        (Pose(0, 0, 0), Pose(0, 0, 80), 0),
        (Pose(30, 40, 0), Pose(0, 0, 0), 48.44),
        (Pose(90, 0, 0), Pose(-90, 0, 0), 180),
    ],
)
def test_the_angle_between_heads(one: Pose, other: Pose, degrees: float) -> None:
    assert pairing.degrees_apart(one, other) == pytest.approx(degrees, abs=0.01)
    assert pairing.degrees_apart(other, one) == pytest.approx(degrees, abs=0.01)


@pytest.mark.parametrize("yaw", [-40.0, -5.0, 35.0])
def test_the_view_from_the_same_side_suits_best(face: Face, yaw: float) -> None:
    views = [turned(face, own) for own in (0.0, -38.0, 38.0)]
    expected = {-40.0: 1, -5.0: 0, 35.0: 2}[yaw]
    assert pairing.best_view(turned(face, yaw), views) == expected


def test_pitch_counts_like_yaw(face: Face) -> None:
    views = [turned(face, 0.0), turned(face, 10.0, -30.0)]
    assert pairing.best_view(turned(face, 0.0, -25.0), views) == 1


def test_of_equal_sides_the_mouth_decides(face: Face) -> None:
    views = [opened(face, 0.0), opened(face, 0.3)]
    assert pairing.best_view(opened(face, 0.0), views) == 0
    assert pairing.best_view(opened(face, 0.25), views) == 1
    assert pairing.mismatch(views[0], opened(face, 0.25)) == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    ("quality", "cost"),
    [
        (FaceQuality(200, 8), 0),
        (FaceQuality(900, 30), 0),
        (FaceQuality(100, 8), 10),
        (FaceQuality(50, 8), 20),
        (FaceQuality(200, 2), 10),
        (FaceQuality(200, 0), 119.7),
    ],
)
def test_small_and_blurred_views_cost_a_few_degrees(
    face: Face, quality: FaceQuality, cost: float
) -> None:
    assert pairing.mismatch(replace(face, quality=quality), face) == pytest.approx(cost, abs=0.1)


def test_a_sharper_view_does_not_make_up_for_a_turned_head(face: Face) -> None:
    views = [replace(turned(face, 40.0), quality=FaceQuality(800, 20)), face]
    assert pairing.best_view(replace(face, quality=FaceQuality(300, 8)), views) == 1


def test_equal_views_are_taken_in_the_order_given(face: Face) -> None:
    assert pairing.best_view(face, [face, face]) == 0


def test_each_target_face_gets_its_own_view(face: Face) -> None:
    left, right = (view(turned(face, yaw), name=f"{yaw}.png") for yaw in (-30.0, 30.0))
    targets = [replace(turned(face, 28.0), index=0), replace(turned(face, -25.0), index=1)]
    for text in ("all", "0,1"):
        found = pairing.choose_matches(FaceSelection.parse(text), targets, [left, right])
        assert [(one.view, one.target.index) for one in found] == [(1, 0), (0, 1)]
        notes = pairing.notes_on_views(found, [left, right])
        box = face.box
        assert notes[0] == (
            f"of the 2 source pictures, 30.0.png was taken for the face at {box.x}, {box.y}: "
            "the heads are turned 2 degrees apart"
        )
    (largest,) = pairing.choose_matches(FaceSelection(), targets, [left, right])
    assert largest.target.index == 0
    assert pairing.notes_on_views([largest], [right]) == ()


def test_pairs_count_the_faces_of_all_sources(face: Face) -> None:
    first, second, third = (
        replace(face, index=index, quality=FaceQuality(200.0 - index, 8.0)) for index in range(3)
    )
    views = [view(first, second), view(third)]
    targets = [replace(face, index=index) for index in range(2)]
    found = pairing.choose_matches(FaceSelection.parse("2:0,1:1"), targets, views)
    assert [(one.view, one.source, one.target.index) for one in found] == [
        (1, third, 0),
        (0, second, 1),
    ]
    assert pairing.notes_on_views(found, views) == ()  # they were named


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2", "the target picture has no face 2; it shows 2, numbered from 0 .the largest. to 1"),
        ("3:0", "the source pictures have no face 3; they show 3, .* of the first. to 2"),
    ],
)
def test_a_face_that_nobody_has(face: Face, text: str, says: str) -> None:
    targets = [replace(face, index=index) for index in range(2)]
    views = [view(face, face), view(face)]
    with pytest.raises(OptionError, match=says):
        pairing.choose_matches(FaceSelection.parse(text), targets, views)


def test_the_larger_face_is_laid_last(face: Face) -> None:
    targets = [replace(face, index=index) for index in range(3)]
    found = pairing.choose_matches(FaceSelection.parse("1,0,2"), targets, [view(face)])
    assert [one.target.index for one in pairing.laying_order(found)] == [2, 1, 0]


@pytest.mark.parametrize(("x", "count"), [(260, 1), (700, 0)])
def test_a_larger_face_nearby_is_in_front(face: Face, x: int, count: int) -> None:
    small = replace(face, index=1, box=Region(0, 0, 200, 240))
    large = replace(face, index=0, box=Region(x, 0, 220, 260))
    assert len(pairing.faces_in_front(small, [large, small])) == count
    assert pairing.faces_in_front(large, [large, small]) == ()


@pytest.mark.parametrize(
    ("target", "views", "best"),
    [
        ("f_smile_4352.jpg", ("a_front_1152.jpg", "a_smile_1868.jpg"), 1),
        ("c_left_2048.jpg", ("a_smile_1868.jpg", "a_front_1152.jpg"), 1),
        ("g_front_1080.jpg", ("e_smile_2048.jpg", "e_turned_4600.jpg"), 1),
        ("e_smile_2048.jpg", ("g_front_1080.jpg", "g_turned_1600.jpg"), 0),
    ],
)
def test_views_of_real_people(
    pipeline: Pipeline, faces_folder: Path, target: str, views: tuple[str, ...], best: int
) -> None:
    """The open mouth for an open one, the same side for the same side."""
    shown, *given = (
        pipeline.detect(faces_folder / name, Detection(), Progress())[1][0]
        for name in (target, *views)
    )
    assert pairing.best_view(shown, given) == best
