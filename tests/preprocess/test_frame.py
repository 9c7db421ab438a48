"""How the target fills the output: kept, padded, or cropped around the faces."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.errors import ImageSizeError, OptionError
from common.types import Region, Size
from preprocess.frame import Frame, plan_frame
from preprocess.resolution import AUTO, FITS, ORIGINAL, Resolution

sizes = st.builds(Size, st.integers(16, 8000), st.integers(16, 8000))
boxes = st.builds(Size, st.integers(16, 8000), st.integers(16, 8000))
SQUARE = Resolution(512)


@st.composite
def faces_in(draw: st.DrawFn, size: Size) -> Region:
    """A face of which at least one pixel is in the picture."""
    width, height = draw(st.integers(1, size.width)), draw(st.integers(1, size.height))
    x = draw(st.integers(1 - width, size.width - 1))
    return Region(x, draw(st.integers(1 - height, size.height - 1)), width, height)


def plan(size: Size, box: Size, fit: str, *faces: Region) -> Frame:
    return plan_frame(size, Resolution(exact=box), fit, faces, 390)


def in_output(region: Region, size: Size, frame: Frame) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a target region in output pixels."""
    x, y = frame.at.width / size.width, frame.at.height / size.height
    left, top = region.x * x - frame.window.x, region.y * y - frame.window.y
    return left, top, left + region.width * x, top + region.height * y


@settings(deadline=None)
@given(size=sizes, fit=st.sampled_from(FITS))
def test_the_original_is_whole_with_any_fit(size: Size, fit: str) -> None:
    face = Region(-5, -5, size.width + 10, size.height + 10)
    frame = plan_frame(size, ORIGINAL, fit, [face], 390)
    assert frame == Frame(size, Region.whole(size))
    assert frame.is_whole
    assert frame.size == size


@settings(deadline=None)
@given(size=sizes, box=boxes)
def test_keep_is_whole(size: Size, box: Size) -> None:
    frame = plan(size, box, "keep")
    assert frame.is_whole
    assert frame.size == frame.at


@settings(deadline=None)
@given(size=sizes, box=boxes)
def test_pad_centres_the_whole_target(size: Size, box: Size) -> None:
    frame = plan(size, box, "pad")
    assert frame.size == box
    assert frame.window.intersect(Region.whole(frame.at)) == Region.whole(frame.at)
    assert 0 <= box.width - frame.at.width + 2 * frame.window.x <= 1
    assert 0 <= box.height - frame.at.height + 2 * frame.window.y <= 1
    assert_aspect(size, frame.at)


@settings(deadline=None)
@given(size=sizes, box=boxes, data=st.data())
def test_crop_shows_every_face_whole_or_says_what_would(
    size: Size, box: Size, data: st.DataObject
) -> None:
    assume(max(box.width / size.width, box.height / size.height) * size.longer < 65_535)
    faces = data.draw(st.lists(faces_in(size), max_size=3))
    try:
        frame = plan(size, box, "crop", *faces)
    except OptionError as error:
        assert_advice(error.message, size, box, faces)
        return
    assert frame.size == box
    assert frame.window.clip(frame.at) == frame.window
    assert frame.at.width == box.width or frame.at.height == box.height
    assert_aspect(size, frame.at)
    for face in faces:
        left, top, right, bottom = in_output(face.clip(size), size, frame)
        assert left > -1e-6
        assert top > -1e-6
        assert right < box.width + 1e-6
        assert bottom < box.height + 1e-6


def assert_aspect(size: Size, at: Size) -> None:
    """One side follows from the other within half a pixel, unless it would be less than one."""
    exact_width = at.height * size.width / size.height
    exact_height = at.width * size.height / size.width
    close = abs(at.width - exact_width) <= 0.5 + 1e-9 or abs(at.height - exact_height) <= 0.5 + 1e-9
    assert close or 1 in {at.width, at.height}


def assert_advice(message: str, size: Size, box: Size, faces: list[Region]) -> None:
    assert "use fit pad or keep" in message
    assert ("fewer faces" in message) == (len(faces) > 1)
    words = re.search(r"such as (\d+)x(\d+)", message)
    if words is None:
        return
    other = Size(int(words[1]), int(words[2]))
    assert plan(size, other, "crop", *faces).size == other
    assert (other.width < box.width) != (other.height < box.height)
    longer = Size(
        other.width + (other.width < box.width), other.height + (other.height < box.height)
    )
    with pytest.raises(OptionError):
        plan(size, longer, "crop", *faces)


def test_without_faces_the_middle_is_kept() -> None:
    frame = plan(Size(3000, 2000), Size(1000, 1000), "crop")
    assert frame == Frame(Size(1500, 1000), Region(250, 0, 1000, 1000))


def test_a_face_is_centred_across_and_a_little_low() -> None:
    frame = plan(Size(2000, 3000), Size(1000, 1000), "crop", Region(900, 1400, 200, 240))
    # Scale 0.5: the face is 120 high from 700, with 880 rows to spare, centred at 440 each.
    assert frame == Frame(Size(1000, 1500), Region(0, 700 - 440 - 120 // 6, 1000, 1000))


def test_a_face_that_hardly_fits_is_not_pushed_to_the_edge() -> None:
    frame = plan(Size(1000, 3000), Size(1000, 1000), "crop", Region(0, 1000, 900, 960))
    assert frame.window.y == 1000 - 20 - 4


@pytest.mark.parametrize(("x", "left"), [(0, 0), (100, 0), (1400, 1000), (2800, 2000)])
def test_the_window_stays_in_the_picture(x: int, left: int) -> None:
    frame = plan(Size(3000, 1000), Size(1000, 1000), "crop", Region(x, 400, 200, 200))
    assert frame.window == Region(left, 0, 1000, 1000)


def test_several_faces_are_centred_together() -> None:
    faces = [Region(1500, 100, 100, 100), Region(2000, 700, 100, 100)]
    frame = plan(Size(3000, 1000), Size(1000, 1000), "crop", *faces)
    assert frame.window == Region(1300, 0, 1000, 1000)


def test_a_face_over_the_edge_counts_as_far_as_it_is_seen() -> None:
    frame = plan(Size(3000, 1000), Size(1000, 1000), "crop", Region(-900, 0, 1000, 1200))
    assert frame.window == Region(0, 0, 1000, 1000)


def test_a_face_outside_the_picture_counts_for_nothing() -> None:
    size, box, outside = Size(3000, 1000), Size(512, 512), Region(-900, 0, 500, 500)
    face = Region(1500, 100, 100, 100)
    assert plan(size, box, "crop", face, outside) == plan(size, box, "crop", face)
    assert plan(size, box, "crop", outside) == plan(size, box, "crop")


def test_faces_too_far_apart_for_a_crop() -> None:
    faces = [Region(100, 100, 100, 100), Region(2800, 100, 100, 100)]
    with pytest.raises(OptionError) as caught:
        plan(Size(3000, 1000), Size(512, 512), "crop", *faces)
    assert caught.value.message == (
        "a crop to 512x512 cannot show the chosen faces whole: they span 2800x100 pixels of the "
        "3000x1000 target; use fit pad or keep, another size such as 512x182, or fewer faces"
    )


def test_a_face_too_large_for_a_crop() -> None:
    with pytest.raises(OptionError, match=r"such as 455x512$"):
        plan(Size(1000, 3000), Size(512, 512), "crop", Region(0, 0, 1000, 1125))


def test_a_crop_that_would_enlarge_the_target_endlessly() -> None:
    with pytest.raises(ImageSizeError) as caught:
        plan(Size(16_000, 100), Size(1024, 1024), "crop")
    assert caught.value.message == (
        "a crop of the 16000x100 target to 1024x1024 would enlarge it to 163840x1024, more than "
        "65535 pixels on a side; use fit keep or pad or resolution 409x409"
    )
    assert plan(Size(16_000, 100), Size(409, 409), "crop").at.longer <= 65_535


def test_limits_and_undecided_sizes_are_refused_as_by_the_output_size() -> None:
    with pytest.raises(ImageSizeError, match="nearest possible resolution is 512"):
        plan_frame(Size(400, 300), Resolution(1024), "pad", (), 0.5)
    with pytest.raises(ValueError, match="has to be decided"):
        plan_frame(Size(400, 300), AUTO, "crop", (), 390)
    with pytest.raises(OptionError, match="'fill' is not known"):
        plan_frame(Size(400, 300), SQUARE, "fill", (), 390)
