"""The calls of the Fuse tab about photographs."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import (
    BusyError,
    CancelledError,
    DeadlineError,
    FileMissingError,
    OptionError,
    StudioError,
    UnreadableImageError,
)
from common.progress import Progress
from studio.page.calls import Data
from studio.page.calls.fuse import FuseCalls
from studio.page.visits import Visit
from studio.service.fusion_service import FusionService
from studio.service.wish import Photo
from tests.studio.talking import upload


def test_the_demo_comes_with_its_faces(calls: FuseCalls, visit: Visit) -> None:
    pair = calls.demo(visit, {})
    assert set(pair) == {"target", "source"}
    assert [len(pair[role]["faces"]) for role in ("target", "source")] == [1, 1]
    assert set(visit.photos) == {pair["target"]["id"], pair["source"]["id"]}
    assert visit.jobs.find("target") is None  # nothing is waited for any more
    with pytest.raises(OptionError):
        calls.demo(visit, {"which": 2})


def test_an_upload_is_looked_at(
    calls: FuseCalls, service: FusionService, visit: Visit, astronaut: np.ndarray
) -> None:
    path = upload(service, "me.png", astronaut)
    view = calls.look(visit, {"slot": "target", "path": path})
    assert (view["name"], view["size"], view["format"]) == ("me.png", [512, 512], "png")
    assert (view["width"], view["height"]) == (256, 256)
    assert (len(view["faces"]), view["message"]) == (1, None)
    assert visit.photo(view["id"]).path == Path(path)


def test_another_threshold_finds_other_faces(
    calls: FuseCalls, service: FusionService, visit: Visit, two_heads: Image.Image
) -> None:
    dim = np.where(np.arange(600)[:, None] < 300, 1.0, 0.3)
    path = upload(service, "two.png", (np.asarray(two_heads) * dim).astype(np.uint8))
    first = calls.look(visit, {"slot": "target", "path": path})
    scores = [face.score for face in visit.photo(first["id"]).faces]
    assert scores[0] > scores[1] + 0.02
    between = scores[1] + 0.01
    again = calls.look(visit, {"slot": "target", "photo": first["id"], "threshold": between})
    assert len(again["faces"]) == 1
    assert again["threshold"] == between
    assert again["id"] != first["id"]


@pytest.mark.parametrize(("slot", "word"), [("target", "target"), ("source:7", "source")])
def test_a_picture_without_faces_is_shown_and_explained(
    calls: FuseCalls, service: FusionService, visit: Visit, slot: str, word: str
) -> None:
    path = upload(service, "wall.png", np.full((300, 400, 3), 128, np.uint8))
    view = calls.look(visit, {"slot": slot, "path": path})
    assert view["url"]
    assert f"in the {word} wall.png" in view["message"]["en"]
    assert "wall.png" in view["message"]["zh"]


def test_files_elsewhere_cannot_be_named(calls: FuseCalls, visit: Visit, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"x")
    for name in (secret, tmp_path / "missing.jpg", "/etc/passwd", "a\0b", tmp_path, ".."):
        with pytest.raises(FileMissingError):
            calls.look(visit, {"slot": "target", "path": str(name)})
    with pytest.raises(OptionError):
        calls.look(visit, {"slot": "target", "path": "a\ud800b"})
    assert secret.exists()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"slot": "target"},
        {"slot": "fusion", "path": "x"},
        {"slot": "source:", "path": "x"},
        {"slot": "target\n", "path": "x"},
        {"slot": "target", "path": 7},
        {"slot": "target", "path": "x", "more": 1},
        {"slot": "target", "photo": "unknown"},
        {"slot": "target", "photo": "unknown", "threshold": float("nan")},
    ],
)
def test_odd_questions_are_refused(calls: FuseCalls, visit: Visit, data: Data) -> None:
    with pytest.raises(OptionError):
        calls.look(visit, data)


def test_a_threshold_out_of_range_is_refused(
    calls: FuseCalls, service: FusionService, visit: Visit, astronaut: np.ndarray
) -> None:
    path = upload(service, "me.png", astronaut)
    with pytest.raises(OptionError, match="threshold"):
        calls.look(visit, {"slot": "target", "path": path, "threshold": 7.0})
    assert Path(path).exists()


def test_a_bad_file_is_an_error_and_goes(
    calls: FuseCalls, service: FusionService, visit: Visit
) -> None:
    path = upload(service, "letter.jpg", b"Dear all,\n" * 20)
    with pytest.raises(UnreadableImageError, match=r"letter\.jpg"):
        calls.look(visit, {"slot": "target", "path": path})
    assert not Path(path).exists()
    assert visit.photos == {}


@dataclasses.dataclass
class Held:
    """Analyses that begin and then wait."""

    begun: threading.Event
    go_on: threading.Event


@pytest.fixture
def held(service: FusionService, monkeypatch: pytest.MonkeyPatch) -> Held:
    made = Held(threading.Event(), threading.Event())

    def look_at(path: Path, threshold: float | None = None) -> Any:
        def work(progress: Progress) -> Photo:
            made.begun.set()
            assert made.go_on.wait(30)
            progress.check()
            raise AssertionError("it should have been cancelled")

        return service.analyses.submit(work)

    monkeypatch.setattr(service, "look_at", look_at)
    return made


@pytest.mark.parametrize("ends", ["clear", "leave", "another upload"])
def test_an_analysis_that_nobody_waits_for_ends(
    calls: FuseCalls,
    service: FusionService,
    visit: Visit,
    astronaut: np.ndarray,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
) -> None:
    path = upload(service, "first.png", astronaut)
    raised: list[StudioError] = []

    def look() -> None:
        try:
            calls.look(visit, {"slot": "target", "path": path})
        except StudioError as error:
            raised.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    assert held.begun.wait(30)
    job = visit.jobs.find("target")
    assert job is not None
    if ends == "another upload":
        monkeypatch.undo()
        second = calls.look(visit, {"slot": "target", "path": upload(service, "b.png", astronaut)})
        assert second["name"] == "b.png"
    else:
        getattr(calls, ends)(visit, {})
    assert job.status().stopping
    held.go_on.set()
    thread.join(30)
    assert isinstance(raised[0], CancelledError)
    assert Path(path).exists()  # another visitor may have sent the same content


def test_a_full_line_is_an_error(
    calls: FuseCalls, service: FusionService, visit: Visit, astronaut: np.ndarray
) -> None:
    release = threading.Event()
    for _ in range(3):
        service.analyses.submit(lambda _: release.wait(30))
    with pytest.raises(BusyError):
        calls.demo(visit, {})
    with pytest.raises(BusyError):
        calls.look(visit, {"slot": "target", "path": upload(service, "a.png", astronaut)})
    release.set()


def test_looking_that_takes_too_long_says_so(
    calls: FuseCalls,
    service: FusionService,
    visit: Visit,
    astronaut: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.analyses, "_deadline_s", 0.0)
    path = upload(service, "slow.png", astronaut)
    with pytest.raises(DeadlineError, match=r"looking for faces in slow\.png .* 120 s"):
        calls.look(visit, {"slot": "target", "path": path})
