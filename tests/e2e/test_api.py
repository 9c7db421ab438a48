"""The endpoints and the assistants' tools of a running server; every example of docs/api.md."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from studio.service.demo import make_demo_pair
from tests.e2e.conftest import ROOT, Server, running_server
from tests.studio.loops import run

DOCUMENT = ROOT / "docs" / "api.md"
ADDRESS = "http://127.0.0.1:7860"
EXAMPLES = re.findall(
    r"^```(python|bash)\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
LARGE = {"resolution": "4096", "format": "png"}
"""Controls that keep the only worker busy for some seconds."""
SOON_S = 10.0


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[Server]:
    """A server with the tools switched on, that does one fusion at a time and lets none wait."""
    folder = tmp_path_factory.mktemp("api")
    with running_server(
        folder,
        model_directory,
        STUDIO_SERVER__MCP="true",
        STUDIO_LIMITS__CONCURRENT="1",
        STUDIO_LIMITS__QUEUE="0",
    ) as running:
        yield running
    assert not any("Traceback" in line for line in running.log), "".join(running.log)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the examples expect it."""
    folder = tmp_path_factory.mktemp("pictures")
    target, source = make_demo_pair(folder)
    target.rename(folder / "portrait.jpg")
    source.rename(folder / "face.jpg")
    (folder / "photos").mkdir()
    with Image.open(folder / "portrait.jpg") as picture:
        picture.save(folder / "photos" / "first.jpg")
        picture.rotate(5).save(folder / "photos" / "second.jpg")
    return folder


@pytest.fixture
def client(studio: Server, tmp_path: Path) -> Client:
    return Client(studio.url, verbose=False, download_files=str(tmp_path))


@pytest.fixture
def pair(pictures: Path) -> dict[str, Any]:
    """Target and source as a client's arguments."""
    return {
        "target": handle_file(pictures / "portrait.jpg"),
        "sources": [handle_file(pictures / "face.jpg")],
    }


def command_line(pictures: Path, output: Path, models: Path, *options: str) -> dict[str, Any]:
    """What `./run.sh fuse` prints for the pair."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "studio.cli", "fuse", "--output", str(output)),
            *("--target", str(pictures / "portrait.jpg"), "--source", str(pictures / "face.jpg")),
            *options,
        ],
        cwd=ROOT,
        env=os.environ
        | {
            "STUDIO_CONFIG": os.devnull,
            "STUDIO_MODELS__DIRECTORY": str(models),
            "STUDIO_MODELSCOPE__FOLDER": os.devnull,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def upload(server: Server, *files: Path) -> list[str]:
    """Their paths on the server."""
    paths = []
    for file in files:
        sent = {"files": (file.name, file.read_bytes())}
        paths += httpx.post(f"{server.url}/gradio_api/upload", files=sent).json()
    return paths


def events(server: Server, endpoint: str, *data: Any) -> list[tuple[str, Any]]:
    """The stream of a request: names of events and what they hold."""
    begun = httpx.post(f"{server.url}/gradio_api/call/{endpoint}", json={"data": list(data)})
    address = f"{server.url}/gradio_api/call/{endpoint}/{begun.json()['event_id']}"
    text = httpx.get(address, timeout=120).text
    return [
        (name, json.loads(value))
        for name, value in re.findall(r"^event: (\w+)\ndata: (.*)$", text, re.MULTILINE)
        if name != "heartbeat"
    ]


def wait_until(state: Callable[[], bool]) -> None:
    limit = time.monotonic() + SOON_S
    while not state():
        assert time.monotonic() < limit
        time.sleep(0.05)


def running(client: Client) -> int:
    told = client.predict(api_name="/system")["fusions"]
    return int(told["running"] + told["waiting"])


# --- the document ---


@pytest.mark.parametrize(
    ("language", "example"),
    EXAMPLES,
    ids=[f"{language}-{number}" for number, (language, _) in enumerate(EXAMPLES, start=1)],
)
def test_every_example_of_the_document_works(
    studio: Server,
    pictures: Path,
    tmp_path: Path,
    model_directory: Path,
    require_program: Callable[[str], str],
    language: str,
    example: str,
) -> None:
    for name in ("portrait.jpg", "face.jpg", "photos"):
        (tmp_path / name).symlink_to(pictures / name)
    assert example.count(ADDRESS) == 1
    text = example.replace(ADDRESS, studio.url)
    if language == "bash":
        require_program("curl")
        command = [require_program("bash"), "-euo", "pipefail", "-c", text]
    else:
        command = [sys.executable, "-c", text]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    if "fused.jpg" in example:
        size = ("--resolution", "1024") if "1024" in example else ()
        expected = tmp_path / "expected.jpg"
        command_line(pictures, expected, model_directory, "--ratio", "0.8", *size)
        assert (tmp_path / "fused.jpg").read_bytes() == expected.read_bytes()
    if "/batch" in example:
        assert "2 done, 0 failed" in ended.stdout
    if "error.title" in example:
        said = re.search(r"print\(error.title, error\)  # (.*)", example)
        assert said is not None
        assert ended.stdout.strip() == said[1]


def test_the_document_has_examples_of_all_kinds() -> None:
    assert [language for language, _ in EXAMPLES] == [
        "python",
        "python",
        "bash",
        "python",
        "python",
    ]


# --- endpoints ---


def test_only_the_four_endpoints_are_described(studio: Server) -> None:
    told = httpx.get(f"{studio.url}/gradio_api/info").json()
    assert set(told["named_endpoints"]) == {"/fuse", "/detect", "/batch", "/system"}
    assert told["unnamed_endpoints"] == {}


def test_uploaded_bytes_arrive_as_they_are(studio: Server, pictures: Path, client: Client) -> None:
    (path,) = upload(studio, pictures / "portrait.jpg")
    sent, kept = ((pictures / "portrait.jpg").read_bytes(), Path(path).read_bytes())
    assert hashlib.sha256(kept).digest() == hashlib.sha256(sent).digest()
    file, report = client.predict(
        target=path,
        sources=upload(studio, pictures / "face.jpg"),
        controls={"ratio": 0},
        api_name="/fuse",
    )
    assert report["written"] == "copied"
    assert Path(file).read_bytes() == sent


def test_the_report_is_the_command_lines(
    client: Client, pair: dict[str, Any], pictures: Path, tmp_path: Path, model_directory: Path
) -> None:
    options = ("--smooth", "0.4", "--faces", "all")
    own = command_line(pictures, tmp_path / "own.jpg", model_directory, *options)
    _, told = client.predict(**pair, faces="all", controls={"smooth": 0.4}, api_name="/fuse")
    assert told.keys() == own.keys()
    for name in own.keys() - {"output", "sources", "seconds", "peak_rss_mb", "engine_reason"}:
        assert told[name] == own[name], name
    assert told["engine_reason"].rstrip(".") == own["engine_reason"]


def test_a_stream_tells_steps_and_ends_with_the_file(studio: Server, pictures: Path) -> None:
    target, source = upload(studio, pictures / "portrait.jpg", pictures / "face.jpg")
    *steps, (name, (file, report)) = events(studio, "fuse", target, source, "largest", LARGE)
    assert name == "complete"
    assert {one for one, _ in steps} == {"generating"}
    stages = {told["stage"] for _, (nothing, told) in steps[:-1] if nothing is None}
    assert stages & {"detect", "prepare", "render", "write"}
    with Image.open(Path(file["path"])) as picture:
        assert picture.size == (4096, 4096)
    assert file["url"].startswith(f"{studio.url}/gradio_api/file=")
    assert report["output"] == file["orig_name"] == "portrait-fused.png"


@pytest.mark.parametrize(
    ("endpoint", "data", "code", "says"),
    [
        ("detect", ["/etc/passwd"], "file_not_found", "passwd"),
        (
            "detect",
            [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
            "file_not_found",
            "",
        ),
        ("detect", [], "bad_option", "image must be an uploaded file"),
        ("detect", [1, 2, 3], "bad_option", "takes 2 values"),
        ("detect", ["x", "high"], "bad_option", "threshold"),
        ("fuse", ["x", "y", "largest", {"rato": 1}], "bad_option", "no control 'rato'"),
        ("batch", ["x", [], "some"], "bad_option", "faces"),
    ],
)
def test_an_error_has_its_code_and_its_sentence(
    studio: Server, endpoint: str, data: list[Any], code: str, says: str
) -> None:
    ((name, told),) = events(studio, endpoint, *data)
    assert (name, told["title"]) == ("error", code)
    assert says in told["error"]


def test_a_file_that_is_no_picture_is_named(client: Client, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_bytes(b"no picture at all")
    with pytest.raises(AppError) as caught:
        client.predict(image=handle_file(tmp_path / "notes.jpg"), api_name="/detect")
    assert caught.value.title in ("unreadable_image", "unsupported_format")
    assert str(caught.value).startswith("notes.jpg")


def test_nothing_is_fetched_from_the_web(studio: Server, client: Client) -> None:
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{web.server_port}/a.jpg"
        with pytest.raises(AppError) as caught:
            client.predict(image=handle_file(address), api_name="/detect")
        web.shutdown()
        thread.join()
    assert caught.value.title == "bad_option"
    assert asked == []


def test_a_full_queue_says_so_and_a_cancelled_job_frees_it(
    client: Client, studio: Server, pair: dict[str, Any]
) -> None:
    job = client.submit(**pair, controls=LARGE, api_name="/fuse")
    wait_until(lambda: running(client) == 1)
    with pytest.raises(AppError) as caught:
        client.predict(**pair, api_name="/fuse")
    assert caught.value.title == "busy"
    assert job.cancel()
    wait_until(lambda: running(client) == 0)
    assert not job.done() or job.cancelled() or job.exception() is not None or not job.outputs()


def test_a_reader_who_leaves_withdraws_the_request(
    client: Client, studio: Server, pictures: Path
) -> None:
    data = [*upload(studio, pictures / "portrait.jpg", pictures / "face.jpg"), "largest", LARGE]
    begun = httpx.post(f"{studio.url}/gradio_api/call/fuse", json={"data": data}).json()
    address = f"{studio.url}/gradio_api/call/fuse/{begun['event_id']}"
    with httpx.stream("GET", address, timeout=60) as stream:
        for line in stream.iter_lines():
            if '"stage": "render"' in line or '"stage": "prepare"' in line:
                break
    wait_until(lambda: running(client) == 0)


# --- the tools of assistants ---


def talk(
    server: Server, work: Callable[[ClientSession], Coroutine[Any, Any, None]]
) -> types.InitializeResult:
    """Do something as an assistant; answers what the server says of itself."""

    async def connected() -> types.InitializeResult:
        async with (
            streamable_http_client(f"{server.url}/mcp") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            greeting = await session.initialize()
            await work(session)
            return greeting

    return run(connected())


def test_an_assistant_is_told_what_there_is(studio: Server) -> None:
    async def work(session: ClientSession) -> None:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) == {"fuse", "detect", "batch", "system"}
        for tool in tools.values():
            assert len(tool.description or "") > 50
        assert tools["fuse"].inputSchema["required"] == ["target", "sources"]

    greeting = talk(studio, work)
    assert greeting.serverInfo.name == "face-fusion-studio"
    assert "/gradio_api/upload" in (greeting.instructions or "")


def test_an_assistant_fuses_and_sees_the_result(
    studio: Server, pictures: Path, tmp_path: Path, model_directory: Path
) -> None:
    target, source = upload(studio, pictures / "portrait.jpg", pictures / "face.jpg")
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async def work(session: ClientSession) -> None:
        asked = {"target": target, "sources": [source], "controls": {"resolution": "2048"}}
        answer = await session.call_tool("fuse", asked, progress_callback=hear)
        assert not answer.isError
        text, picture = answer.content
        assert isinstance(text, types.TextContent)
        assert isinstance(picture, types.ImageContent)
        told = answer.structuredContent
        assert told is not None
        assert json.loads(text.text) == told
        assert (told["width"], told["engine"]) == (2048, "mesh")
        shown = tmp_path / "shown.jpg"
        shown.write_bytes(base64.b64decode(picture.data))
        with Image.open(shown) as small:
            assert small.size == (1024, 1024)
        fetched = httpx.get(told["file"]["url"]).content
        assert len(fetched) == told["file"]["bytes"]
        expected = tmp_path / "expected.jpg"
        command_line(pictures, expected, model_directory, "--resolution", "2048")
        assert fetched == expected.read_bytes()

    talk(studio, work)
    assert heard
    assert [seconds for seconds, _ in heard] == sorted({seconds for seconds, _ in heard})
    assert all(message for _, message in heard)


def test_the_other_tools(studio: Server, pictures: Path) -> None:
    target, source = upload(studio, pictures / "portrait.jpg", pictures / "face.jpg")
    content = base64.b64encode((pictures / "portrait.jpg").read_bytes()).decode()

    async def work(session: ClientSession) -> None:
        found = await session.call_tool("detect", {"image": f"data:image/jpeg;base64,{content}"})
        assert found.structuredContent is not None
        assert len(found.structuredContent["faces"]) == 1
        many = await session.call_tool("batch", {"targets": [target], "sources": [source]})
        assert many.structuredContent is not None
        assert many.structuredContent["done"] == 1
        assert many.structuredContent["file"]["name"].endswith(".zip")
        assert len(many.content) == 1
        state = await session.call_tool("system", {})
        assert state.structuredContent is not None
        assert state.structuredContent["fusions"]["most_running"] == 1

    talk(studio, work)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"image": "/etc/passwd"}, "file_not_found: the file passwd"),
        ({"image": "https://example.com/a.jpg"}, "bad_option: image is an address on the web"),
        ({"image": "data:image/png;base64,?"}, "bad_option: a data: URL"),
        ({"image": "x", "picture": "y"}, "picture"),
        ({}, "image"),
    ],
)
def test_an_assistant_reads_why_it_cannot_be_done(
    studio: Server, arguments: dict[str, Any], says: str
) -> None:
    async def work(session: ClientSession) -> None:
        answer = await session.call_tool("detect", arguments)
        assert answer.isError
        (text,) = answer.content
        assert isinstance(text, types.TextContent)
        assert says in text.text

    talk(studio, work)


def test_a_request_that_an_assistant_withdraws_is_ended(
    studio: Server, client: Client, pictures: Path
) -> None:
    target, source = upload(studio, pictures / "portrait.jpg", pictures / "face.jpg")

    async def work(session: ClientSession) -> None:
        asked = {"target": target, "sources": [source], "controls": LARGE}
        number = session._request_id  # the next one's; the client has no way to withdraw a request
        call = asyncio.ensure_future(session.call_tool("fuse", asked))
        await asyncio.to_thread(wait_until, lambda: running(client) == 1)
        withdrawn = types.CancelledNotificationParams(requestId=number)
        await session.send_notification(
            types.ClientNotification(types.CancelledNotification(params=withdrawn))
        )
        with pytest.raises(McpError, match="cancelled"):
            await call
        await asyncio.to_thread(wait_until, lambda: running(client) == 0)

    talk(studio, work)


def test_a_page_on_the_web_cannot_use_the_tools_under_another_name(studio: Server) -> None:
    accepted = {"Accept": "application/json, text/event-stream"}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for headers, status in (
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
    ):
        answer = httpx.post(f"{studio.url}/mcp", json=asked, headers=accepted | headers)
        assert answer.status_code == status


def test_a_request_that_is_too_large_is_refused_unread(studio: Server) -> None:
    answer = httpx.post(
        f"{studio.url}/mcp", content=b"x" * 5_000_000, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


def test_without_the_switch_nothing_of_it_is_served(server: Server) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for path in ("/mcp", "/mcp/", "/gradio_api/mcp", "/gradio_api/mcp/", "/gradio_api/mcp/http"):
        assert httpx.post(f"{server.url}{path}", json=asked).status_code in (404, 405), path
        assert httpx.get(f"{server.url}{path}").status_code == 404, path
