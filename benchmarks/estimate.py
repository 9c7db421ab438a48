"""How well the time of a fusion is known before it starts.

Usage: ./run.sh bench estimate [--faces FOLDER] [--requests N] [--seed N] [--orders N] [--rates]
       [--json FILE]

Requests of every size (0.3 to 50 megapixels), format, finish and number of faces, drawn at random
from a seed, go through the studio's service one after the other, from an empty memory of past runs.
Before each its time is estimated; after it the studio has learnt it. The bar: from the sixth on, 8
of 10 estimates are within 30 % of the time that was taken.

The same runs are then put in other orders, to see how much of that was luck: as taken; as on a
machine three times slower; and scaled to the processor time of each (all threads together), which
is what counts on a machine that others use meanwhile. "--rates" prints what
`studio.service.cost_model.TERMS` would be here, by processor time scaled to the time taken.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring.portraits import (
    add_faces_option,
    demo_portraits,
    one_of_each,
    portraits,
    require_folder,
)
from benchmarks.measuring.report import add_json_option, number, table, write_report
from common.settings import load_settings
from fusion.request import FaceSelection
from preprocess.image_source import vips
from studio.service.controls import Controls
from studio.service.cost_model import CostModel, Run
from studio.service.fusion_service import FusionService
from studio.service.storage import Storage
from studio.service.timings import Timings
from studio.service.wish import Photo, Wish

LEARNT = 5
WITHIN = 0.3
SHARE = 0.8
SLOWER = 3.0
MEGAPIXELS = (0.3, 50.0)
FORMATS = {"jpeg": (10, 50.0), "png": (3, 24.0), "webp": (2, 6.0), "tiff": (2, 50.0)}
SLOW_FORMATS = {"avif": (1, 3.0), "heic": (1, 3.0)}
"""Weights, and the largest megapixels drawn."""
SUFFIX = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "avif": ".avif"}
GRAIN = 4.0
RESOLUTIONS = ("original", "original", "original", "512", "1024", "2048", "4096", "auto")


@dataclass(frozen=True, slots=True)
class Trial:
    """A request that was made: what was expected, and what it took, seconds.

    cpu: of all threads, and of programs that were started.
    """

    name: str
    expected: float
    low: float
    high: float
    taken: float
    cpu: float

    @property
    def error(self) -> float:
        """Of the estimate, relative to what it took."""
        return self.expected / self.taken - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    parser.add_argument("--requests", type=int, default=25, help="how many are made (25)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (1)")
    parser.add_argument("--orders", type=int, default=200, help="in which they are put anew (200)")
    parser.add_argument("--rates", action="store_true", help="print this machine's rates")
    add_json_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if options.faces is None:
            people = list(demo_portraits(scratch))
        else:
            people = one_of_each(portraits(require_folder(parser, options.faces)))
        trials, runs = measure(people, scratch, options.requests, options.seed)
    steady = by_processor_time(trials, runs)
    orders = {
        "as taken": replayed(runs, options.orders, 1.0),
        f"{SLOWER:g} times slower": replayed(runs, options.orders, SLOWER),
        "by processor time": replayed(steady, options.orders, 1.0),
    }
    print_tables(trials, orders)
    rates = CostModel(steady).rates
    if options.rates:
        print("\n" + "\n".join(f'    "{name}": {rate:.3g},' for name, rate in rates.items()))
    figures = {
        "trials": [told(trial) for trial in trials],
        "within": within([trial.error for trial in trials[LEARNT:]]),
        "orders": orders,
        "rates": rates,
    }
    write_report(options.json, "estimate", figures)


def measure(
    people: Sequence[Path], scratch: Path, requests: int, seed: int
) -> tuple[list[Trial], list[Run]]:
    """Make the requests; answers what was expected of each, and all as the studio learnt them."""
    draw = random.Random(seed)
    memory = scratch / "timings.json"
    settings = load_settings()
    storage = Storage(scratch, settings.storage.keep_hours)
    service = FusionService(settings, storage)
    try:
        service.pipeline()
        service.estimates.remember_in(memory)
        trials = [
            attempt(service, wish, name) for name, wish in wishes(service, people, draw, requests)
        ]
    finally:
        service.close()
        storage.close()
    return trials, list(Timings(memory).runs())


def attempt(service: FusionService, wish: Wish, name: str) -> Trial:
    """One request, from the wish to the result and its preview."""
    expected = service.estimates.expect(wish)
    begun, used = time.perf_counter(), processor_time()
    fused = service.submit(wish).result()
    taken, cpu = time.perf_counter() - begun, processor_time() - used
    service.storage.discard(fused.result.request.output.path)
    service.storage.discard(wish.target.path)
    return Trial(name, expected.seconds, expected.low, expected.high, taken, cpu)


def processor_time() -> float:
    """Seconds of all threads of this process and of its programs that have ended."""
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


def wishes(
    service: FusionService, people: Sequence[Path], draw: random.Random, count: int
) -> Iterator[tuple[str, Wish]]:
    """Different requests, their pictures made and looked at."""
    formats = {**FORMATS, **SLOW_FORMATS}
    names = list(formats)
    weights = [weight for weight, _ in formats.values()]
    for _ in range(count):
        kind = draw.choices(names, weights)[0]
        most = min(MEGAPIXELS[1], formats[kind][1])
        million = math.exp(draw.uniform(math.log(MEGAPIXELS[0]), math.log(most)))
        faces = draw.choice((1, 1, 1, 2))
        shown, source = draw.sample(list(people), 2)
        target = picture(service, [shown, *[source] * (faces - 1)], kind, million)
        given = look(service, source.read_bytes(), source.name)
        controls = drawn_controls(service, draw, target)
        pairs = tuple((None, index) for index in range(len(target.faces)))
        name = f"{target.size.pixels / 1e6:.1f} MP {kind}"
        yield (
            f"{name} {described(controls, len(pairs))}",
            Wish(target, (given,), FaceSelection(pairs=pairs), controls),
        )


def picture(service: FusionService, people: Sequence[Path], kind: str, million: float) -> Photo:
    """A target of so many megapixels that shows these people side by side, with some grain."""
    library = vips()
    shown = [library.Image.thumbnail(str(person), 1200, height=1200) for person in people]
    image = library.Image.arrayjoin(shown, across=len(shown)).colourspace("srgb")
    factor = math.sqrt(million * 1e6 / (image.width * image.height))
    image = image.resize(factor)
    grain = library.Image.gaussnoise(image.width, image.height, mean=0, sigma=GRAIN, seed=1)
    image = (image + grain).cast("uchar")
    suffix = SUFFIX.get(kind, ".heic")
    file = service.storage.new_file(f"target{suffix}")
    if kind == "heic":
        save_heic(image.numpy(), file)
    else:
        image.write_to_file(str(file), **({"effort": 0} if kind == "avif" else {}))
    return service.look_at(file).result()


def save_heic(pixels: Any, file: Path) -> None:
    """By pillow-heif, for libvips' wheels cannot."""
    import pillow_heif

    pillow_heif.from_bytes("RGB", pixels.shape[1::-1], pixels.tobytes()).save(file)


def look(service: FusionService, content: bytes, name: str) -> Photo:
    """A file as if it had been uploaded."""
    file = service.storage.new_file(name)
    file.write_bytes(content)
    return service.look_at(file).result()


def drawn_controls(service: FusionService, draw: random.Random, target: Photo) -> Controls:
    """Some controls, no output larger than the largest target."""
    resolution = draw.choice(RESOLUTIONS)
    kind = draw.choice(("same", "same", "same", "jpeg", "png", "webp"))
    large = target.size.pixels > 12e6 and resolution == "original"
    slow = target.format in SLOW_FORMATS and resolution not in ("original", "512", "1024")
    if (large and kind == "webp") or (slow and kind == "same"):
        kind = "jpeg"
    values = {
        "ratio": draw.choice((0.4, 0.6, 1.0)),
        "mode": draw.choice(("normal", "normal", "blend", "overlay")),
        "smooth": draw.choice((0, 0, 0.5)),
        "sharpen": draw.choice((0, 0, 0, 0.5)),
        "brightness": draw.choice((0, 0, 0.1)),
        "scope": draw.choice(("image", "face")),
        "resolution": resolution,
        "format": kind,
        "engine": "mesh",
    }
    return Controls.read(values, service.settings)


def described(controls: Controls, faces: int) -> str:
    """What matters for the time, in a few letters."""
    finish = "".join(
        letter
        for letter, value in (
            ("m", controls.smooth),
            ("s", controls.sharpen),
            ("b", controls.brightness),
        )
        if value
    )
    scope = "" if controls.scope == "image" or not finish else "/face"
    kind = "" if controls.format == "same" else f" > {controls.format}"
    size = "" if controls.resolution == "original" else f" at {controls.resolution}"
    return f"{faces} face{'s' * (faces > 1)}{size}{kind} {finish}{scope}".rstrip()


def by_processor_time(trials: Sequence[Trial], runs: Sequence[Run]) -> list[Run]:
    """The runs with seconds in proportion to their processor time.

    The proportion is that of the runs that were disturbed least: a tenth of them has a smaller one.
    """
    alone = sorted(trial.taken / trial.cpu for trial in trials)[len(trials) // 10]
    return [
        scaled(run, alone * trial.cpu / sum(run.seconds.values()))
        for trial, run in zip(trials, runs, strict=True)
    ]


def scaled(run: Run, factor: float) -> Run:
    """A run whose stages took ``factor`` times as long."""
    return Run(run.work, {stage: factor * value for stage, value in run.seconds.items()})


def replayed(runs: Sequence[Run], orders: int, slower: float) -> dict[str, float]:
    """The share of estimates within the bar from the sixth run on, in many orders of the runs."""
    draw = random.Random(0)
    errors: list[float] = []
    known = [scaled(run, slower) for run in runs]
    for _ in range(orders):
        order = draw.sample(known, min(len(known), 2 * LEARNT + 1))
        for place in range(LEARNT, len(order)):
            run, model = order[place], CostModel(order[:place])
            errors.append(model.estimate(run.work).seconds / sum(run.seconds.values()) - 1)
    return {"orders": orders, "estimates": len(errors), "within": within(errors)}


def within(errors: Sequence[float]) -> float:
    """The share of relative errors that are inside the bar."""
    good = sum(abs(error) <= WITHIN for error in errors)
    return round(good / max(1, len(errors)), 4)


def told(trial: Trial) -> dict[str, Any]:
    """A trial as JSON."""
    return {
        "request": trial.name,
        "expected_s": round(trial.expected, 3),
        "low_s": round(trial.low, 3),
        "high_s": round(trial.high, 3),
        "taken_s": round(trial.taken, 3),
        "cpu_s": round(trial.cpu, 3),
        "error": round(trial.error, 3),
    }


def print_tables(trials: Sequence[Trial], orders: dict[str, dict[str, float]]) -> None:
    """What the figures say."""
    rows = [
        (
            trial.name,
            number(trial.expected),
            f"{trial.low:.2f}-{trial.high:.2f}",
            number(trial.taken),
            number(trial.cpu),
            f"{100 * trial.error:+.0f} %",
            "learning" if place < LEARNT else "yes" if abs(trial.error) <= WITHIN else "NO",
        )
        for place, trial in enumerate(trials)
    ]
    titles = ("request", "expected s", "80 % between", "taken s", "cpu s", "error", "within 30 %")
    print(table(titles, rows))
    share = within([trial.error for trial in trials[LEARNT:]])
    verdict = "holds" if share >= SHARE else "does not hold"
    print(f"\n{100 * share:.0f} % of the estimates from the sixth on are within: the bar {verdict}")
    for name, found in orders.items():
        print(f"{100 * found['within']:.0f} % in {found['orders']} other orders, {name}")


if __name__ == "__main__":
    main()
