"""Stages, cancellation and the deadline."""

import threading
import time

import pytest

from common.errors import CancelledError, DeadlineError
from common.progress import Progress


def test_the_listener_hears_stages_and_steps() -> None:
    heard: list[tuple[str, float]] = []
    progress = Progress(listener=lambda stage, fraction: heard.append((stage, fraction)))
    with progress.stage("read"):
        progress.advance(0.5)
    with progress.stage("write"):
        pass
    assert heard == [("read", 0.0), ("read", 0.5), ("write", 0.0)]


def test_time_in_a_stage_entered_twice_adds_up() -> None:
    progress = Progress()
    for _ in range(2):
        with progress.stage("render"):
            until = time.perf_counter() + 0.01
            while time.perf_counter() < until:
                pass
    assert 0.02 <= progress.seconds["render"] < 5


def test_a_stage_that_fails_is_still_measured() -> None:
    progress = Progress()
    with pytest.raises(ZeroDivisionError), progress.stage("render"):
        _ = 1 / 0
    assert progress.seconds["render"] >= 0


def test_cancelling_from_another_thread_ends_the_work() -> None:
    progress = Progress()
    progress.check()
    thread = threading.Thread(target=progress.cancel)
    thread.start()
    thread.join(10)
    with pytest.raises(CancelledError):
        progress.check()
    with pytest.raises(CancelledError), progress.stage("render"):
        pytest.fail("a cancelled request starts no further stage")


def test_a_listener_can_cancel() -> None:
    progress = Progress()
    progress.listener = lambda *_: progress.cancel()
    with pytest.raises(CancelledError), progress.stage("read"):
        pytest.fail("the stage was cancelled as it began")


def test_the_deadline_names_the_setting() -> None:
    progress = Progress(deadline_s=0.0)
    with pytest.raises(DeadlineError, match=r"limits\.deadline_s"):
        progress.check()


def test_the_clock_starts_again_when_a_request_leaves_the_queue() -> None:
    progress = Progress(deadline_s=60.0)
    progress._started -= 61.0  # as if it had waited for that long
    with pytest.raises(DeadlineError):
        progress.check()
    progress.restart_clock()
    progress.check()


def test_without_a_deadline_nothing_ends_it() -> None:
    progress = Progress()
    progress._started -= 1e9
    progress.check()
