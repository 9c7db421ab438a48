"""The open pages: what each has uploaded and which work belongs to it.

A visitor is known by a random cookie, and so after a reload and in every tab; a visit is one open
page of theirs. Work that nobody waits for any more is ended: at once where the browser tells that
the page is left, else when nothing has been heard of it for a while.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from common.errors import OptionError
from studio.service.jobs import Job
from studio.service.wish import Fused, Photo, Wish

T = TypeVar("T")
PATIENCE_S = 60.0
"""Seconds without a sign of life after which a visit's work is ended: a phone may be locked."""
IDLE_S = 900.0
"""Likewise after which memory that is held for it is given up."""
MOST_PHOTOS = 200
MOST_VISITS = 2000
"""Those that hold neither photographs nor work go first when there are more."""
_PAUSE_S = 5.0


class VisitJobs:
    """One job at most for each purpose (``slot``) of a visit; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job[Any]] = {}

    def begin(self, slot: str, submit: Callable[[], Job[T]]) -> Job[T]:
        """Submit a job in the place of the slot's former one, which is cancelled.

        Raises:
            StudioError: ``submit`` refused; the former job is cancelled all the same.
        """
        with self._lock:
            former = self._jobs.pop(slot, None)
            if former is not None:
                former.cancel()
            job = submit()
            self._jobs[slot] = job
        return job

    def find(self, slot: str) -> Job[Any] | None:
        """The slot's job, if there is one."""
        with self._lock:
            return self._jobs.get(slot)

    def end(self, slot: str, job: Job[T]) -> bool:
        """Whether ``job`` was still the slot's; it is not any more afterwards."""
        with self._lock:
            if self._jobs.get(slot) is not job:
                return False
            del self._jobs[slot]
            return True

    def forget(self, *slots: str) -> None:
        """Cancel the jobs of these slots, or of all."""
        with self._lock:
            for slot in slots or tuple(self._jobs):
                job = self._jobs.pop(slot, None)
                if job is not None:
                    job.cancel()

    @property
    def busy(self) -> bool:
        """Whether any of them is not over."""
        with self._lock:
            return any(not job.status().state.is_final for job in self._jobs.values())


class Visit:
    """One open page.

    Attributes:
        visitor: The same for all pages of a browser.
        tab: This page's own name.
        photos: What was uploaded and looked at, by an id; read by `photo`.
        jobs: What it waits for.
        latest: The fusion that was asked for last, and its wish.
    """

    def __init__(self, visitor: str, tab: str) -> None:
        self.visitor = visitor
        self.tab = tab
        self.photos: dict[str, Photo] = {}
        self.jobs = VisitJobs()
        self.latest: tuple[Job[Fused], Wish] | None = None
        self.heard = time.monotonic()
        self._lock = threading.Lock()  # calls of one page come on several threads
        self._calls = 0

    @property
    def key(self) -> tuple[str, str]:
        """What tells this visit from all others."""
        return self.visitor, self.tab

    def keep(self, photo: Photo) -> str:
        """Remember a photograph; its id."""
        name = secrets.token_urlsafe(9)
        with self._lock:
            while len(self.photos) >= MOST_PHOTOS:
                del self.photos[next(iter(self.photos))]
            self.photos[name] = photo
        return name

    def photo(self, name: str) -> Photo:
        """The photograph of that id.

        Raises:
            OptionError: There is none.
        """
        photo = self.photos.get(name)
        if photo is None:
            raise OptionError("a photograph is not among the uploaded files any more; add it again")
        return photo

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Within it somebody is there, however long it takes."""
        with self._lock:
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                self.heard = time.monotonic()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost with it."""
        return not self.photos and not self.jobs.busy

    def is_left(self, now: float, patience_s: float) -> bool:
        return self._calls == 0 and now - self.heard > patience_s


class Visits:
    """All visits; thread-safe.

    Args:
        keep_s: Seconds without a sign of life after which a visit is forgotten.
        left: Told of each visit that has ended or long been idle, perhaps more than once: what else
            is held for it can go.
    """

    def __init__(self, keep_s: float, left: Callable[[Visit], None] = lambda _: None) -> None:
        self._keep_s = keep_s
        self._left = left
        self._lock = threading.Lock()
        self._visits: dict[tuple[str, str], Visit] = {}
        self._closed = threading.Event()

    def find(self, visitor: str, tab: str) -> Visit:
        """The visit of that page; a new one if it is not known."""
        with self._lock:
            visit = self._visits.pop((visitor, tab), None) or Visit(visitor, tab)
            self._visits[visitor, tab] = visit  # last: the first is the one to be forgotten
            surplus = None
            if len(self._visits) > MOST_VISITS:
                others = [one for one in self._visits.values() if one is not visit]
                surplus = next((one for one in others if one.is_empty), others[0])
                del self._visits[surplus.key]
        if surplus is not None:
            self._end(surplus)
        return visit

    def leave(self, visit: Visit) -> None:
        """The page is closed."""
        with self._lock:
            self._visits.pop(visit.key, None)
        self._end(visit)

    def watch(self) -> None:
        """End, from a background thread until `close`, the work of pages that fell silent."""
        threading.Thread(target=self._watch, name="visits", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def end_silent(self, now: float) -> None:
        """End the work of pages that have been silent at ``now`` (of `time.monotonic`)."""
        with self._lock:
            visits = list(self._visits.values())
        for visit in visits:
            if visit.is_left(now, PATIENCE_S):
                visit.jobs.forget()
            if visit.is_left(now, IDLE_S):
                self._left(visit)
            if visit.is_left(now, self._keep_s):
                self.leave(visit)

    def _end(self, visit: Visit) -> None:
        visit.jobs.forget()
        self._left(visit)

    def _watch(self) -> None:
        while not self._closed.wait(_PAUSE_S):
            self.end_silent(time.monotonic())
