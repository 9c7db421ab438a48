"""The studio as tools for assistants, by the Model Context Protocol at `/mcp`.

Served only if ``server.mcp`` says so. Gradio has such a server as well, but it puts the whole
result, decoded and encoded anew, into its answer, keeps working for a client that has withdrawn,
and downloads what an address names; so this one speaks the protocol itself, by the official
package, which is loaded when it is wanted.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import logging
import mimetypes
import time
from contextlib import aclosing
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import ClosedResourceError
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import OptionError, StudioError
from studio.page.assistant_tools import INSTRUCTIONS, TOOLS
from studio.page.interface import Answer, Interface, Step, Work, follow
from studio.page.views import file_link
from studio.service.fusion_service import FusionService
from studio.service.storage import Storage, storage_errors
from studio.service.system import versions

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.types import CallToolResult, Tool

ROUTE = "/mcp"
SHOWN_PX = 1024
"""Longer side of the picture of a result that an assistant is shown."""
_SHOWN_QUALITY = 85
_LOOPBACK = ("127.0.0.1:*", "localhost:*", "[::1]:*")


def mcp_middleware(service: FusionService) -> list[Middleware]:
    """What serves assistants, around Gradio's application; nothing unless the settings say so."""
    return [Middleware(Assistants, service)] if service.settings.server.mcp else []


class Assistants:
    """ASGI middleware that answers at `ROUTE`.

    Args:
        app: The application.
        service: Does the work.
    """

    def __init__(self, app: ASGIApp, service: FusionService) -> None:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        logging.getLogger("mcp.server.streamable_http").addFilter(_is_no_farewell)
        self._app = app
        self._sessions = StreamableHTTPSessionManager(
            _server(service), security_settings=_security(service.settings.server.host)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            async with self._sessions.run():
                await self._app(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].rstrip("/") == ROUTE:
            await self._sessions.handle_request(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_no_farewell(record: logging.LogRecord) -> bool:
    """The package logs a client that goes while it is listening as an error."""
    return record.exc_info is None or not isinstance(record.exc_info[1], ClosedResourceError)


def _security(host: str) -> Any:
    """Whom a browser may speak for.

    A page on the web can give its own name the address of this machine, and would then count as
    this server's own (DNS rebinding). A server for this machine alone is called by no such name.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    try:
        alone = host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # another name
        alone = False
    origins = [f"http://{name}" for name in _LOOPBACK]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=alone,
        allowed_hosts=list(_LOOPBACK),
        allowed_origins=origins,
    )


def _server(service: FusionService) -> Server[Any, Any]:
    """The tools, as the protocol's server."""
    from mcp.server.lowlevel import Server
    from mcp.types import Tool

    server: Server[Any, Any] = Server("face-fusion-studio", versions().get("studio"), INSTRUCTIONS)
    tools = _Tools(service, server)

    async def list_tools() -> list[Tool]:
        return [
            Tool(name=name, description=told, inputSchema=schema)
            for name, (told, schema) in TOOLS.items()
        ]

    server.list_tools()(list_tools)  # type: ignore[no-untyped-call]
    server.call_tool()(tools.call)
    return server


class _Tools:
    """What the tools do.

    Args:
        service: Does the work.
        server: Knows the request that is being answered.
    """

    def __init__(self, service: FusionService, server: Server[Any, Any]) -> None:
        self._interface = Interface(service)
        self._storage = service.storage
        self._server = server

    async def call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Answer a tool; a client that withdraws the request ends its work.

        The arguments have been checked by the tool's schema. Failures are answers too: a line
        with the error's code and sentence.
        """
        from mcp.types import CallToolResult, TextContent

        try:
            given = await asyncio.to_thread(_stored, arguments, self._storage)
            if name == "system":
                return await self._shown(Answer(None, await self._interface.system()))
            asked: dict[str, Any] = {
                "fuse": self._interface.fuse,
                "detect": self._interface.detect,
                "batch": self._interface.batch,
            }
            if name not in asked:
                raise OptionError(f"there is no tool {name}; there are: {', '.join(TOOLS)}")
            return await self._shown(await self._followed(partial(asked[name], given)))
        except StudioError as error:
            told = f"{error.code}: {self._interface.say(error)}"
            return CallToolResult(content=[TextContent(type="text", text=told)], isError=True)

    async def _followed(self, work: Work) -> Answer:
        """The answer of the work, of which the client is told meanwhile if it wants to be."""
        context = self._server.request_context
        token = None if context.meta is None else context.meta.progressToken
        begun = time.monotonic()
        async with aclosing(follow(work)) as steps:
            async for step in steps:
                if isinstance(step, Answer):
                    answer = step
                elif token is not None:
                    await context.session.send_progress_notification(
                        token,
                        # It must grow, and stages begin at 0 each: so the seconds count.
                        time.monotonic() - begun,
                        message=_sentence(step),
                        related_request_id=str(context.request_id),
                    )
        return answer  # the last of them

    async def _shown(self, answer: Answer) -> CallToolResult:
        """The answer in the protocol's terms."""
        from mcp.types import CallToolResult, ImageContent, TextContent

        report = dict(answer.report)
        if answer.file is not None:
            base = str(getattr(self._server.request_context.request, "base_url", "/"))
            report["file"] = {
                "name": answer.file.name,
                "url": base + file_link(answer.file),
                "bytes": answer.file.stat().st_size,
            }
        content: list[Any] = [TextContent(type="text", text=json.dumps(report, ensure_ascii=False))]
        if answer.preview is not None:
            picture = await asyncio.to_thread(_small, answer.preview)
            content.append(ImageContent(type="image", data=picture, mimeType="image/jpeg"))
        return CallToolResult(content=content, structuredContent=report)


def _sentence(step: Step) -> str:
    if step.state == "waiting":
        return f"waiting, number {step.position} in the line" if step.position else "waiting"
    return f"{step.stage or 'running'}, {step.fraction:.0%}"


def _small(preview: Path) -> str:
    """A picture of at most `SHOWN_PX` as a JPEG in base64."""
    from PIL import Image

    encoded = io.BytesIO()
    with Image.open(preview) as picture:
        picture.thumbnail((SHOWN_PX, SHOWN_PX))
        picture.save(encoded, "JPEG", quality=_SHOWN_QUALITY)
    return base64.b64encode(encoded.getvalue()).decode("ascii")


def _stored(arguments: dict[str, Any], storage: Storage) -> dict[str, Any]:
    """The arguments with files in the place of data: URLs.

    Raises:
        OptionError: One of those is not complete.
        ResourceError: There is no room.
    """

    def file_of(value: Any) -> Any:
        if isinstance(value, list):
            return [file_of(part) for part in value]
        if not isinstance(value, str) or value[:5].lower() != "data:":
            return value
        head, _, data = value[5:].partition(",")
        kind, _, coding = head.partition(";")
        try:
            content = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if coding != "base64" or not content:
            raise OptionError(
                "a data: URL must be like data:image/jpeg;base64,... with the whole file"
            )
        path = storage.new_file(f"picture{mimetypes.guess_extension(kind) or ''}")
        with storage_errors():
            path.write_bytes(content)
        return str(path)

    return {
        name: value if name in ("controls", "faces", "threshold") else file_of(value)
        for name, value in arguments.items()
    }
