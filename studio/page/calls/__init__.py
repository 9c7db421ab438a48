"""The calls that the browser makes: functions of the server that take and answer plain data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import gradio as gr
from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import OptionError, StudioError
from studio.page.messages import advice, for_page
from studio.page.privacy import visitor_of
from studio.page.visits import Visit, Visits

Data = dict[str, Any]
Model = TypeVar("Model", bound="Asked")


class Area(Protocol):
    """Calls that belong together: methods (visit, data) -> data, some of them ``async``."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that the browser may call."""
        ...


class Asked(BaseModel):
    """What a call is given; anything that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read(model: type[Model], data: Data) -> Model:
    """What the browser sent, checked.

    Raises:
        OptionError: It is something else than the page sends.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise OptionError(f"{name or 'the call'}: {first['msg'].lower()}") from error


def error_answer(error: StudioError, storage: Path) -> Data:
    """An error as the page shows it."""
    return {"code": error.code, "text": for_page(error, storage), "advice": advice(error)}


def server_functions(
    areas: Sequence[Area], visits: Visits, storage: Path
) -> list[Callable[..., Any]]:
    """Gradio's server functions for all calls.

    Each answers ``{"answer": ...}`` or ``{"error": {"code", "text", "advice"}}``.

    Args:
        visits: Who calls.
        storage: The folder of uploads and results; no error tells where it is.
    """
    methods = {name: getattr(area, name) for area in areas for name in area.names}
    return [_function(name, method, visits, storage) for name, method in methods.items()]


def _function(
    name: str, method: Callable[[Visit, Data], Any], visits: Visits, storage: Path
) -> Callable[..., Any]:
    def visit_of(data: Any, request: gr.Request) -> tuple[Visit, Data]:
        tab = data.get("tab") if isinstance(data, dict) else None
        if not isinstance(tab, str) or not 8 <= len(tab) <= 64:
            raise OptionError("the call does not say from which page it comes")
        rest = {key: value for key, value in data.items() if key != "tab"}
        return visits.find(visitor_of(request.headers.get("cookie", "")) or tab, tab), rest

    def call(data: Any, request: gr.Request) -> Data:
        try:
            visit, rest = visit_of(data, request)
            with visit.attended():
                return {"answer": method(visit, rest)}
        except StudioError as error:
            return {"error": error_answer(error, storage)}

    async def call_async(data: Any, request: gr.Request) -> Data:
        try:
            visit, rest = visit_of(data, request)
            with visit.attended():
                return {"answer": await method(visit, rest)}
        except StudioError as error:
            return {"error": error_answer(error, storage)}

    chosen: Callable[..., Any] = call_async if inspect.iscoroutinefunction(method) else call
    chosen.__name__ = name
    # Gradio finds the request by the parameter's type, which it must be able to read.
    chosen.__annotations__ = {"data": Any, "request": gr.Request, "return": dict}
    return chosen
