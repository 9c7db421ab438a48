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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from common.errors import CancelledError, OptionError, StudioError
from common.progress import Progress

if TYPE_CHECKING:
    from common.settings import Settings

# Settings (pydantic), numpy, OpenCV and libvips are imported inside the commands, so that --help
# and a wrong option answer at once.

_PROGRAM = "./run.sh"
_FILE = click.Path(path_type=Path)
_THRESHOLD = click.option(
    "--threshold", type=float, help="Lowest detection score of a face, 0.1-0.9 [0.5]."
)
_MIN_FACE = click.option(
    "--min-face",
    type=int,
    help="Smallest face in pixels, at least 24 [a fiftieth of the longer side].",
)


@click.group()
def commands() -> None:
    """Fuse a source face into a target photograph at the photograph's own resolution.

    Defaults come from config.yaml and STUDIO_ variables.
    """


@commands.command()
@click.option("--target", type=_FILE, required=True, help="Photograph that gets another face.")
@click.option("--source", type=_FILE, required=True, help="Picture whose face is taken.")
@click.option(
    "--output",
    type=_FILE,
    required=True,
    help="File to write; its suffix is the format: .jpg, .jpeg, .png, .webp, .tif, .tiff, .avif, "
    ".heic.",
)
@click.option(
    "--ratio", type=float, help="0 leaves the target as it is, 1 shows the source's face [0.6]."
)
@click.option("--mode", default="normal", help="How the faces are mixed: normal.")
@click.option(
    "--resolution",
    default="original",
    help="original; the longer side in pixels: 512, 1024, 2048, 4096; WIDTHxHEIGHT; or auto, "
    "which chooses by the faces and the free memory.",
)
@click.option(
    "--fit",
    default="keep",
    help="keep: the target's aspect ratio, inside the size; pad: exactly the size, with a "
    "mirrored border; crop: exactly the size, cut around the faces.",
)
@click.option(
    "--faces",
    default="largest",
    help="Target faces: largest, all, indices (0,2) or source:target pairs (1:0).",
)
@click.option("--engine", help="auto or mesh [auto].")
@_THRESHOLD
@_MIN_FACE
@click.option(
    "--quality",
    type=int,
    help="Quality of JPEG, WebP, AVIF and HEIC, 1-100 [that of a JPEG target, else 95].",
)
@click.option(
    "--jpeg-graft",
    help="Replace only the blocks under the face of a JPEG: auto, always or never [auto].",
)
@click.option(
    "--max-memory-mb",
    type=int,
    help="MiB that the fusion may hold in all its processes, at least 300 [what is free].",
)
def fuse(  # noqa: PLR0913 - one parameter for each option of the command line's contract
    target: Path,
    source: Path,
    output: Path,
    ratio: float | None,
    mode: str,
    resolution: str,
    fit: str,
    faces: str,
    engine: str | None,
    threshold: float | None,
    min_face: int | None,
    quality: int | None,
    jpeg_graft: str | None,
    max_memory_mb: int | None,
) -> None:
    """Fuse the source's face into the target and write the output file."""
    from common.settings import load_settings

    settings = load_settings()
    _look_at_headers((target, source), settings)
    from fusion import request as ask
    from fusion.engines.registry import create_engine
    from fusion.pipeline import build_pipeline
    from preprocess.resolution import Resolution

    request = ask.FusionRequest(
        target=target,
        source=source,
        output=ask.Output(
            output,
            Resolution.parse(resolution),
            fit,
            _given(quality, settings.output.quality),
            _given(jpeg_graft, settings.output.jpeg_graft),
        ),
        blend=ask.Blend(_given(ratio, settings.fusion.ratio), mode),
        faces=ask.FaceSelection.parse(faces),
        detection=ask.Detection(
            _given(threshold, settings.detection.threshold),
            _given(min_face, settings.detection.min_face),
        ),
        max_memory_mb=_given(max_memory_mb, settings.limits.max_memory_mb),
    )
    chosen = create_engine(_given(engine, settings.fusion.engine))
    with _stoppable() as progress:
        result = build_pipeline(settings).run(request, chosen, progress)
    _print_line(result.as_dict(), sys.stdout)


@commands.command()
@click.argument("image", type=_FILE)
@_THRESHOLD
@_MIN_FACE
def detect(image: Path, threshold: float | None, min_face: int | None) -> None:
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
    _print_line(detection_report(picture, found, progress), sys.stdout)


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
    """Run ``command``; an expected error becomes a JSON line on stderr and its exit code."""
    failure: StudioError
    try:
        code = command()
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
        return code if isinstance(code, int) else 0
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
