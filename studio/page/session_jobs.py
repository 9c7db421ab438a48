"""Which work belongs to which visitor, so that it ends when nobody waits for it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from studio.service.jobs import Job

T = TypeVar("T")
Slot = Literal["target", "source", "fusion"]
SLOTS: tuple[Slot, ...] = ("target", "source", "fusion")
MOST_CLEARED = 1000
"""Sessions that are remembered as cleared; it matters for a moment only."""


class SessionJobs:
    """One job at most for each slot of each session; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, Slot], Job[Any]] = {}
        self._cleared: dict[str, None] = {}  # in the order of clearing

    def begin(self, session: str, slot: Slot, submit: Callable[[], Job[T]]) -> Job[T]:
        """Submit a job in the place of the slot's former one, which is cancelled.

        A `forget` comes before or after the whole of it, so no job is submitted and not known.

        Raises:
            StudioError: ``submit`` refused; the former job is cancelled all the same.
        """
        with self._lock:
            self._cleared.pop(session, None)
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

    def are_withdrawn(self, session: str, slots: Sequence[Slot]) -> bool:
        """Whether the work of these slots was ended by the visitor rather than by a failure.

        Gradio tells of an event that was cancelled in the browser as of one that failed, before
        or after it lets `clear` be called: its job is still there, or the session is cleared
        and has begun nothing since. Work that failed has no job any more.
        """
        with self._lock:
            known = any((session, slot) in self._jobs for slot in slots)
            return known or session in self._cleared

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
            self._forget(session, slots or SLOTS)

    def clear(self, session: str) -> None:
        """Likewise for all of a session that goes on."""
        with self._lock:
            self._forget(session, SLOTS)
            self._cleared.pop(session, None)
            self._cleared[session] = None
            if len(self._cleared) > MOST_CLEARED:
                del self._cleared[next(iter(self._cleared))]

    def _forget(self, session: str, slots: Sequence[Slot]) -> None:
        for slot in slots:
            job = self._jobs.pop((session, slot), None)
            if job is not None:
                job.cancel()
