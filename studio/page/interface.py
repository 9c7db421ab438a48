"""What programs may ask of the studio: one way for the named endpoints and for assistants' tools.

Their work goes through the same queues as the page's. Files are those that were uploaded to the
studio: nothing that a caller names is read from elsewhere on the machine or fetched from the web.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

from pydantic import Field

from common.errors import OptionError, StudioError
from common.progress import Progress
from fusion.request import Detection, FaceSelection
from studio.page.calls import Asked, read
from studio.page.messages import for_page
from studio.service.batch_files import BatchItem
from studio.service.batch_run import Batch
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.jobs import Job
from studio.service.system import report
from studio.service.wish import Photo, Wish

T = TypeVar("T")
ROUTE = "gradio_api/file="
"""What stands before a file's path in its address; see `studio.page.views.file_link`."""
MOST_SOURCES = 50
_LOOK_S = 0.05
_TELL_S = 0.5
"""Seconds between two steps; also the time after which a caller who has left is noticed."""
_WEB = ("http://", "https://", "//")


@dataclass(frozen=True, slots=True)
class Step:
    """How far a piece of work is.

    state: waiting or running. position: in the line; 0 when it runs or is about to. stage,
    fraction: what it does and how much of that is done, 0-1.
    """

    state: str
    position: int = 0
    stage: str = ""
    fraction: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "position": self.position,
            "stage": self.stage,
            "fraction": round(self.fraction, 3),
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    file: the result; None if there is none. report: plain data. preview: a small JPEG of it.
    """

    file: Path | None
    report: dict[str, Any]
    preview: Path | None = None


Tell = Callable[[Step], None]
Work = Callable[[Tell], Coroutine[Any, Any, Answer]]


class FuseAsked(Asked):
    """See `Interface.fuse`; files as `Interface.uploaded` takes them."""

    target: Any
    sources: Any
    faces: str = "largest"
    controls: dict[str, Any] | None = None


class DetectAsked(Asked):
    """See `Interface.detect`."""

    image: Any
    threshold: float | None = None


class BatchAsked(Asked):
    """See `Interface.batch`."""

    targets: Any
    sources: Any
    faces: Literal["largest", "all"] = Field("largest")
    controls: dict[str, Any] | None = None


class Interface:
    """See the module.

    Args:
        service: Does the work.
    """

    def __init__(self, service: FusionService) -> None:
        self._service = service

    async def fuse(self, asked: dict[str, Any], tell: Tell) -> Answer:
        """A fusion, asked for as `FuseAsked`. Ended with the task that waits for it.

        The report is the command line's, with names of files instead of paths.

        Raises:
            StudioError: It cannot be done.
        """
        wanted = read(FuseAsked, asked)
        controls = Controls.read(wanted.controls or {}, self._service.settings)
        faces = FaceSelection.parse(wanted.faces)
        target = self.uploaded(wanted.target, "target")
        sources = self._all_uploaded(wanted.sources, "sources", MOST_SOURCES)
        looked = [await self._look(path, controls, tell) for path in (target, *sources)]
        wish = Wish(looked[0], tuple(looked[1:]), faces, controls)
        fused = await _finished(self._service.submit(wish), tell)
        result = fused.result
        told = result.as_dict()
        told["output"] = result.request.output.path.name
        told["sources"] = [path.name for path in sources]
        told["engine_reason"] = self.say(result.engine_reason)
        for kind in ("notes", "warnings"):
            told[kind] = [self.say(sentence) for sentence in told[kind]]
        return Answer(result.request.output.path, told, fused.preview)

    async def detect(self, asked: dict[str, Any], tell: Tell) -> Answer:
        """The faces of a picture, asked for as `DetectAsked`; the report is the command line's.

        Raises:
            StudioError: The picture cannot be read.
        """
        wanted = read(DetectAsked, asked)
        settings = self._service.settings.detection
        threshold = settings.threshold if wanted.threshold is None else wanted.threshold
        detection = Detection(threshold, settings.min_face)
        path = self.uploaded(wanted.image, "image")

        def work(progress: Progress) -> dict[str, Any]:
            from fusion.pipeline import detection_report

            image, faces = self._service.pipeline().detect(path, detection, progress)
            return detection_report(image, faces, progress)

        told = await _finished(self._service.analyses.submit(work), tell)
        told["image"] = path.name
        told["warnings"] = [self.say(sentence) for sentence in told["warnings"]]
        return Answer(None, told)

    async def batch(self, asked: dict[str, Any], tell: Tell) -> Answer:
        """Many fusions, asked for as `BatchAsked`; answers their ZIP, and what became of each.

        Raises:
            StudioError: It cannot be begun, or something else than its files ended it. Failures of
                single files are in the report; if all of them failed, there is no ZIP.
        """
        wanted = read(BatchAsked, asked)
        controls = Controls.read(wanted.controls or {}, self._service.settings)
        sources = self._all_uploaded(wanted.sources, "sources", MOST_SOURCES)
        most = self._service.settings.limits.batch_files
        files = self._all_uploaded(wanted.targets, "targets", most)
        left_out: tuple[str, ...] = ()
        if len(files) == 1 and files[0].suffix.lower() == ".zip":
            unpacked = await _finished(self._service.batches.unpack(files[0]), tell)
            named = [(file.path, file.name) for file in unpacked.files]
            left_out = unpacked.left_out
        else:
            named = [(path, path.name) for path in files]
        told_source = ", ".join(path.name for path in sources)
        items = [BatchItem(path, sources, name, told_source) for path, name in named]
        # Programs may have several at once; the page's visitors have one each.
        caller = f"program-{secrets.token_urlsafe(16)}"
        batch = self._service.batches.start(caller, items, controls, wanted.faces)
        await _over(batch, tell)
        status = batch.status()
        if status.archive is None and status.problem is not None:
            raise status.problem
        return Answer(status.archive, self._batch_report(batch, left_out))

    async def system(self) -> dict[str, Any]:
        """The state of the studio as plain data."""
        told = (await asyncio.to_thread(report, self._service)).as_dict()
        for kind in ("reason", "problem"):
            if told["engine"][kind] is not None:
                told["engine"][kind] = self.say(told["engine"][kind])
        return told

    def say(self, said: StudioError | str) -> str:
        """A sentence without the places of files; it begins as the command line's does."""
        message = said.message if isinstance(said, StudioError) else said
        told = for_page(message, self._service.storage.directory)["en"]
        begun = message[:1]
        return begun + told[1:] if told[:1] == begun.upper() else told

    def uploaded(self, value: Any, name: str) -> Path:
        """The uploaded file that a caller means.

        Args:
            value: Its path as the upload was answered, ``{"path": ...}``, or its address here.
            name: Of the argument, for the error.

        Raises:
            OptionError: It is something else.
            FileMissingError: It is no file that was uploaded, or is deleted by now.
        """
        text = value.get("path") if isinstance(value, dict) else value
        if not isinstance(text, str) or not text:
            raise OptionError(
                f'{name} must be an uploaded file, such as {{"path": "..."}} with the path that '
                "the upload was answered with"
            )
        _, here, path = text.partition(ROUTE)
        if here:
            text = unquote(path)
        elif text.lower().startswith(_WEB):
            raise OptionError(
                f"{name} is an address on the web, and the studio fetches nothing from there; "
                "upload the file"
            )
        return self._service.storage.require(text)

    def _all_uploaded(self, values: Any, name: str, most: int) -> tuple[Path, ...]:
        """Several, or one that does not stand in a list."""
        several = values if isinstance(values, (list, tuple)) else [values]
        if not 1 <= len(several) <= most:
            raise OptionError(f"{name} must be 1 to {most} uploaded files, not {len(several)}")
        return tuple(self.uploaded(value, name) for value in several)

    async def _look(self, path: Path, controls: Controls, tell: Tell) -> Photo:
        return await _finished(self._service.look_at(path, controls.threshold), tell)

    def _batch_report(self, batch: Batch, left_out: Sequence[str]) -> dict[str, Any]:
        files = []
        for item, file in zip(batch.items, batch.files(), strict=True):
            size = file.size
            files.append(
                {
                    "target": item.name,
                    "output": file.output,
                    "state": file.state.value,
                    "width": None if size is None else size.width,
                    "height": None if size is None else size.height,
                    "bytes": file.bytes,
                    "engine": file.engine,
                    "seconds": file.seconds,
                    "warnings": [self.say(sentence) for sentence in file.warnings],
                    "error": None if file.problem is None else file.problem.code,
                    "message": None if file.problem is None else self.say(file.problem),
                }
            )
        status = batch.status()
        return {
            "state": status.state.value,
            **status.counts,
            "problem": None if status.problem is None else self.say(status.problem),
            "left_out": [self.say(sentence) for sentence in left_out],
            "files": files,
        }


async def follow(work: Work) -> AsyncGenerator[Step | Answer, None]:
    """How far the work is, now and then, and its answer as the last; it ends with its reader.

    Raises:
        StudioError: The work's own.
    """
    latest = [Step("waiting")]

    def tell(step: Step) -> None:
        latest[0] = step

    task = asyncio.ensure_future(work(tell))
    try:
        while not (await asyncio.wait({task}, timeout=_TELL_S))[0]:
            yield latest[0]
        yield task.result()
    finally:
        task.cancel()


async def _finished(job: Job[T], tell: Tell) -> T:
    """What a job answers; it is cancelled if nobody waits for it any more.

    Raises:
        StudioError: The job's own.
    """
    try:
        while True:
            status = job.status()
            if status.state.is_final:
                return job.result()
            tell(Step(status.state.value, status.position, status.stage, status.fraction))
            await asyncio.sleep(_LOOK_S)
    finally:
        job.cancel()  # one that is over stays as it is


async def _over(batch: Batch, tell: Tell) -> None:
    """Wait for the end of a batch; it is cancelled if nobody waits for it any more."""
    ended = False
    try:
        while not ended:
            ended = batch.status().state.is_final
            files = batch.files()
            done = sum(1.0 if file.state.is_final else file.fraction for file in files)
            tell(Step("running", 0, "batch", done / len(files)))
            if not ended:
                await asyncio.sleep(_LOOK_S)
    finally:
        if not ended:
            batch.cancel()
