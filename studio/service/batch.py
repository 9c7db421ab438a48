"""Batches: many fusions with the same settings, one after the other, and their results in a ZIP."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import BusyError, OptionError
from common.progress import Progress
from studio.service.batch_files import BatchItem
from studio.service.batch_run import Batch, Faces
from studio.service.controls import Controls
from studio.service.jobs import Job
from studio.service.storage import storage_errors
from studio.service.unpack import Unpacked, UnpackLimits, unpack

if TYPE_CHECKING:
    from studio.service.fusion_service import FusionService


class Batches:
    """The batches of all visitors, one of each at most; thread-safe.

    Args:
        service: Does the fusions.
    """

    def __init__(self, service: FusionService) -> None:
        self._service = service
        limits = service.settings.limits
        self._most_files = limits.batch_files
        # Each has a job in line now and then; the other half is for those who ask for one fusion.
        self._most_running = max(1, limits.queue // 2)
        self._keep_s = service.settings.storage.keep_hours * 3600
        self._lock = threading.Lock()
        self._batches: dict[str, Batch] = {}

    def start(
        self,
        visitor: str,
        items: Sequence[BatchItem],
        controls: Controls,
        faces: Faces = "largest",
    ) -> Batch:
        """Start a batch in the place of the visitor's former one, whose results are deleted.

        Raises:
            OptionError: No or too many files, a file without a source, or a batch of this visitor
                is not over yet.
            BusyError: Too many batches of others are running.
        """
        if not items:
            raise OptionError("a batch needs photographs; choose at least one")
        if len(items) > self._most_files:
            raise OptionError(
                f"a batch takes at most {self._most_files} photographs, not {len(items)}; make "
                "several batches of them"
            )
        for item in items:
            if not item.sources:
                raise OptionError(f"{item.name} has no source picture; choose one for it")
        controls.check()
        with self._lock:
            self._forget_old()
            former = self._batches.get(visitor)
            if former is not None and not former.status().state.is_final:
                raise OptionError(
                    "a batch is running already; try again when it is over, or cancel it"
                )
            running = sum(not one.status().state.is_final for one in self._batches.values())
            if running >= self._most_running:
                raise BusyError(f"{running} batches are running already; try again in some minutes")
            batch = self._batches[visitor] = Batch(self._service, items, controls, faces)
            batch.begin()
        if former is not None:
            former.discard()
        return batch

    def of(self, visitor: str) -> Batch | None:
        """The visitor's batch, running or over, while its results are kept."""
        with self._lock:
            self._forget_old()
            return self._batches.get(visitor)

    def clear(self, visitor: str) -> None:
        """End the visitor's batch and delete its results."""
        with self._lock:
            batch = self._batches.pop(visitor, None)
        if batch is not None:
            batch.discard()

    def unpack(self, archive: Path) -> Job[Unpacked]:
        """Queue the unpacking of an uploaded ZIP archive, which is deleted then.

        Raises:
            BusyError: The queue is full.
        """
        storage = self._service.storage
        limits = UnpackLimits(
            self._most_files, self._service.settings.server.max_upload_mb * 1_000_000
        )

        def work(progress: Progress) -> Unpacked:
            # Not the folder that `Storage.discard` deletes with any one of its files.
            folder = storage.new_file("photographs")
            with storage_errors():
                folder.mkdir()
            try:
                return unpack(archive, folder, limits, progress)
            except BaseException:  # raised again: however it ends, no half of it stays
                storage.discard(folder)
                raise
            finally:
                storage.discard(archive)

        return self._service.analyses.submit(work)

    def close(self) -> None:
        """Cancel all batches."""
        with self._lock:
            batches = list(self._batches.values())
        for batch in batches:
            batch.cancel()
        for batch in batches:
            batch.wait(5.0)

    def _forget_old(self) -> None:
        """Batches whose files the storage has deleted."""
        oldest = time.monotonic() - self._keep_s
        for visitor, batch in list(self._batches.items()):
            if batch.ended is not None and batch.ended < oldest:
                del self._batches[visitor]
