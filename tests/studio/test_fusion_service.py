import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from common.errors import CancelledError, ImageSizeError, OptionError
from common.types import Size
from studio.service.fusion_service import FusionService, Photo, Wish
from studio.service.jobs import JobState


@pytest.fixture
def demo(service: FusionService) -> tuple[Photo, Photo]:
    target, source = (service.look_at(path) for path in service.demo_pair())
    return target, source


def wish_for(demo: tuple[Photo, Photo], resolution: str = "original") -> Wish:
    return Wish(*demo, target_faces=(0,), source_face=0, ratio=0.7, resolution=resolution)


def test_the_demo_pair_is_fused_at_its_own_size(
    service: FusionService, demo: tuple[Photo, Photo]
) -> None:
    assert [len(photo.faces) for photo in demo] == [1, 1]
    job = service.submit(wish_for(demo))
    result = job.result()
    output = result.request.output.path
    assert output.name == "astronaut-fused.jpg"
    assert service.storage.require(output) == output
    with Image.open(output) as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 512))
    assert job.status().state is JobState.DONE


def test_a_tier_is_the_longer_side(service: FusionService, demo: tuple[Photo, Photo]) -> None:
    result = service.submit(wish_for(demo, "1024")).result()
    assert result.size == Size(1024, 1024)
    with Image.open(result.request.output.path) as picture:
        assert picture.size == (1024, 1024)


def test_sizes_are_told_before_the_start(service: FusionService) -> None:
    assert service.result_size(Size(3000, 2000), "original") == Size(3000, 2000)
    assert service.result_size(Size(3000, 2000), "512") == Size(512, 341)
    with pytest.raises(ImageSizeError):
        service.result_size(Size(10000, 6000), "original")
    with pytest.raises(OptionError, match="4096"):
        service.result_size(Size(3000, 2000), "8192")


def test_the_smallest_face_is_the_configured_one(service: FusionService) -> None:
    assert service.smallest_face(Size(600, 400)) == 24
    assert service.smallest_face(Size(4000, 6000)) == 120


@pytest.mark.parametrize(
    ("change", "named"), [({"ratio": 1.2}, "ratio"), ({"resolution": "x"}, "resolution")]
)
def test_wrong_values_are_refused_before_the_queue(
    service: FusionService, demo: tuple[Photo, Photo], change: dict[str, object], named: str
) -> None:
    wish = dataclasses.replace(wish_for(demo), **change)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=named):
        service.submit(wish)
    assert service.queue.counts() == (0, 0)


def test_a_cancelled_fusion_leaves_no_file(
    service: FusionService, demo: tuple[Photo, Photo], tmp_path: Path
) -> None:
    job = service.submit(wish_for(demo, "4096"))
    job.cancel()
    with pytest.raises(CancelledError):
        job.result()
    assert not list(tmp_path.rglob("*-fused*"))
