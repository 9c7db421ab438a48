"""`./run.sh batch`: resumable, one line of JSON, whole files only."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.errors import OptionError, OutputError
from studio.batch_commands import _check_name
from studio.batch_folder import BatchFolder, batch_folder
from studio.cli import main
from studio.service.batch_report import ReportLine

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The one line on stdout; what happened is told on stderr."""
        assert self.out.count("\n") == 1, self
        assert all(line.startswith("batch: ") for line in self.err.splitlines()), self.err
        return dict(json.loads(self.out))

    @property
    def counts(self) -> tuple[int, int, int, int]:
        report = self.report
        return report["done"], report["failed"], report["skipped"], report["waiting"]

    @property
    def failure(self) -> dict[str, str]:
        assert self.out == ""
        return dict(json.loads(self.err.splitlines()[-1]))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "studio.cli", "batch", *map(str, arguments)]


ENVIRONMENT = {**os.environ, "STUDIO_MODELSCOPE__FOLDER": os.devnull}


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """run(*arguments) is the command in this process, which loads its libraries once."""
    monkeypatch.setenv("STUDIO_MODELSCOPE__FOLDER", os.devnull)  # engine mesh

    def work(*arguments: object) -> Outcome:
        code = main(["batch", *map(str, arguments)])
        return Outcome(code, *capsys.readouterr())

    return work


@pytest.fixture
def photos(tmp_path: Path, astronaut: NDArray[Any], model_directory: Path) -> Path:
    """A folder with the source me.jpg and the targets in/a.jpg and in/b.png."""
    (tmp_path / "in").mkdir()
    Image.fromarray(np.ascontiguousarray(astronaut[:, ::-1])).save(tmp_path / "me.jpg")
    Image.fromarray(astronaut).save(tmp_path / "in" / "a.jpg", quality=90)
    Image.fromarray(astronaut).save(tmp_path / "in" / "b.png")
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def lines(folder: Path) -> list[dict[str, Any]]:
    """The report's lines, which are the table's as well."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    with (folder / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert [line["state"] for line in table] == [line["state"] for line in report["files"]]
    assert [line["output"] for line in table] == [line["output"] for line in report["files"]]
    return list(report["files"])


def test_a_damaged_target_among_good_ones_and_what_comes_after(run: Run, photos: Path) -> None:
    (photos / "in" / "bad.jpg").write_bytes((photos / "in" / "a.jpg").read_bytes()[:4000])
    (photos / "in" / "notes.txt").write_text("no picture")
    out = photos / "out"
    asked = ("--source", photos / "me.jpg", "--targets", photos / "in", "--out-dir", out)
    first = run(*asked)
    assert first.code == 2
    assert first.counts == (2, 1, 0, 0)
    assert first.report["report"] == str(out / "report.json")
    assert names(out) == {"a-fused.jpg", "b-fused.png", "report.csv", "report.json"}
    states = {Path(line["target"]).name: line["state"] for line in lines(out)}
    assert states == {"a.jpg": "done", "b.png": "done", "bad.jpg": "failed"}
    broken = next(line for line in lines(out) if line["state"] == "failed")
    assert broken["error"] == "unreadable_image"
    assert str(photos / "in" / "bad.jpg") in broken["message"]
    assert "batch: 1/3 a.jpg: a-fused.jpg" in first.err

    before = (out / "a-fused.jpg").stat().st_mtime_ns
    (photos / "in" / "bad.jpg").write_bytes((photos / "in" / "a.jpg").read_bytes())
    second = run(*asked)
    assert (second.code, second.counts) == (0, (1, 0, 2, 0))
    assert (out / "a-fused.jpg").stat().st_mtime_ns == before
    assert lines(out)[0]["width"] == 512  # also of what was skipped
    assert "batch: 1/3 a.jpg: finished before" in second.err


def test_it_makes_what_fuse_makes(run: Run, photos: Path) -> None:
    options = ("--ratio", "0.8", "--resolution", "512", "--smooth", "0.2")
    batch = run(
        *("--source", photos / "me.jpg", "--targets", photos / "in" / "a.jpg"),
        *("--out-dir", photos / "out", "--format", "png", "--name", "{source} in {stem}", *options),
    )
    assert batch.code == 0
    arguments = ("--source", photos / "me.jpg", "--target", photos / "in" / "a.jpg")
    assert main(["fuse", *map(str, arguments), "--output", f"{photos}/one.png", *options]) == 0
    made = photos / "out" / "me in a.png"
    assert made.read_bytes() == (photos / "one.png").read_bytes()


def test_what_changed_is_made_anew(run: Run, photos: Path) -> None:
    out = photos / "out"
    asked = ("--source", photos / "me.jpg", "--targets", f"{photos}/in/*", "--out-dir", out)
    assert run(*asked).counts == (2, 0, 0, 0)
    assert run(*asked, "--ratio", "0.7").counts == (2, 0, 0, 0)
    os.utime(photos / "in" / "a.jpg", (1, 1))
    assert run(*asked, "--ratio", "0.7").counts == (1, 0, 1, 0)
    (out / "b-fused.png").write_bytes(b"cut off")
    (out / "a-fused.jpg").unlink()
    assert run(*asked, "--ratio", "0.7").counts == (2, 0, 0, 0)
    assert run(*asked, "--ratio", "0.7", "--max-memory-mb", "2000").counts == (0, 0, 2, 0)
    os.utime(photos / "me.jpg", (1, 1))
    assert run(*asked, "--ratio", "0.7").counts == (2, 0, 0, 0)
    assert names(out) == {"a-fused.jpg", "b-fused.png", "report.csv", "report.json"}


def test_two_targets_of_one_name_keep_their_names(run: Run, photos: Path) -> None:
    (photos / "more").mkdir()
    (photos / "more" / "a.jpg").write_bytes((photos / "in" / "a.jpg").read_bytes())
    out, source = photos / "out", ("--source", photos / "me.jpg")
    both = ("--targets", photos / "in" / "a.jpg", photos / "more" / "a.jpg", "--out-dir", out)
    assert run(*source, *both).counts == (2, 0, 0, 0)
    assert names(out) == {"a-fused.jpg", "a-fused-2.jpg", "report.csv", "report.json"}
    # In another order, and by itself, each finds its own again.
    turned = ("--targets", photos / "more" / "a.jpg", photos / "in" / "a.jpg", "--out-dir", out)
    assert run(*source, *turned).counts == (0, 0, 2, 0)
    alone = ("--targets", photos / "more" / "a.jpg", "--out-dir", out)
    assert run(*source, *alone).counts == (0, 0, 1, 0)
    assert [Path(line["output"]).name for line in lines(out)] == ["a-fused-2.jpg"]
    assert run(*source, *both).counts == (0, 0, 2, 0)  # the other one was not forgotten


def test_outputs_beside_the_targets_are_no_targets(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    asked = ("--source", photos / "me.jpg", "--targets", "in/*.jpg", "--out-dir", "in")
    assert run(*asked).counts == (1, 0, 0, 0)
    second = run(*asked)
    assert second.counts == (0, 0, 1, 0)
    assert "a-fused.jpg is an output of this folder" in second.err


def test_no_file_of_somebody_else_s_is_replaced(run: Run, photos: Path) -> None:
    own = photos / "in" / "a.jpg"
    before = own.read_bytes()
    (photos / "in" / "b-fused.png").write_bytes(b"mine")
    asked = ("--source", photos / "me.jpg", "--targets", photos / "in" / "a.jpg")
    assert run(*asked, "--out-dir", photos / "in", "--name", "{stem}").counts == (1, 0, 0, 0)
    assert own.read_bytes() == before
    target = ("--source", photos / "me.jpg", "--targets", photos / "in" / "b.png")
    assert run(*target, "--out-dir", photos / "in").counts == (1, 0, 0, 0)
    assert (photos / "in" / "b-fused.png").read_bytes() == b"mine"
    assert {"a-2.jpg", "b-fused-2.png"} <= names(photos / "in")


def test_pairs(run: Run, photos: Path) -> None:
    Image.open(photos / "me.jpg").save(photos / "you.png")
    table = photos / "pairs.csv"
    table.write_text("source,target\nme.jpg,in/a.jpg\nyou.png,in/a.jpg\nnobody.jpg,in/b.png\n")
    outcome = run("--pairs", table, "--out-dir", photos / "out")
    assert (outcome.code, outcome.counts) == (2, (2, 1, 0, 0))
    made = lines(photos / "out")
    assert [line["output"] for line in made[:2]] == ["a-fused.jpg", "a-fused-2.jpg"]
    assert [Path(line["source"]).name for line in made] == ["me.jpg", "you.png", "nobody.jpg"]
    assert made[2]["error"] == "file_not_found"


def test_no_face_in_a_target_goes_on_and_in_the_source_does_not_begin(
    run: Run, photos: Path
) -> None:
    Image.new("RGB", (300, 300), "grey").save(photos / "empty.png")
    out = photos / "out"
    outcome = run(
        *("--source", photos / "me.jpg", "--out-dir", out),
        *("--targets", photos / "empty.png", photos / "in" / "a.jpg"),
    )
    assert (outcome.code, outcome.counts) == (3, (1, 1, 0, 0))
    outcome = run("--source", photos / "empty.png", "--targets", photos / "in", "--out-dir", out)
    assert outcome.code == 3
    assert outcome.failure["error"] == "no_face"
    assert "the source picture" in outcome.failure["message"]


def test_killed_in_the_middle_it_leaves_whole_files_and_goes_on(
    run: Run, photos: Path, astronaut: NDArray[Any]
) -> None:
    for number in range(4):
        path = photos / "in" / f"{number}.jpg"
        Image.fromarray(astronaut).resize((2000, 2000)).save(path)
    out = photos / "out"
    asked = ("--source", photos / "me.jpg", "--targets", photos / "in" / "?.jpg", "--out-dir", out)
    done = interrupted(asked, out, signal.SIGKILL)
    whole = sorted(path.name for path in out.glob("*-fused.jpg"))
    assert 1 <= len(whole) < 5
    for name in whole:
        with Image.open(out / name) as picture:
            picture.load()
    assert done == (-signal.SIGKILL, "")
    kept = {name: (out / name).stat().st_mtime_ns for name in whole[:-1]}
    again = run(*asked)
    assert again.code == 0
    made, failed, skipped, waiting = again.counts
    assert (made + skipped, failed, waiting) == (5, 0, 0)
    assert skipped >= 1
    assert all((out / name).stat().st_mtime_ns == kept[name] for name in list(kept)[:skipped])
    fused = {path.name for path in out.iterdir() if not path.name.startswith(".part-")}
    assert fused == {
        *(f"{name}-fused.jpg" for name in ("0", "1", "2", "3", "a")),
        *("report.csv", "report.json"),
    }


def test_ctrl_c_reports_what_is_done(run: Run, photos: Path, astronaut: NDArray[Any]) -> None:
    for number in range(4):
        path = photos / "in" / f"{number}.jpg"
        Image.fromarray(astronaut).resize((2000, 2000)).save(path)
    out = photos / "out"
    asked = ("--source", photos / "me.jpg", "--targets", photos / "in" / "?.jpg", "--out-dir", out)
    code, printed = interrupted(asked, out, signal.SIGINT)
    assert code == 5
    report = json.loads(printed)
    assert report["done"] >= 1
    assert report["waiting"] >= 1
    assert report["done"] + report["waiting"] == 5
    states = [line["state"] for line in lines(out)]
    assert states.count("done") == report["done"]
    assert not [name for name in names(out) if name.startswith(".")]
    assert run(*asked).counts == (report["waiting"], 0, report["done"], 0)


def interrupted(asked: tuple[object, ...], out: Path, number: signal.Signals) -> tuple[int, str]:
    """Send a signal once the first file is reported; the exit code, and what was printed."""
    process = subprocess.Popen(
        command(*asked),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and not done_in(out):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, printed


def done_in(out: Path) -> int:
    try:
        return int(json.loads((out / "report.json").read_text(encoding="utf-8"))["done"])
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out-dir", "out"), "a batch needs --source and --targets, or a table with --pairs"),
        (("--out-dir", "out", "--source", "me.jpg"), "a batch needs --source and --targets"),
        (("--source", "me.jpg", "--targets", "in"), "Missing option '--out-dir'"),
        (
            ("--out-dir", "out", "--source", "me.jpg", "--pairs", "p.csv"),
            "--pairs names the sources and the targets; leave out the others",
        ),
        (("--out-dir", "out", "--pairs", "p.csv"), "p.csv cannot be read"),
        (
            ("--out-dir", "out", "--source", "me.jpg", "--targets", "*.gif"),
            "*.gif matches no file; name photographs, a folder or a pattern",
        ),
        (
            ("--out-dir", "out", "--source", "me.jpg", "--targets", "empty"),
            "empty holds no pictures; name photographs, a folder or a pattern",
        ),
        (("--out-dir", "out", "--source", "no.jpg", "--targets", "in"), "no.jpg does not exist"),
        (
            ("--out-dir", "me.jpg", "--source", "me.jpg", "--targets", "in"),
            "me.jpg cannot be used: File exists",
        ),
        (
            ("--out-dir", "out", "--source", "me.jpg", "--targets", "in", "--ratio", "2"),
            "ratio 2 is outside 0 to 1",
        ),
        (
            ("--out-dir", "out", "--source", "me.jpg", "--targets", "in", "--format", "bmp"),
            "format 'bmp' is not known; use one of: same, jpeg, png",
        ),
    ],
)
def test_a_wrong_option_is_one_line_and_makes_no_folder(
    run: Run,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(photos)
    (photos / "empty").mkdir()
    outcome = run(*arguments)
    assert outcome.code == 2
    assert message in outcome.failure["message"]
    assert not (photos / "out").exists()


@pytest.mark.parametrize("name", ["{stem}", "{stem}-fused", "{source} {stem}", "x{{y}}{stem}"])
def test_names_that_will_do(name: str) -> None:
    _check_name(name)


@pytest.mark.parametrize(
    "name", ["", "fused", "{source}", "{stem", "{stem}{x}", "{}", "{stem!r}", "{stem:>9}", "{0}"]
)
def test_names_that_are_not_understood(name: str) -> None:
    with pytest.raises(OptionError, match=r"is not understood; use \{stem\} for the target's name"):
        _check_name(name)


@pytest.mark.parametrize("name", ["a/{stem}", "..{stem}", "a\\{stem}", ".{stem}"])
def test_names_that_are_no_plain_file_names(name: str) -> None:
    with pytest.raises(OptionError, match="is not a plain file name"):
        _check_name(name)


def test_a_folder_serves_one_batch_at_a_time(tmp_path: Path) -> None:
    with (
        batch_folder(tmp_path),
        pytest.raises(OutputError, match="another batch is writing to"),
        batch_folder(tmp_path),
    ):
        pass
    with batch_folder(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "another"}', "{", '{"files": [1]}'])
def test_a_report_of_something_else_is_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(OutputError, match="is not the report of a batch; move it away"):
        BatchFolder(tmp_path)


def test_a_large_report_is_not_written_after_every_file(tmp_path: Path) -> None:
    folder = BatchFolder(tmp_path)
    line = ReportLine("a.jpg", "me.jpg", "a-fused.jpg")
    folder.write([line] * 3000, {}, {})
    written = folder.report.stat().st_mtime_ns
    folder.write([line], {}, {})
    assert folder.report.stat().st_mtime_ns == written
    folder.write([line], {}, {}, last=True)
    assert len(json.loads(folder.report.read_text(encoding="utf-8"))["files"]) == 1
