"""Sentences that the studio's inner parts make, in both languages of the page.

Those parts write English. Here a sentence is recognised by its template in the catalogue and told
in Chinese as well, in both as a page's user understands it; one that is not known stays English.
Texts that the page writes itself are in `studio.page.texts`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from string import Formatter

from common.errors import StudioError
from studio.page.catalogue import ADVICE, ADVICE_BY_CODE, PAGE_ENGLISH, SENTENCES
from studio.page.texts.language import LANGUAGES, Bilingual, Language

# A folder in front of a name, where a path can begin: never inside a word such as WIDTH/HEIGHT.
_FOLDERS = re.compile(r"(?<![^\s'\"(])/(?=[^\s/])(?:[^/\s'\"]+/)*")
STUDIO_FOLDER = "the studio's folder"
"""What the storage and the folders in it are called: their own names are random."""
_ENDS = (".", "!", "?", "。", "！", "？")
_BETWEEN: Bilingual = {"en": "; ", "zh": "；"}
_KNOWN = 4096  # sentences that are remembered; most come again and again


@dataclass(frozen=True, slots=True)
class _Template:
    """A sentence with places for values: how it is recognised, and how the page says it."""

    pattern: re.Pattern[str]
    english: str
    said: Bilingual


def bilingual(text: str) -> Bilingual:
    """A sentence of the studio as the page says it; one that is not known stays as it is.

    Args:
        text: An error's message, a warning, a note, a reason, or several joined by "; ".
    """
    return {language: _told(text, language) or text for language in LANGUAGES}


def for_page(said: StudioError | str, storage: Path) -> Bilingual:
    """A sentence as it stands alone on the page, without the places of files.

    Args:
        said: An error, or a warning, note or reason.
        storage: The folder of uploads and results; its name may contain spaces, and so may those
            of the files in it.
    """
    message = said.message if isinstance(said, StudioError) else said
    text = _without_storage(message, str(storage))
    english = _told(text, "en") or text
    named = _FOLDERS.sub("", text)
    chinese = _told(named, "zh")
    # Without folders only afterwards, so that a file's name in front keeps its small letter.
    told = _FOLDERS.sub("", stand_alone(english))
    return {"en": told, "zh": told if chinese is None else _end(chinese, "。")}


def advice(error: StudioError) -> Bilingual | None:
    """What to do next, where the message does not say it already.

    Returns:
        A sentence; None where the message tells what to do, or where nothing can be done.
    """
    found = _recognise(error.message)
    if found is None:
        return ADVICE_BY_CODE.get(error.code)
    return ADVICE.get(found[0].english)


def stand_alone(text: str) -> str:
    """A sentence that was written to follow a colon, for a place where it stands alone."""
    return _end(text[:1].upper() + text[1:], ".")


def _without_storage(text: str, storage: str) -> str:
    """Paths that begin inside the storage; the storage itself and its folders by one name."""
    folder = re.escape(storage) + r"(?:/[\w-]+(?![\w./-]))?(?!/)"
    return re.sub(folder, STUDIO_FOLDER, text).replace(storage, "")


def _end(text: str, mark: str) -> str:
    return text if text.endswith(_ENDS) else text + mark


@lru_cache(_KNOWN)
def _told(text: str, language: Language) -> str | None:
    """A sentence, or several that are joined, in a language; None if it is not known."""
    parts = text.split(_BETWEEN["en"])
    if len(parts) > 1:
        told = [_told_one(part, language) for part in parts]
        known = [part for part in told if part is not None]
        if len(known) == len(parts):
            return _BETWEEN[language].join(known)
    return _told_one(text, language)


def _told_one(text: str, language: Language) -> str | None:
    found = _recognise(text)
    if found is None:
        return None
    template, values = found
    return template.said[language].format_map(
        {name: _told(value, language) or value for name, value in values.items()}
    )


def _recognise(text: str) -> tuple[_Template, dict[str, str]] | None:
    """The template of a sentence and the values in it."""
    for template in _templates():
        match = template.pattern.fullmatch(text)
        if match is not None:
            return template, match.groupdict()
    return None


@cache
def _templates() -> tuple[_Template, ...]:
    """Those that say most in words of their own first."""
    found = []
    for english, chinese in SENTENCES.items():
        parts = list(Formatter().parse(english))
        pattern = "".join(
            re.escape(literal) + ("" if name is None else f"(?P<{name}>{accepted or '.*?'})")
            for literal, name, accepted, _ in parts
        )
        plain = "".join(
            literal if name is None else f"{literal}{{{name}}}" for literal, name, *_ in parts
        )
        said: Bilingual = {"en": PAGE_ENGLISH.get(english, plain), "zh": chinese}
        letters = sum(len(literal) for literal, *_ in parts)
        found.append((letters, _Template(re.compile(pattern, re.DOTALL), english, said)))
    found.sort(key=lambda pair: -pair[0])
    return tuple(template for _, template in found)
