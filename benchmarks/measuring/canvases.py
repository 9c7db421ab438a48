"""Large targets out of one portrait: laid into a wide canvas, or enlarged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from common.types import Size
from preprocess.image_source import vips

QUALITY = 92
"""Of the JPEG files made here; from 90 on libvips keeps colour at full resolution."""

_MOST_ROWS = 3450  # of the portrait in a canvas; a face of about 1000 px in one of 4600 x 3061
_SPREAD = 70  # levels from one corner of the background to the other
_GRAIN = 5


def write_canvas(portrait: Path, size: Size, file: Path) -> Path:
    """The portrait in the middle of a canvas that is as busy as a photograph.

    Slow tones with grain and fine waves: a plain one would be decoded and encoded in no time.
    """
    image = _open(portrait)
    scale = min(min(_MOST_ROWS, size.height) / image.height, size.width / image.width)
    face = image.resize(scale)
    places = vips().Image.xyz(size.width, size.height)
    slow = places[0] * (_SPREAD / size.width) + places[1] * (_SPREAD / size.height) + 60
    fine = (places[0] * 0.9).sin() * 12 + (places[1] * 1.3).cos() * 10
    grain = vips().Image.gaussnoise(size.width, size.height, mean=0, sigma=_GRAIN, seed=1)
    paper = slow.bandjoin([slow * 0.9 + 10, slow * 0.8 + 25]) + grain + fine
    paper = paper.cast("uchar").copy(interpretation="srgb")
    left, top = (size.width - face.width) // 2, (size.height - face.height) // 2
    return _write(paper.insert(face, left, top), file)


def write_scaled(portrait: Path, longer: int, most_pixels: float, file: Path) -> Path:
    """The portrait with a longer side of ``longer`` px, or less to stay below ``most_pixels``."""
    image = _open(portrait)
    width, height = image.width, image.height
    scale = min(longer / max(width, height), math.sqrt(most_pixels / (width * height)))
    return _write(image.resize(scale), file)


def _open(portrait: Path) -> Any:
    return vips().Image.new_from_file(str(portrait)).autorot()


def _write(image: Any, file: Path) -> Path:
    if file.suffix == ".jpg":
        image.jpegsave(str(file), Q=QUALITY, keep="none")
    else:
        image.pngsave(str(file), keep="none")
    return file
