"""Every text of the page in one table, English and Chinese.

Each area of the page keeps its part in a module of its own. The browser gets the whole table and
shows the language it is set to; texts that the server makes come in both (`both`).
"""

from __future__ import annotations

from studio.page.texts.batch import TEXTS as BATCH
from studio.page.texts.controls import TEXTS as CONTROLS
from studio.page.texts.frame import TEXTS as FRAME
from studio.page.texts.fuse import TEXTS as FUSE
from studio.page.texts.guide import TEXTS as GUIDE
from studio.page.texts.history import TEXTS as HISTORY
from studio.page.texts.language import Bilingual, Language, Table
from studio.page.texts.system import TEXTS as SYSTEM


def _merged(*tables: Table) -> Table:
    merged: Table = {}
    for table in tables:
        twice = merged.keys() & table.keys()
        if twice:
            raise ValueError(f"two areas have a text called {', '.join(sorted(twice))}")
        merged |= table
    return merged


TEXTS = _merged(
    FRAME,
    FUSE,
    CONTROLS,
    BATCH,
    HISTORY,
    SYSTEM,
    GUIDE,
)


def say(language: Language, key: str, **values: object) -> str:
    """The text ``key`` in a language, with its ``{names}`` filled in.

    Raises:
        KeyError: There is no such text, or a value is missing.
    """
    return TEXTS[key][language].format(**values)


def both(key: str, **values: object) -> Bilingual:
    """The text ``key`` in every language.

    Raises:
        KeyError: There is no such text, or a value is missing.
    """
    return {language: text.format(**values) for language, text in TEXTS[key].items()}
