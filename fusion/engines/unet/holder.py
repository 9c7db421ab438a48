"""Networks that are loaded when they are first needed and leave the memory when they are not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from common.progress import Progress

LOG = logging.getLogger(__name__)
_LOOK_UP_S = 0.1
"""How often somebody who waits asks whether to go on waiting."""


class Closable(Protocol):
    """What gives up its memory and device when it is closed."""

    def close(self) -> None: ...


class Alarm(Protocol):
    """What `threading.Timer` makes."""

    daemon: bool

    def start(self) -> None: ...

    def cancel(self) -> None: ...


Held = TypeVar("Held", bound=Closable)


class Holder(Generic[Held]):
    """Loads once however many threads ask, and unloads after an idle time.

    Args:
        load: Makes what is held; may take seconds and may fail.
        idle_s: Seconds without a user after which it is closed; the next use loads it again.
        jobs: How many may use it at once; others wait.
        timer: Makes the alarm of the idle time: ``timer(seconds, call)``.
    """

    def __init__(
        self,
        load: Callable[[], Held],
        idle_s: float,
        jobs: int = 1,
        timer: Callable[[float, Callable[[], None]], Alarm] = threading.Timer,
    ) -> None:
        self._load = load
        self._idle_s = idle_s
        self._timer = timer
        self._places = threading.Semaphore(jobs)
        self._lock = threading.Lock()
        self._held: Future[Held] | None = None
        self._users = 0
        self._closing = False
        self._alarm: Alarm | None = None

    @property
    def loaded(self) -> bool:
        """Whether it is in memory now."""
        with self._lock:
            return self._held is not None and self._held.done()

    @contextmanager
    def networks(self, progress: Progress | None = None) -> Iterator[Held]:
        """What is held, loaded if need be; it is not unloaded inside.

        Args:
            progress: Asked again and again while others load or use all places.

        Raises:
            StoppedError: ``progress`` ended the waiting.
            Exception: What ``load`` raised; everybody who waited for it gets it, and the next
                use tries again.
        """
        self._wait_for_a_place(progress)
        try:
            held, mine = self._enter()
            try:
                if mine:
                    # Not in this thread, which may be told to stop meanwhile. No daemon: Python
                    # ends those inside of whatever library they are in.
                    threading.Thread(target=self._fill, args=(held,), name="loading").start()
                yield _result(held, progress)
            finally:
                # An error that the loading ended with knows this frame: no cycle.
                del held
                self._leave()
        finally:
            self._places.release()

    def close(self) -> None:
        """Unload now, or as soon as the last user is done. A later use loads again."""
        with self._lock:
            self._silence()
            self._closing = self._users > 0
            if not self._closing:
                self._unload()

    def _wait_for_a_place(self, progress: Progress | None) -> None:
        while not self._places.acquire(timeout=_LOOK_UP_S):
            if progress is not None:
                progress.check()

    def _enter(self) -> tuple[Future[Held], bool]:
        """One more user; also answers whether it is the one who has to load."""
        with self._lock:
            self._silence()
            self._users += 1
            mine = self._held is None
            if self._held is None:
                self._held = Future()
            return self._held, mine

    def _fill(self, held: Future[Held]) -> None:
        try:
            made = self._load()
        except BaseException as error:  # noqa: BLE001 - handed on to everybody who waits
            with self._lock:
                if self._held is held:
                    self._held = None
            held.set_exception(error)
            del held  # see `networks`
            return
        held.set_result(made)

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            if self._closing or self._held is None:
                self._unload()
                return
            self._alarm = self._timer(self._idle_s, self._idle)
            self._alarm.daemon = True
            self._alarm.start()

    def _idle(self) -> None:
        with self._lock:
            # Somebody may have come between the alarm and the lock.
            if self._users == 0 and self._held is not None:
                LOG.info("unloaded after %g s without use", self._idle_s)
                self._unload()

    def _unload(self) -> None:
        """Under the lock, so that nobody loads a second copy beside the one that still goes."""
        self._closing = False
        held, self._held = self._held, None
        if held is not None:
            held.add_done_callback(_close)  # now, or when it is loaded

    def _silence(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def _close(held: Future[Held]) -> None:
    if held.exception() is None:
        held.result().close()


def _result(held: Future[Held], progress: Progress | None) -> Held:
    """Wait for whoever loads."""
    while not wait([held], _LOOK_UP_S).done:
        if progress is not None:
            progress.check()
    try:
        return held.result()
    finally:
        del held  # see `Holder.networks`
