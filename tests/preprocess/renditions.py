"""Renditions as tests use them: upright changes laid in, whole pictures read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.progress import Progress
from common.types import Region, Size
from preprocess.image_file import ImageFile, Patch, Rendition
from tests.preprocess.pictures import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """New pixels, H x W x 3, for an upright region of the output."""

    region: Region
    pixels: Pixels


def laid(base: Rendition, changes: Sequence[Change]) -> list[Patch]:
    patches = []
    for change in changes:
        for strip in base.strips(change.region, 1000):
            strip.pixels[:] = change.pixels[strip.region.within(change.region)]
            patches.append(Patch(strip.stored_region, strip.stored()))
    return patches


def write(
    image: ImageFile,
    output: Path,
    *changes: Change,
    at: Size | None = None,
    window: Region | None = None,
    quality: int | None = 95,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """A picture with changes, written."""
    at = at or image.size
    progress = progress or Progress()
    with image.rendition(at, Progress()) as base:
        patches = laid(base, changes)
        return base.write(output, window or Region.whole(at), patches, quality, progress)


def rendered(image: ImageFile, at: Size, region: Region | None = None, rows: int = 1000) -> Pixels:
    """The numbers that faces are fused in, of a region at any size: H x W x 3."""
    region = region or Region.whole(at)
    dtype = "uint16" if image.depth == 16 else "uint8"
    pixels = np.zeros((region.height, region.width, 3), dtype)
    with image.rendition(at, Progress()) as base:
        for strip in base.strips(region, rows):
            pixels[strip.region.within(region)] = strip.pixels
    return pixels
