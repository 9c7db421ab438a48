"""What programs may ask: the values they send, what they get, and that their work ends with them.

The endpoints over the network are tested in tests/e2e/test_api.py.
"""

import asyncio
import base64
import io
import json
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from common.errors import (
    BusyError,
    FileMissingError,
    ImageSizeError,
    NoFaceError,
    OptionError,
    StudioError,
)
from common.progress import Progress
from common.settings import Settings
from fusion.request import Blend, FaceSelection
from studio.page import assistants
from studio.page.api import Page, add_endpoints, file_data
from studio.page.assistant_tools import MEANINGS, TOOLS
from studio.page.interface import Answer, Interface, Step, follow
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.storage import Storage
from studio.service.wish import Photo, Wish
from tests.studio.loops import run
from tests.studio.talking import upload

Pair = tuple[Photo, Photo]
Asked = dict[str, Any]


@pytest.fixture
def interface(service: FusionService) -> Interface:
    return Interface(service)


@pytest.fixture
def files(demo: Pair) -> Asked:
    """The demo pair as a client sends it that has uploaded it."""
    target, source = demo
    return {"target": {"path": str(target.path)}, "sources": [{"path": str(source.path)}]}


def nothing(step: Step) -> None:
    """Somebody who does not want to know how far it is."""


def fuse(interface: Interface, asked: Asked) -> Answer:
    return run(interface.fuse(asked, nothing))


# --- what a fusion answers ---


def test_a_fusion_is_the_pages_own(
    service: FusionService, interface: Interface, demo: Pair, files: Asked
) -> None:
    wish = Wish(demo[0], (demo[1],), FaceSelection(), Controls.read({"ratio": 0.8}, Settings()))
    own = service.submit(wish).result().result
    answer = fuse(interface, files | {"controls": {"ratio": 0.8}})
    assert answer.file is not None
    assert answer.file.read_bytes() == own.request.output.path.read_bytes()
    assert answer.preview is not None
    told, expected = answer.report, own.as_dict()
    assert told.keys() == expected.keys()
    for name in ("width", "height", "format", "engine", "ratio", "faces", "written", "warnings"):
        assert told[name] == expected[name]
    assert told["output"] == "astronaut-fused.jpg"
    assert told["sources"] == ["second-person.jpg"]
    assert json.loads(json.dumps(told)) == told


def test_no_answer_tells_where_files_lie(
    service: FusionService, interface: Interface, files: Asked
) -> None:
    told = json.dumps(fuse(interface, files).report)
    assert str(service.storage.directory) not in told


def test_what_is_not_named_is_as_the_settings_say(interface: Interface, files: Asked) -> None:
    told = fuse(interface, files).report
    usual = Blend()
    assert (told["ratio"], told["mode"], told["shape"]) == (usual.ratio, usual.mode, usual.shape)


def test_files_may_be_named_by_path_or_by_address(interface: Interface, demo: Pair) -> None:
    path = demo[0].path
    for value in (
        str(path),
        {"path": str(path)},
        file_data(path),
        f"http://127.0.0.1:7860/gradio_api/file={path}",
        f"gradio_api/file={path}",
        {"path": f"https://studio.example/gradio_api/file={str(path).replace('/', '%2F')}"},
    ):
        assert interface.uploaded(value, "target") == path


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, OptionError),
        (3, OptionError),
        ("", OptionError),
        ({}, OptionError),
        ({"path": None}, OptionError),
        (["a.jpg"], OptionError),
        ("http://example.com/a.jpg", OptionError),
        ({"path": "HTTPS://example.com/a.jpg"}, OptionError),
        ("//example.com/a.jpg", OptionError),
        ("/etc/passwd", FileMissingError),
        ("http://127.0.0.1:7860/gradio_api/file=/etc/passwd", FileMissingError),
        ("http://example.com/gradio_api/file=http://example.com/a.jpg", FileMissingError),
        ("file:///etc/passwd", FileMissingError),
        ("../../etc/passwd", FileMissingError),
        ("a\0b", FileMissingError),
    ],
)
def test_nothing_but_uploads_is_read(
    interface: Interface, value: Any, error: type[StudioError]
) -> None:
    with pytest.raises(error):
        interface.uploaded(value, "target")


def test_a_file_beside_the_storage_is_not_read(
    service: FusionService, interface: Interface, tmp_path: Path
) -> None:
    beside = tmp_path / "secret.jpg"
    beside.write_bytes(b"x")
    link = service.storage.new_file("link.jpg")
    link.symlink_to(beside)
    for path in (beside, link, link.parent / ".." / ".." / ".." / ".." / "secret.jpg"):
        with pytest.raises(FileMissingError):
            interface.uploaded(str(path), "target")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"controls": {"rato": 0.5}}, "no control 'rato'"),
        ({"controls": {"ratio": 2}}, "outside 0 to 1"),
        ({"controls": [0.5]}, "controls"),
        ({"faces": "first"}, "not understood"),
        ({"faces": 0}, "faces"),
        ({"faces": "7"}, "choose anew"),
        ({"sources": []}, "sources must be 1 to"),
        ({"sources": None}, "sources must be an uploaded file"),
        ({"more": 1}, "more"),
    ],
)
def test_values_that_are_wrong_are_named(
    interface: Interface, files: Asked, change: Asked, says: str
) -> None:
    with pytest.raises(OptionError, match=says):
        fuse(interface, files | change)


def test_a_single_source_needs_no_list(interface: Interface, files: Asked) -> None:
    answer = fuse(interface, files | {"sources": files["sources"][0]})
    assert answer.report["sources"] == ["second-person.jpg"]


def test_pictures_that_cannot_be_used_are_named(
    service: FusionService, interface: Interface, files: Asked
) -> None:
    plain = upload(service, "wall.png", np.full((90, 90, 3), 128, np.uint8))
    with pytest.raises((NoFaceError, OptionError), match=r"wall\.png"):
        fuse(interface, files | {"target": plain})
    with pytest.raises(ImageSizeError):
        fuse(interface, files | {"controls": {"resolution": "60000x40000"}})


def test_detect_is_the_command_lines(interface: Interface, demo: Pair) -> None:
    told = run(interface.detect({"image": str(demo[0].path)}, nothing)).report
    assert told["image"] == "astronaut.jpg"
    assert (told["width"], told["height"], told["format"]) == (512, 512, "jpeg")
    assert [face["index"] for face in told["faces"]] == [0]
    assert told["faces"][0]["box"] == demo[0].faces[0].box.as_list()
    assert told["seconds"]["total"] > 0
    assert told["warnings"] == []
    with pytest.raises(OptionError, match=r"outside 0\.1 to 0\.9"):
        run(interface.detect({"image": str(demo[0].path), "threshold": 0}, nothing))


def test_a_batch_answers_its_zip_and_what_became_of_each(
    service: FusionService, interface: Interface, demo: Pair, files: Asked
) -> None:
    wall = upload(service, "wall.png", np.full((90, 90, 3), 128, np.uint8))
    asked = {"targets": [str(demo[0].path), wall], "sources": files["sources"]}
    steps: list[Step] = []
    answer = run(interface.batch(asked | {"controls": {"ratio": 0.3}}, steps.append))
    assert answer.file is not None
    assert answer.file.suffix == ".zip"
    told = answer.report
    assert (told["state"], told["done"], told["failed"]) == ("done", 1, 1)
    good, bad = told["files"]
    assert (good["state"], good["output"]) == ("done", "astronaut-fused.jpg")
    assert (bad["state"], bad["error"]) == ("failed", "no_face")
    assert "wall.png" in bad["message"]
    assert steps[-1].fraction == 1.0


def test_a_batch_in_which_all_fail_has_a_report_and_no_zip(
    service: FusionService, interface: Interface, files: Asked
) -> None:
    wall = upload(service, "wall.png", np.full((90, 90, 3), 128, np.uint8))
    answer = run(interface.batch({"targets": wall, "sources": files["sources"]}, nothing))
    assert answer.file is None
    assert answer.report["failed"] == 1


def test_a_program_may_have_several_batches(interface: Interface, demo: Pair, files: Asked) -> None:
    asked = {"targets": str(demo[0].path), "sources": files["sources"]}
    first = run(interface.batch(asked, nothing))
    second = run(interface.batch(asked, nothing))
    assert first.file is not None
    assert second.file is not None
    assert first.file.is_file()  # the page's visitors have one each, which a new one replaces


def test_the_system_is_told_without_places(service: FusionService, interface: Interface) -> None:
    told = run(interface.system())
    assert told["engine"]["name"] == "mesh"
    assert str(service.storage.directory) not in json.dumps(told)


# --- how far it is, and that it ends with whoever waits ---


def blocked(service: FusionService) -> tuple[threading.Event, Callable[[], None]]:
    """Keep the only worker busy; an event that says so, and what ends it."""
    begun, end = threading.Event(), threading.Event()

    def work(progress: Progress) -> None:
        begun.set()
        while not end.wait(0.01):
            progress.check()

    job = service.queue.submit(work)
    assert begun.wait(30)

    def go_on() -> None:
        end.set()
        job.result()

    return begun, go_on


def test_it_tells_how_far_it_is_while_it_waits_and_works(
    service: FusionService, interface: Interface, files: Asked
) -> None:
    _, go_on = blocked(service)

    async def watch() -> list[Any]:
        seen: list[Any] = []
        async with aclosing(follow(lambda tell: interface.fuse(files, tell))) as steps:
            async for step in steps:
                if isinstance(step, Step) and step.position == 1:
                    await asyncio.to_thread(go_on)
                seen.append(step)
        return seen

    *steps, answer = run(watch())
    assert isinstance(answer, Answer)
    assert all(isinstance(step, Step) for step in steps)
    assert Step("waiting", 1) in steps


@pytest.mark.parametrize("way", ["closed", "cancelled"])
def test_work_that_nobody_waits_for_is_cancelled(
    service: FusionService, interface: Interface, files: Asked, way: str
) -> None:
    _, go_on = blocked(service)

    async def leave() -> None:
        steps = follow(lambda tell: interface.fuse(files, tell))
        async for step in steps:
            if isinstance(step, Step) and step.position == 1:
                break
        assert service.queue.load().waiting == 1
        if way == "closed":
            await steps.aclose()
        else:
            pending = asyncio.ensure_future(anext(steps))
            await asyncio.sleep(0)
            pending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pending
        await asyncio.sleep(0.05)

    run(leave())
    assert service.queue.load().waiting == 0
    go_on()


def test_a_full_queue_refuses(service: FusionService, interface: Interface, files: Asked) -> None:
    _, go_on = blocked(service)
    waiting = service.queue.submit(lambda progress: None)
    with pytest.raises(BusyError):
        fuse(interface, files)
    go_on()
    waiting.result()


# --- Gradio's part ---


@pytest.fixture
def page(service: FusionService) -> Page:
    async def build() -> Page:  # Gradio wants a loop, and leaves one of its own open
        with Page(analytics_enabled=False) as made:
            box = gr.JSON()
            box.change(lambda value: value, box, box, api_visibility="private")
            add_endpoints(service)
        return made

    return run(build())


def endpoint(page: Page, name: str) -> Any:
    (found,) = (fn for fn in page.fns.values() if fn.api_name == name)
    return found


def test_the_endpoints_are_public_and_nothing_else_is(page: Page) -> None:
    assert set(page.get_api_info()["named_endpoints"]) == {"/fuse", "/detect", "/batch", "/system"}
    assert page.get_api_info()["unnamed_endpoints"] == {}


def test_their_values_are_described_to_clients(page: Page) -> None:
    told = page.get_api_info()["named_endpoints"]["/fuse"]
    names = [one["parameter_name"] for one in told["parameters"]]
    assert names == ["target", "sources", "faces", "controls"]
    needed = [
        one["parameter_name"] for one in told["parameters"] if not one["parameter_has_default"]
    ]
    assert needed == ["target", "sources"]
    assert [one["python_type"]["type"] for one in told["returns"]] == ["filepath", "dict(str, Any)"]
    assert told["description"].startswith("Fuse the face")


def test_values_reach_an_endpoint_as_they_were_sent(page: Page) -> None:
    sent = [{"path": "http://example.com/a.jpg", "meta": {"_type": "gradio.FileData"}}, ["x"]]
    values = run(page.preprocess_data(endpoint(page, "fuse"), sent, None))
    assert values == [*sent, "largest", None]


def test_too_many_values_are_an_error_with_its_code(page: Page) -> None:
    with pytest.raises(gr.Error) as caught:
        run(page.preprocess_data(endpoint(page, "detect"), [1, 2, 3], None))
    assert caught.value.title == "bad_option"
    assert "/detect takes 2 values" in caught.value.message


@pytest.mark.parametrize("deep", [False, True])
def test_no_event_fetches_from_the_web(page: Page, deep: bool) -> None:
    (private,) = (fn for fn in page.fns.values() if fn.api_visibility == "private")
    file: Any = {"path": "http://example.com/a.jpg", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(gr.Error, match="nothing from the web"):
        run(page.preprocess_data(private, [{"in": [file]} if deep else file], None))
    assert run(page.preprocess_data(private, [{"a": 1}], None)) == [{"a": 1}]


def test_an_endpoint_sends_steps_and_then_the_file(
    page: Page, service: FusionService, files: Asked
) -> None:
    _, go_on = blocked(service)

    async def watch() -> list[Any]:
        seen = []
        async for values in endpoint(page, "fuse").fn(files["target"], files["sources"]):
            if values[1].get("position") == 1:
                await asyncio.to_thread(go_on)
            seen.append(values)
        return seen

    *steps, (file, report) = run(watch())
    assert all(one is None and "stage" in told for one, told in steps)
    assert (file["orig_name"], file["mime_type"]) == ("astronaut-fused.jpg", "image/jpeg")
    assert file["size"] == Path(file["path"]).stat().st_size
    assert report["engine"] == "mesh"


def test_an_endpoints_failure_has_code_and_sentence(page: Page, files: Asked) -> None:
    async def ask() -> None:
        async for _ in endpoint(page, "fuse").fn(files["target"], ["/etc/passwd"]):
            pass

    with pytest.raises(gr.Error) as caught:
        run(ask())
    assert caught.value.title == "file_not_found"
    assert caught.value.message.startswith("the file passwd is not here any more")
    assert not caught.value.print_exception


# --- the tools of assistants ---


def test_the_tools_are_off_unless_the_settings_say_so(service: FusionService) -> None:
    assert not service.settings.server.mcp
    assert assistants.mcp_middleware(service) == []


def test_every_control_has_a_meaning_and_a_place_in_the_schema() -> None:
    assert set(MEANINGS) == set(Controls.model_fields)
    for tool in ("fuse", "batch"):
        controls = TOOLS[tool][1]["properties"]["controls"]["properties"]
        assert set(controls) == set(Controls.model_fields)
        assert all(one["description"] for one in controls.values())
        assert not any("default" in one for one in controls.values())  # the settings have them


def test_a_data_url_becomes_a_file_of_the_storage(service: FusionService) -> None:
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, "PNG")
    text = base64.b64encode(content.getvalue()).decode()
    sent = {"target": f"data:image/png;base64,{text}", "sources": ["/a/path"], "faces": "data:x"}
    kept = assistants._stored(sent, service.storage)
    path = service.storage.require(kept["target"])
    assert (path.read_bytes(), path.suffix) == (content.getvalue(), ".png")
    assert kept["sources"] == ["/a/path"]
    assert kept["faces"] == "data:x"


@pytest.mark.parametrize(
    "data", ["data:", "data:image/png,abc", "data:image/png;base64,%%%", "data:image/png;base64,"]
)
def test_a_data_url_that_is_not_whole_is_refused(tmp_path: Path, data: str) -> None:
    storage = Storage(tmp_path, 1)
    with pytest.raises(OptionError, match="data: URL"):
        assistants._stored({"target": data}, storage)
    storage.close()


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.4", False),
        ("studio.example", False),
    ],
)
def test_only_a_server_for_this_machine_insists_on_its_names(host: str, alone: bool) -> None:
    assert assistants._security(host).enable_dns_rebinding_protection is alone


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (Step("waiting", 2), "waiting, number 2 in the line"),
        (Step("waiting"), "waiting"),
        (Step("running", 0, "render", 0.351), "render, 35%"),
        (Step("running"), "running, 0%"),
    ],
)
def test_steps_are_told_in_words(step: Step, sentence: str) -> None:
    assert assistants._sentence(step) == sentence
