"""The finishes: neutral at 0, the same in every tiling, and what each of them does to a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.compositing.tone import Tone, luma
from fusion.engines.registry import create_engine
from fusion.field import BLOCK, Backdrop, FusionField, Layer
from fusion.finishing import FinishedFace, finishing_layers, needs_faces
from fusion.memory import Budget
from fusion.pipeline import Pipeline
from fusion.rendering import changing, render
from fusion.request import Blend, Finish, FusionRequest, FusionResult, Output
from preprocess.image_file import ImageFile
from tests.fusion.pictures import Fusion, as_float

TARGET = Size(700, 500)
ALL = Finish(smooth=0.8, brightness=0.2, contrast=-0.3, saturation=0.4, sharpen=0.7)
PART = Finish(0.8, 0.2, -0.3, 0.4, 0.7, "face")


@dataclass(frozen=True)
class Oval:
    """A face of ``width`` px with soft edges; its skin is all but a hole in the middle."""

    x: float
    y: float
    width: float

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def bounds(self, at: Size) -> Region:
        return Region(0, 0, 0, 0).clip(at)

    def reach(self, at: Size) -> int:
        return 0 * at.width

    def opacity(self, region: Region, at: Size) -> FloatArray:
        return 0 * self.face(region, at)

    def face(self, region: Region, at: Size) -> FloatArray:
        return np.clip((self.width / 2 - self._away(region, at)) / 12, 0, 1).astype(np.float32)

    def skin(self, region: Region, at: Size) -> FloatArray:
        hole = np.clip((self._away(region, at) - self.width / 12) / 5, 0, 1)
        return np.asarray(self.face(region, at) * hole, np.float32)

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        return under.read(region.clip(at))

    def _away(self, region: Region, at: Size) -> NDArray[np.float64]:
        rows, columns = np.mgrid[region.y : region.bottom, region.x : region.right]
        x = (columns + 0.5) * TARGET.width / at.width - self.x
        y = (rows + 0.5) * TARGET.height / at.height - self.y
        return np.asarray(np.hypot(x, y), np.float64)

    @property
    def finished(self) -> FinishedFace:
        points = np.array([[self.x, self.y]])
        return FinishedFace(self, Region.around(points, self.width * 0.6))


LEFT, RIGHT = Oval(240, 260, 330), Oval(460, 220, 200)


def layers_of(finish: Finish, *faces: Oval, output: Size = TARGET) -> tuple[Layer, ...]:
    return finishing_layers(finish, [face.finished for face in faces], TARGET, output)


def noisy(at: Size, channels: int = 3, seed: int = 4) -> FloatArray:
    """A picture with edges, texture and colours up to the ends of the range."""
    generator = np.random.default_rng(seed)
    coarse = generator.random((9, 12, channels)).astype(np.float32)
    values = cv2.resize(coarse, (at.width, at.height), interpolation=cv2.INTER_NEAREST)
    values = values.reshape(at.height, at.width, channels)
    values = values + generator.normal(0, 0.05, values.shape)
    return np.clip(values, 0, 1).astype(np.float32)


def laid(layers: tuple[Layer, ...], values: FloatArray, tiles: list[Region], at: Size) -> Any:
    """Every layer rendered tile by tile; it sees no more than it may look at."""
    whole = Region.whole(at)
    for layer in layers:
        out = values.copy()
        for tile in tiles:
            inner = tile.intersect(layer.bounds(at))
            if inner.is_empty:
                continue
            seen = inner.grow(layer.reach(at)).clip(at)
            under = Backdrop(np.array(values[seen.within(whole)]), seen)
            out[inner.within(whole)] = layer.render(under, inner, at)
        values = out
    return values


def in_one(layers: tuple[Layer, ...], values: FloatArray) -> Any:
    at = Size(values.shape[1], values.shape[0])
    return laid(layers, values, [Region.whole(at)], at)


def cuts(length: int) -> st.SearchStrategy[list[int]]:
    inner = st.lists(st.integers(1, length - 1), max_size=4, unique=True)
    return inner.map(lambda places: [0, *sorted(places), length])


# --- which layers ------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["image", "face"])
def test_what_is_neutral_makes_no_layer(scope: str) -> None:
    assert layers_of(Finish(scope=scope), LEFT, RIGHT) == ()
    assert not needs_faces(Finish(scope=scope))


def test_faces_are_needed_where_it_matters_where_they_are() -> None:
    assert needs_faces(Finish(smooth=0.1))
    assert needs_faces(Finish(sharpen=0.1, scope="face"))
    assert not needs_faces(Finish(brightness=0.1, sharpen=1.0))


def test_bounds_are_the_faces_or_all() -> None:
    at = Size(1400, 1000)
    whole = Region.whole(at)
    assert [layer.bounds(at) == whole for layer in layers_of(ALL, LEFT)] == [False, True, True]
    for layer in layers_of(PART, LEFT, RIGHT):
        assert layer.bounds(at) in (Region(84, 124, 794, 794), Region(680, 200, 482, 482))


# --- tiling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("finish", [ALL, PART], ids=["image", "face"])
@pytest.mark.parametrize("at", [TARGET, Size(350, 250), Size(977, 698), Size(1400, 1000)], ids=str)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_any_tiling_gives_the_same_bits(at: Size, finish: Finish, data: st.DataObject) -> None:
    layers = layers_of(finish, LEFT, RIGHT)
    values = noisy(at)
    rows, columns = pairwise(data.draw(cuts(at.height))), data.draw(cuts(at.width))
    tiles = [
        Region(left, top, right - left, bottom - top)
        for top, bottom in rows
        for left, right in pairwise(columns)
    ]
    expected = in_one(layers, values)
    assert np.array_equal(laid(layers, values, tiles, at), expected)
    assert (expected != values).any()


def test_layers_leave_what_lies_under_them_alone() -> None:
    values = noisy(TARGET)
    before = values.copy()
    whole = Region.whole(TARGET)
    for layer in layers_of(ALL, LEFT):
        inner = layer.bounds(TARGET)
        changed = layer.render(Backdrop(values, whole), inner, TARGET)
        assert changed.dtype == np.float32
        assert not np.shares_memory(changed, values)
        assert np.array_equal(values, before)


@pytest.mark.parametrize("highest", [255, 65535])
def test_outside_the_faces_their_finish_changes_no_number(highest: int) -> None:
    stored = np.rint(noisy(TARGET) * highest).astype(np.uint16)
    values = (stored / np.float32(highest)).astype(np.float32)
    finished = in_one(layers_of(PART, LEFT, RIGHT), values)
    whole = Region.whole(TARGET)
    outside = (LEFT.face(whole, TARGET) == 0) & (RIGHT.face(whole, TARGET) == 0)
    assert outside.mean() > 0.3
    assert np.array_equal(finished[outside], values[outside])
    assert (finished[~outside] != values[~outside]).any(axis=-1).mean() > 0.95


def test_where_faces_overlap_each_pixel_is_finished_once() -> None:
    grey = np.full((TARGET.height, TARGET.width, 3), 0.4, np.float32)
    finish = Finish(brightness=0.5, scope="face")
    whole = Region.whole(TARGET)
    weight = np.maximum(LEFT.face(whole, TARGET), RIGHT.face(whole, TARGET))[..., None]
    bright = Tone(brightness=0.5).applied(grey)
    expected = grey + weight * (bright - grey)
    for faces in ((LEFT, RIGHT), (RIGHT, LEFT)):
        assert np.abs(in_one(layers_of(finish, *faces), grey) - expected).max() < 1e-6
    assert LEFT.face(whole, TARGET)[RIGHT.face(whole, TARGET) > 0].max() > 0.5


@pytest.mark.parametrize("finish", [ALL, PART], ids=["image", "face"])
def test_grey_stays_grey(finish: Finish) -> None:
    finished = in_one(layers_of(finish, LEFT), np.repeat(noisy(TARGET, 1), 3, axis=2))
    assert np.array_equal(finished[..., 0], finished[..., 1])
    assert np.array_equal(finished[..., 0], finished[..., 2])


# --- smoothing ---------------------------------------------------------------------------------


def skin_like(at: Size, noise: float) -> FloatArray:
    """Plain skin with pores, a dark edge down the middle of the face, and a mole."""
    values = np.empty((at.height, at.width, 3), np.float32)
    values[:] = (0.8, 0.6, 0.5)
    factor = at.width / TARGET.width
    values[:, : int(LEFT.x * factor)] -= np.float32(0.35)
    mole = (int((LEFT.x + 90) * factor), int(LEFT.y * factor))
    values = np.asarray(cv2.circle(values, mole, round(2 * factor), (0.68, 0.48, 0.38), -1))
    grain = np.random.default_rng(2).normal(0, noise, values.shape[:2])
    return np.asarray(values + grain[..., None], np.float32)


@pytest.mark.parametrize("at", [TARGET, Size(2100, 1500)], ids=str)
def test_smoothing_evens_skin_and_keeps_edges_and_some_pores(at: Size) -> None:
    values = skin_like(at, 0.02)
    smooth = in_one(layers_of(Finish(smooth=1.0), LEFT), values)
    factor = at.width / TARGET.width
    x, y = int(LEFT.x * factor), int(LEFT.y * factor)

    def part(picture: FloatArray, left: float, top: float) -> FloatArray:
        side = int(30 * factor)
        a, b = x + int(left * factor), y + int(top * factor)
        return luma(picture[b : b + side, a : a + side])

    pores = part(smooth, 70, 60).std() / part(values, 70, 60).std()
    assert 0.3 < pores < 0.55
    edge = slice(x - 8, x + 8)
    row = int((LEFT.y + 80) * factor)
    steps = [luma(picture[row - 9 : row + 9]).mean(axis=0)[edge] for picture in (values, smooth)]
    assert np.abs(steps[1] - steps[0]).max() < 0.03  # of a step of 0.35
    mole = [
        part(picture, 76, -15).mean() - luma(picture[y, x + int(90 * factor)])
        for picture in (values, smooth)
    ]
    assert mole[1] < 0.8 * mole[0]
    assert part(smooth, 70, 60).mean() == pytest.approx(part(values, 70, 60).mean(), abs=0.002)
    whole = Region.whole(at)
    assert np.array_equal(smooth[LEFT.skin(whole, at) == 0], values[LEFT.skin(whole, at) == 0])


def test_smoothing_grows_with_its_strength() -> None:
    values = skin_like(TARGET, 0.02)
    inner = np.s_[300:360, 300:360]
    left = [
        in_one(layers_of(Finish(smooth=strength), LEFT), values)[inner].std(axis=(0, 1)).mean()
        for strength in (0.25, 0.5, 0.75, 1.0)
    ]
    assert all(after < 0.9 * before for before, after in pairwise(left))


def test_what_is_not_skin_does_not_colour_the_skin_beside_it() -> None:
    """The hole is black; the skin around it stays as it was."""
    whole = Region.whole(TARGET)
    values = np.full((TARGET.height, TARGET.width, 3), 0.6, np.float32)
    values[LEFT.skin(whole, TARGET) < 1e-6] = 0
    smooth = in_one(layers_of(Finish(smooth=1.0), LEFT), values)
    beside = LEFT.skin(whole, TARGET) > 0.9
    assert np.abs(smooth - values)[beside].max() < 0.01


# --- tone --------------------------------------------------------------------------------------

TONES = [
    Tone(brightness=0.5),
    Tone(brightness=-0.5),
    Tone(contrast=0.5),
    Tone(contrast=-0.5),
    Tone(saturation=0.5),
    Tone(saturation=-0.4),
    Tone(0.3, -0.2, 0.5),
    Tone(-0.4, 0.5, 0.2),
]


def all_colours() -> FloatArray:
    steps = np.linspace(0, 1, 33, dtype=np.float32)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(33, -1, 3)


@pytest.mark.parametrize("curves", TONES, ids=str)
def test_tone_keeps_range_order_and_hue(curves: Tone) -> None:
    colours = all_colours()
    after = curves.applied(colours)
    assert after.min() >= 0
    assert after.max() <= 1
    # A hue is the direction in which a colour lies from the grey of its luma.
    before, turned = (values - luma(values)[..., None] for values in (colours, after))
    lengths = [np.sqrt((values**2).sum(axis=-1)) for values in (before, turned)]
    visible = (lengths[0] > 0.05) & (lengths[1] > 0.05)
    assert visible.mean() > 0.6
    cosine = (before * turned).sum(axis=-1)[visible] / (lengths[0] * lengths[1])[visible]
    assert cosine.min() > 0.9999
    grey = np.repeat(np.linspace(0, 1, 1025, dtype=np.float32)[None, :, None], 3, axis=2)
    ramp = curves.applied(grey)[0, :, 0]
    assert ramp[0] == 0
    assert ramp[-1] == pytest.approx(1, abs=1e-6)
    assert (np.diff(ramp) > 0).all()
    assert np.diff(ramp).max() < 2.6 / 1024  # no step: neighbours stay neighbours


@pytest.mark.parametrize("curves", TONES, ids=str)
def test_colours_that_differ_stay_apart(curves: Tone) -> None:
    """Nothing is cut off: along any ray of chroma more stays more."""
    share = np.linspace(0, 1, 101, dtype=np.float32)[:, None]
    for colour in ((1, 0.2, 0.1), (0.1, 0.7, 0.3), (0.2, 0.3, 1.0), (0.9, 0.9, 0.05)):
        line = np.asarray(0.4 + share * (np.array(colour, np.float32) - 0.4), np.float32)
        line = line - luma(line)[:, None] + luma(line)[50]  # all of one luma
        line = line[((line >= 0) & (line <= 1)).all(axis=1)]
        after = curves.applied(line[None])[0]
        chroma = np.sqrt(((after - luma(after)[:, None]) ** 2).sum(axis=1))
        assert (np.diff(chroma) > 0).all()


@pytest.mark.parametrize(
    ("curves", "low", "middle", "high"),
    [
        (Tone(brightness=0.5), 0.4, 0.7, 0.9),
        (Tone(brightness=-0.5), 0.1, 0.3, 0.6),
        (Tone(contrast=0.5), 0.15, 0.5, 0.85),
        (Tone(contrast=-0.5), 0.33, 0.5, 0.67),
    ],
)
def test_curves_move_what_they_should(curves: Tone, low: float, middle: float, high: float) -> None:
    grey = np.repeat(np.array([0.25, 0.5, 0.75], np.float32)[None, :, None], 3, axis=2)
    assert curves.applied(grey)[0, :, 0] == pytest.approx([low, middle, high], abs=0.05)


def test_opposite_values_undo_each_other() -> None:
    grey = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 3, axis=2)
    for there, back in (
        (Tone(brightness=0.37), Tone(brightness=-0.37)),
        (Tone(contrast=0.5), Tone(contrast=-0.5)),
    ):
        assert back.applied(there.applied(grey)) == pytest.approx(grey, abs=2e-6)


def test_the_least_saturation_leaves_none_and_the_most_cuts_nothing_off() -> None:
    colours = all_colours()
    grey = Tone(saturation=-0.5).applied(colours)
    assert np.ptp(grey, axis=-1).max() < 1e-6
    assert grey[..., 0] == pytest.approx(luma(colours), abs=1e-6)
    skin = np.array([[[0.7, 0.55, 0.45]]], np.float32)
    gained = np.ptp(Tone(saturation=0.5).applied(skin)) / np.ptp(skin)
    assert 1.4 < gained < 1.8


# --- sharpening --------------------------------------------------------------------------------


def profile_of(at: Size, step: float, strength: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """A vertical edge of two pixels before and after, along one row."""
    middle, softness = at.width / 2, 0.5 * at.width / TARGET.width
    x = (np.arange(at.width) - middle) / softness
    row = 0.5 + step * (1 / (1 + np.exp(-x)) - 0.5)
    values = np.broadcast_to(row.astype(np.float32)[None, :, None], (at.height, at.width, 3))
    values = np.ascontiguousarray(values)
    sharp = in_one(layers_of(Finish(sharpen=strength), output=at), values)
    return values[at.height // 2, :, 0], sharp[at.height // 2, :, 0]


@pytest.mark.parametrize("at", [TARGET, Size(2800, 2000)], ids=str)
def test_edges_become_steeper_with_small_halos(at: Size) -> None:
    before, after = profile_of(at, 0.5)
    assert 1.1 < np.diff(after).max() / np.diff(before).max() < 2.0
    assert after.max() - before.max() < 0.05
    assert before.min() - after.min() < 0.05


def test_the_radius_grows_with_the_enlargement() -> None:
    wide = []
    for at in (TARGET, Size(2800, 2000)):
        before, after = profile_of(at, 0.5)
        wide.append(int((np.abs(after - before) > 0.002).sum()))
    assert 3 < wide[1] / wide[0] < 5
    for at, reach in ((Size(350, 250), 3), (TARGET, 3), (Size(2800, 2000), 9)):
        (layer,) = layers_of(Finish(sharpen=0.5), output=at)
        assert layer.reach(at) == reach


def test_a_preview_shows_what_is_left_of_the_sharpening() -> None:
    """Reduced after sharpening, and sharpened after reducing."""
    small = Size(TARGET.width // 2, TARGET.height // 2)
    values = cv2.GaussianBlur(noisy(TARGET), (0, 0), 1.2)
    layers = layers_of(Finish(sharpen=1.0))
    plain, wanted = (
        cv2.resize(each, (small.width, small.height), interpolation=cv2.INTER_AREA)
        for each in (values, in_one(layers, values))
    )
    apart = np.abs(in_one(layers, plain) - wanted)
    change = np.abs(wanted - plain)
    assert change.mean() > 5e-4
    assert apart.mean() < 0.5 * change.mean()
    # As an output of that size its own, finer details would be sharpened.
    own = in_one(layers_of(Finish(sharpen=1.0), output=small), plain)
    assert np.abs(own - wanted).mean() > 2 * apart.mean()


def test_grain_is_not_amplified_as_edges_are() -> None:
    grain = np.random.default_rng(6).normal(0.5, 0.008, (300, 300, 1)).astype(np.float32)
    values = np.repeat(grain, 3, axis=2)
    sharp = in_one(layers_of(Finish(sharpen=1.0), output=Size(*values.shape[1::-1])), values)
    assert sharp.std() / values.std() < 1.5  # contours: 2.4 times as much at their steepest


def test_sharpening_turns_no_hue_and_cuts_nothing_off() -> None:
    values = noisy(TARGET)
    sharp = in_one(layers_of(Finish(sharpen=1.0), output=Size(*values.shape[1::-1])), values)
    difference = sharp - values
    assert np.abs(difference - difference[..., :1]).max() < 1e-6
    inside = (values > 0).all(axis=-1) & (values < 1).all(axis=-1)
    clipped = (sharp <= 0).any(axis=-1) & (np.abs(difference).max(axis=-1) > 1e-6)
    assert np.abs(difference)[inside].max() > 0.05
    assert (sharp[clipped].min(axis=-1) == 0).all()


# --- on a fused face ---------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_finishes_act_on_a_real_face(fusion: Fusion, ratio: float) -> None:
    field: FusionField = fusion.field(ratio)
    face = FinishedFace(field, fusion.target.face.box.grow(60))
    at = fusion.size
    whole = Region.whole(at)
    values = fusion.render(field) if ratio else as_float(fusion.pixels)
    layers = finishing_layers(Finish(smooth=1.0, brightness=0.3, scope="face"), [face], at, at)
    finished = in_one(layers, values)
    shown = field.face(whole, at)
    assert shown.max() > 0.95
    # Skin is smoothed a little beyond the face, so that no edge shows.
    untouched = (shown == 0) & (field.skin(whole, at) == 0)
    assert np.array_equal(finished[untouched], values[untouched])
    assert luma(finished)[shown > 0.9].mean() > luma(values)[shown > 0.9].mean() + 0.05
    skin = field.skin(whole, at) > 0.9
    assert skin.sum() > 1000
    rough = [
        np.abs(cv2.Laplacian(luma(picture), cv2.CV_32F))[skin].mean()
        for picture in (values, finished)
    ]
    assert rough[1] < 0.9 * rough[0]


# --- from file to file -------------------------------------------------------------------------


@pytest.fixture
def files(
    tmp_path: Path, target_file: Path, source_file: Path, pipeline: Pipeline
) -> Callable[..., FusionResult]:
    """files(target, output, finish, ratio=0, graft='auto'): what the pipeline made of them."""

    def run(
        target: Path, output: str, finish: Finish, ratio: float = 0.0, graft: str = "auto"
    ) -> FusionResult:
        request = FusionRequest(
            target,
            (source_file,),
            Output(tmp_path / output, graft=graft),
            Blend(ratio),
            finish,
            max_memory_mb=4000,
        )
        return pipeline.run(request, create_engine("mesh"), Progress())

    return run


def pixels_of(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def test_a_finish_without_a_fusion(
    files: Callable[..., FusionResult], target_file: Path, tmp_path: Path
) -> None:
    finish = Finish(brightness=0.2)
    assert files(target_file, "tone.png", finish).written == "encoded"
    before = pixels_of(target_file)
    expected = np.rint(Tone(brightness=0.2).applied(as_float(before)) * 255)
    assert np.array_equal(pixels_of(tmp_path / "tone.png"), expected)
    files(target_file, "skin.png", Finish(smooth=1.0))
    changed = (pixels_of(tmp_path / "skin.png") != before).any(axis=-1)
    assert 0.01 < changed.mean() < 0.12  # the face is a fourteenth of the picture
    assert files(target_file, "same.png", Finish(scope="face")).written == "copied"


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK"])
def test_grey_opacity_and_inks_come_through(
    files: Callable[..., FusionResult], target_file: Path, tmp_path: Path, mode: str
) -> None:
    suffix = ".tif" if mode == "CMYK" else ".png"
    target = tmp_path / f"target{suffix}"
    picture = Image.open(target_file).convert(mode)
    if mode in ("LA", "RGBA"):
        ramp = np.linspace(60, 255, picture.width).astype(np.uint8)
        picture.putalpha(Image.fromarray(np.broadcast_to(ramp, picture.size[::-1]).copy()))
    picture.save(target)
    files(target, f"out{suffix}", ALL, ratio=0.8)
    after = Image.open(tmp_path / f"out{suffix}")
    assert after.mode == mode
    if mode in ("LA", "RGBA"):
        assert np.array_equal(np.asarray(after)[..., -1], np.asarray(picture)[..., -1])
    moved = np.abs(np.asarray(after.convert("L"), int) - np.asarray(picture.convert("L"), int))
    assert 3 < moved.mean() < 60


def test_a_finish_of_the_whole_picture_is_encoded_and_that_of_the_face_grafted(
    files: Callable[..., FusionResult],
    target_file: Path,
    tmp_path: Path,
    require_program: Callable[[str], str],
) -> None:
    require_program("jpegtran")
    target = tmp_path / "target.jpg"
    Image.open(target_file).save(target, quality=88)
    whole = files(target, "whole.jpg", Finish(contrast=0.3), ratio=0.7)
    assert whole.written == "encoded"
    assert any("quality 88, because" in note for note in whole.notes)
    face = files(target, "face.jpg", Finish(contrast=0.3, sharpen=0.4, scope="face"), ratio=0.7)
    assert face.written == "grafted"
    always = files(target, "always.jpg", Finish(contrast=0.3), ratio=0.7, graft="always")
    assert always.written == "grafted"
    pictures = [
        pixels_of(tmp_path / name).astype(int) for name in ("whole.jpg", "always.jpg", "target.jpg")
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() < 1.5
    assert np.abs(pictures[0] - pictures[2]).mean() > 5


def test_memory_decides_where_pixels_lie_and_not_what_they_are(
    target_file: Path, tmp_path: Path, fusion: Fusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All finishes over a real fusion, in one strip of large tiles and in the smallest ones."""
    field = fusion.field(0.8)
    face = FinishedFace(field, fusion.target.face.box.grow(60))
    layers = (field, *finishing_layers(ALL, [face], fusion.size, fusion.size))
    image = ImageFile.open(target_file, max_megapixels=390)
    pictures = []
    for budget in (Budget(4000.0), Budget(0.0)):
        with image.rendition(image.size, Progress()) as base:
            regions = changing(layers, image.size, Region.whole(image.size))
            patches = render(base, layers, regions, budget, Progress())
            base.write(tmp_path / "out.png", Region.whole(image.size), patches, None, Progress())
        pictures.append(pixels_of(tmp_path / "out.png"))
        monkeypatch.setattr("fusion.rendering._NARROWEST_BAND", BLOCK)
    assert np.array_equal(*pictures)
    assert (pictures[0] != pixels_of(target_file)).any(axis=-1).mean() > 0.9
