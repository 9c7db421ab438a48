"""Uploads that are too large, or that the disk has no room for, are refused unread.

Gradio's route limits each file, but takes a thousand of them in one request.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ROUTE = "/gradio_api/upload"
AROUND_FILE = 64 * 1024  # bytes that a request may have besides the file
MOST_BODY = 16_000_000  # bytes of a request that is no upload
KEPT_FREE = 1_000_000_000  # bytes of the disk that uploads leave to everything else


class BoundedUploads:
    """ASGI middleware around Gradio's application.

    Args:
        app: The application.
        max_bytes: The largest file.
        folder: Where uploads are kept.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, folder: Path) -> None:
        self._app = app
        self._most = max_bytes + AROUND_FILE
        self._folder = folder
        self._coming = 0  # bytes of the uploads that are being received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        text = Headers(scope=scope).get("content-length", "")
        length = int(text) if text.isascii() and text.isdecimal() else 0
        is_upload = scope["path"].rstrip("/") == ROUTE
        refusal = self._refusal(length) if is_upload else _refusal_of_body(length)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if not is_upload:
            await self._app(scope, receive, send)
            return
        self._coming += length
        try:
            await self._app(scope, receive, send)
        finally:
            self._coming -= length

    def _refusal(self, length: int) -> PlainTextResponse | None:
        if not length:
            return PlainTextResponse("An upload must say how large it is.", 411)
        if length > self._most:
            return PlainTextResponse("The upload is too large.", 413)
        if shutil.disk_usage(self._folder).free < KEPT_FREE + self._coming + length:
            return PlainTextResponse("The studio has no room for the upload.", 507)
        return None


def _refusal_of_body(length: int) -> PlainTextResponse | None:
    """Other requests are read into memory whole."""
    if length > MOST_BODY:
        return PlainTextResponse("The request is too large.", 413)
    return None
