"""The folder that a batch of the command line writes to: names, records, the report.

The report is also the memory: what it says is finished is not made again. Names of all outputs are
in it before the first is made, so a killed batch finds its own files again and no others.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from common.errors import OutputError
from studio.service.batch_archive import Names
from studio.service.batch_report import CSV_NAME, JSON_NAME, ReportLine, csv_text

_SHARE = 20  # reports take at most this fraction of the time: large ones are not written each time
_KIND = "face-fusion-studio batch"


class BatchFolder:
    """An output folder, whose report of earlier runs has been read.

    Args:
        path: The folder; it exists.

    Raises:
        OutputError: A file stands in the place of a report and is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.report = path / JSON_NAME
        self.table = path / CSV_NAME
        self._earlier = self._read()
        self._names = Names()
        for name in {*self._earlier, *(file.name for file in path.iterdir())}:
            self._names.take(name)
        self._own = {(line.target, line.source, name) for name, (line, _) in self._earlier.items()}
        self._next_write = 0.0

    def name(self, target: str, source: str, wanted: str) -> str:
        """The name of an output: that of an earlier run, or a free one like ``wanted``."""
        stem, suffix = Path(wanted).stem, Path(wanted).suffix
        for own in sorted(self._own):
            earlier = Path(own[2])
            number = earlier.stem.removeprefix(stem).removeprefix("-")
            like = earlier.stem == stem or (earlier.stem.startswith(f"{stem}-") and _digits(number))
            if own[:2] == (target, source) and like and earlier.suffix == suffix:
                self._own.remove(own)
                return own[2]
        return self._names.take(wanted)

    def has_made(self, path: Path) -> bool:
        """Whether a file is an output of an earlier run, and so no target of this one."""
        return path.name in self._earlier and path.parent.resolve() == self.path.resolve()

    def finished(self, name: str, request: str) -> ReportLine | None:
        """What was reported of an output, if it is whole and of the same request."""
        line, made_for = self._earlier.get(name, (None, ""))
        if line is None or made_for != request or line.state not in ("done", "skipped"):
            return None
        try:
            whole = (self.path / name).stat().st_size == line.bytes
        except OSError:
            return None
        return replace(line, state="skipped") if whole else None

    def write(
        self,
        lines: Sequence[ReportLine],
        requests: Mapping[str, str],
        about: Mapping[str, Any],
        last: bool = False,
    ) -> None:
        """Write both reports, each complete or not at all.

        Args:
            lines: Of this run.
            requests: By an output's name, what it is made of.
            about: What there is to say of the whole batch.
            last: Write in any case, not only if the last time is long enough ago.

        Raises:
            OutputError: The folder cannot be written to.
            DiskFullError: The disk is full.
        """
        begun = time.monotonic()
        if begun < self._next_write and not last:
            return
        ours = {line.output for line in lines}
        earlier = [
            _record(line, request)
            for name, (line, request) in self._earlier.items()
            if name not in ours and (self.path / name).exists()
        ]
        files = [_record(line, requests.get(line.output, "")) for line in lines]
        report = {"kind": _KIND, **about, "files": files, "earlier": earlier}
        _replace(self.report, json.dumps(report, ensure_ascii=False, indent=1) + "\n")
        _replace(self.table, csv_text(lines))
        now = time.monotonic()
        self._next_write = now + _SHARE * (now - begun)

    def _read(self) -> dict[str, tuple[ReportLine, str]]:
        """The lines of earlier runs with their requests, by the output's name."""
        if not self.report.exists():
            return {}
        try:
            report = json.loads(self.report.read_text(encoding="utf-8"))
            if report["kind"] != _KIND:
                raise ValueError(report["kind"])
            records = [*report["files"], *report["earlier"]]
            read = [_parsed(record) for record in records]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise OutputError(
                f"{self.report} is not the report of a batch; move it away or use another folder"
            ) from error
        return {line.output: (line, request) for line, request in read if line.output}


@contextmanager
def batch_folder(path: Path) -> Iterator[BatchFolder]:
    """The folder, made if absent, for this process alone.

    Raises:
        OutputError: It cannot be made or written to, or another batch is writing to it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        held = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise OutputError(
            f"the output folder {path} cannot be used: {error.strerror or error}"
        ) from error
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"another batch is writing to {path}; wait for it or use another folder"
            ) from error
        except OSError:  # some network file systems have no locks
            pass
        yield BatchFolder(path)
    finally:
        os.close(held)


def _replace(path: Path, text: str) -> None:
    from preprocess.image_write import filling, replacing

    with replacing(path) as partial, filling(path):
        partial.write_text(text, encoding="utf-8", newline="")


def _record(line: ReportLine, request: str) -> dict[str, Any]:
    """A line as the report has it: the output by its name alone, for the folder may be moved."""
    return {**asdict(line), "request": request}


def _parsed(record: Mapping[str, Any]) -> tuple[ReportLine, str]:
    values = {field.name: record[field.name] for field in fields(ReportLine)}
    return ReportLine(**values | {"warnings": tuple(values["warnings"])}), str(record["request"])


def _digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()
