import dataclasses
import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from common.errors import (
    BusyError,
    CancelledError,
    DiskFullError,
    ImageSizeError,
    OptionError,
    UnreadableImageError,
)
from common.progress import Progress
from common.settings import load_settings
from common.types import Size
from fusion.engines.base import Capabilities, Pair
from fusion.engines.mesh import MeshEngine
from fusion.engines.unet.devices import gpu_status
from fusion.field import FusionField
from fusion.pipeline import build_pipeline
from fusion.request import Blend, Network
from preprocess.image_file import output_format
from preprocess.image_format import NAMES
from studio.service.fusion_service import PREVIEW_NAME, SUFFIXES, FusionService, Photo, Wish
from studio.service.jobs import JobState
from studio.service.storage import Storage


@pytest.fixture
def demo(service: FusionService) -> tuple[Photo, Photo]:
    jobs = service.look_at_demo("target"), service.look_at_demo("source")
    return jobs[0].result(), jobs[1].result()


def wish_for(demo: tuple[Photo, Photo], resolution: str = "original") -> Wish:
    return Wish(*demo, target_faces=(0,), source_face=0, ratio=0.7, resolution=resolution)


def test_the_demo_pair_is_fused_at_its_own_size(
    service: FusionService, demo: tuple[Photo, Photo]
) -> None:
    assert [len(photo.faces) for photo in demo] == [1, 1]
    job = service.submit(wish_for(demo))
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


def test_a_tier_is_the_longer_side(service: FusionService, demo: tuple[Photo, Photo]) -> None:
    result = service.submit(wish_for(demo, "1024")).result().result
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
    service: FusionService, demo: tuple[Photo, Photo], fit: str
) -> None:
    wish = dataclasses.replace(wish_for(demo[::-1], "512"), fit=fit)
    result = service.submit(wish).result().result
    assert demo[1].size == Size(520, 600)
    assert result.size == Size(512, 512)


def test_auto_says_what_it_chose(service: FusionService, demo: tuple[Photo, Photo]) -> None:
    result = service.submit(wish_for(demo, "auto")).result().result
    assert len(result.notes) == 1
    assert "auto" in result.notes[0]


def test_every_accepted_format_has_one_for_its_result() -> None:
    assert set(SUFFIXES) == set(NAMES)
    for kind, suffix in SUFFIXES.items():
        assert output_format(Path(f"o{suffix}")) == (kind if kind != "gif" else "png")


@pytest.mark.parametrize("kind", sorted(SUFFIXES))
def test_every_format_is_looked_at_and_fused(
    service: FusionService, demo: tuple[Photo, Photo], astronaut: np.ndarray, kind: str
) -> None:
    pillow_heif.register_heif_opener()
    path = service.storage.new_file(f"picture.{kind}")
    Image.fromarray(astronaut).save(path, {"heic": "HEIF"}.get(kind, kind.upper()))
    photo = service.look_at(path).result()
    assert (photo.format, photo.size, len(photo.faces)) == (kind, Size(512, 512), 1)
    with Image.open(photo.preview) as preview:
        shown = np.asarray(preview.resize((64, 64), Image.Resampling.BOX), float)
    wanted = np.asarray(Image.fromarray(astronaut).resize((64, 64), Image.Resampling.BOX), float)
    assert np.abs(shown - wanted).mean() < 4
    fused = service.submit(wish_for((photo, demo[1]))).result()
    assert fused.result.request.output.path.name == f"picture-fused{SUFFIXES[kind]}"
    assert fused.preview is not None


def test_the_smallest_face_is_the_configured_one(service: FusionService) -> None:
    assert service.smallest_face(Size(600, 400)) == 24
    assert service.smallest_face(Size(4000, 6040)) == 121  # as the detector rounds


@pytest.mark.parametrize(
    ("change", "named"),
    [({"ratio": 1.2}, "ratio"), ({"resolution": "x"}, "resolution"), ({"fit": "x"}, "fit")],
)
def test_wrong_values_are_refused_before_the_queue(
    service: FusionService, demo: tuple[Photo, Photo], change: dict[str, object], named: str
) -> None:
    wish = dataclasses.replace(wish_for(demo), **change)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=named):
        service.submit(wish)
    assert service.queue.submit(lambda _: "free").result() == "free"


def test_a_cancelled_fusion_leaves_no_file(
    service: FusionService, demo: tuple[Photo, Photo], tmp_path: Path
) -> None:
    job = service.submit(wish_for(demo, "4096"))
    job.cancel()
    with pytest.raises(CancelledError):
        job.result()
    assert not list(tmp_path.rglob("*-fused*"))


def folders(service: FusionService) -> set[str]:
    return {path.name for path in service.storage.directory.iterdir()}


def test_a_fusion_that_fails_or_is_not_begun_leaves_no_folder(
    service: FusionService, demo: tuple[Photo, Photo]
) -> None:
    before = folders(service)
    missing = dataclasses.replace(demo[0], path=demo[0].path.with_name("gone.jpg"))
    assert service.submit(wish_for((missing, demo[1]))).wait(30)
    assert folders(service) == before
    release = threading.Event()
    held = [service.queue.submit(lambda _: release.wait(30)) for _ in range(2)]
    with pytest.raises(BusyError):
        service.submit(wish_for(demo))
    held[1].cancel()
    waiting = service.submit(wish_for(demo))
    waiting.cancel()
    release.set()
    assert held[0].wait(30)
    assert folders(service) == before


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
    service: FusionService, demo: tuple[Photo, Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def no_room_for_previews(path: Path, content: bytes) -> int:
        return full_disk() if path.name == PREVIEW_NAME else write(path, content)

    monkeypatch.setattr(Path, "write_bytes", no_room_for_previews)
    fused = service.submit(wish_for(demo)).result()
    assert fused.preview is None
    with Image.open(fused.result.request.output.path) as picture:
        picture.load()


def test_a_full_disk_is_named_and_nothing_half_made_stays(
    service: FusionService, demo: tuple[Photo, Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = folders(service)
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(DiskFullError, match="disk"):
        service.look_at_demo("target").result()
    assert folders(service) == before


def service_with(tmp_path: Path, models: Path, **variables: str) -> FusionService:
    environment = {"STUDIO_MODELS__DIRECTORY": str(models), **variables}
    return FusionService(load_settings(Path(os.devnull), environment), Storage(tmp_path, 24))


def test_the_status_names_the_engine_before_and_after_it_is_loaded(
    service: FusionService, demo: tuple[Photo, Photo]
) -> None:
    before = service.engine_status()
    assert before.problem is None
    service.submit(wish_for(demo)).result()
    after = service.engine_status()
    assert after.choice == before.choice
    assert [gpu.name for gpu in after.gpus] == [gpu.name for gpu in gpu_status()]


def test_the_status_says_why_an_engine_cannot_run(tmp_path: Path, model_directory: Path) -> None:
    service = service_with(
        tmp_path,
        model_directory,
        STUDIO_FUSION__ENGINE="modelscope",
        STUDIO_MODELSCOPE__FOLDER=str(tmp_path / "empty"),
    )
    status = service.engine_status()
    assert (status.choice.engine, status.choice.reason) == ("modelscope", "asked")
    assert status.problem is not None
    assert "./run.sh" in status.problem.message
    service.close()
    service.storage.close()


class Recorder(MeshEngine):
    """The embedded engine, which also remembers what it was asked."""

    def __init__(self, composites: tuple[str, ...]) -> None:
        super().__init__()
        self.composites = composites
        self.asked: list[Network] = []
        self.closed = False

    @property
    def capabilities(self) -> Capabilities:
        return dataclasses.replace(super().capabilities, composites=self.composites)

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FusionField, ...]:
        self.asked.append(blend.network)
        return super().prepare(pairs, blend, progress)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("composites", "expected"),
    [((), Network()), (("studio", "official"), Network("studio", 2, 0.25))],
)
def test_the_settings_of_the_network_are_for_engines_that_have_one(
    tmp_path: Path, model_directory: Path, composites: tuple[str, ...], expected: Network
) -> None:
    network = {"STUDIO_MODELSCOPE__BOOST": "2", "STUDIO_MODELSCOPE__ENHANCE": "0.25"}
    service = service_with(tmp_path, model_directory, **network)
    engine = Recorder(composites)
    service._engine = engine
    service._pipeline = build_pipeline(service.settings)
    pair = service.look_at_demo("target").result(), service.look_at_demo("source").result()
    service.submit(wish_for(pair)).result()
    assert engine.asked == [expected]
    assert not engine.closed
    service.close()
    assert engine.closed
    service.storage.close()
