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
from studio.page.controls_view import PRESETS
from studio.page.texts import TEXTS
from studio.page.texts.language import Language
from studio.service.controls import Controls
from tools.screenshots import MOST_BYTES, SHOTS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")
MODELSCOPE = (ROOT / "docs" / "modelscope.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"```.*?```", re.DOTALL)
OWN = re.compile(r"^README|^docs/images/page-fuse")
"""What each of the two READMEs has alone: the way to the other, a picture in its own language."""
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def rows(title: str, document: str = README) -> list[list[str]]:
    """The cells of a table of a document, by the first cell of its head."""
    _, _, table = document.partition(f"| {title} |")
    lines = [line for line in table.split("\n\n")[0].splitlines()[2:] if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]


def options(title: str = "option of `fuse`", document: str = README) -> dict[str, list[str]]:
    """Every option that the README's table names, with the cells of its row."""
    return {name: row for row in rows(title, document) for name in re.findall(r"--[a-z-]+", row[0])}


def options_of(command: str) -> set[str]:
    """Every option that a command has."""
    return {
        name
        for option in cli.commands.commands[command].params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }


def test_every_option_is_in_the_table_and_nothing_else() -> None:
    assert set(options()) == options_of("fuse")


def test_every_option_of_batch_is_in_its_table_or_in_that_of_fuse() -> None:
    own = options("option of `batch`")
    assert set(own) | set(options()) - {"--target", "--output"} == options_of("batch")


def test_every_command_is_named() -> None:
    """Those of run.sh and those of the program behind it."""
    usage = re.search(r"\nCommands:\n(.*?)\n\n", (ROOT / "run.sh").read_text(), re.DOTALL)
    assert usage
    known = set(re.findall(r"^  ([a-z]+)\b", usage.group(1), re.MULTILINE))
    assert set(cli.commands.commands) <= known
    named = re.compile(r"\./run\.sh (?:--full )?([a-z]+)\b")
    for document in (README, CHINESE):
        assert set(named.findall(document)) == known


def test_both_readmes_have_the_same_parts() -> None:
    """Headings, examples and rows of tables, in the same order."""

    def parts(text: str) -> tuple[list[str], list[str], list[list[str]]]:
        blocks, prose = BLOCK.findall(text), BLOCK.sub("", text)
        examples = [re.sub(r"#.*|<[^>]*>", "", block) for block in blocks]  # what is to be read
        cells = re.findall(r"^\| ([^|]*)", prose, re.MULTILINE)
        return (
            re.findall(r"^#+", prose, re.MULTILINE),
            examples,
            [re.findall(r"`([^`]+)`|^\d+", cell) for cell in cells],
        )

    assert parts(README) == parts(CHINESE)


@pytest.mark.parametrize(
    "pattern",
    [r"`([^`]+)`", r"\b\d+\.\d+\b(?! 亿)", r"\]\(([^)\s]*)\)"],
    ids=["code", "figures", "links"],
)
def test_both_readmes_name_the_same(pattern: str) -> None:
    english, chinese = (
        {" ".join(found.split()) for found in re.findall(pattern, BLOCK.sub("", text))}
        for text in (README, CHINESE)
    )
    assert {found for found in english ^ chinese if not OWN.search(found)} == set()


def test_every_control_of_the_page_is_explained_with_its_default() -> None:
    told = {row[0].strip("*"): row for row in rows("setting", PAGE)}
    fields = Controls.model_fields
    names = {TEXTS[f"controls_{name}"]["en"]: name for name in fields}
    assert set(told) == set(names)
    start = Controls.defaults(Settings())
    for label, row in told.items():
        default = getattr(start, names[label])
        if isinstance(default, float):
            assert float(row[2]) == default, label
        elif isinstance(default, bool):
            assert row[2] == ("on" if default else "off"), label


def test_the_presets_are_those_of_the_page() -> None:
    told = {row[0].strip("*"): row[1] for row in rows("preset", PAGE)}
    assert list(told) == [TEXTS[f"controls_preset_{preset.name}"]["en"] for preset in PRESETS]
    for preset, sentence in zip(PRESETS, told.values(), strict=True):
        for name, value in preset.values.items():
            if name == "resolution" and value == "original":
                assert "the original size" in sentence
            elif name == "mode":
                mode = TEXTS[f"controls_mode_{value}"]["en"].lower()
                assert f"{TEXTS['controls_mode']['en'].lower()} {mode}" in sentence
            else:
                assert f"{TEXTS[f'controls_{name}']['en'].lower()} {value}" in sentence


@pytest.mark.parametrize(
    ("language", "part"),
    [
        ("en", README.partition("## The page")[2].partition("## Files")[0]),
        ("zh", CHINESE.partition("## 页面")[2].partition("## 文件")[0]),
        ("en", PAGE),
    ],
    ids=["README", "README.zh-CN", "page"],
)
def test_what_the_page_shows_is_called_as_it_is_there(language: Language, part: str) -> None:
    named = {" ".join(name.split()) for name in re.findall(r"\*\*([^*]+)\*\*", part)}
    assert named
    assert named - {text[language] for text in TEXTS.values()} <= {"Shift+Enter", "Esc"}


def test_settings_that_are_named_exist() -> None:
    known = {
        f"{section}.{key}" for section, values in Settings().model_dump().items() for key in values
    }
    sections = "|".join(Settings.model_fields)
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        named = re.findall(rf"`((?:{sections})\.[a-z_]+)(?:: [^`]*)?`", text)
        assert set(named) <= known, document


def test_the_pictures_of_the_page_are_those_that_the_script_makes() -> None:
    made = {f"{shot.name}.png" for shot in SHOTS}
    kept = {path.name: path for path in (ROOT / "docs" / "images").glob("page-*")}
    assert set(kept) == made
    assert max(path.stat().st_size for path in kept.values()) <= MOST_BYTES
    shown = {
        Path(file).name
        for document in DOCUMENTS
        for file, _ in LINK.findall((ROOT / document).read_text(encoding="utf-8"))
    }
    assert made <= shown


def test_no_figure_is_left_open() -> None:
    left = [
        document
        for document in DOCUMENTS
        if re.search(r"\bFIGURE\b", (ROOT / document).read_text(encoding="utf-8"))
    ]
    assert left == []


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
