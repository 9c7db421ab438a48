"""Output sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ImageSizeError, OptionError
from common.types import Size
from preprocess.resolution import ORIGINAL, TIERS, Resolution, output_size

sides = st.integers(16, 30_000)


@pytest.mark.parametrize("text", ["original", "512", "1024", "2048", "4096"])
def test_text_is_read_back(text: str) -> None:
    assert str(Resolution.parse(text)) == text


def test_words_are_read_without_regard_to_case_and_spaces() -> None:
    assert Resolution.parse(" Original ") == ORIGINAL
    assert Resolution.parse("2048\n") == Resolution(2048)


@pytest.mark.parametrize("text", ["", "auto", "800", "0512", "-512", "512x512", "5.12e2", "٥١٢"])
def test_other_texts_are_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(OptionError, match="original, 512, 1024, 2048, 4096") as caught:
        Resolution.parse(text)
    assert repr(text) in caught.value.message


def test_a_tier_that_does_not_exist_cannot_be_made() -> None:
    with pytest.raises(OptionError, match="999"):
        Resolution(999)


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


@given(width=sides, height=sides)
def test_original_keeps_the_size(width: int, height: int) -> None:
    size = Size(width, height)
    assert output_size(size, ORIGINAL, 900) == size


@given(width=sides, height=sides, tier=st.sampled_from(TIERS))
def test_the_aspect_is_kept_within_half_a_pixel(width: int, height: int, tier: int) -> None:
    size = Size(width, height)
    result = output_size(size, Resolution(tier), 390)
    assert result.longer == tier
    for side, original in ((result.width, width), (result.height, height)):
        exact = original * tier / size.longer
        assert side == 1 if exact < 1 else abs(side - exact) <= 0.5


def test_beyond_the_limit_the_nearest_possible_is_named() -> None:
    with pytest.raises(ImageSizeError, match=r"nearest possible resolution is 2048 \(2048x2048\)"):
        output_size(Size(100, 100), Resolution(4096), 10)
    with pytest.raises(ImageSizeError, match=r"original makes a picture of 5000x5000"):
        output_size(Size(5000, 5000), ORIGINAL, 10)
    with pytest.raises(ImageSizeError, match=r"nearest possible resolution is original \(3000x"):
        output_size(Size(3000, 3000), Resolution(4096), 10)


def test_a_limit_that_nothing_fits() -> None:
    with pytest.raises(ImageSizeError, match="no resolution fits"):
        output_size(Size(5000, 5000), ORIGINAL, 0.1)


def test_the_limit_itself_is_allowed() -> None:
    assert output_size(Size(1000, 1000), ORIGINAL, 1.0) == Size(1000, 1000)
