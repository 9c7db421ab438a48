"""What the page asks for: look at a photograph, fuse two, make the demo pair.

The pipeline and its libraries are loaded on first use, or ahead of it by `warm_up`, so
that the page answers before they are.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import StudioError
from common.progress import Progress
from common.settings import Settings
from common.types import Face, Size
from fusion.request import (
    Blend,
    Detection,
    FaceSelection,
    FusionRequest,
    FusionResult,
    Output,
)
from preprocess.resolution import Resolution, output_size
from studio.service.jobs import Job, JobQueue
from studio.service.storage import Storage, download_name

if TYPE_CHECKING:
    from fusion.engines.base import Engine
    from fusion.pipeline import Pipeline
    from preprocess.image_file import ImageFile

LOG = logging.getLogger(__name__)
SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
"""File suffix of a result by the format of its target."""


@dataclass(frozen=True, slots=True)
class Photo:
    """An uploaded picture that has been looked at.

    path: the uploaded file, unchanged. size: upright. format: of `SUFFIXES`. faces: largest
    first, possibly none.
    """

    path: Path
    size: Size
    format: str
    faces: tuple[Face, ...]

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True)
class Wish:
    """One fusion as the person at the page describes it.

    target_faces, source_face: indices of the photos' faces. ratio: 0-1. resolution: a text
    that `Resolution.parse` reads.
    """

    target: Photo
    source: Photo
    target_faces: tuple[int, ...]
    source_face: int
    ratio: float
    resolution: str


class FusionService:
    """The studio's work, shared by every visitor; thread-safe.

    Args:
        settings: The program's settings.
        storage: Where uploads lie and results go.
    """

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self.settings = settings
        self.storage = storage
        self.queue = JobQueue(
            settings.limits.concurrent, settings.limits.queue, settings.limits.deadline_s
        )
        self._loading = threading.Lock()
        self._making_demo = threading.Lock()
        self._pipeline: Pipeline | None = None
        self._engine: Engine | None = None

    def warm_up(self) -> None:
        """Load the pipeline and the engine in the background; a failure shows on first use."""

        def work() -> None:
            try:
                self._load()
            except StudioError as error:
                LOG.warning("not ready: %s", error.message)

        threading.Thread(target=work, name="warm-up", daemon=True).start()

    def look_at(self, path: Path) -> Photo:
        """Read the header of an uploaded file and find its faces.

        Raises:
            StudioError: It is not a picture that can be used; no face is not an error.
        """
        pipeline, _ = self._load()
        progress = Progress(deadline_s=self.settings.limits.deadline_s)
        image, faces = pipeline.detect(path, self._detection(), progress)
        return Photo(path, image.size, image.format, faces)

    def open_image(self, path: Path) -> ImageFile:
        """The picture at ``path`` for making a preview of it.

        Raises:
            InputError: It is not a picture that can be used.
        """
        from preprocess.image_file import ImageFile

        return ImageFile.open(path, max_megapixels=self.settings.limits.max_megapixels)

    def result_size(self, target: Size, resolution: str) -> Size:
        """The size that a result would have.

        Raises:
            OptionError: The resolution is unknown.
            ImageSizeError: The result would be larger than the limit.
        """
        limit = self.settings.limits.max_megapixels
        return output_size(target, Resolution.parse(resolution), limit)

    def smallest_face(self, size: Size) -> int:
        """The smallest face that is looked for in a picture of ``size``, pixels."""
        configured = self.settings.detection.min_face
        return configured if configured is not None else max(24, size.longer // 50)

    def submit(self, wish: Wish) -> Job[FusionResult]:
        """Queue a fusion.

        Raises:
            OptionError: A value of the wish is out of range.
            BusyError: The queue is full.
        """
        request = self._request(wish)

        def work(progress: Progress) -> FusionResult:
            pipeline, engine = self._load()
            return pipeline.run(request, engine, progress)

        return self.queue.submit(work)

    def demo_pair(self) -> tuple[Path, Path]:
        """(target, source) of the demo, made when first asked for."""
        from studio.service.demo import make_demo_pair

        with self._making_demo:
            folder = self.storage.directory / "demo"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return make_demo_pair(folder)

    def close(self) -> None:
        """Cancel all jobs and take no more."""
        if not self.queue.shutdown():
            LOG.warning("a fusion did not end in time")

    def _request(self, wish: Wish) -> FusionRequest:
        resolution = Resolution.parse(wish.resolution)
        name = download_name(wish.target.name, SUFFIXES[wish.target.format])
        return FusionRequest(
            target=wish.target.path,
            source=wish.source.path,
            output=Output(self.storage.new_file(name), resolution, self.settings.output.quality),
            blend=Blend(wish.ratio),
            faces=FaceSelection(
                pairs=tuple((wish.source_face, index) for index in wish.target_faces)
            ),
            detection=self._detection(),
        )

    def _detection(self) -> Detection:
        wanted = self.settings.detection
        return Detection(wanted.threshold, wanted.min_face)

    def _load(self) -> tuple[Pipeline, Engine]:
        with self._loading:
            if self._pipeline is None or self._engine is None:
                # What they load would keep the page from answering for a second.
                from fusion.engines.registry import create_engine
                from fusion.pipeline import build_pipeline

                self._pipeline = build_pipeline(self.settings)
                self._engine = create_engine(self.settings.fusion.engine)
            return self._pipeline, self._engine
