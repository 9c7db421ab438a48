"""What auto chooses and how it says so."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types import Size
from preprocess.auto_resolution import (
    AUTO_TABLE,
    ENOUGH_DETAIL,
    choose_resolution,
    working_set_mb,
)
from preprocess.frame import plan_frame
from preprocess.resolution import FITS, ORIGINAL, TIERS, Resolution, output_size

PLENTY = 100_000.0
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "resolution.md"
pixels = st.floats(10, 8000)


def choice(size: Size, target: float, source: float, free_mb: float = PLENTY) -> tuple[str, str]:
    chosen = choose_resolution(size, [(target, source)], free_mb, 390)
    return str(chosen.resolution), chosen.reason


@pytest.mark.parametrize(
    ("size", "target", "source", "expected", "reason"),
    [
        (Size(2048, 1000), 100, 900, "original", "the target's 2048 px are enough"),
        (Size(24_000, 16_000), 900, 90, "original", "the target's 24000 px are enough"),
        (
            *(Size(700, 700), 310, 900, "2048"),
            "the source's face has detail for 900 px, the target shows 310",
        ),
        (Size(700, 700), 310, 400, "1024", "detail for 400 px, the target shows 310"),
        (Size(700, 700), 310, 380, "original", "detail for 380 px, the target shows 310"),
        (Size(700, 700), 310, 200, "original", "detail for 200 px, the target shows 310"),
        (Size(1000, 1500), 400, 530, "2048", "detail for 530 px, the target shows 400"),
        (Size(1000, 1500), 400, 900, "4096", "detail for 900 px, the target shows 400"),
        (
            *(Size(300, 400), 100, 900, "1024"),
            "1024, the largest that is possible here: the source's face",
        ),
        (Size(100, 100), 60, 900, "original", "the target's 100 px are too few to enlarge"),
    ],
)
def test_size_and_faces_decide(
    size: Size, target: float, source: float, expected: str, reason: str
) -> None:
    resolution, said = choice(size, target, source)
    assert resolution == expected
    assert said.startswith(f"auto chose {expected}")
    assert reason in said


def test_the_pair_with_the_most_to_show_decides() -> None:
    chosen = choose_resolution(Size(1000, 800), [(300, 200), (200, 390)], PLENTY, 390)
    assert chosen.resolution == Resolution(2048)
    assert "390 px, the target shows 200" in chosen.reason


def test_a_crop_is_decided_by_the_side_that_it_fills() -> None:
    size = Size(2000, 600)
    assert choose_resolution(size, [(300, 500)], PLENTY, 390, "crop").resolution == Resolution(1024)
    assert choose_resolution(size, [(300, 500)], PLENTY, 390, "pad").resolution == Resolution(4096)


def test_the_limit_of_megapixels_is_kept() -> None:
    size, faces = Size(1500, 1500), [(200.0, 900.0)]
    assert choose_resolution(size, faces, PLENTY, 16.7).resolution == Resolution(2048)
    chosen = choose_resolution(size, faces, PLENTY, 3)
    assert chosen.resolution == ORIGINAL
    assert chosen.reason == ("auto chose original: the limits of size allow no larger tier")


def test_a_crop_out_of_a_ribbon_is_not_enlarged_beyond_what_is_possible() -> None:
    """150 rows to 512 would make 68 266 columns of 20 000."""
    chosen = choose_resolution(Size(20_000, 150), [(100, 900)], PLENTY, 390, "crop")
    assert chosen.resolution == ORIGINAL
    assert chosen.reason == "auto chose original: the limits of size allow no larger tier"
    chosen = choose_resolution(Size(19_000, 150), [(100, 900)], PLENTY, 390, "crop")
    assert chosen.resolution == Resolution(512)


def test_little_memory_makes_it_smaller() -> None:
    size = Size(16_000, 12_000)
    needed = working_set_mb(size, [(900, 900)])
    assert choice(size, 900, 900, needed)[0] == "original"
    resolution, said = choice(size, 900, 900, needed - 1)
    assert resolution == "4096"
    assert said == (
        f"auto chose 4096: original would take about {needed:.0f} MB of memory, and "
        f"{needed - 1:.0f} MB are free"
    )
    assert choice(size, 900, 900, 100)[0] == "2048"
    assert choice(size, 900, 900, 0)[0] == "512"
    # A tier that was chosen for its detail as well; and nothing is smaller than a small picture.
    assert choice(Size(1000, 1000), 300, 900, 100)[0] == "1024"
    assert choice(Size(400, 400), 300, 300, 0)[0] == "original"


@pytest.mark.parametrize("faces", [[], [(0.0, 100.0)], [(100.0, 100.0), (50.0, 0.0)]])
def test_faces_without_a_size_decide_nothing(faces: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        choose_resolution(Size(1000, 1000), faces, PLENTY, 390)


@settings(deadline=None)
@given(
    size=st.builds(Size, st.integers(16, 30_000), st.integers(16, 13_000)),
    faces=st.lists(st.tuples(pixels, pixels), min_size=1, max_size=3),
    free_mb=st.floats(0, 2000),
    fit=st.sampled_from(FITS),
)
def test_any_choice_is_possible_and_never_enlarges_beyond_four_times(
    size: Size, faces: list[tuple[float, float]], free_mb: float, fit: str
) -> None:
    chosen = choose_resolution(size, faces, free_mb, 390, fit)
    at = output_size(size, chosen.resolution, 390, fit)
    assert plan_frame(size, chosen.resolution, fit, [], 390).size == at
    assert chosen.reason.startswith(f"auto chose {chosen.resolution}")
    assert chosen.resolution == ORIGINAL or chosen.resolution.tier in TIERS
    assert at.longer <= max(4096, size.longer)
    side = min(size.width, size.height) if fit == "crop" else size.longer
    assert (chosen.resolution.tier or side) <= 4 * side


@settings(deadline=None)
@given(
    size=st.builds(Size, st.integers(16, 2047), st.integers(16, 2047)), target=pixels, source=pixels
)
def test_the_chosen_tier_shows_the_detail_and_the_next_smaller_does_not(
    size: Size, target: float, source: float
) -> None:
    resolution, said = choice(size, target, source)
    if resolution == "original" or "possible here" in said:
        return
    scales = [1.0, *(tier / size.longer for tier in TIERS if tier > size.longer)]
    wanted = ENOUGH_DETAIL * source / target
    index = scales.index(int(resolution) / size.longer)
    assert scales[index - 1] < wanted <= scales[index]


def test_the_estimate_grows_with_width_and_faces() -> None:
    small = working_set_mb(Size(1000, 1000), [(300, 300)])
    assert 80 < small < 100
    assert working_set_mb(Size(1000, 30_000), [(300, 300)]) == small
    assert working_set_mb(Size(5000, 1000), [(300, 300)]) > small + 30
    assert working_set_mb(Size(1000, 1000), [(3000, 3000)]) > small + 100
    # A source is not read finer than it is.
    assert working_set_mb(Size(1000, 1000), [(3000, 300)]) == small


MEASURED = re.compile(r"^\| (\d+) x (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


def test_the_estimate_is_the_documented_one_and_above_what_was_measured() -> None:
    rows = MEASURED.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert len(rows) == 6
    for width, height, shown, source, taken, estimate in (map(int, row) for row in rows):
        needed = working_set_mb(Size(width, height), [(shown, source)])
        assert needed == pytest.approx(estimate, abs=1)
        assert taken < needed


def test_the_documented_table_is_the_one_in_use() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) or more \| (\d+|original) \|$", text, re.MULTILINE)
    expected = [(str(least), str(tier or "original")) for least, tier in AUTO_TABLE]
    assert rows == expected
