"""Time and memory from 512 px to 24 000 px, next to libvips and to a whole-array fusion.

Usage: ./run.sh bench resolution [--faces FOLDER] [--sizes PX ...] [--cases CASE ...] [--runs N]
       [--json FILE] [--plot FILE.svg]

Every figure is of a program of its own, the studio's command line with --max-memory-mb 600
among them; "MB" is the largest sum over it and its child processes, sampled, "own MB" what the
studio says itself. Cases:
  sweep     a face of up to 1000 px in JPEG canvases of 2:3 with a longer side of each size
  half      the largest canvas with half its rows: what do the others add to the memory?
  enlarged  the portrait itself enlarged to 24 000 px, its face with it
  png       8192 x 8192 px as PNG
  detail    a target of 1024 px fused to 4096 px, against the result of 1024 px enlarged
"libvips" decodes and encodes the same file and does nothing else, a JPEG with the quality that
it has, a PNG with libvips' defaults; "as ours" is with the studio's own settings for PNG. "whole
array" is benchmarks/measuring/whole_array.py, up to 100 megapixels. Without a folder the demo
pair is enlarged, whose source is too soft for the case detail.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.measuring.canvases import QUALITY, write_canvas, write_scaled
from benchmarks.measuring.plot import Curve, Panel, draw
from benchmarks.measuring.portraits import Pair, add_faces_option, demo_portraits, find
from benchmarks.measuring.processes import Run, run
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import (
    ROOT,
    RecordingEngine,
    Studio,
    watched_command_line,
)
from common.types import ByteArray, Region, Size
from fusion.engines.registry import create_engine
from preprocess.resolution import Resolution

PORTRAIT, SOURCE = "e_turned", "a_front"
DETAIL_PAIRS = (("b_front", "f_smile"), ("c_left", "f_smile"), ("d_front", "e_turned"))
SIZES = (512, 1024, 2048, 4096, 8192, 16_000, 24_000)
CASES = ("sweep", "half", "enlarged", "png", "detail")
BUDGET_MB = 600
WHOLE_ARRAY_MP = 100
HALF = Size(SIZES[-1] * 2 // 3, SIZES[-1] // 2)
ENLARGED, ENLARGED_MP = 24_000, 384.0
PNG_SIDE = 8192
SMALL, LARGE = 1024, 4096
STAGES = ("read", "detect", "prepare", "render", "write")
INSIDE = 0.9  # opacity from which a pixel is the source's

COPY = """
import json, sys, pyvips
pyvips.cache_set_max(0)
image = pyvips.Image.new_from_file(sys.argv[1], access="sequential")
image.write_to_file(sys.argv[2], **json.loads(sys.argv[3]))
"""
LIBVIPS = {".jpg": {"Q": QUALITY}, ".png": {}}
AS_OURS = {".png": {"compression": 3, "filter": "up"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="PX")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--runs", type=int, default=3, help="of which the median counts (3)")
    add_json_option(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the sweep there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = options.faces
        pair = (
            Pair(*demo_portraits(scratch))
            if folder is None
            else Pair(find(folder, PORTRAIT), find(folder, SOURCE))
        )
        cases = list(measure_files(pair, options.cases, options.sizes, options.runs, scratch))
        wanted = folder is not None and "detail" in options.cases
        detail = measure_detail(folder, scratch) if wanted else []
    judged = list(bars(cases, detail))
    print_tables(cases, detail, judged)
    report = {"runs": options.runs, "budget_mb": BUDGET_MB, "cases": cases, "detail": detail}
    write_report(options.json, "resolution", report | {"bars": judged})
    if options.plot is not None:
        options.plot.write_text(plot(cases), encoding="utf-8")


def measure_files(
    pair: Pair, cases: Sequence[str], sizes: Sequence[int], runs: int, scratch: Path
) -> Iterator[dict[str, Any]]:
    """The figures of one target after the other; each file goes before the next is made."""
    for longer in sorted(sizes) if "sweep" in cases else ():
        size = Size(round(longer * 2 / 3), longer)
        target = write_canvas(pair.target, size, scratch / "canvas.jpg")
        yield measure("sweep", target, pair.source, runs, scratch)
    if "half" in cases:
        target = write_canvas(pair.target, HALF, scratch / "canvas.jpg")
        yield measure("half", target, pair.source, runs, scratch)
    if "enlarged" in cases:
        target = write_scaled(pair.target, ENLARGED, ENLARGED_MP * 1e6, scratch / "enlarged.jpg")
        region = face_region(Pair(target, pair.source), scratch)
        case = measure("enlarged", target, pair.source, runs, scratch)
        yield case | {"face_mp": region.pixels / 1e6, "face_px": region.width}
    if "png" in cases:
        target = write_canvas(pair.target, Size(PNG_SIDE, PNG_SIDE), scratch / "canvas.png")
        yield measure("png", target, pair.source, runs, scratch)


def measure(name: str, target: Path, source: Path, runs: int, scratch: Path) -> dict[str, Any]:
    """The studio, libvips and the whole array in turns over one target, which is then deleted."""
    output = scratch / f"fused{target.suffix}"
    arguments = ("--target", str(target), "--source", str(source), "--output", str(output))
    studio, copies, as_ours, whole = [], [], [], None
    for _ in range(runs):
        copies.append(copy(target, output, LIBVIPS[target.suffix]))
        if target.suffix in AS_OURS:
            as_ours.append(copy(target, output, AS_OURS[target.suffix]))
        report, done = watched_command_line(
            "fuse", *arguments, "--ratio", "1", "--max-memory-mb", str(BUDGET_MB)
        )
        studio.append((report, done))
    bytes_in, bytes_out = target.stat().st_size, output.stat().st_size
    report = min(studio, key=lambda one: one[0]["seconds"]["total"])[0]
    megapixels = report["width"] * report["height"] / 1e6
    if name == "sweep" and megapixels <= WHOLE_ARRAY_MP:
        program = "benchmarks.measuring.whole_array"
        paths = map(str, (target, source, output, QUALITY))
        whole = run([sys.executable, "-m", program, *paths], ROOT)
    target.unlink()
    own = max(one["peak_rss_mb"] for one, _ in studio)
    return {
        "case": name,
        "size": f"{report['width']}x{report['height']}",
        "longer": max(report["width"], report["height"]),
        "megapixels": megapixels,
        "studio": figures([done for _, done in studio]),
        "own_mb": own,
        "peak_mb": max(own, *(done.peak_mb for _, done in studio)),
        "libvips": figures(copies),
        "as_ours": figures(as_ours) if as_ours else None,
        "whole_array": None if whole is None else figures([whole]),
        "written": report["written"],
        "seconds": report["seconds"],
        "size_change": bytes_out / bytes_in - 1,
        "warnings": report["warnings"],
    }


def copy(target: Path, output: Path, settings: dict[str, Any]) -> Run:
    """Have libvips decode and encode the file, in a process of its own."""
    arguments = str(target), str(output), json.dumps(settings)
    done = run([sys.executable, "-c", COPY, *arguments], target.parent)
    output.unlink()
    return done


def figures(runs: Sequence[Run]) -> dict[str, float]:
    """Median and shortest seconds, and the largest memory, as JSON."""
    return {
        "wall_s": round(statistics.median(one.wall for one in runs), 3),
        "best_s": round(min(one.wall for one in runs), 3),
        "peak_mb": round(max(one.peak_mb for one in runs), 1),
    }


def face_region(pair: Pair, scratch: Path) -> Region:
    """What the field covers of the target at its own size."""
    studio = Studio()
    engine = RecordingEngine(create_engine("mesh"))
    small = Resolution(512)
    studio.fuse(pair.target, pair.source, scratch / "small.png", resolution=small, engine=engine)
    return engine.last().bounds(studio.open(pair.target).size)


def measure_detail(folder: Path, scratch: Path) -> list[dict[str, Any]]:
    """Fine detail of faces rendered at 4096 px, over results of 1024 px enlarged to it."""
    studio, found = Studio(), []
    for target_name, source_name in DETAIL_PAIRS:
        target = scratch / "small.png"
        write_scaled(find(folder, target_name), SMALL, np.inf, target)
        source = find(folder, source_name)
        engine = RecordingEngine(create_engine("mesh"))
        small, large = scratch / "fused.png", scratch / "large.png"
        studio.fuse(target, source, small)
        at = studio.fuse(target, source, large, resolution=Resolution(LARGE), engine=engine).size
        region = engine.last().bounds(at)
        inside = engine.last().opacity(region, at) > INSIDE
        with Image.open(small) as picture:
            enlarged = picture.resize((at.width, at.height), Image.Resampling.LANCZOS)
        resized = np.asarray(enlarged)[region.within(Region.whole(at))]
        rendered = studio.pixels(large, region)
        energies = [laplacian_energy(pixels, inside) for pixels in (rendered, resized)]
        found.append(
            {"pair": f"{target_name} <- {source_name}", "ratio": energies[0] / energies[1]}
        )
    return found


def laplacian_energy(pixels: ByteArray, inside: Any) -> float:
    """Mean square of the luma's Laplacian where ``inside``."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.square(cv2.Laplacian(luma, cv2.CV_32F))[inside].mean())


def bars(
    cases: Sequence[dict[str, Any]], detail: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What the project holds itself to, as far as this run has measured it."""
    halves = [case for case in cases if case["case"] == "half"]
    for case in cases:
        times = case["studio"]["wall_s"] / case["libvips"]["wall_s"]
        peak, what = case["peak_mb"], f"{case['case']} {case['size']}"
        if case["case"] == "sweep" and case["longer"] == SIZES[-1]:
            yield bar(f"{what}, streamed: times libvips", times, most=3.0)
            yield bar(f"{what}, streamed: memory, MB", peak, most=450)
            for half in halves:
                rows = (case["megapixels"] - half["megapixels"]) / 100
                growth = (peak - half["peak_mb"]) / rows
                yield bar("streamed: memory for 100 MP of further rows, MB", growth, most=5)
        elif case["case"] == "sweep" and case["longer"] == PNG_SIDE:
            change = 100 * abs(case["size_change"])
            yield bar(f"{what}, {case['written']}: times libvips", times, most=2.0)
            yield bar(f"{what}, {case['written']}: change of the file's size, %", change, most=3)
        elif case["case"] == "enlarged":
            speed = case["face_mp"] / case["seconds"]["render"]
            yield bar(f"{what}: MP/s of the face's region", speed, least=12)
            yield bar(f"{what}: memory, MB", peak, most=700)
        elif case["case"] == "png":
            yield bar(f"{what}: times libvips", times, most=1.5)
            yield bar(f"{what}: memory, MB", peak, most=400)
    if detail:
        ratio = statistics.median(one["ratio"] for one in detail)
        yield bar(f"{SMALL} px to {LARGE} px: fine detail over enlarging", ratio, least=1.8)


def bar(
    what: str, measured: float, most: float | None = None, least: float | None = None
) -> dict[str, Any]:
    holds = measured <= most if most is not None else least is None or measured >= least
    return {"bar": what, "measured": measured, "most": most, "least": least, "holds": holds}


def print_tables(
    cases: Sequence[dict[str, Any]],
    detail: Sequence[dict[str, Any]],
    judged: Sequence[dict[str, Any]],
) -> None:
    """Everything measured, and the bars."""
    titles = ("case", "size", "MP", "s", "libvips s", "x", "as ours s", "MB", "own MB")
    more = ("libvips MB", "whole array s", "MB", "written", "size %")
    rows = [
        (
            case["case"],
            case["size"],
            number(case["megapixels"], 1),
            number(case["studio"]["wall_s"]),
            number(case["libvips"]["wall_s"]),
            number(case["studio"]["wall_s"] / case["libvips"]["wall_s"], 1),
            number((case["as_ours"] or {}).get("wall_s")),
            number(case["studio"]["peak_mb"], 0),
            number(case["own_mb"], 0),
            number(case["libvips"]["peak_mb"], 0),
            number((case["whole_array"] or {}).get("wall_s")),
            number((case["whole_array"] or {}).get("peak_mb"), 0),
            case["written"],
            f"{100 * case['size_change']:+.1f}",
        )
        for case in cases
    ]
    print(table((*titles, *more), rows))
    print("\nseconds of the quickest run: before and after the fusion, and its stages")
    stages = [
        (
            f"{case['case']} {case['size']}",
            number(case["studio"]["best_s"] - case["seconds"]["total"]),
            *(number(case["seconds"][stage]) for stage in STAGES),
        )
        for case in cases
    ]
    print(table(("case", "around", *STAGES), stages))
    if detail:
        print("\nfine detail of the face, rendered at 4096 px over enlarged from 1024 px")
        print(table(("pair", "x"), [(one["pair"], number(one["ratio"])) for one in detail]))
    if not judged:
        return
    print()
    limits = [
        f"at most {one['most']:g}" if one["most"] is not None else f"at least {one['least']:g}"
        for one in judged
    ]
    verdicts = [
        (one["bar"], limit, number(one["measured"]), "holds" if one["holds"] else "FAILS")
        for one, limit in zip(judged, limits, strict=True)
    ]
    print(table(("bar", "limit", "measured", ""), verdicts))


def plot(cases: Sequence[dict[str, Any]]) -> str:
    """Time and memory of the sweep over megapixels, as SVG."""
    sweep = [case for case in cases if case["case"] == "sweep"]
    names = {
        "studio": "Face Fusion Studio",
        "whole_array": "whole array",
        "libvips": "libvips copy",
    }

    def panel(title: str, figure: str) -> Panel:
        # A program may have been over before its memory was looked at.
        curves = [
            Curve(
                name,
                [
                    (one["megapixels"], one[key][figure])
                    for one in sweep
                    if one[key] and one[key][figure] > 0
                ],
            )
            for key, name in names.items()
        ]
        return Panel(title, "megapixels", curves)

    return draw(
        "Time and memory of a fusion by the picture's size",
        [panel("seconds, file to file", "wall_s"), panel("memory, MB", "peak_mb")],
    )


if __name__ == "__main__":
    main()
