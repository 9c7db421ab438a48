"""The engines behind the page: each is loaded when it is first asked for, and kept.

What they import would keep the page from answering for a second, so it is imported here on use.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import EngineUnavailableError
from common.settings import Settings

if TYPE_CHECKING:
    from fusion.engines.base import Engine
    from fusion.engines.registry import Choice
    from fusion.engines.unet.devices import Gpu


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The engine that fusions use, and the machine's GPUs.

    problem: why it cannot run; None if it can, as far as is known before it is loaded.
    """

    choice: Choice
    problem: EngineUnavailableError | None
    gpus: tuple[Gpu, ...]


class Engines:
    """One engine of each name at most; thread-safe.

    Args:
        settings: The program's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._choices: dict[str, Choice] = {}
        self._engines: dict[str, Engine] = {}

    def choice(self, wanted: str) -> Choice:
        """Which engine ``wanted`` (``auto`` too) stands for; decided once.

        Raises:
            OptionError: No engine has that name.
        """
        from fusion.engines.registry import choose_engine

        with self._lock:
            if wanted not in self._choices:
                self._choices[wanted] = choose_engine(wanted, self._settings)
            return self._choices[wanted]

    def get(self, wanted: str) -> Engine:
        """That engine, ready to be asked.

        Raises:
            OptionError: No engine has that name.
            EngineUnavailableError: It cannot run here; the message says what to install.
        """
        from fusion.engines.registry import create_engine

        choice, usual = self.choice(wanted), self.choice("auto")
        if usual.engine == choice.engine:
            choice = usual  # its sentence says more than that it was asked for
        with self._lock:
            if choice.engine not in self._engines:
                self._engines[choice.engine] = create_engine(choice, self._settings)
            return self._engines[choice.engine]

    def status(self, wanted: str) -> EngineStatus:
        """Which engine ``wanted`` stands for and whether it can run; how busy the GPUs are now.

        Raises:
            OptionError: No engine has that name.
        """
        from fusion.engines.registry import require_engine
        from fusion.engines.unet.devices import gpu_status

        choice = self.choice(wanted)
        problem = None
        try:
            require_engine(choice.engine, self._settings)
        except EngineUnavailableError as error:
            problem = error
        return EngineStatus(choice, problem, gpu_status())

    def close(self) -> None:
        """The engines give up their memory and devices."""
        with self._lock:
            for engine in self._engines.values():
                engine.close()
