"""Measures what fusions look like: likeness, shape, light, seams, burnt highlights, detail.

Usage: ./run.sh bench quality --faces FOLDER [--pairs TARGET:SOURCE ...] [--ratios]
       [--ratio R] [--mode M] [--shape S] [--expression target|source] [--no-keep-glasses]
       [--longer PX] [--jobs N] [--sheet FILE.png] [--json FILE]

For every ordered pair of different people, out of the pictures that show one face, at the
target's size (larger pictures are reduced to 2048 px first; --longer 0 keeps them whole):
  source   distance of the result to the source's person (dlib's recogniser; below 0.6 it
           takes two pictures for the same person)
  target   the same to the target's person: large is good
  drift    mean distance of 68 points to the target's, over the distance of the outer eye corners
  mouth    by how much the gap between the lips differs from the target's, over the same
  lids     the same of the gap between the lids
  light    mean CIE Lab distance to the target's light, after a blur of 0.12 face widths
  skin     the same where both show skin
  seam     edges where the fusion fades out, over the target's own there
  blown    percentage points by which more of the face is burnt out
  detail   mean absolute Laplacian at 256 px across the face, over the mean of both inputs'
  x crop   detail finer than 2 px, over what a crop of 256 px would leave of it

--ratios also measures the distance to the source at ratios 0, 0.25, 0.5, 0.75 and 1.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import contact_sheet
from benchmarks.measuring import picture, points68
from benchmarks.measuring.blend_options import add_blend_options, blend_of
from benchmarks.measuring.in_memory import LONGER, Fused, Portrait, Workbench
from benchmarks.measuring.likeness import SAME_PERSON, Recogniser, distance, head
from benchmarks.measuring.picture import Compared
from benchmarks.measuring.points68 import Landmarker
from benchmarks.measuring.portraits import (
    Pair,
    add_faces_option,
    add_pairs_option,
    pairs_of_people,
    parse_pairs,
    person,
    portraits,
    require_folder,
)
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import Studio
from common.types import Face, FloatArray, Region
from fusion.engines.registry import create_engine
from fusion.request import Blend
from preprocess.landmarks import sharpness_of

TITLES = {
    "to_source": "source",
    "to_target": "target",
    "drift": "drift",
    "mouth": "mouth",
    "lids": "lids",
    "light": "light",
    "skin_light": "skin",
    "seam": "seam",
    "blown": "blown",
    "detail": "detail",
    "over_crop": "x crop",
}
FINE = ("drift", "mouth", "lids")  # with three digits
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
LARGE = 700  # px from which a face suffers most from a crop of 256
STEP_FACE = 300  # px across the face when only ratios are compared; the recogniser sees 150


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of one pair; the module's docstring explains them.

    nearest: whose portraits are nearest to the result, of all people's. skin_light: None where
    almost no skin shows. narrower: width of the narrower of both faces, px. steps: distances to
    the source at `STEPS`; empty when not asked for.
    """

    to_source: float
    to_target: float
    nearest: str
    drift: float
    mouth: float
    lids: float
    light: float
    skin_light: float | None
    seam: float
    blown: float
    detail: float
    over_crop: float
    narrower: int
    steps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is measured of which pictures.

    people: everybody who a result may be taken for. longer: see `Workbench`. with_sheet: whether
    rows of a contact sheet are made as well.
    """

    people: tuple[Path, ...]
    blend: Blend
    longer: int | None
    with_steps: bool
    with_sheet: bool


class Meter:
    """Fuses pairs and measures them; remembers who the portraits show.

    Args:
        scratch: A folder for reduced portraits.
    """

    def __init__(self, wanted: Wanted, scratch: Path) -> None:
        self._wanted = wanted
        self._bench = Workbench(Studio(), scratch, wanted.longer)
        self._engine = create_engine("mesh")
        self._recogniser = Recogniser()
        self._landmarker = Landmarker()
        self._known: dict[Path, FloatArray] = {}

    def measure(self, pair: Pair) -> tuple[Quality, Image.Image | None]:
        """The figures of one fusion, and a row of the contact sheet when it is wanted."""
        target, source = (self._bench.portrait(file) for file in (pair.target, pair.source))
        fused = self._bench.fuse(target, source, self._engine, self._wanted.blend)
        quality = self._figures(fused)
        return quality, sheet_row(fused, quality) if self._wanted.with_sheet else None

    def _figures(self, fused: Fused) -> Quality:
        target, source, region = fused.target, fused.source, fused.region
        compared = Compared(
            fused.read(region), target.read(region), region, fused.opacity(), target.face
        )
        described = self._describe(fused, target.face)
        before, after = (self._points(one, target.face) for one in (target, fused))
        return Quality(
            to_source=distance(described, self._who(source)),
            to_target=distance(described, self._who(target)),
            nearest=self._nearest(described),
            drift=points68.drift(before, after),
            mouth=abs(points68.mouth_opening(after) - points68.mouth_opening(before)),
            lids=abs(points68.lid_opening(after) - points68.lid_opening(before)),
            light=picture.light_distance(compared),
            skin_light=picture.skin_light_distance(compared),
            seam=picture.seam_ratio(compared),
            blown=picture.blown_increase(compared),
            detail=2
            * sharpness_of(fused.pixels, target.face.landmarks)
            / (target.sharpness + source.sharpness),
            over_crop=picture.detail_over_crop(compared),
            narrower=min(target.face.box.width, source.face.box.width),
            steps=self._steps(target, source) if self._wanted.with_steps else (),
        )

    def _steps(self, target: Portrait, source: Portrait) -> tuple[float, ...]:
        scale = min(1.0, STEP_FACE / target.face.box.width)
        who = self._who(source)
        found = []
        for ratio in STEPS:
            blend = replace(self._wanted.blend, ratio=ratio)
            fused = self._bench.fuse(target, source, self._engine, blend, scale)
            face = scaled_face(target.face, fused)
            found.append(distance(self._describe(fused, face), who))
        return tuple(found)

    def _nearest(self, described: FloatArray) -> str:
        people = (self._bench.portrait(file) for file in self._wanted.people)
        return min((distance(described, self._who(one)), person(one.file)) for one in people)[1]

    def _who(self, one: Portrait) -> FloatArray:
        if one.file not in self._known:
            self._known[one.file] = self._describe(one, one.face)
        return self._known[one.file]

    def _describe(self, shown: Portrait | Fused, face: Face) -> FloatArray:
        region = head(face, Region.whole(shown.size))
        return self._recogniser.describe(shown.read(region), region, face)

    def _points(self, shown: Portrait | Fused, face: Face) -> FloatArray:
        region = head(face, Region.whole(shown.size))
        return self._landmarker.find(shown.read(region), region, face)


def scaled_face(face: Face, fused: Fused) -> Face:
    """A target's face in pixels of a fusion at another size."""
    own, at = fused.target.size, fused.at
    factor = np.array([at.width / own.width, at.height / own.height], np.float32)
    landmarks = face.landmarks.copy()
    landmarks[:, :2] = (landmarks[:, :2] + 0.5) * factor - 0.5
    return replace(face, landmarks=landmarks, box=face.box.scale(*map(float, factor)))


def sheet_row(fused: Fused, quality: Quality) -> Image.Image:
    """Source, target and result with details, under their most telling figures."""
    target, source = fused.target, fused.source
    caption = (
        f"source {quality.to_source:.2f}, drift {quality.drift:.3f}, light {quality.light:.1f}, "
        f"seam {quality.seam:.2f}"
    )
    heads = (
        (f"source {source.file.stem}", source, source.face),
        (f"target {target.file.stem}", target, target.face),
        (caption, fused, target.face),
    )
    return contact_sheet.layout(heads, contact_sheet.details(target.face))


def measure_part(wanted: Wanted, pairs: Sequence[Pair]) -> list[tuple[Quality, Image.Image | None]]:
    """Measure pairs in this process."""
    with tempfile.TemporaryDirectory() as scratch:
        meter = Meter(wanted, Path(scratch))
        return [meter.measure(pair) for pair in pairs]


def measure_all(
    wanted: Wanted, pairs: Sequence[Pair], jobs: int
) -> list[tuple[Quality, Image.Image | None]]:
    """Likewise in several."""
    if jobs == 1:
        return measure_part(wanted, pairs)
    parts = [pairs[first::jobs] for first in range(jobs)]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        done = list(pool.map(measure_part, [wanted] * jobs, parts))
    return [done[index % jobs][index // jobs] for index in range(len(pairs))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    add_pairs_option(parser, "all pairs of different people")
    add_blend_options(parser)
    parser.add_argument("--ratios", action="store_true", help="measure the ratio's steps as well")
    parser.add_argument(
        "--longer", type=int, default=LONGER, help=f"reduce pictures to this, px ({LONGER})"
    )
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2, 3, 4), help="processes (1)")
    parser.add_argument("--sheet", type=Path, help="also write contact sheets, a .png file")
    add_json_option(parser)
    options = parser.parse_args()
    folder = require_folder(parser, options.faces)
    studio = Studio()
    blend = blend_of(options, studio.settings)
    people = studio.with_one_face(portraits(folder))
    pairs = parse_pairs(folder, options.pairs) if options.pairs else pairs_of_people(people)
    wanted = Wanted(
        tuple(people), blend, options.longer or None, options.ratios, options.sheet is not None
    )
    measured = measure_all(wanted, pairs, options.jobs)
    print(f"{blend}\n")
    print_tables(pairs, [quality for quality, _ in measured])
    if options.sheet:
        rows = [row for _, row in measured if row is not None]
        print("\n".join(str(file) for file in contact_sheet.write_pages(rows, options.sheet)))
    figures = {
        "blend": asdict(blend),
        "summary": summarise(pairs, [quality for quality, _ in measured]),
        "pairs": [
            {"pair": str(pair), **asdict(quality)}
            for pair, (quality, _) in zip(pairs, measured, strict=True)
        ],
    }
    write_report(options.json, "quality", figures)


def print_tables(pairs: Sequence[Pair], measured: Sequence[Quality]) -> None:
    """Every pair, then all of them."""
    rows = [
        (str(pair), *cells(quality), quality.nearest)
        for pair, quality in zip(pairs, measured, strict=True)
    ]
    summary = summarise(pairs, measured)
    print(table(("pair", *TITLES.values(), "nearest"), rows))
    print()
    print(table(("summary", *TITLES.values()), summary_rows(summary)))
    print(f"\n{in_short(summary, len(pairs))}")
    if summary["falling_percent"] is not None:
        medians = ", ".join(f"{value:.2f}" for value in summary["step_medians"])
        print(
            f"ratios {', '.join(map(str, STEPS))}: median distance {medians}; it falls at every "
            f"step: {summary['falling_percent']:.1f} %"
        )


def in_short(summary: dict[str, Any], count: int) -> str:
    """What counts most, in one paragraph."""

    def figure(name: str, which: str = "median") -> str:
        return number(summary[name][which], digits(name))

    return (
        f"{count} pairs; the source's person by the recogniser: "
        f"{summary['same_person_percent']:.1f} % (median {figure('to_source')}); nearer to the "
        f"source than to the target: {summary['nearer_to_source_percent']:.1f} %; nearest of all "
        f"people the source's: {summary['nearest_person_percent']:.1f} %\n"
        f"drift {figure('drift')}; light {figure('light')}, on skin {figure('skin_light')}; "
        f"seam {figure('seam')}, worst {figure('seam', 'highest')}; blown at most "
        f"{figure('blown', 'highest')}; detail {figure('detail')}, from "
        f"{figure('detail', 'lowest')} to {figure('detail', 'highest')}; x crop where both faces "
        f"are {LARGE} px or wider: {number(summary['large']['over_crop'], 1)} "
        f"({summary['large']['pairs']} pairs)"
    )


def summarise(pairs: Sequence[Pair], measured: Sequence[Quality]) -> dict[str, Any]:
    """Median, lowest and highest of each figure, and what the recogniser says."""
    steps = [one.steps for one in measured if one.steps]
    falling = [all(after < before for before, after in pairwise(one)) for one in steps]
    large = [one.over_crop for one in measured if one.narrower >= LARGE]
    summary: dict[str, Any] = {
        "large": {"pairs": len(large), "over_crop": float(np.median(large)) if large else None},
        "same_person_percent": share([one.to_source < SAME_PERSON for one in measured]),
        "nearer_to_source_percent": share([one.to_source < one.to_target for one in measured]),
        "nearest_person_percent": share(
            [one.nearest == person(pair.source) for pair, one in zip(pairs, measured, strict=True)]
        ),
        "falling_percent": share(falling) if falling else None,
        "step_medians": np.median(steps, axis=0).tolist() if steps else None,
    }
    for name in TITLES:
        values = [getattr(one, name) for one in measured]
        known = np.array([value for value in values if value is not None])
        summary[name] = {
            "median": float(np.median(known)) if len(known) else None,
            "lowest": float(known.min()) if len(known) else None,
            "highest": float(known.max()) if len(known) else None,
            "unknown": len(values) - len(known),
        }
    return summary


def share(hits: Sequence[bool]) -> float:
    """Percent of true values."""
    return 100 * sum(hits) / len(hits)


def cells(quality: Quality) -> tuple[str, ...]:
    """A row of the table."""
    return tuple(number(getattr(quality, name), digits(name)) for name in TITLES)


def summary_rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """Median, lowest and highest as rows."""
    return [
        (which, *(number(summary[name][which], digits(name)) for name in TITLES))
        for which in ("median", "lowest", "highest")
    ]


def digits(name: str) -> int:
    """After the point in a table."""
    return 3 if name in FINE else 2


if __name__ == "__main__":
    main()
