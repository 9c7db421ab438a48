"""Layers over a picture that is read in strips: the same pixels whatever the cuts and the order."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion import rendering
from fusion.field import BLOCK, Backdrop, Layer, blocks
from fusion.memory import Budget
from fusion.rendering import changing, render
from preprocess.image_file import ImageFile
from preprocess.image_source import Orientation
from preprocess.patch import Patch
from preprocess.scratch import Scratch
from preprocess.tiling import Tiling, run_tiles
from tests.preprocess.pictures import Pixels, photo, save_png

LARGE, NONE = Budget(4000.0), Budget(0.0)


@dataclass(frozen=True)
class Blur:
    """Mean of five pixels in a cross, ``step`` apart, rounded so that mistakes do not fade."""

    area: Region
    step: int

    def bounds(self, at: Size) -> Region:
        return self.area.clip(at)

    def reach(self, at: Size) -> int:  # noqa: ARG002 - of the protocol
        return self.step

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        assert region.intersect(self.bounds(at)) == region
        seen = region.grow(self.step).clip(at)
        assert seen.intersect(under.region) == seen
        edges = [(region.y - seen.y, seen.bottom - region.bottom)]
        edges += [(region.x - seen.x, seen.right - region.right), (self.step, self.step)]
        values = np.pad(
            under.read(seen), [(self.step - a, self.step - b) for a, b in edges], mode="edge"
        )
        rows, columns = region.height, region.width
        taps = [
            values[self.step + y :, self.step + x :][:rows, :columns]
            for x, y in ((0, 0), (-self.step, 0), (self.step, 0), (0, -self.step), (0, self.step))
        ]
        return np.asarray(sum(taps[1:], taps[0]) * np.float32(0.2), np.float32)


@dataclass(frozen=True)
class Shift:
    """Every pixel comes from ``x``, ``y`` beside it; counts the blocks that it worked on."""

    area: Region
    x: int
    y: int
    worked: list[Region] = field(default_factory=list)

    def bounds(self, at: Size) -> Region:
        return self.area.clip(at)

    def reach(self, at: Size) -> int:  # noqa: ARG002 - of the protocol
        return max(abs(self.x), abs(self.y))

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        self.worked.extend(block for _, block in blocks(region))
        columns = np.clip(np.arange(region.x, region.right) + self.x, 0, at.width - 1)
        rows = np.clip(np.arange(region.y, region.bottom) + self.y, 0, at.height - 1)
        seen = Region(
            int(columns[0]),
            int(rows[0]),
            int(columns[-1] - columns[0]) + 1,
            int(rows[-1] - rows[0]) + 1,
        )
        return under.read(seen)[np.ix_(rows - seen.y, columns - seen.x)]


def composed(pixels: Pixels, layers: list[Layer]) -> Pixels:
    """All layers on an upright picture in one piece, in the picture's numbers."""
    highest = np.iinfo(pixels.dtype).max
    at = Size(pixels.shape[1], pixels.shape[0])
    values = Backdrop(pixels, Region.whole(at)).read(Region.whole(at))
    for layer in layers:
        inner = layer.bounds(at)
        if not inner.is_empty:
            changed = layer.render(Backdrop(values.copy(), Region.whole(at)), inner, at)
            values[inner.within(Region.whole(at))] = changed
    return np.rint(np.clip(values, 0, 1) * np.float32(highest)).astype(pixels.dtype)


def rendered(path: Path, layers: list[Layer], budget: Budget = LARGE) -> tuple[Pixels, list[Patch]]:
    """The stored picture with the patches laid in, and those."""
    image = ImageFile.open(path, max_megapixels=390)
    at = image.size
    with image.rendition(at, Progress()) as base:
        regions = changing(layers, at, Region.whole(at))
        patches = list(render(base, layers, regions, budget, Progress()))
        (strip,) = base.strips(Region.whole(at), 10_000)
    stored = np.array(strip.original)
    for patch in patches:
        place = patch.region.within(Region.whole(Size(stored.shape[1], stored.shape[0])))
        stored[place] = patch.array()
    return stored, patches


def upright(stored: Pixels, orientation: int) -> Pixels:
    turn = Orientation.from_exif(orientation)
    pixels = stored.swapaxes(0, 1) if turn.swap else stored
    return np.asarray(pixels[:: -1 if turn.flip_y else 1, :: -1 if turn.flip_x else 1])


def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least that there can be: one block."""
    monkeypatch.setattr(rendering, "_LARGEST_TILE", BLOCK)
    monkeypatch.setattr(rendering, "_NARROWEST_BAND", BLOCK)


OVERLAPPING: list[Layer] = [
    Shift(Region(60, 40, 300, 330), 37, -21),
    Blur(Region(200, 150, 260, 260), 5),
    Shift(Region(150, 0, 120, 400), -3, 9),
    Blur(Region(0, 0, 500, 420), 2),
]
APART: list[Layer] = [
    Shift(Region(10, 20, 130, 90), -40, 11),
    Blur(Region(300, 240, 150, 170), 3),
    Blur(Region(320, 230, 100, 100), 150),  # further than its own bounds
]


@pytest.mark.parametrize("layers", [OVERLAPPING, APART], ids=["overlapping", "apart"])
@pytest.mark.parametrize("budget", [LARGE, NONE], ids=["large", "none"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_layers_that_look_around_are_the_same_in_strips(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layers: list[Layer],
    budget: Budget,
    depth: int,
    orientation: int,
) -> None:
    size = (500, 420) if orientation < 5 else (420, 500)
    path = save_png(tmp_path / "a.png", photo(*size, 3, depth), orientation)
    if budget is NONE:
        small_tiles(monkeypatch)
    stored, patches = rendered(path, layers, budget)
    expected = composed(upright(photo(*size, 3, depth), orientation), layers)
    assert np.array_equal(upright(stored, orientation), expected)
    on_disk = [isinstance(patch.pixels, Scratch) for patch in patches]
    assert all(on_disk) if budget is NONE else not any(on_disk)


@pytest.mark.parametrize("orientation", [1, 6])
def test_rows_that_do_not_fit_are_read_in_narrower_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    path = save_png(tmp_path / "a.png", photo(500, 420), orientation)
    small_tiles(monkeypatch)
    layers: list[Layer] = [Blur(Region(0, 0, 500, 500), 30)]
    stored, patches = rendered(path, layers, NONE)
    assert [patch.region.width for patch in patches] in ([128, 128, 128, 116], [116, 128, 128, 128])
    assert all(patch.region.height == 420 for patch in patches)
    assert np.array_equal(stored, rendered(path, layers)[0])


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels(tmp_path: Path, channels: int) -> None:
    """Grey stays one channel; the layers see it three times; opacity is left alone."""
    pixels = photo(300, 280, channels)
    path = save_png(tmp_path / "a.png", pixels, 3)
    layers: list[Layer] = [Shift(Region(20, 30, 200, 200), 8, 8), Blur(Region(0, 90, 300, 90), 4)]
    stored, _ = rendered(path, layers, NONE)
    colours = pixels[..., :3] if channels == 4 else np.repeat(pixels[..., :1], 3, axis=2)
    expected = composed(upright(colours, 3), layers)
    assert np.array_equal(upright(stored, 3), expected[..., : stored.shape[2]])


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_size_of_tiles_strips_and_bands(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-cuts.png"
    pixels = photo(500, 420)
    if not path.exists():
        save_png(path, pixels)
    layers: list[Layer] = []
    for kind in data.draw(st.lists(st.sampled_from((Blur, Shift)), min_size=1, max_size=3)):
        x, y = data.draw(st.integers(0, 480)), data.draw(st.integers(0, 400))
        area = Region(x, y, data.draw(st.integers(1, 500)), data.draw(st.integers(1, 420)))
        reach = data.draw(st.integers(0, 60))
        layers.append(Blur(area, reach) if kind is Blur else Shift(area, reach, -(reach // 2)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rendering, "_LARGEST_TILE", BLOCK * data.draw(st.integers(1, 4)))
        patched.setattr(rendering, "_LARGEST_STRIP", data.draw(st.integers(0, 2_000_000)))
        patched.setattr(rendering, "_NARROWEST_BAND", BLOCK)
        patched.setattr(rendering, "_MOST_BLOCKS", data.draw(st.integers(0, 3_000_000)))
        stored, _ = rendered(path, layers)
    assert np.array_equal(stored, composed(pixels, layers))


def test_a_block_that_several_tiles_look_at_is_composed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "_LARGEST_TILE", BLOCK)
    path = save_png(tmp_path / "a.png", photo(512, 384))
    below = Shift(Region(0, 0, 512, 384), 1, 0)
    rendered(path, [below, Blur(Region(0, 0, 512, 384), 3)])
    assert len(below.worked) == len(set(below.worked)) == 12


def test_tiles_shrink_where_what_lies_around_them_takes_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_png(tmp_path / "a.png", photo(512, 512))
    sides: list[int] = []

    def noted(region: Region, tiling: Tiling, *rest: object, **named: object) -> Tiling:
        sides.append(tiling.side)
        return run_tiles(region, tiling, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("fusion.rendering.run_tiles", noted)
    monkeypatch.setattr(Budget, "spare_mb", lambda _: 380.0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    whole = Region(0, 0, 512, 512)
    for reach in (0, 100, 1000):
        rendered(path, [Shift(whole, 1, 0), Blur(whole, reach)])
    assert sides == [512, 384, 128]


def test_an_error_in_a_block_reaches_every_tile_that_waits_for_it(tmp_path: Path) -> None:
    path = save_png(tmp_path / "a.png", photo(512, 512))

    @dataclass(frozen=True)
    class Failing(Shift):
        def render(self, *_: object) -> FloatArray:
            raise MemoryError

    whole = Region(0, 0, 512, 512)
    threads = threading.active_count()
    with pytest.raises(MemoryError):
        rendered(path, [Failing(whole, 1, 0), Blur(whole, 3)])
    assert threading.active_count() == threads


def test_what_no_layer_changes_makes_no_patch(tmp_path: Path) -> None:
    path = save_png(tmp_path / "a.png", photo(300, 200))
    still = Shift(Region(50, 50, 100, 100), 0, 0)
    assert rendered(path, [still])[1] == []
    assert changing([], Size(300, 200), Region(0, 0, 300, 200)) == ()
    (patch,) = rendered(path, [still, Shift(Region(90, 60, 20, 30), 2, 0)])[1]
    assert patch.region.intersect(Region(90, 60, 20, 30)) == patch.region
