import re

import pytest

from studio.page.texts import (
    COMPONENT_KEYS,
    LANGUAGES,
    TEXTS,
    for_component,
    labels,
    language_of,
    say,
)

HOLES = re.compile(r"\{(\w+)\}")


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_every_text_is_there_in_every_language(key: str) -> None:
    texts = TEXTS[key]
    assert set(texts) == set(LANGUAGES)
    assert len({frozenset(HOLES.findall(text)) for text in texts.values()}) == 1
    if key != "error_lead":
        assert all(texts.values())


def test_chinese_texts_are_chinese() -> None:
    without_words = {"engine_on"}
    for key in set(TEXTS) - without_words:
        assert re.search(r"[\u4e00-\u9fff]", TEXTS[key]["zh"]), key


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh", "zh"),
        ("ZH-tw", "zh"),
        ("de-DE", "en"),
        ("*", "en"),
    ],
)
def test_the_language_is_the_browsers(header: str | None, language: str) -> None:
    assert language_of(header) == language


def test_values_are_filled_in() -> None:
    assert say("en", "pixels", width=3, height=4) == "3 × 4 px"
    with pytest.raises(KeyError):
        say("en", "pixels", width=3)


def test_gradio_gets_the_whole_table() -> None:
    tables = labels()
    assert set(tables) >= {"en", "zh", "zh-CN"}
    assert all(set(table) == set(TEXTS) for table in tables.values())


def test_components_get_their_part() -> None:
    part = for_component("title")
    assert set(part["zh"]) == {*COMPONENT_KEYS, "title"}
