"""The table of texts: whole, used, and in the language it says it is in."""

import ast
import re
from pathlib import Path

import pytest

from studio.page import texts
from studio.page.texts import TEXTS, both, say
from studio.page.texts.language import LANGUAGES

PAGE = Path(texts.__file__).resolve().parents[1]
HOLES = re.compile(r"\{(\w+)\}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
IN_THE_OTHER_LANGUAGE = {"language_switch", "language_label"}
"""What those read who cannot read the rest of the page."""
NAMES = {
    *("JPEG", "PNG", "WebP", "TIFF", "AVIF", "HEIC", "GIF", "ZIP", "CSV", "JSON", "TXT"),
    *("KB", "MB", "GB", "GiB", "MiB", "px", "h", "Shift", "Enter", "Esc", "Tab", "Cookie", "Ctrl"),
    *("ModelScope", "Mesh", "GPEN", "NVIDIA", "GPU", "CPU", "CUDA", "Python", "Gradio", "API"),
    *("NumPy", "OpenCV", "libvips", "Pillow", "torch", "LiteRT", "ai-edge-litert", "MediaPipe"),
    *("MCP", "DPI", "EXIF", "ICC", "GPS", "OK", "A", "B"),
}
"""Words that are the same in both languages: products, formats, units, keys."""
ALSO = {
    "batch_table_how": {"target", "source"},  # what stands in the file
    "system_models_modelscope_info": {"modelscope"},  # as it is written in the settings
}
COMMAND = re.compile(r"\./run\.sh( [a-z-]+)*|[\w.-]+\.(yaml|csv|json|txt)|[a-z]+\.[a-z_]+")


def literals() -> tuple[set[str], set[str]]:
    """Strings in scripts, templates and modules of the page, and patterns of composed ones."""
    whole: set[str] = set()
    composed: set[str] = set()
    for asset in [*PAGE.glob("assets/*.js"), *PAGE.glob("assets/*.html")]:
        source = asset.read_text(encoding="utf-8")
        whole |= set(re.findall(r"[\"'`]([\w-]+)[\"'`]", source))
        for text in re.findall(r"`((?:\w|\$\{[^{}]*\})+)`", source):
            composed.add(re.sub(r"\$\{[^{}]*\}", r"\\w+", text))
    for module in PAGE.rglob("*.py"):
        if module.parent.name == "texts":
            continue
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [
                    re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+"
                    for part in node.values
                    if not isinstance(part, ast.Constant) or isinstance(part.value, str)
                ]
                composed.add("".join(parts))
    whole |= {text.replace("-", "_") for text in whole}
    # A pattern that is nearly all hole would allow everything.
    return whole, {it for it in composed if len(it.replace(r"\w+", "").strip("_")) >= 3}


WHOLE, COMPOSED = literals()


def test_every_text_is_there_in_every_language() -> None:
    for key, told in TEXTS.items():
        assert set(told) == set(LANGUAGES), key
        assert all(told.values()), key
        assert len({frozenset(HOLES.findall(text)) for text in told.values()}) == 1, key


def test_every_text_is_used() -> None:
    left = TEXTS.keys() - WHOLE
    assert {key for key in left if not any(re.fullmatch(it, key) for it in COMPOSED)} == set()


def test_every_text_that_is_asked_for_exists() -> None:
    asked: dict[str, str] = {}
    for asset in PAGE.glob("assets/*.js"):
        found = re.findall(
            r"(?:studio|self)\.(?:say|both)\(\s*\"(\w+)\"", asset.read_text(encoding="utf-8")
        )
        asked |= dict.fromkeys(found, asset.name)
    for asset in PAGE.glob("assets/*.html"):
        found = re.findall(r"data-say=\"(\w+)\"", asset.read_text(encoding="utf-8"))
        asked |= dict.fromkeys(found, asset.name)
    for module in PAGE.rglob("*.py"):
        found = re.findall(
            r"\b(?:both|say)\(\s*(?:\w+,\s*)?\"(\w+)\"", module.read_text(encoding="utf-8")
        )
        asked |= dict.fromkeys(found, module.name)
    assert len(asked) > 100
    assert {key: where for key, where in asked.items() if key not in TEXTS} == {}


def test_no_text_has_words_of_the_other_language() -> None:
    """Chinese holds no English words but names, and its own punctuation; English no Chinese."""
    for key in TEXTS.keys() - IN_THE_OTHER_LANGUAGE:
        english, chinese = TEXTS[key]["en"], TEXTS[key]["zh"]
        assert not CHINESE.search(english), key
        bare = COMMAND.sub(" ", HOLES.sub(" ", chinese))
        assert set(re.findall(r"[A-Za-z][A-Za-z-]*", bare)) <= NAMES | ALSO.get(key, set()), key
        assert not re.search(r"[\u4e00-\u9fff”][,;:?!]|[,;:?!][\u4e00-\u9fff]", chinese), key


def test_a_sentence_ends_as_one_in_both_languages() -> None:
    ends = {key: [text[-1] in ".。" for text in told.values()] for key, told in TEXTS.items()}
    assert {key for key, both_end in ends.items() if len(set(both_end)) > 1} == set()


def test_values_are_filled_in() -> None:
    assert say("en", "pixels", width=3, height=4) == "3 × 4 px"
    assert both("pixels", width=3, height=4) == {"en": "3 × 4 px", "zh": "3 × 4 像素"}
    with pytest.raises(KeyError):
        say("en", "pixels", width=3)


def test_scripts_find_the_texts_that_they_name_in_tables() -> None:
    """The guide calls the parts of the page by what is written there."""
    source = (PAGE / "assets" / "guide.js").read_text(encoding="utf-8")
    table = source.partition("const NAMES = {")[2].partition("};")[0]
    named = dict(re.findall(r"(\w+): \"(\w+)\"", table))
    holes = {
        hole
        for key in TEXTS
        if key.startswith("guide_")
        for hole in HOLES.findall(TEXTS[key]["en"])
    }
    assert set(named.values()) <= TEXTS.keys()
    assert set(named) | {"hours"} == holes
