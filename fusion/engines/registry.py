"""Engines by name; an engine is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from fusion.engines.base import Engine
from fusion.request import check_choice


def _mesh() -> Engine:
    from fusion.engines.mesh import MeshEngine

    return MeshEngine()


_ENGINES: dict[str, Callable[[], Engine]] = {"mesh": _mesh}
_AUTOMATIC = "mesh"

CHOICES = ("auto", *_ENGINES)


def create_engine(choice: str) -> Engine:
    """The engine of that name; ``auto`` is the best one that can run here.

    Raises:
        OptionError: No engine has that name.
        EngineUnavailableError: The engine cannot run here.
    """
    check_choice("engine", choice, CHOICES)
    return _ENGINES[_AUTOMATIC if choice == "auto" else choice]()
