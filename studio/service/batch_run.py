"""One batch at work: file after file through the service's queues, then a ZIP of the results.

Each file is a job of its own, so that others get their turn between them, and at most one of a
batch stands in line.
"""

from __future__ import annotations

import enum
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from common.errors import (
    BusyError,
    CancelledError,
    NoFaceError,
    StudioError,
)
from common.progress import Progress
from fusion.request import FaceSelection
from studio.service.batch_archive import Names, write_archive
from studio.service.batch_files import (
    BatchItem,
    Board,
    FileState,
    FileStatus,
    count_states,
    fused_so_far,
    looked_so_far,
    report_line,
)
from studio.service.batch_report import (
    CSV_NAME,
    JSON_NAME,
    concerns_all,
    csv_text,
    json_text,
    now,
)
from studio.service.controls import Controls
from studio.service.jobs import Job, JobState, JobStatus
from studio.service.storage import download_name
from studio.service.wish import Fused, Photo, Wish

if TYPE_CHECKING:
    from studio.service.fusion_service import FusionService

LOG = logging.getLogger(__name__)
ARCHIVE_NAME = "face-fusion-batch.zip"
THUMBNAIL_NAME = "thumbnail.jpg"
_THUMBNAIL_PX = 224
Faces = Literal["largest", "all"]
T = TypeVar("T")

_UNEXPECTED = "something went wrong inside the studio; its log has the details"
_PAUSE_S = 0.2  # before a full queue is asked again
_FOLLOW_S = 0.2


class BatchState(enum.Enum):
    """Where a batch is; the last three are final.

    STOPPED: something came up that every further file would have met too.
    """

    RUNNING = "running"
    PACKING = "packing"
    DONE = "done"
    CANCELLED = "cancelled"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        return self not in (BatchState.RUNNING, BatchState.PACKING)


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """One look at a batch.

    counts: files by the names of their states. remaining_s: None while nothing is known. packed:
    fraction of the archive that is written. archive: the ZIP, once it is complete. problem: why the
    batch stopped, or why there is no archive.
    """

    state: BatchState
    counts: dict[str, int]
    remaining_s: float | None
    packed: float
    archive: Path | None
    problem: StudioError | None


class Batch:
    """A batch at work in a thread of its own; every method is safe from any thread.

    Made by `studio.service.batch.Batches.start`.

    Attributes:
        id: Random.
        items: What it was given.
        controls: Its settings.
        faces: Which target faces are replaced in each file.
    """

    def __init__(
        self,
        service: FusionService,
        items: Sequence[BatchItem],
        controls: Controls,
        faces: Faces,
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.items = tuple(items)
        self.controls = controls
        self.faces: Faces = faces
        self.ended: float | None = None
        self._service = service
        self._board = Board(len(self.items))
        self._names = Names()
        self._sources: dict[Path, Photo | StudioError] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._discarded = threading.Event()
        self._job: Job[Any] | None = None
        self._state = BatchState.RUNNING
        self._packed = 0.0
        self._archive: Path | None = None
        self._problem: StudioError | None = None
        self._started = now()
        # A daemon: it only waits for jobs and copies files into a folder that goes with the run.
        self._thread = threading.Thread(target=self._work, name="batch", daemon=True)

    def begin(self) -> None:
        """Start the work."""
        self._thread.start()

    @property
    def revision(self) -> int:
        """Grows with every change of `status` or of a file."""
        return self._board.revision

    def status(self) -> BatchStatus:
        """The batch as it is now."""
        remaining = self._board.remaining_s()
        counts = count_states(self._board.files())
        with self._lock:
            return BatchStatus(
                self._state, counts, remaining, self._packed, self._archive, self._problem
            )

    def files(self) -> tuple[FileStatus, ...]:
        """Every file as it is now, in the order of `items`."""
        return self._board.files()

    def changed_since(self, seen: int) -> tuple[int, dict[int, FileStatus]]:
        """The revision as it is now, and the files that changed after revision ``seen``."""
        return self._board.changed_since(seen)

    def cancel(self) -> None:
        """End the batch at its next check; what is done stays and is packed."""
        with self._lock:
            self._stopping.set()
            job = self._job
        if job is not None:
            job.cancel()

    def discard(self) -> None:
        """End the batch and delete its results."""
        self._discarded.set()
        self.cancel()
        self._thread.join()
        storage = self._service.storage
        for file in self._board.files():
            if file.result is not None:
                storage.discard(file.result)
        if self._archive is not None:
            storage.discard(self._archive)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the batch is over or ``timeout`` seconds have passed; True if it is over."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # --- in the batch's thread ---

    def _work(self) -> None:
        ends_as, problem, archive = BatchState.DONE, None, None
        try:
            ends_as, problem = self._do_all()
            self._board.skip_rest()
            self._set(state=BatchState.PACKING, problem=problem)
            archive = self._pack()
        except CancelledError:
            pass  # it was discarded while the archive was written
        except StudioError as error:
            problem = problem or error
        except BaseException:  # whoever follows it must see an end; the traceback goes to the log
            LOG.exception("a batch failed unexpectedly")
            self._board.skip_rest()
            ends_as, problem = BatchState.STOPPED, StudioError(_UNEXPECTED)
        self.ended = time.monotonic()
        self._set(state=ends_as, archive=archive, problem=problem)

    def _do_all(self) -> tuple[BatchState, StudioError | None]:
        """Fuse file after file; how that ended, and why if it was not meant to."""
        try:
            for index in range(len(self.items)):
                self._do(index)
        except CancelledError:
            return BatchState.CANCELLED, None
        except StudioError as error:
            LOG.warning("a batch stopped: %s", error.message)
            return BatchState.STOPPED, error
        return BatchState.DONE, None

    def _do(self, index: int) -> None:
        """Fuse one file.

        Raises:
            CancelledError: The batch was cancelled, or the studio is shutting down.
            StudioError: It failed in a way that concerns all that follow.
        """
        self._board.begin()
        try:
            fused = self._fuse(index)
        except StudioError as error:
            if concerns_all(error):
                raise
            problem = type(error)(self._named(error.message, index))
            self._board.update(index, state=FileState.FAILED, stage="", problem=problem)
            return
        result = fused.result
        output = result.request.output.path
        self._board.update(
            index,
            state=FileState.DONE,
            stage="",
            fraction=1.0,
            output=self._names.take(download_name(self.items[index].name, output.suffix)),
            result=output,
            preview=fused.preview,
            thumbnail=self._thumbnail(fused),
            size=result.size,
            bytes=output.stat().st_size,
            engine=result.engine,
            seconds=result.seconds["total"],
            warnings=tuple(self._named(warning, index) for warning in result.warnings),
        )

    def _fuse(self, index: int) -> Fused:
        item = self.items[index]
        sources = tuple(self._source(path, index) for path in item.sources)
        target = self._look(item.target, index)
        wish = Wish(target, sources, FaceSelection(every=self.faces == "all"), self.controls)
        return self._done(lambda: self._service.submit(wish), index, fused_so_far)

    def _source(self, path: Path, index: int) -> Photo:
        """A source, which is looked at once in a batch."""
        known = self._sources.get(path)
        if known is None:
            try:
                known = self._look(path, index)
            except StudioError as error:
                if concerns_all(error):
                    raise
                known = error
            self._sources[path] = known
        if isinstance(known, StudioError):
            raise known
        return known

    def _look(self, path: Path, index: int) -> Photo:
        threshold = self.controls.threshold
        photo = self._done(lambda: self._service.look_at(path, threshold), index, looked_so_far)
        self._service.storage.discard(photo.preview)  # nobody looks at it
        if not photo.faces:
            raise NoFaceError(
                f"no face was found in {photo.name}; use a picture that shows a face clearly, or "
                "lower the threshold"
            )
        return photo

    def _thumbnail(self, fused: Fused) -> Path | None:
        """A picture of the result for a list, or none."""
        from preprocess.image_file import ImageFile
        from studio.service.preview import write_preview

        if fused.preview is None:
            return None
        path = fused.preview.with_name(THUMBNAIL_NAME)
        most = self._service.settings.limits.max_megapixels
        try:
            image = ImageFile.open(fused.preview, max_megapixels=most)
            write_preview(image, _THUMBNAIL_PX, path, Progress())
        except (StudioError, MemoryError) as error:  # the file is complete and worth having
            LOG.warning("no thumbnail of a result: %s", error)
            return None
        return path

    def _done(
        self, submit: Callable[[], Job[T]], index: int, so_far: Callable[[JobStatus], float]
    ) -> T:
        """What a job answers, while its file shows how far it is."""
        job = self._submitted(submit)
        fraction = self._board.files()[index].fraction
        for status in job.follow(_FOLLOW_S):
            if status.state is JobState.RUNNING:
                fraction = max(fraction, so_far(status))
                self._board.update(
                    index, state=FileState.RUNNING, stage=status.stage, fraction=fraction
                )
        return job.result()

    def _submitted(self, submit: Callable[[], Job[T]]) -> Job[T]:
        """The job, as soon as the queue has room for it.

        Raises:
            CancelledError: The batch was cancelled before.
        """
        while not self._stopping.is_set():
            try:
                job = submit()
            except BusyError:
                self._stopping.wait(_PAUSE_S)
                continue
            with self._lock:
                self._job = job
                late = self._stopping.is_set()
            if late:
                job.cancel()
            return job
        raise CancelledError("the fusion was cancelled")

    def _pack(self) -> Path | None:
        """Write the archive; None if nothing is done."""
        files = self._board.files()
        done = [(file.output, file.result) for file in files if file.result is not None]
        if not done:
            return None
        path = self._service.storage.new_file(ARCHIVE_NAME)
        lines = [report_line(item, file) for item, file in zip(self.items, files, strict=True)]
        about = {
            "started": self._started,
            "ended": now(),
            "settings": {**self.controls.model_dump(), "faces": self.faces},
            **count_states(files),
        }
        texts = {CSV_NAME: csv_text(lines), JSON_NAME: json_text(lines, about)}
        try:
            write_archive(path, done, texts, self._advance)
        except BaseException:  # raised again: however it ends, no half archive stays
            self._service.storage.discard(path)
            raise
        return path

    def _advance(self, fraction: float) -> None:
        if self._discarded.is_set():
            raise CancelledError("the fusion was cancelled")
        if int(fraction * 100) != int(self._packed * 100):
            self._set(packed=fraction)

    def _set(self, **values: Any) -> None:
        with self._lock:
            for name, value in values.items():
                setattr(self, f"_{name}", value)
        self._board.touch()

    def _named(self, message: str, index: int) -> str:
        """A sentence with the names that the person gave, where it tells places of ours."""
        item, names = self.items[index], {}
        for path, name in ((item.sources[0], item.source), (item.target, item.name)):
            names[str(path)] = names[path.name] = name
        known = "|".join(re.escape(text) for text in sorted(names, key=len, reverse=True))
        whole = rf"(?<![\w./-])(?:{known})(?![\w-])"
        named = re.sub(whole, lambda found: names[found.group()], message)
        return named.replace(f"{self._service.storage.directory}/", "")
