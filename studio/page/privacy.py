"""Nothing leaves the machine: the browser is told so, and the server fetches nothing.

Gradio's page names a picture on the web for link previews, its bundle knows addresses of
services, and its file route can fetch a web address on a visitor's behalf. The headers
forbid the browser every request to another origin; the other two are cut off here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio compiles the templates of its HTML components in the browser.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "media-src 'self' blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "ff-visitor"
"""Tells a browser's pages from those of others: their history is nobody else's business."""
_VISITOR = re.compile(rf"(?:^|;\s*){COOKIE}=([\w-]{{22,64}})(?:;|$)")
LINK_PREVIEWS = re.compile(rb'[ \t]*<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\n?')
WEB_FETCH = re.compile(r"/(?:file|proxy|stream)=?/*https?:", re.IGNORECASE)


class PrivateResponses:
    """ASGI middleware around Gradio's application.

    Args:
        app: The application.
        host: The address that the studio listens on; on a loopback address only this machine's own
            names are answered, and ``names``.
        names: Further names that the page is reached by, behind a proxy for example.
    """

    def __init__(self, app: ASGIApp, host: str, names: Sequence[str]) -> None:
        self._app = app
        self._is_local = host in LOOPBACK
        self._names = {name.lower() for name in names}

    def _refusal(self, headers: Headers, method: str) -> str:
        """Why another web site may be behind this request; "" if none can be.

        A site may have the browser post to any address without being able to read the answer, and
        may give its own name to this machine's address (DNS rebinding). Programs send no Origin.
        """
        host = headers.get("host", "")
        name = _name_of(host)
        if self._is_local and name not in LOOPBACK and name not in self._names:
            return f"The studio is not reached as {name}: add that name to server.names."
        origin = headers.get("origin")
        if origin is None or method in ("GET", "HEAD"):
            return ""
        sender = urlsplit(origin)
        if sender.netloc == host or sender.hostname in self._names:
            return ""
        return "This request comes from another site."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif reason := self._refusal(Headers(scope=scope), scope["method"]):
            refusal = PlainTextResponse(reason, 403)
            await refusal(scope, receive, send)
        elif WEB_FETCH.search(unquote(scope["path"])):
            refusal = PlainTextResponse("The studio fetches nothing from the web.", 403)
            await refusal(scope, receive, send)
        else:
            is_page = scope["path"] == "/"
            known = visitor_of(Headers(scope=scope).get("cookie", ""))
            new = secrets.token_urlsafe(24) if is_page and not known else ""
            await self._app(scope, receive, _Guarded(send, is_page, new))


def visitor_of(cookies: str) -> str:
    """The visitor's name in a Cookie header; "" if there is none."""
    found = _VISITOR.search(cookies)
    return found.group(1) if found else ""


def _name_of(host: str) -> str:
    """``localhost`` of ``localhost:7860``, ``::1`` of ``[::1]:7860``."""
    return urlsplit(f"//{host}").hostname or ""


class _Guarded:
    """Adds the headers to a response; holds the page back until it is whole, to clean it.

    Args:
        send: Sends what comes out.
        is_page: Whether the response is the page itself.
        visitor: A name for a visitor who has none yet; "" if it is known.
    """

    def __init__(self, send: Send, is_page: bool, visitor: str) -> None:
        self._send = send
        self._is_page = is_page
        self._visitor = visitor
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if self._visitor:
                headers.append(
                    "Set-Cookie", f"{COOKIE}={self._visitor}; Path=/; HttpOnly; SameSite=Lax"
                )
            if self._is_page:
                self._start = message
            else:
                await self._send(message)
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)
        else:
            await self._send(message)

    async def _finish(self, start: Message) -> None:
        body = LINK_PREVIEWS.sub(b"", self._body)
        MutableHeaders(scope=start)["Content-Length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
