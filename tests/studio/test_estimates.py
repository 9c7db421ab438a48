import dataclasses
import json
import math
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from common.types import Size
from studio.service.cost_model import TERMS, CostModel, Run
from studio.service.estimates import Course, Estimates
from studio.service.fusion_service import FusionService
from studio.service.jobs import JobQueue
from studio.service.prospect import look_ahead
from studio.service.timings import MOST_RUNS, Timings, timings_file
from studio.service.wish import Photo, Wish
from studio.service.workload import STAGES, Machine, Work, work_of

Photos = tuple[Photo, Photo]
MakeWish = Callable[..., Wish]
WARM = Machine(neural=False, device="cpu", cold=False)


def work(detect: float = 1.0, render: float = 1.0, write: float = 1.0) -> Work:
    return {
        "detect": {"look": detect},
        "render": {"render_face": render},
        "write": {"encode_png": write},
    }


def taken(amounts: Work, factors: dict[str, float] | None = None, speed: float = 1.0) -> Run:
    """A run on a machine whose rates are the priors times these factors."""
    factors = factors or {}
    seconds = {
        stage: sum(speed * factors.get(name, 1.0) * TERMS[name] * it for name, it in terms.items())
        for stage, terms in amounts.items()
    }
    return Run(amounts, seconds)


WORKS = [work(1, 20, 3), work(2, 3, 9), work(1, 40, 1), work(2, 12, 12), work(1, 6, 30)]


# --- the model ---


def test_without_runs_the_priors_count() -> None:
    model = CostModel(())
    assert model.rates == pytest.approx(TERMS)
    expected = model.estimate(WORKS[0])
    assert expected.seconds == pytest.approx(sum(taken(WORKS[0]).seconds.values()))
    assert expected.low < expected.seconds / 1.5
    assert expected.high > expected.seconds * 1.5
    assert expected.runs == 0


@pytest.mark.parametrize("speed", [0.2, 1.0, 6.0])
def test_five_runs_tell_how_fast_a_machine_is(speed: float) -> None:
    model = CostModel([taken(one, speed=speed) for one in WORKS])
    unseen = work(1, 15, 6)
    real = sum(taken(unseen, speed=speed).seconds.values())
    expected = model.estimate(unseen)
    assert expected.seconds == pytest.approx(real, rel=0.1)
    assert expected.low < real < expected.high
    assert expected.high / expected.low < 2.5
    assert expected.runs == 5


def test_a_rate_that_is_odd_on_a_machine_is_learnt_on_its_own() -> None:
    factors = {"encode_png": 4.0}
    model = CostModel([taken(one, factors) for one in WORKS * 3])
    for unseen in (work(1, 1, 50), work(1, 50, 1)):
        real = sum(taken(unseen, factors).seconds.values())
        assert model.estimate(unseen).seconds == pytest.approx(real, rel=0.15)


def test_what_was_never_measured_follows_the_machine() -> None:
    model = CostModel([taken(one, speed=3.0) for one in WORKS])
    assert model.rates["encode_avif"] == pytest.approx(3 * TERMS["encode_avif"], rel=0.35)


def test_one_odd_run_changes_little() -> None:
    runs = [taken(one) for one in WORKS * 2]
    odd = taken(WORKS[1], speed=12.0)  # the machine was doing something else
    unseen = work(1, 15, 6)
    calm, disturbed = (CostModel(some).estimate(unseen).seconds for some in (runs, [*runs, odd]))
    assert calm <= disturbed < 1.35 * calm
    later = CostModel([*runs, odd, *runs[:3]]).estimate(unseen).seconds
    assert later == pytest.approx(calm, rel=0.1)


def test_a_machine_that_is_busy_now_is_expected_to_stay_so_for_a_while() -> None:
    usual = [taken(one) for one in WORKS * 4]
    busy = [taken(one, speed=2.0) for one in WORKS[:3]]
    unseen = work(1, 15, 6)
    calm = CostModel(usual).estimate(unseen).seconds
    assert CostModel([*usual, *busy]).estimate(unseen).seconds > 1.4 * calm
    again = CostModel([*usual, *busy, *usual[:4]]).estimate(unseen).seconds
    assert again == pytest.approx(calm, rel=0.15)


def test_new_runs_count_more_than_old_ones() -> None:
    slow, quick = ([taken(one, speed=it) for one in WORKS * 20] for it in (4.0, 1.0))
    unseen = work(1, 15, 6)
    real = sum(taken(unseen).seconds.values())
    assert CostModel([*slow, *quick]).estimate(unseen).seconds < 1.35 * real


def test_stages_that_took_nothing_and_terms_without_amounts_do_no_harm() -> None:
    runs = [Run({"render": {"render_face": 0.0}}, {"render": 0.0, "write": 0.0}), Run({}, {})]
    model = CostModel(runs)
    assert model.rates == pytest.approx(TERMS)
    assert model.estimate({}).seconds == 0


def test_no_run_makes_a_rate_absurd() -> None:
    model = CostModel([Run(work(1, 1, 1), {"render": 1e6, "write": 0.0})] * 50)
    assert all(TERMS[name] / 60 < rate < TERMS[name] * 60 for name, rate in model.rates.items())


# --- the file ---


def test_runs_come_back_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "timings.json"
    written = Timings(file)
    for one in WORKS:
        written.add(taken(one))
    found = Timings(file).runs()
    assert [dict(run.work) for run in found] == [dict(one) for one in WORKS]
    assert found[0].seconds == pytest.approx(taken(WORKS[0]).seconds, rel=1e-3)
    assert {path.name for path in file.parent.iterdir()} == {"timings.json", "timings.lock"}


def test_the_file_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    timings = Timings(tmp_path / "timings.json")
    timings.add(taken(work(1, 1, 1)))
    listed = json.loads((tmp_path / "timings.json").read_text())
    listed["runs"] *= MOST_RUNS
    (tmp_path / "timings.json").write_text(json.dumps(listed))
    timings.add(taken(work(1, 77, 1)))
    found = Timings(tmp_path / "timings.json").runs()
    assert len(found) == MOST_RUNS
    assert found[-1].work["render"]["render_face"] == 77


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"version": 1, "runs": 5}',
        b'{"version": 99, "runs": []}',
        b"[" * 100_000,
        b"{" + b" " * 5_000_000,
    ],
)
def test_a_damaged_file_is_ignored_and_written_anew(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "timings.json"
    file.write_bytes(content)
    timings = Timings(file)
    assert timings.runs() == ()
    timings.add(taken(WORKS[0]))
    assert len(Timings(file).runs()) == 1


@pytest.mark.parametrize(
    "entry",
    [
        7,
        {"work": {}},
        {"work": {"render": {"render_face": -1}}, "seconds": {"render": 1}},
        {"work": {"render": {"magic": 1}}, "seconds": {"render": 1}},
        {"work": {"dream": {"render_face": 1}}, "seconds": {"render": 1}},
        {"work": {"render": [1]}, "seconds": {"render": 1}},
        {"work": {"render": {"render_face": 1}}, "seconds": {"render": "long"}},
        {"work": {"render": {"render_face": 1}}, "seconds": {"render": math.inf}},
        {"work": {"render": {"render_face": True}}, "seconds": {"dream": 1}},
    ],
)
def test_an_entry_that_is_no_run_is_left_out(tmp_path: Path, entry: object) -> None:
    file = tmp_path / "timings.json"
    Timings(file).add(taken(WORKS[0]))
    listed = json.loads(file.read_text())
    listed["runs"].insert(0, entry)
    file.write_text(json.dumps(listed))
    assert len(Timings(file).runs()) == 1


def test_runs_of_a_machine_with_other_cores_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "timings.json"
    Timings(file).add(taken(WORKS[0]))
    listed = json.loads(file.read_text())
    listed["cores"] += 1
    file.write_text(json.dumps(listed))
    assert Timings(file).runs() == ()


def _add_some(file: Path, count: int) -> None:
    timings = Timings(file)
    for _ in range(count):
        timings.add(taken(WORKS[0]))


def test_several_processes_lose_no_run(tmp_path: Path) -> None:
    file = tmp_path / "timings.json"
    here = Timings(file)
    processes = [
        multiprocessing.get_context("spawn").Process(target=_add_some, args=(file, 10))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(here.runs()) == 20
    here.add(taken(WORKS[1]))
    assert len(here.runs()) == 21


def test_a_place_that_cannot_be_written_keeps_runs_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where a folder is wanted")
    timings = Timings(tmp_path / "cache" / "timings.json")
    timings.add(taken(WORKS[0]))
    timings.add(taken(WORKS[1]))
    assert len(timings.runs()) == 2
    assert len(caplog.records) == 1


def test_the_file_lies_in_the_users_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert timings_file() == tmp_path / "face-fusion-studio" / "timings.json"


# --- amounts ---


def amounts(service: FusionService, wish: Wish, machine: Machine = WARM) -> Work:
    capabilities = service.engines.get(wish.controls.engine).capabilities
    return work_of(wish, look_ahead(wish, capabilities, service.settings), machine)


def test_every_amount_is_of_a_stage_and_a_term(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    neural = [Machine(neural=True, device=place, cold=True) for place in ("cpu", "gpu")]
    for machine in (WARM, *neural):
        for resolution in ("original", "512", "2048", "auto", "300x200"):
            found = amounts(service, wish_for(*demo, resolution=resolution, smooth=0.5), machine)
            assert tuple(found) == STAGES
            assert {name for terms in found.values() for name in terms} <= set(TERMS)
            assert all(it >= 0 for terms in found.values() for it in terms.values())


def test_a_jpeg_at_its_own_size_is_grafted_and_otherwise_encoded(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    assert set(amounts(service, wish_for(*demo))["write"]) == {"graft", "graft_part"}
    for controls in (
        {"format": "png"},
        {"quality": 80},
        {"resolution": "1024"},
        {"brightness": 0.2},
    ):
        assert any(
            name.startswith("encode_")
            for name in amounts(service, wish_for(*demo, **controls))["write"]
        )
    assert set(amounts(service, wish_for(*demo, ratio=0))["write"]) == {"copy"}


def test_a_finish_of_the_picture_is_more_than_one_of_the_face(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    face, image = (
        amounts(service, wish_for(*demo, sharpen=0.5, scope=scope))["render"]
        for scope in ("face", "image")
    )
    assert image["render_sharpen"] > 1.5 * face["render_sharpen"]
    assert image["render_face"] == face["render_face"]


def test_a_network_paints_as_often_as_its_boost_asks(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    machine = Machine(neural=True, device="gpu", cold=False)
    wish = wish_for(*demo)
    for boost, times in ((1, 1), (2, 4), (4, 16)):
        controls = wish.controls.model_copy(update={"boost": boost, "enhance": 0.5})
        found = amounts(service, dataclasses.replace(wish, controls=controls), machine)
        assert found["prepare"]["fuse_gpu"] == times
        assert found["prepare"]["enhance_gpu"] == 1


# --- estimates of a service ---


def test_the_studio_learns_from_its_fusions(
    service: FusionService, demo: Photos, wish_for: MakeWish, tmp_path: Path
) -> None:
    file = tmp_path / "timings.json"
    service.estimates.remember_in(file)
    wish = wish_for(*demo, resolution="1024")
    before = service.estimates.expect(wish)
    assert before.runs == 0
    for _ in range(2):
        service.submit(wish).result()
    after = service.estimates.expect(wish)
    assert after.runs == 2
    assert after.high / after.low < before.high / before.low
    assert after.seconds > 0
    runs = Timings(file).runs()
    assert [run.work["prepare"].get("start", 0) for run in runs] == [1, 0]
    assert all(set(run.seconds) == set(STAGES) for run in runs)
    again = Estimates(service, file)
    assert again.expect(wish).runs == 2


def test_what_auto_chose_is_learnt_as_what_it_was(
    service: FusionService, demo: Photos, wish_for: MakeWish, tmp_path: Path
) -> None:
    service.estimates.remember_in(tmp_path / "timings.json")
    result = service.submit(wish_for(*demo, resolution="auto")).result().result
    assert result.size != Size(512, 512)
    (run,) = Timings(tmp_path / "timings.json").runs()
    assert run.work["write"]["encode_jpeg"] == pytest.approx(result.size.pixels / 1e6, rel=1e-3)


def test_nothing_is_written_unless_a_file_was_named(
    service: FusionService,
    demo: Photos,
    wish_for: MakeWish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    service.submit(wish_for(*demo)).result()
    assert service.estimates.expect(wish_for(*demo)).runs == 1
    assert not (tmp_path / "home").exists()


EXPECTED = {"read": 1.0, "detect": 1.0, "prepare": 2.0, "render": 4.0, "write": 2.0, "show": 0.5}


def test_what_remains_falls_as_stages_pass() -> None:
    course = Course(EXPECTED)
    total = sum(EXPECTED.values())
    steps = [("", 0.0, 0.0), ("read", 0.0, 0.05), ("detect", 0.5, 0.6), ("prepare", 0.5, 2.1)]
    steps += [("read", 0.0, 3.1), ("render", 0.5, 5.5), ("write", 0.5, 9.0), ("write", 1.0, 10.0)]
    left = [course.remaining(*step) for step in steps]
    assert left[0] == pytest.approx(total)
    assert left[1:] == sorted(left[1:], reverse=True)
    assert left[-1] == pytest.approx(0.5, rel=0.05)
    assert left[6] == pytest.approx(1.5, rel=0.05)


def test_strips_that_are_read_in_between_do_not_set_it_back() -> None:
    course = Course(EXPECTED)
    course.remaining("prepare", 1.0, 3.1)
    rendered = course.remaining("render", 0.5, 5.5)
    assert course.remaining("read", 0.0, 5.5) == rendered


def test_a_machine_that_is_slower_than_expected_takes_longer_for_the_rest() -> None:
    usual, slow = (Course(EXPECTED).remaining("render", 0.5, elapsed) for elapsed in (5.5, 16.5))
    assert slow > 2 * usual


@pytest.mark.parametrize("stage", ["", "read", "detect", "prepare", "render", "write", "archive"])
@pytest.mark.parametrize("fraction", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("elapsed", [0.0, 3.0, 500.0])
def test_what_remains_is_never_negative(stage: str, fraction: float, elapsed: float) -> None:
    assert Course(EXPECTED).remaining(stage, fraction, elapsed) >= 0
    assert Course(dict.fromkeys(EXPECTED, 0.0)).remaining(stage, fraction, elapsed) == 0


def test_only_a_running_job_has_something_left(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    started, go = threading.Event(), threading.Event()
    queue = JobQueue(1, 1, 60)

    def work_on(_: object) -> None:
        started.set()
        go.wait(30)

    wish = wish_for(*demo)
    running, waiting = queue.submit(work_on), queue.submit(work_on)
    try:
        assert started.wait(30)
        left = service.estimates.remaining(wish, running)
        assert left is not None
        assert 0 < left <= service.estimates.expect(wish).seconds * 1.5
        assert service.estimates.remaining(wish, waiting) is None
    finally:
        go.set()
        assert waiting.wait(30)
        queue.shutdown()
    assert service.estimates.remaining(wish, running) is None
