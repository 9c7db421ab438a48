from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from studio.page.privacy import COOKIE, PrivateResponses, visitor_of
from tests.studio.loops import run

PAGE = (
    b'<head>\n\t<meta property="og:title" content="Gradio" />\n'
    b'\t<meta\n\t\tname="twitter:image"\n\t\tcontent="https://raw.example/x.jpg"\n\t/>\n'
    b'<meta name="viewport" content="width=device-width" />\n</head>'
)
KNOWN = "k" * 32


def get(
    path: str,
    body: bytes = PAGE,
    cookie: str = "",
    host: str = "127.0.0.1:7860",
    origin: str = "",
    method: str = "GET",
) -> tuple[int, dict[str, str], bytes]:
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

    asked = [(b"host", host.encode())]
    if cookie:
        asked.append((b"cookie", cookie.encode()))
    if origin:
        asked.append((b"origin", origin.encode()))
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": asked}
    run(PrivateResponses(application, "127.0.0.1", ["studio.example"])(scope, receive, send))
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


def test_a_new_visitor_gets_a_name_that_scripts_cannot_read() -> None:
    cookies = [get("/")[1]["set-cookie"] for _ in range(2)]
    names = [visitor_of(cookie.partition(";")[0]) for cookie in cookies]
    assert all(len(name) >= 22 for name in names)
    assert names[0] != names[1]
    attributes = [part.strip() for part in cookies[0].split(";")[1:]]
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]  # kept until the browser ends


def test_a_known_visitor_keeps_the_name() -> None:
    assert "set-cookie" not in get("/", cookie=f"a=1; {COOKIE}={KNOWN}; b=2")[1]
    assert "set-cookie" in get("/", cookie=f"x{COOKIE}={KNOWN}")[1]
    assert "set-cookie" not in get("/theme.css")[1]  # the page alone makes visitors


@pytest.mark.parametrize(
    ("cookies", "name"),
    [
        (f"{COOKIE}={KNOWN}", KNOWN),
        (f"a=1; {COOKIE}={KNOWN}", KNOWN),
        (f"a=1;{COOKIE}={KNOWN};b=2", KNOWN),
        (f"{COOKIE}={KNOWN[:21]}", ""),
        (f"{COOKIE}={KNOWN * 3}", ""),
        (f"{COOKIE}={KNOWN} x", ""),
        (f"my-{COOKIE}={KNOWN}", ""),
        (f"{COOKIE}={'../' * 10}", ""),
        ("", ""),
    ],
)
def test_only_names_that_were_given_out_are_read(cookies: str, name: str) -> None:
    assert visitor_of(cookies) == name


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:7860", "http://127.0.0.1:7860"),
        ("localhost:7860", ""),  # programs name no origin
        ("[::1]:7860", "http://[::1]:7860"),
        ("studio.example", "https://studio.example"),
        ("127.0.0.1:7860", "https://studio.example"),  # a proxy that passes its own name
    ],
)
def test_the_page_and_programs_may_ask(host: str, origin: str) -> None:
    assert get("/gradio_api/upload", host=host, origin=origin, method="POST")[0] == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:7860", "https://elsewhere.example"),
        ("127.0.0.1:7860", "http://127.0.0.1:8000"),  # another program's page
        ("127.0.0.1:7860", "null"),
        ("elsewhere.example:7860", "http://elsewhere.example:7860"),  # DNS rebinding
        ("", ""),
    ],
)
def test_no_other_site_has_a_browser_ask(host: str, origin: str) -> None:
    status, _, body = get("/gradio_api/upload", host=host, origin=origin, method="POST")
    assert status == 403
    assert PAGE not in body


def test_a_page_of_another_name_is_told_where_to_add_it() -> None:
    status, _, body = get("/", host="photos.example:7860")
    assert status == 403
    assert b"photos.example" in body
    assert b"server.names" in body
