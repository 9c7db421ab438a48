"""The command line: one line of JSON on stdout, or one on stderr and an exit code.

Exit codes: 0 done, 2 bad input or option, 3 no usable face, 4 engine or model unavailable,
5 timed out or cancelled, 6 out of memory or disk.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from common.errors import CancelledError, OptionError, StudioError
from common.progress import Progress
from studio import options
from studio.model_commands import models

if TYPE_CHECKING:
    from common.settings import ModelScopeSettings, Settings
    from fusion.engines.base import Capabilities
    from fusion.request import FusionRequest, Network

# Settings (pydantic), numpy, OpenCV and libvips are imported inside the commands, so that --help
# and a wrong option answer at once.

_PROGRAM = "./run.sh"
Report = dict[str, Any]
"""What a command answers, printed as one line of JSON."""


@click.group()
def commands() -> None:
    """Fuse a source face into a target photograph at the photograph's own resolution.

    Defaults come from config.yaml and STUDIO_ variables.
    """


commands.add_command(models)


@commands.command()
@options.FILES
@options.BLEND
@options.NETWORK
@options.SELECTION
@options.OUTPUT
@options.FINISH
@options.DETECTION
@options.MACHINE
def fuse(target: Path, sources: tuple[Path, ...], output: Path, **wishes: Any) -> Report:
    """Fuse the source's face into the target and write the output file."""
    from common.settings import load_settings

    settings = load_settings()
    _look_at_headers((target, *sources), settings)
    from fusion.engines.registry import create_engine
    from fusion.pipeline import build_pipeline

    request = _request(target, sources, output, wishes, settings)
    chosen = create_engine(_given(wishes["engine"], settings.fusion.engine), settings)
    request = _for_engine(request, wishes, chosen.capabilities)
    with _stoppable() as progress:
        result = build_pipeline(settings).run(request, chosen, progress)
    return result.as_dict()


def _network(wishes: dict[str, Any], own: ModelScopeSettings) -> Network:
    """The options of neural engines; the settings say what was left to them."""
    from fusion.engines.registry import network_settings

    default = network_settings(own, wishes["composite"])
    return replace(
        default,
        boost=_automatic("boost", wishes["boost"], int, default.boost),
        enhance=_automatic("enhance", wishes["enhance"], float, default.enhance),
    )


def _for_engine(
    request: FusionRequest, wishes: dict[str, Any], engine: Capabilities
) -> FusionRequest:
    """The request without what its engine does not have; what was asked for it must have.

    Raises:
        OptionError: An option of neural engines is given for another one.
    """
    if engine.composites:
        return request
    for name in ("composite", "boost", "enhance"):
        if wishes[name] is not None:
            raise OptionError(
                f"--{name} is for engine modelscope, and this would be engine {engine.name}; "
                "leave it out, or use --engine modelscope"
            )
    from fusion.request import Network

    return replace(request, blend=replace(request.blend, network=Network()))


def _automatic(
    name: str, text: str | None, number: Callable[[str], Any], default: float | None
) -> Any:
    """The number that an option says; None for auto, ``default`` where nothing was said."""
    if text is None:
        return default
    if text.strip().lower() == "auto":
        return None
    try:
        return number(text)
    except ValueError as error:
        accepted = "1, 2 or 4" if name == "boost" else "a number from 0 to 1"
        raise OptionError(f"{name} {text!r} is not known; use auto or {accepted}") from error


def _request(
    target: Path,
    sources: tuple[Path, ...],
    output: Path,
    wishes: dict[str, Any],
    settings: Settings,
) -> FusionRequest:
    """The options as a request; the settings say what was left to them."""
    from fusion import request as ask
    from preprocess.resolution import Resolution

    def chosen(group: Any, *names: str) -> dict[str, Any]:
        return {name: _given(wishes[name], getattr(group, name)) for name in names}

    finish = ("smooth", "brightness", "contrast", "saturation", "sharpen", "scope")
    return ask.FusionRequest(
        target=target,
        sources=sources,
        output=ask.Output(
            output,
            Resolution.parse(wishes["resolution"]),
            wishes["fit"],
            _given(wishes["quality"], settings.output.quality),
            _given(wishes["jpeg_graft"], settings.output.jpeg_graft),
        ),
        blend=ask.Blend(
            **chosen(settings.fusion, "ratio", "mode", "shape", "expression", "keep_glasses"),
            network=_network(wishes, settings.modelscope),
        ),
        finish=ask.Finish(**{name: wishes[name] for name in finish}),
        faces=ask.FaceSelection.parse(wishes["faces"]),
        detection=ask.Detection(**chosen(settings.detection, "threshold", "min_face")),
        max_memory_mb=_given(wishes["max_memory_mb"], settings.limits.max_memory_mb),
    )


@commands.command()
@click.argument("image", type=options.FILE)
@options.DETECTION
def detect(image: Path, threshold: float | None, min_face: int | None) -> Report:
    """List the faces of a picture, the largest first."""
    from common.settings import load_settings

    settings = load_settings()
    _look_at_headers((image,), settings)
    from fusion.pipeline import build_pipeline, detection_report
    from fusion.request import Detection

    detection = Detection(
        _given(threshold, settings.detection.threshold),
        _given(min_face, settings.detection.min_face),
    )
    with _stoppable() as progress:
        picture, found = build_pipeline(settings).detect(image, detection, progress)
    return detection_report(picture, found, progress)


def _start() -> int:
    """`main` for a process that ends with it, without collecting what is never garbage.

    What the libraries make while they are loaded stays until the end, where the collector would
    look through it twice more: together a tenth of a short command's time.
    """
    gc.disable()
    for number in _signals():
        signal.signal(number, _end_early)
    code = main()
    gc.freeze()
    return code


def main(arguments: list[str] | None = None) -> int:
    """Run a command; answers the exit code."""
    return _reported(lambda: commands.main(arguments, _PROGRAM, standalone_mode=False))


def _reported(command: Callable[[], Any]) -> int:
    """Run ``command`` and print the report that it answers; its exit code.

    An expected error becomes a JSON line on stderr.
    """
    failure: StudioError
    try:
        answer = command()
    except StudioError as error:
        failure = error
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return OptionError.exit_code
    except click.UsageError as error:
        accepted = f"{error.ctx.command_path if error.ctx else _PROGRAM} --help"
        failure = OptionError(f"{error.format_message()} {accepted} lists what is accepted.")
    except click.ClickException as error:
        failure = OptionError(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        failure = CancelledError("the command was interrupted")
    else:
        if isinstance(answer, dict):
            _print_line(answer, sys.stdout)
        return answer if isinstance(answer, int) else 0
    _print_line(failure.as_dict(), sys.stderr)
    return failure.exit_code


def _look_at_headers(files: tuple[Path, ...], settings: Settings) -> None:
    """Refuse what a header tells is unusable before the large libraries are loaded."""
    from preprocess.image_source import read_header

    for file in files:
        read_header(file, settings.limits.max_megapixels)


@contextmanager
def _stoppable() -> Iterator[Progress]:
    """A progress that Ctrl-C, SIGTERM or a closed terminal cancels: nothing half-written stays."""
    gc.enable()  # see `_start`
    progress = Progress()
    previous = {
        number: signal.signal(number, lambda *_: progress.cancel()) for number in _signals()
    }
    try:
        yield progress
    finally:
        for number, handler in previous.items():
            # What is done is done: a signal must not turn a complete result into a failure.
            done = handler is _end_early
            signal.signal(number, signal.SIG_IGN if done else handler)


def _signals() -> list[signal.Signals]:
    """Ctrl-C, a polite end and a closed terminal, unless nohup made one of them harmless."""
    return [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]


def _end_early(*_: object) -> None:
    """Before there is anything to cancel. (click would print a line of its own for Ctrl-C.)"""
    raise CancelledError("the command was interrupted")


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _print_line(report: dict[str, Any], stream: TextIO) -> None:
    line = json.dumps(report, ensure_ascii=False)
    try:
        line.encode(stream.encoding)
    except UnicodeEncodeError:  # a file name that is no text, or a terminal that is not UTF-8
        line = json.dumps(report)
    stream.write(line + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(_start())
