"""README and docs name what exists: options and their defaults, settings, benchmarks, files."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from common.settings import ModelScopeSettings, Settings
from fusion.engines.registry import CHOICES
from fusion.engines.unet.devices import NO_DRIVER, Attempt, Gpu, Machine, Place
from fusion.engines.unet.rooms import room_on
from fusion.engines.unet.weights import WEIGHT_FILES
from fusion.request import BOOSTS, COMPOSITES, EXPRESSIONS, MODES, SCOPES
from studio import cli
from studio.model_commands import models

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODELSCOPE = (ROOT / "docs" / "modelscope.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def rows(title: str, document: str = README) -> list[list[str]]:
    """The cells of a table of a document, by the first cell of its head."""
    _, _, table = document.partition(f"| {title} |")
    lines = [line for line in table.split("\n\n")[0].splitlines()[2:] if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


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


@pytest.mark.parametrize("name", ["composite", "boost", "enhance"])
def test_the_table_has_the_defaults_of_modelscope_s_settings(name: str) -> None:
    default = getattr(Settings().modelscope, name)
    assert options()[f"--{name}"][2].strip("`") == ("auto" if default is None else default)


@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ("mode", MODES),
        ("expression", EXPRESSIONS),
        ("scope", SCOPES),
        ("engine", CHOICES),
        ("composite", COMPOSITES),
        ("boost", ("auto", *map(str, BOOSTS))),
    ],
)
def test_the_table_has_every_choice(option: str, choices: tuple[str, ...]) -> None:
    values = options()[f"--{option}"][1]
    assert all(f"`{choice}`" in values for choice in choices)


@pytest.mark.parametrize("document", ["README.md", "docs/modelscope.md"])
def test_the_commands_for_models_are_all_named(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert set(re.findall(r"\./run\.sh models ([a-z]+)", text)) == set(models.commands)


def test_every_setting_of_modelscope_is_explained_with_its_default() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in rows("`modelscope.`", MODELSCOPE)}
    known = {
        name: {None: "null", False: "false"}.get(value, str(value).removesuffix(".0"))
        for name, value in ModelScopeSettings().model_dump().items()
    }
    assert told == known


def test_the_model_s_files_are_listed() -> None:
    assert [row[0].strip("`") for row in rows("file", MODELSCOPE)] == [
        file.name for file in WEIGHT_FILES
    ]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_table_of_memory_is_what_is_chosen(dtype: str) -> None:
    """With exactly the memory of a row what it says, with less what the next one says."""
    double = 2 if dtype == "float32" else 1
    table = rows("on", MODELSCOPE)
    assert len(table) == 12
    above: dict[str, float] = {}
    for where, memory, *fits in table:
        free = double * float(memory) if memory.isdecimal() else above[where] - 1
        above[where] = free
        gpus = (Gpu("Any", free, 0.0),) if where == "GPU" else ()
        machine = Machine(gpus, "" if gpus else NO_DRIVER, frozenset(), free)
        room = room_on(Place("cuda:0" if gpus else "cpu", dtype, ""), machine)
        enhances = "yes" if room.enhance else "no"
        assert fits == [str(room.boost), enhances, str(room.faces), str(room.jobs)]


def test_the_warnings_of_short_memory_are_those_that_are_given() -> None:
    told = [row[1] for row in rows("step", MODELSCOPE)]
    gpu, cpu = Place("cuda:0", "float16", ""), Place("cpu", "float32", "")
    attempts = [Attempt(gpu, 32, 4, cpu), Attempt(gpu, 1, 4, cpu), Attempt(gpu, 1, 1, cpu)]
    given = [step[1] for attempt in attempts if (step := attempt.smaller())]
    assert told == given


def test_the_benchmarks_that_are_named_exist() -> None:
    names = {
        name
        for document in DOCUMENTS
        for name in re.findall(
            r"(?:run\.sh (?:--full )?|`)bench\s+([a-z_]+)",
            (ROOT / document).read_text(encoding="utf-8"),
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
