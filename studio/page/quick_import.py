"""Import Gradio in a third of the time.

While Gradio 6 is imported it parses the source of every component of its own to keep editor
stubs beside them up to date: as long as all the rest of the import, and a write into the
installed package. It leaves out classes whose file cannot be told, which is what it hears here.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STUB_WRITER = "gradio.component_meta"


@contextmanager
def no_stub_writing() -> Iterator[None]:
    """Within it, Gradio's stub writer learns of no source file; all others do as always."""
    getfile = inspect.getfile

    def getfile_for_others(described: Any) -> str:
        if sys._getframe(1).f_globals.get("__name__") == STUB_WRITER:
            raise OSError("no stubs are written while the studio starts")
        return getfile(described)

    inspect.getfile = getfile_for_others  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = getfile


@contextmanager
def no_mcp() -> Iterator[None]:
    """Within it the package mcp is not found.

    Gradio loads all of it for a server of its own, which stays off (see
    `studio.page.assistants`): 0.9 s of each start.
    """
    before = sys.modules.get("mcp")
    sys.modules["mcp"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            del sys.modules["mcp"]
        else:
            sys.modules["mcp"] = before
