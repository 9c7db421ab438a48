"""The portraits that benchmarks run on: a folder of PERSON_ANYTHING files, and pairs of them.

The part of a file's name before the first underscore says who is shown, so that pairs of
different people can be made. Every folder that is named so will do.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.service.demo import make_demo_pair

VARIABLE = "STUDIO_FACES"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class Pair:
    """A target and a source file."""

    target: Path
    source: Path

    def __str__(self) -> str:
        return f"{self.target.stem} <- {self.source.stem}"


def add_faces_option(parser: argparse.ArgumentParser) -> None:
    """``--faces FOLDER``; its default is the variable STUDIO_FACES."""
    parser.add_argument(
        "--faces",
        type=Path,
        metavar="FOLDER",
        default=os.environ.get(VARIABLE) or None,
        help=f"portraits named PERSON_ANYTHING.jpg (default: the variable {VARIABLE})",
    )


def add_pairs_option(parser: argparse.ArgumentParser, default: str) -> None:
    """``--pairs TARGET:SOURCE ...``; the text says what is taken without it."""
    parser.add_argument(
        "--pairs",
        nargs="+",
        metavar="TARGET:SOURCE",
        help=f"beginnings of file names are enough (default: {default})",
    )


def require_folder(parser: argparse.ArgumentParser, folder: Path | None) -> Path:
    """The folder, or the parser's error that says how to name one."""
    if folder is None:
        parser.error(f"name a folder of portraits with --faces or the variable {VARIABLE}")
    if not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    return folder


def portraits(folder: Path) -> list[Path]:
    """All pictures of a folder by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def person(file: Path) -> str:
    """Who is shown: the name before the first underscore."""
    return file.stem.split("_")[0]


def find(folder: Path, name: str) -> Path:
    """The one picture whose name begins with ``name``.

    Raises:
        SystemExit: There is none, or there are several.
    """
    found = [file for file in portraits(folder) if file.stem.startswith(name)]
    exact = [file for file in found if file.stem == name]
    if len(exact or found) != 1:
        names = ", ".join(file.stem for file in found) or "none"
        raise SystemExit(f"{name!r} should be the beginning of one picture in {folder}: {names}")
    return (exact or found)[0]


def parse_pairs(folder: Path, texts: Sequence[str]) -> list[Pair]:
    """Pairs from ``TARGET:SOURCE`` texts.

    Raises:
        SystemExit: A text has another form or names no picture.
    """
    pairs = []
    for text in texts:
        target, colon, source = text.partition(":")
        if not (target and colon and source):
            raise SystemExit(f"{text!r} is not a pair; write TARGET:SOURCE")
        pairs.append(Pair(find(folder, target), find(folder, source)))
    return pairs


def pairs_of_people(files: Sequence[Path]) -> list[Pair]:
    """All ordered pairs of pictures that show different people."""
    return [Pair(t, s) for t in files for s in files if person(t) != person(s)]


def one_of_each(files: Sequence[Path]) -> list[Path]:
    """The first picture of every person."""
    first: dict[str, Path] = {}
    for file in files:
        first.setdefault(person(file), file)
    return list(first.values())


def demo_portraits(folder: Path) -> tuple[Path, Path]:
    """The demo pair (target, source) as files that are named like portraits."""
    made = make_demo_pair(folder)
    named = (folder / "a_astronaut.jpg", folder / "b_second.jpg")
    for file, name in zip(made, named, strict=True):
        file.rename(name)
    return named
