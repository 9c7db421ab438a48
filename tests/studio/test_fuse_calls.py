"""The calls of the Fuse tab about fusions: their preview, their progress and their result."""

import threading
import time

import numpy as np
import pytest

from common.errors import (
    BusyError,
    CancelledError,
    NoFaceError,
    OptionError,
)
from common.types import Region
from studio.page.calls import Data
from studio.page.calls import fuse as module
from studio.page.calls.fuse import FuseCalls, WishAsked, wish_of
from studio.page.texts import both
from studio.page.visits import Visit, Visits
from studio.service.fusion_service import FusionService
from studio.service.jobs import JobState
from tests.studio.loops import run
from tests.studio.talking import decoded, follow, opened, start, upload

STAGES = ("", "read", "detect", "prepare", "render", "write")


# --- what is wished for ---


def test_a_wish_names_what_was_uploaded(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data
) -> None:
    wish = wish_of(WishAsked(**asked | {"controls": {"ratio": 0.3}}), visit, service)
    assert wish.target is visit.photo(asked["target"])
    assert wish.faces.pairs == ((None, 0),)
    assert (wish.controls.ratio, wish.controls.shape) == (0.3, service.settings.fusion.shape)


ODD_WISHES = [
    ({"faces": [[None, 5]]}, "not in the photographs"),
    ({"faces": [[5, 0]]}, "not in the photographs"),
    ({"faces": [[None, -1]]}, "from 0"),
    ({"faces": [[-1, 0]]}, "from 0"),
    ({"faces": [[None, 0], [0, 0]]}, "twice"),
    ({"faces": [["a", 0]]}, "faces"),
    ({"faces": [[0]]}, "faces"),
    ({"faces": None}, "faces"),
    ({"sources": []}, "sources"),
    ({"sources": ["unknown"]}, "add it again"),
    ({"target": "unknown"}, "add it again"),
    ({"controls": {"ratio": 7.0}}, "ratio"),
    ({"controls": {"resolution": "huge"}}, "resolution"),
    ({"controls": {"fit": "stretch"}}, "fit"),
    ({"controls": {"path": "/etc/passwd"}}, "path"),
    ({"output": "/tmp/x.jpg"}, "output"),
]


@pytest.mark.parametrize("call", ["start", "preview"])
def test_odd_wishes_are_refused_and_the_page_stays_usable(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data, call: str
) -> None:
    for change, says in ODD_WISHES:
        with pytest.raises(OptionError, match=says):
            getattr(calls, call)(visit, {"wish": asked | change})
    assert service.queue.submit(lambda _: "free").wait(30)


def test_photographs_of_another_visit_are_not_reachable(
    calls: FuseCalls, visits: Visits, visit: Visit, asked: Data
) -> None:
    for other in (visits.find("ben", "two"), visits.find("anna", "two")):
        with pytest.raises(OptionError, match="add it again"):
            calls.start(other, {"wish": asked})
        with pytest.raises(OptionError, match="add it again"):
            calls.look(other, {"slot": "target", "photo": asked["target"]})


def test_a_photograph_without_a_face_cannot_be_fused(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data
) -> None:
    path = upload(service, "wall.png", np.full((300, 400, 3), 128, np.uint8))
    wall = calls.look(visit, {"slot": "source:1", "path": path})["id"]
    for change in ({"sources": [wall]}, {"target": wall}):
        with pytest.raises((OptionError, NoFaceError), match=r"wall\.png"):
            calls.start(visit, {"wish": asked | change})


# --- the preview ---


def test_the_preview_follows_the_controls(calls: FuseCalls, visit: Visit, asked: Data) -> None:
    shown = {}
    for ratio in (0.0, 1.0):
        answer = calls.preview(visit, {"wish": asked | {"controls": {"ratio": ratio}}})
        assert (answer["width"], answer["height"]) == (256, 256)
        assert answer["seconds"] >= 0
        shown[ratio] = decoded(answer)
    face = visit.photo(asked["target"]).faces[0].box.scale(0.5, 0.5)
    rows, columns = slice(face.y, face.bottom), slice(face.x, face.right)
    difference = np.abs(shown[1.0] - shown[0.0])
    assert difference[rows, columns].mean() > 5
    assert difference[200:].mean() < 0.5
    plain = opened(visit.photo(asked["target"]).preview)
    assert np.abs(shown[0.0] - plain).mean() < 2
    assert visit.jobs.find("preview") is None


def test_the_newest_preview_wins(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data
) -> None:
    release = threading.Event()
    busy = service.live.queue.submit(lambda _: release.wait(30))
    ended: list[str] = []

    def first() -> None:
        try:
            calls.preview(visit, {"wish": asked})
        except CancelledError:
            ended.append("cancelled")

    thread = threading.Thread(target=first)
    thread.start()
    while visit.jobs.find("preview") is None:
        threading.Event().wait(0.005)
    second = threading.Thread(target=lambda: ended.append(calls.preview(visit, {"wish": asked})))  # type: ignore[arg-type]
    second.start()
    thread.join(30)
    assert ended == ["cancelled"]
    release.set()
    second.join(60)
    assert busy.wait(30)
    assert len(ended) == 2


def test_a_start_ends_the_preview(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data
) -> None:
    release = threading.Event()
    service.live.queue.submit(lambda _: release.wait(30))
    waiting = visit.jobs.begin("preview", lambda: service.live.queue.submit(lambda _: None))
    start(calls, visit, asked)
    assert waiting.status().state is JobState.CANCELLED
    release.set()
    assert follow(calls, visit)[-1]["state"] == "done"


# --- the fusion ---


def test_a_fusion_reports_and_ends_with_a_file(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data
) -> None:
    start(calls, visit, asked, ratio=0.8)
    *busy, view = follow(calls, visit)
    told = [STAGES.index(step["stage"]) for step in busy]
    assert told == sorted(told)
    assert view["state"] == "done"
    assert (view["width"], view["height"]) == (512, 512)
    (result,) = service.storage.directory.rglob("astronaut-fused.jpg")
    assert view["link"].endswith(str(result))
    assert opened(result).shape == (512, 512, 3)
    (entry,) = service.history.entries("anna")
    assert (entry.path, entry.controls["ratio"]) == (result, 0.8)
    assert service.history.entries("ben") == ()


def test_a_page_that_has_asked_for_nothing_follows_nothing(calls: FuseCalls, visit: Visit) -> None:
    assert run(calls.follow(visit, {})) == {"state": "none", "seen": ""}


def test_what_has_been_seen_is_answered_only_after_a_while(
    calls: FuseCalls, visit: Visit, asked: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(calls, visit, asked)
    end = follow(calls, visit)[-1]
    monkeypatch.setattr(module, "_ANSWER_S", 0.3)
    before = time.monotonic()
    again = run(calls.follow(visit, {"seen": end["seen"]}))
    assert time.monotonic() - before >= 0.3
    assert again == end
    assert run(calls.follow(visit, {"seen": "something else"})) == end


def test_a_cancelled_fusion_says_so_in_both_languages(
    calls: FuseCalls, visits: Visits, visit: Visit, asked: Data
) -> None:
    start(calls, visit, asked, resolution="4096")
    calls.cancel(visits.find("ben", "two"), {})
    calls.cancel(visits.find("anna", "two"), {})
    assert run(calls.follow(visit, {}))["state"] == "busy"
    calls.cancel(visit, {})
    last = follow(calls, visit)[-1]
    assert (last["state"], last["text"]) == ("cancelled", both("cancelled"))
    calls.cancel(visit, {})  # too late, and harmless
    start(calls, visit, asked)
    assert follow(calls, visit)[-1]["state"] == "done"


def test_a_failure_is_told_with_what_to_do(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data
) -> None:
    visit.photo(asked["target"]).path.unlink()
    start(calls, visit, asked)
    last = follow(calls, visit)[-1]
    assert last["state"] == "error"
    assert "astronaut.jpg" in last["text"]["en"]
    assert "astronaut.jpg" in last["text"]["zh"]
    assert str(service.storage.directory) not in repr(last)
    assert service.history.entries("anna") == ()


def test_others_wait_in_line_and_one_too_many_is_refused(
    calls: FuseCalls, visits: Visits, visit: Visit, asked: Data
) -> None:
    others = [visits.find(name, "a page") for name in ("ben", "cleo")]
    for other in others:
        other.photos.update(visit.photos)
    start(calls, visit, asked, resolution="4096")
    start(calls, others[0], asked)
    waiting = run(calls.follow(others[0], {}))
    assert (waiting["state"], waiting["position"], waiting["remaining"]) == ("busy", 1, None)
    with pytest.raises(BusyError):
        start(calls, others[1], asked)
    calls.leave(visit, {})
    assert follow(calls, others[0])[-1]["state"] == "done"


def test_after_clearing_nothing_is_left(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data
) -> None:
    start(calls, visit, asked, resolution="4096")
    calls.clear(visit, {})
    assert run(calls.follow(visit, {}))["state"] == "none"
    assert visit.photos == {}
    assert visit.jobs.find("fusion") is None
    with pytest.raises(OptionError):
        calls.start(visit, {"wish": asked})
    assert service.queue.submit(lambda _: "free").wait(30)


def test_leaving_frees_the_worker_and_the_preview_s_memory(
    calls: FuseCalls, service: FusionService, visits: Visits, visit: Visit, asked: Data
) -> None:
    calls.preview(visit, {"wish": asked})
    start(calls, visit, asked, resolution="4096")
    calls.leave(visit, {})
    assert service.queue.submit(lambda _: "free").wait(30)
    assert visits.find("anna", "one") is not visit
    assert not service.live._sessions


# --- close-ups ---


def close_up(calls: FuseCalls, visit: Visit, of: str, part: Region) -> np.ndarray:
    where = {"x": part.x, "y": part.y, "width": part.width, "height": part.height}
    return decoded(calls.close_up(visit, {"of": of, **where}))


def test_a_close_up_shows_the_file_s_own_pixels(
    calls: FuseCalls, service: FusionService, visit: Visit, asked: Data
) -> None:
    start(calls, visit, asked, ratio=1.0)
    follow(calls, visit)
    part = Region(190, 60, 120, 100)
    (result,) = service.storage.directory.rglob("astronaut-fused.jpg")
    pictures = {"after": result, "before": visit.photo(asked["target"]).path}
    for of, path in pictures.items():
        wanted = opened(path)[60:160, 190:310]
        assert np.abs(close_up(calls, visit, of, part) - wanted).mean() < 3
    before, after = (close_up(calls, visit, of, part) for of in ("before", "after"))
    assert np.abs(before - after).mean() > 5


@pytest.mark.parametrize("of", ["before", "after"])
def test_a_close_up_needs_a_result(
    calls: FuseCalls, visits: Visits, visit: Visit, asked: Data, of: str
) -> None:
    where = {"of": of, "x": 0, "y": 0, "width": 10, "height": 10}
    with pytest.raises(OptionError, match="no result"):
        calls.close_up(visit, where)
    start(calls, visit, asked)
    follow(calls, visit)
    assert calls.close_up(visit, where)["image"]
    with pytest.raises(OptionError, match="no result"):
        calls.close_up(visits.find("ben", "two"), where)
    for change in ({"of": "/etc/passwd"}, {"width": 0}, {"x": "a"}, {"x": 5000, "of": "after"}):
        with pytest.raises(OptionError):
            calls.close_up(visit, where | change)


def test_before_is_told_where_it_lies_in_a_close_up(
    calls: FuseCalls, visit: Visit, asked: Data
) -> None:
    def placed(part: Region, of: str = "before") -> tuple[Data, list[float]]:
        where = {"x": part.x, "y": part.y, "width": part.width, "height": part.height}
        answer = calls.close_up(visit, {"of": of, **where})
        return answer, list(answer["placed"].values()) if answer["placed"] else []

    # A border of 128 px to the left and right of the 512 x 512 target.
    start(calls, visit, asked, ratio=0.0, resolution="768x512", fit="pad")
    follow(calls, visit)
    assert placed(Region(128, 0, 100, 100))[1] == [0, 0, 100, 100]
    assert placed(Region(78, 0, 100, 100))[1] == [50, 0, 50, 100]
    assert placed(Region(0, 0, 100, 100)) == ({"image": None, "placed": None}, [])
    for of in ("before", "after"):
        whole = decoded(placed(Region(300, 100, 100, 100), of)[0])
        plain = opened(visit.photo(asked["target"]).path)[100:200, 172:272]
        assert np.abs(whole - plain).mean() < 3
    # The middle 256 columns of the target, reduced to a half.
    start(calls, visit, asked, ratio=0.0, resolution="128x256", fit="crop")
    follow(calls, visit)
    sides = [decoded(placed(Region(30, 60, 60, 60), of)[0]) for of in ("before", "after")]
    assert np.abs(sides[0] - sides[1]).mean() < 6
    # Four times as large: the target's own pixels, whose edges are no edges of the part.
    start(calls, visit, asked, ratio=0.0, resolution="2048")
    follow(calls, visit)
    answer, where = placed(Region(802, 403, 100, 50))
    assert decoded(answer).shape == (14, 26, 3)
    assert where == pytest.approx([-2, -6, 104, 112], abs=0.01)
