"""What a result warns of."""

from dataclasses import replace
from pathlib import Path

import pytest

from common.types import Face, FaceQuality, Pose, Region, Size
from fusion.advice import TURNED, warnings_for
from fusion.pairing import Match
from tests.fusion.pictures import Fusion


def pair(source: Face, target: Face, view: int = 0) -> Match:
    return Match(view, Path(f"{view}.png"), Size(10_000, 10_000), source, target)


@pytest.fixture
def face(fusion: Fusion) -> Face:
    good = FaceQuality(size=200.0, sharpness=8.0)
    return replace(fusion.target.face, quality=good, pose=Pose(0.0, 0.0, 0.0))


def test_a_good_pair_needs_no_words(face: Face) -> None:
    assert warnings_for([pair(face, face)], 1.0) == ()
    assert warnings_for([], 1.0) == ()


def test_a_blurred_source(face: Face) -> None:
    blurred = replace(face, quality=FaceQuality(200.0, 1.2))
    assert warnings_for([pair(face, blurred)], 1.0) == ()  # a blurred target is as it is
    (warning,) = warnings_for([pair(blurred, face)], 1.0)
    assert warning == (
        "the source's face is blurred, so the result is soft; a sharper picture would give more "
        "detail"
    )


@pytest.mark.parametrize(("scale", "shown"), [(1.0, 500), (4.0, 800)])
def test_a_source_shown_much_larger_than_it_is(face: Face, scale: float, shown: int) -> None:
    target = replace(face, index=3, quality=FaceQuality(shown / scale, 8.0))
    (warning,) = warnings_for([pair(face, target)], scale)
    assert warning.startswith(f"the source's face is 200 px and is shown at {shown} px")
    assert warnings_for([pair(face, replace(face, quality=FaceQuality(390.0, 8.0)))], 1.0) == ()


@pytest.mark.parametrize(
    ("left", "right", "degrees"),
    [
        (Pose(-30, 0, 0), Pose(30, 0, 0), 60),
        (Pose(30, 0, 0), Pose(-30, 0, 0), 60),
        (Pose(0, -25, 0), Pose(0, 25, 0), 50),
        (Pose(35, 0, 0), Pose(0, 35, 0), 48),
        (Pose(TURNED - 1, 0, 0), Pose(0, 0, 90), None),
    ],
)
def test_heads_turned_apart(face: Face, left: Pose, right: Pose, degrees: int | None) -> None:
    found = warnings_for([pair(replace(face, pose=left), replace(face, pose=right))], 1.0)
    assert len(found) == (degrees is not None)
    assert all(f"turned {degrees} degrees apart" in warning for warning in found)


def test_a_source_that_the_frame_cuts(face: Face) -> None:
    cut = replace(face, box=Region(-60, 10, 200, 240))
    assert "the frame cuts" in warnings_for([pair(cut, face)], 1.0)[0]
    grazed = replace(face, box=Region(-10, 10, 200, 240))
    assert warnings_for([pair(grazed, face)], 1.0) == ()


def test_of_several_faces_the_place_is_told_and_nothing_is_said_twice(face: Face) -> None:
    poor = replace(face, quality=FaceQuality(50.0, 1.0))
    targets = [replace(face, index=i, box=Region(300 * i, 40, 200, 240)) for i in (0, 1)]
    found = warnings_for([pair(poor, target) for target in targets], 1.0)
    assert len([warning for warning in found if "the source's face is blurred" in warning]) == 1
    assert [warning[warning.rindex("(") :] for warning in found if "shown at" in warning] == [
        "(the face at 0, 40)",
        "(the face at 300, 40)",
    ]


def test_of_several_sources_each_is_named(face: Face) -> None:
    blurred = replace(face, quality=FaceQuality(200.0, 1.2))
    cut = replace(face, box=Region(-60, 10, 200, 240))
    other = replace(face, index=1)
    assert warnings_for([pair(blurred, face, 0), pair(cut, other, 1)], 1.0) == (
        "the source's face in 0.png is blurred, so the result is soft; a sharper picture would "
        "give more detail",
        "the frame cuts the source's face in 1.png; what it hides stays the target's, so use a "
        "picture that shows the whole face",
    )
