"""A live preview is the final result at preview size, whatever the target's kind of file."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray
from PIL import Image

from common.errors import CancelledError, NoFaceError, OptionError
from common.progress import Progress
from common.types import Region, Size
from fusion.engines.registry import create_engine
from fusion.live import QUALITY, LiveFusion
from fusion.pipeline import Pipeline
from fusion.request import Blend, FaceSelection, Finish, FusionRequest, Output
from preprocess.image_file import ImageFile
from preprocess.resolution import Resolution
from tests.fusion.pictures import Observer, save, target_portrait
from tests.fusion.test_round_trip import profile_for, tagged
from tests.preprocess.pictures import photo, save_png

Pixels = NDArray[Any]
LONGEST = 400
PREVIEW = Size(400, 333)  # of the target, 720 x 600
EVERYTHING = Finish(smooth=0.6, brightness=0.1, contrast=0.1, saturation=0.2, sharpen=0.5)


class Watched:
    """A live fusion of one target; `calls` counts what its engine was asked for."""

    def __init__(self, pipeline: Pipeline, request: FusionRequest, longest: int = LONGEST) -> None:
        self.request = request
        self.observer = Observer(create_engine("mesh"))
        self.live = LiveFusion(pipeline, request, longest, Progress())

    def show(self, **changed: Any) -> Pixels:
        shown = self.live.show(replace(self.request, **changed), self.observer, Progress())
        pixels = np.asarray(Image.open(io.BytesIO(shown.jpeg)))
        assert shown.size == Size(pixels.shape[1], pixels.shape[0])
        return pixels

    @property
    def calls(self) -> int:
        return len(self.observer.fields)


@pytest.fixture
def request_for(source_file: Path, tmp_path: Path) -> Callable[..., FusionRequest]:
    def make(target: Path, name: str = "out.png", **values: Any) -> FusionRequest:
        return FusionRequest(target, (source_file,), Output(tmp_path / name), **values)

    return make


@pytest.fixture
def watched(
    pipeline: Pipeline, target_file: Path, request_for: Callable[..., FusionRequest]
) -> Watched:
    return Watched(pipeline, request_for(target_file))


def as_shown(path: Path, at: Size) -> Pixels:
    """A file as a page shows it: reduced, sRGB, upright, a JPEG."""
    pixels = ImageFile.open(path, max_megapixels=50).read_srgb(Region.whole(at), at)
    shown = io.BytesIO()
    Image.fromarray(pixels).save(shown, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(shown)).astype(int)


def save_kind(folder: Path, pixels: Pixels, kind: str) -> tuple[Path, str]:
    """The portrait as a file of some kind, and the name of its result."""
    if kind == "jpeg":
        return save(folder / "a.jpg", pixels, quality=95), "out.jpg"
    if kind == "turned jpeg":
        image = tagged(np.rot90(pixels), 6, profile_for(3))
        image.jpegsave(str(folder / "b.jpg"), Q=95)
        return folder / "b.jpg", "out.jpg"
    if kind == "wide 16 bit":
        tagged(pixels.astype(np.uint16) * 257, 1, profile_for(3)).tiffsave(str(folder / "c.tif"))
        return folder / "c.tif", "out.tif"
    if kind == "grey":
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]
        tagged(grey, 1, profile_for(1)).pngsave(str(folder / "d.png"))
        return folder / "d.png", "out.png"
    if kind == "inks":
        image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
        image.icc_transform("cmyk", input_profile="srgb").tiffsave(str(folder / "e.tif"))
        return folder / "e.tif", "out.tif"
    assert kind == "see-through"
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[:150] = 90
    return save_png(folder / "f.png", np.concatenate([pixels, alpha], axis=2)), "out.png"


@pytest.mark.parametrize(
    "kind", ["jpeg", "turned jpeg", "wide 16 bit", "grey", "inks", "see-through"]
)
@pytest.mark.parametrize("finish", [Finish(), EVERYTHING], ids=["plain", "finished"])
def test_it_is_the_result_at_preview_size(
    pipeline: Pipeline,
    astronaut: Pixels,
    request_for: Callable[..., FusionRequest],
    tmp_path: Path,
    kind: str,
    finish: Finish,
) -> None:
    target, name = save_kind(tmp_path, target_portrait(astronaut), kind)
    request = request_for(target, name, blend=Blend(0.9, shape=1.0), finish=finish)
    watched = Watched(pipeline, request)
    shown = watched.show().astype(int)
    result = pipeline.run(request, create_engine("mesh"), Progress())
    apart = np.abs(as_shown(request.output.path, PREVIEW) - shown)
    # Measured, of 255, with the losses of both JPEGs: 0.3 to 1.0, finished 0.8 to 1.4; 11.
    assert apart.mean() < (1.2 if finish == Finish() else 1.7)
    assert np.quantile(apart, 0.999) < 14
    before = np.abs(as_shown(target, PREVIEW) - shown)
    assert np.quantile(before, 0.99) > 15  # it shows the fusion
    again = watched.live.show(request, watched.observer, Progress())
    assert set(again.notes) <= set(result.notes)
    assert set(again.warnings) <= set(result.warnings)


def test_finishing_asks_the_engine_for_nothing(watched: Watched) -> None:
    plain = watched.show()
    assert watched.calls == 1
    for number, finish in enumerate((EVERYTHING, Finish(smooth=1.0), Finish(sharpen=1.0))):
        assert not np.array_equal(watched.show(finish=finish), plain), number
    assert np.array_equal(watched.show(), plain)
    assert watched.calls == 1


def test_a_blend_that_was_shown_lately_is_not_made_again(watched: Watched) -> None:
    first = watched.show(blend=Blend(0.3))
    second = watched.show(blend=Blend(0.9))
    assert not np.array_equal(first, second)
    assert np.array_equal(watched.show(blend=Blend(0.3)), first)
    assert watched.calls == 2
    for ratio in (0.4, 0.5, 0.6):
        watched.show(blend=Blend(ratio))
    assert np.array_equal(watched.show(blend=Blend(0.3)), first)  # forgotten meanwhile
    assert watched.calls == 6


def test_a_draft_is_nearly_the_same_and_only_made_where_nothing_finer_is_held(
    watched: Watched,
) -> None:
    def show(draft: bool, ratio: float) -> tuple[Pixels, bool]:
        request = replace(watched.request, blend=Blend(ratio=ratio))
        shown = watched.live.show(request, watched.observer, Progress(), draft)
        return np.asarray(Image.open(io.BytesIO(shown.jpeg)), float), shown.draft

    before, _ = show(draft=False, ratio=0.0)
    soon, soon_draft = show(draft=True, ratio=0.8)
    exact, exact_draft = show(draft=False, ratio=0.8)
    again, again_draft = show(draft=True, ratio=0.8)
    assert (soon_draft, exact_draft, again_draft) == (True, False, False)
    assert (again == exact).all()
    changed = np.abs(exact - before).max(axis=2) > 8
    assert changed.mean() > 0.02
    difference = np.abs(soon - exact)[changed].mean()
    assert 0 < difference < 2.5  # of 255; measured: 1.4
    assert difference < 0.15 * np.abs(exact - before)[changed].mean()


def test_nothing_to_fuse_is_the_target(watched: Watched, target_file: Path) -> None:
    shown = watched.show(blend=Blend(0.0)).astype(int)
    assert watched.calls == 0
    assert np.abs(shown - as_shown(target_file, PREVIEW)).mean() < 1.0
    # A finish of the face needs to know where it is.
    face = watched.show(blend=Blend(0.0), finish=Finish(brightness=0.4, scope="face"))
    assert watched.calls == 1
    assert 0.02 < (np.abs(face - shown).max(axis=2) > 30).mean() < 0.5


def test_it_is_no_larger_than_the_result(watched: Watched) -> None:
    output = watched.request.output
    assert watched.show().shape == (PREVIEW.height, PREVIEW.width, 3)
    tier = replace(output, resolution=Resolution(512))
    assert watched.show(output=tier).shape == (PREVIEW.height, PREVIEW.width, 3)
    exact = replace(output, resolution=Resolution(exact=Size(240, 200)))
    assert watched.show(output=exact).shape == (200, 240, 3)
    assert watched.show().shape == (PREVIEW.height, PREVIEW.width, 3)


def test_a_small_target_is_shown_at_its_size(
    pipeline: Pipeline, target_file: Path, request_for: Callable[..., FusionRequest]
) -> None:
    shown = Watched(pipeline, request_for(target_file), longest=1600).show()
    assert shown.shape == (600, 720, 3)


def test_warnings_are_those_of_the_output(watched: Watched) -> None:
    large = replace(watched.request.output, resolution=Resolution(4096))
    shown = watched.live.show(watched.request, watched.observer, Progress())
    enlarged = watched.live.show(
        replace(watched.request, output=large), watched.observer, Progress()
    )
    assert not any("larger source" in text for text in shown.warnings)
    assert any("larger source" in text for text in enlarged.warnings)


def test_other_faces_of_the_same_pictures(
    pipeline: Pipeline,
    astronaut: Pixels,
    request_for: Callable[..., FusionRequest],
    tmp_path: Path,
) -> None:
    portrait = target_portrait(astronaut)
    pair = save(tmp_path / "pair.png", np.concatenate([portrait, portrait], axis=1))
    watched = Watched(pipeline, request_for(pair), longest=600)
    both = watched.show(faces=FaceSelection(every=True)).astype(int)
    alone = [watched.show(faces=FaceSelection(pairs=((0, index),))).astype(int) for index in (0, 1)]
    before = as_shown(pair, Size(both.shape[1], both.shape[0]))
    changed = [np.abs(picture - before).max(axis=2) > 40 for picture in (both, *alone)]
    assert all(changes.any() for changes in changed)
    assert (changed[0] & ~(changed[1] | changed[2])).mean() < 1e-3
    assert (changed[1] & changed[2]).mean() < 1e-3


def test_a_cancelled_preview_leaves_the_session_usable(watched: Watched) -> None:
    progress = Progress()
    stages: list[str] = []

    def cancel_at(stage: str, _: float) -> None:
        stages.append(stage)
        if stage == "prepare":
            progress.cancel()

    progress.listener = cancel_at
    with pytest.raises(CancelledError):
        watched.live.show(watched.request, watched.observer, progress)
    assert "render" not in stages
    assert watched.show().shape == (PREVIEW.height, PREVIEW.width, 3)


def test_what_cannot_be_done_is_refused_as_by_the_pipeline(
    watched: Watched, pipeline: Pipeline, tmp_path: Path, request_for: Callable[..., FusionRequest]
) -> None:
    with pytest.raises(OptionError, match="no face 7"):
        watched.show(faces=FaceSelection(pairs=((None, 7),)))
    empty = save_png(tmp_path / "empty.png", photo(300, 200))
    with pytest.raises(NoFaceError, match=r"empty\.png"):
        Watched(pipeline, request_for(empty))
