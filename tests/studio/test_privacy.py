from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from studio.page.privacy import PrivateResponses
from tests.studio.loops import run

PAGE = (
    b'<head>\n\t<meta property="og:title" content="Gradio" />\n'
    b'\t<meta\n\t\tname="twitter:image"\n\t\tcontent="https://raw.example/x.jpg"\n\t/>\n'
    b'<meta name="viewport" content="width=device-width" />\n</head>'
)


def get(path: str, body: bytes = PAGE) -> tuple[int, dict[str, str], bytes]:
    """What a GET of ``path`` answers when the application answers ``body`` in two parts."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        length = str(len(body)).encode()
        headers = [(b"content-type", b"text/html"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body[:40], "more_body": True})
        await send({"type": "http.response.body", "body": body[40:]})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": []}
    run(PrivateResponses(application)(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:])


def test_the_page_loses_its_link_previews_and_nothing_else() -> None:
    status, headers, body = get("/")
    assert status == 200
    assert b"og:" not in body
    assert b"https://" not in body
    assert b'<meta name="viewport" content="width=device-width" />\n</head>' in body
    assert headers["content-length"] == str(len(body))


def test_other_answers_pass_unchanged() -> None:
    _, headers, body = get("/gradio_api/file=/tmp/x.jpg")
    assert body == PAGE
    assert headers["content-length"] == str(len(PAGE))


@pytest.mark.parametrize("path", ["/", "/theme.css"])
def test_browsers_are_told_to_stay_here(path: str) -> None:
    _, headers, _ = get(path)
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "http:" not in policy
    assert "https:" not in policy
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=https://example.org/x.jpg",
        "/gradio_api/file=http:/example.org/x.jpg",
        "/gradio_api/file=HTTPS%3A//example.org/x.jpg",
        "/gradio_api/file/https://example.org/x.jpg",
        "/gradio_api/proxy=https://example.org/x.jpg",
    ],
)
def test_the_server_fetches_nothing_for_anybody(path: str) -> None:
    status, _, body = get(path)
    assert status == 403
    assert PAGE not in body
