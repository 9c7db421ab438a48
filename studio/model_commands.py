"""`./run.sh models`: the files of the networks, the small ones and ModelScope's.

Each command answers a report for the one line of JSON; what a person reads goes to stderr.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.errors import ModelMissingError

if TYPE_CHECKING:
    from common.settings import Settings

Report = dict[str, Any]
WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a network.

    path: None where no folder for it is known. state: `WHOLE`, or what is wrong, such as 'is
    missing'. engines: those that need it.
    """

    name: str
    path: Path | None
    state: str
    purpose: str
    engines: tuple[str, ...]

    def as_dict(self) -> Report:
        there = self.path is not None and self.path.is_file()
        return {
            "file": self.name,
            "path": None if self.path is None else str(self.path),
            "bytes": self.path.stat().st_size if self.path is not None and there else None,
            "state": self.state,
            "purpose": self.purpose,
            "engines": list(self.engines),
        }


@click.group()
def models() -> None:
    """Download, verify or list the files of the networks."""


@models.command()
def download() -> Report:
    """Download the files of engine modelscope; those that are whole are not fetched again."""
    from common.settings import load_settings
    from fusion.engines.unet import weights

    wanted = load_settings().modelscope
    folder = weights.download(wanted, _say)
    return {
        "model": wanted.model,
        "revision": wanted.revision,
        "folder": str(folder),
        "files": [file.name for file in weights.WEIGHT_FILES],
    }


@models.command()
@click.option(
    "--deep",
    is_flag=True,
    help="Also build ModelScope's networks from their files; takes 2 GB of memory.",
)
def verify(deep: bool) -> Report:
    """Check that every file of the networks is whole; exit code 4 if one is not."""
    from common.settings import load_settings

    settings = load_settings()
    files = [*_face_models(settings), *_weights(settings, deep)]
    wrong = [file for file in files if file.state != WHOLE]
    if wrong:
        told = "; ".join(f"{file.path or file.name} {file.state}" for file in wrong)
        raise ModelMissingError(f"{told}; {_remedies(wrong)}")
    _say(f"all {len(files)} files are whole")
    return {"deep": deep, "files": [file.as_dict() for file in files]}


@models.command("list")
def list_files() -> Report:
    """List every file of the networks: what it is for, where it is, and whether it is whole."""
    from common.settings import load_settings

    settings = load_settings()
    files = [*_face_models(settings), *_weights(settings, deep=False)]
    for file in files:
        report = file.as_dict()
        size = "" if report["bytes"] is None else f", {report['bytes'] / 1e6:.1f} MB"
        place = file.path or "in no folder yet"
        _say(f"{file.name} ({file.purpose}{size}): {file.state}; {place}")
    wrong = [file for file in files if file.state != WHOLE]
    if wrong:
        _say(_remedies(wrong))
    return {"files": [file.as_dict() for file in files]}


def _face_models(settings: Settings) -> Iterable[Listed]:
    from preprocess.face_models import MODEL_FILES, model_directory

    directory = model_directory(settings.models.directory)
    for model in MODEL_FILES:
        path = directory / model.name
        state = "is missing"
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            state = WHOLE if digest == model.sha256 else "is damaged (its SHA-256 differs)"
        yield Listed(model.name, path, state, "finds and measures faces", ("mesh", "modelscope"))


def _weights(settings: Settings, deep: bool) -> Iterable[Listed]:
    from fusion.engines.unet import weights

    folder = weights.find_folder(settings.modelscope)
    flaws = {}
    if folder is not None:
        flaws = {flaw.file: flaw.reason for flaw in weights.verify(folder, deep)}
    for file in weights.WEIGHT_FILES:
        path = None if folder is None else folder / file.name
        state = "is missing" if folder is None else flaws.get(file.name, WHOLE)
        yield Listed(file.name, path, state, file.purpose, ("modelscope",))


def _remedies(wrong: Iterable[Listed]) -> str:
    """What to run for the files that are not whole."""
    from fusion.engines.unet import weights
    from preprocess import face_models

    commands = {
        face_models.COMMAND if "mesh" in file.engines else weights.COMMAND for file in wrong
    }
    return f"{' and '.join(sorted(commands))} will get what is missing or damaged"


def _say(sentence: str) -> None:
    click.echo(f"models: {sentence}", err=True)
