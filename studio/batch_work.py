"""The fusions of a batch of the command line: planned, made one after the other, reported."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.errors import CancelledError, InputError, NoFaceError, OutputError, StudioError
from studio.service.batch_report import ReportLine, concerns_all, now
from studio.wishes import Options, for_engine, request

if TYPE_CHECKING:
    from common.progress import Progress
    from common.settings import Settings
    from fusion.engines.base import Capabilities, Engine
    from fusion.request import FusionRequest, FusionResult
    from studio.batch_folder import BatchFolder


@dataclass(frozen=True, slots=True)
class Piece:
    """A target, and the pictures of the person whose face it gets."""

    target: Path
    sources: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One fusion.

    line: what there is to say of it before it is made. make: what to make, or why that cannot be.
    digest: stands for all that decides what the output looks like.
    """

    line: ReportLine
    make: FusionRequest | StudioError
    digest: str = ""


def plan(
    pieces: Sequence[Piece],
    folder: BatchFolder,
    options: Options,
    settings: Settings,
    engine: Capabilities,
) -> list[Task]:
    """What is to be made.

    Raises:
        OptionError: An option is out of range, or not for this engine.
    """
    for piece in pieces:
        if folder.has_made(piece.target):
            say(f"{piece.target.name} is an output of this folder, so it is no target")
    pieces = [piece for piece in pieces if not folder.has_made(piece.target)]
    inputs = {path.resolve() for piece in pieces for path in (piece.target, *piece.sources)}
    tasks = []
    for piece in pieces:
        line = ReportLine(str(piece.target), "; ".join(str(path) for path in piece.sources))
        try:
            wanted = _name(piece, options, settings)
        except InputError as error:
            tasks.append(Task(line, error))
            continue
        line = replace(line, output=folder.name(line.target, line.source, wanted))
        output = folder.path / line.output
        if output.resolve() in inputs:
            clash = OutputError(f"the output {output} would replace a picture of the batch")
            tasks.append(Task(replace(line, output=""), clash))
            continue
        make = request(piece.target, piece.sources, output, options, settings)
        make = for_engine(make, options, engine)
        tasks.append(Task(line, make, _digest(make, engine.name)))
    return tasks


class Work:
    """Makes what was planned.

    Args:
        tasks: In the order in which they are made.
        folder: Where outputs and reports go.
        progress: Ends the work when it is cancelled.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        folder: BatchFolder,
        engine: Engine,
        settings: Settings,
        progress: Progress,
    ) -> None:
        from fusion.pipeline import build_pipeline

        self._tasks = tasks
        self._folder = folder
        self._engine = engine
        self._progress = progress
        self._pipeline = build_pipeline(settings)
        self._lines = [task.line for task in tasks]
        self._digests = {task.line.output: task.digest for task in tasks}
        self._exit_code = 0
        self._started = now()
        self._begun = time.monotonic()
        self._taken: list[float] = []

    def run(self, needed: Sequence[Path]) -> tuple[dict[str, Any], int]:
        """Make all that is not finished; what is interrupted can go on later.

        Args:
            needed: Sources without which nothing can be made; they are looked at first.

        Returns:
            The report for the one line of JSON, and the exit code that goes with it.

        Raises:
            NoFaceError: One of them shows no face.
            OutputError: The reports cannot be written.
            DiskFullError: There is no room for them.
        """
        try:
            self._look(needed)
            self._write()
            for index in range(len(self._tasks)):
                self._do(index)
        except CancelledError as error:
            self._exit_code = error.exit_code
            say("interrupted; the same command goes on from here")
        except _StoppedError:
            say("stopped: every further file would fail likewise; the same command goes on here")
        self._write(last=True)
        return self._report(), self._exit_code

    def _look(self, needed: Sequence[Path]) -> None:
        for make in (task.make for task in self._tasks if not isinstance(task.make, StudioError)):
            for source in needed:
                _, faces = self._pipeline.detect(source, make.detection, self._progress)
                if not faces:
                    raise NoFaceError(
                        f"no face was found in the source picture {source}; use a picture that "
                        "shows a face clearly, or lower the threshold"
                    )
            return  # the detection of all tasks is the same

    def _do(self, index: int) -> None:
        """One fusion, unless it is finished already.

        Raises:
            CancelledError: The work was interrupted.
            _StoppedError: It failed in a way that concerns all that follow.
        """
        self._progress.check()
        task, begun = self._tasks[index], time.monotonic()
        finished = self._folder.finished(task.line.output, task.digest)
        if finished is not None:
            self._lines[index] = finished
            self._tell(index, "finished before")
            return
        try:
            result = self._made(task.make)
        except CancelledError:
            raise
        except StudioError as error:
            self._exit_code = max(self._exit_code, error.exit_code)
            self._lines[index] = replace(
                task.line, state="failed", error=error.code, message=error.message
            )
            self._tell(index, f"failed: {error.message}")
            self._write()
            if concerns_all(error):
                raise _StoppedError from error
            return
        self._taken.append(time.monotonic() - begun)
        self._lines[index] = _done(task.line, result)
        self._tell(index, f"{task.line.output}, {result.seconds['total']:.1f} s")
        self._write()

    def _made(self, make: FusionRequest | StudioError) -> FusionResult:
        if isinstance(make, StudioError):
            raise make
        self._progress.seconds.clear()  # of the file before
        return self._pipeline.run(make, self._engine, self._progress)

    def _write(self, last: bool = False) -> None:
        about = {"started": self._started, "ended": now(), **self._counts()}
        self._folder.write(self._lines, self._digests, about, last)

    def _counts(self) -> dict[str, int]:
        states = [line.state for line in self._lines]
        return {state: states.count(state) for state in ("done", "failed", "skipped", "waiting")}

    def _report(self) -> dict[str, Any]:
        return {
            **self._counts(),
            "report": str(self._folder.report),
            "table": str(self._folder.table),
            "engine": self._engine.capabilities.name,
            "device": self._engine.capabilities.device,
            "seconds": round(time.monotonic() - self._begun, 3),
        }

    def _tell(self, index: int, what: str) -> None:
        name = Path(self._tasks[index].line.target).name
        left = len(self._tasks) - index - 1
        rest = ""
        if left and self._taken:
            seconds = left * sum(self._taken) / len(self._taken)
            rest = (
                f" (about {seconds:.0f} s left)"
                if seconds < 90
                else (f" (about {seconds / 60:.0f} min left)")
            )
        say(f"{index + 1}/{len(self._tasks)} {name}: {what}{rest}")


class _StoppedError(Exception):
    """Nothing that follows could be made."""


def say(sentence: str) -> None:
    """Tell the person who waits; stdout is the report's."""
    click.echo(f"batch: {sentence}", err=True)


def _name(piece: Piece, options: Options, settings: Settings) -> str:
    """How the output is called if nothing else is called so.

    Raises:
        InputError: The target cannot be used as a picture.
    """
    from preprocess.image_source import read_header
    from studio.service.controls import SAME, SUFFIXES

    header = read_header(piece.target, settings.limits.max_megapixels)
    kind = options["file_format"]
    stem = options["name"].format(stem=piece.target.stem, source=piece.sources[0].stem)
    return f"{stem}{SUFFIXES[header.format if kind == SAME else kind]}"


def _digest(wanted: FusionRequest, engine: str) -> str:
    values = asdict(wanted)
    del values["max_memory_mb"]
    values["output"]["path"] = wanted.output.path.suffix
    files = []
    for path in (wanted.target, *wanted.sources):
        try:
            found = path.stat()
        except OSError:  # the fusion will say so
            continue
        files.append((str(path), found.st_size, found.st_mtime_ns))
    text = json.dumps([engine, files, values], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _done(line: ReportLine, result: FusionResult) -> ReportLine:
    return replace(
        line,
        state="done",
        width=result.size.width,
        height=result.size.height,
        bytes=result.request.output.path.stat().st_size,
        engine=result.engine,
        seconds=round(result.seconds["total"], 3),
        warnings=result.warnings,
    )
