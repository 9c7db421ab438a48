"""Enlarging: Lanczos3 in linear light, strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray, PixelArray, Size
from preprocess import transfer

_SUPPORT = 3  # of the kernel, pixels of the smaller picture (of the larger one where it shrinks)
_ROWS = 128  # of the larger picture at once
_THREADS = 4
_LEAST_OPACITY = 1e-6

ReadRows = Callable[[int, int], PixelArray]
"""Called with (first row, rows after the last) in ascending order; answers h x W x C."""


def enlarged(
    read: ReadRows, size: Size, goal: Size, *, has_alpha: bool, is_light: bool
) -> Iterator[PixelArray]:
    """A picture in another size, in strips from the top.

    Lanczos3 (Duchon, 1979), computed by Pillow. Adding up light is what a lens does: done on
    encoded values, edges between dark and bright grow darker than they are. But in linear light
    the kernel's outer lobes, three percent of an edge's height, would draw a line of level 49 of
    255 into black beside white; so no value leaves the range of the 3 x 3 pixels around its
    place, as far as those are opaque. The transfer curve is sRGB's whatever the profile says;
    that of other profiles differs too little to be seen here. Colours are weighted by their
    opacity, so that those that transparency hides do not bleed into edges.

    Args:
        read: Rows of the picture, uint8 or uint16; each row is asked for once.
        size: Of the picture.
        goal: Of the enlarged picture; at least one side is longer.
        has_alpha: Whether the last channel is opacity.
        is_light: Whether the numbers stand for light; those of inks are interpolated as they are.

    Yields:
        h x goal.width x C in the depth of the picture, ``goal.height`` rows in all.
    """
    reach = _SUPPORT * max(1.0, size.height / goal.height) + 1
    held, first = read(0, min(size.height, _ROWS)), 0
    with ThreadPoolExecutor(_THREADS) as threads:
        for top in range(0, goal.height, _ROWS):
            bottom = min(top + _ROWS, goal.height)
            upper, lower = (edge * size.height / goal.height for edge in (top, bottom))
            start = max(0, math.floor(upper - reach))
            stop = min(size.height, math.ceil(lower + reach))
            known = first + len(held)
            if stop > known:
                held = np.concatenate([held[start - first :], read(known, stop)])
            else:
                held = held[start - first :]
            first = start
            light = _to_light(held[: stop - start], has_alpha, is_light)
            box = (0.0, upper - start, float(size.width), lower - start)
            solid = light[..., -1] >= 1 if has_alpha else np.ones(light.shape[:2], bool)
            work = partial(_resized, size=(goal.width, bottom - top), box=box, solid=solid)
            planes = threads.map(work, np.moveaxis(light, 2, 0))
            yield _to_numbers(np.stack(list(planes), axis=2), held.dtype.type, has_alpha, is_light)


def _resized(
    plane: FloatArray,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    solid: NDArray[np.bool_],
) -> FloatArray:
    """One channel of ``box`` (edges, pixels) in another size, without ringing where ``solid``.

    Beside transparency colours weighted by opacity may overshoot: the opacity does so, too, and
    they are divided by it.
    """
    from PIL import Image

    plane = np.ascontiguousarray(plane)
    resized = Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS, box=box)
    values = np.asarray(resized, np.float32)
    rows, columns = (
        np.floor(low + (np.arange(count) + 0.5) * (high - low) / count).astype(np.intp)
        for low, high, count in ((box[1], box[3], size[1]), (box[0], box[2], size[0]))
    )
    around = np.ones((3, 3), np.uint8)
    lowest, highest = (
        extreme(plane, around).take(rows, 0).take(columns, 1) for extreme in (cv2.erode, cv2.dilate)
    )
    steady = np.clip(values, lowest, highest)
    if solid.all():
        return steady
    inside = cv2.erode(solid.astype(np.uint8), around).take(rows, 0).take(columns, 1) > 0
    return np.where(inside, steady, values)


def _to_light(pixels: PixelArray, has_alpha: bool, is_light: bool) -> FloatArray:
    """Linear light in [0, 1], weighted by the opacity in the last channel."""
    deepest = np.float32(np.iinfo(pixels.dtype).max)
    if not has_alpha:
        return _linear(pixels) if is_light else pixels / deepest
    colours, alpha = pixels[..., :-1], pixels[..., -1:] / deepest
    light = _linear(colours) if is_light else colours / deepest
    return np.concatenate([light * alpha, alpha], axis=2, dtype=np.float32)


def _to_numbers(
    light: FloatArray, depth: type[np.unsignedinteger], has_alpha: bool, is_light: bool
) -> PixelArray:
    """The way back; overshoot is clipped."""
    deepest = np.float32(np.iinfo(depth).max)
    if not has_alpha:
        return _encoded(light, depth, is_light)
    alpha = light[..., -1:]
    # Before anything is clipped: colours and opacity overshoot alike.
    colours = np.asarray(light[..., :-1] / np.maximum(alpha, _LEAST_OPACITY), np.float32)
    numbers = np.rint(np.clip(alpha, 0.0, 1.0) * deepest).astype(depth)
    return np.concatenate([_encoded(colours, depth, is_light), numbers], axis=2, dtype=depth)


def _encoded(colours: FloatArray, depth: type[np.unsignedinteger], is_light: bool) -> PixelArray:
    colours = np.asarray(np.clip(colours, 0.0, 1.0), np.float32)
    if is_light and depth is np.uint8:
        index = np.rint(colours * np.float32(65_535)).astype(np.uint16)
        return np.asarray(_encode_table()[index])
    encoded = transfer.to_encoded(colours) if is_light else colours
    return np.asarray(np.rint(encoded * np.float32(np.iinfo(depth).max)).astype(depth))


def _linear(pixels: PixelArray) -> FloatArray:
    if pixels.dtype == np.uint8:
        return np.asarray(_decode_table()[pixels], np.float32)
    return transfer.to_linear(pixels / np.float32(65_535))


@lru_cache(maxsize=1)
def _decode_table() -> FloatArray:
    """Linear light of the 256 values."""
    return transfer.to_linear(np.arange(256, dtype=np.float32) / np.float32(255))


@lru_cache(maxsize=1)
def _encode_table() -> PixelArray:
    """8 bit values of 65536 steps of light: near black a step is a twentieth of a level."""
    light = np.arange(65_536, dtype=np.float32) / np.float32(65_535)
    encoded = transfer.to_encoded(light.reshape(256, 256)).ravel()
    return np.asarray(np.rint(encoded * np.float32(255)).astype(np.uint8))
