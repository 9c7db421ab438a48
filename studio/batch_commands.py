"""`./run.sh batch`: many fusions with the same options, which can be interrupted and goes on."""

from __future__ import annotations

import glob
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.errors import FileMissingError, OptionError
from studio import options
from studio.stopping import stoppable
from studio.wishes import given, look_at_headers, request

if TYPE_CHECKING:
    from studio.batch_work import Piece

_PICTURES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".gif"),
)
_MAGIC = frozenset("*?[")
_PLACES = ("stem", "source")


@dataclass(frozen=True, slots=True)
class Finished:
    """A report for the one line of JSON, and the exit code that goes with it."""

    report: dict[str, Any]
    exit_code: int


BATCH = options.group(
    click.option(
        "--source",
        "sources",
        type=options.FILE,
        multiple=True,
        help="Picture whose face is taken for all targets; repeated: views of one person.",
    ),
    click.option(
        "--targets",
        multiple=True,
        help="A photograph; a folder, for all pictures in it; or a pattern such as 'dir/*.jpg'. "
        "May be repeated.",
    ),
    click.option(
        "--pairs",
        type=options.FILE,
        help="Instead of both: a table (CSV) with the columns target and source; its paths count "
        "from its own folder.",
    ),
    click.option("--out-dir", type=options.FILE, required=True, help="Folder to write to."),
    click.option(
        "--format",
        "file_format",
        default="same",
        help="same: each target's own (GIF becomes PNG); or jpeg, png, webp, tiff, avif, heic "
        "[same].",
    ),
    click.option(
        "--name",
        default="{stem}-fused",
        help="How outputs are called, before the suffix; {stem} stands for the target's name and "
        "{source} for the source's [{stem}-fused].",
    ),
)


@click.command()
@BATCH
@options.BLEND
@options.NETWORK
@options.SELECTION
@options.OUTPUT
@options.FINISH
@options.DETECTION
@options.MACHINE
@click.argument("more", nargs=-1)
def batch(
    sources: tuple[Path, ...],
    targets: tuple[str, ...],
    pairs: Path | None,
    out_dir: Path,
    more: tuple[str, ...],
    **wishes: Any,
) -> Finished:
    """Fuse many photographs; started again, it goes on where it was interrupted.

    A table and a JSON report in the output folder say what became of each. The exit code is 0 if
    all are done, else that of the worst failure.
    """
    from common.settings import load_settings
    from fusion.request import check_choice
    from studio.service.controls import FORMATS

    settings = load_settings()
    pieces = _pieces(sources, (*targets, *more), pairs)
    _check_name(wishes["name"])
    check_choice("format", wishes["file_format"], FORMATS)
    request(pieces[0].target, pieces[0].sources, Path("any.jpg"), wishes, settings)
    look_at_headers(sources, settings)
    from fusion.engines.registry import create_engine
    from studio.batch_folder import batch_folder
    from studio.batch_work import Work, plan

    engine = create_engine(given(wishes["engine"], settings.fusion.engine), settings)
    with stoppable() as progress, batch_folder(out_dir.absolute()) as folder:
        tasks = plan(pieces, folder, wishes, settings, engine.capabilities)
        work = Work(tasks, folder, engine, settings, progress)
        return Finished(*work.run(needed=sources))


def _pieces(sources: tuple[Path, ...], targets: Sequence[str], pairs: Path | None) -> list[Piece]:
    """Targets and their sources, in order, without repetition.

    Raises:
        OptionError: Neither or both ways to name them are used.
        InputError: A file is missing, or the table cannot be read.
    """
    from studio.batch_work import Piece

    if pairs is not None:
        if sources or targets:
            raise OptionError("--pairs names the sources and the targets; leave out the others")
        from studio.service.pairs import read_pairs

        try:
            data = pairs.read_bytes()
        except OSError as error:
            raise FileMissingError(
                f"{pairs} cannot be read: {error.strerror or error}; name a table of pairs"
            ) from error
        named = read_pairs(data, str(pairs))
        here = pairs.absolute().parent
        found = [Piece(here / pair.target, (here / pair.source,)) for pair in named]
    elif not sources or not targets:
        raise OptionError("a batch needs --source and --targets, or a table with --pairs")
    else:
        absolute = tuple(source.absolute() for source in sources)
        found = [Piece(file.absolute(), absolute) for text in targets for file in _expanded(text)]
    return list(dict.fromkeys(found))


def _expanded(text: str) -> list[Path]:
    """The files that an argument names: itself, a folder's pictures, or a pattern's matches.

    Raises:
        FileMissingError: There are none.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix.lower() in _PICTURES]
    elif path.exists() or not _MAGIC & set(text):
        return [path]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
    files = sorted(file for file in found if file.is_file() and not file.name.startswith("."))
    if not files:
        what = "holds no pictures" if path.is_dir() else "matches no file"
        raise FileMissingError(f"{text} {what}; name photographs, a folder or a pattern")
    return files


def _check_name(name: str) -> None:
    """Refuse a pattern for names that would not do.

    Raises:
        OptionError: It names no target, something unknown or a folder.
    """
    accepted = "use {stem} for the target's name and {source} for the source's"
    try:
        parts = [part[1:] for part in string.Formatter().parse(name) if part[1] is not None]
    except ValueError as error:
        raise OptionError(f"name {name!r} is not understood; {accepted}") from error
    if not {("stem", "", None)} <= set(parts) <= {(place, "", None) for place in _PLACES}:
        raise OptionError(f"name {name!r} is not understood; {accepted}")
    if "/" in name or "\\" in name or name.startswith("."):
        raise OptionError(f"name {name!r} is not a plain file name; --out-dir says the folder")
