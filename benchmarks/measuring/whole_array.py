"""A fusion as it is commonly written: the whole target as one array, from Pillow to Pillow.

Usage: python -m benchmarks.measuring.whole_array TARGET SOURCE OUTPUT QUALITY

It looks at the same faces with the same engine, and renders the field over all of the picture
at once. The reference for what streaming saves.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measuring.studio_runs import Studio
from common.progress import Progress
from common.types import ByteArray, Region, Size
from fusion.engines.base import FaceView, Pair
from fusion.engines.registry import create_engine
from fusion.field import Backdrop
from fusion.request import Blend
from preprocess.window import Window


def fuse(target: Path, source: Path, output: Path, quality: int) -> None:
    """Fuse the largest faces of two sRGB pictures of 8 bits with ratio 1."""
    studio = Studio()
    engine = create_engine("mesh")
    pixels = _load(target)
    seen = _view(studio, target, pixels)
    blend = Blend(1.0)
    spacing = seen.face.quality.size / engine.sight(blend).target_px
    seen = FaceView(seen.face, seen.window.shrunk(spacing), seen.picture)
    pair = Pair(_view(studio, source, _load(source)), seen, seen.face.quality.size)
    (field,) = engine.prepare([pair], blend, Progress())
    values = pixels.astype(np.float32) / np.float32(255)
    whole = Region.whole(seen.picture)
    fused = field.render(Backdrop(values, whole), whole, seen.picture)
    rounded = np.rint(np.clip(fused, 0, 1) * np.float32(255)).astype(np.uint8)
    Image.fromarray(rounded).save(output, quality=quality, subsampling=0)


def _load(file: Path) -> ByteArray:
    Image.MAX_IMAGE_PIXELS = None  # the studio has its own limit
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def _view(studio: Studio, file: Path, pixels: ByteArray) -> FaceView:
    size = Size(pixels.shape[1], pixels.shape[0])
    return FaceView(
        studio.portrait_face(file), Window.of(pixels, Region.whole(size), size, size), size
    )


if __name__ == "__main__":
    given, wanted, made = map(Path, sys.argv[1:4])
    fuse(given, wanted, made, int(sys.argv[4]))
