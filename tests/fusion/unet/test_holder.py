"""Networks are loaded once, kept while they are used, and let go afterwards."""

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.errors import CancelledError, ModelMissingError
from common.progress import Progress
from fusion.engines.unet.holder import Holder

WAIT_S = 20


class Fake:
    """Stands for networks that take memory until they are closed."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Clock:
    """Hands out alarms that ring when the test says so."""

    def __init__(self) -> None:
        self.alarms: list[FakeAlarm] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> "FakeAlarm":
        self.alarms.append(FakeAlarm(seconds, call))
        return self.alarms[-1]


class FakeAlarm:
    daemon = False

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self.seconds = seconds
        self.call = call
        self.started = False
        self.cancelled = False

    def start(self) -> None:
        assert self.daemon
        self.started = True

    def cancel(self) -> None:
        self.cancelled = True


class Loads:
    """Makes fakes and remembers them; the first ``failures`` of them fail."""

    def __init__(self, failures: int = 0) -> None:
        self.made: list[Fake] = []
        self.failures = failures
        self.tries = 0
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self) -> Fake:
        self.tries += 1
        self.begun.set()
        assert self.go_on.wait(WAIT_S)
        if self.tries <= self.failures:
            raise ModelMissingError(f"try {self.tries} failed")
        self.made.append(Fake())
        return self.made[-1]


def test_nothing_is_loaded_before_it_is_used() -> None:
    loads = Loads()
    holder = Holder(loads, 600)
    assert loads.tries == 0
    assert not holder.loaded
    with holder.networks() as networks:
        assert holder.loaded
        assert networks is loads.made[0]
    assert not networks.closed
    holder.close()


def test_many_threads_share_one_load() -> None:
    loads, clock = Loads(), Clock()
    holder = Holder(loads, 600, jobs=8, timer=clock)
    loads.go_on.clear()
    inside = threading.Barrier(8)

    def use() -> Fake:
        with holder.networks() as networks:
            inside.wait(WAIT_S)  # all eight are in here at the same time
            return networks

    with ThreadPoolExecutor(8) as threads:
        uses = [threads.submit(use) for _ in range(8)]
        assert loads.begun.wait(WAIT_S)
        assert not holder.loaded
        loads.go_on.set()
        used = {use.result(WAIT_S) for use in uses}
    assert used == {loads.made[0]}
    assert loads.tries == 1
    assert [alarm.cancelled for alarm in clock.alarms] == [False]


def test_no_more_than_the_allowed_number_use_it_at_once() -> None:
    holder = Holder(Loads(), 600, jobs=2, timer=Clock())
    inside, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(2)

    def use() -> None:
        nonlocal inside, most
        with holder.networks():
            with lock:
                inside += 1
                most = max(most, inside)
            together.wait(WAIT_S)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(use) for _ in range(6)]:
            done.result(WAIT_S)
    assert most == 2


def test_whoever_waits_for_a_place_can_be_cancelled() -> None:
    holder = Holder(Loads(), 600, jobs=1, timer=Clock())
    progress = Progress()
    with ThreadPoolExecutor(1) as threads, holder.networks():

        def use() -> None:
            with holder.networks(progress):
                pytest.fail("there was no place")

        waiting = threads.submit(use)
        progress.cancel()
        with pytest.raises(CancelledError):
            waiting.result(WAIT_S)
    with holder.networks():  # the one who gave up holds no place
        pass


def test_whoever_waits_for_the_load_can_be_cancelled() -> None:
    loads = Loads()
    holder = Holder(loads, 600, jobs=2, timer=Clock())
    loads.go_on.clear()
    progress = Progress()

    def use(progress: Progress | None) -> None:
        with holder.networks(progress):
            pass

    with ThreadPoolExecutor(2) as threads:
        loading = threads.submit(use, None)
        assert loads.begun.wait(WAIT_S)
        waiting = threads.submit(use, progress)
        progress.cancel()
        with pytest.raises(CancelledError):
            waiting.result(WAIT_S)
        loads.go_on.set()
        loading.result(WAIT_S)
    assert loads.tries == 1


def test_a_failure_reaches_everybody_who_waited_and_is_tried_again() -> None:
    loads = Loads(failures=1)
    holder = Holder(loads, 600, jobs=4, timer=Clock())
    loads.go_on.clear()
    entered = threading.Barrier(5)
    real = holder._enter

    def enter_together() -> object:
        entry = real()
        entered.wait(WAIT_S)
        return entry

    holder._enter = enter_together  # type: ignore[method-assign,assignment]

    def use() -> None:
        with holder.networks():
            pytest.fail("nothing was loaded")

    with ThreadPoolExecutor(4) as threads:
        uses = [threads.submit(use) for _ in range(4)]
        entered.wait(WAIT_S)
        loads.go_on.set()
        for failed in uses:
            with pytest.raises(ModelMissingError, match="try 1 failed"):
                failed.result(WAIT_S)
    assert loads.tries == 1
    assert not holder.loaded
    holder._enter = real  # type: ignore[method-assign]
    with holder.networks() as networks:
        assert networks is loads.made[0]
    assert loads.tries == 2


def test_a_load_that_times_out_is_a_failure_like_any_other() -> None:
    def load() -> Fake:
        raise TimeoutError("the disk did not answer")

    with pytest.raises(TimeoutError, match="the disk"), Holder(load, 600).networks():
        pytest.fail("nothing was loaded")


def test_a_load_that_fails_leaves_nothing_behind() -> None:
    """Else the half of the networks that did fit would stay on a GPU that is full already."""
    parts: list[weakref.ref[Fake]] = []

    def load() -> Fake:
        part = Fake()
        parts.append(weakref.ref(part))
        raise MemoryError

    gc.disable()
    try:
        holder = Holder(load, 60.0)
        with pytest.raises(MemoryError), holder.networks():
            pass
        for thread in threading.enumerate():
            if thread.name == "loading":
                thread.join(WAIT_S)
        assert [part() for part in parts] == [None]
    finally:
        gc.enable()


def test_it_goes_after_the_idle_time_and_comes_back() -> None:
    loads, clock = Loads(), Clock()
    holder = Holder(loads, 123.0, timer=clock)
    with holder.networks() as first:
        assert clock.alarms == []
    (alarm,) = clock.alarms
    assert (alarm.seconds, alarm.started) == (123.0, True)
    alarm.call()
    assert first.closed
    assert not holder.loaded
    with holder.networks() as second:
        assert second is not first
        assert not second.closed


def test_a_use_puts_the_alarm_off() -> None:
    loads, clock = Loads(), Clock()
    holder = Holder(loads, 600, timer=clock)
    with holder.networks():
        pass
    with holder.networks() as networks:
        assert clock.alarms[0].cancelled
        clock.alarms[0].call()  # it may ring in the moment that it is cancelled
        assert not networks.closed
        assert holder.loaded
    assert len(clock.alarms) == 2


def test_closing_unloads_at_once_if_nobody_uses_it() -> None:
    loads, clock = Loads(), Clock()
    holder = Holder(loads, 600, timer=clock)
    holder.close()
    with holder.networks() as networks:
        pass
    holder.close()
    assert networks.closed
    assert clock.alarms[0].cancelled
    holder.close()
    assert loads.tries == 1


def test_closing_waits_for_the_last_user() -> None:
    loads, clock = Loads(), Clock()
    holder = Holder(loads, 600, timer=clock)
    with holder.networks() as networks:
        holder.close()
        assert not networks.closed
    assert networks.closed
    assert not holder.loaded
    assert clock.alarms == []
    with holder.networks() as anew:
        pass
    assert not anew.closed  # the closing is over
    assert len(clock.alarms) == 1


def test_an_error_of_the_user_gives_the_place_back() -> None:
    holder = Holder(Loads(), 600, timer=Clock())
    for _ in range(3):
        with pytest.raises(MemoryError), holder.networks():
            raise MemoryError
    with holder.networks() as networks:
        assert not networks.closed


def test_the_real_timer_unloads() -> None:
    loads = Loads()
    holder = Holder(loads, 0.01)
    with holder.networks() as networks:
        pass
    for _ in range(1000):
        if networks.closed:
            break
        threading.Event().wait(0.01)
    assert networks.closed
    assert not holder.loaded
