"""The languages of the page."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
Bilingual = dict[Language, str]
"""One text in every language; the browser shows the one it is set to."""
Table = dict[str, Bilingual]
