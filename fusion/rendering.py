"""Fields rendered onto the target: strip by strip, tile by tile, within a budget of memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from common.progress import Progress
from common.types import PixelArray, Region, Size, separated
from fusion.field import BLOCK, FusionField
from fusion.memory import Budget
from preprocess.patch import Patch
from preprocess.rendition import Rendition, Strip
from preprocess.scratch import Scratch
from preprocess.tiling import Tiling, run_tiles, tile_side

_MIB = 2**20
_THREADS = 4
_LARGEST_TILE = 4 * BLOCK
_BYTES_PER_TILE_PIXEL = 150  # the arrays of a block's computation, float32
_TILE_SHARE = 0.25  # of the spare memory, for the tiles that are rendered at once
_STRIP_SHARE = 0.125  # for the rows that they lie in
_PATCH_SHARE = 0.25  # for all patches that stay in memory; beyond that they go to disk
_LARGEST_STRIP = 64 * _MIB


def changing(fields: Sequence[FusionField], at: Size, window: Region) -> tuple[Region, ...]:
    """Where pixels may change: upright rectangles that do not overlap.

    Args:
        fields: Laid over the picture one after the other.
        at: Its size.
        window: The part of it that will be seen; nothing else counts.
    """
    return separated(field.bounds(at).intersect(window) for field in fields)


def render(
    base: Rendition,
    fields: Sequence[FusionField],
    regions: Sequence[Region],
    budget: Budget,
    progress: Progress,
) -> tuple[Patch, ...]:
    """All changed pixels of the output, as patches that do not overlap.

    Args:
        base: The target at the output's scale.
        fields: Laid over it one after the other.
        regions: What `changing` answers.
        budget: Decides on the size of strips and tiles, and which patches go to disk.
        progress: Stages read and render.

    Raises:
        UnreadableImageError: The target's data are damaged.
        DiskFullError: No room for a patch that is too large for the memory.
        MemoryError: Memory ran out at the smallest tile.
        StoppedError: ``progress`` ended the work.
    """
    painter = _Painter(base, fields, budget, progress, sum(region.pixels for region in regions))
    patches = [painter.patch(region) for region in regions]
    return tuple(patch for patch in patches if patch is not None)


class _Painter:
    """Renders region after region; goes on with the tiling that memory allowed before.

    Args:
        base, fields, budget, progress: See `render`.
        total: Pixels of all regions.
    """

    def __init__(
        self,
        base: Rendition,
        fields: Sequence[FusionField],
        budget: Budget,
        progress: Progress,
        total: int,
    ) -> None:
        self._base = base
        self._fields = fields
        self._progress = progress
        self._total = total
        self._done = 0
        self._spare = int(budget.spare_mb() * _MIB)
        workers = min(_THREADS, os.cpu_count() or 1)
        free = int(self._spare * _TILE_SHARE / workers)
        side = tile_side(free, _BYTES_PER_TILE_PIXEL, BLOCK, _LARGEST_TILE, BLOCK)
        self._tiling = Tiling(side, BLOCK, BLOCK, workers)

    def patch(self, region: Region) -> Patch | None:
        """One upright region, in memory or on disk; None where nothing changed."""
        stored = self._base.stored_region(region)
        changes = _Changes(stored)
        rows = self._rows(region, changes)
        pixel = self._base.bytes_per_pixel
        if self._total * pixel > self._spare * _PATCH_SHARE:
            scratch = Scratch.of_rows(
                stored.size, self._base.channels, self._base.dtype, rows, "the fused face"
            )
            return None if changes.box.is_empty else Patch(stored, scratch)
        pixels = np.concatenate(list(rows))
        if changes.box.is_empty:
            return None
        return Patch(changes.box, np.ascontiguousarray(pixels[changes.box.within(stored)]))

    def _rows(self, region: Region, changes: _Changes) -> Iterator[PixelArray]:
        """The region's strips, fused, as they are stored."""
        stored = self._base.stored_region(region)
        affordable = min(self._spare * _STRIP_SHARE, _LARGEST_STRIP)
        rows = int(affordable / (stored.width * self._base.bytes_per_pixel)) // BLOCK * BLOCK
        strips = self._base.strips(region, max(rows, BLOCK))
        while True:
            with self._progress.stage("read"):
                strip = next(strips, None)
            if strip is None:
                return
            with self._progress.stage("render"):
                self._fuse(strip)
                pixels = strip.stored()
            changes.note(strip, pixels)
            yield pixels

    def _fuse(self, strip: Strip) -> None:
        """Fuse one strip in place."""
        at = self._base.size
        bounds = [(field, field.bounds(at)) for field in self._fields]
        highest = np.float32(np.iinfo(strip.pixels.dtype).max)

        def work(tile: Region) -> None:
            place = tile.within(strip.region)
            values = strip.pixels[place].astype(np.float32) / highest
            with memory_errors():
                for field, bound in bounds:
                    if not bound.intersect(tile).is_empty:
                        values = field.render(values, tile, at)
            numbers = np.rint(np.clip(values, 0.0, 1.0) * highest)
            strip.pixels[place] = numbers.astype(strip.pixels.dtype)

        def is_empty(tile: Region) -> bool:
            return all(bound.intersect(tile).is_empty for _, bound in bounds)

        after = self._done + strip.region.pixels
        self._tiling = run_tiles(
            strip.region,
            self._tiling,
            work,
            self._progress,
            is_empty=is_empty,
            share=(self._done / self._total, after / self._total),
        )
        self._done = after


class _Changes:
    """The smallest rectangle of the stored picture that holds all changed pixels."""

    def __init__(self, stored: Region) -> None:
        self.box = Region(stored.x, stored.y, 0, 0)

    def note(self, strip: Strip, pixels: PixelArray) -> None:
        changed = (pixels != strip.original).any(axis=2)
        rows, columns = (_extent(changed.any(axis=axis)) for axis in (1, 0))
        if rows is None or columns is None:
            return
        place = strip.stored_region
        box = Region(
            place.x + columns[0],
            place.y + rows[0],
            columns[1] - columns[0],
            rows[1] - rows[0],
        )
        self.box = box if self.box.is_empty else self.box.union(box)


def _extent(flags: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First set flag and the one after the last."""
    found = np.flatnonzero(flags)
    return (int(found[0]), int(found[-1]) + 1) if len(found) else None


@contextmanager
def memory_errors() -> Iterator[None]:
    """OpenCV's failure to get memory becomes Python's."""
    try:
        yield
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise
