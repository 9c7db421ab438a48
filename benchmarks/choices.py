"""The measurements behind choices that docs/decisions.md explains.

Usage: ./run.sh bench choices [--faces FOLDER] [--json FILE]

  blocks    millions of pixels a core renders in a second, by the side of the fixed blocks
  product   ways to interpolate the nodes of one map for a block, in two threads at once: as
            products with OpenCV or numpy, or by weighing two neighbours element by element
  encoders  seconds and megabytes of PNG and WebP by their level of effort
  memory    resident size of a process after a dozen fusions, with and without telling the C
            library to give large blocks back
Without a folder they run on the demo pair, its target enlarged to 9 megapixels.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.measuring.portraits import Pair, add_faces_option, demo_portraits, parse_pairs
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import RecordingEngine, Studio, timed
from common.progress import Progress
from common.settings import load_settings
from common.types import FloatArray, Region
from fusion import field as fields
from fusion.engines.mesh import MeshEngine
from fusion.pipeline import Pipeline
from fusion.request import Blend, FusionRequest, Output
from preprocess.face_models import model_directory
from preprocess.faces import FaceFinder
from preprocess.image_source import vips

IntArray = NDArray[np.intp]

PAIR = "e_turned:f_smile"
DEMO_SIDE = 3000
BLOCK_SIDES = (64, 128, 256, 512)
NODES = (8, 16, 32, 64)  # of the grid, under one block
PRODUCTS = 400
PNG_LEVELS = ((1, "none"), (1, "up"), (3, "up"), (6, "none"), (6, "up"), (9, "all"))
WEBP_EFFORTS = (0, 2, 4, 6)
FUSIONS = 12
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    add_json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        pair = parse_pairs(options.faces, [PAIR])[0] if options.faces else large_demo(scratch)
        report: dict[str, Any] = {
            "pair": str(pair),
            "blocks": measure_blocks(pair, scratch),
            "product": measure_products(),
            "encoders": measure_encoders(pair.target, scratch),
            "memory": [measure_memory(pair, scratch, gives) for gives in (False, True)],
        }
    for part in ("blocks", "product", "encoders", "memory"):
        print(f"{part}\n{table_of(report[part])}\n")
    write_report(options.json, "choices", report)


def large_demo(scratch: Path) -> Pair:
    """The demo pair with a target of 9 megapixels."""
    target, source = demo_portraits(scratch)
    large = scratch / "a_large.jpg"
    vips().Image.thumbnail(str(target), DEMO_SIDE, size="force").jpegsave(str(large))
    return Pair(large, source)


def measure_blocks(pair: Pair, scratch: Path) -> list[dict[str, Any]]:
    """Render the same field in one thread on grids of other sides."""
    studio = Studio()
    engine = RecordingEngine(MeshEngine())
    size = studio.fuse(pair.target, pair.source, scratch / "out.jpg", engine=engine).size
    field = engine.field
    if field is None:
        raise RuntimeError("the engine was never asked for a field")
    region = field.bounds(size)
    under = fields.Backdrop(studio.pixels(pair.target), Region.whole(size))
    usual, rows = fields.BLOCK, []
    try:
        for side in BLOCK_SIDES:
            fields.BLOCK = side
            costs = [timed(lambda: field.render(under, region, size)) for _ in range(REPEATS)]
            best = min(cost.cpu for cost in costs)
            rows.append({"side": side, "megapixels_per_cpu_s": region.pixels / 1e6 / best})
    finally:
        fields.BLOCK = usual
    return rows


def measure_products() -> list[dict[str, Any]]:
    """Bilinear values of nodes x nodes at block x block places, each way, by the nodes."""
    rows = []
    for nodes in NODES:
        values = np.random.default_rng(nodes).random((nodes, nodes), np.float32)
        places = np.linspace(0, nodes - 1.001, fields.BLOCK)
        for way in (by_opencv, by_numpy, by_elements):
            work = partial(in_two_threads, partial(way, values, *weights(places, nodes)))
            costs = [timed(work) for _ in range(REPEATS)]
            rows.append(
                {
                    "by": way.__name__.removeprefix("by_"),
                    "nodes": nodes,
                    "wall_us": 1e6 * min(cost.wall for cost in costs) / PRODUCTS,
                    "cpu_us": 1e6 * min(cost.cpu for cost in costs) / PRODUCTS,
                }
            )
    return rows


def weights(places: NDArray[np.float64], nodes: int) -> tuple[FloatArray, IntArray, FloatArray]:
    """The weights of all nodes as a matrix; the lower neighbours, and the upper ones' shares."""
    low = places.astype(np.intp)
    share = (places - low).astype(np.float32)
    matrix = np.zeros((len(places), nodes), np.float32)
    rows = np.arange(len(places))
    matrix[rows, low], matrix[rows, low + 1] = 1 - share, share
    return matrix, low, share


def by_opencv(values: FloatArray, matrix: FloatArray, low: IntArray, share: FloatArray) -> Any:  # noqa: ARG001
    inner = cv2.gemm(matrix, values, 1, np.empty(0), 0)
    return cv2.gemm(inner, matrix, 1, np.empty(0), 0, flags=cv2.GEMM_2_T)


def by_numpy(values: FloatArray, matrix: FloatArray, low: IntArray, share: FloatArray) -> Any:  # noqa: ARG001
    return matrix @ values @ matrix.T


def by_elements(values: FloatArray, matrix: FloatArray, low: IntArray, share: FloatArray) -> Any:  # noqa: ARG001
    upper = values.take(low, 0)
    down = upper + share[:, None] * (values.take(low + 1, 0) - upper)
    left = down.take(low, 1)
    return left + share * (down.take(low + 1, 1) - left)


def in_two_threads(product: Callable[[], object]) -> None:
    """`PRODUCTS` products in each of two threads."""

    def work() -> None:
        for _ in range(PRODUCTS):
            product()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work), threads.submit(work)]:
            done.result()


def measure_encoders(file: Path, scratch: Path) -> list[dict[str, Any]]:
    """Encode one picture that is already in memory."""
    picture = vips().Image.new_from_file(str(file)).copy_memory()
    rows = []
    for level, filters in PNG_LEVELS:
        out = scratch / "out.png"
        cost = timed(partial(picture.pngsave, str(out), compression=level, filter=filters))
        rows.append(encoded(f"PNG level {level}, filter {filters}", cost.cpu, out))
    for effort in WEBP_EFFORTS:
        out = scratch / "out.webp"
        cost = timed(partial(picture.webpsave, str(out), Q=95, effort=effort))
        rows.append(encoded(f"WebP effort {effort}", cost.cpu, out))
    return rows


def encoded(name: str, seconds: float, file: Path) -> dict[str, Any]:
    return {"encoder": name, "cpu_s": seconds, "megabytes": file.stat().st_size / 1e6}


def measure_memory(pair: Pair, scratch: Path, gives_back: bool) -> dict[str, Any]:
    """Resident size after `FUSIONS` fusions in a process of its own, MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as process:
        resident = process.apply(fuse_often, (pair, scratch / "out.jpg", gives_back))
    return {"gives_blocks_back": gives_back, "resident_mb": resident}


def fuse_often(pair: Pair, output: Path, gives_back: bool) -> float:
    """Run in the other process: answers its resident size, MiB."""
    settings = load_settings()
    if gives_back:
        pipeline = Studio().pipeline
    else:
        cv2.setNumThreads(1)
        finder = FaceFinder(model_directory(settings.models.directory))
        pipeline = Pipeline(finder, settings.limits.max_megapixels)
    for _ in range(FUSIONS):
        request = FusionRequest(pair.target, (pair.source,), Output(output), Blend(1.0))
        pipeline.run(request, MeshEngine(), Progress())
    resident: int = psutil.Process().memory_info().rss
    return resident / 2**20


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of JSON as a table."""
    return table(
        list(rows[0]),
        [
            [number(value) if isinstance(value, float) else str(value) for value in row.values()]
            for row in rows
        ],
    )


if __name__ == "__main__":
    main()
