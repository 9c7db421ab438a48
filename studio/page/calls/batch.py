"""Calls of the Batch tab: archives, tables of pairs, the batch and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from common.errors import OptionError, StudioError
from studio.page.calls import Asked, Data, error_answer, read
from studio.page.messages import for_page
from studio.page.texts.language import Bilingual
from studio.page.views import file_link
from studio.page.visits import Visit, Visits
from studio.service.batch_files import BatchItem, FileStatus
from studio.service.batch_run import Batch
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.pairs import read_pairs

_ANSWER_S = 5.0
"""A call that waits for a change answers after this time without one."""
_LOOK_S = 0.1
_MOST_SOURCES = 50
_MOST_TOLD = 100  # of what an archive held and was left out
_TABLE_LENGTH = 2_000_000  # characters


class ItemAsked(Asked):
    """A target. path: an uploaded file. sources: places in the batch's list of sources."""

    path: str = Field(max_length=4096)
    name: str = Field(min_length=1, max_length=300)
    sources: tuple[int, ...] = Field(min_length=1, max_length=_MOST_SOURCES)


class SourceAsked(Asked):
    """A photograph that was looked at, and what the person calls it."""

    id: str
    name: str = Field(min_length=1, max_length=300)


class StartAsked(Asked):
    items: tuple[ItemAsked, ...] = Field(max_length=100_000)
    sources: tuple[SourceAsked, ...] = Field(max_length=_MOST_SOURCES)
    controls: dict[str, Any]
    faces: Literal["largest", "all"]


class FollowAsked(Asked):
    """id: of the batch. seen: the revision that is known."""

    id: str
    seen: int


class PathAsked(Asked):
    path: str = Field(max_length=4096)


class TableAsked(Asked):
    name: str = Field(max_length=300)
    text: str = Field(max_length=_TABLE_LENGTH)


class BatchCalls:
    """What the Batch tab asks for.

    Args:
        service: Does the work.
        visits: Not asked for anything: a batch belongs to the visitor and goes on without the page.
    """

    names = (
        "batch_state",
        "batch_start",
        "batch_follow",
        "batch_cancel",
        "batch_clear",
        "batch_unpack",
        "batch_pairs",
    )

    def __init__(self, service: FusionService, visits: Visits) -> None:
        del visits
        self._service = service
        self._batches = service.batches

    def batch_state(self, visit: Visit, data: Data) -> Data:
        """The visitor's batch, running or over, as a page that is opened anew finds it."""
        read(Asked, data)
        batch = self._batches.of(visit.visitor)
        limit = self._service.settings.limits.batch_files
        return {"batch": None if batch is None else self._view(batch), "limit": limit}

    def batch_start(self, visit: Visit, data: Data) -> Data:
        """Start a batch in the place of the visitor's former one."""
        asked = read(StartAsked, data)
        known = [(visit.photo(source.id).path, source.name) for source in asked.sources]
        items = [self._item(item, known) for item in asked.items]
        controls = Controls.read(asked.controls, self._service.settings)
        return self._view(self._batches.start(visit.visitor, items, controls, asked.faces))

    async def batch_follow(self, visit: Visit, data: Data) -> Data:
        """What has changed since, as soon as something has; gone: another batch took its place."""
        asked = read(FollowAsked, data)
        limit = time.monotonic() + _ANSWER_S
        while True:
            batch = self._batches.of(visit.visitor)
            if batch is None or batch.id != asked.id:
                return {"gone": True}
            if batch.revision != asked.seen or time.monotonic() > limit:
                return self._news(batch, asked.seen)
            await asyncio.sleep(_LOOK_S)

    def batch_cancel(self, visit: Visit, data: Data) -> Data:
        """End the batch; what is done stays."""
        read(Asked, data)
        batch = self._batches.of(visit.visitor)
        if batch is not None:
            batch.cancel()
        return {}

    def batch_clear(self, visit: Visit, data: Data) -> Data:
        """End the batch and delete its results."""
        read(Asked, data)
        self._batches.clear(visit.visitor)
        return {}

    def batch_unpack(self, visit: Visit, data: Data) -> Data:
        """The photographs of an uploaded ZIP archive as files, and what was left out."""
        path = self._service.storage.require(read(PathAsked, data).path)
        slot = f"batch-zip:{path.parent.name}"
        job = visit.jobs.begin(slot, lambda: self._batches.unpack(path))
        try:
            found = job.result()
        finally:
            visit.jobs.end(slot, job)
        storage = self._service.storage.directory
        return {
            "files": [
                {"path": str(file.path), "name": file.name, "bytes": file.path.stat().st_size}
                for file in found.files
            ],
            "left_out": [_named(reason, storage) for reason in found.left_out[:_MOST_TOLD]],
            "left_out_count": len(found.left_out),
        }

    def batch_pairs(self, visit: Visit, data: Data) -> Data:
        """The pairs of names in a table."""
        del visit
        asked = read(TableAsked, data)
        pairs = read_pairs(asked.text.encode(), asked.name)
        return {"pairs": [{"target": pair.target, "source": pair.source} for pair in pairs]}

    def _item(self, item: ItemAsked, sources: list[tuple[Path, str]]) -> BatchItem:
        if not all(0 <= place < len(sources) for place in item.sources):
            raise OptionError(f"{item.name} has no source picture; choose one for it")
        chosen = [sources[place] for place in item.sources]
        return BatchItem(
            target=self._service.storage.require(item.path),
            sources=tuple(path for path, _ in chosen),
            name=item.name,
            source="; ".join(name for _, name in chosen),
        )

    def _view(self, batch: Batch) -> Data:
        """A batch with all that does not change, and everything that is news so far."""
        return {
            "id": batch.id,
            "items": [{"name": item.name, "source": item.source} for item in batch.items],
            "faces": batch.faces,
            "controls": batch.controls.model_dump(),
            **self._news(batch, -1),
        }

    def _news(self, batch: Batch, seen: int) -> Data:
        revision, changed = batch.changed_since(seen)
        status = batch.status()
        archive = None
        if status.archive is not None and status.archive.is_file():
            archive = {"url": file_link(status.archive), "bytes": status.archive.stat().st_size}
        return {
            "id": batch.id,
            "seen": revision,
            "state": status.state.value,
            "over": status.state.is_final,
            "counts": status.counts,
            "remaining": status.remaining_s,
            "packed": round(status.packed, 2),
            "archive": archive,
            "problem": self._error(status.problem),
            "files": {
                str(index): self._file(file, batch.items[index].name)
                for index, file in changed.items()
            },
        }

    def _file(self, file: FileStatus, name: str) -> Data:
        storage = self._service.storage.directory
        return {
            "state": file.state.value,
            "stage": file.stage,
            "fraction": round(file.fraction, 3),
            "output": file.output,
            "url": None if file.result is None else file_link(file.result),
            "preview": None if file.preview is None else file_link(file.preview),
            "thumbnail": None if file.thumbnail is None else file_link(file.thumbnail),
            "size": None if file.size is None else [file.size.width, file.size.height],
            "bytes": file.bytes,
            "seconds": file.seconds,
            "warnings": [for_page(warning, storage) for warning in file.warnings],
            "error": self._error(file.problem, name),
        }

    def _error(self, error: StudioError | None, name: str = "") -> Data | None:
        if error is None:
            return None
        storage = self._service.storage.directory
        answer = error_answer(error, storage)
        if name and error.message.startswith(name):
            answer["text"] = _named(error.message, storage)
        return answer


def _named(sentence: str, storage: Path) -> Bilingual:
    """A sentence that begins with the name of a file, which keeps its small letter.

    In front of it a folder tells that it is a name; the page leaves folders out.
    """
    return for_page(f"/{sentence}", storage)
