"""One field, any tiling, any size: the same pixels, bit for bit."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.types import FloatArray, Region, Size
from fusion.field import BLOCK, Backdrop, FusionField, blocks
from tests.fusion.pictures import Fusion, resized

# The target's own size, half, double, and sizes that fit no grid.
SIZES = [Size(720, 600), Size(360, 300), Size(1440, 1200), Size(701, 583), Size(97, 81)]
RENDERS = settings(max_examples=10, deadline=None)


@pytest.fixture(scope="module")
def field(fusion: Fusion) -> FusionField:
    return fusion.field(0.7)


@pytest.fixture(scope="module")
def whole(fusion: Fusion, field: FusionField) -> Any:
    """Target and fused picture at a size, each rendered in one piece."""

    @cache
    def at_size(at: Size) -> tuple[FloatArray, FloatArray]:
        target = resized(fusion.pixels, at)
        return target, laid(field, target, Region.whole(at), at)

    return at_size


def laid(field: FusionField, target: FloatArray, region: Region, at: Size) -> FloatArray:
    """A part of the target's picture, fused; the field sees no more than it may look at."""
    seen = region.grow(field.reach(at)).clip(at)
    under = Backdrop(np.array(target[seen.within(Region.whole(at))]), seen)
    return field.render(under, region, at)


def around(bounds: Region, at: Size) -> Region:
    """A little more than what changes, so that tiles inside, across and outside are drawn."""
    return bounds.grow(max(bounds.width, bounds.height) // 4).clip(at)


def cuts(low: int, high: int) -> st.SearchStrategy[list[int]]:
    inner = st.lists(st.integers(low + 1, high - 1), max_size=5, unique=True)
    return inner.map(lambda places: [low, *sorted(places), high])


@pytest.mark.parametrize("at", SIZES, ids=str)
@RENDERS
@given(data=st.data())
def test_any_tiling_gives_the_same_bits(
    field: FusionField, whole: Any, at: Size, data: st.DataObject
) -> None:
    target, fused = whole(at)
    area = around(field.bounds(at), at)
    columns = data.draw(cuts(area.x, area.right))
    rows = data.draw(cuts(area.y, area.bottom))
    joined = target.copy()
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            tile = np.s_[top:bottom, left:right]
            region = Region(left, top, right - left, bottom - top)
            joined[tile] = laid(field, target, region, at)
    assert np.array_equal(joined.view(np.uint32), fused.view(np.uint32))
    in_bytes = [np.rint(picture * 255).astype(np.uint8) for picture in (joined, fused)]
    assert np.array_equal(*in_bytes)


@RENDERS
@given(data=st.data())
def test_any_rectangle_is_a_part_of_the_whole(
    field: FusionField, whole: Any, data: st.DataObject
) -> None:
    at = data.draw(st.sampled_from(SIZES))
    target, fused = whole(at)
    x = data.draw(st.integers(0, at.width - 1))
    y = data.draw(st.integers(0, at.height - 1))
    width = data.draw(st.integers(1, at.width - x))
    height = data.draw(st.integers(1, at.height - y))
    place = np.s_[y : y + height, x : x + width]
    region = Region(x, y, width, height)
    assert np.array_equal(laid(field, target, region, at), fused[place])
    opacity = field.opacity(region, at)
    assert np.array_equal(opacity, field.opacity(Region.whole(at), at)[place])


@pytest.mark.parametrize(
    "blend",
    [{"mode": "blend"}, {"mode": "overlay"}, {"expression": "source"}, {"shape": 1.0}],
    ids=str,
)
def test_every_blend_may_be_cut_anywhere(fusion: Fusion, blend: dict[str, Any]) -> None:
    at = SIZES[3]
    target = resized(fusion.pixels, at)
    made = fusion.field(**blend)
    fused = laid(made, target, Region.whole(at), at)
    for tile in made.bounds(at).blocks(93):
        assert np.array_equal(laid(made, target, tile, at), fused[tile.within(Region.whole(at))])


def test_the_reach_grows_with_the_output(field: FusionField) -> None:
    """This field moves the surroundings: the tests above would show it if it reached too short."""
    own, half, double = (field.reach(at) for at in SIZES[:3])
    assert 3 < half <= own <= double
    assert double == pytest.approx(2 * own - 3, abs=1)  # three for the interpolation


def test_render_leaves_its_input_alone(fusion: Fusion, field: FusionField) -> None:
    tile = resized(fusion.pixels, fusion.size)
    before = tile.copy()
    fused = laid(field, tile, Region.whole(fusion.size), fusion.size)
    assert np.array_equal(tile, before)
    assert not np.shares_memory(tile, fused)
    assert fused.dtype == np.float32


def test_threads_and_their_order_change_nothing(
    fusion: Fusion, field: FusionField, whole: Any
) -> None:
    at = SIZES[2]
    target, fused = whole(at)
    fresh = fusion.field(0.7)  # nothing of it is cached yet
    tiles = list(field.bounds(at).blocks(BLOCK))

    def render(tile: Region) -> FloatArray:
        return laid(fresh, target, tile, at)

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(render, reversed(tiles)))
    for tile, pixels in zip(reversed(tiles), done, strict=True):
        assert np.array_equal(pixels, fused[tile.within(Region.whole(at))])


@pytest.mark.parametrize("at", SIZES, ids=str)
def test_bounds_hold_all_that_changes(field: FusionField, whole: Any, at: Size) -> None:
    target, fused = whole(at)
    bounds = field.bounds(at)
    assert bounds.clip(at) == bounds
    assert not bounds.is_empty
    outside = np.ones(target.shape[:2], bool)
    outside[bounds.within(Region.whole(at))] = False
    assert np.array_equal(target[outside], fused[outside])
    assert not field.opacity(Region.whole(at), at)[outside].any()


@pytest.mark.parametrize("highest", [255, 65535])
def test_where_nothing_shows_nothing_changes(alike: Fusion, highest: int) -> None:
    at = alike.size
    field = alike.field(0.7)
    assert field.reach(at) == 0  # else the surroundings would move
    noise = np.random.default_rng(3).integers(0, highest + 1, (at.height, at.width, 3))
    tile = noise.astype(np.float32) / np.float32(highest)
    fused = laid(field, tile, Region.whole(at), at)
    opaque = field.opacity(Region.whole(at), at) > 0
    # Opacity is a matter of the grid's nodes; what lies in front is cut out finer than that.
    near = cv2.dilate(opaque.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.array_equal(fused[~near], tile[~near])
    assert np.array_equal(np.rint(fused[~near] * highest), noise[~near])
    assert (fused != tile)[near & ~opaque].any(axis=-1).mean() < 0.1
    assert opaque.mean() == pytest.approx(0.07, abs=0.03)  # the face's share of the picture
    assert (np.abs(fused - tile)[opaque].max(axis=-1) > 0).mean() > 0.9


def test_a_pixel_depends_on_the_target_within_the_reach_alone(
    fusion: Fusion, field: FusionField
) -> None:
    at = fusion.size
    plain = resized(fusion.pixels, at)
    bounds = field.bounds(at)
    changed = plain.copy()
    y, x = bounds.y + bounds.height // 2, bounds.x + bounds.width // 3
    changed[y, x] = 1 - changed[y, x]
    pair = [laid(field, tile, Region.whole(at), at) for tile in (plain, changed)]
    differs = np.argwhere((pair[0] != pair[1]).any(axis=-1))
    assert (np.abs(differs - (y, x)) <= field.reach(at)).all()


def test_ratio_0_has_no_bounds(fusion: Fusion) -> None:
    still = fusion.field(0.0)
    assert still.bounds(fusion.size).is_empty
    assert not still.opacity(Region.whole(fusion.size), fusion.size).any()
    target = resized(fusion.pixels, fusion.size)
    assert np.array_equal(fusion.render(still), target)


@given(
    x=st.integers(0, 900),
    y=st.integers(0, 900),
    width=st.integers(0, 400),
    height=st.integers(0, 400),
)
def test_blocks_cover_a_region_once(x: int, y: int, width: int, height: int) -> None:
    region = Region(x, y, width, height)
    covered: NDArray[Any] = np.zeros((height, width), int)
    for part, block in blocks(region):
        assert part.intersect(block) == part
        assert (block.x % BLOCK, block.y % BLOCK) == (0, 0)
        assert (block.width, block.height) == (BLOCK, BLOCK)
        covered[part.within(region)] += 1
    assert (covered == 1).all()
