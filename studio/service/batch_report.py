"""The report of a batch, as a table (CSV) and as JSON: one line for each file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from typing import Any

from common.errors import (
    CancelledError,
    EngineUnavailableError,
    MemoryLimitError,
    ResourceError,
    StudioError,
)

CSV_NAME = "report.csv"
JSON_NAME = "report.json"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class ReportLine:
    """What became of one file.

    target, source, output: names or paths, as the person knows them. state: done, failed, skipped
    or waiting. width, height: pixels of the output. bytes: its size. seconds: of the fusion.
    error, message: an error's code and sentence.
    """

    target: str
    source: str
    output: str = ""
    state: str = "waiting"
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    engine: str | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    message: str | None = None


def now() -> str:
    """The time with its zone, ISO 8601, to the second."""
    return datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds")


def csv_text(lines: Sequence[ReportLine]) -> str:
    """The table, for spreadsheets: a byte order mark in front, as Excel wants it for UTF-8.

    A cell that a spreadsheet would take for a formula is led by an apostrophe, for names of files
    come from anywhere (OWASP, "CSV Injection").
    """
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(field.name for field in fields(ReportLine))
    for line in lines:
        table.writerow(_cell(value) for value in asdict(line).values())
    return "\ufeff" + text.getvalue()


def json_text(lines: Sequence[ReportLine], about: Mapping[str, Any]) -> str:
    """The same as JSON, for programs.

    Args:
        about: What there is to say of the whole batch; stands in front.
    """
    report = {**about, "files": [asdict(line) for line in lines]}
    return json.dumps(report, ensure_ascii=False, indent=1) + "\n"


def concerns_all(error: StudioError) -> bool:
    """Whether the files that follow in a batch would fail as well."""
    if isinstance(error, MemoryLimitError):  # another picture may be smaller
        return False
    return isinstance(error, (CancelledError, EngineUnavailableError, ResourceError))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = "; ".join(value) if isinstance(value, tuple) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
