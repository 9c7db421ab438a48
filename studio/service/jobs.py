"""A bounded queue of jobs: at most so many at once, the rest in line, each with a deadline.

Threads only, no polling: every change of a job notifies one condition on which followers
wait. The work itself is any callable that takes a `Progress`, so the queue knows nothing
about pictures.
"""

from __future__ import annotations

import enum
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from common.errors import BusyError, CancelledError, MemoryLimitError, StudioError
from common.progress import Progress

LOG = logging.getLogger(__name__)
MOST_CONCURRENT = 3
T = TypeVar("T")
Work = Callable[[Progress], T]


class JobState(enum.Enum):
    """Where a job is; the last three are final."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One look at a job.

    position: 1 for the next in line, 0 when the job does not wait or is about to start.
    stage, fraction: what the work last reported; fraction is of that stage, 0-1.
    stopping: cancellation was asked for and the work has not reached its next check.
    """

    state: JobState
    position: int = 0
    stage: str = ""
    fraction: float = 0.0
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """How many jobs a queue has, and how many it takes."""

    running: int
    waiting: int
    most_running: int
    most_waiting: int


class Job(Generic[T]):
    """A piece of work in a `JobQueue`; every method is safe from any thread."""

    def __init__(self, queue: JobQueue, work: Work[T], deadline_s: float) -> None:
        self.id = secrets.token_urlsafe(16)
        self._queue = queue
        self._work = work
        self._progress = Progress(listener=self._report, deadline_s=deadline_s)
        self._state = JobState.WAITING
        self._stage = ""
        self._fraction = 0.0
        self._stopping = False
        self._result: T | None = None
        self._error: StudioError | None = None

    def status(self) -> JobStatus:
        """The job as it is now."""
        with self._queue.changed:
            return self._status()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job is over or ``timeout`` seconds have passed; True if it is over."""
        with self._queue.changed:
            return self._queue.changed.wait_for(lambda: self._state.is_final, timeout)

    def result(self) -> T:
        """What the work returned; blocks until the job is over.

        Raises:
            StudioError: The work failed, timed out or was cancelled.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        return cast("T", self._result)  # set whenever there is no error

    def follow(self, interval: float = 0.1) -> Iterator[JobStatus]:
        """Every change until the job is over, the final status last.

        Changes that come within ``interval`` seconds of each other are taken together, so
        that a page is not flooded; a final status is never held back.
        """
        seen = self.status()
        yield seen
        while not seen.state.is_final:
            self.wait(interval)
            seen = self._next_status(seen)
            yield seen

    def cancel(self) -> None:
        """Withdraw the job.

        A waiting one leaves the line at once, a running one ends at its next check, one that
        is over stays as it is.
        """
        self._queue.withdraw(self)

    def _next_status(self, seen: JobStatus) -> JobStatus:
        with self._queue.changed:
            self._queue.changed.wait_for(lambda: self._status() != seen)
            return self._status()

    def _status(self) -> JobStatus:
        return JobStatus(
            self._state,
            self._queue.position(self) if self._state is JobState.WAITING else 0,
            self._stage,
            self._fraction,
            self._stopping and self._state is JobState.RUNNING,
        )

    def _report(self, stage: str, fraction: float) -> None:
        with self._queue.changed:
            self._stage, self._fraction = stage, fraction
            self._queue.changed.notify_all()

    def _run(self) -> None:
        """Do the work; called once, by a worker."""
        result: T | None = None
        error: StudioError | None = None
        try:
            self._progress.restart_clock()
            result = self._work(self._progress)
        except StudioError as known:
            LOG.info("job %s ended: %s", self.id, known.message)
            error = _without_frames(known)
        except MemoryError:
            LOG.warning("job %s ran out of memory", self.id, exc_info=True)
            error = MemoryLimitError(
                "there was not enough memory; choose a smaller output resolution or a smaller photo"
            )
        except BaseException:  # a worker outlives every job; the traceback goes to the log
            LOG.exception("job %s failed unexpectedly", self.id)
            error = StudioError("something went wrong inside the studio; its log has the details")
        self._end(result, error)

    def _end(self, result: T | None, error: StudioError | None) -> None:
        with self._queue.changed:
            self._result, self._error = result, error
            if error is None:
                self._state = JobState.DONE
            elif isinstance(error, CancelledError):
                self._state = JobState.CANCELLED
            else:
                self._state = JobState.FAILED
            del self._work  # it may hold a picture, and a page keeps its last job
            self._queue._running.discard(self)
            self._queue.changed.notify_all()

    def _withdraw(self) -> None:
        self._stopping = True
        self._progress.cancel()


class JobQueue:
    """Runs jobs first come, first served.

    Args:
        concurrent: Jobs that run at once, 1-3.
        waiting: Jobs that may wait besides; one more is refused.
        deadline_s: Seconds that a job may run, counted from when it leaves the line.

    Raises:
        ValueError: ``concurrent`` or ``waiting`` is out of range.
    """

    def __init__(self, concurrent: int, waiting: int, deadline_s: float) -> None:
        if not 1 <= concurrent <= MOST_CONCURRENT:
            raise ValueError(f"concurrent must be 1 to {MOST_CONCURRENT}, not {concurrent}")
        if waiting < 0:
            raise ValueError(f"waiting must not be negative, but is {waiting}")
        # Re-entrant: the status of a waiting job asks the queue for its position.
        self.changed = threading.Condition(threading.RLock())
        self._waiting: deque[Job[Any]] = deque()
        self._running: set[Job[Any]] = set()
        self._limit = concurrent
        self._most_waiting = waiting
        self._deadline_s = deadline_s
        self._closed = False
        self._workers = [
            threading.Thread(target=self._work_off, name=f"job-{number}", daemon=True)
            for number in range(concurrent)
        ]
        for worker in self._workers:
            worker.start()

    def submit(self, work: Work[T]) -> Job[T]:
        """Put a job at the end of the line.

        Raises:
            BusyError: The line is full, or the queue was shut down; nothing was started.
        """
        job: Job[T] = Job(self, work, self._deadline_s)
        with self.changed:
            if self._closed:
                raise BusyError("the studio is shutting down")
            free = self._limit - len(self._running)
            if len(self._waiting) >= self._most_waiting + free:
                raise BusyError(
                    f"the studio is busy: {len(self._running)} running and "
                    f"{len(self._waiting)} waiting before this one; try again in a moment"
                )
            self._waiting.append(job)
            self.changed.notify_all()
        return job

    def position(self, job: Job[T]) -> int:
        """1 for the next in line, 0 for a job that does not wait or that is about to start."""
        with self.changed:
            free = self._limit - len(self._running)
            for place, other in enumerate(self._waiting, start=1):
                if other is job:
                    return max(0, place - free)
        return 0

    def load(self) -> Load:
        """How busy it is."""
        with self.changed:
            return Load(len(self._running), len(self._waiting), self._limit, self._most_waiting)

    def withdraw(self, job: Job[T]) -> None:
        """See `Job.cancel`."""
        with self.changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job._end(None, CancelledError("the request was cancelled before it started"))
            elif not job._state.is_final:
                job._withdraw()
                self.changed.notify_all()

    def shutdown(self, timeout: float = 5.0) -> bool:
        """Refuse new jobs, cancel all others and wait up to ``timeout`` seconds for the workers.

        Returns:
            True if every worker has ended.
        """
        with self.changed:
            self._closed = True
            for job in [*self._waiting, *self._running]:
                self.withdraw(job)
            self.changed.notify_all()
        limit = time.monotonic() + timeout
        for worker in self._workers:
            worker.join(max(0.0, limit - time.monotonic()))
        return not any(worker.is_alive() for worker in self._workers)

    def _work_off(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                job._state = JobState.RUNNING
                self._running.add(job)
                self.changed.notify_all()
            job._run()
            del job


def _without_frames(error: StudioError) -> StudioError:
    """The error without its traceback, whose frames would keep the pictures in memory."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
