"""README and docs name what exists: options and their defaults, settings, benchmarks, files."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from common.settings import Settings
from fusion.request import EXPRESSIONS, MODES, SCOPES
from studio import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def rows(title: str) -> list[list[str]]:
    """The cells of a table of the README, by the first cell of its head."""
    _, _, table = README.partition(f"| {title} |")
    lines = [line for line in table.split("\n\n")[0].splitlines()[2:] if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def options() -> dict[str, list[str]]:
    """Every option that the README's table names, with the cells of its row."""
    return {
        name: row for row in rows("option of `fuse`") for name in re.findall(r"--[a-z-]+", row[0])
    }


def test_every_option_is_in_the_table_and_nothing_else() -> None:
    command = cli.commands.commands["fuse"]
    names = {
        name
        for option in command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }
    assert set(options()) == names


@pytest.mark.parametrize("name", ["ratio", "mode", "shape", "expression", "engine"])
def test_the_table_has_the_defaults_of_the_settings(name: str) -> None:
    assert options()[f"--{name}"][2].strip("` |") == str(getattr(Settings().fusion, name))


@pytest.mark.parametrize(
    ("option", "choices"), [("mode", MODES), ("expression", EXPRESSIONS), ("scope", SCOPES)]
)
def test_the_table_has_every_choice(option: str, choices: tuple[str, ...]) -> None:
    values = options()[f"--{option}"][1]
    assert all(f"`{choice}`" in values for choice in choices)


def test_the_benchmarks_that_are_named_exist() -> None:
    names = {
        name
        for document in DOCUMENTS
        for name in re.findall(
            r"(?:run\.sh |`)bench\s+([a-z_]+)", (ROOT / document).read_text(encoding="utf-8")
        )
    }
    assert names
    assert {name for name in names if not (ROOT / "benchmarks" / f"{name}.py").is_file()} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    """To a file of the repository, and to a heading of it."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for file, heading in LINK.findall(text):
        place = ROOT / document.parent / file if file else ROOT / document
        assert place.is_file(), f"{document} links to {file}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^a-z0-9 -]", "", t.lower()).replace(" ", "-") for t in titles}
            assert heading in slugs, f"{document} links to {file}#{heading}"
