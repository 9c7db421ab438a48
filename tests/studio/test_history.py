"""The results of each visitor: what is listed, for how long, and what deleting takes away."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from common.errors import OptionError
from common.types import Size
from fusion.request import FaceSelection, FusionRequest, FusionResult, Output
from studio.page.calls import Data
from studio.page.calls.fuse import FuseCalls
from studio.page.calls.history import HistoryCalls, entry_view
from studio.page.visits import Visit, Visits
from studio.service import history as module
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.history import THUMBNAIL_PX
from studio.service.wish import Fused, Photo, Wish
from tests.studio.talking import follow, start

Make = Callable[[], Fused]


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    """What is asked for in these tests; nothing reads the pictures."""

    def photo(name: str) -> Photo:
        return Photo(tmp_path / name, Size(40, 30), "jpeg", (), 0.5, tmp_path / name, Size(40, 30))

    controls = Controls(ratio=0.4, format="png")
    return Wish(photo("portrait.jpg"), (photo("face.jpg"),), FaceSelection(), controls)


@pytest.fixture
def finish(service: FusionService, wish: Wish) -> Make:
    """Makes results of that wish, each with files of its own."""

    def make() -> Fused:
        path = service.storage.new_file("portrait-fused.png")
        Image.new("RGB", (40, 30)).save(path)
        preview = path.with_name("preview.jpg")
        Image.new("RGB", (40, 30)).save(preview)
        request = FusionRequest(wish.target.path, (wish.sources[0].path,), Output(path))
        result = FusionResult(
            request=request,
            size=Size(40, 30),
            format="png",
            engine="mesh",
            device="cpu",
            engine_reason="",
            faces=(),
            seconds={"total": 1.25},
            peak_rss_mb=100,
            written="encoded",
        )
        return Fused(result, preview)

    return make


def test_an_entry_says_what_was_made_of_what(
    service: FusionService, finish: Make, wish: Wish
) -> None:
    fused = finish()
    entry = service.history.add("anna", wish, fused)
    assert service.history.entries("anna") == (entry,)
    assert (entry.target, entry.sources) == ("portrait.jpg", ("face.jpg",))
    assert entry.path == fused.result.request.output.path
    assert Controls(**entry.controls) == wish.controls
    assert (entry.made.size, entry.made.engine) == (fused.result.size, "mesh")
    assert entry.made.bytes == entry.path.stat().st_size
    assert entry.made.seconds == 1.25
    assert time.time() - 60 < entry.when <= time.time()
    assert entry.expires == entry.when + 24 * 3600


def test_the_thumbnail_is_a_small_picture_of_the_result(
    service: FusionService, finish: Make, wish: Wish
) -> None:
    fused = finish()
    assert fused.preview is not None
    Image.new("RGB", (1600, 400), (200, 30, 30)).save(fused.preview)
    entry = service.history.add("anna", wish, fused)
    assert entry.thumbnail is not None
    with Image.open(entry.thumbnail) as picture:
        assert (picture.format, picture.size) == ("JPEG", (THUMBNAIL_PX, THUMBNAIL_PX // 4))
        red, green, blue = picture.convert("RGB").getpixel((100, 40))  # type: ignore[misc]
    assert abs(red - 200) < 8
    assert max(abs(green - 30), abs(blue - 30)) < 8


def test_a_result_without_a_preview_is_listed_without_a_thumbnail(
    service: FusionService, finish: Make, wish: Wish
) -> None:
    bare = replace(finish(), preview=None)
    damaged = finish()
    assert damaged.preview is not None
    damaged.preview.write_bytes(b"no picture")
    thumbnails = [service.history.add("anna", wish, fused).thumbnail for fused in (bare, damaged)]
    assert thumbnails == [None, None]
    assert len(service.history.entries("anna")) == 2


def test_each_visitor_sees_their_own_newest_first(
    service: FusionService, finish: Make, wish: Wish
) -> None:
    history = service.history
    first, second = (history.add("anna", wish, finish()) for _ in range(2))
    other = history.add("bert", wish, finish())
    assert history.entries("anna") == (second, first)
    assert history.entries("bert") == (other,)
    assert history.entries("carl") == ()


def test_deleting_takes_every_file_of_the_result_and_nothing_else(
    service: FusionService, finish: Make, wish: Wish
) -> None:
    history = service.history
    keep, drop = (history.add("anna", wish, finish()) for _ in range(2))
    history.delete("anna", drop.id)
    assert history.entries("anna") == (keep,)
    assert not drop.path.parent.exists()
    assert keep.path.is_file()


def test_only_the_visitor_can_delete_and_only_once(
    service: FusionService, finish: Make, wish: Wish
) -> None:
    history = service.history
    entry = history.add("anna", wish, finish())
    with pytest.raises(OptionError, match="not in the history"):
        history.delete("bert", entry.id)
    assert entry.path.is_file()
    history.delete("anna", entry.id)
    with pytest.raises(OptionError, match="not in the history"):
        history.delete("anna", entry.id)


def test_an_entry_goes_with_its_file(service: FusionService, finish: Make, wish: Wish) -> None:
    history = service.history
    old, young = (history.add("anna", wish, finish()) for _ in range(2))
    long_ago = time.time() - 25 * 3600
    for file in old.path.parent.iterdir():
        os.utime(file, (long_ago, long_ago))
    assert service.storage.sweep() == 3
    assert history.entries("anna") == (young,)
    young.path.unlink()
    assert history.entries("anna") == ()


def test_the_list_is_bounded_and_the_files_of_what_leaves_it_stay(
    service: FusionService,
    finish: Make,
    wish: Wish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    first, second, third = (service.history.add("anna", wish, finish()) for _ in range(3))
    assert service.history.entries("anna") == (third, second)
    assert first.path.is_file()


def test_the_visitor_who_made_nothing_for_longest_is_forgotten(
    service: FusionService,
    finish: Make,
    wish: Wish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_VISITORS", 2)
    for visitor in ("anna", "bert", "anna", "carl"):
        service.history.add(visitor, wish, finish())
    assert [len(service.history.entries(visitor)) for visitor in ("anna", "bert", "carl")] == [
        2,
        0,
        1,
    ]


def test_many_threads_lose_no_entry(service: FusionService, finish: Make, wish: Wish) -> None:
    history = service.history
    bare = replace(finish(), preview=None)

    def work() -> None:
        for _ in range(20):
            entry = history.add("anna", wish, bare)
            assert entry in history.entries("anna")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = history.entries("anna")
    assert len({entry.id for entry in entries}) == 80
    assert [entry.when for entry in entries] == sorted((e.when for e in entries), reverse=True)


# --- the calls ---


@pytest.fixture
def cards(service: FusionService, visits: Visits) -> HistoryCalls:
    return HistoryCalls(service, visits)


def test_a_card_tells_file_settings_and_times(
    service: FusionService, cards: HistoryCalls, visit: Visit, finish: Make, wish: Wish
) -> None:
    entry = service.history.add(visit.visitor, wish, finish())
    (card,) = cards.history_list(visit, {})["entries"]
    assert card["size"] == [40, 30]
    assert card["file"]["name"] == "portrait-fused.png"
    assert card["file"]["url"] == f"gradio_api/file={entry.path.as_posix()}"
    assert card["file"]["bytes"] == entry.path.stat().st_size
    assert card["thumbnail"].endswith("/thumbnail.jpg")
    assert card["changed"] == ["ratio", "format"]
    assert Controls.read(card["controls"], service.settings) == wish.controls
    assert (card["engine"], card["device"]) == ("mesh", "CPU")
    assert 0 <= card["ago"] <= 60
    assert card["ago"] + card["left"] == pytest.approx(24 * 3600, abs=2)


def test_a_card_is_never_left_for_less_than_no_time(
    service: FusionService, finish: Make, wish: Wish
) -> None:
    entry = service.history.add("anna", wish, finish())
    defaults = Controls.defaults(service.settings).model_dump()
    assert entry_view(entry, defaults, entry.expires + 100)["left"] == 0


def test_what_is_left_is_answered_after_deleting(
    service: FusionService,
    cards: HistoryCalls,
    visit: Visit,
    visits: Visits,
    finish: Make,
    wish: Wish,
) -> None:
    keep, drop = (service.history.add(visit.visitor, wish, finish()) for _ in range(2))
    tab = visits.find(visit.visitor, "other tab")
    assert [card["id"] for card in cards.history_delete(tab, {"id": drop.id})["entries"]] == [
        keep.id
    ]


@pytest.mark.parametrize("data", [{}, {"id": 3}, {"id": "x", "more": 1}, {"id": "unknown"}])
def test_a_call_that_names_no_result_is_refused(
    cards: HistoryCalls, visit: Visit, data: Data
) -> None:
    with pytest.raises(OptionError):
        cards.history_delete(visit, data)


def test_a_fusion_of_the_page_is_in_the_history(
    service: FusionService, calls: FuseCalls, cards: HistoryCalls, visit: Visit, asked: Data
) -> None:
    start(calls, visit, asked, ratio=0.5)
    shown = follow(calls, visit)[-1]
    (card,) = cards.history_list(visit, {})["entries"]
    assert card["file"]["url"] == shown["link"]
    assert card["changed"] == ["ratio"]
    assert service.storage.require(card["thumbnail"].partition("file=")[2]).is_file()
