"""What was made: found again, downloaded again, used again, deleted."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Open, Server
from tests.e2e.visit import Visit, sha256


def make_two(here: Visit, folder: Path) -> Path:
    """Look at the empty tab, then make two results; the first of them, downloaded."""
    here.show("history")
    here.page.wait_for_selector("#ff-history .ff-history[data-state=empty]")
    assert here.page.inner_text("#ff-history h3") == here.say("history_empty_title")
    here.page.click("#ff-history .ff-history-empty-button")
    here.page.wait_for_selector("#ff-panel-fuse.ff-shown")
    here.load_demo()
    here.unfold("finish")
    here.slide("ratio", 0.9)
    here.slide("smooth", 0.3)
    here.fuse()
    first = here.download(folder)
    here.slide("ratio", 0.2)
    here.page.wait_for_selector("#ff-stage .ff-stale:not(:empty)")
    here.start()
    here.page.wait_for_function(
        "document.querySelector('#ff-stage .ff-stale').textContent === '' "
        "&& document.querySelector('#ff-cancel').hidden"
    )
    return first


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("zh", 390)])
def test_results_are_kept_reused_and_deleted(
    server: Server, visit: Open, tmp_path: Path, language: str, width: int
) -> None:
    here = visit(language, width)
    first = make_two(here, tmp_path)
    here.open()  # what was made is still there after a reload
    here.show("history")
    cards = here.part("#ff-history .ff-history-card")
    cards.nth(1).wait_for()
    assert cards.count() == 2
    assert here.page.inner_text("#ff-history .ff-history-count") == here.say(
        "history_count", count=2
    )
    older = cards.nth(1)
    assert here.say("pixels", width=512, height=512) in older.inner_text()
    chips = older.locator(".ff-history-chips li").all_inner_texts()
    assert f"{here.say('controls_ratio')} 0.9" in chips
    assert f"{here.say('controls_smooth')} 0.3" in chips
    image = older.locator("img")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    with here.page.expect_download() as waiting:
        older.locator(".ff-history-download").click()
    again = tmp_path / "again.jpg"
    waiting.value.save_as(again)
    assert sha256(again) == sha256(first)
    assert here.overflow() == 0

    older.locator(".ff-history-reuse").click()
    here.page.wait_for_selector("#ff-panel-fuse.ff-shown")
    assert (here.controls()["ratio"], here.controls()["smooth"]) == (0.9, 0.3)
    here.show("history")
    older.wait_for()
    older.locator(".ff-history-delete").click()
    older.locator(".ff-history-no").click()  # not after all
    assert cards.count() == 2
    older.locator(".ff-history-delete").click()
    here.page.keyboard.press("Escape")
    assert cards.count() == 2
    older.locator(".ff-history-delete").click()
    older.locator(".ff-history-yes").click()
    here.page.wait_for_function("document.querySelectorAll('.ff-history-card').length === 1")
    kept = {sha256(path) for path in server.storage.rglob("astronaut-fused.jpg")}
    assert sha256(first) not in kept
    cards.nth(0).locator(".ff-history-delete").click()
    cards.nth(0).locator(".ff-history-yes").click()
    here.page.wait_for_selector("#ff-history .ff-history[data-state=empty]")


def test_a_deleted_result_is_not_offered_any_more(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.fuse()
    here.show("history")
    here.page.click(".ff-history-card .ff-history-delete")
    here.page.click(".ff-history-card .ff-history-yes")
    here.page.wait_for_selector("#ff-history .ff-history[data-state=empty]")
    here.show("fuse")
    assert here.part("#ff-stage .ff-outcome").is_hidden()
    here.settle()
    assert here.page.inner_text("#ff-stage .ff-badge") == here.say("preview")
