"""Which failures are a visitor's own doing."""

from collections.abc import Callable, Iterator
from threading import Event

import pytest

from common.progress import Progress
from studio.page import session_jobs
from studio.page.session_jobs import SessionJobs
from studio.service.jobs import JobQueue


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    made = JobQueue(1, 4, 60)
    yield made
    made.shutdown()


def held(go_on: Event) -> Callable[[Progress], None]:
    def work(progress: Progress) -> None:
        while not go_on.wait(0.01):
            progress.check()

    return work


def test_what_clear_ended_did_not_fail_whichever_news_comes_first(queue: JobQueue) -> None:
    jobs, go_on = SessionJobs(), Event()
    jobs.begin("one", "target", lambda: queue.submit(held(go_on)))
    assert jobs.are_withdrawn("one", ("target",))  # the browser's news, before Clear arrives
    assert not jobs.are_withdrawn("one", ("fusion",))
    jobs.clear("one")
    assert jobs.are_withdrawn("one", ("target",))
    assert not jobs.are_withdrawn("two", ("target",))


def test_work_begun_after_clear_may_fail(queue: JobQueue) -> None:
    jobs = SessionJobs()
    jobs.clear("one")
    job = jobs.begin("one", "fusion", lambda: queue.submit(lambda progress: None))
    assert jobs.end("one", "fusion", job)
    assert not jobs.are_withdrawn("one", ("fusion",))


def test_few_cleared_sessions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_jobs, "MOST_CLEARED", 2)
    jobs = SessionJobs()
    for session in ("one", "two", "three"):
        jobs.clear(session)
    remembered = [jobs.are_withdrawn(session, ("target",)) for session in ("one", "two", "three")]
    assert remembered == [False, True, True]
