"""Who waits for what: jobs of a page, pages that fall silent, pages that are left."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import BusyError, OptionError
from common.progress import Progress
from common.types import Size
from studio.page import visits as module
from studio.page.visits import PATIENCE_S, Visit, VisitJobs, Visits
from studio.service.jobs import Job, JobQueue, JobState
from studio.service.wish import Photo

KEEP_S = 3600.0


@pytest.fixture
def queue() -> Iterator[JobQueue]:
    made = JobQueue(1, 8, 60)
    yield made
    made.shutdown()


@pytest.fixture
def hold(queue: JobQueue) -> Callable[[], Job[None]]:
    """Queues work that goes on until it is cancelled."""

    def work(progress: Progress) -> None:
        never = threading.Event()
        while not never.wait(0.01):
            progress.check()

    return lambda: queue.submit(work)


@pytest.fixture
def visits() -> Visits:
    return Visits(KEEP_S)


def is_cancelled(job: Job[None]) -> bool:
    return job.wait(30) and job.status().state is JobState.CANCELLED


def photo(name: str) -> Photo:
    size = Size(8, 8)
    return Photo(Path("/s") / name, size, "jpeg", (), 0.5, Path("/s/preview.jpg"), size)


def test_the_newest_job_of_a_purpose_wins(hold: Callable[[], Job[None]]) -> None:
    jobs = VisitJobs()
    first, other = jobs.begin("target", hold), jobs.begin("fusion", hold)
    second = jobs.begin("target", hold)
    assert is_cancelled(first)
    assert jobs.find("target") is second
    assert jobs.find("fusion") is other
    assert not other.status().state.is_final
    assert jobs.find("preview") is None
    jobs.forget()
    assert is_cancelled(second)
    assert is_cancelled(other)


def test_only_the_present_job_can_end(hold: Callable[[], Job[None]]) -> None:
    jobs = VisitJobs()
    first = jobs.begin("target", hold)
    second = jobs.begin("target", hold)
    assert not jobs.end("target", first)
    assert jobs.end("target", second)
    assert not jobs.end("target", second)
    assert jobs.find("target") is None
    assert not second.status().stopping  # ended, not cancelled
    second.cancel()


def test_some_jobs_can_be_forgotten_and_others_not(hold: Callable[[], Job[None]]) -> None:
    jobs = VisitJobs()
    target, fusion = jobs.begin("target", hold), jobs.begin("fusion", hold)
    jobs.forget("target", "what never was")
    assert is_cancelled(target)
    assert jobs.find("fusion") is fusion
    jobs.forget()


def test_a_refused_job_leaves_none(hold: Callable[[], Job[None]]) -> None:
    def refuse() -> Job[None]:
        raise BusyError("the queue is full")

    jobs = VisitJobs()
    first = jobs.begin("fusion", hold)
    with pytest.raises(BusyError):
        jobs.begin("fusion", refuse)
    assert is_cancelled(first)
    assert jobs.find("fusion") is None


def test_photographs_are_known_to_their_own_visit_alone(visits: Visits) -> None:
    mine, yours = visits.find("anna", "one"), visits.find("ben", "two")
    mine_elsewhere = visits.find("anna", "three")
    name = mine.keep(photo("a.jpg"))
    assert mine.photo(name).name == "a.jpg"
    for other in (yours, mine_elsewhere):
        with pytest.raises(OptionError, match="add it again"):
            other.photo(name)
    with pytest.raises(OptionError):
        mine.photo("../../etc/passwd")


def test_the_photographs_of_a_visit_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PHOTOS", 3)
    visit = Visit("anna", "one")
    names = [visit.keep(photo(f"{number}.jpg")) for number in range(5)]
    assert len(set(names)) == 5
    assert list(visit.photos) == names[2:]  # the oldest go


def test_a_page_is_found_again(visits: Visits) -> None:
    visit = visits.find("anna", "one")
    assert visits.find("anna", "one") is visit
    assert visits.find("anna", "two") is not visit
    assert visits.find("ben", "one") is not visit
    assert (visit.visitor, visit.tab) == ("anna", "one")


def test_the_visits_are_bounded(
    visits: Visits, hold: Callable[[], Job[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_VISITS", 2)
    first, second = visits.find("v", "1"), visits.find("v", "2")
    jobs = [visit.jobs.begin("fusion", hold) for visit in (first, second)]
    assert visits.find("v", "1") is first  # heard of last: the second is the one to go
    visits.find("v", "3")
    assert is_cancelled(jobs[1])
    assert not jobs[0].status().state.is_final
    assert visits.find("v", "1") is first
    assert visits.find("v", "2") is not second
    jobs[0].cancel()


def test_leaving_ends_the_work_at_once(visits: Visits, hold: Callable[[], Job[None]]) -> None:
    visit, other = visits.find("anna", "one"), visits.find("anna", "two")
    job, kept = visit.jobs.begin("fusion", hold), other.jobs.begin("fusion", hold)
    visits.leave(visit)
    assert is_cancelled(job)
    assert not kept.status().state.is_final
    assert visits.find("anna", "one") is not visit
    visits.leave(visit)  # twice is once
    kept.cancel()


def test_a_silent_page_loses_its_work_and_later_itself(
    visits: Visits, hold: Callable[[], Job[None]]
) -> None:
    visit = visits.find("anna", "one")
    job = visit.jobs.begin("fusion", hold)
    visit.keep(photo("a.jpg"))
    visits.end_silent(visit.heard + PATIENCE_S)
    assert not job.status().state.is_final
    visits.end_silent(visit.heard + PATIENCE_S + 0.1)
    assert is_cancelled(job)
    assert visits.find("anna", "one") is visit  # the photographs may still be wanted
    assert visit.photos
    visits.end_silent(visit.heard + KEEP_S + 0.1)
    assert visits.find("anna", "one") is not visit


def test_a_page_that_waits_for_an_answer_is_not_silent(
    visits: Visits, hold: Callable[[], Job[None]]
) -> None:
    visit = visits.find("anna", "one")
    job = visit.jobs.begin("fusion", hold)
    before = visit.heard
    with visit.attended(), visit.attended():
        visits.end_silent(before + 10 * KEEP_S)
        assert not job.status().state.is_final
    assert visit.heard >= before  # its answer was a sign of life
    visits.end_silent(visit.heard + PATIENCE_S + 0.1)
    assert is_cancelled(job)


def test_many_calls_at_once_are_counted_right(visits: Visits) -> None:
    visit = visits.find("anna", "one")

    def call() -> None:
        for _ in range(2000):
            with visit.attended():
                pass

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert visit.is_left(visit.heard + 1.0, 0.5)


def test_watching_ends_the_work_of_silent_pages(
    visits: Visits, hold: Callable[[], Job[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    visit = visits.find("anna", "one")
    job = visit.jobs.begin("fusion", hold)
    visit.heard -= PATIENCE_S + 1
    visits.watch()
    assert is_cancelled(job)
    visits.close()
