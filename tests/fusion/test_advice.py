"""What a result warns of."""

from dataclasses import replace

import pytest

from common.types import Face, FaceQuality, Pose
from fusion.advice import warnings_for
from tests.fusion.pictures import Fusion


@pytest.fixture
def face(fusion: Fusion) -> Face:
    good = FaceQuality(size=200.0, sharpness=8.0)
    return replace(fusion.target.face, quality=good, pose=Pose(0.0, 0.0, 0.0))


def test_a_good_pair_needs_no_words(face: Face) -> None:
    assert warnings_for([(face, face)], 1.0) == ()
    assert warnings_for([], 1.0) == ()


def test_a_blurred_source(face: Face) -> None:
    blurred = replace(face, quality=FaceQuality(200.0, 1.2))
    assert warnings_for([(face, blurred)], 1.0) == ()  # a blurred target is as it is
    (warning,) = warnings_for([(blurred, face)], 1.0)
    assert warning == "target face 0: the source's face is blurred, so the result is soft"


@pytest.mark.parametrize(("scale", "shown"), [(1.0, 500), (4.0, 800)])
def test_a_source_shown_much_larger_than_it_is(face: Face, scale: float, shown: int) -> None:
    target = replace(face, index=3, quality=FaceQuality(shown / scale, 8.0))
    (warning,) = warnings_for([(face, target)], scale)
    assert warning.startswith(f"target face 3: the source's face is 200 px and is shown at {shown}")
    assert warnings_for([(face, replace(face, quality=FaceQuality(390.0, 8.0)))], 1.0) == ()


@pytest.mark.parametrize("side", [-1, 1])
def test_heads_turned_apart(face: Face, side: int) -> None:
    left, right = (replace(face, pose=Pose(yaw, 0.0, 0.0)) for yaw in (-30.0 * side, 30.0 * side))
    (warning,) = warnings_for([(left, right)], 1.0)
    assert "turned 60 degrees apart" in warning


def test_each_pair_gets_its_own_words(face: Face) -> None:
    poor = replace(face, quality=FaceQuality(50.0, 1.0))
    pairs = [(poor, replace(face, index=index)) for index in (0, 1)]
    found = warnings_for(pairs, 1.0)
    assert [warning.split(":")[0] for warning in found] == ["target face 0"] * 2 + [
        "target face 1"
    ] * 2
