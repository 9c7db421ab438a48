"""The command line: one line of JSON on stdout, or one on stderr and an exit code.

Exit codes: 0 done, 2 bad input or option, 3 no usable face, 4 engine or model unavailable,
5 timed out or cancelled, 6 out of memory or disk.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import click

from common.errors import CancelledError, OptionError, StudioError
from studio import options
from studio.batch_commands import Finished, batch
from studio.model_commands import models
from studio.stopping import end_early, signals, stoppable
from studio.wishes import for_engine, given, look_at_headers, request

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
commands.add_command(batch)


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
    look_at_headers((target, *sources), settings)
    from fusion.engines.registry import create_engine
    from fusion.pipeline import build_pipeline

    wanted = request(target, sources, output, wishes, settings)
    chosen = create_engine(given(wishes["engine"], settings.fusion.engine), settings)
    wanted = for_engine(wanted, wishes, chosen.capabilities)
    with stoppable() as progress:
        result = build_pipeline(settings).run(wanted, chosen, progress)
    return result.as_dict()


@commands.command()
@click.argument("image", type=options.FILE)
@options.DETECTION
def detect(image: Path, threshold: float | None, min_face: int | None) -> Report:
    """List the faces of a picture, the largest first."""
    from common.settings import load_settings

    settings = load_settings()
    look_at_headers((image,), settings)
    from fusion.pipeline import build_pipeline, detection_report
    from fusion.request import Detection

    detection = Detection(
        given(threshold, settings.detection.threshold),
        given(min_face, settings.detection.min_face),
    )
    with stoppable() as progress:
        picture, found = build_pipeline(settings).detect(image, detection, progress)
    return detection_report(picture, found, progress)


def _start() -> int:
    """`main` for a process that ends with it, without collecting what is never garbage.

    What the libraries make while they are loaded stays until the end, where the collector would
    look through it twice more: together a tenth of a short command's time.
    """
    gc.disable()
    for number in signals():
        signal.signal(number, end_early)
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
        if isinstance(answer, Finished):
            _print_line(answer.report, sys.stdout)
            return answer.exit_code
        if isinstance(answer, dict):
            _print_line(answer, sys.stdout)
        return answer if isinstance(answer, int) else 0
    _print_line(failure.as_dict(), sys.stderr)
    return failure.exit_code


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
