"""Many photographs at once."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Open, Photos
from tests.e2e.visit import Visit


@pytest.fixture
def folder(tmp_path: Path, photos: Photos) -> Path:
    """Three good targets, one of another name in Chinese, and a bad one among them."""
    made = tmp_path / "targets"
    made.mkdir()
    astronaut = Image.fromarray(photos.pixels)
    astronaut.save(made / "a.jpg", quality=92)
    (made / "b broken.jpg").write_bytes((made / "a.jpg").read_bytes()[:9000])
    astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(made / "全家福.png")
    astronaut.resize((400, 400)).save(made / "c.webp")
    return made


def give(here: Visit, button: str, files: Path | list[Path]) -> None:
    with here.page.expect_file_chooser() as chooser:
        here.page.click(f"#ff-batch .ff-b-{button}")
    chooser.value.set_files(files)


def prepare(here: Visit, source: Path) -> None:
    here.show("batch")
    give(here, "sources-add", source)
    here.page.wait_for_selector("#ff-batch .ff-b-person")


def run(here: Visit) -> None:
    here.page.click("#ff-batch .ff-b-start:not([disabled])")
    here.page.wait_for_selector("#ff-batch .ff-b-download:visible", timeout=90_000)


def rows(here: Visit) -> list[str]:
    return here.part("#ff-batch tbody tr").all_inner_texts()


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("zh", 390)])
def test_a_bad_file_among_good_ones(
    visit: Open, photos: Photos, folder: Path, tmp_path: Path, language: str, width: int
) -> None:
    here = visit(language, width)
    here.show("batch")
    assert here.part("#ff-batch .ff-b-start").is_disabled()
    assert here.page.inner_text("#ff-batch .ff-b-summary") == here.say("batch_missing_targets")
    prepare(here, photos.source)
    give(here, "files", sorted(folder.iterdir()))
    here.page.wait_for_function("document.querySelectorAll('#ff-batch tbody tr').length === 4")
    assert here.overflow() == 0
    run(here)
    assert here.overflow() == 0
    failed = [text for text in rows(here) if here.say("batch_state_failed") in text]
    assert len(failed) == 1
    assert "b broken.jpg" in failed[0]
    summary = here.page.inner_text("#ff-batch .ff-b-summary")
    assert here.say("batch_done_of", done=3, count=4) in summary
    assert here.say("batch_failed_count", count=1) in summary
    thumbnail = here.part("#ff-batch tbody img").first
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    with zipfile.ZipFile(here.download(tmp_path, "#ff-batch .ff-b-download")) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        results = {"a-fused.jpg", "全家福-fused.png", "c-fused.webp"}
        assert names == {*results, "report.csv", "report.json"}
        with Image.open(io.BytesIO(archive.read("a-fused.jpg"))) as picture:
            difference = np.abs(np.asarray(picture, int) - photos.pixels)
        report = json.loads(archive.read("report.json"))
        table = list(csv.DictReader(io.StringIO(archive.read("report.csv").decode("utf-8-sig"))))
    assert difference[80:170, 190:260].mean() > 8
    assert difference[400:].mean() < 3
    assert sorted(row["state"] for row in table) == ["done", "done", "done", "failed"]
    assert len(report["files"]) == 4


def test_a_reload_finds_the_batch_and_clear_forgets_it(
    visit: Open, photos: Photos, folder: Path
) -> None:
    here = visit()
    prepare(here, photos.source)
    give(here, "files", [folder / "a.jpg", folder / "c.webp"])
    run(here)
    here.open()
    here.show("batch")
    here.page.wait_for_selector("#ff-batch .ff-b-download:visible")
    assert len(rows(here)) == 2
    here.page.click("#ff-batch .ff-b-clear")
    here.page.wait_for_selector(f"#ff-batch .ff-b-clear >> text={here.say('batch_clear_sure')}")
    here.page.click("#ff-batch .ff-b-clear")
    here.page.wait_for_selector("#ff-batch .ff-b-empty:visible")
    here.open()
    here.show("batch")
    here.page.wait_for_selector("#ff-batch .ff-b-empty:visible")


def test_an_archive_and_the_sources_of_the_fuse_tab(
    visit: Open, photos: Photos, folder: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "many.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(folder / "a.jpg", "inside/a.jpg")
        packed.write(folder / "c.webp", "c.webp")
        packed.writestr("__MACOSX/._a.jpg", b"x")
        packed.writestr("letter.txt", "Dear all,")
    here = visit("zh")
    here.upload("sources", photos.source)
    here.show("batch")
    here.page.click("#ff-batch .ff-b-sources-fuse")
    here.page.wait_for_selector("#ff-batch .ff-b-person")
    give(here, "zip", archive)
    here.page.wait_for_function("document.querySelectorAll('#ff-batch tbody tr').length === 2")
    left_out = here.part("#ff-batch .ff-b-left-out")
    assert left_out.is_visible()
    run(here)
    assert here.say("batch_done_of", done=2, count=2) in here.page.inner_text(
        "#ff-batch .ff-b-summary"
    )


def test_a_batch_can_be_cancelled_and_keeps_what_is_done(
    visit: Open, photos: Photos, folder: Path, tmp_path: Path
) -> None:
    here = visit()
    here.page.evaluate("studio.setControls({ resolution: '4096' })")
    prepare(here, photos.source)
    copies = []
    for number in range(4):
        copies.append(tmp_path / f"{number}.jpg")
        copies[-1].write_bytes((folder / "a.jpg").read_bytes())
    give(here, "files", copies)
    here.page.click("#ff-batch .ff-b-start:not([disabled])")
    here.page.wait_for_selector("#ff-batch tbody [data-state=done]", timeout=90_000)
    here.page.click("#ff-batch .ff-b-cancel")
    here.page.wait_for_selector("#ff-batch .ff-b-download:visible", timeout=30_000)
    with zipfile.ZipFile(here.download(tmp_path, "#ff-batch .ff-b-download")) as packed:
        results = [name for name in packed.namelist() if name.endswith(".jpg")]
    assert 1 <= len(results) < 4
