import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import CancelledError, ModelMissingError, OutputError, UnreadableImageError
from common.progress import Progress
from common.types import Face, FaceQuality, Pose, Region, Size
from fusion.engines.registry import REASONS, Choice
from fusion.engines.unet.devices import Gpu
from fusion.request import FusionRequest, FusionResult, Output
from preprocess.image_file import ImageFile
from studio.page.texts import Language
from studio.page.views import (
    busy_view,
    done_view,
    engine_lines,
    error_view,
    file_link,
    outline,
    photo_view,
    sentence,
)
from studio.service.fusion_service import EngineStatus, Fused, Photo
from studio.service.jobs import JobState, JobStatus
from studio.service.preview import preview_size, write_preview

STORAGE = Path("/my cache/run")


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
    return Photo(path, Size(1000, 500), "jpeg", faces, Path("/p.jpg"), Size(500, 250))


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
    assert outline(face_at(Region(100, 50, 200, 100)), Size(1000, 500)) == {
        "x": 10.0,
        "y": 10.0,
        "w": 20.0,
        "h": 20.0,
    }
    over = outline(face_at(Region(-100, 400, 300, 300)), Size(1000, 500))
    assert over == {"x": 0.0, "y": 80.0, "w": 20.0, "h": 20.0}


def test_the_largest_face_is_chosen_at_first() -> None:
    view = photo_view(photo_with(Region(0, 0, 9, 9), Region(20, 0, 5, 5)), "target", 24, "en")
    assert view["chosen"] == [0]
    assert len(view["faces"]) == 2
    assert view["facts"] == "me.jpg · 1000 × 500 px"
    assert (view["url"], view["width"], view["height"]) == ("gradio_api/file=/p.jpg", 500, 250)
    assert "message" not in view


def test_a_picture_without_a_face_says_which_and_what_would_do() -> None:
    view = photo_view(photo_with(), "source", 24, "en")
    assert view["chosen"] == []
    assert "source me.jpg" in view["message"]
    assert "24 pixels" in view["message"]


def test_progress_has_the_shape_of_the_target() -> None:
    status = JobStatus(JobState.RUNNING, 0, "render", 0.51239, stopping=True)
    view = busy_view(status, photo_with())
    assert (view["stage"], view["fraction"], view["stopping"]) == ("render", 0.512, True)
    assert (view["width"], view["height"]) == (1000, 500)


def result_for(
    target: Photo,
    output: Path,
    used: tuple[int, ...],
    fit: str = "keep",
    size: Size = Size(2048, 1024),  # noqa: B008 - frozen
) -> Fused:
    output.write_bytes(b"x" * 1_240_000)
    result = FusionResult(
        request=FusionRequest(target.path, (target.path,), Output(output, fit=fit)),
        size=size,
        format="jpeg",
        engine="mesh",
        device="cpu",
        engine_reason="engine mesh was asked for",
        faces=tuple((face, face.index in used) for face in target.faces),
        seconds={"total": 1.26},
        peak_rss_mb=100.0,
        written="grafted",
        notes=("2048 px, because the face has 400 px",),
        warnings=("the source face is blurred",),
    )
    return Fused(result, output.with_name("p.jpg"))


def test_a_result_says_what_was_done(tmp_path: Path) -> None:
    target = photo_with(Region(400, 0, 100, 100), Region(200, 0, 90, 90))
    output = tmp_path / "me-fused.jpg"
    view = done_view(result_for(target, output, (0,)), target, "en")
    assert dict(view["facts"]) == {
        "fact_size": "2048 × 1024 px",
        "fact_file": "JPEG · 1.2 MB",
        "fact_time": "1.3 s",
        "fact_engine": "mesh on cpu",
        "fact_written": "only the JPEG blocks of the face",
    }
    assert view["why"] == "Engine mesh was asked for."
    assert view["notes"] == ["2048 px, because the face has 400 px."]
    assert view["warnings"] == ["The source face is blurred."]
    assert view["file"] == "me-fused.jpg"
    assert view["link"].endswith("/me-fused.jpg")
    assert view["divide"] == pytest.approx(34.0)  # left of the face that was replaced


def test_the_divider_stays_in_the_picture(tmp_path: Path) -> None:
    for x, expected in ((0, 4.0), (900, 50.0)):
        target = photo_with(Region(x, 0, 100, 100))
        result = result_for(target, tmp_path / "o.jpg", (0,))
        assert done_view(result, target, "en")["divide"] == expected


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("written", ["copied", "grafted", "encoded"])
def test_the_page_can_say_how_a_file_was_written(
    tmp_path: Path, language: Language, written: str
) -> None:
    target = photo_with(Region(0, 0, 100, 100))
    fused = result_for(target, tmp_path / "o.jpg", (0,))
    changed = Fused(dataclasses.replace(fused.result, written=written), None)
    assert dict(done_view(changed, target, language)["facts"])["fact_written"]


@pytest.mark.parametrize(
    ("fit", "size", "placed", "divide"),
    [
        ("keep", Size(512, 256), (0, 0, 100, 100), 34),
        ("pad", Size(512, 512), (0, 25, 100, 50), 34),
        # 1024 x 512 with the face from 409 to 512, in the middle of 512 columns from 204 on
        ("crop", Size(512, 512), (-39.8438, 0, 200, 100), 34),
    ],
)
def test_before_lies_where_the_result_shows_it(
    tmp_path: Path, fit: str, size: Size, placed: tuple[float, ...], divide: float
) -> None:
    target = photo_with(Region(400, 0, 100, 100))
    view = done_view(result_for(target, tmp_path / "o.jpg", (0,), fit, size), target, "en")
    assert view["placed"] == dict(zip(("left", "top", "across", "down"), placed, strict=True))
    assert view["divide"] == pytest.approx(divide, abs=0.5)


def test_a_result_without_a_preview_is_still_offered(tmp_path: Path) -> None:
    target = photo_with(Region(0, 0, 100, 100))
    fused = result_for(target, tmp_path / "o.jpg", (0,))
    view = done_view(Fused(fused.result, None), target, "en")
    assert view["after"] is None
    assert view["link"].endswith("/o.jpg")
    assert "no preview" in view["warnings"][-1]


def test_errors_name_files_and_hide_folders() -> None:
    path = STORAGE / "abc" / "My photo (1).jpg"
    error = UnreadableImageError(f"{path} ends before the picture does")
    assert sentence(error, STORAGE, "en") == "My photo (1).jpg ends before the picture does."
    assert sentence(error, STORAGE, "zh").startswith("出错了：")
    view = error_view(error, STORAGE, "en")
    assert view["state"] == "empty"
    assert "cache" not in view["message"]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"the output {STORAGE}/x/o.jpg is full", "The output o.jpg is full."),
        (
            "the model is missing in /home/anna/.cache/models; get it",
            "The model is missing in models; get it.",
        ),
        ("cannot open '/a/b/c.jpg': error", "Cannot open 'c.jpg': error."),
        ("it needs 3 MB in /tmp, which has less", "It needs 3 MB in tmp, which has less."),
        ("8 bits and/or 1 / 3 at http://a/b", "8 bits and/or 1 / 3 at http://a/b."),
    ],
)
def test_no_folder_of_the_server_is_told(message: str, shown: str) -> None:
    assert sentence(OutputError(message), STORAGE, "en") == shown


GPUS = (Gpu("Big", 24_576, 3_072, 42, (8, 0)), Gpu("Part", 10_240, 512, None, None))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("reason", REASONS)
def test_the_engine_is_named_with_its_reason(language: Language, reason: str) -> None:
    engine = "modelscope" if reason == "gpu" else "mesh"
    status = EngineStatus(Choice(engine, reason, "told"), None, GPUS)
    line, *gpus = engine_lines(status, Path("/srv"), language)
    assert engine in line
    commands = {
        "asked": ("fusion.engine",),
        "no_packages": ("./run.sh --full setup", "./run.sh models download"),
        "no_files": ("./run.sh models download",),
        "no_gpu": ("fusion.engine", "modelscope"),
        "gpu": ("fusion.engine", "mesh"),
    }
    for command in commands[reason]:  # how to get the other engine
        assert command in line
    expected = {
        "en": ["Big: 3.0 of 24.0 GB in use, 42 % busy", "Part: 0.5 of 10.0 GB in use"],
        "zh": ["Big：显存已用 3.0 / 24.0 GB，占用率 42%", "Part：显存已用 0.5 / 10.0 GB"],
    }
    assert gpus == expected[language]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_engine_that_cannot_run_says_why_and_hides_folders(language: Language) -> None:
    problem = ModelMissingError("/srv/models lacks alpha.jpg; run ./run.sh models download")
    status = EngineStatus(Choice("modelscope", "asked"), problem, ())
    (line,) = engine_lines(status, Path("/srv/storage"), language)
    assert "modelscope" in line
    assert "models lacks alpha.jpg; run ./run.sh models download" in line
    assert "/srv" not in line
