"""Sizes and regions."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.types import Region, Size, separated

coordinates = st.integers(-5000, 5000)
lengths = st.integers(0, 3000)
regions = st.builds(Region, coordinates, coordinates, lengths, lengths)
filled = st.builds(Region, coordinates, coordinates, st.integers(1, 900), st.integers(1, 900))


def covers(outer: Region, inner: Region) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and outer.right >= inner.right
        and outer.bottom >= inner.bottom
    )


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-1, 5)])
def test_a_size_has_positive_sides(width: int, height: int) -> None:
    with pytest.raises(ValueError, match=f"{width}x{height}"):
        Size(width, height)


def test_a_size_tells_about_itself() -> None:
    size = Size(4000, 3000)
    assert (str(size), size.longer, size.pixels) == ("4000x3000", 4000, 12_000_000)


def test_values_are_frozen_and_slotted() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Size(1, 1).width = 2  # type: ignore[misc]
    assert not hasattr(Region(0, 0, 1, 1), "__dict__")


def test_around_holds_the_pixels_that_the_points_touch() -> None:
    points = np.array([[10.2, 20.0, 5.0], [30.7, 25.5, -5.0]])
    region = Region.around(points)
    assert region == Region(10, 20, 22, 7)
    assert Region.around(points, margin=2.5) == Region(7, 17, 28, 12)


@given(
    st.lists(
        st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
        min_size=1,
        max_size=20,
    ),
    st.floats(0, 100),
)
def test_around_holds_every_point_and_little_more(
    points: list[tuple[float, float]], margin: float
) -> None:
    array = np.array(points)
    region = Region.around(array, margin)
    assert region.x <= array[:, 0].min() - margin
    assert region.right - 1 >= array[:, 0].max() + margin
    assert region.width <= np.ptp(array[:, 0]) + 2 * margin + 3


@given(regions, regions)
def test_intersection_lies_in_both_and_is_symmetric(a: Region, b: Region) -> None:
    common = a.intersect(b)
    assert common == b.intersect(a)
    if not common.is_empty:
        assert covers(a, common)
        assert covers(b, common)


def test_regions_apart_have_an_empty_intersection() -> None:
    assert Region(0, 0, 10, 10).intersect(Region(10, 0, 10, 10)).is_empty
    apart = Region(0, 0, 10, 10).intersect(Region(50, 50, 5, 5))
    assert (apart.is_empty, apart.pixels) == (True, 0)


@given(regions, regions)
def test_union_covers_both(a: Region, b: Region) -> None:
    assert covers(a.union(b), a)
    assert covers(a.union(b), b)


@given(filled, st.integers(0, 500))
def test_growing_and_shrinking_undo_each_other(region: Region, margin: int) -> None:
    assert region.grow(margin).grow(-margin) == region
    assert region.grow(margin).intersect(region) == region


def test_a_region_shrunk_to_nothing_has_no_pixels() -> None:
    nothing = Region(0, 0, 10, 10).grow(-8)
    assert (nothing.is_empty, nothing.pixels) == (True, 0)


@given(regions)
def test_clipping_stays_inside(region: Region) -> None:
    size = Size(640, 480)
    clipped = region.clip(size)
    assert clipped.is_empty or covers(Region.whole(size), clipped)
    assert clipped.clip(size) == clipped


@given(filled, st.floats(0.05, 8), st.floats(0.05, 8))
def test_scaling_covers_the_scaled_rectangle(region: Region, x: float, y: float) -> None:
    scaled = region.scale(x, y)
    assert scaled.x <= region.x * x < scaled.x + 1
    assert scaled.bottom - 1 < region.bottom * y <= scaled.bottom
    assert scaled.width <= math.ceil(region.width * x) + 1
    assert not scaled.is_empty


@given(filled)
def test_scaling_by_one_changes_nothing(region: Region) -> None:
    assert region.scale(1.0, 1.0) == region


def test_within_is_an_index_into_the_outer_array() -> None:
    outer = Region(100, 200, 8, 6)
    rows, columns = np.mgrid[200:206, 100:108]
    inner = Region(103, 201, 2, 4)
    assert np.array_equal(columns[inner.within(outer)], np.tile([103, 104], (4, 1)))
    assert np.array_equal(rows[inner.within(outer)][:, 0], [201, 202, 203, 204])


@given(filled, st.integers(50, 400))
def test_blocks_tile_a_region_exactly_along_one_grid(region: Region, side: int) -> None:
    seen = np.zeros((region.height, region.width), np.uint8)
    for block in region.blocks(side):
        assert not block.is_empty
        assert block.x // side == (block.right - 1) // side
        assert block.y // side == (block.bottom - 1) // side
        seen[block.within(region)] += 1
    assert (seen == 1).all()


def test_an_empty_region_has_no_blocks_with_pixels() -> None:
    assert sum(block.pixels for block in Region(5, 5, 0, 10).blocks(4)) == 0


def test_a_region_as_the_command_line_prints_it() -> None:
    assert Region(1, 2, 3, 4).as_list() == [1, 2, 3, 4]


@given(st.lists(regions, max_size=6))
def test_separated_regions_cover_all_and_do_not_overlap(given_regions: list[Region]) -> None:
    found = separated(given_regions)
    for region in given_regions:
        assert region.is_empty or any(covers(one, region) for one in found)
    for index, one in enumerate(found):
        assert not one.is_empty
        assert all(one.intersect(other).is_empty for other in found[index + 1 :])
    assert list(found) == sorted(found, key=lambda one: (one.y, one.x))
