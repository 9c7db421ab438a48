"""What the page's parts are told: plain values, every text in both languages."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import CancelledError, UnreadableImageError
from common.progress import Progress
from common.types import Face, FaceQuality, Pose, Region, Size
from fusion.request import FusionRequest, FusionResult, Output
from preprocess.image_file import ImageFile
from studio.page.texts import TEXTS
from studio.page.views import busy_view, done_view, file_link, frame_of, outline, photo_view
from studio.service.jobs import JobState, JobStatus
from studio.service.preview import preview_size, write_preview
from studio.service.wish import Fused, Photo, Role

STORAGE = Path("/my cache/run")
BEFORE = STORAGE / "abc" / "preview.jpg"


def face_at(box: Region, index: int = 0) -> Face:
    return Face(
        index,
        box,
        0.9,
        np.zeros((468, 3), np.float32),
        np.zeros((2, 5, 2), np.float32),
        Pose(0, 0, 0),
        FaceQuality(100.0, 10.0),
    )


def photo_with(*boxes: Region) -> Photo:
    faces = tuple(face_at(box, index) for index, box in enumerate(boxes))
    path = STORAGE / "abc" / "me.jpg"
    return Photo(path, Size(1000, 500), "jpeg", faces, 0.4, Path("/p.jpg"), Size(500, 250))


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        (Size(800, 600), 1600, Size(800, 600)),
        (Size(3200, 1600), 1600, Size(1600, 800)),
        (Size(1601, 1600), 1600, Size(1600, 1599)),
        (Size(24000, 10), 1600, Size(1600, 1)),
    ],
)
def test_previews_shrink_and_never_grow(size: Size, longest: int, expected: Size) -> None:
    assert preview_size(size, longest) == expected


def test_a_preview_is_a_small_jpeg_of_the_picture(tmp_path: Path, astronaut: np.ndarray) -> None:
    picture, preview = tmp_path / "a.png", tmp_path / "preview.jpg"
    Image.fromarray(astronaut).save(picture)
    write_preview(ImageFile.open(picture, max_megapixels=1), 256, preview, Progress())
    with Image.open(preview) as made:
        assert (made.format, made.size) == ("JPEG", (256, 256))
        wanted = np.asarray(Image.fromarray(astronaut).resize((256, 256), Image.Resampling.BOX))
        difference = np.abs(np.asarray(made, float) - wanted).mean()
    assert difference < 4


def test_a_damaged_picture_makes_no_preview(tmp_path: Path, astronaut: np.ndarray) -> None:
    whole, half = tmp_path / "a.jpg", tmp_path / "half.jpg"
    Image.fromarray(astronaut).save(whole)
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(UnreadableImageError):
        write_preview(
            ImageFile.open(half, max_megapixels=1), 256, tmp_path / "preview.jpg", Progress()
        )


def test_a_preview_that_nobody_waits_for_is_not_made(tmp_path: Path, astronaut: np.ndarray) -> None:
    picture, preview = tmp_path / "a.png", tmp_path / "preview.jpg"
    Image.fromarray(astronaut).save(picture)
    progress = Progress()
    progress.cancel()
    with pytest.raises(CancelledError):
        write_preview(ImageFile.open(picture, max_megapixels=1), 256, preview, progress)
    assert not preview.exists()


def test_links_are_quoted() -> None:
    assert file_link(Path("/a b/x#1?.jpg")) == "gradio_api/file=/a%20b/x%231%3F.jpg"


def test_outlines_are_percentages_inside_the_picture() -> None:
    size = Size(1000, 500)
    assert outline(Region(100, 50, 200, 100), size) == {"x": 10.0, "y": 10.0, "w": 20.0, "h": 20.0}
    over = outline(Region(-100, 400, 300, 300), size)
    assert over == {"x": 0.0, "y": 80.0, "w": 20.0, "h": 20.0}


def test_a_photograph_is_described_with_its_faces() -> None:
    view = photo_view("id7", photo_with(Region(0, 0, 100, 50), Region(20, 0, 5, 5)), "target", 24)
    assert view["faces"][0] == {"x": 0.0, "y": 0.0, "w": 10.0, "h": 10.0}
    assert len(view["faces"]) == 2
    assert (view["id"], view["name"], view["format"]) == ("id7", "me.jpg", "jpeg")
    assert (view["size"], view["threshold"]) == ([1000, 500], 0.4)
    assert (view["url"], view["width"], view["height"]) == ("gradio_api/file=/p.jpg", 500, 250)
    assert view["message"] is None
    assert str(STORAGE) not in repr(view)


@pytest.mark.parametrize(
    ("role", "english", "chinese"),
    [
        ("target", "target me.jpg", "目标照片 me.jpg"),
        ("source", "source me.jpg", "来源照片 me.jpg"),
    ],
)
def test_a_picture_without_a_face_says_which_and_what_would_do(
    role: Role, english: str, chinese: str
) -> None:
    message = photo_view("id7", photo_with(), role, 24)["message"]
    assert english in message["en"]
    assert "24 pixels" in message["en"]
    assert chinese in message["zh"]
    assert "24 像素" in message["zh"]


def test_progress_is_told_as_it_is() -> None:
    status = JobStatus(JobState.RUNNING, 0, "render", 0.51239, stopping=True)
    assert busy_view(status, 3.14159) == {
        "state": "busy",
        "position": 0,
        "stage": "render",
        "fraction": 0.512,
        "stopping": True,
        "remaining": 3.1,
    }
    waiting = busy_view(JobStatus(JobState.WAITING, 2), None)
    assert (waiting["position"], waiting["remaining"]) == (2, None)


def result_for(
    target: Photo,
    output: Path,
    used: tuple[int, ...] = (0,),
    fit: str = "keep",
    size: Size = Size(2048, 1024),  # noqa: B008 - frozen
    **change: Any,
) -> Fused:
    output.write_bytes(b"x" * 1_240_000)
    result = FusionResult(
        request=FusionRequest(target.path, (target.path,), Output(output, fit=fit)),
        size=size,
        format="jpeg",
        engine="mesh",
        device="cpu",
        engine_reason="engine mesh was asked for (engine modelscope: name it)",
        faces=tuple((face, face.index in used) for face in target.faces),
        seconds={"total": 1.26},
        peak_rss_mb=100.0,
        written="grafted",
        notes=("2048 px, because the face has 400 px",),
        warnings=(f"{STORAGE}/abc/me.jpg is blurred",),
    )
    return Fused(dataclasses.replace(result, **change), output.with_name("p.jpg"))


def view_of(fused: Fused, target: Photo) -> dict[str, Any]:
    return done_view(fused, target.size, BEFORE, STORAGE)


def test_a_result_says_what_was_done(tmp_path: Path) -> None:
    target = photo_with(Region(400, 0, 100, 100), Region(200, 0, 90, 90))
    view = view_of(result_for(target, tmp_path / "me-fused.jpg"), target)
    facts = dict(view["facts"])
    assert {name: text["en"] for name, text in facts.items()} == {
        "fact_size": "2048 × 1024 px",
        "fact_file": "JPEG",
        "fact_time": "1.3 s",
        "fact_engine": "Mesh on CPU",
        "fact_written": "only the JPEG blocks of the face",
    }
    assert facts["fact_size"]["zh"] == "2048 × 1024 像素"
    assert set(facts) <= set(TEXTS)  # the browser names them
    assert view["why"]["en"] == "Engine mesh was asked for (engine modelscope: name it)."
    assert view["why"]["zh"].startswith("使用了指定的引擎 mesh")
    assert [note["en"] for note in view["notes"]] == ["2048 px, because the face has 400 px."]
    assert [text["en"] for text in view["warnings"]] == ["me.jpg is blurred."]
    assert (view["file"], view["bytes"]) == ("me-fused.jpg", 1_240_000)
    assert (view["width"], view["height"]) == (2048, 1024)
    assert view["link"].endswith("/me-fused.jpg")
    assert view["before"] == file_link(BEFORE)
    assert view["after"].endswith("/p.jpg")
    assert view["divide"] == pytest.approx(34.0)  # left of the face that was replaced
    (face,) = view["faces"]
    assert list(face) == ["x", "y", "w", "h"]
    assert list(face.values()) == pytest.approx([40, 0, 10, 20], abs=0.1)


def test_a_result_without_a_reason_has_none(tmp_path: Path) -> None:
    target = photo_with(Region(400, 0, 100, 100))
    view = view_of(result_for(target, tmp_path / "o.jpg", engine_reason="", notes=()), target)
    assert view["why"] is None
    assert view["notes"] == []


def test_a_small_file_has_a_size_too(tmp_path: Path) -> None:
    target = photo_with(Region(400, 0, 100, 100))
    fused = result_for(target, tmp_path / "o.jpg")
    fused.result.request.output.path.write_bytes(b"x" * 12_000)
    assert view_of(fused, target)["bytes"] == 12_000


def test_the_divider_stays_in_the_picture(tmp_path: Path) -> None:
    for x, expected in ((0, 4.0), (900, 50.0)):
        target = photo_with(Region(x, 0, 100, 100))
        assert view_of(result_for(target, tmp_path / "o.jpg"), target)["divide"] == expected
    nobody = photo_with(Region(0, 0, 100, 100))
    view = view_of(result_for(nobody, tmp_path / "o.jpg", used=()), nobody)
    assert (view["divide"], view["faces"]) == (50.0, [])


@pytest.mark.parametrize("written", ["copied", "stripped", "grafted", "encoded"])
def test_the_page_can_say_how_a_file_was_written(tmp_path: Path, written: str) -> None:
    target = photo_with(Region(0, 0, 100, 100))
    view = view_of(result_for(target, tmp_path / "o.jpg", written=written), target)
    told = dict(view["facts"])["fact_written"]
    assert told["en"] != told["zh"]


@pytest.mark.parametrize(
    ("fit", "size", "placed", "divide", "face"),
    [
        ("keep", Size(512, 256), (0, 0, 100, 100), 34, (40, 0, 10, 20)),
        ("pad", Size(512, 512), (0, 25, 100, 50), 34, (40, 25, 10, 10)),
        # 1024 x 512 with the face from 409 to 512, in the middle of 512 columns from 204 on
        ("crop", Size(512, 512), (-39.8438, 0, 200, 100), 34, (40, 0, 20, 20)),
    ],
)
def test_before_lies_where_the_result_shows_it(
    tmp_path: Path,
    fit: str,
    size: Size,
    placed: tuple[float, ...],
    divide: float,
    face: tuple[float, ...],
) -> None:
    target = photo_with(Region(400, 0, 100, 100))
    fused = result_for(target, tmp_path / "o.jpg", (0,), fit, size)
    view = view_of(fused, target)
    assert view["placed"] == dict(zip(("left", "top", "across", "down"), placed, strict=True))
    assert view["divide"] == pytest.approx(divide, abs=0.5)
    assert tuple(view["faces"][0].values()) == pytest.approx(face, abs=0.4)
    assert frame_of(fused.result, target.size).size == size


def test_a_result_without_a_preview_is_still_offered(tmp_path: Path) -> None:
    target = photo_with(Region(0, 0, 100, 100))
    fused = result_for(target, tmp_path / "o.jpg")
    view = view_of(Fused(fused.result, None), target)
    assert view["after"] is None
    assert view["link"].endswith("/o.jpg")
    assert "no preview" in view["warnings"][-1]["en"]
    assert "预览" in view["warnings"][-1]["zh"]
