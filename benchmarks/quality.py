"""Measures what fusions look like: likeness, light, seams, burnt highlights, detail, shape.

Usage: ./run.sh bench quality --faces FOLDER [--pairs TARGET:SOURCE ...] [--json FILE]

For every ordered pair of different people, out of the pictures that show one face, at ratio 1
and the target's size:
  source   distance of the result to the source's person (dlib's recogniser; below 0.6 it
           takes two pictures for the same person)
  target   the same to the target's person: large is good
  light    mean CIE Lab distance to the target's light, after a blur of 0.12 face widths
  seam     edges where the fusion fades out, over the target's own there
  blown    percentage points by which more of the face is burnt out
  detail   detail finer than 2 px, over the target's own
  x crop   the same detail, over what a crop of 256 px would leave of it
  drift    mean distance of the result's 468 points to the target's, % of the face's width
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import picture
from benchmarks.measuring.likeness import SAME_PERSON, Recogniser, distance, head
from benchmarks.measuring.picture import Compared
from benchmarks.measuring.portraits import (
    Pair,
    add_faces_option,
    add_pairs_option,
    pairs_of_people,
    parse_pairs,
    portraits,
    require_folder,
)
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import Fusion, Studio
from common.types import FloatArray, Region
from fusion.engines.base import Engine
from fusion.engines.registry import create_engine

TITLES = {
    "to_source": "source",
    "to_target": "target",
    "light": "light",
    "seam": "seam",
    "blown": "blown",
    "detail": "detail",
    "over_crop": "x crop",
    "drift": "drift",
}
LARGE = 700  # px from which a face suffers most from a crop of 256


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of one pair; the module's docstring explains them.

    shown, given: width of the target's and of the source's face, px.
    drift: None when it was not asked for, or no face is found where the target's was.
    """

    to_source: float
    to_target: float
    light: float
    seam: float
    blown: float
    detail: float
    over_crop: float
    drift: float | None
    shown: int
    given: int


class Meter:
    """Fuses pairs and measures them; remembers who the portraits show.

    Args:
        scratch: A folder for the results.
        with_drift: Whether to look for the face in each result as well.
    """

    def __init__(self, studio: Studio, scratch: Path, with_drift: bool = True) -> None:
        self._studio = studio
        self._with_drift = with_drift
        self._recogniser = Recogniser()
        self._output = scratch / "fused.png"
        self._known: dict[Path, FloatArray] = {}

    def measure(self, pair: Pair, engine: Engine) -> Quality:
        """Fuse the largest face of the source into the largest of the target."""
        fusion = self._studio.fuse_fully(pair.target, pair.source, self._output, engine)
        compared = self._compared(pair, fusion)
        described = self._describe(self._output, fusion)
        return Quality(
            to_source=distance(described, self._who(pair.source)),
            to_target=distance(described, self._who(pair.target)),
            light=picture.light_distance(compared),
            seam=picture.seam_ratio(compared),
            blown=picture.blown_increase(compared),
            detail=picture.detail_ratio(compared),
            over_crop=picture.detail_over_crop(compared),
            drift=self._drift(fusion) if self._with_drift else None,
            shown=fusion.face.box.width,
            given=self._studio.portrait_face(pair.source).box.width,
        )

    def _compared(self, pair: Pair, fusion: Fusion) -> Compared:
        fused = self._studio.pixels(self._output, fusion.region)
        target = self._studio.pixels(pair.target, fusion.region)
        return Compared(fused, target, fusion.region, fusion.opacity, fusion.face)

    def _describe(self, file: Path, fusion: Fusion) -> FloatArray:
        region = head(fusion.face, Region.whole(fusion.result.size))
        return self._recogniser.describe(self._studio.pixels(file, region), region, fusion.face)

    def _who(self, file: Path) -> FloatArray:
        if file not in self._known:
            face = self._studio.portrait_face(file)
            region = head(face, Region.whole(self._studio.open(file).size))
            pixels = self._studio.pixels(file, region)
            self._known[file] = self._recogniser.describe(pixels, region, face)
        return self._known[file]

    def _drift(self, fusion: Fusion) -> float | None:
        before = fusion.face
        for after in self._studio.faces(self._output):
            if after.box.intersect(before.box).pixels > 0.5 * before.box.pixels:
                return picture.drift(before, after)
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    add_pairs_option(parser, "all pairs of different people")
    add_json_option(parser)
    options = parser.parse_args()
    folder = require_folder(parser, options.faces)
    studio = Studio()
    if options.pairs:
        pairs = parse_pairs(folder, options.pairs)
    else:
        pairs = pairs_of_people(studio.with_one_face(portraits(folder)))
    with tempfile.TemporaryDirectory() as scratch:
        meter = Meter(studio, Path(scratch))
        engine = create_engine("auto")
        measured = [(pair, meter.measure(pair, engine)) for pair in pairs]
    rows = [(str(pair), *cells(quality)) for pair, quality in measured]
    summary = summarise([quality for _, quality in measured])
    print(table(("pair", *TITLES.values()), rows))
    print()
    print(table(("summary", *TITLES.values()), summary_rows(summary)))
    print(
        f"\n{len(pairs)} pairs; the source's person by the recogniser: "
        f"{summary['same_person_percent']:.0f} %; nearer to the source than to the target: "
        f"{summary['nearer_to_source_percent']:.0f} %; median of x crop where both faces are "
        f"{LARGE} px or wider: {number(summary['large']['over_crop'], 1)} "
        f"({summary['large']['pairs']} pairs)"
    )
    per_pair = [{"pair": str(pair), **asdict(quality)} for pair, quality in measured]
    write_report(options.json, "quality", {"summary": summary, "pairs": per_pair})


def summarise(measured: Sequence[Quality]) -> dict[str, Any]:
    """Median, lowest and highest of each figure, and what the recogniser says."""
    large = [one.over_crop for one in measured if min(one.shown, one.given) >= LARGE]
    summary: dict[str, Any] = {
        "same_person_percent": share([one.to_source < SAME_PERSON for one in measured]),
        "nearer_to_source_percent": share([one.to_source < one.to_target for one in measured]),
        "large": {"pairs": len(large), "over_crop": float(np.median(large)) if large else None},
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
    return tuple(number(getattr(quality, name)) for name in TITLES)


def summary_rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """Median, lowest and highest as rows."""
    return [
        (which, *(number(summary[name][which]) for name in TITLES))
        for which in ("median", "lowest", "highest")
    ]


if __name__ == "__main__":
    main()
