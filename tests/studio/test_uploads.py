import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from studio.page.uploads import AROUND_FILE, KEPT_FREE, BoundedUploads
from tests.studio.loops import run

LIMIT = 3_000_000
Usage = namedtuple("Usage", ["total", "used", "free"])


class Application:
    """Answers 200 and says how often it was asked; perhaps asks something else meanwhile."""

    def __init__(self) -> None:
        self.asked = 0
        self.meanwhile: Any = None

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.asked += 1
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def bounded(application: Application, tmp_path: Path) -> BoundedUploads:
    return BoundedUploads(application, LIMIT, tmp_path)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The free bytes of the disk, as the one element."""
    value = [10 * KEPT_FREE]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, value[0]))
    return value


async def post(
    bounded: BoundedUploads, length: str | None, path: str = "/gradio_api/upload"
) -> int:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("a refused upload must not be read")

    headers = [] if length is None else [(b"content-length", length.encode())]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    await bounded(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (str(LIMIT), 200),
        (str(LIMIT + AROUND_FILE), 200),
        (str(LIMIT + AROUND_FILE + 1), 413),
        ("9" * 30, 413),
        (None, 411),
        ("", 411),
        ("-5", 411),
        ("many", 411),
    ],
)
@pytest.mark.usefixtures("free")
def test_a_request_is_bounded(
    bounded: BoundedUploads, application: Application, length: str | None, status: int
) -> None:
    assert run(post(bounded, length)) == status
    assert application.asked == (status == 200)


@pytest.mark.usefixtures("free")
def test_a_slash_is_no_way_around(bounded: BoundedUploads) -> None:
    assert run(post(bounded, "9999999", "/gradio_api/upload/")) == 413


def test_the_disk_is_not_filled(bounded: BoundedUploads, free: list[int]) -> None:
    free[0] = KEPT_FREE + 1000
    assert run(post(bounded, "1000")) == 200
    assert run(post(bounded, "1001")) == 507


def test_uploads_on_their_way_count(
    bounded: BoundedUploads, application: Application, free: list[int]
) -> None:
    free[0] = KEPT_FREE + 1500
    second: list[int] = []

    async def meanwhile() -> None:
        second.append(await post(bounded, "1000"))

    application.meanwhile = meanwhile
    assert run(post(bounded, "1000")) == 200
    assert second == [507]
    assert run(post(bounded, "1000")) == 200  # the first is through


@pytest.mark.usefixtures("free")
def test_everything_else_passes(bounded: BoundedUploads) -> None:
    assert run(post(bounded, None, "/gradio_api/queue/join")) == 200
