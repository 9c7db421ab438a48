"""How soon a page shows a change: previews while a control moves, and an upload's faces.

Usage: ./run.sh bench preview [--faces FOLDER] [--pair TARGET:SOURCE] [--longest PX] [--moves N]
       [--json FILE]

Previews: one session, as a page has it; each control is moved to N values that it did not have
before, and what a move takes in the server is measured, from the wish to the JPEG. Rows with
"finished" move that control while all finishes are on. Upload: a JPEG of 24 megapixels and 50 MB
(the demo portrait enlarged, with noise) is looked at as after an upload: its faces and its
preview. Without a folder the demo pair is used, its target enlarged to 2048 px.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.measuring.portraits import (
    Pair,
    add_faces_option,
    demo_portraits,
    parse_pairs,
    require_folder,
)
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import Cost, timed
from common.settings import Settings, load_settings
from fusion.memory import resident_mb
from fusion.request import FaceSelection
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.storage import Storage
from studio.service.wish import Photo, Wish

MEDIAN_BAR_S, LATE_BAR_S = 0.25, 0.4  # of each control: median, and 95 % of all moves
LOOK_BAR_S = 2.5
UPLOAD = (6000, 4000)
NOISE, QUALITY = 14.0, 99  # of the upload: 52 MB
FINISHED: dict[str, Any] = {
    "smooth": 0.4,
    "brightness": 0.1,
    "contrast": 0.05,
    "saturation": 0.1,
    "sharpen": 0.3,
}
# A control's value at the share t of the way, 0-1.
CONTROLS: dict[str, Callable[[float], dict[str, Any]]] = {
    "ratio": lambda t: {"ratio": 0.1 + 0.8 * t},
    "shape": lambda t: {"shape": t},
    "mode": lambda t: {"mode": "blend", "ratio": 0.5 + 0.1 * t},
    "overlay": lambda t: {"mode": "overlay", "ratio": 0.5 + 0.1 * t},
    "expression": lambda t: {"expression": "source", "ratio": 0.5 + 0.1 * t},
    "keep glasses": lambda t: {"keep_glasses": False, "ratio": 0.5 + 0.1 * t},
    "smooth": lambda t: {"smooth": 0.1 + 0.9 * t},
    "brightness": lambda t: {"brightness": t - 0.49},
    "contrast": lambda t: {"contrast": t - 0.49},
    "saturation": lambda t: {"saturation": t - 0.49},
    "sharpen": lambda t: {"sharpen": 0.1 + 0.9 * t},
    "sharpen, face": lambda t: {"sharpen": 0.1 + 0.9 * t, "scope": "face"},
    "ratio, finished": lambda t: FINISHED | {"ratio": 0.1 + 0.8 * t},
    "smooth, finished": lambda t: FINISHED | {"smooth": 0.1 + 0.9 * t},
    "contrast, finished": lambda t: FINISHED | {"contrast": t - 0.49},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    parser.add_argument("--pair", metavar="TARGET:SOURCE", default="b_front_2048:a_front")
    parser.add_argument("--longest", type=int, default=1600, help="preview's longer side (1600)")
    parser.add_argument("--moves", type=int, default=20, help="of each control (20)")
    add_json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if options.faces is None:
            pair = enlarged_demo(scratch)
        else:
            (pair,) = parse_pairs(require_folder(parser, options.faces), [options.pair])
        service = open_service(scratch, options.longest)
        try:
            previews = measure_previews(service, pair, options.moves)
            upload = measure_upload(service, scratch, max(3, options.moves // 4))
        finally:
            service.close()
    print_tables(previews, upload)
    figures = {"moves": options.moves, "previews": previews, "upload": upload}
    write_report(options.json, "preview", figures)


def open_service(scratch: Path, longest: int) -> FusionService:
    """The service as a page has it, with engine mesh, its files in a folder of their own."""
    settings = load_settings()
    page = settings.page.model_copy(update={"preview_px": longest})
    fusion = settings.fusion.model_copy(update={"engine": "mesh"})
    own: Settings = settings.model_copy(update={"page": page, "fusion": fusion})
    return FusionService(own, Storage(scratch / "storage", 24))


def measure_previews(service: FusionService, pair: Pair, moves: int) -> dict[str, Any]:
    """All figures of one session."""
    target, source = (service.look_at(file).result() for file in (pair.target, pair.source))
    begun = resident_mb()
    opened = timed(lambda: ask(service, target, source, {}))
    controls = []
    for name, values in CONTROLS.items():
        costs: list[Cost] = []
        # One more, that does not count: it leaves what stays the same while this control moves.
        for step in range(moves + 1):
            wish = values((step + 1) / (moves + 2))
            costs.append(timed(partial(ask, service, target, source, wish)))
        controls.append({"control": name} | latencies(costs[1:]))
    ctypes.CDLL(None).malloc_trim(0)  # what has been freed counts for nobody
    return {
        "pair": str(pair),
        "target": str(target.size),
        "size": str(target.shown),
        "first_s": round(opened.wall, 4),
        "session_mb": round(resident_mb() - begun, 1),
        "controls": controls,
    }


def ask(service: FusionService, target: Photo, source: Photo, values: dict[str, Any]) -> None:
    """One preview, as the page asks for it while a control moves."""
    controls = Controls.read(values, service.settings)
    wish = Wish(target, (source,), FaceSelection(), controls)
    service.live.submit("page", wish, draft=True).result()


def latencies(costs: Sequence[Cost]) -> dict[str, float]:
    """Median and 95 %, as JSON."""
    walls = sorted(cost.wall for cost in costs)
    return {
        "median_s": round(statistics.median(walls), 4),
        "p95_s": round(float(np.quantile(walls, 0.95)), 4),
        "best_s": round(walls[0], 4),
        "cpu_s": round(statistics.median(cost.cpu for cost in costs), 4),
    }


def measure_upload(service: FusionService, scratch: Path, runs: int) -> dict[str, Any]:
    """What looking at a large upload takes."""
    file = detailed_upload(scratch)
    photos: list[Photo] = []
    costs = [timed(lambda: photos.append(service.look_at(file).result())) for _ in range(runs)]
    return {
        "megapixels": round(photos[0].size.pixels / 1e6, 1),
        "megabytes": round(file.stat().st_size / 1e6, 1),
        "faces": len(photos[0].faces),
    } | latencies(costs)


def detailed_upload(folder: Path) -> Path:
    """A portrait whose every pixel costs the decoder something."""
    target, _ = demo_portraits(folder)
    with Image.open(target) as picture:
        box = (0, 0, picture.width, picture.width * UPLOAD[1] // UPLOAD[0])
        large = np.asarray(picture.resize(UPLOAD, Image.Resampling.BICUBIC, box), np.float32)
    noise = np.random.default_rng(1).normal(0, NOISE, large.shape).astype(np.float32)
    file = folder / "upload.jpg"
    pixels = np.clip(large + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, quality=QUALITY, subsampling=0)
    return file


def enlarged_demo(folder: Path) -> Pair:
    """The demo pair with a target of 2048 px."""
    target, source = demo_portraits(folder)
    large = folder / "a_2048.jpg"
    with Image.open(target) as picture:
        picture.resize((2048, 2048), Image.Resampling.BICUBIC).save(large, quality=92)
    return Pair(large, source)


def print_tables(previews: dict[str, Any], upload: dict[str, Any]) -> None:
    """What the figures say, in two tables."""
    titles = ("median s", "95 % s", "best", "cpu s", "bar")

    def row(name: str, figures: dict[str, float], holds: bool) -> tuple[str, ...]:
        keys = ("median_s", "p95_s", "best_s", "cpu_s")
        return (name, *(number(figures[key], 3) for key in keys), "holds" if holds else "MISSED")

    print(
        f"{previews['pair']}: {previews['target']} shown at {previews['size']}; the first one "
        f"{previews['first_s']:.2f} s, the session holds {previews['session_mb']:.0f} MB"
    )
    rows = [
        row(
            figures["control"],
            figures,
            figures["median_s"] <= MEDIAN_BAR_S and figures["p95_s"] <= LATE_BAR_S,
        )
        for figures in previews["controls"]
    ]
    print(table(("moved", *titles), rows))
    what = f"JPEG, {upload['megapixels']:.0f} MP, {upload['megabytes']:.0f} MB"
    holds = upload["p95_s"] <= LOOK_BAR_S
    print(f"\nlooked at after an upload: {upload['faces']} face found, preview written")
    print(table(("picture", *titles), [row(what, upload, holds)]))


if __name__ == "__main__":
    main()
