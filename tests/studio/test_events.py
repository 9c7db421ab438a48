"""The handlers with real pictures and the real pipeline, without a browser."""

import dataclasses
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from common.progress import Progress
from common.types import Size
from fusion.engines.registry import Choice
from fusion.engines.unet.devices import Gpu
from studio.page.events import Events
from studio.page.views import View
from studio.service.fusion_service import EngineStatus, FusionService, Photo

Pair = tuple[Photo, View, Photo, View]
NOTHING = (gr.skip(), gr.skip())


@pytest.fixture
def events(service: FusionService) -> Events:
    return Events(service)


@pytest.fixture
def demo(events: Events) -> Pair:
    target, target_view, source, source_view = events.load_demo(request())
    assert target is not None
    assert source is not None
    return target, target_view, source, source_view


def request(session: str = "one", language: str = "en") -> gr.Request:
    return gr.Request(session_hash=session, headers={"accept-language": language})


def upload(service: FusionService, name: str, content: bytes) -> gr.EventData:
    path = service.storage.new_file(name)
    path.write_bytes(content)
    return gr.EventData(None, {"path": str(path), "number": 7})


def last(events: Events, demo: Pair, **change: Any) -> tuple[View, list[View]]:
    """The stage in the end, and all it showed on the way."""
    target, target_view, source, source_view = demo
    values: dict[str, Any] = {
        "target": target,
        "source": source,
        "target_view": target_view,
        "source_view": source_view,
        "ratio": 0.6,
        "resolution": "original",
        "fit": "keep",
        "request": request(),
    }
    seen = [view for view, _, _ in events.start(**(values | change))]
    return seen[-1], seen


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def encoded(tmp_path: Path, pixels: Any, suffix: str) -> bytes:
    path = tmp_path / f"made{suffix}"
    Image.fromarray(pixels).save(path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("empty.jpg", "empty"),
        ("text.jpg", "not a picture"),
        ("half.jpg", "half.jpg"),
        ("tiny.png", "1x1"),
        ("bomb.png", "megapixels"),
        ("paint.bmp", "JPEG, PNG, WebP, TIFF, AVIF, HEIC or GIF"),
    ],
)
def test_unusable_files_get_a_sentence(
    events: Events,
    service: FusionService,
    tmp_path: Path,
    astronaut: np.ndarray,
    name: str,
    says: str,
) -> None:
    whole = encoded(tmp_path, astronaut, ".jpg")
    contents = {
        "empty.jpg": b"",
        "text.jpg": b"This is no picture.\n" * 20,
        "half.jpg": whole[: len(whole) // 2],
        "tiny.png": encoded(tmp_path, astronaut[:1, :1], ".png"),
        "bomb.png": png_header(20_000, 20_000),
        "paint.bmp": encoded(tmp_path, astronaut, ".bmp"),
    }
    loaded, view = events.look_at_target(upload(service, name, contents[name]), request())
    assert loaded is None
    assert says in view["message"]
    assert name in view["message"]
    assert view["message"].endswith(".")
    assert view["upload"] == 7
    assert not list(service.storage.directory.rglob("*.*"))  # the refused file is gone
    assert str(service.storage.directory) not in view["message"]
    assert "Traceback" not in view["message"]


@pytest.mark.parametrize("role", ["target", "source"])
def test_a_picture_without_faces_is_shown_and_explained(
    events: Events, service: FusionService, tmp_path: Path, role: str
) -> None:
    grey = np.full((300, 400, 3), 128, np.uint8)
    event = upload(service, "wall.png", encoded(tmp_path, grey, ".png"))
    look_at = events.look_at_target if role == "target" else events.look_at_source
    loaded, view = look_at(event, request())
    assert loaded is not None
    assert view["url"]
    assert f"in the {role} wall.png" in view["message"]
    assert isinstance(loaded, Photo)
    assert not events.ready(loaded, loaded, view, view)["interactive"]


def test_files_elsewhere_cannot_be_named(events: Events, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"x")
    for path in (secret, Path("/etc/passwd"), tmp_path / "missing.jpg", "a\0b", "a\ud800b"):
        loaded, view = events.look_at_target(gr.EventData(None, {"path": str(path)}), request())
        assert loaded is None
        assert "upload it again" in view["message"]


def test_the_demo_is_ready_to_start(events: Events, demo: Pair) -> None:
    target, target_view, source, source_view = demo
    assert len(target_view["faces"]) == len(source_view["faces"]) == 1
    assert events.ready(target, source, target_view, source_view)["interactive"]
    assert not events.ready(target, None, target_view, source_view)["interactive"]
    none_chosen = target_view | {"chosen": []}
    assert not events.ready(target, source, none_chosen, source_view)["interactive"]


def test_previews_are_small(service: FusionService, demo: Pair) -> None:
    assert (demo[1]["width"], demo[1]["height"]) == (256, 256)
    previews = list(service.storage.directory.rglob("preview.jpg"))
    assert len(previews) == 2
    for path in previews:
        with Image.open(path) as preview:
            assert max(preview.size) <= 256


def test_sizes_are_shown_in_pixels(events: Events, demo: Pair) -> None:
    sizes, shape = events.sizes(demo[2], "2048", "keep", request())
    assert ("Original · 520 × 600 px", "original") in sizes["choices"]
    assert ("2048 · 1775 × 2048 px", "2048") in sizes["choices"]
    assert ("Automatic · by face and memory", "auto") in sizes["choices"]
    assert (sizes["value"], shape["visible"]) == ("2048", True)
    sizes, shape = events.sizes(demo[2], "original", "crop", request(language="zh"))
    assert ("原始尺寸 · 520 × 600 像素", "original") in sizes["choices"]
    assert ("2048 · 2048 × 2048 像素", "2048") in sizes["choices"]
    assert "围绕所选人脸" in shape["info"]
    assert not shape["visible"]
    sizes, shape = events.sizes_anew(request())
    assert sizes["choices"][0] == ("Original", "original")
    assert (sizes["value"], shape["value"]) == ("original", "keep")


def test_a_size_above_the_limit_is_said_to_be(events: Events, demo: Pair) -> None:
    wide = dataclasses.replace(demo[0], size=Size(9000, 6000))
    sizes, _ = events.sizes(wide, "original", "keep", request())
    assert ("Original · above the limit", "original") in sizes["choices"]


def test_a_fusion_reports_and_ends_with_a_file(
    events: Events, service: FusionService, demo: Pair
) -> None:
    view, seen = last(events, demo)
    assert {step["state"] for step in seen[:-1]} == {"busy"}
    assert view["state"] == "done"
    assert (view["width"], view["height"]) == (512, 512)
    results = list(service.storage.directory.rglob("astronaut-fused.jpg"))
    assert len(results) == 1
    assert view["link"].endswith(str(results[0]))


@pytest.mark.parametrize("chosen", [[], [5], [-1], ["0"], [True], None, "0"])
def test_faces_that_were_not_found_cannot_be_chosen(
    events: Events, service: FusionService, demo: Pair, chosen: Any
) -> None:
    view, _ = last(events, demo, target_view=demo[1] | {"chosen": chosen})
    assert view["message"] == "Choose at least one face in the target."
    assert_idle(service)


@pytest.mark.parametrize(
    "change", [{"ratio": 7.0}, {"resolution": "huge"}, {"fit": "stretch"}, {"source": None}]
)
def test_odd_values_get_a_sentence_and_the_page_stays_usable(
    events: Events, demo: Pair, change: dict[str, Any]
) -> None:
    view, _ = last(events, demo, **change)
    assert view["state"] == "empty"
    assert view["message"].endswith(".")
    assert last(events, demo)[0]["state"] == "done"


def test_a_target_that_was_deleted_meanwhile_is_named(events: Events, demo: Pair) -> None:
    demo[0].path.unlink()
    view, _ = last(events, demo)
    assert "astronaut.jpg" in view["message"]


def test_cancelling_leaves_a_note(events: Events, demo: Pair) -> None:
    steps = start(events, demo, "4096", "one")
    next(steps)
    events.cancel(request("somebody else"))
    events.cancel(request("one"))
    views = [view for view, _, _ in steps]
    assert views[-1] == {"state": "empty", "note": "Cancelled. Nothing was written."}


def test_after_clearing_nothing_more_is_shown(
    events: Events, service: FusionService, demo: Pair
) -> None:
    steps = start(events, demo, "4096", "one")
    next(steps)
    events.forget(request("one"))
    views = [view for view, _, _ in steps]
    assert views[-1] == gr.skip()
    assert_idle(service)


def test_a_broken_connection_ends_the_fusion(
    events: Events, service: FusionService, demo: Pair
) -> None:
    steps = start(events, demo, "4096", "one")
    next(steps)
    steps.close()
    assert_idle(service)
    assert events._jobs.find("one", "fusion") is None  # nothing keeps the job's pictures


def test_others_wait_in_line_and_one_too_many_is_told(events: Events, demo: Pair) -> None:
    first = start(events, demo, "4096", "one")
    second = start(events, demo, "original", "two")
    next(first)
    view, _, _ = next(second)
    assert (view["state"], view["position"]) == ("busy", 1)
    refused, _, _ = list(start(events, demo, "original", "three"))[-1]
    assert "busy" in refused["message"]
    events.forget(request("one"))
    assert [view for view, _, _ in second][-1]["state"] == "done"


class Held:
    """Takes the place of looking: reports when it has begun, waits, then checks."""

    def __init__(self, service: FusionService) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._service = service

    def look_at(self, path: Path) -> Any:
        def work(progress: Progress) -> Photo:
            self.begun.set()
            assert self.go_on.wait(30)
            progress.check()
            return self._service._look(path, progress)

        return self._service.analyses.submit(work)


@pytest.fixture
def held(service: FusionService, monkeypatch: pytest.MonkeyPatch) -> Held:
    made = Held(service)
    monkeypatch.setattr(service, "look_at", made.look_at)
    return made


@pytest.mark.parametrize("ends", ["forget", "remove_target", "another upload"])
def test_an_analysis_that_nobody_waits_for_ends(
    events: Events,
    service: FusionService,
    tmp_path: Path,
    astronaut: np.ndarray,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
) -> None:
    content = encoded(tmp_path, astronaut, ".png")
    answers: list[Any] = []
    first = upload(service, "first.png", content)
    thread = threading.Thread(
        target=lambda: answers.append(events.look_at_target(first, request("one")))
    )
    thread.start()
    assert held.begun.wait(30)
    events.forget(request("somebody else"))
    job = events._jobs.find("one", "target")
    assert job is not None
    if ends == "another upload":
        monkeypatch.undo()
        second, view = events.look_at_target(upload(service, "b.png", content), request("one"))
        assert isinstance(second, Photo)
        assert (second.name, view["upload"]) == ("b.png", 7)
    else:
        getattr(events, ends)(request("one"))
    assert job.status().stopping
    held.go_on.set()
    thread.join(30)
    assert answers == [NOTHING]


def test_a_clear_during_the_demo_is_the_last_word(events: Events, service: FusionService) -> None:
    release = threading.Event()
    busy = [service.analyses.submit(lambda _: release.wait(30)) for _ in range(2)]
    answers: list[Any] = []
    service.analyses._most_waiting = 2
    thread = threading.Thread(target=lambda: answers.append(events.load_demo(request("one"))))
    thread.start()
    with service.analyses.changed:
        assert service.analyses.changed.wait_for(lambda: len(service.analyses._waiting) == 2, 30)
    events.forget(request("one"))
    thread.join(30)
    assert answers == [NOTHING * 2]
    release.set()
    assert all(job.wait(30) for job in busy)


def test_a_full_line_is_a_sentence_for_the_demo_and_for_uploads(
    events: Events, service: FusionService, tmp_path: Path, astronaut: np.ndarray
) -> None:
    release = threading.Event()
    for _ in range(3):
        service.analyses.submit(lambda _: release.wait(30))
    event = upload(service, "a.png", encoded(tmp_path, astronaut, ".png"))
    loaded, view = events.look_at_target(event, request())
    assert loaded is None
    assert "busy" in view["message"]
    assert Path(event.path).exists()  # another visitor may have sent the same content
    target, target_view, source, source_view = events.load_demo(request())
    assert target is source is None
    assert "busy" in target_view["message"]
    assert "busy" in source_view["message"]
    release.set()


def test_looking_that_takes_too_long_says_so(
    events: Events, service: FusionService, tmp_path: Path, astronaut: np.ndarray
) -> None:
    service.analyses._deadline_s = 0.0
    event = upload(service, "slow.png", encoded(tmp_path, astronaut, ".png"))
    loaded, view = events.look_at_target(event, request())
    assert loaded is None
    assert view["message"].startswith("Looking for faces in slow.png took longer than the 120 s")


def test_a_clear_is_not_taken_for_a_failure(events: Events, demo: Pair) -> None:
    apologise = events.apology("target")
    assert "log" in apologise(request())[1]["message"]
    assert "log" in events.apologise_for_fusion(request())[0]["message"]
    steps = start(events, demo, "4096", "one")
    next(steps)
    assert events.apologise_for_fusion(request("one"))[0] == gr.skip()
    steps.close()


def assert_idle(service: FusionService) -> None:
    assert service.queue.submit(lambda _: "free").wait(30)


def start(events: Events, demo: Pair, resolution: str, session: str) -> Any:
    target, target_view, source, source_view = demo
    views = target_view, source_view
    return events.start(target, source, *views, 0.6, resolution, "keep", request(session))


def test_the_engine_s_lines_are_html_in_the_browser_s_language(
    events: Events, service: FusionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = EngineStatus(Choice("mesh", "no_gpu", "x"), None, (Gpu("<Big>", 2048, 1024),))
    monkeypatch.setattr(service, "engine_status", lambda: status)
    english, chinese = (events.engine(request(language=name)) for name in ("en", "zh"))
    assert english.startswith("<p>Engine mesh, because there is no NVIDIA GPU")
    assert english.endswith("<p>&lt;Big&gt;: 1.0 of 2.0 GB in use</p>")
    assert "引擎 mesh" in chinese
