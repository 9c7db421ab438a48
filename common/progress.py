"""Progress of one request: named stages, cancellation and a deadline, all cooperative."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.errors import CancelledError, DeadlineError

Listener = Callable[[str, float], None]
"""Called with (stage name, fraction of that stage done, 0-1)."""


@dataclass(slots=True)
class Progress:
    """Passed down every long call; loops ask `check` between tiles.

    Args:
        listener: Told about every stage and step; called in the working thread.
        deadline_s: Seconds from now after which `check` raises; None for no limit.
    """

    listener: Listener | None = None
    deadline_s: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _stage: str = ""

    def cancel(self) -> None:
        """Ask the work to stop at its next `check`; safe from any thread."""
        self._cancelled.set()

    def restart_clock(self) -> None:
        """Count the deadline from now, when a request leaves the queue and starts."""
        self._started = time.monotonic()

    def check(self) -> None:
        """Raise if the work should end.

        Raises:
            CancelledError: `cancel` was called.
            DeadlineError: The deadline has passed.
        """
        if self._cancelled.is_set():
            raise CancelledError("the fusion was cancelled")
        if self.deadline_s is not None and time.monotonic() - self._started > self.deadline_s:
            raise DeadlineError(
                f"the fusion took longer than the {self.deadline_s:g} s allowed for one request; "
                "choose a smaller output resolution or raise limits.deadline_s"
            )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage; its wall time is added to ``seconds[name]``."""
        self.check()
        self._stage = name
        self.advance(0.0)
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def advance(self, fraction: float) -> None:
        """Report how much of the current stage is done (0-1), then `check`."""
        if self.listener is not None:
            self.listener(self._stage, fraction)
        self.check()
