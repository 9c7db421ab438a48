"""Output sizes."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ImageSizeError, OptionError
from common.types import Size
from preprocess.resolution import (
    AUTO,
    FITS,
    ORIGINAL,
    TIERS,
    Resolution,
    circumscribed,
    inscribed,
    largest,
    output_size,
)

sides = st.integers(16, 30_000)
askable = st.builds(Size, st.integers(16, 65_535), st.integers(16, 65_535))
sizes = st.builds(Size, sides, sides)


@pytest.mark.parametrize(
    "text",
    ["original", "512", "1024", "2048", "4096", "auto", "1920x1080", "16x65535", "512x512"],
)
def test_text_is_read_back(text: str) -> None:
    assert str(Resolution.parse(text)) == text


@settings(deadline=None)
@given(size=askable)
def test_any_size_is_read_back(size: Size) -> None:
    resolution = Resolution.parse(str(size))
    assert resolution == Resolution(exact=size)
    assert Resolution.parse(str(resolution)) == resolution


@pytest.mark.parametrize("text", ["1920×1080", "1920X1080", " 1920 x 1080 ", "01920x1080"])
def test_a_size_may_be_written_in_several_ways(text: str) -> None:
    assert Resolution.parse(text) == Resolution(exact=Size(1920, 1080))


def test_words_are_read_without_regard_to_case_and_spaces() -> None:
    assert Resolution.parse(" Original ") == ORIGINAL
    assert Resolution.parse("2048\n") == Resolution(2048)
    assert Resolution.parse("AUTO") == AUTO


@pytest.mark.parametrize(
    "text",
    [
        *("", "800", "0512", "-512", "5.12e2", "٥١٢", "٥١٢x٥١٢", "-512x512", "512x", "x512"),
        *("1920x1080x3", "1920*1080", "1920 1080", "19.2x10.8", "1920x1080px", "1234567890x99"),
    ],
)
def test_other_texts_are_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(OptionError, match="original, 512, 1024, 2048, 4096") as caught:
        Resolution.parse(text)
    assert repr(text) in caught.value.message


@pytest.mark.parametrize("text", ["15x100", "100x15", "0x0", "65536x100", "16x999999999"])
def test_sizes_that_no_picture_has_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match=f"resolution {text}: .* 16 to 65535 pixels"):
        Resolution.parse(text)


def test_what_does_not_exist_cannot_be_made() -> None:
    with pytest.raises(OptionError, match="999"):
        Resolution(999)
    with pytest.raises(OptionError, match="16 to 65535"):
        Resolution(exact=Size(10, 10))
    with pytest.raises(ValueError, match="not several"):
        Resolution(512, Size(512, 512))
    with pytest.raises(ValueError, match="not several"):
        Resolution(512, automatic=True)


@pytest.mark.parametrize("fit", FITS)
def test_auto_has_no_size_before_it_is_decided(fit: str) -> None:
    with pytest.raises(ValueError, match="has to be decided"):
        output_size(Size(100, 100), AUTO, 390, fit)


def test_an_unknown_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="'stretch' is not known; use one of: keep, pad, crop"):
        output_size(Size(100, 100), ORIGINAL, 390, "stretch")


@pytest.mark.parametrize(
    ("size", "tier", "expected"),
    [
        (Size(4000, 3000), 2048, Size(2048, 1536)),
        (Size(3000, 4000), 1024, Size(768, 1024)),
        (Size(300, 200), 4096, Size(4096, 2731)),
        (Size(1024, 1024), 512, Size(512, 512)),
        (Size(2048, 777), 2048, Size(2048, 777)),
        (Size(1024, 1), 512, Size(512, 1)),
        (Size(30_000, 16), 512, Size(512, 1)),
    ],
)
def test_the_tier_is_the_longer_side(size: Size, tier: int, expected: Size) -> None:
    assert output_size(size, Resolution(tier), 390) == expected


@settings(deadline=None)
@given(width=sides, height=sides)
def test_original_keeps_the_size(width: int, height: int) -> None:
    size = Size(width, height)
    assert output_size(size, ORIGINAL, 900) == size


@settings(deadline=None)
@given(width=sides, height=sides, tier=st.sampled_from(TIERS))
def test_the_aspect_is_kept_within_half_a_pixel(width: int, height: int, tier: int) -> None:
    size = Size(width, height)
    result = output_size(size, Resolution(tier), 390)
    assert result.longer == tier
    for side, original in ((result.width, width), (result.height, height)):
        exact = original * tier / size.longer
        assert side == 1 if exact < 1 else abs(side - exact) <= 0.5


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        (Size(4000, 3000), Size(1920, 1080), Size(1440, 1080)),
        (Size(3000, 4000), Size(1920, 1080), Size(810, 1080)),
        (Size(6000, 1000), Size(1920, 1080), Size(1920, 320)),
        (Size(640, 360), Size(1920, 1080), Size(1920, 1080)),
    ],
)
def test_an_exact_size_is_filled_as_the_fit_says(size: Size, box: Size, expected: Size) -> None:
    assert output_size(size, Resolution(exact=box), 390) == expected
    for fit in ("pad", "crop"):
        assert output_size(size, Resolution(exact=box), 390, fit) == box


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_pad_and_crop_make_a_square_of_a_tier_and_leave_the_original(fit: str) -> None:
    assert output_size(Size(4000, 3000), Resolution(1024), 390, fit) == Size(1024, 1024)
    assert output_size(Size(4000, 3000), ORIGINAL, 390, fit) == Size(4000, 3000)


@settings(deadline=None)
@given(size=sizes, box=askable)
def test_one_size_inside_the_box_and_one_around_it(size: Size, box: Size) -> None:
    inner, outer = inscribed(size, box), circumscribed(size, box)
    assert inner.width <= box.width <= outer.width
    assert inner.height <= box.height <= outer.height
    for one in (inner, outer):
        assert one.width == box.width or one.height == box.height
        if one.width == box.width:
            side, exact = one.height, size.height * box.width / size.width
        else:
            side, exact = one.width, size.width * box.height / size.height
        assert side == 1 if exact < 1 else abs(side - exact) <= 0.5 + 1e-9 * exact


@settings(deadline=None)
@given(size=sizes, box=askable, limit=st.floats(0.001, 100), fit=st.sampled_from(FITS))
def test_the_nearest_possible_size_is_possible_and_the_largest(
    size: Size, box: Size, limit: float, fit: str
) -> None:
    try:
        assert output_size(size, Resolution(exact=box), limit, fit).pixels <= limit * 1e6
    except ImageSizeError as error:
        words = re.search(r"nearest possible resolution is (\S+) \((\d+)x(\d+)\)", error.message)
    else:
        return
    if words is None:
        # Not even the smallest box of this aspect with both sides of 16 or more.
        longer = -(-16 * box.longer // min(box.width, box.height))
        least = Resolution(exact=inscribed(box, Size(longer, longer)))
        assert output_size(size, least, 1e9, fit).pixels > limit * 1e6
        return
    nearest = Resolution.parse(words[1]).exact
    assert nearest is not None
    assert inscribed(box, Size(nearest.longer, nearest.longer)) == nearest
    result = output_size(size, Resolution(exact=nearest), limit, fit)
    assert (str(result.width), str(result.height)) == words.groups()[1:]
    larger = Resolution(exact=inscribed(box, Size(nearest.longer + 1, nearest.longer + 1)))
    assert output_size(size, larger, 1e9, fit).pixels > limit * 1e6


def test_the_largest_number_that_is_possible() -> None:
    for last in range(3, 9):
        assert largest(3, 8, last.__ge__) == last
    assert largest(3, 8, (2).__ge__) is None
    assert largest(4, 3, (9).__ge__) is None


def test_beyond_the_limit_the_nearest_possible_is_named() -> None:
    with pytest.raises(ImageSizeError, match=r"nearest possible resolution is 2048 \(2048x2048\)"):
        output_size(Size(100, 100), Resolution(4096), 10)
    with pytest.raises(ImageSizeError, match=r"original makes a picture of 5000x5000"):
        output_size(Size(5000, 5000), ORIGINAL, 10)
    with pytest.raises(ImageSizeError, match=r"nearest possible resolution is original \(3000x"):
        output_size(Size(3000, 3000), Resolution(4096), 10)
    with pytest.raises(
        ImageSizeError, match=r"nearest possible resolution is 4215x2371 \(4215x2371"
    ):
        output_size(Size(160, 90), Resolution(exact=Size(7680, 4320)), 10)
    # A landscape padded to a square has more pixels than it would have alone.
    assert output_size(Size(4000, 1000), Resolution(4096), 10) == Size(4096, 1024)
    with pytest.raises(ImageSizeError, match=r"nearest possible resolution is 2048 \(2048x2048\)"):
        output_size(Size(4000, 1000), Resolution(4096), 10, "pad")


def test_a_limit_that_nothing_fits() -> None:
    with pytest.raises(ImageSizeError, match="no resolution fits"):
        output_size(Size(5000, 5000), ORIGINAL, 0.1)


def test_the_limit_itself_is_allowed() -> None:
    assert output_size(Size(1000, 1000), ORIGINAL, 1.0) == Size(1000, 1000)
