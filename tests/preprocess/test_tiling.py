"""Tiles: exact cover, and work that goes on with smaller tiles."""

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import CancelledError
from common.progress import Progress
from common.types import Region
from preprocess.tiling import Tiling, even_tiles, run_tiles

THREADS = pytest.mark.parametrize("workers", [1, 3])


@st.composite
def cuts(draw: st.DrawFn, longest: int = 60) -> tuple[Region, int, int]:
    """Any region with a side and an alignment that suit each other."""
    region = Region(*(draw(st.integers(-90, 90)) for _ in "xy"), *_sides(draw, longest))
    align = draw(st.sampled_from([1, 1, 2, 3, 8, 16]))
    return region, draw(st.integers(1, 8)) * align + draw(st.integers(0, align - 1)), align


def _sides(draw: st.DrawFn, longest: int) -> tuple[int, int]:
    return draw(st.integers(1, longest)), draw(st.integers(1, longest))


def intervals(tiles: tuple[Region, ...]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    return (
        sorted({(tile.x, tile.right) for tile in tiles}),
        sorted({(tile.y, tile.bottom) for tile in tiles}),
    )


@settings(deadline=None)
@given(cut=cuts(200))
def test_tiles_cover_exactly(cut: tuple[Region, int, int]) -> None:
    region, side, align = cut
    tiles = even_tiles(*cut)
    columns, rows = intervals(tiles)
    assert len(set(tiles)) == len(tiles) == len(columns) * len(rows)
    assert list(tiles) == sorted(tiles, key=lambda tile: (tile.y, tile.x))
    assert sum(tile.pixels for tile in tiles) == region.pixels
    for cut_edges, start, stop in (
        (columns, region.x, region.right),
        (rows, region.y, region.bottom),
    ):
        assert (cut_edges[0][0], cut_edges[-1][1]) == (start, stop)
        assert all(high - low <= side for low, high in cut_edges)
        for (_, high), (low, _) in itertools.pairwise(cut_edges):
            assert high == low
            assert low % align == 0
        inner = [high - low for low, high in cut_edges[1:-1]]
        assert not inner or max(inner) - min(inner) <= align
        # No fewer tiles would do: one less, each as long as allowed, leaves something over.
        fewer, longest = len(cut_edges) - 1, side // align * align
        if fewer:
            assert stop - start > side
            begin, end = start // align * align, -(-stop // align) * align
            assert fewer * longest < end - begin


def test_tiles_of_a_plain_region() -> None:
    assert even_tiles(Region(0, 0, 100, 30), 40) == (
        Region(0, 0, 33, 30),
        Region(33, 0, 33, 30),
        Region(66, 0, 34, 30),
    )
    assert even_tiles(Region(100, 0, 300, 10), 256, 128) == (
        Region(100, 0, 156, 10),
        Region(256, 0, 144, 10),
    )
    assert even_tiles(Region(5, 5, 0, 10), 40) == ()


@pytest.mark.parametrize(("side", "align"), [(0, 1), (-4, 1), (100, 128), (8, 0)])
def test_impossible_cuts_are_refused(side: int, align: int) -> None:
    with pytest.raises(ValueError, match="px"):
        even_tiles(Region(0, 0, 50, 50), side, align)


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
    workers: int, cut: tuple[Region, int, int], smallest: int, most: int, spot: int
) -> None:
    region, side, align = cut
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
