"""One fusion from files to file: the only place that knows the order of the steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.errors import MemoryLimitError, NoFaceError, OptionError
from common.progress import Progress
from common.settings import Settings
from common.types import Face, Region
from fusion.advice import warnings_for
from fusion.engines.base import Engine, FaceView
from fusion.field import FusionField
from fusion.memory import (
    Budget,
    peak_rss_mb,
    return_large_blocks,
)
from fusion.rendering import changing, memory_errors, render
from fusion.request import (
    Detection,
    FaceSelection,
    FusionRequest,
    FusionResult,
    Output,
    check_choice,
    face_report,
)
from preprocess.auto_resolution import choose_resolution
from preprocess.delivery import Delivered, Job, Wishes, plan_delivery
from preprocess.face_models import model_directory
from preprocess.faces import FaceFinder
from preprocess.frame import Frame, plan_frame
from preprocess.image_file import ImageFile, check_output, output_format
from preprocess.libvips import return_free_blocks
from preprocess.resolution import AUTO, output_size

_STAGES = ("total", "read", "detect", "prepare", "render", "write")
_VIEW_MARGIN = 0.4  # of the face's size, around its box
_SOURCE_RESERVE = 1.25  # finer than the output on average: some parts of the warp enlarge


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is decided before any pixel of a face is read at full size."""

    target: ImageFile
    source: ImageFile
    pairs: tuple[tuple[Face, Face], ...]  # source face, target face
    frame: Frame
    budget: Budget
    notes: tuple[str, ...]

    @property
    def scale(self) -> float:
        """Output pixels per target pixel."""
        return self.frame.at.longer / self.target.size.longer


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
                _, faces = self._find(image, detection, progress)
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
            delivered = _deliver(plan, request.output, fields, progress)
        used = {target.index for _, target in plan.pairs}
        return FusionResult(
            request=request,
            size=plan.frame.size,
            format=output_format(request.output.path),
            engine=engine.capabilities.name,
            device=engine.capabilities.device,
            faces=tuple((face, face.index in used) for face in faces),
            seconds={name: progress.seconds.get(name, 0.0) for name in _STAGES},
            peak_rss_mb=peak_rss_mb() + delivered.extra_mb,
            written=delivered.written,
            notes=(*plan.notes, *delivered.notes),
            warnings=(
                *plan.target.header.warnings,
                *plan.source.header.warnings,
                *warnings_for(plan.pairs, plan.source.size, plan.scale),
                *delivered.warnings,
            ),
        )

    def _plan(self, request: FusionRequest, progress: Progress) -> tuple[_Plan, tuple[Face, ...]]:
        budget = Budget.of(request.max_memory_mb)
        output, limit = request.output, self._max_megapixels
        with progress.stage("read"):
            target, source = (
                ImageFile.open(path, max_megapixels=limit)
                for path in (request.target, request.source)
            )
            for image in (target, source):
                _check_decoder(image, budget)
            resolution = output.resolution
            known = None
            if resolution != AUTO:
                known = output_size(target.size, resolution, limit, output.fit)
            check_output(output.path, known)
        # Side by side: one decodes while the other's networks run.
        with progress.stage("detect"), ThreadPoolExecutor(1) as beside:
            looking = beside.submit(self._find_some, source, "source", request.detection, progress)
            target, faces = self._find_some(target, "target", request.detection, progress)
            source, others = looking.result()
        pairs = _choose(request.faces, faces, others)
        notes: tuple[str, ...] = ()
        if resolution == AUTO:
            sizes = [(to.quality.size, of.quality.size) for of, to in pairs]
            choice = choose_resolution(target.size, sizes, budget.spare_mb(), limit, output.fit)
            resolution, notes = choice.resolution, (choice.reason,)
        boxes = [face.box for _, face in pairs]
        frame = plan_frame(target.size, resolution, output.fit, boxes, limit)
        check_output(output.path, frame.size)
        plan = _Plan(
            target=target.keeping_only(boxes),
            source=source.keeping_only([face.box for face, _ in pairs]),
            pairs=pairs,
            frame=frame,
            budget=budget,
            notes=notes,
        )
        return plan, faces

    def _find_some(
        self, image: ImageFile, role: str, detection: Detection, progress: Progress
    ) -> tuple[ImageFile, tuple[Face, ...]]:
        """Likewise, but at least one.

        Raises:
            NoFaceError: There is none.
        """
        image, faces = self._find(image, detection, progress)
        if not faces:
            raise NoFaceError(
                f"no face was found in the {role} picture {image.path}; use a picture that "
                "shows a face clearly, or lower the threshold"
            )
        return image, faces

    def _find(
        self, image: ImageFile, detection: Detection, progress: Progress
    ) -> tuple[ImageFile, tuple[Face, ...]]:
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
            window = plan.target.view(_surroundings(target), wanted)
            seen = FaceView(target, window, plan.target.size)
            wanted = _SOURCE_RESERVE * shown / source.quality.size
            window = plan.source.view_for(plan.target, _surroundings(source), wanted)
            given = FaceView(source, window, plan.source.size)
        with progress.stage("prepare"):
            return engine.prepare(given, seen, request.blend, progress)


def build_pipeline(settings: Settings) -> Pipeline:
    """The pipeline of a configured studio; nothing is loaded before it is used.

    It sets up the process for it: tiles already keep every core busy, so OpenCV starts no
    threads of its own, and large blocks of memory go back to the system.
    """
    cv2.setNumThreads(1)
    # OpenCV builds a table for its Lab colours when they are first asked for, 75 ms; the target
    # is being decoded meanwhile.
    pixel = np.zeros((1, 1, 3), np.float32)
    threading.Thread(target=cv2.cvtColor, args=(pixel, cv2.COLOR_RGB2LAB)).start()
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
        "warnings": list(image.header.warnings),
    }


def _check_decoder(image: ImageFile, budget: Budget) -> None:
    """Refuse before any work what no smaller tile can make fit.

    Raises:
        MemoryLimitError: The picture can only be decoded whole, and the budget is too small.
    """
    needed, spare = image.header.decoder_mb, budget.spare_mb()
    if needed > spare:
        raise MemoryLimitError(
            f"{image.path} cannot be read in strips and needs up to {needed:.0f} MB of memory, and "
            f"{spare:.0f} MB may be used; raise max-memory-mb, or save it as PNG or baseline JPEG"
        )


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


def _surroundings(face: Face) -> Region:
    """A face and what an engine wants to see around it; it may reach over the picture's edge."""
    return face.box.grow(round(max(face.box.width, face.box.height) * _VIEW_MARGIN))


def _deliver(
    plan: _Plan, output: Output, fields: Sequence[FusionField], progress: Progress
) -> Delivered:
    """Render and write."""
    at, window = plan.frame.at, plan.frame.window.clip(plan.frame.at)
    regions = changing(fields, at, window)
    turn = plan.target.header.orientation
    job = Job(plan.target, plan.frame, tuple(turn.stored_region(part, at) for part in regions))
    wishes = Wishes(output.path, output.quality, output.graft)
    with ExitStack() as stack:
        delivery = stack.enter_context(plan_delivery(job, wishes, plan.budget.spare_mb()))
        with progress.stage("read"):
            base = stack.enter_context(plan.target.rendition(at, progress))
        budget = Budget(plan.budget.total_mb - delivery.held_mb)
        patches = render(base, fields, regions, budget, progress)
        return_free_blocks()
        with progress.stage("write"):
            return delivery.write(base, patches, progress)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Memory that runs out in Python or OpenCV becomes a `MemoryLimitError`."""
    try:
        with memory_errors():
            yield
    except MemoryError as error:
        raise MemoryLimitError(
            "the memory was not enough for this fusion; choose a smaller output resolution"
        ) from error


@contextmanager
def _whole(progress: Progress) -> Iterator[None]:
    """Add the time of everything inside to ``progress.seconds["total"]``."""
    started = time.perf_counter()
    try:
        yield
    finally:
        progress.seconds["total"] = time.perf_counter() - started
