"""Ways to give a source's face the target's light, measured on the same pairs.

Usage: ./run.sh bench light --faces FOLDER [--pairs TARGET:SOURCE ...] [--json FILE]

All take the target's low frequencies (Gaussian of 0.125 face widths inside the matte) and
the source's higher ones. They differ in the numbers that are matched (linear light, or
encoded as in the file), in how (multiplied or added), in a second pass that takes away what
the first leaves, and in how highlights end (cut at white, or bent by a shoulder). The warp
and the matte are the engine's. The last line is the engine itself, which measures light on
skin alone and leaves black black. Columns as in benchmarks/quality.py.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.portraits import (
    add_faces_option,
    add_pairs_option,
    one_of_each,
    pairs_of_people,
    parse_pairs,
    portraits,
    require_folder,
)
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import Studio
from benchmarks.quality import Meter, Quality, summarise
from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.compositing import light, warp
from fusion.compositing.grid import FaceGrid
from fusion.engines.base import Capabilities, Engine, FaceView
from fusion.engines.mesh import MeshEngine
from fusion.field import FusionField
from fusion.request import Blend
from preprocess import transfer
from preprocess.window import Window, scaled_size

SIGMA = 0.125  # of the face's width
NODES = 320  # across the face
MOST_GAIN = 6.0
LEAST = 1 / 255


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to match light.

    linear: in linear light, else in encoded values. multiply: by a gain, else an offset is
    added. passes: corrections, each on what the ones before have left. bent: highlights pass
    through `light.shoulder`.
    """

    name: str
    linear: bool
    multiply: bool
    passes: int = 1
    bent: bool = False

    def measure(
        self, given: FloatArray, wanted: FloatArray, weight: FloatArray, sigma: float
    ) -> FloatArray:
        """The gain or offset per node."""
        given, wanted = self._numbers(given), self._numbers(wanted)
        goal = light.blur_inside(wanted, weight, sigma)
        change = np.full_like(given, 1.0 if self.multiply else 0.0)
        for _ in range(self.passes):
            now = light.blur_inside(self._changed(given, change), weight, sigma)
            if self.multiply:
                change *= np.maximum(goal, LEAST) / np.maximum(now, LEAST)
            else:
                change += goal - now
        return np.clip(change, 1 / MOST_GAIN, MOST_GAIN) if self.multiply else change

    def apply(self, encoded: FloatArray, change: FloatArray) -> FloatArray:
        """Lit pixels in linear light."""
        lit = self._changed(self._numbers(encoded), change)
        if self.linear:
            return np.clip(lit, 0.0, 1.0)
        return transfer.to_linear(light.shoulder(lit) if self.bent else lit)

    def _numbers(self, encoded: FloatArray) -> FloatArray:
        return transfer.to_linear(encoded) if self.linear else encoded

    def _changed(self, values: FloatArray, change: FloatArray) -> FloatArray:
        return values * change if self.multiply else values + change


VARIANTS = (
    Variant("linear, multiplied", linear=True, multiply=True),
    Variant("encoded, multiplied", linear=False, multiply=True),
    Variant("encoded, added", linear=False, multiply=False),
    Variant("linear, added", linear=True, multiply=False),
    Variant("encoded, added, two passes", linear=False, multiply=False, passes=2),
    Variant("the same with a shoulder", linear=False, multiply=False, passes=2, bent=True),
)


class VariantEngine:
    """The mesh engine's warp and matte with another light."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        self._mesh = MeshEngine()

    @property
    def capabilities(self) -> Capabilities:
        return self._mesh.capabilities

    def prepare(
        self, source: FaceView, target: FaceView, blend: Blend, progress: Progress
    ) -> FusionField:
        """See `fusion.engines.base.Engine.prepare`."""
        matte = self._mesh.prepare(source, target, blend, progress)
        # The grid's nodes are the pixels of the target reduced to `NODES` across the face, so
        # that the matte can be asked for at them.
        width = float(np.ptp(target.face.landmarks[:, :2], axis=0).max())
        at = scaled_size(target.picture, min(1.0, NODES / width))
        area = matte.bounds(at)
        step = target.picture.width / at.width
        grid = FaceGrid(
            (area.x + 0.5) * step - 0.5,
            (area.y + 0.5) * step - 0.5,
            step,
            area.width,
            area.height,
        )
        origin = warp.dense_map(grid, target.face.landmarks, source.face.landmarks)
        apart = warp.spacing(origin[0], origin[1]) * source.window.scale
        given = warp.sample(source.window.shrunk(apart), origin.transpose(1, 2, 0))
        reduced = target.window.shrunk(step * target.window.scale)
        wanted = warp.sample(reduced, grid.positions())
        weight = matte.opacity(area, at)
        change = self._variant.measure(given, wanted, weight, SIGMA * width / step)
        maps = np.concatenate([origin, np.moveaxis(change, -1, 0)]).astype(np.float32)
        return VariantField(
            matte, grid, maps, source.window.shrunk(apart / step), target.picture, self._variant
        )


class VariantField:
    """Fusion field of one variant; see `fusion.field.FusionField`."""

    def __init__(
        self,
        matte: FusionField,
        grid: FaceGrid,
        maps: FloatArray,
        source: Window,
        target: Size,
        variant: Variant,
    ) -> None:
        self._matte = matte
        self._grid = grid
        self._maps = maps
        self._source = source
        self._target = target
        self._variant = variant

    def bounds(self, at: Size) -> Region:
        return self._matte.bounds(at)

    def opacity(self, region: Region, at: Size) -> FloatArray:
        return self._matte.opacity(region, at)

    def render(self, tile: FloatArray, region: Region, at: Size) -> FloatArray:
        weight = self.opacity(region, at)[..., None]
        maps = self._grid.sample(self._maps, region, self._target, at)
        warped = warp.sample(self._source, np.moveaxis(maps[:2], 0, -1))
        lit = self._variant.apply(warped, np.moveaxis(maps[2:], 0, -1))
        base = transfer.to_linear(tile)
        return np.where(weight > 0, transfer.to_encoded(base + weight * (lit - base)), tile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    add_pairs_option(parser, "all pairs of one picture of each person")
    add_json_option(parser)
    options = parser.parse_args()
    folder = require_folder(parser, options.faces)
    studio = Studio()
    if options.pairs:
        pairs = parse_pairs(folder, options.pairs)
    else:
        pairs = pairs_of_people(one_of_each(studio.with_one_face(portraits(folder))))
    with tempfile.TemporaryDirectory() as scratch:
        meter = Meter(studio, Path(scratch), with_drift=False)
        measured = [
            figures(name, [meter.measure(pair, engine) for pair in pairs])
            for name, engine in engines().items()
        ]
    print(
        table(
            ("variant", "source", "light", "seam, worst", "blown, mean", "blown, worst"),
            [cells(one) for one in measured],
        )
    )
    print(f"\n{len(pairs)} pairs")
    write_report(options.json, "light", {"pairs": len(pairs), "variants": measured})


def engines() -> dict[str, Engine]:
    """What is compared, by name."""
    compared: dict[str, Engine] = {one.name: VariantEngine(one) for one in VARIANTS}
    return compared | {"the engine": MeshEngine()}


def figures(name: str, measured: Sequence[Quality]) -> dict[str, Any]:
    """One way's figures over all pairs."""
    mean = float(np.mean([one.blown for one in measured]))
    return {"name": name, "blown_mean": mean, "summary": summarise(measured)}


def cells(one: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    summary = one["summary"]
    return (
        one["name"],
        number(summary["to_source"]["median"], 3),
        number(summary["light"]["median"]),
        number(summary["seam"]["highest"]),
        number(one["blown_mean"], 1),
        number(summary["blown"]["highest"], 1),
    )


if __name__ == "__main__":
    main()
