"""What the page asks for: look at a photograph, fuse some, make the demo pair.

The pipeline and its libraries are loaded on first use, or ahead of it by `warm_up`, so
that the page answers before they are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import CancelledError, InputError, StudioError
from common.progress import Progress
from common.settings import Settings
from common.types import Size
from fusion.request import Detection, FusionRequest
from preprocess.resolution import Resolution, output_size
from studio.service.batch import Batches
from studio.service.engines import Engines, EngineStatus
from studio.service.estimates import Estimates
from studio.service.history import History
from studio.service.jobs import Job, JobQueue
from studio.service.live import Live
from studio.service.storage import Storage, download_name, storage_errors
from studio.service.wish import Fused, Photo, Role, Wish

if TYPE_CHECKING:
    from fusion.pipeline import Pipeline
    from preprocess.image_file import ImageFile

LOG = logging.getLogger(__name__)
ANALYSES_AT_ONCE = 2
PREVIEW_NAME = "preview.jpg"


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
        self.engines = Engines(settings)
        self._loading = threading.Lock()
        self._making_demo = threading.Lock()
        self._pipeline: Pipeline | None = None
        self.history = History(storage, settings.storage.keep_hours)
        self.estimates = Estimates(self)
        self.batches = Batches(self)
        self.live = Live(self)

    def warm_up(self) -> None:
        """Load the pipeline and the engine in the background; a failure shows on first use."""

        def work() -> None:
            try:
                self.pipeline()
                self.engines.get(self.settings.fusion.engine)
            except StudioError as error:
                LOG.warning("not ready: %s", error.message)

        # No daemon: Python ends those inside of whatever library they are in, and a C++ library
        # that is being loaded just then ends the program with an abort.
        threading.Thread(target=work, name="warm-up").start()

    def look_at(self, path: Path, threshold: float | None = None) -> Job[Photo]:
        """Queue the reading of an uploaded file: its header, its faces, a preview.

        Args:
            threshold: Lowest detection score of a face; None for the settings'.

        The job fails with a `StudioError` if it is not a picture that can be used, and the
        file is deleted then; no face is not an error.

        Raises:
            BusyError: The queue is full.
        """
        return self.analyses.submit(lambda progress: self._look(path, threshold, progress))

    def look_at_demo(self, role: Role, threshold: float | None = None) -> Job[Photo]:
        """Likewise for a picture of the demo pair, which is made when first asked for.

        Raises:
            BusyError: The queue is full.
        """

        def work(progress: Progress) -> Photo:
            target, source = self._demo_pair()
            return self._look(target if role == "target" else source, threshold, progress)

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

    def engine_status(self, wanted: str | None = None) -> EngineStatus:
        """Which engine fusions use and why, and how busy the GPUs are now.

        Args:
            wanted: An engine's name or ``auto``; None for the settings'.
        """
        return self.engines.status(wanted or self.settings.fusion.engine)

    def submit(self, wish: Wish, done: Callable[[Fused], object] | None = None) -> Job[Fused]:
        """Queue a fusion. A job that fails or is cancelled leaves no file.

        Args:
            done: Told of the result before the job ends, whether or not somebody waits for it.

        Raises:
            OptionError: A value of the wish is out of range.
            BusyError: The queue is full.
        """
        wish.check()
        name = download_name(wish.target.name, wish.controls.suffix(wish.target.format))

        def work(progress: Progress) -> Fused:
            path = self.storage.new_file(name)
            try:
                begun = time.perf_counter()
                fused = self._fuse(self.request(wish, path), wish.controls.engine, progress)
                self.estimates.learn(wish, fused, time.perf_counter() - begun)
                if done is not None:
                    done(fused)
                return fused
            except BaseException:  # raised again: however it ends, no half result stays
                self.storage.discard(path)
                raise

        return self.queue.submit(work)

    def request(self, wish: Wish, output: Path) -> FusionRequest:
        """The request for a wish; what its engine does not have is left out of it.

        Raises:
            OptionError: A value is out of range.
            EngineUnavailableError: The engine cannot run here.
        """
        controls = wish.controls
        neural = bool(self.engines.get(controls.engine).capabilities.composites)
        own = self.settings
        graft = own.output.jpeg_graft if controls.quality is None else "auto"
        return FusionRequest(
            target=wish.target.path,
            sources=tuple(source.path for source in wish.sources),
            output=controls.output(output, graft),
            blend=controls.blend(neural),
            finish=controls.finish(),
            faces=wish.faces,
            detection=self._detection(controls.threshold),
            max_memory_mb=own.limits.max_memory_mb,
        )

    def close(self) -> None:
        """Cancel all jobs and take no more; the engine gives up its memory and device."""
        self.batches.close()  # first: it would put its next file into the queue
        ended = [self.live.close(), self.queue.shutdown(), self.analyses.shutdown()]
        if not all(ended):
            LOG.warning("a job did not end in time")
        self.engines.close()

    def pipeline(self) -> Pipeline:
        """The pipeline, loaded when it is first asked for."""
        with self._loading:
            if self._pipeline is None:
                from fusion.pipeline import build_pipeline

                self._pipeline = build_pipeline(self.settings)
            return self._pipeline

    def _look(self, path: Path, threshold: float | None, progress: Progress) -> Photo:
        detection = self._detection(threshold)
        preview = self.storage.new_file(PREVIEW_NAME)
        try:
            image, faces = self.pipeline().detect(path, detection, progress, shown=True)
            shown = self._write_preview(image, preview, progress)
        except BaseException as error:  # raised again, like a fusion's
            self.storage.discard(preview)
            # Uploads of the same content share a file: it goes only if nobody can use it.
            if isinstance(error, InputError):
                self.storage.discard(path)
            raise
        return Photo(path, image.size, image.format, faces, detection.threshold, preview, shown)

    def _fuse(self, request: FusionRequest, engine: str, progress: Progress) -> Fused:
        from preprocess.image_file import ImageFile

        result = self.pipeline().run(request, self.engines.get(engine), progress)
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

    def _detection(self, threshold: float | None = None) -> Detection:
        wanted = self.settings.detection
        return Detection(wanted.threshold if threshold is None else threshold, wanted.min_face)
