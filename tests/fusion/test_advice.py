"""What a result warns of."""

from dataclasses import replace

import pytest

from common.types import Face, FaceQuality, Pose, Region, Size
from fusion.advice import warnings_for
from tests.fusion.pictures import Fusion

SOURCE = Size(10_000, 10_000)


@pytest.fixture
def face(fusion: Fusion) -> Face:
    good = FaceQuality(size=200.0, sharpness=8.0)
    return replace(fusion.target.face, quality=good, pose=Pose(0.0, 0.0, 0.0))


def test_a_good_pair_needs_no_words(face: Face) -> None:
    assert warnings_for([(face, face)], SOURCE, 1.0) == ()
    assert warnings_for([], SOURCE, 1.0) == ()


def test_a_blurred_source(face: Face) -> None:
    blurred = replace(face, quality=FaceQuality(200.0, 1.2))
    assert warnings_for([(face, blurred)], SOURCE, 1.0) == ()  # a blurred target is as it is
    (warning,) = warnings_for([(blurred, face)], SOURCE, 1.0)
    assert warning == "the source's face is blurred, so the result is soft"


@pytest.mark.parametrize(("scale", "shown"), [(1.0, 500), (4.0, 800)])
def test_a_source_shown_much_larger_than_it_is(face: Face, scale: float, shown: int) -> None:
    target = replace(face, index=3, quality=FaceQuality(shown / scale, 8.0))
    (warning,) = warnings_for([(face, target)], SOURCE, scale)
    assert warning.startswith(f"the source's face is 200 px and is shown at {shown} px")
    assert warnings_for([(face, replace(face, quality=FaceQuality(390.0, 8.0)))], SOURCE, 1.0) == ()


@pytest.mark.parametrize("side", [-1, 1])
def test_heads_turned_apart(face: Face, side: int) -> None:
    left, right = (replace(face, pose=Pose(yaw, 0.0, 0.0)) for yaw in (-30.0 * side, 30.0 * side))
    (warning,) = warnings_for([(left, right)], SOURCE, 1.0)
    assert "turned 60 degrees apart" in warning


def test_a_source_that_the_frame_cuts(face: Face) -> None:
    cut = replace(face, box=Region(-60, 10, 200, 240))
    assert "the frame cuts" in warnings_for([(cut, face)], SOURCE, 1.0)[0]
    grazed = replace(face, box=Region(-10, 10, 200, 240))
    assert warnings_for([(grazed, face)], SOURCE, 1.0) == ()


def test_of_several_faces_the_place_is_told_and_nothing_is_said_twice(face: Face) -> None:
    poor = replace(face, quality=FaceQuality(50.0, 1.0))
    targets = [replace(face, index=i, box=Region(300 * i, 40, 200, 240)) for i in (0, 1)]
    found = warnings_for([(poor, target) for target in targets], SOURCE, 1.0)
    assert [warning for warning in found if "blurred" in warning] == [
        "the source's face is blurred, so the result is soft"
    ]
    assert [warning[warning.rindex("(") :] for warning in found if "shown at" in warning] == [
        "(the face at 0, 40)",
        "(the face at 300, 40)",
    ]
