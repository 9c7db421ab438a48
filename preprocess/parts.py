"""Parts of a picture read into memory, all in one pass of the decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from common.progress import Progress
from common.types import PixelArray, Region, Size
from preprocess.apart import Watch, read_apart
from preprocess.image_pipeline import Decoded, stepwise, stored_numbers
from preprocess.image_source import Header, vips
from preprocess.strips import array_of

if TYPE_CHECKING:
    import pyvips

_STEP_ROWS = 256


def crop(image: pyvips.Image, region: Region) -> pyvips.Image:
    """A region of a picture."""
    return image.crop(region.x, region.y, region.width, region.height)


def read_parts(
    header: Header,
    at: Size,
    parts: Sequence[Region],
    source: Decoded | None,
    progress: Progress | None,
) -> list[pyvips.Image]:
    """Regions of the upright picture at size ``at``, all from one pass of the decoder."""
    stored = [header.orientation.stored_region(part, at) for part in parts]

    def read(watched: Watch) -> list[pyvips.Image]:
        if len(stored) > 1:
            return _read_several(header, at, stored, source)
        image = watched(crop(stored_numbers(header, at, source), stored[0]))
        return [_in_memory(array_of(image), image)]

    return read_apart(read, progress)


def _read_several(
    header: Header, at: Size, stored: Sequence[Region], source: Decoded | None
) -> list[pyvips.Image]:
    whole = reduce(Region.union, stored)
    image = stepwise(header, whole, at, Progress(), source)
    depth = np.uint16 if header.depth == 16 else np.uint8
    arrays = [np.empty((part.height, part.width, image.bands), depth) for part in stored]
    for rows in _bands(whole):
        touched = [
            (part, array)
            for part, array in zip(stored, arrays, strict=True)
            if not part.intersect(rows).is_empty
        ]
        if not touched:
            continue
        left = min(part.x for part, _ in touched)
        right = max(part.right for part, _ in touched)
        band = Region(left, rows.y, right - left, rows.height)
        pixels = array_of(
            crop(image, Region(left - whole.x, rows.y - whole.y, *band.as_list()[2:]))
        )
        for part, array in touched:
            common = part.intersect(band)
            array[common.within(part)] = pixels[common.within(band)]
    return [_in_memory(array, image) for array in arrays]


def _bands(region: Region) -> Iterator[Region]:
    for top in range(region.y, region.bottom, _STEP_ROWS):
        rows = min(_STEP_ROWS, region.bottom - top)
        yield Region(region.x, top, region.width, rows)


def _in_memory(pixels: PixelArray, like: pyvips.Image) -> pyvips.Image:
    image = vips().Image.new_from_array(np.ascontiguousarray(pixels))
    image = image.copy(interpretation=like.interpretation)
    if "icc-profile-data" in like.get_fields():
        blob = vips().GValue.blob_type
        image.set_type(blob, "icc-profile-data", like.get("icc-profile-data"))
    return image
