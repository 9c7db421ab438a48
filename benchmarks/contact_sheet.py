"""Fuses pairs of portraits and lays source, target and result side by side, to be looked at.

Usage: ./run.sh bench contact_sheet --faces FOLDER --out sheet.png [--pairs TARGET:SOURCE ...]
       [--ratio R] [--mode M] [--shape S] [--expression target|source] [--no-keep-glasses]
       [--crops] [--json FILE]

Each row is one pair; with --crops, squares of the result at its own pixels follow: eyes,
mouth, hairline and jaw. More pairs than fit on one picture go to sheet-2.png and so on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.measuring.blend_options import add_blend_options, blend_of
from benchmarks.measuring.portraits import (
    Pair,
    add_faces_option,
    add_pairs_option,
    parse_pairs,
    require_folder,
)
from benchmarks.measuring.report import add_json_option, table, write_report
from benchmarks.measuring.studio_runs import Studio
from common.types import ByteArray, Face, FloatArray, Region, Size
from fusion.request import Blend, FusionResult
from preprocess import face_topology as topology

FRONTAL = ("a_front", "b_front", "d_front", "f_front")
PAIRS = (
    *(f"{target}:{source}" for target in FRONTAL for source in FRONTAL if target != source),
    "e_turned:a_front",
    "f_smile:e_smile",
)
WIDTH = 1600
GAP = 8
CAPTION = 26
HEAD = (WIDTH - 4 * GAP) // 3
CROP = (WIDTH - 5 * GAP) // 4
HEAD_MARGIN = 0.38  # of the face's size, around its box
ROWS_PER_PAGE = 4
JAW = (172, 397)  # points of the oval half way from ear to chin
BACKGROUND, INK = (24, 24, 26), (230, 230, 230)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    parser.add_argument("--out", type=Path, required=True, help="the sheet, a .png file")
    add_pairs_option(parser, "the fourteen of the project's own review")
    add_blend_options(parser)
    parser.add_argument("--crops", action="store_true", help="add details at 100 %%")
    add_json_option(parser)
    options = parser.parse_args()
    folder = require_folder(parser, options.faces)
    pairs = parse_pairs(folder, options.pairs or PAIRS)
    studio = Studio()
    blend = blend_of(options, studio.settings)
    rows, runs = make_rows(studio, pairs, blend, options.crops)
    files = write_pages(rows, options.out)
    print(table(("pair", "size", "seconds", "warnings"), [cells(run) for run in runs]))
    print("\n".join(str(file) for file in files))
    write_report(options.json, "contact_sheet", {"blend": asdict(blend), "pairs": runs})


def make_rows(
    studio: Studio, pairs: Sequence[Pair], blend: Blend, crops: bool
) -> tuple[list[Image.Image], list[dict[str, Any]]]:
    """Fuse every pair; answers a picture and the figures of each."""
    rows, runs = [], []
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.png"
        for pair in pairs:
            result = studio.fuse(pair.target, pair.source, output, blend=blend)
            rows.append(row(studio, pair, result, crops))
            runs.append({"pair": str(pair), **result.as_dict(), "output": None})
    return rows, runs


def row(studio: Studio, pair: Pair, result: FusionResult, crops: bool) -> Image.Image:
    """One pair: three heads under their names, and four details when wanted."""
    target = next(face for face, used in result.faces if used)
    source, before, after = (
        _File(studio, file) for file in (pair.source, pair.target, result.request.output.path)
    )
    heads = (
        (f"source {pair.source.stem}", source, studio.portrait_face(pair.source)),
        (f"target {pair.target.stem}", before, target),
        (f"result {result.size}, {result.seconds['total']:.2f} s", after, target),
    )
    return layout(heads, details(target) if crops else [])


class Shown(Protocol):
    """A picture that parts are cut from."""

    @property
    def size(self) -> Size: ...

    def read(self, region: Region) -> ByteArray:
        """H x W x 3 uint8 sRGB of a region inside the picture."""
        ...


class _File:
    """A picture in a file."""

    def __init__(self, studio: Studio, file: Path) -> None:
        self._studio = studio
        self._file = file
        self.size = studio.open(file).size

    def read(self, region: Region) -> ByteArray:
        return np.asarray(self._studio.pixels(self._file, region), np.uint8)


def layout(
    heads: Sequence[tuple[str, Shown, Face]], crops: Sequence[tuple[str, FloatArray]]
) -> Image.Image:
    """One row of a sheet.

    Args:
        heads: Three captions, pictures and faces; the last picture is the result.
        crops: Four names and places of the result to be shown at its own pixels, or none.
    """
    height = CAPTION + HEAD + (GAP + CAPTION + CROP if crops else 0)
    picture = Image.new("RGB", (WIDTH, height), BACKGROUND)
    for column, (caption, shown, face) in enumerate(heads):
        left = GAP + column * (HEAD + GAP)
        place(picture, left, 0, caption, head(shown, face))
    result = heads[-1][1]
    top = CAPTION + HEAD + GAP
    for column, (name, middle) in enumerate(crops):
        left = GAP + column * (CROP + GAP)
        place(picture, left, top, f"{name}, 100 %", crop(result, middle))
    return picture


def place(sheet: Image.Image, left: int, top: int, caption: str, pixels: ByteArray) -> None:
    """A caption and the picture that it names, below it."""
    font = ImageFont.load_default(size=16)
    ImageDraw.Draw(sheet).text((left, top + 4), caption, fill=INK, font=font)
    sheet.paste(Image.fromarray(pixels), (left, top + CAPTION))


def head(shown: Shown, face: Face) -> ByteArray:
    """The head in a square of `HEAD` px; what the frame cuts stays dark."""
    half = round(max(face.box.width, face.box.height) * (0.5 + HEAD_MARGIN))
    x, y = face.box.x + face.box.width // 2, face.box.y + face.box.height // 2
    canvas = square(shown, Region(x - half, y - half, 2 * half, 2 * half))
    method = cv2.INTER_AREA if len(canvas) > HEAD else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(canvas, (HEAD, HEAD), interpolation=method), np.uint8)


def details(face: Face) -> list[tuple[str, FloatArray]]:
    """Names and places of what shows a bad fusion first, in pixels of the target."""
    points = face.landmarks[:, :2]
    eyes = points[[*topology.RIGHT_EYE_CORNERS, *topology.LEFT_EYE_CORNERS]].mean(axis=0)
    jaw = max(points[list(JAW)], key=lambda point: float(abs(point[0] - eyes[0])))  # nearer side
    return [
        ("eyes", eyes),
        ("mouth", points[list(topology.MOUTH_CORNERS)].mean(axis=0)),
        ("hairline", points[topology.FOREHEAD]),
        ("jaw", jaw),
    ]


def crop(shown: Shown, middle: FloatArray) -> ByteArray:
    """`CROP` x `CROP` unscaled pixels around a point; what the frame cuts stays dark."""
    return square(shown, Region(int(middle[0]) - CROP // 2, int(middle[1]) - CROP // 2, CROP, CROP))


def square(shown: Shown, region: Region) -> ByteArray:
    """A region that may reach over the frame."""
    seen = region.clip(shown.size)
    canvas = np.full((region.height, region.width, 3), BACKGROUND, np.uint8)
    canvas[seen.within(region)] = shown.read(seen)
    return canvas


def write_pages(rows: Sequence[Image.Image], out: Path) -> list[Path]:
    """The sheet, in as many files as it takes for each to stay readable."""
    files = []
    for first in range(0, len(rows), ROWS_PER_PAGE):
        part = rows[first : first + ROWS_PER_PAGE]
        page = Image.new("RGB", (WIDTH, sum(one.height + GAP for one in part)), BACKGROUND)
        top = 0
        for one in part:
            page.paste(one, (0, top))
            top += one.height + GAP
        number = first // ROWS_PER_PAGE + 1
        file = out if number == 1 else out.with_stem(f"{out.stem}-{number}")
        page.save(file)
        files.append(file)
    return files


def cells(run: dict[str, Any]) -> tuple[str, str, str, str]:
    """A row of the table."""
    size = f"{run['width']}x{run['height']}"
    return run["pair"], size, f"{run['seconds']['total']:.2f}", "; ".join(run["warnings"]) or "-"


if __name__ == "__main__":
    main()
