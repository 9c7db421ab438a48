"""Batches of the page: one file after the other, failures told, results in a ZIP."""

import csv
import io
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.errors import BusyError, DiskFullError, OptionError
from common.progress import Progress
from studio.service import batch_archive, batch_run
from studio.service.batch import Batches
from studio.service.batch_archive import Names
from studio.service.batch_files import BatchItem, Board, FileState
from studio.service.batch_report import ReportLine, csv_text
from studio.service.batch_run import Batch, BatchState
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService

PATIENCE_S = 120
FAST = Controls(ratio=0.5, resolution="512", threshold=0.4)


@pytest.fixture
def batches(service: FusionService) -> Iterator[Batches]:
    made = Batches(service)
    yield made
    made.close()


@pytest.fixture
def uploaded(service: FusionService, astronaut: NDArray[Any]) -> Callable[..., Path]:
    """uploaded(name) puts the astronaut into the storage; flat=True a picture without a face."""

    def upload(name: str, flat: bool = False) -> Path:
        path = service.storage.new_file(name)
        shown = np.full_like(astronaut, 128) if flat else astronaut
        Image.fromarray(shown).save(path)
        return path

    return upload


@pytest.fixture
def source(uploaded: Callable[..., Path]) -> Path:
    return uploaded("me.jpg")


def item(target: Path, source: Path, name: str | None = None) -> BatchItem:
    return BatchItem(target, (source,), name or target.name, "me.jpg")


def over(batch: Batch) -> Batch:
    assert batch.wait(PATIENCE_S)
    return batch


def states(batch: Batch) -> list[str]:
    return [file.state.value for file in batch.files()]


def archive_of(batch: Batch) -> zipfile.ZipFile:
    archive = batch.status().archive
    assert archive is not None
    return zipfile.ZipFile(archive)


class Gate:
    """Keeps the queue's only worker busy until it is opened."""

    def __init__(self, service: FusionService) -> None:
        self._open = threading.Event()
        self._service = service
        self.running = threading.Event()
        self.jobs = [service.queue.submit(self._hold)]
        assert self.running.wait(PATIENCE_S)

    def fill(self) -> None:
        """Now the line is full as well."""
        self.jobs.append(self._service.queue.submit(self._hold))

    def open(self) -> None:
        self._open.set()

    def _hold(self, progress: Progress) -> None:
        self.running.set()
        while not self._open.wait(0.01):
            progress.check()


def test_a_damaged_file_fails_and_the_others_are_done(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    damaged = service.storage.new_file("broken.jpg")
    damaged.write_bytes(uploaded("whole.jpg").read_bytes()[:5000])
    items = [
        item(uploaded("微笑.jpg"), source, "相册/微笑.jpg"),
        item(damaged, source),
        item(uploaded("empty.png", flat=True), source),
        item(uploaded("微笑.jpg"), source, "other/微笑.jpg"),
        item(uploaded("last.png"), source),
    ]
    batch = over(batches.start("me", items, FAST))
    status = batch.status()
    assert states(batch) == ["done", "failed", "failed", "done", "done"]
    assert (status.state, status.problem) == (BatchState.DONE, None)
    assert status.counts == {"waiting": 0, "running": 0, "done": 3, "failed": 2, "skipped": 0}
    assert status.remaining_s == 0
    broken, empty = (batch.files()[index].problem for index in (1, 2))
    assert broken is not None
    assert empty is not None
    assert (broken.code, empty.code) == ("unreadable_image", "no_face")
    assert "broken.jpg" in broken.message
    assert empty.message.startswith("no face was found in empty.png; use a picture")
    assert str(service.storage.directory) not in broken.message + empty.message
    assert service.storage.require(items[3].target) == items[3].target  # nothing else went


def test_the_archive_holds_the_results_and_the_report(
    batches: Batches, uploaded: Callable[..., Path], source: Path
) -> None:
    items = [
        item(uploaded("微笑.jpg"), source, "相册/微笑.jpg"),
        item(uploaded("微笑.jpg"), source, "other/微笑.jpg"),
        item(uploaded("empty.png", flat=True), source),
    ]
    batch = over(batches.start("me", items, FAST))
    with archive_of(batch) as zipped:
        assert zipped.testzip() is None
        assert zipped.namelist() == [
            *("微笑-fused.jpg", "微笑-fused-2.jpg"),
            *("report.csv", "report.json"),
        ]
        assert {entry.compress_type for entry in zipped.infolist()} == {zipfile.ZIP_STORED}
        first = batch.files()[0]
        assert first.result is not None
        assert zipped.read("微笑-fused.jpg") == first.result.read_bytes()
        assert len(zipped.read("微笑-fused-2.jpg")) == first.bytes
        table = list(csv.DictReader(io.StringIO(zipped.read("report.csv").decode("utf-8-sig"))))
        report = json.loads(zipped.read("report.json"))
    assert [line["state"] for line in table] == ["done", "done", "failed"]
    assert [line["target"] for line in table] == ["相册/微笑.jpg", "other/微笑.jpg", "empty.png"]
    assert (table[0]["width"], table[0]["height"], table[0]["engine"]) == ("512", "512", "mesh")
    assert table[2]["error"] == "no_face"
    assert (report["done"], report["failed"]) == (2, 1)
    assert report["settings"] == {**FAST.model_dump(), "faces": "largest"}
    assert report["files"][0]["source"] == "me.jpg"
    assert report["files"][0]["seconds"] > 0
    assert report["started"] <= report["ended"]
    assert first.thumbnail is not None
    with Image.open(first.thumbnail) as thumbnail:
        assert max(thumbnail.size) == 224


def test_a_file_shows_how_far_it_is(
    batches: Batches, uploaded: Callable[..., Path], source: Path
) -> None:
    batch = batches.start("me", [item(uploaded("a.jpg"), source)], FAST)
    seen, fractions, stages = -1, [], set()
    while True:
        seen, changed = batch.changed_since(seen)
        if 0 in changed:
            fractions.append(changed[0].fraction)
            stages.add(changed[0].stage)
            if changed[0].state.is_final:
                break
        time.sleep(0.005)
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert stages & {"read", "detect", "prepare", "render", "write"}


def test_every_face_of_a_target_is_replaced_if_asked(
    batches: Batches, service: FusionService, source: Path, astronaut: NDArray[Any]
) -> None:
    path = service.storage.new_file("two.png")
    Image.fromarray(np.concatenate([astronaut, astronaut[:, ::-1]], axis=1)).save(path)
    batch = over(batches.start("me", [item(path, source)], FAST, "all"))
    assert states(batch) == ["done"]
    first = batch.files()[0].result
    batch = over(batches.start("me", [item(path, source)], FAST, "largest"))
    second = batch.files()[0].result
    assert first is not None
    assert second is not None
    assert not first.exists()  # of the former batch
    assert second.exists()


def test_cancel_keeps_what_is_done(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    items = [item(uploaded(f"{number}.jpg"), source) for number in range(4)]
    batch = batches.start("me", items, FAST)
    until(lambda: batch.files()[0].state is FileState.DONE)
    batch.cancel()
    assert batch.wait(10)
    status = batch.status()
    assert status.state is BatchState.CANCELLED
    done = status.counts["done"]
    assert 1 <= done < 4
    assert states(batch) == ["done"] * done + ["skipped"] * (4 - done)
    with archive_of(batch) as zipped:
        assert len(zipped.namelist()) == done + 2
    assert service.queue.load().running == 0


def test_a_batch_that_waits_in_line_is_cancelled_at_once(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    gate = Gate(service)
    batch = batches.start("me", [item(uploaded("a.jpg"), source)], FAST)
    until(lambda: service.queue.load().waiting == 1)
    batch.cancel()
    assert batch.wait(10)
    assert states(batch) == ["skipped"]
    status = batch.status()
    assert (status.state, status.archive) == (BatchState.CANCELLED, None)
    assert service.queue.load().waiting == 0
    gate.open()


def test_a_full_queue_makes_it_wait(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    gate = Gate(service)
    gate.fill()
    batch = batches.start("me", [item(uploaded("a.jpg"), source)], FAST)
    assert not batch.wait(1.0)
    assert batch.status().state is BatchState.RUNNING
    gate.open()
    assert states(over(batch)) == ["done"]


def test_others_get_their_turn_between_its_files(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    gate = Gate(service)
    items = [item(uploaded(f"{number}.jpg"), source) for number in range(3)]
    batch = batches.start("me", items, FAST)
    until(lambda: service.queue.load().waiting == 1)
    time.sleep(0.5)
    assert service.queue.load().waiting == 1  # one of it at most
    gate.open()
    until(lambda: service.queue.load().waiting == 0)
    other = service.queue.submit(lambda progress: states(batch))
    assert "waiting" in other.result()
    assert states(over(batch)) == ["done"] * 3


def test_a_full_disk_stops_the_batch_and_keeps_what_is_done(
    batches: Batches,
    uploaded: Callable[..., Path],
    source: Path,
    service: FusionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit, calls = service.submit, []

    def full(wish: Any) -> Any:
        calls.append(wish)
        if len(calls) == 2:
            raise DiskFullError("the disk is full")
        return submit(wish)

    monkeypatch.setattr(service, "submit", full)
    items = [item(uploaded(f"{number}.jpg"), source) for number in range(4)]
    batch = over(batches.start("me", items, FAST))
    status = batch.status()
    assert states(batch) == ["done", "skipped", "skipped", "skipped"]
    assert status.state is BatchState.STOPPED
    assert status.problem is not None
    assert status.problem.code == "disk_full"
    assert status.archive is not None


def test_without_room_for_the_archive_the_results_stay(
    batches: Batches,
    uploaded: Callable[..., Path],
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_archive, "_SPARE", 10**18)
    batch = over(batches.start("me", [item(uploaded("a.jpg"), source)], FAST))
    status = batch.status()
    assert (status.state, status.archive) == (BatchState.DONE, None)
    assert status.problem is not None
    assert status.problem.message.startswith("there is no room for an archive of")
    result = batch.files()[0].result
    assert result is not None
    assert result.exists()


def test_a_source_without_a_face_is_looked_at_once(
    batches: Batches, uploaded: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = uploaded("me.jpg", flat=True)
    looked: list[Path] = []
    look_at = batches._service.look_at

    def look(path: Path, threshold: float | None = None) -> Any:
        looked.append(path)
        return look_at(path, threshold)

    monkeypatch.setattr(batches._service, "look_at", look)
    items = [item(uploaded(f"{number}.jpg"), empty) for number in range(3)]
    batch = over(batches.start("me", items, FAST))
    assert states(batch) == ["failed"] * 3
    assert looked == [empty]
    assert batch.status().archive is None


def test_one_batch_of_a_visitor_at_a_time(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    gate = Gate(service)
    items = [item(uploaded("a.jpg"), source)]
    first = batches.start("me", items, FAST)
    with pytest.raises(OptionError, match="a batch is running already"):
        batches.start("me", items, FAST)
    with pytest.raises(BusyError, match="1 batches are running already"):
        batches.start("you", items, FAST)
    assert batches.of("me") is first
    assert batches.of("you") is None
    gate.open()
    over(first)
    assert states(over(batches.start("you", items, FAST))) == ["done"]


def test_clear_ends_it_and_deletes_the_results(
    batches: Batches, uploaded: Callable[..., Path], source: Path
) -> None:
    batch = over(batches.start("me", [item(uploaded("a.jpg"), source)], FAST))
    result, archive = batch.files()[0].result, batch.status().archive
    assert result is not None
    assert archive is not None
    batches.clear("me")
    assert batches.of("me") is None
    assert not result.parent.exists()
    assert not archive.parent.exists()
    batches.clear("me")  # once more does no harm


@pytest.mark.parametrize("count", [0, 3])
def test_no_and_too_many_files_are_refused(
    service: FusionService, source: Path, count: int
) -> None:
    limits = service.settings.limits.model_copy(update={"batch_files": 2})
    service.settings = service.settings.model_copy(update={"limits": limits})
    with pytest.raises(OptionError, match=r"a batch (needs photographs|takes at most 2)"):
        Batches(service).start("me", [item(source, source)] * count, FAST)


def test_an_item_without_a_source_is_refused(batches: Batches, source: Path) -> None:
    with pytest.raises(OptionError, match=r"a\.jpg has no source picture; choose one for it"):
        batches.start("me", [BatchItem(source, (), "a.jpg", "")], FAST)


def test_a_zip_is_unpacked_into_the_storage(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    archive = service.storage.new_file("photos.zip")
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(source, "album/a.jpg")
        zipped.writestr("album/broken.jpg", source.read_bytes()[:3000])
    found = batches.unpack(archive).result()
    assert [file.name for file in found.files] == ["album/a.jpg", "album/broken.jpg"]
    assert all(service.storage.require(file.path) == file.path for file in found.files)
    assert not archive.exists()
    # A broken one among them must not take the others with it when it is deleted.
    items = [item(file.path, source, file.name) for file in reversed(found.files)]
    assert states(over(batches.start("me", items, FAST))) == ["failed", "done"]


def test_a_refused_zip_leaves_nothing(batches: Batches, service: FusionService) -> None:
    archive = service.storage.new_file("photos.zip")
    archive.write_bytes(b"no archive")
    before = {path for path in service.storage.directory.iterdir() if path != archive.parent}
    job = batches.unpack(archive)
    job.wait()
    assert job.status().state.value == "failed"
    assert set(service.storage.directory.iterdir()) == before


def test_results_whose_time_is_over_are_forgotten(
    batches: Batches, uploaded: Callable[..., Path], source: Path
) -> None:
    batch = over(batches.start("me", [item(uploaded("a.jpg"), source)], FAST))
    assert batches.of("me") is batch
    batch.ended = time.monotonic() - 25 * 3600
    assert batches.of("me") is None


def test_names_are_unique_also_where_case_and_accents_do_not_count() -> None:
    names = Names()
    wanted = ["a.jpg", "A.JPG", "a.jpg", "é.png", "e\u0301.png", "none", "none"]
    assert [names.take(name) for name in wanted] == [
        *("a.jpg", "A-2.JPG", "a-3.jpg", "é.png", "e\u0301-2.png", "none", "none-2")
    ]


def test_an_archive_is_complete_or_not_there(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(bytes(3_000_000))
    files = [(name, tmp_path / name) for name in "ab"]
    path = tmp_path / "all.zip"
    told: list[float] = []

    def give_up(fraction: float) -> None:
        told.append(fraction)
        if fraction > 0.5:
            raise OptionError("enough")

    with pytest.raises(OptionError):
        batch_archive.write_archive(path, files, {}, give_up)
    assert {one.name for one in tmp_path.iterdir()} == {"a", "b"}
    assert told == sorted(told)
    batch_archive.write_archive(path, files, {"note.txt": "é"}, told.append)
    assert told[-1] == 1.0
    with zipfile.ZipFile(path) as zipped:
        assert zipped.read("note.txt") == "é".encode()


def test_a_cell_is_never_a_formula() -> None:
    text = csv_text([ReportLine("=1+1.jpg", "@x", warnings=("-a", "b"), seconds=-1.0)])
    assert text.startswith("\ufefftarget,source,output,state")
    assert text.splitlines()[1].startswith("'=1+1.jpg,'@x,,waiting,")
    assert ",'-1.0,'-a; b," in text


def test_the_remaining_time_follows_the_mean_of_the_files() -> None:
    board = Board(3)
    assert board.remaining_s() is None
    board.begin()
    time.sleep(0.05)
    board.update(0, state=FileState.DONE)
    board.begin()
    remaining = board.remaining_s()
    assert remaining is not None
    assert 0.05 < remaining < 1.0
    board.skip_rest()
    assert board.remaining_s() == 0


def test_messages_tell_the_person_s_names(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    target = uploaded("1.jpg")
    batch = Batch(service, [BatchItem(target, (source,), "a b/1.jpg", "me.jpg")], FAST, "largest")
    named = batch._named(f"{target} is odd, and 11.jpg is not 1.jpg; see {source}", 0)
    assert named == "a b/1.jpg is odd, and 11.jpg is not a b/1.jpg; see me.jpg"


def until(done: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_thumbnail_that_cannot_be_made_is_left_out(
    batches: Batches,
    uploaded: Callable[..., Path],
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_run, "THUMBNAIL_NAME", f"{'x' * 300}.jpg")
    batch = over(batches.start("me", [item(uploaded("a.jpg"), source)], FAST))
    assert states(batch) == ["done"]
    assert batch.files()[0].thumbnail is None


def test_what_nobody_expected_ends_the_batch_too(
    batches: Batches,
    uploaded: Callable[..., Path],
    source: Path,
    service: FusionService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(wish: Any) -> Any:
        raise RuntimeError("a programming error")

    monkeypatch.setattr(service, "submit", broken)
    batch = over(batches.start("me", [item(uploaded("a.jpg"), source)], FAST))
    status = batch.status()
    assert (states(batch), status.state) == (["skipped"], BatchState.STOPPED)
    assert status.problem is not None
    assert status.problem.message.startswith("something went wrong inside the studio")


def test_a_looked_at_target_leaves_no_preview(
    batches: Batches, uploaded: Callable[..., Path], source: Path, service: FusionService
) -> None:
    target = uploaded("a.jpg")
    batch = over(batches.start("me", [item(target, source)], FAST))
    shutil.rmtree(target.parent)
    shutil.rmtree(source.parent)
    batches.clear("me")
    assert batch.status().state is BatchState.DONE
    assert list(service.storage.directory.iterdir()) == []
