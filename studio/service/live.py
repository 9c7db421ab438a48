"""Previews of fusions while controls move: one cached session for each who looks at some.

A preview is a job of its own small queue: it never waits behind a fusion that takes half a minute,
and as one more thread beside those of the fusions it takes no more than its share from them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from common.progress import Progress
from common.types import Size
from studio.service.jobs import Job, JobQueue
from studio.service.wish import Wish

if TYPE_CHECKING:
    from fusion.live import LiveFusion
    from fusion.request import FusionRequest
    from studio.service.fusion_service import FusionService

AT_ONCE, MOST_WAITING = 1, 32  # one of each page waits at most
SESSION_MB = 150
"""About what a session of a 12 megapixel target holds at 1600 px, measured by
benchmarks/preview.py; most is the fields of the last three blends."""
_SHARE = 0.1  # of the free memory, for all sessions
_SESSIONS = (2, 16)  # least and most
_NOWHERE = Path("preview.jpg")  # no file is written


@dataclass(frozen=True, slots=True)
class Preview:
    """A fusion as it would look, at preview size.

    jpeg: the whole target, sRGB, upright. size: of it. draft: see `fusion.live.Shown`. seconds:
    what it took once it had left the line. warnings, notes: see `fusion.request.FusionResult`.
    """

    jpeg: bytes
    size: Size
    draft: bool
    seconds: float
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Session:
    """pictures: files and how their faces are found; other ones need another session."""

    pictures: Hashable
    lock: threading.Lock = field(default_factory=threading.Lock)
    fusion: LiveFusion | None = None


class Live:
    """The previews of all visitors; thread-safe.

    Args:
        service: Has the pipeline, the engines and the settings.
    """

    def __init__(self, service: FusionService) -> None:
        self._service = service
        self.queue = JobQueue(AT_ONCE, MOST_WAITING, service.settings.limits.deadline_s)
        self._lock = threading.Lock()
        self._sessions: OrderedDict[Hashable, _Session] = OrderedDict()
        self._jobs: dict[Hashable, Job[Preview]] = {}

    def submit(self, key: Hashable, wish: Wish, draft: bool = False) -> Job[Preview]:
        """Queue a preview; the one that the same key asked for before is withdrawn.

        Args:
            key: Whoever asks, such as an open page.
            draft: See `fusion.live.LiveFusion.show`.

        Raises:
            OptionError: A value of the wish is out of range.
            BusyError: Too many others wait.
        """
        wish.check()
        with self._lock:
            former = self._jobs.pop(key, None)
        if former is not None:
            former.cancel()
        job = self.queue.submit(lambda progress: self.preview(key, wish, progress, draft))
        with self._lock:
            self._jobs = {own: one for own, one in self._jobs.items() if not _is_over(one)}
            self._jobs[key] = job
        return job

    def preview(
        self, key: Hashable, wish: Wish, progress: Progress, draft: bool = False
    ) -> Preview:
        """Make a preview now, in this thread.

        Each key has one session at most, which keeps what other controls leave as it is; it
        begins anew with other photographs, or when those of others have taken its room.

        Args:
            key: As for `submit`.
            progress: Stages read, detect, prepare, render and write.
            draft: See `fusion.live.LiveFusion.show`.

        Raises:
            StudioError: As `fusion.live.LiveFusion` says.
        """
        started = time.perf_counter()
        request = self._service.request(wish, _NOWHERE)
        engine = self._service.engines.get(wish.controls.engine)
        session = self._session(key, request)
        fusion = self._fusion(session, request, progress)
        shown = fusion.show(request, engine, progress, draft)
        seconds = time.perf_counter() - started
        return Preview(shown.jpeg, shown.size, shown.draft, seconds, shown.warnings, shown.notes)

    def forget(self, key: Hashable) -> None:
        """Give up the session of a key, and what it still waits for."""
        with self._lock:
            self._sessions.pop(key, None)
            job = self._jobs.pop(key, None)
        if job is not None:
            job.cancel()

    def close(self) -> bool:
        """Cancel everything and take no more; whether all has ended in time."""
        with self._lock:
            self._sessions.clear()
            self._jobs.clear()
        return self.queue.shutdown()

    def _session(self, key: Hashable, request: FusionRequest) -> _Session:
        pictures = (request.target, request.sources, request.detection)
        with self._lock:
            session = self._sessions.get(key)
            if session is None or session.pictures != pictures:
                self._sessions.pop(key, None)
                while len(self._sessions) >= _most_sessions():
                    self._sessions.popitem(last=False)
                session = self._sessions[key] = _Session(pictures)
            self._sessions.move_to_end(key)
            return session

    def _fusion(self, session: _Session, request: FusionRequest, progress: Progress) -> LiveFusion:
        from fusion.live import LiveFusion

        with session.lock:
            if session.fusion is None:
                longest = self._service.settings.page.preview_px
                pipeline = self._service.pipeline()
                session.fusion = LiveFusion(pipeline, request, longest, progress)
            return session.fusion


def _most_sessions() -> int:
    """As many as a tenth of the free memory holds, each at about `SESSION_MB`."""
    from fusion.memory import free_memory_mb

    least, most = _SESSIONS
    return max(least, min(most, int(free_memory_mb() * _SHARE / SESSION_MB)))


def _is_over(job: Job[Preview]) -> bool:
    return job.status().state.is_final
