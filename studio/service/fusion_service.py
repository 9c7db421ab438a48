"""What the page asks for: look at a photograph, fuse two, make the demo pair.

The pipeline and its libraries are loaded on first use, or ahead of it by `warm_up`, so
that the page answers before they are.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from common.errors import CancelledError, EngineUnavailableError, InputError, StudioError
from common.progress import Progress
from common.settings import Settings
from common.types import Face, Size
from fusion.request import (
    Blend,
    Detection,
    FaceSelection,
    FusionRequest,
    FusionResult,
    Network,
    Output,
    check_choice,
)
from preprocess.resolution import FITS, Resolution, output_size
from studio.service.jobs import Job, JobQueue
from studio.service.storage import Storage, download_name, storage_errors

if TYPE_CHECKING:
    from fusion.engines.base import Engine
    from fusion.engines.registry import Choice
    from fusion.engines.unet.devices import Gpu
    from fusion.pipeline import Pipeline
    from preprocess.image_file import ImageFile

LOG = logging.getLogger(__name__)
SUFFIXES = {
    "jpeg": ".jpg",
    "png": ".png",
    "webp": ".webp",
    "tiff": ".tif",
    "avif": ".avif",
    "heic": ".heic",
    "gif": ".png",  # 256 colours would not do for a face
}
"""File suffix of a result by the format of its target."""
ANALYSES_AT_ONCE = 2
PREVIEW_NAME = "preview.jpg"
Role = Literal["target", "source"]


@dataclass(frozen=True, slots=True)
class Photo:
    """An uploaded picture that has been looked at.

    path: the uploaded file, unchanged. size: upright. format: of `SUFFIXES`. faces: largest
    first, possibly none. preview: the small picture of it that the browser shows. shown: the
    preview's size.
    """

    path: Path
    size: Size
    format: str
    faces: tuple[Face, ...]
    preview: Path
    shown: Size

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True)
class Wish:
    """One fusion as the person at the page describes it.

    target_faces, source_face: indices of the photos' faces. ratio: 0-1. resolution: a text
    that `Resolution.parse` reads. fit: one of `preprocess.resolution.FITS`.
    """

    target: Photo
    source: Photo
    target_faces: tuple[int, ...]
    source_face: int
    ratio: float
    resolution: str
    fit: str = "keep"


@dataclass(frozen=True, slots=True)
class Fused:
    """A finished fusion.

    preview: a small picture of it; None where none could be made of the complete file.
    """

    result: FusionResult
    preview: Path | None


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The engine that fusions use, and the machine's GPUs.

    problem: why it cannot run; None if it can, as far as is known before it is loaded.
    """

    choice: Choice
    problem: EngineUnavailableError | None
    gpus: tuple[Gpu, ...]


class FusionService:
    """The studio's work, shared by every visitor; thread-safe.

    Args:
        settings: The program's settings.
        storage: Where uploads lie and results go.
    """

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self.settings = settings
        self.storage = storage
        limits = settings.limits
        self.queue = JobQueue(limits.concurrent, limits.queue, limits.deadline_s)
        self.analyses = JobQueue(ANALYSES_AT_ONCE, limits.queue, limits.deadline_s)
        self._loading = threading.Lock()
        self._making_demo = threading.Lock()
        self._pipeline: Pipeline | None = None
        self._engine: Engine | None = None
        self._choice: Choice | None = None

    def warm_up(self) -> None:
        """Load the pipeline and the engine in the background; a failure shows on first use."""

        def work() -> None:
            try:
                self._load()
            except StudioError as error:
                LOG.warning("not ready: %s", error.message)

        # No daemon: Python ends those inside of whatever library they are in, and a C++ library
        # that is being loaded just then ends the program with an abort.
        threading.Thread(target=work, name="warm-up").start()

    def look_at(self, path: Path) -> Job[Photo]:
        """Queue the reading of an uploaded file: its header, its faces, a preview.

        The job fails with a `StudioError` if it is not a picture that can be used, and the
        file is deleted then; no face is not an error.

        Raises:
            BusyError: The queue is full.
        """
        return self.analyses.submit(lambda progress: self._look(path, progress))

    def look_at_demo(self, role: Role) -> Job[Photo]:
        """Likewise for a picture of the demo pair, which is made when first asked for.

        Raises:
            BusyError: The queue is full.
        """

        def work(progress: Progress) -> Photo:
            target, source = self._demo_pair()
            return self._look(target if role == "target" else source, progress)

        return self.analyses.submit(work)

    def result_size(self, target: Size, resolution: str, fit: str) -> Size | None:
        """The size that a result would have; None where that is decided at the start (auto).

        Raises:
            OptionError: The resolution or the fit is unknown.
            ImageSizeError: The result would be larger than the limit.
        """
        wanted = Resolution.parse(resolution)
        if wanted.automatic:
            return None
        return output_size(target, wanted, self.settings.limits.max_megapixels, fit)

    def smallest_face(self, size: Size) -> int:
        """The smallest face that is looked for in a picture of ``size``, pixels."""
        from preprocess.detection import smallest_face

        return smallest_face(size, self.settings.detection.min_face)

    def engine_status(self) -> EngineStatus:
        """Which engine fusions use and why, and how busy the GPUs are now."""
        from fusion.engines.registry import choose_engine, require_engine
        from fusion.engines.unet.devices import gpu_status

        choice = self._choice or choose_engine(self.settings.fusion.engine, self.settings)
        problem = None
        try:
            require_engine(choice.engine, self.settings)
        except EngineUnavailableError as error:
            problem = error
        return EngineStatus(choice, problem, gpu_status())

    def submit(self, wish: Wish) -> Job[Fused]:
        """Queue a fusion. A job that fails or is cancelled leaves no file.

        Raises:
            OptionError: A value of the wish is out of range.
            BusyError: The queue is full.
        """
        from fusion.engines.registry import network_settings

        own = self.settings.fusion
        network = network_settings(self.settings.modelscope)
        blend = Blend(wish.ratio, own.mode, own.shape, own.expression, own.keep_glasses, network)
        resolution = Resolution.parse(wish.resolution)
        check_choice("fit", wish.fit, FITS)
        pairs = tuple((wish.source_face, index) for index in wish.target_faces)
        name = download_name(wish.target.name, SUFFIXES[wish.target.format])
        wanted = self.settings.output

        def work(progress: Progress) -> Fused:
            path = self.storage.new_file(name)
            output = Output(path, resolution, wish.fit, wanted.quality, wanted.jpeg_graft)
            request = FusionRequest(
                target=wish.target.path,
                sources=(wish.source.path,),
                output=output,
                blend=blend,
                faces=FaceSelection(pairs=pairs),
                detection=self._detection(),
                max_memory_mb=self.settings.limits.max_memory_mb,
            )
            try:
                return self._fuse(request, progress)
            except BaseException:  # raised again: however it ends, no half result stays
                self.storage.discard(output.path)
                raise

        return self.queue.submit(work)

    def close(self) -> None:
        """Cancel all jobs and take no more; the engine gives up its memory and device."""
        for queue in (self.queue, self.analyses):
            if not queue.shutdown():
                LOG.warning("a job did not end in time")
        with self._loading:
            if self._engine is not None:
                self._engine.close()

    def _look(self, path: Path, progress: Progress) -> Photo:
        pipeline, _ = self._load()
        preview = self.storage.new_file(PREVIEW_NAME)
        try:
            image, faces = pipeline.detect(path, self._detection(), progress)
            shown = self._write_preview(image, preview, progress)
        except BaseException as error:  # raised again, like a fusion's
            self.storage.discard(preview)
            # Uploads of the same content share a file: it goes only if nobody can use it.
            if isinstance(error, InputError):
                self.storage.discard(path)
            raise
        return Photo(path, image.size, image.format, faces, preview, shown)

    def _fuse(self, request: FusionRequest, progress: Progress) -> Fused:
        from preprocess.image_file import ImageFile

        pipeline, engine = self._load()
        if not engine.capabilities.composites:
            request = replace(request, blend=replace(request.blend, network=Network()))
        result = pipeline.run(request, engine, progress)
        output = request.output.path
        preview = output.with_name(PREVIEW_NAME)
        try:
            image = ImageFile.open(output, max_megapixels=self.settings.limits.max_megapixels)
            self._write_preview(image, preview, progress)
        except CancelledError:
            raise
        except (StudioError, MemoryError) as error:  # the file is complete and worth having
            LOG.warning("no preview of a result: %s", error)
            preview.unlink(missing_ok=True)
            return Fused(result, None)
        return Fused(result, preview)

    def _write_preview(self, image: ImageFile, path: Path, progress: Progress) -> Size:
        from studio.service.preview import write_preview

        return write_preview(image, self.settings.page.preview_px, path, progress)

    def _demo_pair(self) -> tuple[Path, Path]:
        from studio.service.demo import make_demo_pair

        with self._making_demo, storage_errors():
            folder = self.storage.directory / "demo"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return make_demo_pair(folder)

    def _detection(self) -> Detection:
        wanted = self.settings.detection
        return Detection(wanted.threshold, wanted.min_face)

    def _load(self) -> tuple[Pipeline, Engine]:
        with self._loading:
            if self._pipeline is None or self._engine is None:
                # What they load would keep the page from answering for a second.
                from fusion.engines.registry import choose_engine, create_engine
                from fusion.pipeline import build_pipeline

                self._pipeline = build_pipeline(self.settings)
                choice = choose_engine(self.settings.fusion.engine, self.settings)
                self._engine = create_engine(choice, self.settings)
                self._choice = choice
            return self._pipeline, self._engine
