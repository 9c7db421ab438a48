"""Tables of pairs, as spreadsheets save them: a target and its source in each line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import InputError

_TARGET = ("target", "targets", "目标", "目标照片")
_SOURCE = ("source", "sources", "来源", "来源照片")
_BETWEEN = ",;\t"


@dataclass(frozen=True, slots=True)
class NamedPair:
    """A line of a table: names or paths as they are written there. line: counted from 1."""

    target: str
    source: str
    line: int


def read_pairs(data: bytes, name: str) -> tuple[NamedPair, ...]:
    """The pairs of a table with the columns target and source.

    UTF-8, UTF-16 with its mark, or GB 18030; commas, semicolons or tabs between the columns. Where
    the first line names the columns, they may come in any order and with others; without it there
    are just the two.

    Args:
        name: How sentences call the table.

    Raises:
        InputError: It is no such table; the message names the line.
    """
    text = _text(data, name)
    between = max(_BETWEEN, key=text.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text), delimiter=between, strict=True)
    at, pairs, begun = (0, 1), [], False
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            columns = None if begun else _columns(cells)
            begun = True
            if columns is not None:
                at = columns
                continue
            pairs.append(_pair(cells, at, rows.line_num, name))
    except csv.Error as error:
        raise InputError(
            f"line {rows.line_num} of {name} cannot be read as a table ({error}); save it as CSV "
            "in UTF-8"
        ) from error
    if not pairs:
        raise InputError(f"{name} holds no pairs; write a target and its source in each line")
    return tuple(pairs)


def _text(data: bytes, name: str) -> str:
    marks = (b"\xff\xfe", b"\xfe\xff")
    encodings = ("utf-16",) if data.startswith(marks) else ("utf-8-sig", "gb18030")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InputError(f"{name} is not a table of text; save it as CSV in UTF-8")


def _columns(cells: Sequence[str]) -> tuple[int, int] | None:
    """Where a first line that names the columns has target and source."""
    names = [cell.lower() for cell in cells]
    target = [place for place, cell in enumerate(names) if cell in _TARGET]
    source = [place for place, cell in enumerate(names) if cell in _SOURCE]
    return (target[0], source[0]) if target and source else None


def _pair(cells: Sequence[str], at: tuple[int, int], line: int, name: str) -> NamedPair:
    if len(cells) <= max(at) or not cells[at[0]] or not cells[at[1]]:
        raise InputError(
            f"line {line} of {name} does not name a target and a source; write both, with a comma "
            "between them"
        )
    return NamedPair(cells[at[0]], cells[at[1]], line)
