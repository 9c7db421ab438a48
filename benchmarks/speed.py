"""Time and memory of fusions from file to file, in a warm process and from the shell.

Usage: ./run.sh bench speed [--faces FOLDER] [--pairs TARGET:SOURCE ...] [--runs N]
       [--json FILE]

JPEG to JPEG at the target's size. "copy" is libvips decoding and encoding the same target in
between the runs: on a machine that others use, compare the ratio to it and the processor time
(all threads together), not the seconds. Without a folder, the demo pair is enlarged.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring.portraits import (
    Pair,
    add_faces_option,
    add_pairs_option,
    demo_portraits,
    parse_pairs,
    require_folder,
)
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import Cost, Studio, command_line, median_cost, timed
from preprocess.image_source import vips

PAIRS = ("b_front_2048:a_front", "e_turned:a_front", "f_smile:e_smile")
DEMO_SIZES = ((2048, 2048), (3712, 3712))  # 4 and 14 megapixels
STAGES = ("read", "detect", "prepare", "render", "write")
QUALITY = 95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    add_pairs_option(parser, ", ".join(PAIRS))
    parser.add_argument("--runs", type=int, default=5, help="of which the median counts (5)")
    add_json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if options.faces is None and not options.pairs:
            pairs = enlarged_demo(scratch)
        else:
            folder = require_folder(parser, options.faces)
            pairs = parse_pairs(folder, options.pairs or PAIRS)
        studio = Studio()
        cases = [measure(studio, pair, scratch, options.runs) for pair in pairs]
    print_tables(cases)
    write_report(options.json, "speed", {"runs": options.runs, "cases": cases})


def measure(studio: Studio, pair: Pair, scratch: Path, runs: int) -> dict[str, Any]:
    """All figures of one pair; the file system's cache is warm."""
    output = scratch / "fused.jpg"
    result = studio.fuse(pair.target, pair.source, output)
    warm: list[Cost] = []
    copies: list[Cost] = []
    stages: list[dict[str, float]] = []
    for _ in range(runs):
        copies.append(timed(lambda: copy(pair.target, scratch / "copy.jpg")))
        warm.append(
            timed(lambda: stages.append(studio.fuse(pair.target, pair.source, output).seconds))
        )
    reports: list[dict[str, Any]] = []
    arguments = ("--target", str(pair.target), "--source", str(pair.source))
    shell = [
        timed(
            lambda: reports.append(
                command_line("fuse", *arguments, "--output", str(output), "--ratio", "1")
            ),
            children=True,
        )
        for _ in range(runs)
    ]
    return {
        "pair": str(pair),
        "megapixels": round(result.size.pixels / 1e6, 1),
        "size": str(result.size),
        "warm": figures(warm),
        "copy": figures(copies),
        "stages_s": {
            stage: round(statistics.median(run[stage] for run in stages), 4) for stage in STAGES
        },
        "shell": figures(shell),
        "shell_peak_mb": round(max(report["peak_rss_mb"] for report in reports), 1),
    }


def figures(costs: Sequence[Cost]) -> dict[str, float]:
    """Median and shortest time, as JSON."""
    middle = median_cost(costs)
    return {
        "wall_s": round(middle.wall, 4),
        "cpu_s": round(middle.cpu, 4),
        "best_s": round(min(cost.wall for cost in costs), 4),
    }


def copy(file: Path, output: Path) -> None:
    """Decode and encode a picture as the studio does, and nothing else."""
    image = vips().Image.new_from_file(str(file), access="sequential")
    image.jpegsave(str(output), Q=QUALITY)


def enlarged_demo(folder: Path) -> list[Pair]:
    """The demo pair with targets of 4 and 14 megapixels."""
    target, source = demo_portraits(folder)
    pairs = []
    for width, height in DEMO_SIZES:
        large = folder / f"a_{width}.jpg"
        vips().Image.thumbnail(str(target), width, height=height, size="force").jpegsave(str(large))
        pairs.append(Pair(large, source))
    return pairs


def print_tables(cases: Sequence[dict[str, Any]]) -> None:
    """What the figures say, in two tables."""
    titles = ("pair", "megapixels", "warm s", "best", "cpu s", "copy s", "x copy")
    print(
        table(
            (*titles, "shell s", "best", "cpu s", "peak MB"),
            [
                (
                    case["pair"],
                    number(case["megapixels"], 1),
                    number(case["warm"]["wall_s"]),
                    number(case["warm"]["best_s"]),
                    number(case["warm"]["cpu_s"]),
                    number(case["copy"]["wall_s"]),
                    number(case["warm"]["wall_s"] / case["copy"]["wall_s"], 1),
                    number(case["shell"]["wall_s"]),
                    number(case["shell"]["best_s"]),
                    number(case["shell"]["cpu_s"]),
                    number(case["shell_peak_mb"], 0),
                )
                for case in cases
            ],
        )
    )
    print("\nmedian seconds of the stages, warm")
    print(
        table(
            ("pair", *STAGES),
            [
                (case["pair"], *(number(case["stages_s"][stage], 3) for stage in STAGES))
                for case in cases
            ],
        )
    )


if __name__ == "__main__":
    main()
