"""Rectangles cut into tiles: even ones, soft seams, and work that shrinks when memory runs out."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from common.progress import Progress
from common.types import FloatArray, Region

_WEIGHT_STEPS = 2**12


def even_tiles(region: Region, side: int, overlap: int = 0, align: int = 1) -> tuple[Region, ...]:
    """Cut a region into as few rows and columns of tiles as ``side`` allows, of even size.

    The tiles cover the region exactly and form a complete grid, in reading order. They differ
    in size by at most ``align``, and where the region's own edge cuts a cell of that grid.

    Args:
        region: Anywhere in the plane; of an empty one there are no tiles.
        side: Longest side of a tile, px.
        overlap: Pixels that neighbours share at least: rounded up to a multiple of ``align``.
        align: Every edge of a tile that is not the region's is a multiple of this, counted
            from the plane's (0, 0).

    Raises:
        ValueError: ``side`` holds no aligned tile beside its overlap, or a number is negative.
    """
    if align < 1 or overlap < 0:
        raise ValueError(f"an overlap of {overlap} aligned to {align} px is not possible")
    shared = -(-overlap // align)
    if side // align <= shared:
        raise ValueError(
            f"tiles of {side} px cannot overlap by {overlap} px with edges on multiples of {align}"
        )
    if region.is_empty:
        return ()
    columns = _cut(region.x, region.right, side, shared, align)
    rows = _cut(region.y, region.bottom, side, shared, align)
    return tuple(
        Region(left, top, right - left, bottom - top)
        for top, bottom in rows
        for left, right in columns
    )


def _cut(start: int, stop: int, side: int, shared: int, align: int) -> list[tuple[int, int]]:
    """Intervals that cover [start, stop), neighbours sharing ``shared`` cells of ``align`` px."""
    if stop - start <= side:
        return [(start, stop)]
    first, last = start // align, -(-stop // align)
    steps = last - first - shared
    count = -(-steps // (side // align - shared))
    # Every step is at least one cell, so only the outermost cells can be cut by the region.
    bounds = [first + index * steps // count for index in range(count + 1)]
    return [
        (max(low * align, start), min((high + shared) * align, stop))
        for low, high in pairwise(bounds)
    ]


def tile_side(
    free_bytes: float, bytes_per_pixel: float, smallest: int, largest: int, align: int = 1
) -> int:
    """The side of the largest square tile whose working set fits.

    Args:
        free_bytes: What one tile may take.
        bytes_per_pixel: What the work holds for each pixel of a tile.
        smallest, largest: Bounds of the answer, multiples of ``align``. The smallest is
            answered even where it does not fit: whoever runs out of memory then says so.
        align: The answer is a multiple of this.

    Raises:
        ValueError: The bounds are not multiples of ``align`` in order, or a tile takes nothing.
    """
    if not 0 < smallest <= largest or smallest % align or largest % align:
        raise ValueError(f"{smallest} to {largest} px are no bounds for sides of {align} px")
    if bytes_per_pixel <= 0:
        raise ValueError(f"a pixel cannot take {bytes_per_pixel} bytes")
    pixels = int(max(free_bytes, 0) / bytes_per_pixel)
    return min(max(math.isqrt(pixels) // align * align, smallest), largest)


@dataclass(frozen=True, slots=True, eq=False)
class Feather:
    """How much each pixel of a tile counts where tiles overlap.

    rows, columns: float32 in [0, 1], the tile's height and width long; a pixel's weight is the
    product of its row's and its column's. The weights of all tiles over a pixel sum to exactly
    1, in float32 and in any order.
    """

    tile: Region
    rows: FloatArray
    columns: FloatArray

    @property
    def weights(self) -> FloatArray:
        """H x W float32."""
        return np.multiply.outer(self.rows, self.columns)


def feather(tiles: Sequence[Region]) -> tuple[Feather, ...]:
    """Weights with half-cosine ramps over the overlaps of a grid of tiles.

    Ramps count in steps of 2**-12, so that products are whole multiples of 2**-24 and add up
    without rounding; the neighbour's ramp is 1 minus the own. Where more than two tiles of a
    row or column share a pixel, the ramps are narrower than the overlap: they never meet.

    Args:
        tiles: A complete grid such as `even_tiles` makes; the answer is in the same order.

    Raises:
        ValueError: The tiles are not a complete grid that covers a rectangle.
    """
    if not tiles:
        return ()
    rows = sorted({(tile.y, tile.bottom) for tile in tiles})
    columns = sorted({(tile.x, tile.right) for tile in tiles})
    if len(set(tiles)) != len(tiles) or len(tiles) != len(rows) * len(columns):
        raise ValueError("the tiles are not a complete grid")
    down, across = _ramps(rows), _ramps(columns)
    return tuple(
        Feather(tile, down[tile.y, tile.bottom], across[tile.x, tile.right]) for tile in tiles
    )


def _ramps(intervals: Sequence[tuple[int, int]]) -> dict[tuple[int, int], FloatArray]:
    """The weight along each of the intervals, which are in ascending order."""
    pairs = list(pairwise(intervals))
    if any(not start < after <= stop < beyond for (start, stop), (after, beyond) in pairs):
        raise ValueError("the tiles leave gaps or lie within each other")
    weights = {one: np.ones(one[1] - one[0], np.float32) for one in intervals}
    # A ramp keeps to its side of the middle between its overlap's centre and the next one's.
    centres = [stop + after for (_, stop), (after, _) in pairs]  # doubled
    middles = [(here + there) // 4 for here, there in pairwise(centres)]
    lows = [intervals[0][0], *middles]
    highs = [*middles, intervals[-1][1]]
    for (one, other), low, high in zip(pairs, lows, highs, strict=False):
        begin, end = max(low, other[0]), min(high, one[1])
        ramp = _half_cosine(end - begin)
        weights[one][begin - one[0] : end - one[0]] = 1 - ramp
        weights[one][end - one[0] :] = 0
        weights[other][: begin - other[0]] = 0
        # The next ramp of this tile lies beyond ``end``, so the two never write the same pixel.
        weights[other][begin - other[0] : end - other[0]] = ramp
    return weights


def _half_cosine(length: int) -> FloatArray:
    """From 0 to 1 at the centres of ``length`` pixels, in whole steps."""
    phase = (np.arange(length) + 0.5) / max(length, 1)
    rise = np.rint((0.5 - 0.5 * np.cos(np.pi * phase)) * _WEIGHT_STEPS)
    return (rise / _WEIGHT_STEPS).astype(np.float32)


def mosaic(
    tiles: Sequence[Region],
    work: Callable[[Region], FloatArray],
    base: Callable[[Region], FloatArray],
    *,
    is_empty: Callable[[Region], bool] | None = None,
    channels: int = 3,
) -> Iterator[tuple[Region, FloatArray]]:
    """Put overlapping tiles together with soft seams, from the top down.

    One row of tiles is held at a time: what is finished is yielded before the next is computed.
    Where a tile is skipped, its weight goes to ``base``. If all tiles answer the numbers of a
    picture of 8 or 16 bits, rounding gives exactly that picture.

    Args:
        tiles: A complete grid such as `even_tiles` makes.
        work: Computes a tile, H x W x C float32.
        base: What is there without the work, in the same form.
        is_empty: Whether a tile needs no work; None works on all.
        channels: C.

    Yields:
        (region, H x W x C float32) as wide as all tiles, in order, without overlap. Strips
        under which every tile was skipped are left out: they are ``base`` unchanged.

    Raises:
        ValueError: The tiles are not a complete grid.
    """
    rows: dict[tuple[int, int], list[Feather]] = {}
    for one in sorted(feather(tiles), key=lambda one: (one.tile.y, one.tile.x)):
        rows.setdefault((one.tile.y, one.tile.bottom), []).append(one)
    if not rows:
        return
    tops, bottoms = zip(*rows, strict=True)
    whole = tiles[0].union(tiles[-1])
    held = _Held.nothing(Region(whole.x, whole.y, whole.width, 0), channels)
    for row, bottom, next_top in zip(rows.values(), bottoms, (*tops[1:], bottoms[-1]), strict=True):
        held = held.reaching(bottom)
        for one in row:
            if is_empty is None or not is_empty(one.tile):
                held.add(one, work(one.tile))
        done, held = held.split(next_top)
        if done.weight.any():
            yield done.region, done.over(base)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Rows of a mosaic that later tiles may still add to: sums H x W x C and weights H x W x 1."""

    region: Region
    sums: FloatArray
    weight: FloatArray

    @classmethod
    def nothing(cls, region: Region, channels: int) -> _Held:
        sums = np.zeros((region.height, region.width, channels), np.float32)
        return cls(region, sums, np.zeros((region.height, region.width, 1), np.float32))

    def reaching(self, bottom: int) -> _Held:
        """With empty rows added down to ``bottom``."""
        region, channels = self.region, self.sums.shape[2]
        below = Region(region.x, region.bottom, region.width, bottom - region.bottom)
        rows = _Held.nothing(below, channels)
        return _Held(
            region.union(below),
            np.concatenate([self.sums, rows.sums]),
            np.concatenate([self.weight, rows.weight]),
        )

    def add(self, one: Feather, pixels: FloatArray) -> None:
        place = one.tile.within(self.region)
        weights = one.weights[..., None]
        self.sums[place] += weights * pixels
        self.weight[place] += weights

    def split(self, row: int) -> tuple[_Held, _Held]:
        """The rows above ``row``, and the others."""
        region, above = self.region, row - self.region.y
        upper = Region(region.x, region.y, region.width, above)
        lower = Region(region.x, row, region.width, region.height - above)
        return (
            _Held(upper, self.sums[:above], self.weight[:above]),
            _Held(lower, self.sums[above:], self.weight[above:]),
        )

    def over(self, base: Callable[[Region], FloatArray]) -> FloatArray:
        if self.weight.min() == 1:
            return self.sums
        return np.asarray(self.sums + (1 - self.weight) * base(self.region), np.float32)


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
