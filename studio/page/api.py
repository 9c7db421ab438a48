"""The named endpoints, for programs: `/fuse`, `/detect`, `/batch` and `/system`.

docs/api.md describes them with examples. They go through Gradio's queue for nothing but its
protocol: what bounds them are the studio's own queues. Every event besides them is private.
"""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.data_classes import FileData
from gradio.events import api
from gradio.state_holder import SessionState

from common.errors import OptionError, StudioError
from studio.page.interface import Interface, Step, Work, follow
from studio.page.views import file_link
from studio.service.fusion_service import FusionService

Data = dict[str, Any]
Steps = AsyncGenerator[Any, None]
"""What an endpoint sends: how far it is, again and again, and its answer as the last."""


class Page(gr.Blocks):
    """Blocks that fetch nothing from the web for a caller.

    Gradio downloads what an address in an event's arguments names, and answers a path that it does
    not like without saying why. Here the named endpoints get what was sent as it is, and check it
    themselves; to all other events an address on the web is an error.
    """

    async def preprocess_data(
        self,
        block_fn: BlockFunction,
        inputs: list[Any],
        state: SessionState | None,
        explicit_call: bool = False,
    ) -> list[Any]:
        """See `gradio.Blocks.preprocess_data`.

        Raises:
            gradio.Error: There are too many arguments, or one names a file on the web.
        """
        if block_fn.api_visibility == "public":
            wanted = block_fn.inputs
            if len(inputs) > len(wanted):
                raise _as_gradio(
                    OptionError(
                        f"/{block_fn.api_name} takes {len(wanted)} values in data, not "
                        f"{len(inputs)}; docs/api.md says which"
                    )
                )
            return [*inputs, *(getattr(block, "value", None) for block in wanted[len(inputs) :])]
        _refuse_web(inputs)
        answer: list[Any] = await super().preprocess_data(block_fn, inputs, state, explicit_call)
        return answer


def add_endpoints(service: FusionService) -> None:
    """Add the endpoints to the `Page` that is being built."""
    interface = Interface(service)

    async def fuse(
        target: FileData,
        sources: list[FileData],
        faces: str = "largest",
        controls: dict[str, Any] | None = None,
    ) -> Steps:
        """Fuse the face of the source pictures into the target photograph.

        Args:
            target: The photograph that gets another face.
            sources: One or more pictures; several are views of one person, or several people.
            faces: largest, all, target indices (0,2) or source:target pairs (1:0).
            controls: Any of the controls by name, such as {"ratio": 0.8}.
        """
        asked = {"target": target, "sources": sources, "faces": faces, "controls": controls}
        work = partial(interface.fuse, asked)
        async with aclosing(_told(work, _file_and_report, interface)) as steps:
            async for step in steps:
                yield step

    async def detect(image: FileData, threshold: float | None = None) -> Steps:
        """List the faces of a picture, the largest first.

        Args:
            image: The picture.
            threshold: Lowest detection score of a face, 0.1-0.9.
        """
        asked = {"image": image, "threshold": threshold}
        work = partial(interface.detect, asked)
        async with aclosing(_told(work, _report_alone, interface)) as steps:
            async for step in steps:
                yield step

    async def batch(
        targets: list[FileData],
        sources: list[FileData],
        faces: str = "largest",
        controls: dict[str, Any] | None = None,
    ) -> Steps:
        """Fuse the face of the source pictures into many photographs.

        Args:
            targets: The photographs, or a single ZIP file of them.
            sources: One or more pictures of the person.
            faces: largest or all: which faces of each photograph are replaced.
            controls: Any of the controls by name; they are the same for all photographs.
        """
        asked = {"targets": targets, "sources": sources, "faces": faces, "controls": controls}
        work = partial(interface.batch, asked)
        async with aclosing(_told(work, _file_and_report, interface)) as steps:
            async for step in steps:
                yield step

    async def system() -> dict[str, Any]:
        """Tell engine and device, memory, queue, models, versions and limits."""
        try:
            return await interface.system()
        except StudioError as error:
            raise _as_gradio(error, interface) from error

    _publish(fuse, "fuse", tuple[FileData, Data])
    _publish(detect, "detect", Data)
    _publish(batch, "batch", tuple[FileData, Data])
    _publish(system, "system", Data)


def _publish(endpoint: Callable[..., Any], name: str, answers: Any) -> None:
    """Add an endpoint; Gradio reads the kinds of its values from the annotations."""
    endpoint.__annotations__ = get_type_hints(endpoint) | {"return": answers}
    api(endpoint, api_name=name, concurrency_limit=None)


async def _told(
    work: Work, show: Callable[[Path | None, Data], Any], interface: Interface
) -> AsyncGenerator[Any, None]:
    """What the endpoint of this work sends.

    Args:
        show: Makes the endpoint's values of a file, or None, and a report.

    Raises:
        gradio.Error: The work failed; the title is the error's code.
    """
    try:
        async with aclosing(follow(work)) as steps:
            async for step in steps:
                if isinstance(step, Step):
                    yield show(None, step.as_dict())
                else:
                    yield show(step.file, step.report)
    except StudioError as error:
        raise _as_gradio(error, interface) from error


def _file_and_report(file: Path | None, report: Data) -> tuple[Data | None, Data]:
    return None if file is None else file_data(file), report


def _report_alone(_: Path | None, report: Data) -> Data:
    return report


def file_data(file: Path) -> Data:
    """A file as Gradio's clients know it: they download it by themselves."""
    return {
        "path": str(file),
        "url": f"/{file_link(file)}",
        "size": file.stat().st_size,
        "orig_name": file.name,
        "mime_type": mimetypes.guess_type(file.name)[0],
        "is_stream": False,
        "meta": {"_type": "gradio.FileData"},
    }


def _as_gradio(error: StudioError, interface: Interface | None = None) -> gr.Error:
    """The error as Gradio passes it on: its sentence, and its code as the title."""
    message = error.message if interface is None else interface.say(error)
    return gr.Error(message, title=error.code, print_exception=False)


def _refuse_web(value: Any) -> None:
    """Refuse what names a file on the web, however deep it lies in ``value``."""
    if isinstance(value, list):
        for part in value:
            _refuse_web(part)
    elif isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str) and path.lower().startswith(("http:", "https:")):
            raise _as_gradio(OptionError("the studio fetches nothing from the web"))
        for part in value.values():
            _refuse_web(part)
