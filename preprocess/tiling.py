"""Rectangles cut into even tiles, and work that shrinks when memory runs out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise

from common.progress import Progress
from common.types import Region


def even_tiles(region: Region, side: int, align: int = 1) -> tuple[Region, ...]:
    """Cut a region into as few rows and columns of tiles as ``side`` allows, of even size.

    The tiles cover the region exactly and form a complete grid, in reading order. They differ
    in size by at most ``align``, and where the region's own edge cuts a cell of that grid.

    Args:
        region: Anywhere in the plane; of an empty one there are no tiles.
        side: Longest side of a tile, px.
        align: Every edge of a tile that is not the region's is a multiple of this, counted
            from the plane's (0, 0).

    Raises:
        ValueError: ``side`` holds no aligned tile.
    """
    if align < 1 or side < align:
        raise ValueError(f"tiles of {side} px have no edges on multiples of {align}")
    if region.is_empty:
        return ()
    columns = _cut(region.x, region.right, side, align)
    rows = _cut(region.y, region.bottom, side, align)
    return tuple(
        Region(left, top, right - left, bottom - top)
        for top, bottom in rows
        for left, right in columns
    )


def _cut(start: int, stop: int, side: int, align: int) -> list[tuple[int, int]]:
    """Intervals that cover [start, stop)."""
    if stop - start <= side:
        return [(start, stop)]
    first, last = start // align, -(-stop // align)
    count = -(-(last - first) // (side // align))
    # Every step is at least one cell, so only the outermost cells can be cut by the region.
    bounds = [first + index * (last - first) // count for index in range(count + 1)]
    return [(max(low * align, start), min(high * align, stop)) for low, high in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a region is worked through.

    side: longest side of a tile, px. smallest: where memory runs out, tiles are halved down to
    this side, a multiple of ``align``. align: inner edges of tiles are multiples of this, from
    the plane's (0, 0). workers: tiles at once.
    """

    side: int
    smallest: int
    align: int = 1
    workers: int = 1

    def __post_init__(self) -> None:
        if self.align < 1 or self.smallest < 1 or self.smallest % self.align:
            raise ValueError(f"tiles of {self.smallest} px have no edges every {self.align} px")
        if self.side < self.smallest or self.workers < 1:
            raise ValueError(f"{self.workers} workers cannot halve {self.side} to {self.smallest}")

    def halved(self, longest: int) -> Tiling:
        """For tiles half as long as ``longest``, which memory did not hold."""
        half = min(self.side, longest) // 2 // self.align * self.align
        return replace(self, side=max(half, self.smallest))


def run_tiles(
    region: Region,
    tiling: Tiling,
    work: Callable[[Region], None],
    progress: Progress,
    *,
    exhausted: tuple[type[BaseException], ...] = (MemoryError,),
    is_empty: Callable[[Region], bool] | None = None,
    share: tuple[float, float] = (0.0, 1.0),
) -> Tiling:
    """Work through a region tile by tile; where memory runs out, go on with smaller tiles.

    When a tile fails for want of memory, those that run are waited for, the side is halved, and
    the work goes on with what is not done. Tiles do not overlap.

    Args:
        region: What has to be covered, in pixels.
        tiling: The size of the tiles at first, and how many run at once.
        work: Does one tile; called from threads, or from this one if there is one worker. It is
            called again for the parts of a tile at which it ran out of memory.
        progress: Advanced in this thread by the pixels done; checked before every tile.
        exhausted: The errors that a smaller tile may avoid. That of a tile which is no longer
            than the smallest ends the work.
        is_empty: Whether a tile needs no work; such tiles count as done. None works on all.
        share: The part of the progress's stage that this region is, from and to (0-1).

    Returns:
        The tiling at the end, to go on with in the next region.

    Raises:
        StoppedError: ``progress`` ended the work.

    Any other error of ``work`` is raised on. However this ends, no tile runs any longer.
    """
    stopped = threading.Event()
    failed: list[int] = []

    def attempt(tile: Region) -> bool:
        """Whether the tile is done; after one has failed, the others are not begun."""
        if stopped.is_set():
            return False
        try:
            progress.check()
            if is_empty is None or not is_empty(tile):
                work(tile)
        except exhausted:
            stopped.set()
            if _longer(tile) <= tiling.smallest:
                raise
            # The error itself is dropped: its frames hold the arrays for which there is no room.
            failed.append(_longer(tile))
            return False
        except BaseException:  # raised again; the tiles that wait must not begin meanwhile
            stopped.set()
            raise
        return True

    waiting, pixels = even_tiles(region, tiling.side, align=tiling.align), 0
    while waiting:
        left = []
        with ExitStack() as stack:
            outcomes: Iterator[bool] = map(attempt, waiting)
            if tiling.workers > 1 and len(waiting) > 1:
                pool = stack.enter_context(ThreadPoolExecutor(min(tiling.workers, len(waiting))))
                # Before the pool is waited for: what has not begun by then must not.
                stack.callback(stopped.set)
                outcomes = pool.map(attempt, waiting)
            for tile, done in zip(waiting, outcomes, strict=True):
                if not done:
                    left.append(tile)
                    continue
                pixels += tile.pixels
                progress.advance(share[0] + (share[1] - share[0]) * pixels / region.pixels)
        if failed:
            # Even tiles may be shorter than the side: half of what was too long.
            tiling = tiling.halved(min(failed))
        waiting = tuple(
            part for tile in left for part in even_tiles(tile, tiling.side, align=tiling.align)
        )
        stopped.clear()
        failed.clear()
    return tiling


def _longer(tile: Region) -> int:
    return max(tile.width, tile.height)
