"""What looking for small faces costs, and how many of them are found.

Usage: ./run.sh bench detection [--longest PX] [--faces FOLDER] [--json FILE]

Cost: one face in a textured picture of 3:2 whose longer side is 2000, 6000 and 16 000 px,
looked for with falling --min-face. "networks" is how often a detection network ran, "seen" how
many faces they took for one, "warm" and "cpu" the time of that in a running process, "detect"
what the command says of itself, which also measures what was seen, "peak" its memory.
Recall: portraits reduced so that their face is as wide as --min-face asks for, or somewhat
less or more, on a grey picture; by default the demo pair, better a folder of many people.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.data import astronaut

from benchmarks.measuring.portraits import add_faces_option, demo_portraits, portraits
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import Cost, Studio, command_line, timed
from common.progress import Progress
from common.types import FloatArray, Region
from preprocess.detection import Detection, detect, look_over
from preprocess.face_models import model_directory, require_model
from preprocess.image_file import ImageFile
from preprocess.image_source import vips
from preprocess.networks import FULL_RANGE, SHORT_RANGE, Network, NetworkSet

CANVASES = (2000, 6000, 16_000)
MIN_FACES = (800, 400, 200, 100, 50, 24)
PORTRAIT_SHARE = 0.9  # height of the pasted portrait over the picture's
HEAD = np.s_[:300, 88:348]  # of the astronaut
GRAIN = 32  # px of the texture's coarsest spots
THRESHOLD = 0.5

RECALL_MIN_FACE = 24
RECALL_CANVAS = 640
RECALL_RATIOS = (0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0)
GREY = 118


class CountingNetwork(Network):
    """A network that counts its runs."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.runs = 0

    def run(self, image: FloatArray) -> list[FloatArray]:
        self.runs += 1
        return super().run(image)


class CountingNetworks(NetworkSet):
    """The four networks with both detectors counted."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.full_range = self._wide = CountingNetwork(require_model(FULL_RANGE, directory))
        self.short_range = self._near = CountingNetwork(require_model(SHORT_RANGE, directory))

    def take_count(self) -> int:
        """Runs since the last call."""
        count = self._wide.runs + self._near.runs
        self._wide.runs = self._near.runs = 0
        return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_faces_option(parser)
    parser.add_argument(
        "--longest", type=int, default=CANVASES[-1], help="leave out larger pictures"
    )
    add_json_option(parser)
    options = parser.parse_args()
    studio = Studio()
    networks = CountingNetworks(model_directory(studio.settings.models.directory))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        sides = [side for side in CANVASES if side <= options.longest]
        costs = [one for side in sides for one in measure_costs(studio, networks, side, scratch)]
        files = portraits(options.faces) if options.faces else list(demo_portraits(scratch))
        found = measure_recall(studio, files, scratch)
    print_tables(costs, found)
    write_report(options.json, "detection", {"costs": costs, "recall": found})


def measure_costs(
    studio: Studio, networks: CountingNetworks, longer: int, scratch: Path
) -> list[dict[str, Any]]:
    """All sizes of the smallest face in one picture; the first is what nobody asked for."""
    file = scratch / f"picture_{longer}.jpg"
    make_picture(file, longer, longer * 2 // 3)
    image = studio.open(file)
    rows = []
    for min_face in (None, *(size for size in MIN_FACES if size < longer / 2)):
        seen = len(detect_in(image, networks, min_face))
        networks.take_count()
        cost = timed(partial(detect_in, image, networks, min_face))
        row = {"longer_side": longer, "min_face": min_face, "networks": networks.take_count()}
        rows.append(row | {"detections": seen} | seconds_of(cost, file, min_face))
    file.unlink()
    return rows


def detect_in(
    image: ImageFile, networks: CountingNetworks, min_face: int | None
) -> list[Detection]:
    """What the face finder does before it measures the faces."""
    image, overview = look_over(image)
    return detect(image, overview, networks, THRESHOLD, min_face, Progress())


def seconds_of(cost: Cost, file: Path, min_face: int | None) -> dict[str, Any]:
    """The times, with those and the memory of the command line."""
    asked = [] if min_face is None else ["--min-face", str(min_face)]
    report = command_line("detect", str(file), *asked)
    return {
        "warm_s": round(cost.wall, 3),
        "cpu_s": round(cost.cpu, 3),
        "command_s": report["seconds"]["total"],
        "peak_mb": report["peak_rss_mb"],
        "faces": len(report["faces"]),
    }


def make_picture(file: Path, width: int, height: int) -> None:
    """Coloured grain of two scales with one portrait in it."""
    library = vips().Image
    fine = np.random.default_rng(7).normal(0, 12, (256, 256, 3))
    coarse = np.random.default_rng(8).normal(120, 40, (256 // GRAIN, 256 // GRAIN, 3))
    blocks = np.kron(coarse, np.ones((GRAIN, GRAIN, 1)))
    grain = np.clip(blocks + fine, 0, 255).astype(np.uint8)
    across, down = -(-width // 256), -(-height // 256)
    sheet = library.new_from_array(grain).replicate(across, down).crop(0, 0, width, height)
    photo = np.asarray(astronaut())  # type: ignore[no-untyped-call]
    person = library.new_from_array(np.ascontiguousarray(photo[HEAD]))
    person = person.resize(height * PORTRAIT_SHARE / person.height)
    sheet = sheet.insert(person, width // 3, height // 20).copy(interpretation="srgb")
    sheet.jpegsave(str(file), Q=90)


def measure_recall(studio: Studio, files: Sequence[Path], scratch: Path) -> list[dict[str, Any]]:
    """How many portraits are found by the size of their face over the smallest asked for."""
    people = studio.with_one_face(files)
    rows = []
    for ratio in RECALL_RATIOS:
        width = ratio * RECALL_MIN_FACE
        hits = [is_found(studio, file, width, scratch / "reduced.png") for file in people]
        rows.append({"face_over_min": ratio, "found": sum(hits), "of": len(hits)})
    return rows


def is_found(studio: Studio, file: Path, width: float, scratch: Path) -> bool:
    """Whether a portrait is found once its largest face is reduced to ``width`` px."""
    face = studio.portrait_face(file)
    scale = width / face.box.width
    whole = studio.open(file).size
    small = Image.fromarray(studio.pixels(file, Region.whole(whole)))
    small = small.resize(
        (max(1, round(whole.width * scale)), max(1, round(whole.height * scale))),
        Image.Resampling.LANCZOS,
        reducing_gap=3.0,
    )
    canvas = Image.new("RGB", (RECALL_CANVAS, RECALL_CANVAS), (GREY, GREY, GREY))
    middle = RECALL_CANVAS // 2
    x = middle - round((face.box.x + face.box.width / 2) * scale)
    y = middle - round((face.box.y + face.box.height / 2) * scale)
    canvas.paste(small, (x, y))
    canvas.save(scratch)
    return any(
        abs(one.box.x + one.box.width / 2 - middle) < width / 2
        and abs(one.box.y + one.box.height / 2 - middle) < width / 2
        for one in studio.faces(scratch, min_face=RECALL_MIN_FACE)
    )


def print_tables(costs: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> None:
    """Both tables."""
    titles = ("picture", "min-face", "networks", "seen", "warm s", "cpu s", "detect s", "peak MB")
    print(
        table(
            titles,
            [
                (
                    f"{one['longer_side']} px",
                    "default" if one["min_face"] is None else str(one["min_face"]),
                    str(one["networks"]),
                    str(one["detections"]),
                    number(one["warm_s"]),
                    number(one["cpu_s"]),
                    number(one["command_s"]),
                    number(one["peak_mb"], 0),
                )
                for one in costs
            ],
        )
    )
    print()
    print(
        table(
            ("face / min-face", "found"),
            [(f"{one['face_over_min']:g}", f"{one['found']} of {one['of']}") for one in found],
        )
    )


if __name__ == "__main__":
    main()
