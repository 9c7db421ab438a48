"""One fusion from files to file: the only place that knows the order of the steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.errors import MemoryLimitError, NoFaceError
from common.progress import Progress
from common.settings import MAX_MEMORY_RANGE, Settings
from common.types import Face
from fusion.engines.base import Engine
from fusion.field import FusionField, Layer
from fusion.memory import (
    Budget,
    peak_rss_mb,
    return_large_blocks,
)
from fusion.pairing import View, laying_order
from fusion.planning import (
    Looked,
    Plan,
    finish_of,
    needs_fields,
    once,
    pairs_of,
    plan_fusion,
    prepared,
    remarks_on,
)
from fusion.rendering import changing, memory_errors, render
from fusion.request import (
    Detection,
    FusionRequest,
    FusionResult,
    Output,
    face_report,
)
from preprocess.delivery import Delivered, Job, Wishes, plan_delivery
from preprocess.face_models import model_directory
from preprocess.faces import FaceFinder
from preprocess.image_file import ImageFile, check_output, output_format
from preprocess.libvips import return_free_blocks
from preprocess.resolution import AUTO, output_size

_STAGES = ("total", "read", "detect", "prepare", "render", "write")


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
        self, path: Path, detection: Detection, progress: Progress, *, shown: bool = False
    ) -> tuple[ImageFile, tuple[Face, ...]]:
        """The picture and all its faces, largest first; perhaps none.

        Args:
            shown: Whether the picture will be shown as well: then it stays in memory as it was
                decoded, if it is not too large (`ImageFile.decoded`).

        Raises:
            InputError: The file cannot be used as a picture.
            ModelMissingError: A face model is absent or broken.
            StoppedError: ``progress`` ended the work.
        """
        with memory_limits(), _whole(progress):
            with progress.stage("read"):
                image = ImageFile.open(path, max_megapixels=self._max_megapixels)
                if shown:
                    image = image.decoded(progress)
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
        engine.capabilities.check(request.blend)
        _check_room(request, engine)
        budget = Budget.of(request.max_memory_mb)
        with memory_limits(), _whole(progress):
            plan = self._plan(request, budget, progress)
            order = laying_order(plan.matches)
            fields: tuple[FusionField, ...] = ()
            if needs_fields(request.blend, request.finish):
                with progress.stage("read"):
                    pairs = pairs_of(plan, order, engine, request.blend, plan.scale, progress)
                with progress.stage("prepare"):
                    fields = prepared(engine, pairs, request.blend, progress)
            if engine.capabilities.memory_mb:  # what it holds by now is not the pictures'
                budget = Budget.of(request.max_memory_mb)
            layers = [*fields, *finish_of(plan, order, fields, request.finish)]
            delivered = _deliver(plan, request.output, layers, budget, progress)
        remarks = remarks_on(plan, fields)
        used = {match.target.index for match in plan.matches}
        return FusionResult(
            request=request,
            size=plan.frame.size,
            format=output_format(request.output.path),
            engine=engine.capabilities.name,
            device=engine.capabilities.device,
            engine_reason=engine.capabilities.why,
            faces=tuple((face, face.index in used) for face in plan.looked.faces),
            seconds={name: progress.seconds.get(name, 0.0) for name in _STAGES},
            peak_rss_mb=peak_rss_mb() + delivered.extra_mb,
            written=delivered.written,
            notes=once(remarks.notes, delivered.notes),
            warnings=once(remarks.warnings, delivered.warnings),
        )

    def look(self, request: FusionRequest, progress: Progress) -> Looked:
        """The pictures of a request and their faces, as `run` finds them.

        Raises:
            InputError: A file cannot be used as a picture.
            NoFaceError: A picture shows no face; the message says which.
            ModelMissingError: A face model is absent or broken.
            StoppedError: ``progress`` ended the work.
            MemoryLimitError: Memory ran out.
        """
        with memory_limits():
            with progress.stage("read"):
                target, *sources = self._open(request, Budget.of(request.max_memory_mb))
            with progress.stage("detect"):
                return self._look(target, sources, request.detection, progress)

    def decide(self, looked: Looked, request: FusionRequest) -> Plan:
        """What `run` decides of a request about those pictures.

        Raises:
            OptionError: A face is named that there is not, or the size cannot be made.
            ImageSizeError: The output would be too large.
        """
        spare = Budget.of(request.max_memory_mb).spare_mb()
        return plan_fusion(looked, request, spare, self._max_megapixels)

    def _plan(self, request: FusionRequest, budget: Budget, progress: Progress) -> Plan:
        output, limit = request.output, self._max_megapixels
        with progress.stage("read"):
            target, *sources = self._open(request, budget)
            known = None
            if output.resolution != AUTO:
                known = output_size(target.size, output.resolution, limit, output.fit)
            check_output(output.path, known)
        with progress.stage("detect"):
            looked = self._look(target, sources, request.detection, progress)
        plan = plan_fusion(looked, request, budget.spare_mb(), limit)
        check_output(output.path, plan.frame.size)
        return plan

    def _open(self, request: FusionRequest, budget: Budget) -> list[ImageFile]:
        """The target and the sources."""
        images = [
            ImageFile.open(path, max_megapixels=self._max_megapixels)
            for path in (request.target, *request.sources)
        ]
        for image in images:
            _check_decoder(image, budget)
        return images

    def _look(
        self,
        target: ImageFile,
        sources: list[ImageFile],
        detection: Detection,
        progress: Progress,
    ) -> Looked:
        """Find the faces of all pictures; see `_find_some`.

        A source keeps pixels in memory if it is the only one: which of several will be used is
        not yet known, and there may be many.
        """
        by_path = {source.path: source for source in sources}

        def look(source: ImageFile) -> tuple[ImageFile, View]:
            seen, faces = self._find_some(source, "source", detection, progress)
            return seen if len(by_path) == 1 else source, View(source.path, source.size, faces)

        # Side by side: one decodes while the other's networks run.
        with ThreadPoolExecutor(1) as beside:
            looking = {path: beside.submit(look, source) for path, source in by_path.items()}
            try:
                target, faces = self._find_some(target, "target", detection, progress)
                found = [looking[source.path].result() for source in sources]
            finally:
                for one in looking.values():
                    one.cancel()
        images, views = zip(*found, strict=True)
        return Looked(target, faces, images, views)

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


def _check_room(request: FusionRequest, engine: Engine) -> None:
    """Refuse a limit that the engine alone does not fit.

    Raises:
        MemoryLimitError: The request may hold less than the engine needs.
    """
    allowed, capabilities = request.max_memory_mb, engine.capabilities
    if allowed is not None and allowed < capabilities.memory_mb + MAX_MEMORY_RANGE[0]:
        raise MemoryLimitError(
            f"engine {capabilities.name} needs about {capabilities.memory_mb} MB besides the "
            f"pictures, and {allowed} MB may be used; set max-memory-mb to at least "
            f"{capabilities.memory_mb + MAX_MEMORY_RANGE[0]}, or use engine mesh"
        )


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


def _deliver(
    plan: Plan, output: Output, layers: Sequence[Layer], budget: Budget, progress: Progress
) -> Delivered:
    """Render and write."""
    at, window = plan.frame.at, plan.frame.window.clip(plan.frame.at)
    regions = changing(layers, at, window)
    turn = plan.target.header.orientation
    job = Job(plan.target, plan.frame, tuple(turn.stored_region(part, at) for part in regions))
    wishes = Wishes(output.path, output.quality, output.graft, output.metadata == "remove")
    with ExitStack() as stack:
        delivery = stack.enter_context(plan_delivery(job, wishes, budget.spare_mb()))
        with progress.stage("read"):
            base = stack.enter_context(plan.target.rendition(at, progress))
        budget = Budget(budget.total_mb - delivery.held_mb)
        patches = render(base, layers, regions, budget, progress)
        return_free_blocks()
        with progress.stage("write"):
            return delivery.write(base, patches, progress)


@contextmanager
def memory_limits() -> Iterator[None]:
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
