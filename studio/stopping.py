"""What ends a command early: Ctrl-C, a polite end, a closed terminal."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import CancelledError
from common.progress import Progress


def signals() -> list[signal.Signals]:
    """Ctrl-C, a polite end and a closed terminal, unless nohup made one of them harmless."""
    return [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]


def end_early(*_: object) -> None:
    """Before there is anything to cancel. (click would print a line of its own for Ctrl-C.)"""
    raise CancelledError("the command was interrupted")


@contextmanager
def stoppable() -> Iterator[Progress]:
    """A progress that each of `signals` cancels: nothing half-written stays."""
    gc.enable()  # a command that only answers a question runs without it
    progress = Progress()
    previous = {number: signal.signal(number, lambda *_: progress.cancel()) for number in signals()}
    try:
        yield progress
    finally:
        for number, handler in previous.items():
            # What is done is done: a signal must not turn a complete result into a failure.
            done = handler is end_early
            signal.signal(number, signal.SIG_IGN if done else handler)
