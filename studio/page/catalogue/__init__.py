"""English sentences of the studio's inner parts and the same in Chinese, by area.

Each module of this folder is an area with a table ``SENTENCES``: English template to Chinese
template. Values stand in both as ``{name}``; the English one is the source's string with any names.
A value that is itself a sentence or a part of one is told in Chinese too. A name that begins with
an underscore is a word that Chinese does without. Where it would not be clear where a value ends,
``{name:this|that .*}`` says what it can be.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from studio.page.catalogue.advice import ADVICE, ADVICE_BY_CODE
from studio.page.catalogue.english import PAGE_ENGLISH
from studio.page.catalogue.outside import FROM_OUTSIDE, WORDS

__all__ = [
    "ADVICE",
    "ADVICE_BY_CODE",
    "FROM_OUTSIDE",
    "PAGE_ENGLISH",
    "SENTENCES",
    "WORDS",
    "areas",
]


def areas() -> dict[str, dict[str, str]]:
    """The tables of all areas by the names of their modules."""
    modules = (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
    return {
        module.__name__.rpartition(".")[2]: module.SENTENCES
        for module in modules
        if hasattr(module, "SENTENCES")
    }


SENTENCES: dict[str, str] = {
    english: chinese
    for table in (WORDS, FROM_OUTSIDE, *areas().values())
    for english, chinese in table.items()
}
