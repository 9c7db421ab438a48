"""Tiles: exact cover, seams that sum to 1, and work that goes on with smaller tiles."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from common.errors import CancelledError
from common.progress import Progress
from common.types import FloatArray, Region
from preprocess.tiling import Tiling, even_tiles, feather, mosaic, run_tiles, tile_side

THREADS = pytest.mark.parametrize("workers", [1, 3])


@st.composite
def cuts(draw: st.DrawFn, longest: int = 60) -> tuple[Region, int, int, int]:
    """Any region with a side, an overlap and an alignment that suit each other."""
    region = Region(*(draw(st.integers(-90, 90)) for _ in "xy"), *_sides(draw, longest))
    align = draw(st.sampled_from([1, 1, 2, 3, 8, 16]))
    cells = draw(st.integers(1, 8))
    shared = draw(st.integers(0, cells - 1))
    side = cells * align + draw(st.integers(0, align - 1))
    return region, side, max(0, shared * align - draw(st.integers(0, align - 1))), align


def _sides(draw: st.DrawFn, longest: int) -> tuple[int, int]:
    return draw(st.integers(1, longest)), draw(st.integers(1, longest))


def intervals(tiles: tuple[Region, ...]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    return (
        sorted({(tile.x, tile.right) for tile in tiles}),
        sorted({(tile.y, tile.bottom) for tile in tiles}),
    )


@settings(deadline=None)
@given(cut=cuts(200))
def test_tiles_cover_exactly_and_share_what_they_should(cut: tuple[Region, int, int, int]) -> None:
    region, side, overlap, align = cut
    tiles = even_tiles(*cut)
    columns, rows = intervals(tiles)
    assert len(set(tiles)) == len(tiles) == len(columns) * len(rows)
    assert list(tiles) == sorted(tiles, key=lambda tile: (tile.y, tile.x))
    shared = -(-overlap // align) * align
    for cut_edges, start, stop in (
        (columns, region.x, region.right),
        (rows, region.y, region.bottom),
    ):
        assert (cut_edges[0][0], cut_edges[-1][1]) == (start, stop)
        assert all(high - low <= side for low, high in cut_edges)
        for (_, high), (low, _) in itertools.pairwise(cut_edges):
            assert high - low == shared
            assert high % align == 0
            assert low % align == 0
        inner = [high - low for low, high in cut_edges[1:-1]]
        assert not inner or max(inner) - min(inner) <= align
        # No fewer tiles would do: one less, each as long as allowed, leaves something over.
        fewer, longest = len(cut_edges) - 1, side // align * align
        if fewer:
            assert stop - start > side
            begin, end = start // align * align, -(-stop // align) * align
            assert fewer * longest - (fewer - 1) * shared < end - begin


@settings(deadline=None)
@given(cut=cuts())
def test_without_overlap_no_pixel_is_twice(cut: tuple[Region, int, int, int]) -> None:
    region, side, _, align = cut
    assert sum(tile.pixels for tile in even_tiles(region, side, 0, align)) == region.pixels


def test_tiles_of_a_plain_region() -> None:
    assert even_tiles(Region(0, 0, 100, 30), 40) == (
        Region(0, 0, 33, 30),
        Region(33, 0, 33, 30),
        Region(66, 0, 34, 30),
    )
    assert even_tiles(Region(100, 0, 300, 10), 256, 0, 128) == (
        Region(100, 0, 156, 10),
        Region(256, 0, 144, 10),
    )
    assert even_tiles(Region(5, 5, 0, 10), 40) == ()


@pytest.mark.parametrize(
    ("side", "overlap", "align"),
    [
        (0, 0, 1),
        (-4, 0, 1),
        (4, 4, 1),
        (4, 9, 1),
        (4, -1, 1),
        (100, 0, 128),
        (256, 129, 128),
        (8, 0, 0),
    ],
)
def test_impossible_cuts_are_refused(side: int, overlap: int, align: int) -> None:
    with pytest.raises(ValueError, match="px"):
        even_tiles(Region(0, 0, 50, 50), side, overlap, align)


@settings(deadline=None)
@given(cut=cuts(), order=st.randoms(use_true_random=False))
def test_weights_sum_to_exactly_one(cut: tuple[Region, int, int, int], order: Any) -> None:
    region = cut[0]
    feathers = list(feather(even_tiles(*cut)))
    order.shuffle(feathers)
    total = np.zeros((region.height, region.width), np.float32)
    for one in feathers:
        weights = one.weights
        assert weights.dtype == np.float32
        assert weights.shape == (one.tile.height, one.tile.width)
        assert weights.min() >= 0
        total[one.tile.within(region)] += weights
    assert (total == 1).all()


def test_the_ramp_is_half_a_cosine() -> None:
    left, right = feather(even_tiles(Region(0, 0, 1000, 1), 600, 200))
    overlap = np.arange(left.tile.right - right.tile.x)
    assert len(overlap) == 200
    expected = 0.5 - 0.5 * np.cos(np.pi * (overlap + 0.5) / 200)
    assert np.abs(right.columns[:200] - expected).max() <= 0.5 / 4096
    assert (right.columns[200:] == 1).all()
    assert (left.rows == 1).all()


def test_ramps_narrow_where_three_tiles_overlap() -> None:
    tiles = even_tiles(Region(0, 0, 1000, 1), 400, 300)
    for before, one, after in zip(*(feather(tiles)[start:] for start in range(3)), strict=False):
        assert before.tile.right > after.tile.x
        assert one.columns.max() == 1
        assert one.columns[0] == one.columns[-1] == 0


@pytest.mark.parametrize(
    "tiles",
    [
        [Region(0, 0, 4, 4), Region(0, 0, 4, 4)],
        [Region(0, 0, 4, 4), Region(5, 0, 4, 4)],
        [Region(0, 0, 4, 4), Region(1, 0, 2, 4)],
        [Region(0, 0, 4, 4), Region(2, 2, 4, 4)],
    ],
)
def test_other_tiles_have_no_weights(tiles: list[Region]) -> None:
    with pytest.raises(ValueError, match="tiles"):
        feather(tiles)


def picture(region: Region, depth: type[Any], seed: int) -> NDArray[Any]:
    highest = np.iinfo(depth).max
    noise = np.random.default_rng(seed).integers(
        0, highest, (region.height, region.width, 3), depth, endpoint=True
    )
    noise[::3] = highest
    return noise


def reader(whole: NDArray[Any], region: Region, scale: float = 1) -> Callable[[Region], FloatArray]:
    return lambda part: (whole[part.within(region)] / np.float32(scale)).astype(np.float32)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("in_one", [False, True], ids=["as stored", "in [0, 1]"])
@settings(deadline=None)
@given(cut=cuts(), seed=st.integers(0, 9))
def test_a_mosaic_is_the_picture_exactly(
    depth: type[Any], in_one: bool, cut: tuple[Region, int, int, int], seed: int
) -> None:
    region = cut[0]
    whole = picture(region, depth, seed)
    scale = float(np.iinfo(depth).max) if in_one else 1.0
    read = reader(whole, region, scale)
    rebuilt, next_row = np.zeros_like(whole), region.y
    for part, pixels in mosaic(even_tiles(*cut), read, refuse):
        assert (part.x, part.width, part.y) == (region.x, region.width, next_row)
        assert pixels.dtype == np.float32
        rebuilt[part.within(region)] = np.rint(pixels * np.float32(scale)).astype(depth)
        next_row = part.bottom
    assert next_row == region.bottom
    assert (rebuilt == whole).all()


def refuse(part: Region) -> FloatArray:
    raise AssertionError(f"nothing is missing in {part}")


@settings(deadline=None)
@given(cut=cuts(), seed=st.integers(0, 99))
def test_skipped_tiles_leave_the_base(cut: tuple[Region, int, int, int], seed: int) -> None:
    region, tiles = cut[0], even_tiles(*cut)
    chosen = np.random.default_rng(seed).random(len(tiles)) < 0.5
    skipped = {tile for tile, skip in zip(tiles, chosen, strict=True) if skip}
    base = picture(region, np.uint8, seed)
    worked = []

    def work(tile: Region) -> FloatArray:
        worked.append(tile)
        return np.full((tile.height, tile.width, 3), 1000, np.float32)

    result = base.astype(np.float32)
    for part, pixels in mosaic(tiles, work, reader(base, region), is_empty=skipped.__contains__):
        result[part.within(region)] = pixels
    assert worked == [tile for tile in tiles if tile not in skipped]
    share = np.zeros(base.shape[:2], np.float32)
    for one in feather(tiles):
        if one.tile not in skipped:
            share[one.tile.within(region)] += one.weights
    expected = base * (1 - share[..., None]) + 1000 * share[..., None]
    assert np.abs(result - expected).max() < 1e-3
    assert (result[share == 0] == base[share == 0]).all()


def test_a_mosaic_holds_one_row_of_tiles() -> None:
    calls: list[str] = []

    def work(tile: Region) -> FloatArray:
        calls.append(f"tile {tile.y}")
        return np.zeros((tile.height, tile.width, 1), np.float32)

    tiles = even_tiles(Region(0, 0, 10, 90), 30, 0)
    for part, _ in mosaic(tiles, work, refuse, channels=1):
        calls.append(f"strip {part.y}")
    assert calls == ["tile 0", "strip 0", "tile 30", "strip 30", "tile 60", "strip 60"]
    assert list(mosaic((), work, refuse)) == []


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (-1, 128),
        (0, 128),
        (12 * 300**2, 256),
        (12 * 384**2, 384),
        (12 * 384**2 - 1, 256),
        (1e15, 1024),
    ],
)
def test_the_side_that_fits(free: float, expected: int) -> None:
    assert tile_side(free, 12, 128, 1024, 128) == expected


@pytest.mark.parametrize("bounds", [(0, 128, 1), (256, 128, 128), (100, 256, 128), (128, 200, 128)])
def test_sides_need_sensible_bounds(bounds: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no bounds"):
        tile_side(1e9, 12, *bounds)
    with pytest.raises(ValueError, match="0 bytes"):
        tile_side(1e9, 0, 128, 256, 128)


@pytest.mark.parametrize(
    ("side", "smallest", "align", "workers"),
    [(64, 128, 1, 1), (64, 0, 1, 1), (64, 20, 16, 1), (64, 32, 0, 1), (64, 32, 16, 0)],
)
def test_impossible_tilings_are_refused(side: int, smallest: int, align: int, workers: int) -> None:
    with pytest.raises(ValueError, match=r"px|workers"):
        Tiling(side, smallest, align, workers)


class Canvas:
    """Counts how often each pixel was worked on; fails where a test says so."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.counts = np.zeros((region.height, region.width), int)
        self.tiles: list[Region] = []
        self.refused: list[Region] = []

    def work(self, most: int, only: Region | None = None) -> Callable[[Region], None]:
        """Tiles of more than ``most`` pixels run out of memory, everywhere or where ``only`` is."""

        def one(tile: Region) -> None:
            if tile.pixels > most and (only is None or not tile.intersect(only).is_empty):
                self.refused.append(tile)
                raise MemoryError
            self.tiles.append(tile)
            self.counts[tile.within(self.region)] += 1

        return one


@THREADS
@settings(deadline=None)
@given(
    cut=cuts(60), smallest=st.integers(1, 3), most=st.integers(1, 4000), spot=st.integers(0, 999)
)
def test_every_pixel_is_done_once_whatever_fails(
    workers: int, cut: tuple[Region, int, int, int], smallest: int, most: int, spot: int
) -> None:
    region, side, _, align = cut
    canvas = Canvas(region)
    smallest *= align
    tiling = Tiling(max(side, smallest), smallest, align, workers)
    only = Region(region.x + spot % region.width, region.y + spot % region.height, 1, 1)
    work = canvas.work(max(most, smallest**2), only)
    after = run_tiles(region, tiling, work, Progress())
    assert (canvas.counts == 1).all()
    assert smallest <= after.side <= tiling.side
    assert (after.side < tiling.side) == bool(canvas.refused)
    for tile in canvas.tiles:
        assert tile.x == region.x or tile.x % align == 0
        assert tile.bottom == region.bottom or tile.bottom % align == 0


def test_halving_goes_on_at_the_tile_that_failed() -> None:
    region = Region(0, 0, 1024, 512)
    canvas = Canvas(region)
    work = canvas.work(300 * 300, only=Region(600, 10, 1, 1))
    after = run_tiles(region, Tiling(512, 128, 128), work, Progress())
    assert after == Tiling(256, 128, 128)
    assert canvas.refused == [Region(512, 0, 512, 512)]
    assert canvas.tiles == [
        Region(0, 0, 512, 512),
        Region(512, 0, 256, 256),
        Region(768, 0, 256, 256),
        Region(512, 256, 256, 256),
        Region(768, 256, 256, 256),
    ]


def test_a_short_tile_is_halved_at_once() -> None:
    canvas = Canvas(Region(0, 0, 256, 256))
    after = run_tiles(canvas.region, Tiling(2048, 64, 64), canvas.work(200 * 200), Progress())
    assert after.side == 128
    assert len(canvas.refused) == 1


@THREADS
def test_the_smallest_tile_s_error_is_raised_on(workers: int) -> None:
    canvas = Canvas(Region(0, 0, 512, 512))
    with pytest.raises(MemoryError):
        run_tiles(canvas.region, Tiling(512, 128, 128, workers), canvas.work(0), Progress())
    assert {tile.width for tile in canvas.refused} == {512, 256, 128}
    assert canvas.counts.max() == 0


def test_only_the_named_errors_halve() -> None:
    class DeviceFullError(Exception):
        pass

    def work(tile: Region) -> None:
        if tile.width > 8:
            raise DeviceFullError

    region = Region(0, 0, 32, 32)
    with pytest.raises(DeviceFullError):
        run_tiles(region, Tiling(32, 4), work, Progress())
    assert (
        run_tiles(region, Tiling(32, 4), work, Progress(), exhausted=(DeviceFullError,)).side == 8
    )


@THREADS
def test_another_error_ends_the_work(workers: int) -> None:
    before, turn, begun = set(pool_threads()), itertools.count(), []

    def work(tile: Region) -> None:
        begun.append(tile)
        if next(turn) == 4:
            raise OSError("broken")
        time.sleep(0.001)

    with pytest.raises(OSError, match="broken"):
        run_tiles(Region(0, 0, 640, 640), Tiling(16, 16, 1, workers), work, Progress())
    assert len(begun) < 5 + workers
    assert set(pool_threads()) <= before


def pool_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if "ThreadPoolExecutor" in one.name]


@THREADS
def test_cancelling_stops_soon_and_leaves_no_thread(workers: int) -> None:
    before, turn, begun = set(pool_threads()), itertools.count(), []
    progress = Progress()

    def work(tile: Region) -> None:
        begun.append(tile)
        if next(turn) == 3:
            progress.cancel()
        time.sleep(0.002)

    with pytest.raises(CancelledError):
        run_tiles(Region(0, 0, 640, 640), Tiling(16, 16, 1, workers), work, progress)
    assert len(begun) < 4 + workers
    assert set(pool_threads()) <= before


@THREADS
def test_a_listener_that_raises_stops_the_threads(workers: int) -> None:
    begun: list[Region] = []

    def listener(_: str, fraction: float) -> None:
        if fraction > 0:
            raise KeyboardInterrupt

    def work(tile: Region) -> None:
        begun.append(tile)
        time.sleep(0.002)

    with pytest.raises(KeyboardInterrupt):
        run_tiles(Region(0, 0, 640, 640), Tiling(16, 16, 1, workers), work, Progress(listener))
    assert len(begun) < 200


@THREADS
def test_progress_counts_pixels_in_its_share_of_the_stage(workers: int) -> None:
    told: list[float] = []
    threads: set[threading.Thread] = set()

    def listener(_: str, fraction: float) -> None:
        told.append(fraction)
        threads.add(threading.current_thread())

    canvas = Canvas(Region(3, 5, 300, 200))
    skipped: list[Region] = []

    def is_empty(tile: Region) -> bool:
        if tile.y >= 128:
            skipped.append(tile)
        return tile.y >= 128

    run_tiles(
        canvas.region,
        Tiling(128, 128, 128, workers),
        canvas.work(10**9),
        Progress(listener),
        is_empty=is_empty,
        share=(0.25, 0.75),
    )
    assert told == sorted(told)
    assert told[0] > 0.25
    assert told[-1] == 0.75
    assert len(told) == len(canvas.tiles) + len(skipped) == 6
    assert threads == {threading.current_thread()}
    assert canvas.counts.sum() == 300 * 123


def test_the_error_of_a_tile_is_not_kept_while_others_run() -> None:
    """Its frames hold the very arrays that did not fit."""
    held: list[Any] = []

    class Block:
        def __del__(self) -> None:
            held.remove("block")

    def work(tile: Region) -> None:
        if tile.width > 16:
            block = Block()
            held.append("block")
            raise MemoryError(block)
        assert not held

    run_tiles(Region(0, 0, 32, 32), Tiling(32, 16, 1, 1), work, Progress())
    run_tiles(Region(0, 0, 64, 32), Tiling(32, 16, 1, 2), work, Progress())


def test_a_region_without_pixels_needs_no_work() -> None:
    tiling = Tiling(16, 16)
    assert run_tiles(Region(5, 5, 0, 3), tiling, refuse_work, Progress()) == tiling


def refuse_work(tile: Region) -> None:
    raise AssertionError(f"{tile} has no pixels")


def test_the_bookkeeping_is_cheap() -> None:
    region = Region(0, 0, 50 * 128, 40 * 128)
    started = time.process_time()
    run_tiles(region, Tiling(128, 128, 128, 2), lambda _: None, Progress())
    assert time.process_time() - started < 1.0  # measured 0.03 s for 2000 tiles
