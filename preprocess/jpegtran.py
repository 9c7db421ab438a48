"""Running jpegtran (libjpeg-turbo's or IJG's): a child that ends well, by a cancel, or with us."""

from __future__ import annotations

import re
import selectors
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from common.errors import MemoryLimitError, OutputError
from common.progress import Progress

PROGRAM = "jpegtran"
PACKAGE = "libjpeg-turbo-progs"

_POLL_S = 0.05
_PIECE = 2**20

# libjpeg tells in words alone that it found no memory.
_OUT_OF_MEMORY = re.compile(rb"insufficient memory|memory limit exceeded", re.IGNORECASE)


class GraftError(OutputError):
    """The blocks of a JPEG could not be replaced; encoding all of it anew may still work."""


def find_program() -> str | None:
    """The path of jpegtran, None if it is not installed."""
    return shutil.which(PROGRAM)


class Jpegtran:
    """One run of jpegtran; a context that ends it.

    It starts working at once and waits, its work done, until its output is read from a pipe.
    A child whose reader is gone ends when it writes.
    """

    def __init__(
        self,
        path: Path,
        arguments: Sequence[str],
        source: IO[bytes],
        also: Sequence[IO[bytes]] = (),
    ) -> None:
        """Start it.

        Args:
            path: The picture's name, for errors.
            arguments: Switches; no metadata are copied.
            source: What it reads, a real file, from its start.
            also: Further real files that the arguments name by `child_name`.

        Raises:
            GraftError: It is not installed or does not start.
        """
        self._path = path
        program = find_program()
        if program is None:
            raise GraftError(
                f"the blocks of {path} cannot be replaced: {PROGRAM} is not installed (Debian's "
                f"package {PACKAGE})"
            )
        for file in (source, *also):
            file.flush()
            file.seek(0)
        # No pipe: nobody reads its words before it has ended.
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        try:
            self._child = subprocess.Popen(
                [program, "-copy", "none", *arguments],
                bufsize=0,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=self._words,
                pass_fds=[file.fileno() for file in also],
            )
        except OSError as error:
            self._words.close()
            raise GraftError(f"{program} does not start: {error.strerror}") from error

    def __enter__(self) -> Jpegtran:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()  # does nothing to a child that has been waited for
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._words.close()

    def pieces(self, progress: Progress) -> Iterator[bytes]:
        """What it writes, until it has ended well.

        Raises:
            GraftError: It failed or found the file damaged.
            MemoryLimitError: It found too little memory, or the system killed it for that.
            StoppedError: Cancelled or out of time.
        """
        stream = self._child.stdout
        if stream is None:
            raise ValueError("a child without a pipe")
        with selectors.DefaultSelector() as ready:  # select() knows no descriptor above 1023
            ready.register(stream, selectors.EVENT_READ)
            while True:
                progress.check()
                if not ready.select(_POLL_S):
                    continue
                if not (piece := stream.read(_PIECE)):
                    break
                yield piece
        status = self._child.wait()
        self._words.seek(0)
        said = self._words.read()
        if status == 0:
            return
        if status == -signal.SIGKILL or _OUT_OF_MEMORY.search(said):
            raise MemoryLimitError(
                f"the memory was not enough for {PROGRAM} on {self._path}; free some, or use a "
                "smaller picture"
            )
        reason = said.decode(errors="replace").strip() or f"it ended with {status}"
        raise GraftError(f"{PROGRAM} cannot replace the blocks of {self._path}: {reason}")


def child_name(file: IO[bytes]) -> str:
    """How a child that was given ``file`` names it; it needs no name in any folder."""
    return f"/dev/fd/{file.fileno()}"
