"""One fusion from files to file: the only place that knows the order of the steps."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.errors import MemoryLimitError, NoFaceError, OptionError
from common.progress import Progress
from common.settings import Settings
from common.types import Face, PixelArray, Region, Size
from fusion.advice import warnings_for
from fusion.engines.base import Engine, FaceView
from fusion.field import BLOCK, FusionField
from fusion.memory import peak_rss_mb, return_large_blocks
from fusion.request import (
    Detection,
    FaceSelection,
    FusionRequest,
    FusionResult,
    check_choice,
    face_report,
)
from preprocess.face_models import model_directory
from preprocess.faces import FaceFinder
from preprocess.image_file import ImageFile, Patch, check_output, output_format
from preprocess.resolution import output_size
from preprocess.window import Window, scaled_size

_STAGES = ("total", "read", "detect", "prepare", "render", "write")
_VIEW_MARGIN = 0.4  # of the face's size, around its box
_SOURCE_RESERVE = 1.25  # finer than the output on average: some parts of the warp enlarge
_RENDER_THREADS = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is decided before any pixel of a face is read at full size."""

    target: ImageFile
    source: ImageFile
    at: Size
    pairs: tuple[tuple[Face, Face], ...]  # source face, target face

    @property
    def scale(self) -> float:
        """Output pixels per target pixel."""
        return self.at.longer / self.target.size.longer


class Pipeline:
    """Runs requests; one instance serves any number of threads.

    Args:
        finder: Finds the faces.
        max_megapixels: Pictures and outputs above this are refused.
    """

    def __init__(self, finder: FaceFinder, max_megapixels: float) -> None:
        self._finder = finder
        self._max_megapixels = max_megapixels

    def detect(
        self, path: Path, detection: Detection, progress: Progress
    ) -> tuple[ImageFile, tuple[Face, ...]]:
        """The picture and all its faces, largest first; perhaps none.

        Raises:
            InputError: The file cannot be used as a picture.
            ModelMissingError: A face model is absent or broken.
            StoppedError: ``progress`` ended the work.
        """
        with _memory_errors(), _whole(progress):
            with progress.stage("read"):
                image = ImageFile.open(path, max_megapixels=self._max_megapixels)
            with progress.stage("detect"):
                faces = self._find(image, detection, progress)
        return image, faces

    def run(self, request: FusionRequest, engine: Engine, progress: Progress) -> FusionResult:
        """Fuse and write the output file.

        Raises:
            InputError: A file, a value or the output's place cannot be used.
            NoFaceError: A picture shows no face; the message says which.
            EngineUnavailableError: The engine cannot run here.
            StoppedError: ``progress`` ended the work.
            ResourceError: Memory or disk ran out.
        """
        check_choice("mode", request.blend.mode, engine.capabilities.modes)
        with _memory_errors(), _whole(progress):
            plan, faces = self._plan(request, progress)
            fields = []
            if request.blend.ratio > 0:
                fields = [
                    self._prepare(plan, pair, engine, request, progress) for pair in plan.pairs
                ]
            patches = _render(plan.target, plan.at, fields, progress)
            with progress.stage("write"):
                lost = _write(plan, request, patches, progress)
        used = {target.index for _, target in plan.pairs}
        return FusionResult(
            request=request,
            size=plan.at,
            format=output_format(request.output.path),
            engine=engine.capabilities.name,
            device=engine.capabilities.device,
            faces=tuple((face, face.index in used) for face in faces),
            seconds={name: progress.seconds.get(name, 0.0) for name in _STAGES},
            peak_rss_mb=peak_rss_mb(),
            warnings=(*warnings_for(plan.pairs, plan.source.size, plan.scale), *lost),
        )

    def _plan(self, request: FusionRequest, progress: Progress) -> tuple[_Plan, tuple[Face, ...]]:
        with progress.stage("read"):
            target, source = (
                ImageFile.open(path, max_megapixels=self._max_megapixels)
                for path in (request.target, request.source)
            )
            at = output_size(target.size, request.output.resolution, self._max_megapixels)
            check_output(request.output.path, at)
        with progress.stage("detect"):
            found = []
            for role, image in (("target", target), ("source", source)):
                faces = self._find(image, request.detection, progress)
                if not faces:
                    raise NoFaceError(
                        f"no face was found in the {role} picture {image.path}; use a picture that "
                        "shows a face clearly, or lower the threshold"
                    )
                found.append(faces)
        pairs = _choose(request.faces, *found)
        return _Plan(target, source, at, pairs), found[0]

    def _find(self, image: ImageFile, detection: Detection, progress: Progress) -> tuple[Face, ...]:
        return self._finder.find(image, detection.threshold, detection.min_face, progress)

    def _prepare(
        self,
        plan: _Plan,
        pair: tuple[Face, Face],
        engine: Engine,
        request: FusionRequest,
        progress: Progress,
    ) -> FusionField:
        source, target = pair
        shown = target.quality.size * plan.scale
        with progress.stage("read"):
            wanted = engine.capabilities.analysis_px / target.quality.size
            seen = _view(plan.target, target, wanted, stored=True)
            wanted = _SOURCE_RESERVE * shown / source.quality.size
            given = _view(plan.source, source, wanted, stored=False)
        with progress.stage("prepare"):
            return engine.prepare(given, seen, request.blend, progress)


def build_pipeline(settings: Settings) -> Pipeline:
    """The pipeline of a configured studio; nothing is loaded before it is used.

    It sets up the process for it: tiles already keep every core busy, so OpenCV starts no
    threads of its own, and large blocks of memory go back to the system.
    """
    cv2.setNumThreads(1)
    return_large_blocks()
    finder = FaceFinder(model_directory(settings.models.directory))
    return Pipeline(finder, settings.limits.max_megapixels)


def detection_report(image: ImageFile, faces: Sequence[Face], progress: Progress) -> dict[str, Any]:
    """What `Pipeline.detect` found, as the command line's JSON line."""
    return {
        "image": str(image.path),
        "width": image.size.width,
        "height": image.size.height,
        "format": image.format,
        "faces": [face_report(face) for face in faces],
        "seconds": {name: round(value, 4) for name, value in progress.seconds.items()},
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "warnings": [],
    }


def _choose(
    selection: FaceSelection, targets: Sequence[Face], sources: Sequence[Face]
) -> tuple[tuple[Face, Face], ...]:
    """Pairs of (source face, target face).

    Raises:
        OptionError: An index that no face has.
    """
    if selection.every:
        return tuple((sources[0], target) for target in targets)
    chosen = []
    for source, target in selection.pairs or ((0, 0),):
        for role, index, faces in (("source", source, sources), ("target", target, targets)):
            if index >= len(faces):
                raise OptionError(
                    f"faces: the {role} picture has no face {index}; it shows {len(faces)}, "
                    f"numbered from 0 (the largest) to {len(faces) - 1}"
                )
        chosen.append((sources[source], targets[target]))
    return tuple(chosen)


def _view(image: ImageFile, face: Face, factor: float, *, stored: bool) -> FaceView:
    """A face and its surroundings at ``factor`` (at most 1) of the picture's size."""
    at = scaled_size(image.size, min(1.0, factor))
    margin = round(max(face.box.width, face.box.height) * _VIEW_MARGIN)
    region = (
        face.box.grow(margin)
        .clip(image.size)
        .scale(at.width / image.size.width, at.height / image.size.height)
        .clip(at)
    )
    pixels = image.read(region, at) if stored else image.read_srgb(region, at)
    return FaceView(face, Window.of(pixels, region, at, image.size), image.size)


def _render(
    target: ImageFile, at: Size, fields: Sequence[FusionField], progress: Progress
) -> list[Patch]:
    """All changed pixels of the output, as patches that do not overlap each other."""
    bounds = [field.bounds(at) for field in fields]
    regions = _merged([region for region in bounds if not region.is_empty])
    total = sum(region.pixels for region in regions)
    done = 0
    patches = []
    with ThreadPoolExecutor(min(_RENDER_THREADS, os.cpu_count() or 1)) as threads:
        for region in regions:
            with progress.stage("read"):
                pixels = target.read(region, at)
            with progress.stage("render"):
                tiles = list(region.blocks(BLOCK))
                work = [
                    threads.submit(_render_tile, pixels, tile, region, fields, at) for tile in tiles
                ]
                try:
                    for tile, one in zip(tiles, work, strict=True):
                        one.result()
                        done += tile.pixels
                        progress.advance(done / total)
                finally:
                    for one in work:
                        one.cancel()
            patches.append(Patch(region, pixels))
    return patches


def _render_tile(
    pixels: PixelArray, tile: Region, region: Region, fields: Sequence[FusionField], at: Size
) -> None:
    """Fuse one tile of ``pixels`` (which cover ``region``) in place, field after field."""
    highest = np.float32(np.iinfo(pixels.dtype).max)
    place = tile.within(region)
    values = pixels[place].astype(np.float32) / highest
    for field in fields:
        if not field.bounds(at).intersect(tile).is_empty:
            values = field.render(values, tile, at)
    pixels[place] = np.rint(np.clip(values, 0.0, 1.0) * highest).astype(pixels.dtype)


def _merged(regions: list[Region]) -> list[Region]:
    """Overlapping regions joined until none overlap: each pixel is read and written once."""
    done: list[Region] = []
    for region in regions:
        joined = region
        while touching := [other for other in done if not other.intersect(joined).is_empty]:
            for other in touching:
                done.remove(other)
                joined = joined.union(other)
        done.append(joined)
    return done


def _write(
    plan: _Plan, request: FusionRequest, patches: list[Patch], progress: Progress
) -> tuple[str, ...]:
    output = request.output
    same = plan.at == plan.target.size and output_format(output.path) == plan.target.format
    if not patches and same:
        plan.target.copy_to(output.path)
        return ()
    return plan.target.write(output.path, plan.at, patches, output.quality, progress)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Memory that runs out in Python or OpenCV becomes a `MemoryLimitError`."""
    try:
        yield
    except MemoryError as error:
        raise MemoryLimitError(_NO_MEMORY) from error
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryLimitError(_NO_MEMORY) from error
        raise


@contextmanager
def _whole(progress: Progress) -> Iterator[None]:
    """Add the time of everything inside to ``progress.seconds["total"]``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        progress.seconds["total"] = time.perf_counter() - started


_NO_MEMORY = "the memory was not enough for this fusion; choose a smaller output resolution"
