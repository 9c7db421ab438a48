import threading
import time
from collections.abc import Iterator

import pytest

from common.errors import (
    BusyError,
    CancelledError,
    DeadlineError,
    MemoryLimitError,
    NoFaceError,
    StudioError,
)
from common.progress import Progress
from studio.service.jobs import JobQueue, JobState

SOON = 5.0  # seconds that anything here may take at most


class Gate:
    """Work that reports when it has begun and goes on when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def __call__(self, progress: Progress) -> str:
        self.begun.set()
        while not self.open.wait(0.005):
            progress.check()
        return "through"


@pytest.fixture
def queues() -> Iterator[list[JobQueue]]:
    made: list[JobQueue] = []
    yield made
    for queue in made:
        assert queue.shutdown(SOON)


def make(queues: list[JobQueue], concurrent: int, waiting: int, deadline_s: float = 60) -> JobQueue:
    queues.append(JobQueue(concurrent, waiting, deadline_s))
    return queues[-1]


def test_a_job_gives_its_result(queues: list[JobQueue]) -> None:
    job = make(queues, 1, 0).submit(lambda _: 42)
    assert job.result() == 42
    assert job.status().state is JobState.DONE
    assert job.wait(0)


def test_ids_cannot_be_guessed(queues: list[JobQueue]) -> None:
    queue = make(queues, 1, 50)
    ids = {queue.submit(lambda _: None).id for _ in range(30)}
    assert len(ids) == 30
    assert all(len(text) >= 20 for text in ids)


@pytest.mark.parametrize("concurrent", [1, 2, 3])
def test_never_more_at_once_than_allowed(queues: list[JobQueue], concurrent: int) -> None:
    queue = make(queues, concurrent, 100)
    lock = threading.Lock()
    running = most = 0

    def work(progress: Progress) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    jobs = []

    def submit() -> None:
        for _ in range(10):
            job = queue.submit(work)
            with lock:
                jobs.append(job)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(job.wait(SOON) for job in jobs)
    assert len(jobs) == 80
    assert most == concurrent


@pytest.mark.parametrize("concurrent", [0, 4])
def test_more_than_three_at_once_is_refused(concurrent: int) -> None:
    with pytest.raises(ValueError, match="1 to 3"):
        JobQueue(concurrent, 1, 1)


def test_first_come_first_served(queues: list[JobQueue]) -> None:
    queue = make(queues, 1, 20)
    gate = Gate()
    queue.submit(gate)
    order: list[int] = []
    jobs = [queue.submit(lambda _, n=n: order.append(n)) for n in range(12)]
    assert gate.begun.wait(SOON)
    assert [job.status().position for job in jobs] == list(range(1, 13))
    gate.open.set()
    assert all(job.wait(SOON) for job in jobs)
    assert order == list(range(12))


def test_a_job_with_a_free_worker_is_not_in_line(queues: list[JobQueue]) -> None:
    queue = make(queues, 2, 5)
    with queue.changed:  # no worker can take a job meanwhile
        jobs = [queue.submit(lambda _: None) for _ in range(4)]
        assert [job.status().position for job in jobs] == [0, 0, 1, 2]
        jobs[0].cancel()
        assert [job.status().position for job in jobs] == [0, 0, 0, 1]


def test_a_full_line_refuses_with_a_sentence(queues: list[JobQueue]) -> None:
    queue = make(queues, 1, 2)
    gate = Gate()
    running = queue.submit(gate)
    assert gate.begun.wait(SOON)
    waiting = [queue.submit(gate) for _ in range(2)]
    with pytest.raises(BusyError, match="1 running and 2 waiting"):
        queue.submit(gate)
    waiting[0].cancel()
    queue.submit(gate)  # the place is free again
    gate.open.set()
    assert running.result() == "through"


def test_without_a_line_the_workers_themselves_can_be_taken(queues: list[JobQueue]) -> None:
    queue = make(queues, 2, 0)
    gate = Gate()
    jobs = [queue.submit(gate) for _ in range(2)]
    with pytest.raises(BusyError):
        queue.submit(gate)
    gate.open.set()
    for job in jobs:
        job.result()
    assert queue.submit(gate).result() == "through"  # at once, not only when workers are idle


def test_cancelling_a_waiting_job_takes_it_out_at_once(queues: list[JobQueue]) -> None:
    queue = make(queues, 1, 5)
    gate = Gate()
    queue.submit(gate)
    touched: list[int] = []
    first, second = (queue.submit(lambda _, n=n: touched.append(n)) for n in range(2))
    assert gate.begun.wait(SOON)
    first.cancel()
    assert first.status().state is JobState.CANCELLED
    assert second.status().position == 1
    with pytest.raises(CancelledError, match="before it started"):
        first.result()
    gate.open.set()
    assert second.wait(SOON)
    assert touched == [1]


def test_cancelling_a_running_job_ends_it_at_its_next_check(queues: list[JobQueue]) -> None:
    queue = make(queues, 1, 1)
    gate, held = Gate(), threading.Event()

    def work(progress: Progress) -> str:
        gate.begun.set()
        held.wait(SOON)
        return gate(progress)

    job = queue.submit(work)
    assert gate.begun.wait(SOON)
    job.cancel()
    assert job.status().state is JobState.RUNNING
    assert job.status().stopping
    held.set()
    with pytest.raises(CancelledError):
        job.result()
    assert job.status().state is JobState.CANCELLED
    assert not job.status().stopping


def test_cancelling_a_finished_job_changes_nothing(queues: list[JobQueue]) -> None:
    job = make(queues, 1, 0).submit(lambda _: "kept")
    assert job.wait(SOON)
    job.cancel()
    assert job.result() == "kept"


def test_the_deadline_counts_from_the_start_not_from_the_line(queues: list[JobQueue]) -> None:
    queue = make(queues, 1, 2, deadline_s=0.25)
    gate = Gate()
    late = queue.submit(gate)  # never let through
    patient = queue.submit(lambda p: p.check() or "in time")
    assert late.wait(SOON)
    assert late.status().state is JobState.FAILED
    with pytest.raises(DeadlineError, match=r"0\.25 s"):
        late.result()
    assert patient.result() == "in time"  # it waited longer than the deadline


def test_an_expected_error_is_the_result(queues: list[JobQueue]) -> None:
    def work(progress: Progress) -> None:
        raise NoFaceError("no face was found in the target")

    job = make(queues, 1, 0).submit(work)
    with pytest.raises(NoFaceError, match="no face"):
        job.result()
    assert job.status().state is JobState.FAILED


def test_a_failed_job_keeps_no_frames_alive(queues: list[JobQueue]) -> None:
    def work(progress: Progress) -> None:
        try:
            raise OSError("inner")
        except OSError as error:
            raise NoFaceError("outer") from error

    job = make(queues, 1, 0).submit(work)
    assert job.wait(SOON)
    assert job._error is not None
    assert job._error.__traceback__ is None
    assert job._error.__cause__ is None
    assert job._error.__context__ is None


def test_running_out_of_memory_is_named(queues: list[JobQueue]) -> None:
    def work(progress: Progress) -> None:
        raise MemoryError

    with pytest.raises(MemoryLimitError, match="smaller"):
        make(queues, 1, 0).submit(work).result()


def test_an_unexpected_error_is_logged_and_the_worker_lives_on(
    queues: list[JobQueue], caplog: pytest.LogCaptureFixture
) -> None:
    queue = make(queues, 1, 1)

    def work(progress: Progress) -> None:
        raise ZeroDivisionError("secret detail")

    job = queue.submit(work)
    with pytest.raises(StudioError) as caught:
        job.result()
    assert type(caught.value) is StudioError
    assert "secret" not in caught.value.message
    assert "ZeroDivisionError: secret detail" in caplog.text
    assert queue.submit(lambda _: "alive").result() == "alive"


def test_followers_see_stages_and_the_end(queues: list[JobQueue]) -> None:
    queue = make(queues, 1, 1)
    steps = [threading.Event() for _ in range(3)]

    def work(progress: Progress) -> str:
        for number, name in enumerate(("read", "render")):
            with progress.stage(name):
                progress.advance(0.5)
                assert steps[number].wait(SOON)
        return "done"

    seen = []
    job = queue.submit(work)
    for status in job.follow(interval=0.0):
        seen.append((status.state, status.stage, status.fraction))
        for number, name in enumerate(("read", "render")):
            if (status.stage, status.fraction) == (name, 0.5):
                steps[number].set()
    states = [state for state, _, _ in seen]
    assert (JobState.RUNNING, "read", 0.5) in seen
    assert (JobState.RUNNING, "render", 0.5) in seen
    assert states[-1] is JobState.DONE
    assert states.count(JobState.DONE) == 1


def test_followers_are_not_flooded(queues: list[JobQueue]) -> None:
    def work(progress: Progress) -> None:
        with progress.stage("render"):
            for step in range(5000):
                progress.advance(step / 5000)

    job = make(queues, 1, 0).submit(work)
    begun = time.monotonic()
    count = sum(1 for _ in job.follow(interval=0.05))
    assert count <= 3 + (time.monotonic() - begun) / 0.05


def test_a_waiting_follower_sees_the_line_move(queues: list[JobQueue]) -> None:
    queue = make(queues, 1, 3)
    gates = [Gate() for _ in range(3)]
    jobs = [queue.submit(gate) for gate in gates]
    assert gates[0].begun.wait(SOON)
    positions = []
    for status in jobs[2].follow(interval=0.0):
        positions.append(status.position)
        for gate in gates:
            if not gate.open.is_set():
                gate.open.set()
                break
    assert positions[0] == 2
    assert 1 in positions
    assert positions[-1] == 0


def test_shutdown_cancels_everything_and_takes_no_more() -> None:
    queue = JobQueue(2, 5, 60)
    gates = [Gate() for _ in range(2)]
    running = [queue.submit(gate) for gate in gates]
    waiting = [queue.submit(Gate()) for _ in range(3)]
    assert all(gate.begun.wait(SOON) for gate in gates)
    assert queue.shutdown(SOON)
    states = {job.status().state for job in (*running, *waiting)}
    assert states == {JobState.CANCELLED}
    with pytest.raises(BusyError, match="shutting down"):
        queue.submit(Gate())


def test_shutdown_says_when_a_worker_did_not_end() -> None:
    queue = JobQueue(1, 0, 60)
    begun, release = threading.Event(), threading.Event()

    def deaf(progress: Progress) -> None:
        begun.set()
        release.wait(SOON)

    queue.submit(deaf)
    assert begun.wait(SOON)
    assert not queue.shutdown(0.01)
    release.set()
    assert queue.shutdown(SOON)
