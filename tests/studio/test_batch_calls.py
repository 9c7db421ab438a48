"""What the browser asks for a batch: plain data in, plain data out."""

import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from PIL import Image

from common.errors import FileMissingError, InputError, OptionError
from studio.page.calls.batch import BatchCalls
from studio.page.texts import TEXTS
from studio.page.texts import batch as texts
from studio.page.visits import Visit, Visits
from studio.service.fusion_service import FusionService
from tests.studio.loops import run

ASSETS = Path(__file__).resolve().parents[2] / "studio" / "page" / "assets"
PATIENCE_S = 120


@pytest.fixture
def calls(service: FusionService) -> Iterator[BatchCalls]:
    visits = Visits(3600)
    yield BatchCalls(service, visits)
    visits.close()


@pytest.fixture
def visit() -> Visit:
    return Visit("visitor", "a-tab-of-the-page")


@pytest.fixture
def target(service: FusionService, astronaut: NDArray[Any]) -> Path:
    path = service.storage.new_file("a.jpg")
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture
def asked(service: FusionService, visit: Visit, target: Path) -> dict[str, Any]:
    """A batch of a good and a damaged target, as the page asks for it."""
    damaged = service.storage.new_file("broken.jpg")
    damaged.write_bytes(b"no picture")
    source = visit.keep(service.look_at_demo("source").result())
    return {
        "items": [
            {"path": str(target), "name": "album/a.jpg", "sources": [0]},
            {"path": str(damaged), "name": "broken.jpg", "sources": [0]},
        ],
        "sources": [{"id": source, "name": "me.png"}],
        "controls": {"ratio": 0.4, "resolution": "512"},
        "faces": "largest",
    }


def follow(calls: BatchCalls, visit: Visit, view: dict[str, Any]) -> dict[str, Any]:
    """The view of a batch that is over, put together from all the news."""
    limit = time.monotonic() + PATIENCE_S
    while not view["over"]:
        assert time.monotonic() < limit
        asked = {"id": view["id"], "seen": view["seen"]}
        news = run(calls.batch_follow(visit, asked))
        view = {**view, **news, "files": {**view["files"], **news["files"]}}
    return view


def test_a_batch_from_start_to_end(
    calls: BatchCalls, visit: Visit, asked: dict[str, Any], service: FusionService
) -> None:
    begun = calls.batch_start(visit, asked)
    assert [item["name"] for item in begun["items"]] == ["album/a.jpg", "broken.jpg"]
    assert begun["items"][0]["source"] == "me.png"
    assert (begun["faces"], begun["controls"]["ratio"]) == ("largest", 0.4)
    assert len(begun["files"]) == 2
    end = follow(calls, visit, begun)
    assert (end["state"], end["problem"]) == ("done", None)
    assert (end["counts"]["done"], end["counts"]["failed"]) == (1, 1)
    done, failed = end["files"]["0"], end["files"]["1"]
    assert (done["state"], done["output"], done["size"]) == ("done", "a-fused.jpg", [512, 512])
    for name in ("url", "preview", "thumbnail"):
        assert done[name].startswith("gradio_api/file=")
    assert failed["state"] == "failed"
    assert failed["error"]["code"] == "unreadable_image"
    assert failed["error"]["text"]["en"].startswith("broken.jpg is not a picture")
    assert "“broken.jpg”不是图片" in failed["error"]["text"]["zh"]
    assert end["archive"]["url"].endswith("face-fusion-batch.zip")
    assert end["archive"]["bytes"] > 1000
    assert str(service.storage.directory) not in json.dumps(failed)
    json.dumps(end)


def test_another_page_of_the_visitor_finds_it_and_nobody_else(
    calls: BatchCalls, visit: Visit, asked: dict[str, Any]
) -> None:
    assert calls.batch_state(visit, {})["batch"] is None
    begun = calls.batch_start(visit, asked)
    again = calls.batch_state(Visit("visitor", "another-tab"), {})
    assert again["batch"]["id"] == begun["id"]
    assert again["limit"] == 500
    assert calls.batch_state(Visit("stranger", "a-tab"), {})["batch"] is None
    other = run(calls.batch_follow(Visit("stranger", "a-tab"), {"id": begun["id"], "seen": 0}))
    assert other == {"gone": True}
    follow(calls, visit, begun)


def test_cancel_and_clear(calls: BatchCalls, visit: Visit, asked: dict[str, Any]) -> None:
    asked["items"] = [asked["items"][0]] * 5
    begun = calls.batch_start(visit, asked)
    calls.batch_cancel(visit, {})
    end = follow(calls, visit, begun)
    assert end["state"] == "cancelled"
    assert end["counts"]["skipped"] >= 4
    calls.batch_clear(visit, {})
    assert calls.batch_state(visit, {})["batch"] is None
    assert run(calls.batch_follow(visit, {"id": begun["id"], "seen": 0})) == {"gone": True}
    calls.batch_cancel(visit, {})  # nothing is there to be cancelled


def test_no_news_are_told_after_a_while(
    calls: BatchCalls, visit: Visit, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.page.calls.batch._ANSWER_S", 0.2)
    end = follow(calls, visit, calls.batch_start(visit, asked))
    news = run(calls.batch_follow(visit, {"id": end["id"], "seen": end["seen"]}))
    assert (news["files"], news["seen"]) == ({}, end["seen"])


def test_a_zip_s_photographs_become_targets(
    calls: BatchCalls, visit: Visit, service: FusionService, target: Path
) -> None:
    archive = service.storage.new_file("photos.zip")
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(target, "album/微笑.jpg")
        zipped.writestr("notes.txt", "hello")
    answer = calls.batch_unpack(visit, {"path": str(archive)})
    (file,) = answer["files"]
    assert (file["name"], file["bytes"]) == ("album/微笑.jpg", target.stat().st_size)
    assert service.storage.require(file["path"]).read_bytes() == target.read_bytes()
    assert answer["left_out_count"] == 1
    assert answer["left_out"][0]["en"].startswith("notes.txt is not a picture")


def test_a_table_of_pairs(calls: BatchCalls, visit: Visit) -> None:
    answer = calls.batch_pairs(visit, {"name": "p.csv", "text": "target,source\na.jpg,me.jpg\n"})
    assert answer == {"pairs": [{"target": "a.jpg", "source": "me.jpg"}]}
    with pytest.raises(InputError, match=r"p\.csv holds no pairs"):
        calls.batch_pairs(visit, {"name": "p.csv", "text": ""})


@pytest.mark.parametrize(
    "change",
    [
        {"items": []},
        {"faces": "0,1"},
        {"controls": {"ratio": 3}},
        {"controls": {"unknown": 1}},
        {"sources": [{"id": "unknown", "name": "me.png"}]},
        {"sources": []},
        {"more": 1},
        {"items": [{"path": "x", "name": "", "sources": [0]}]},
        {"items": [{"path": "x", "name": "a", "sources": []}]},
    ],
)
def test_what_the_page_does_not_send_is_refused(
    calls: BatchCalls, visit: Visit, asked: dict[str, Any], change: dict[str, Any]
) -> None:
    with pytest.raises(OptionError):
        calls.batch_start(visit, {**asked, **change})
    assert calls.batch_state(visit, {})["batch"] is None


@pytest.mark.parametrize("place", [-1, 1, 9])
def test_a_source_that_is_not_in_the_list_is_refused(
    calls: BatchCalls, visit: Visit, asked: dict[str, Any], place: int
) -> None:
    asked["items"][0]["sources"] = [place]
    with pytest.raises(OptionError, match=r"album/a\.jpg has no source picture"):
        calls.batch_start(visit, asked)


def test_a_file_that_was_not_uploaded_is_refused(
    calls: BatchCalls, visit: Visit, asked: dict[str, Any], tmp_path: Path
) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"x")
    asked["items"][0]["path"] = str(secret)
    with pytest.raises(FileMissingError):
        calls.batch_start(visit, asked)
    with pytest.raises(FileMissingError):
        calls.batch_unpack(visit, {"path": str(secret)})


def test_every_text_of_the_tab_is_used_and_there() -> None:
    """The keys that the scripts put together are their beginnings' own business."""
    files = ("batch.html", "batch.js", "batch_intake.js", "batch_rows.js")
    scripts = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in files)
    composed = ("batch_column_", "batch_state_", "batch_faces_", "batch_over_")
    unused = [
        key
        for key in texts.TEXTS
        if not re.search(rf"\b{key}\b", scripts) and not key.startswith(composed)
    ]
    assert unused == []
    assert all(key in TEXTS for key in texts.TEXTS)
