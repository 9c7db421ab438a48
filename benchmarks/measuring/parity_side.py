"""One side of the comparison with ModelScope's class, in a process of its own.

Usage: python -m benchmarks.measuring.parity_side SIDE DEVICE MODEL_FOLDER

SIDE is official, or the numbers in which the studio's engine computes, with composite official.
DEVICE is cpu or cuda; the class takes a GPU wherever it sees one. Reads jobs as lines of JSON from
standard input and answers each with a line of JSON:
`seconds` from decoded pictures to fused pixels (the studio's side cuts its views in that time),
the `region` of the picture that ``out`` (a .npy file, H x W x 3 uint8) covers, and `peak_mb`, the
most memory that the process has held until then (VmHWM).
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.lib.format import open_memmap

from benchmarks.measuring.parity import Job, Scene
from common.progress import Progress
from common.settings import Settings
from common.types import ByteArray, Face, Region, Size
from fusion.engines.base import Engine, Pair
from fusion.engines.registry import create_engine
from fusion.field import BLOCK, Backdrop, FusionField
from fusion.request import Blend, Network
from fusion.views import source_view, surroundings, target_view
from preprocess.image_file import ImageFile
from preprocess.tiling import Tiling, run_tiles

_BLEND = Blend(ratio=1.0, network=Network(composite="official"))
_MEGAPIXELS = 1000.0
_TILE = 4 * BLOCK
_MIB = 1024  # KiB


class _Work(Protocol):
    """Does a job: the region of the target that changed, its pixels, and the seconds."""

    def __call__(self, job: Job) -> tuple[Region, ByteArray, float]: ...


def _official(folder: Path) -> _Work:
    from benchmarks.measuring.official import Official

    official = Official(folder)

    def work(job: Job) -> tuple[Region, ByteArray, float]:
        scenes = [Scene.load(file) for file in (job.target, *job.sources)]
        target, source = (
            (scene.pixels(), scene.faces[index])
            for scene, index in zip(scenes, (job.faces[0], 0), strict=True)
        )
        begun = perf_counter()
        fused = official.fuse(target, source)
        return Region.whole(scenes[0].size), fused, perf_counter() - begun

    return work


def _studio(folder: Path, device: str, dtype: str) -> _Work:
    settings = Settings.model_validate(
        {"modelscope": {"folder": folder, "device": device, "dtype": dtype}}
    )
    engine = create_engine("modelscope", settings)

    def work(job: Job) -> tuple[Region, ByteArray, float]:
        target, *sources = (Scene.load(file) for file in (job.target, *job.sources))
        margin = engine.sight(_BLEND).margin
        faces = [target.faces[index] for index in job.faces]
        seen = _kept(target.file, [surroundings(face, margin) for face in faces])
        given = [_kept(scene.file, [surroundings(scene.faces[0], margin)]) for scene in sources]
        begun = perf_counter()
        region, pixels = _fused(engine, seen, faces, list(zip(given, sources, strict=True)))
        return region, pixels, perf_counter() - begun

    return work


def _kept(file: Path, regions: Sequence[Region]) -> ImageFile:
    return ImageFile.open(file, max_megapixels=_MEGAPIXELS).keeping(regions, 1.0)


def _fused(
    engine: Engine,
    target: ImageFile,
    faces: Sequence[Face],
    sources: Sequence[tuple[ImageFile, Scene]],
) -> tuple[Region, ByteArray]:
    """What the pipeline does between reading and writing."""
    sight = engine.sight(_BLEND)
    pairs = []
    for face, (image, scene) in zip(faces, sources, strict=True):
        shown = face.quality.size
        given = source_view(image, scene.faces[0], target, shown, sight)
        pairs.append(Pair(given, target_view(target, face, sight), shown))
    fields = engine.prepare(pairs, _BLEND, Progress())
    region = fields[0].bounds(target.size)
    for field in fields[1:]:
        region = region.union(field.bounds(target.size))
    pixels: ByteArray = np.array(target.view(region, 1.0).pixels)
    for field in fields:
        _lay(field, pixels, region, target.size)
    return region, pixels


def _lay(field: FusionField, pixels: ByteArray, region: Region, at: Size) -> None:
    """One field over the pixels of a region, in place, tile by tile."""

    def work(tile: Region) -> None:
        under = Backdrop(pixels[tile.within(region)], tile)
        values = field.render(under, tile, at)
        numbers = np.rint(np.clip(values, 0, 1) * np.float32(255))
        pixels[tile.within(region)] = numbers.astype(np.uint8)

    tiling = Tiling(_TILE, BLOCK, BLOCK, cv2.getNumberOfCPUs())
    run_tiles(field.bounds(at), tiling, work, Progress())


def _peak_mb() -> float:
    """VmHWM of this process: the most that was resident at once, MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / _MIB


def _serve(work: _Work, answer: Callable[[dict[str, Any]], None]) -> None:
    for line in sys.stdin:
        wanted = json.loads(line)
        sources = tuple(Path(file) for file in wanted["sources"])
        job = Job(Path(wanted["target"]), tuple(wanted["faces"]), sources, Path(wanted["out"]))
        region, pixels, seconds = work(job)
        peak = _peak_mb()
        open_memmap(job.out, "w+", np.uint8, pixels.shape)[:] = pixels
        answer({"seconds": seconds, "region": region.as_list(), "peak_mb": peak})


def main() -> None:
    side, device, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|modelscope)\.")
    # Libraries print as well; the answers go where only they are.
    out, sys.stdout = sys.stdout, sys.stderr

    def answer(found: dict[str, Any]) -> None:
        out.write(json.dumps(found) + "\n")
        out.flush()

    _serve(_official(folder) if side == "official" else _studio(folder, device, side), answer)


if __name__ == "__main__":
    main()
