"""Layers rendered onto the target: strip by strip, tile by tile, within a budget of memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.progress import Progress
from common.types import FloatArray, PixelArray, Region, Size, separated
from fusion.field import BLOCK, Backdrop, Layer
from fusion.memory import Budget
from preprocess.patch import Patch
from preprocess.rendition import Rendition
from preprocess.scratch import Scratch
from preprocess.strips import Strip
from preprocess.tiling import Tiling, run_tiles

_MIB = 2**20
_THREADS = 4
_LARGEST_TILE = 4 * BLOCK
_BYTES_PER_TILE_PIXEL = 150  # the arrays of a block's computation, float32
_BYTES_PER_SEEN_PIXEL = 24  # composed for a layer that looks around, and what it is put into
_TILE_SHARE = 0.25  # of the spare memory, for the tiles that are rendered at once
_STRIP_SHARE = 0.125  # for the rows that they lie in
_PATCH_SHARE = 0.25  # for all patches that stay in memory; beyond that they go to disk
_BLOCK_SHARE = 0.125  # for blocks that more than one tile looks at
_LARGEST_STRIP = 64 * _MIB
_FEWEST_BLOCKS = 16  # for each layer: with less, each composes anew what those below it show
_MOST_BLOCKS = 192 * _MIB
_NARROWEST_BAND = 4 * BLOCK
_MARGIN_ROWS = 2  # rows of a strip for each row of its margin: those are rendered more than once


def workers_here() -> int:
    """How many tiles are rendered at once."""
    return min(_THREADS, os.cpu_count() or 1)


def changing(layers: Sequence[Layer], at: Size, window: Region) -> tuple[Region, ...]:
    """Where pixels may change: upright rectangles that do not overlap.

    Args:
        layers: Laid over the picture one after the other.
        at: Its size.
        window: The part of it that will be seen; nothing else counts.
    """
    return separated(layer.bounds(at).intersect(window) for layer in layers)


def render(
    base: Rendition,
    layers: Sequence[Layer],
    regions: Sequence[Region],
    budget: Budget,
    progress: Progress,
) -> tuple[Patch, ...]:
    """All changed pixels of the output, as patches that do not overlap.

    Args:
        base: The target at the output's scale.
        layers: Laid over it one after the other.
        regions: What `changing` answers.
        budget: Decides on the size of strips and tiles, and which patches go to disk.
        progress: Stages read and render.

    Raises:
        UnreadableImageError: The target's data are damaged.
        DiskFullError: No room for a patch that is too large for the memory.
        MemoryError: Memory ran out at the smallest tile.
        StoppedError: ``progress`` ended the work.
    """
    painter = _Painter(base, layers, budget, progress, sum(region.pixels for region in regions))
    patches = [painter.patch(band) for region in regions for band in painter.bands(region)]
    return tuple(patch for patch in patches if patch is not None)


class _Painter:
    """Renders region after region; goes on with the tiling that memory allowed before.

    Args:
        base, layers, budget, progress: See `render`.
        total: Pixels of all regions.
    """

    def __init__(
        self,
        base: Rendition,
        layers: Sequence[Layer],
        budget: Budget,
        progress: Progress,
        total: int,
    ) -> None:
        self._base = base
        self._layers = layers
        self._progress = progress
        self._total = total
        self._done = 0
        self._spare = int(budget.spare_mb() * _MIB)
        workers = workers_here()
        # What the lowest layer looks at is read as it is stored; only others need it composed.
        seen = _total_reach(layers[1:], base.size, Region.whole(base.size))
        side = _tile_side(int(self._spare * _TILE_SHARE / workers), seen)
        self._tiling = Tiling(side, BLOCK, BLOCK, workers)

    def bands(self, region: Region) -> list[Region]:
        """The region, in narrower parts where enough rows with what layers look at do not fit.

        Each is a pass of the decoder, but only faces of thousands of pixels in little memory
        need more than one.
        """
        margin = self._margin(region)
        stored = self._base.stored_region(region)
        rows = min(BLOCK + _MARGIN_ROWS * margin, stored.height)
        columns = int(self._affordable / self._pixel_bytes / (rows + 2 * margin)) - 2 * margin
        if margin == 0 or columns >= stored.width:
            return [region]
        return self._base.bands(region, max(columns // BLOCK * BLOCK, _NARROWEST_BAND))

    def patch(self, region: Region) -> Patch | None:
        """One upright region, in memory or on disk; None where nothing changed."""
        stored = self._base.stored_region(region)
        changes = _Changes(stored)
        rows = self._rows(region, changes)
        pixel = self._base.bytes_per_pixel
        if self._total * pixel > self._spare * _PATCH_SHARE:
            scratch = Scratch.of_rows(
                stored.size, self._base.channels, self._base.dtype, rows, "the fused picture"
            )
            return None if changes.box.is_empty else Patch(stored, scratch)
        pixels = np.concatenate(list(rows))
        if changes.box.is_empty:
            return None
        return Patch(changes.box, np.ascontiguousarray(pixels[changes.box.within(stored)]))

    @property
    def _affordable(self) -> float:
        """Bytes that the rows in memory may take."""
        return min(self._spare * _STRIP_SHARE, _LARGEST_STRIP)

    @property
    def _pixel_bytes(self) -> int:
        """What a pixel of those rows takes: its own channels, and inks also as colours."""
        inks = self._base.channels == 4
        return self._base.bytes_per_pixel + 3 * self._base.dtype.itemsize * inks

    def _margin(self, region: Region) -> int:
        return _total_reach(self._layers, self._base.size, region)

    def _rows(self, region: Region, changes: _Changes) -> Iterator[PixelArray]:
        """The region's strips, fused, as they are stored."""
        margin = self._margin(region)
        width = self._base.stored_region(region.grow(margin).clip(self._base.size)).width
        rows = int(self._affordable / (width * self._pixel_bytes)) - 2 * margin
        strips = self._base.strips(
            region, max(rows // BLOCK * BLOCK, BLOCK), margin, self._progress
        )
        while True:
            with self._progress.stage("read"):
                strip = next(strips, None)
            if strip is None:
                return
            with self._progress.stage("render"):
                self._fuse(strip)
                pixels = strip.stored()
            self._progress.check()
            changes.note(strip, pixels)
            self._progress.check()
            yield pixels

    def _fuse(self, strip: Strip) -> None:
        """Fuse one strip in place."""
        at = self._base.size
        kept = int(min(self._spare * _BLOCK_SHARE, _MOST_BLOCKS))
        stack = Stack(self._layers, at, Backdrop(strip.under, strip.around), strip.region, kept)

        def work(tile: Region) -> None:
            with memory_errors():
                values = stack.composed(tile)
            strip.pixels[tile.within(strip.region)] = numbers_of(values, strip.pixels.dtype)

        def is_empty(tile: Region) -> bool:
            return all(layer.bounds(at).intersect(tile).is_empty for layer in self._layers)

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


def numbers_of(values: FloatArray, dtype: np.dtype[Any]) -> PixelArray:
    """Values in [0, 1] as the whole numbers of a picture, uint8 or uint16."""
    highest = np.float32(np.iinfo(dtype).max)
    numbers: PixelArray = np.rint(np.clip(values, 0.0, 1.0) * highest).astype(dtype)
    return numbers


class Stack:
    """Layers one over the other over a part of a picture; safe to ask from several threads.

    What a layer looks at around its own pixels is composed of whole blocks, and each of those
    only once while there is room: neighbouring tiles look at the same ones.

    Args:
        layers: From the lowest.
        at: Size of the output picture.
        base: What lies under them all, with the margin that they need around the region.
        region: The part.
        room: Bytes that blocks may take, but for a few of each layer.
    """

    def __init__(
        self, layers: Sequence[Layer], at: Size, base: Backdrop, region: Region, room: int
    ) -> None:
        self._at = at
        self._layers = layers
        self._bounds = [layer.bounds(at) for layer in layers]
        self._base = base
        # Larger blocks where each needs far more than itself to be composed.
        far = any(layer.reach(at) > BLOCK // 2 for layer in layers[1:])
        self._side = 2 * BLOCK if far else BLOCK
        bytes_each = self._side**2 * 3 * np.dtype(np.float32).itemsize
        self._room = max(room // bytes_each, _FEWEST_BLOCKS * len(layers))
        self._blocks: OrderedDict[tuple[int, Region], Future[FloatArray]] = OrderedDict()
        self._lock = threading.Lock()
        # How far each number of layers can be composed: as far as those above it look.
        self._within = [region] * (len(layers) + 1)
        for count in range(len(layers), 0, -1):
            above, bound = self._within[count], self._bounds[count - 1]
            grown = above.intersect(bound)
            if not grown.is_empty:
                grown = above.union(grown.grow(layers[count - 1].reach(at)).clip(at))
            self._within[count - 1] = above if grown.is_empty else grown

    def composed(self, region: Region) -> FloatArray:
        """The pixels of a part of the region with all layers on it, H x W x 3 in [0, 1]."""
        return self._composed(len(self._layers), region)

    def _composed(self, count: int, region: Region) -> FloatArray:
        """Likewise with the lowest ``count`` layers."""
        count = self._highest(count, region)
        if count == 0:
            return self._base.read(region)
        layer = self._layers[count - 1]
        inner = self._bounds[count - 1].intersect(region)
        seen = inner.grow(layer.reach(self._at)).clip(self._at)
        changed = layer.render(self._under(count - 1, seen, inner), inner, self._at)
        if inner == region:
            return changed
        values = self._composed(count - 1, region)
        values[inner.within(region)] = changed
        return values

    def _under(self, count: int, seen: Region, inner: Region) -> Backdrop:
        """What a layer over the lowest ``count`` looks at to render ``inner``."""
        if self._highest(count, seen) == 0:
            return self._base
        if seen == inner:
            return Backdrop(self._composed(count, inner), inner)
        values = np.empty((seen.height, seen.width, 3), np.float32)
        side = self._side
        for part in seen.blocks(side):
            if self._highest(count, part) == 0:
                values[part.within(seen)] = self._base.read(part)
                continue
            whole = Region(part.x // side * side, part.y // side * side, side, side)
            whole = whole.intersect(self._within[count])
            values[part.within(seen)] = self._block(count, whole)[part.within(whole)]
        return Backdrop(values, seen)

    def _highest(self, count: int, region: Region) -> int:
        """How many of the lowest ``count`` layers are left without those that miss a region."""
        while count and self._bounds[count - 1].intersect(region).is_empty:
            count -= 1
        return count

    def _block(self, count: int, block: Region) -> FloatArray:
        """One block under a layer; whoever asks for it first computes it for the others."""
        count = self._highest(count, block)
        key = (count, block)
        with self._lock:
            known = self._blocks.get(key)
            if known is None:
                mine: Future[FloatArray] = Future()
                self._blocks[key] = mine
                while len(self._blocks) > self._room:
                    self._blocks.popitem(last=False)
            else:
                self._blocks.move_to_end(key)
        if known is not None:
            # Blocks wait for blocks under fewer layers alone, so that never two for each other.
            return known.result()
        try:
            values = self._composed(count, block)
        except BaseException as error:  # raised again; those who wait for it must not wait on
            with self._lock:
                self._blocks.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(values)
        return values


def _total_reach(layers: Sequence[Layer], at: Size, region: Region) -> int:
    """How far around a region all layers together look."""
    reach = 0
    for layer in reversed(layers):
        if not layer.bounds(at).intersect(region.grow(reach)).is_empty:
            reach += layer.reach(at)
    return reach


def _tile_side(free_bytes: int, reach: int) -> int:
    """The side of the largest tile whose work fits, a multiple of `BLOCK`; at least that.

    Args:
        free_bytes: What one tile may take.
        reach: How far around it pixels are composed.
    """
    for side in range(_LARGEST_TILE, BLOCK, -BLOCK):
        own = _BYTES_PER_TILE_PIXEL * side**2
        if own + _BYTES_PER_SEEN_PIXEL * (side + 2 * reach) ** 2 * (reach > 0) <= free_bytes:
            return side
    return BLOCK


class _Changes:
    """The smallest rectangle of the stored picture that holds all changed pixels."""

    def __init__(self, stored: Region) -> None:
        self.box = Region(stored.x, stored.y, 0, 0)

    def note(self, strip: Strip, pixels: PixelArray) -> None:
        changed = pixels[..., 0] != strip.original[..., 0]
        for channel in range(1, pixels.shape[2]):  # four times as fast as numpy's any()
            changed |= pixels[..., channel] != strip.original[..., channel]
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
