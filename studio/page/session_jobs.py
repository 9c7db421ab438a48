"""Which work belongs to which visitor, so that it ends when nobody waits for it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from studio.service.jobs import Job

T = TypeVar("T")
Slot = Literal["target", "source", "fusion"]
SLOTS: tuple[Slot, ...] = ("target", "source", "fusion")


class SessionJobs:
    """One job at most for each slot of each session; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, Slot], Job[Any]] = {}

    def begin(self, session: str, slot: Slot, submit: Callable[[], Job[T]]) -> Job[T]:
        """Submit a job in the place of the slot's former one, which is cancelled.

        A `forget` comes before or after the whole of it, so no job is submitted and not known.

        Raises:
            StudioError: ``submit`` refused; the former job is cancelled all the same.
        """
        with self._lock:
            former = self._jobs.pop((session, slot), None)
            if former is not None:
                former.cancel()
            job = submit()
            self._jobs[session, slot] = job
        return job

    def find(self, session: str, slot: Slot) -> Job[Any] | None:
        """The slot's job, if there is one."""
        with self._lock:
            return self._jobs.get((session, slot))

    def end(self, session: str, slot: Slot, job: Job[T]) -> bool:
        """Whether ``job`` was still the slot's; it is not any more afterwards."""
        with self._lock:
            if self._jobs.get((session, slot)) is not job:
                return False
            del self._jobs[session, slot]
            return True

    def forget(self, session: str, *slots: Slot) -> None:
        """Cancel the jobs of these slots, or of all; nothing more is to be said about them."""
        with self._lock:
            for slot in slots or SLOTS:
                job = self._jobs.pop((session, slot), None)
                if job is not None:
                    job.cancel()
