import dataclasses
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from common.errors import (
    BusyError,
    CancelledError,
    DiskFullError,
    ImageSizeError,
    NoFaceError,
    OptionError,
    UnreadableImageError,
)
from common.progress import Progress
from common.types import Size
from preprocess.image_file import output_format
from preprocess.image_format import NAMES
from studio.service.controls import SUFFIXES, Controls
from studio.service.fusion_service import PREVIEW_NAME, FusionService
from studio.service.jobs import JobState
from studio.service.wish import Fused, Photo, Wish

Photos = tuple[Photo, Photo]
MakeWish = Callable[..., Wish]


def added(service: FusionService, picture: Image.Image, name: str, **options: Any) -> Photo:
    """The picture saved as an upload and looked at."""
    path = service.storage.new_file(name)
    picture.save(path, **options)
    return service.look_at(path).result()


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), int)


def test_the_demo_pair_is_fused_at_its_own_size(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    assert [len(photo.faces) for photo in demo] == [1, 1]
    job = service.submit(wish_for(*demo))
    fused = job.result()
    output = fused.result.request.output.path
    assert output.name == "astronaut-fused.jpg"
    assert service.storage.require(output) == output
    with Image.open(output) as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 512))
    assert job.status().state is JobState.DONE
    assert fused.preview is not None
    with Image.open(fused.preview) as picture:
        assert (picture.format, picture.size) == ("JPEG", (256, 256))


def test_a_tier_is_the_longer_side(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    result = service.submit(wish_for(*demo, resolution="1024")).result().result
    assert result.size == Size(1024, 1024)
    with Image.open(result.request.output.path) as picture:
        assert picture.size == (1024, 1024)


def test_sizes_are_told_before_the_start(service: FusionService) -> None:
    size = Size(3000, 2000)
    assert service.result_size(size, "original", "keep") == size
    assert service.result_size(size, "original", "crop") == size
    assert service.result_size(size, "512", "keep") == Size(512, 341)
    assert service.result_size(size, "512", "pad") == Size(512, 512)
    assert service.result_size(size, "auto", "keep") is None
    with pytest.raises(ImageSizeError):
        service.result_size(Size(10000, 6000), "original", "keep")
    with pytest.raises(OptionError, match="4096"):
        service.result_size(size, "8192", "keep")


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_a_tier_can_be_a_square(
    service: FusionService, demo: Photos, wish_for: MakeWish, fit: str
) -> None:
    wish = wish_for(demo[1], demo[0], resolution="512", fit=fit)
    result = service.submit(wish).result().result
    assert demo[1].size == Size(520, 600)
    assert result.size == Size(512, 512)


def test_auto_says_what_it_chose(service: FusionService, demo: Photos, wish_for: MakeWish) -> None:
    result = service.submit(wish_for(*demo, resolution="auto")).result().result
    assert len(result.notes) == 1
    assert "auto" in result.notes[0]


def test_every_accepted_format_has_one_for_its_result() -> None:
    assert set(SUFFIXES) == set(NAMES)
    for kind, suffix in SUFFIXES.items():
        assert output_format(Path(f"o{suffix}")) == (kind if kind != "gif" else "png")


@pytest.mark.parametrize("kind", sorted(SUFFIXES))
def test_every_format_is_looked_at_and_fused(
    service: FusionService, demo: Photos, wish_for: MakeWish, astronaut: np.ndarray, kind: str
) -> None:
    pillow_heif.register_heif_opener()
    saved = {"heic": "HEIF"}.get(kind, kind.upper())
    photo = added(service, Image.fromarray(astronaut), f"picture.{kind}", format=saved)
    assert (photo.format, photo.size, len(photo.faces)) == (kind, Size(512, 512), 1)
    with Image.open(photo.preview) as preview:
        shown = np.asarray(preview.resize((64, 64), Image.Resampling.BOX), float)
    wanted = np.asarray(Image.fromarray(astronaut).resize((64, 64), Image.Resampling.BOX), float)
    assert np.abs(shown - wanted).mean() < 4
    fused = service.submit(wish_for(photo, demo[1])).result()
    assert fused.result.request.output.path.name == f"picture-fused{SUFFIXES[kind]}"
    assert fused.preview is not None


@pytest.mark.parametrize(
    ("asked", "suffix"), [("png", ".png"), ("webp", ".webp"), ("same", ".jpg")]
)
def test_a_result_has_the_format_that_was_asked_for(
    service: FusionService, demo: Photos, wish_for: MakeWish, asked: str, suffix: str
) -> None:
    result = service.submit(wish_for(*demo, format=asked)).result().result
    path = result.request.output.path
    assert path.suffix == suffix
    with Image.open(path) as picture:
        assert picture.format == {"same": "JPEG"}.get(asked, asked.upper())
    assert result.format == output_format(path)


def test_a_quality_of_one_s_own_is_used(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    results = {}
    for quality in (None, 30, 95):
        result = service.submit(wish_for(*demo, quality=quality)).result().result
        results[quality] = result.written, result.request.output.path.stat().st_size
    assert results[None][0] == "grafted"
    assert results[30][0] == results[95][0] == "encoded"
    assert results[30][1] < 0.5 * results[95][1]


def test_finish_and_blend_reach_the_request(
    service: FusionService, demo: Photos, wish_for: MakeWish, tmp_path: Path
) -> None:
    chosen = {"mode": "blend", "shape": 0.1, "smooth": 0.4, "brightness": -0.2, "scope": "face"}
    request = service.request(wish_for(*demo, **chosen, threshold=0.7), tmp_path / "o.jpg")
    assert (request.blend.mode, request.blend.shape) == ("blend", 0.1)
    finish = request.finish
    assert (finish.smooth, finish.brightness, finish.scope) == (0.4, -0.2, "face")
    assert request.detection.threshold == 0.7


def test_each_target_face_gets_the_source_it_was_given(
    service: FusionService, demo: Photos, wish_for: MakeWish, two_heads: Image.Image
) -> None:
    target = added(service, two_heads, "two.png")
    assert len(target.faces) == 2
    other = demo[0]  # the astronaut herself: as a source she changes her own face least
    fused = {}
    for pairs in (((0, 0), (1, 1)), ((1, 0), (0, 1)), ((0, 0),)):
        wish = wish_for(target, (demo[1], other), faces=pairs, ratio=1.0)
        fused[pairs] = service.submit(wish).result().result
    first, second = (face.box for face in target.faces)

    def change(result: Any, box: Any) -> float:
        difference = np.abs(pixels(result.request.output.path) - np.asarray(two_heads, int))
        rows, columns = (slice(box.y, box.bottom), slice(box.x, box.right))
        return float(difference[rows, columns].mean())

    straight, crossed, one = fused.values()
    assert change(straight, first) > 1.5 * change(crossed, first)
    assert change(crossed, second) > 1.5 * change(straight, second)
    assert change(one, second) == 0
    assert [used for _, used in one.faces] == [True, False]


def test_several_views_of_a_source_are_taken(
    service: FusionService, demo: Photos, wish_for: MakeWish, tmp_path: Path
) -> None:
    wish = wish_for(demo[0], (demo[1], demo[1]))
    request = service.request(wish, tmp_path / "o.jpg")
    assert request.sources == (demo[1].path, demo[1].path)
    assert service.submit(wish).result().result.size == demo[0].size


def test_the_smallest_face_is_the_configured_one(service: FusionService) -> None:
    assert service.smallest_face(Size(600, 400)) == 24
    assert service.smallest_face(Size(4000, 6040)) == 121  # as the detector rounds


def test_photographs_tell_the_threshold_of_their_faces(
    service: FusionService, demo: Photos
) -> None:
    assert demo[0].threshold == service.settings.detection.threshold
    strict = service.look_at(demo[0].path, 0.9).result()
    assert strict.threshold == 0.9
    assert {face.score >= 0.9 for face in strict.faces} <= {True}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ratio": 1.2}, "ratio"),
        ({"resolution": "x"}, "resolution"),
        ({"fit": "x"}, "fit"),
        ({"format": "bmp"}, "format"),
        ({"quality": 0}, "quality"),
        ({"volume": 3}, "volume"),
        ({"boost": 3}, "boost"),
        ({"ratio": float("nan")}, "ratio"),
    ],
)
def test_wrong_controls_are_refused(
    service: FusionService, change: dict[str, object], named: str
) -> None:
    with pytest.raises(OptionError, match=named):
        Controls.read(change, service.settings)


def test_faces_and_photographs_that_do_not_fit_are_refused_before_the_queue(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    nobody = dataclasses.replace(demo[1], faces=())
    wrong = [
        (wish_for(demo[0], ()), "source"),
        (wish_for(demo[0], nobody), "no face was found"),
        (wish_for(*demo, faces=((None, 1),)), "not in the photographs"),
        (wish_for(*demo, faces=((1, 0),)), "not in the photographs"),
    ]
    for wish, says in wrong:
        with pytest.raises(OptionError, match=says):
            service.submit(wish)
    assert service.queue.submit(lambda _: "free").result() == "free"


def test_the_result_is_told_before_the_job_ends(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    told: list[Fused] = []
    job = service.submit(wish_for(*demo), told.append)
    assert job.result() in told


def test_a_cancelled_fusion_leaves_no_file(
    service: FusionService, demo: Photos, wish_for: MakeWish, tmp_path: Path
) -> None:
    told: list[Fused] = []
    job = service.submit(wish_for(*demo, resolution="4096"), told.append)
    job.cancel()
    with pytest.raises(CancelledError):
        job.result()
    assert not list(tmp_path.rglob("*-fused*"))
    assert not told


def folders(service: FusionService) -> set[str]:
    return {path.name for path in service.storage.directory.iterdir()}


def test_a_fusion_that_fails_or_is_not_begun_leaves_no_folder(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    before = folders(service)
    missing = dataclasses.replace(demo[0], path=demo[0].path.with_name("gone.jpg"))
    assert service.submit(wish_for(missing, demo[1])).wait(30)
    assert folders(service) == before
    release = threading.Event()
    held = [service.queue.submit(lambda _: release.wait(30)) for _ in range(2)]
    with pytest.raises(BusyError):
        service.submit(wish_for(*demo))
    held[1].cancel()
    waiting = service.submit(wish_for(*demo))
    waiting.cancel()
    release.set()
    assert held[0].wait(30)
    assert folders(service) == before


def test_a_face_that_is_gone_from_the_file_is_an_error(
    service: FusionService, demo: Photos, wish_for: MakeWish
) -> None:
    Image.new("RGB", (512, 512)).save(demo[0].path)
    with pytest.raises(NoFaceError, match=r"astronaut\.jpg"):
        service.submit(wish_for(*demo)).result()


def test_a_refused_upload_is_deleted_and_nothing_stays(service: FusionService) -> None:
    path = service.storage.new_file("letter.jpg")
    path.write_text("Dear all,")
    with pytest.raises(UnreadableImageError):
        service.look_at(path).result()
    assert folders(service) == set()


def test_a_file_elsewhere_is_not_deleted(service: FusionService, tmp_path: Path) -> None:
    elsewhere = tmp_path / "folder" / "letter.jpg"
    elsewhere.parent.mkdir()
    elsewhere.write_text("Dear all,")
    with pytest.raises(UnreadableImageError):
        service.look_at(elsewhere).result()
    assert elsewhere.exists()


def test_an_analysis_can_be_cancelled_and_its_line_is_bounded(service: FusionService) -> None:
    begun, release = threading.Event(), threading.Event()

    def work(progress: Progress) -> None:
        begun.set()
        release.wait(30)
        progress.check()

    held = [service.analyses.submit(work) for _ in range(2)]
    assert begun.wait(30)
    waiting = service.look_at_demo("target")
    with pytest.raises(BusyError):
        service.look_at_demo("source")
    waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result()
    for job in held:
        job.cancel()
    release.set()
    assert service.look_at_demo("target").result().shown == Size(256, 256)


def full_disk(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_result_without_a_preview_can_be_had_all_the_same(
    service: FusionService, demo: Photos, wish_for: MakeWish, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def no_room_for_previews(path: Path, content: bytes) -> int:
        return full_disk() if path.name == PREVIEW_NAME else write(path, content)

    monkeypatch.setattr(Path, "write_bytes", no_room_for_previews)
    fused = service.submit(wish_for(*demo)).result()
    assert fused.preview is None
    with Image.open(fused.result.request.output.path) as picture:
        picture.load()


def test_a_full_disk_is_named_and_nothing_half_made_stays(
    service: FusionService, demo: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = folders(service)
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(DiskFullError, match="disk"):
        service.look_at_demo("target").result()
    assert folders(service) == before
