"""The engine modelscope next to ModelScope's own class: the same pixels, in what time and memory?

Usage: ./run.sh --full bench modelscope_parity [--faces FOLDER] [--model FOLDER] [--sizes PX ...]
       [--pairs TARGET:SOURCE ...] [--device cpu|cuda] [--quick] [--json FILE]

Both sides compute on the same device with the same weights, without looking for faces: the class
gets the studio's landmarks. Without --model they are random (benchmarks/measuring/
random_weights.py), which tells as much about equality and speed as real ones would, and nothing
about beauty. Targets are scaled to each size (their longer side), sources to at most 2048 px.
Ratio 1, composite official.

Of each size each side has a process of its own: official, the studio's engine in float32 and in
bfloat16 (on a GPU float16). They take turns pair by pair, after one fusion that does not count.
"MB" is the most that such a process ever held in main memory (VmHWM): of the class with the
decoded picture, which it needs; of the studio's with the parts that it keeps. Differences are in
levels of 255 over the pixels that either side changed, the largest over all pairs; PSNR is 16-bit
numbers against float32 over the faces' boxes, the lowest. Growth is from the smallest size to the
largest. Eight faces are eight portraits in one picture, each replaced by another person, against
one of them; the difference to each alone is that over the faces' boxes.

--quick: one pair in 512 and 1024 px, in processes that serve both sizes; its times mean nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.parity import (
    DEVICES,
    SHORT,
    Done,
    Job,
    Scene,
    Side,
    Stage,
    resized,
    sides_on,
)
from benchmarks.measuring.portraits import (
    Pair,
    add_faces_option,
    add_pairs_option,
    demo_portraits,
    parse_pairs,
)
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import Studio
from common.types import ByteArray, Region, Size
from preprocess.libvips import vips

SIZES = (512, 1024, 2048, 4096, 8192)
QUICK = (512, 1024)
_SOURCE = 2048  # longer side of sources at most
_PAIRS = 6
_REPEATS = 3  # of the eight at once, of which the median counts
_GROUP = (4, 2)  # columns and rows of the picture of eight faces
_CELL = 768  # px
_ROWS = 512  # of pictures that are compared at once


@dataclass(frozen=True, slots=True)
class Compared:
    """A pair fused by all sides.

    max_diff, mean_diff: in levels. share: of pixels that differ at all. psnr: dB.
    """

    done: dict[str, Done]
    max_diff: float
    mean_diff: float
    share: float
    psnr: float


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_faces_option(parser)
    add_pairs_option(parser, "each person's first picture with the next person's")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="files of the real model")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="PX", help=f"default: {SIZES}")
    parser.add_argument("--quick", action="store_true", help="a small check of the pixels alone")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="default: cpu")
    add_json_option(parser)
    options = parser.parse_args()
    sizes = sorted(options.sizes or (QUICK if options.quick else SIZES))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        stage = Stage(Studio(), scratch)
        pairs = chosen_pairs(stage, options.faces, options.pairs)[: 1 if options.quick else None]
        model = options.model or random_model(scratch / "model")
        sides = _Sides(options.device, model, scratch, options.quick)
        figures = []
        for size in sizes:
            figures.append(measure_size(stage, sides, pairs, size))
            print(_costs_line(figures[-1]), file=sys.stderr)
        report: dict[str, Any] = {
            "device": options.device,
            "random_weights": options.model is None,
            "sizes": figures,
        }
        if len(figures) > 1 and not options.quick:
            report["growth"] = growth(figures[0], figures[-1])
            report["eight"] = eight_faces(stage, sides, pairs)
        sides.close()
    print_tables(report)
    write_report(options.json, "modelscope_parity", report)


class _Sides:
    """Processes of the sides: new ones for each size, or for all."""

    def __init__(self, device: str, model: Path, scratch: Path, shared: bool) -> None:
        self.names = sides_on(device)
        self._device = device
        self._model = model
        self._scratch = scratch
        self._shared = shared
        self._running: dict[str, Side] = {}

    @contextmanager
    def running(self, warm: Job, names: Sequence[str]) -> Iterator[dict[str, Side]]:
        """Sides, each after a fusion that does not count."""
        if not self._running:
            self._running = {
                name: Side(name, self._device, self._model, self._scratch) for name in names
            }
            if not self._shared:
                for side in self._running.values():
                    side.do(warm)
        yield self._running
        if not self._shared:
            self.close()

    def close(self) -> None:
        """End them."""
        for side in self._running.values():
            side.close()
        self._running = {}


def measure_size(stage: Stage, sides: _Sides, pairs: Sequence[Pair], size: int) -> dict[str, Any]:
    """All figures of one size, as JSON."""
    smallest = min(SIZES)
    warm = _job(stage, pairs[0], smallest, "warm")
    jobs = [_job(stage, pair, size, "out") for pair in pairs]
    with sides.running(warm, sides.names) as running:
        found = [_compared(stage, running, job) for job in jobs]
    seconds = {
        side: statistics.median(one.done[side].seconds for one in found) for side in sides.names
    }
    figures: dict[str, Any] = {
        "size": size,
        "pairs": [str(pair) for pair in pairs],
        "max_diff": max(one.max_diff for one in found),
        "mean_diff": max(one.mean_diff for one in found),
        "share_differing": max(one.share for one in found),
        f"psnr_{SHORT[sides.names[-1]]}": min(one.psnr for one in found),
        "seconds": seconds,
        "peak_mb": {side: max(one.done[side].peak_mb for one in found) for side in sides.names},
    }
    for side in sides.names[1:]:
        ratios = [one.done["official"].seconds / one.done[side].seconds for one in found]
        figures[f"speedup_{SHORT[side]}"] = statistics.median(ratios)
    return figures


def growth(small: dict[str, Any], large: dict[str, Any]) -> dict[str, Any]:
    """What the largest size costs more than the smallest, and that as a share of the class's."""
    found: dict[str, Any] = {"from": small["size"], "to": large["size"]}
    for name in ("seconds", "peak_mb"):
        more = {side: large[name][side] - small[name][side] for side in small[name]}
        found[name] = more
        found[f"{name}_share"] = {
            side: grown / more["official"] for side, grown in more.items() if side != "official"
        }
    return found


def eight_faces(stage: Stage, sides: _Sides, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Eight faces of one picture at once, one of them alone, and all of them one by one."""
    columns, rows = _GROUP
    people = list(dict.fromkeys(file for pair in pairs for file in (pair.target, pair.source)))
    cells = [people[index % len(people)] for index in range(columns * rows)]
    scene = group_of(stage, cells)
    order = sorted(range(len(cells)), key=lambda index: _cell_of(scene, index))
    # Each is replaced by the one who comes next in the list of people.
    given = {face: people[(cell + 1) % len(people)] for cell, face in enumerate(order)}
    sources = {face: stage.scaled(file, _SOURCE, enlarge=False) for face, file in given.items()}
    faces = tuple(sources)
    together = Job(scene.file, faces, tuple(sources.values()), stage.scratch / "eight.npy")
    alone = [
        Job(scene.file, (face,), (sources[face],), stage.scratch / f"one_{face}.npy")
        for face in faces
    ]
    found: dict[str, Any] = {}
    with sides.running(alone[0], sides.names[1:]) as running:
        for side, process in running.items():
            eights = [process.do(together) for _ in range(_REPEATS)]
            eight = eights[-1]
            ones = [process.do(job) for job in alone]
            one = statistics.median(done.seconds for done in ones)
            joined, apart = np.load(together.out).astype(int), 0
            for face, job, done in zip(faces, alone, ones, strict=True):
                # Crops of neighbours may overlap, faces do not.
                seen = scene.faces[face].box.intersect(done.region).intersect(eight.region)
                part = np.load(job.out)[seen.within(done.region)]
                apart = max(apart, int(np.abs(joined[seen.within(eight.region)] - part).max()))
            seconds = statistics.median(done.seconds for done in eights)
            found[side] = {
                "seconds": seconds,
                "seconds_of_one": one,
                "times": seconds / one,
                "max_diff_to_alone": apart,
            }
    return found


def group_of(stage: Stage, cells: Sequence[Path]) -> Scene:
    """A picture of eight portraits, each in a cell of its own."""
    images = []
    for file in cells:
        scene = stage.scene(stage.scaled(file, _CELL))
        box = scene.faces[0].box
        # Portraits are cut around their faces, for cells are square.
        side = min(scene.size.width, scene.size.height)
        x = int(np.clip(box.x + box.width // 2 - side // 2, 0, scene.size.width - side))
        y = int(np.clip(box.y + box.height // 2 - side // 2, 0, scene.size.height - side))
        cut = np.ascontiguousarray(scene.pixels()[y : y + side, x : x + side])
        images.append(resized(vips().Image.new_from_array(cut), Size(_CELL, _CELL)))
    picture = vips().Image.arrayjoin(images, across=_GROUP[0])
    scene = stage.keep(stage.scratch / "group.png", picture)
    if len(scene.faces) != len(cells):
        raise SystemExit(f"{len(scene.faces)} of {len(cells)} faces were found in one picture")
    return scene


def _cell_of(scene: Scene, index: int) -> tuple[int, int]:
    """Row and column of a face's cell."""
    box = scene.faces[index].box
    return (box.y + box.height // 2) // _CELL, (box.x + box.width // 2) // _CELL


def chosen_pairs(stage: Stage, folder: Path | None, texts: Sequence[str] | None) -> list[Pair]:
    """Those asked for, else each person's first picture with the next person's."""
    if folder is None:
        return [Pair(*demo_portraits(stage.scratch))]
    if texts:
        return parse_pairs(folder, texts)
    people = stage.portraits(folder)
    return [Pair(*two) for two in zip(people, people[1:] + people[:1], strict=True)][:_PAIRS]


def random_model(folder: Path) -> Path:
    """The folder, with random weights in it."""
    from benchmarks.measuring.random_weights import make_model_folder  # brings torch

    make_model_folder(folder)
    return folder


def _job(stage: Stage, pair: Pair, size: int, name: str) -> Job:
    return Job(
        stage.scaled(pair.target, size),
        (0,),
        (stage.scaled(pair.source, _SOURCE, enlarge=False),),
        stage.scratch / f"{name}.npy",
    )


def _compared(stage: Stage, running: dict[str, Side], job: Job) -> Compared:
    """One pair by all sides, one after the other."""
    done: dict[str, Done] = {}
    fused: dict[str, ByteArray] = {}
    for side, process in running.items():
        out = job.out.with_name(f"{side}.npy")
        done[side] = process.do(Job(job.target, job.faces, job.sources, out))
        fused[side] = np.load(out, mmap_mode="r")
    scene = stage.scene(job.target)
    apart = differences(scene.pixels(), fused["official"], fused["float32"], done["float32"].region)
    face = scene.faces[0].box.clip(scene.size)
    ours = [
        np.asarray(fused[side][face.intersect(done[side].region).within(done[side].region)], float)
        for side in list(running)[1:]
    ]
    psnr = 10 * np.log10(255**2 / max(float(np.square(ours[0] - ours[1]).mean()), 1e-9))
    return Compared(done, *apart, psnr=float(psnr))


def differences(
    target: ByteArray, official: ByteArray, ours: ByteArray, region: Region
) -> tuple[float, float, float]:
    """Largest and mean difference of two fusions, and the share of pixels that differ.

    Args:
        target: H x W x 3; what ours is outside ``region``.
        official: H x W x 3.
        ours: Of the region.

    Returns:
        The last two of the pixels that either of them changed.
    """
    highest, total, differing, changed = 0, 0, 0, 0
    for top in range(0, len(target), _ROWS):
        place = Region(0, top, target.shape[1], min(_ROWS, len(target) - top))
        before = target[top : top + place.height]
        fused = before.copy()
        inner = place.intersect(region)
        if not inner.is_empty:
            fused[inner.within(place)] = ours[inner.within(region)]
        theirs = official[top : top + place.height]
        apart = np.abs(theirs.astype(np.int16) - fused)
        highest = max(highest, int(apart.max()))
        total += int(apart.sum())
        differing += int(np.count_nonzero(apart.any(axis=2)))
        changed += int(np.count_nonzero(((theirs != before) | (fused != before)).any(axis=2)))
    return float(highest), total / max(3 * changed, 1), differing / max(changed, 1)


def print_tables(report: dict[str, Any]) -> None:
    """What the figures say."""
    print(_sizes_table(report["sizes"], sides_on(report["device"])))
    if "growth" in report:
        grown = report["growth"]
        print(f"\ngrowth from {grown['from']} to {grown['to']} px")
        print(
            table(
                ("side", "s", "% of official", "MB", "% of official"),
                [_growth_row(grown, side) for side in grown["seconds"]],
            )
        )
    if "eight" in report:
        print("\neight faces in one picture")
        print(
            table(
                ("side", "eight s", "one s", "times", "max diff to each alone"),
                [
                    (
                        side,
                        number(one["seconds"]),
                        number(one["seconds_of_one"]),
                        number(one["times"]),
                        str(one["max_diff_to_alone"]),
                    )
                    for side, one in report["eight"].items()
                ],
            )
        )


def _sizes_table(sizes: Sequence[dict[str, Any]], sides: Sequence[str]) -> str:
    ours = [SHORT[side] for side in sides[1:]]
    half = ours[-1]
    titles = ("px", "pairs", "max diff", "mean diff", "differing %", f"{half} PSNR dB")
    costs = (
        "official s",
        *(f"{name} s" for name in ours),
        *(f"{name} x" for name in ours),
        "MB",
        *(f"{name} MB" for name in ours),
    )
    return table(
        (*titles, *costs),
        [
            (
                str(one["size"]),
                str(len(one["pairs"])),
                number(one["max_diff"], 0),
                number(one["mean_diff"], 4),
                number(100 * one["share_differing"]),
                number(one[f"psnr_{half}"], 1),
                *(number(one["seconds"][side]) for side in sides),
                *(number(one[f"speedup_{name}"]) for name in ours),
                *(number(one["peak_mb"][side], 0) for side in sides),
            )
            for one in sizes
        ],
    )


def _costs_line(figures: dict[str, Any]) -> str:
    """What is known after a size; the tables come at the end."""
    costs = ", ".join(f"{side} {seconds:.1f} s" for side, seconds in figures["seconds"].items())
    return f"{figures['size']} px: {costs}, max diff {figures['max_diff']:.0f}"


def _growth_row(grown: dict[str, Any], side: str) -> tuple[str, ...]:
    row = [side]
    for name, digits in (("seconds", 2), ("peak_mb", 0)):
        share = grown[f"{name}_share"].get(side)
        row += [number(grown[name][side], digits), number(share and 100 * share, 1)]
    return tuple(row)


if __name__ == "__main__":
    main()
