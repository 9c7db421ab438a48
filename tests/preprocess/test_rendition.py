"""Renditions: read in strips, changed, framed and written; parts in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import CancelledError, DiskFullError
from common.progress import Progress
from common.types import Region, Size
from preprocess import image_pipeline
from preprocess.image_file import ImageFile, Patch
from preprocess.image_source import Orientation
from preprocess.scratch import Scratch
from tests.preprocess.pictures import Pixels, encoded, load_pixels, photo, save_png
from tests.preprocess.renditions import Change, laid, rendered, write

ORIENTATIONS = range(1, 9)


def open_file(path: Path) -> ImageFile:
    return ImageFile.open(path, max_megapixels=390)


def colours(pixels: Pixels) -> Pixels:
    return pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)


# --- orientation ----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [7, 32, 1000])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_strips_make_up_any_region(tmp_path: Path, orientation: int, rows: int) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(90, 70), orientation))
    for at in (image.size, Size(image.size.width // 2, image.size.height // 2)):
        region = Region(3, 5, 30, 28)
        expected = image.read_srgb(region, at)  # the same numbers: there is no profile
        assert np.array_equal(rendered(image, at, region, rows), expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_strips_are_cut_at_multiples_of_their_height(tmp_path: Path, orientation: int) -> None:
    """Where fields have their fixed blocks: a strip must not cut one."""
    image = open_file(save_png(tmp_path / "a.png", photo(90, 70), orientation))
    with image.rendition(image.size, Progress()) as base:
        strips = list(base.strips(Region(3, 5, 60, 60), 16))
        swap = Orientation.from_exif(orientation).swap
        inner = sorted(strip.region.x if swap else strip.region.y for strip in strips)[1:]
        assert len(inner) > 2
        assert all(edge % 16 == 0 for edge in inner)
        tops = [strip.stored_region.y for strip in strips]
        assert tops == sorted(tops)  # one pass of the decoder


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_strip_that_is_not_changed_is_what_was_stored(tmp_path: Path, channels: int) -> None:
    pixels = photo(40, 30, channels, 16)
    image = open_file(save_png(tmp_path / "a.png", pixels, 6))
    with image.rendition(image.size, Progress()) as base:
        (strip,) = base.strips(Region.whole(image.size), 100)
        expected = pixels[..., :3] if channels > 2 else pixels[..., :1]
        assert np.array_equal(strip.original, expected)
        assert np.array_equal(strip.stored(), expected)


# --- parts in memory --------------------------------------------------------------------------


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were opened for their pixels, one entry for each pass."""
    opened: list[Path] = []
    load = image_pipeline.load

    def noted(path: Path, *rest: Any) -> Any:
        opened.append(path)
        return load(path, *rest)

    monkeypatch.setattr(image_pipeline, "load", noted)
    return opened


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_parts_in_memory_are_what_the_file_says(
    tmp_path: Path, loads: list[Path], channels: int, orientation: int
) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(400, 700, channels), orientation))
    width, height = image.size.width, image.size.height
    regions = [
        Region(10, 20, 100, 90),
        Region(width - 120, 200, 200, 100),
        Region(60, height - 99, 55, 99),
    ]
    kept = image.keeping(regions, 1.0)
    assert len(loads) == 1
    for region in regions:
        inside = region.clip(image.size)
        for view, expected in (
            (kept.view, rendered(image, image.size, inside)),
            (kept.view_srgb, image.read_srgb(inside)),
        ):
            window = view(inside, 1.0)
            assert np.array_equal(window.pixels, expected)
            assert window.offset.tolist() == [inside.x, inside.y]
    assert len(loads) == 1 + 2 * len(regions)  # those of `read`
    at = kept.size
    loads.clear()
    assert np.array_equal(rendered(kept, at, regions[0], 16), rendered(image, at, regions[0], 16))
    assert len(loads) == 1  # the second


def test_a_part_serves_coarser_views_and_not_finer_ones(tmp_path: Path, loads: list[Path]) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(800, 600)))
    region = Region(101, 50, 400, 300)
    kept = image.keeping([region], 0.5)
    loads.clear()
    inner = Region(120, 60, 300, 200)
    coarse = kept.view(inner, 0.12)
    assert not loads
    assert coarse.scale == pytest.approx(0.125)
    corner = np.array([[120.0, 60.0]], np.float32)
    assert coarse.inward(corner) == pytest.approx(np.array([[0, 0]]), abs=1.0)
    # A window knows where its pixels lie: the same place has the same value in both.
    fine = image.view(inner, 1.0)
    place = np.array([[250.0, 160.0]], np.float32)
    values = []
    for window in (coarse, fine):
        x, y = window.inward(place)[0]
        side = max(1, round(8 * window.scale / 0.125 / 2))
        part = window.pixels[round(y) - side : round(y) + side, round(x) - side : round(x) + side]
        values.append(part.mean(axis=(0, 1)))
    assert values[0] == pytest.approx(values[1], abs=6)
    loads.clear()
    assert kept.view(inner, 1.0).scale == pytest.approx(1.0)
    assert len(loads) == 1


def test_parts_that_are_not_needed_are_dropped(tmp_path: Path, loads: list[Path]) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(300, 300)))
    near, far = Region(0, 0, 50, 50), Region(200, 200, 50, 50)
    kept = image.keeping([near, far], 1.0).keeping_only([far.grow(3)])
    loads.clear()
    kept.view(far, 1.0)
    assert not loads
    kept.view(near, 1.0)
    assert len(loads) == 1


def test_many_parts_are_read_in_one_pass_though_threads_are_kept_waiting(tmp_path: Path) -> None:
    """Other work keeps libvips' threads waiting; rows that one needs must not be gone then."""
    pixels = photo(3000, 2600)
    (tmp_path / "a.jpg").write_bytes(encoded(pixels, "JPEG", quality=90))
    image = open_file(tmp_path / "a.jpg")
    regions = [Region(x, y, 120, 130) for y in range(0, 2400, 170) for x in range(30, 2800, 400)]
    with ThreadPoolExecutor(6) as threads:
        busy = [
            threads.submit(np.sort, np.random.default_rng(n).random(2_000_000)) for n in range(24)
        ]
        for scale in (1.0, 0.3):
            kept = image.keeping(regions, scale)
            window = kept.view(regions[-1], scale)
            assert np.array_equal(window.pixels, image.view(regions[-1], scale).pixels)
        for one in busy:
            one.result()


# --- frames -----------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(
    "window",
    [
        Region(-7, 0, 90, 60),
        Region(0, -9, 70, 80),
        Region(-20, -30, 120, 130),
        Region(-100, -100, 300, 280),  # wider than the picture: reflected again and again
    ],
)
def test_a_border_reflects_the_picture(
    tmp_path: Path,
    window: Region,
    orientation: int,
    on_disk: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if on_disk:
        monkeypatch.setattr("preprocess.image_pipeline._HELD_IN_MEMORY", 0)
    stored = (70, 60) if orientation != 6 else (60, 70)
    image = open_file(save_png(tmp_path / "a.png", photo(*stored), orientation))
    change = Change(Region(0, 0, 5, 4), np.full((4, 5, 3), 255, np.uint8))
    write(image, tmp_path / "out.png", change, window=window)
    picture = rendered(image, image.size, Region.whole(image.size))
    picture[:4, :5] = 255
    before, after = (-window.y, window.bottom - 60), (-window.x, window.right - 70)
    expected = np.pad(picture, (before, after, (0, 0)), mode="symmetric")
    assert np.array_equal(load_pixels(tmp_path / "out.png"), expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_cutting_is_a_part_of_the_picture_with_its_changes(
    tmp_path: Path, orientation: int
) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(200, 160, 4), orientation))
    window, region = Region(40, 31, 77, 66), Region(60, 50, 20, 30)
    change = Change(region, np.full((30, 20, 3), 9, np.uint8))
    write(image, tmp_path / "out.png", change, window=window)
    result = open_file(tmp_path / "out.png")
    assert result.size == Size(77, 66)
    assert result.has_alpha
    expected = rendered(image, image.size, window)
    expected[region.within(window)] = 9
    assert np.array_equal(rendered(result, result.size, Region.whole(result.size)), expected)


# --- patches on disk, enlarging -----------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 8])
def test_a_patch_on_disk_is_laid_in_like_one_in_memory(tmp_path: Path, orientation: int) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(300, 280, 4), orientation))
    region = Region(30, 40, 120, 150)
    change = Change(region, photo(120, 150, seed=3))
    with image.rendition(image.size, Progress()) as base:
        (patch,) = laid(base, [change])
        assert not isinstance(patch.pixels, Scratch)
        rows = iter(np.array_split(patch.pixels, 5))
        place = Size(patch.region.width, patch.region.height)
        scratch = Scratch.of_rows(place, 3, np.dtype(np.uint8), rows, "a test")
        for name, one in (("memory", patch), ("disk", Patch(patch.region, scratch))):
            output = tmp_path / f"{name}.png"
            base.write(output, Region.whole(image.size), [one], 95, Progress())
            assert np.array_equal(one.array(), patch.pixels)
    assert (tmp_path / "disk.png").read_bytes() == (tmp_path / "memory.png").read_bytes()
    assert np.array_equal(
        rendered(open_file(tmp_path / "disk.png"), open_file(tmp_path / "disk.png").size, region),
        change.pixels,
    )


def test_an_enlarged_picture_is_the_same_in_strips_and_in_the_file(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(120, 90, 3, 16), 6))
    at = Size(200, 267)
    write(image, tmp_path / "out.png", at=at)
    whole = load_pixels(tmp_path / "out.png")
    assert np.array_equal(rendered(image, at), whole)
    region = Region(50, 111, 60, 77)
    assert np.array_equal(rendered(image, at, region, 13), whole[region.within(Region(0, 0, 0, 0))])


def test_an_edge_does_not_ring_with_or_without_opacity(tmp_path: Path) -> None:
    pixels = np.full((60, 80, 4), 20, np.uint8)
    pixels[:, 40:, :3] = 255
    pixels[..., 3] = 255
    for channels in (3, 4):
        image = open_file(save_png(tmp_path / "a.png", pixels[..., :channels]))
        large = rendered(image, Size(320, 240))
        assert (large.min(), large.max()) == (20, 255)


def test_enlarging_can_be_cancelled(tmp_path: Path) -> None:
    image = open_file(save_png(tmp_path / "a.png", photo(120, 90)))
    progress = Progress(lambda *_: progress.cancel())
    with pytest.raises(CancelledError):
        image.rendition(Size(1200, 900), progress)


def test_no_room_for_an_enlarged_picture_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("preprocess.scratch.shutil.disk_usage", lambda _: usage)
    image = open_file(save_png(tmp_path / "a.png", photo(120, 90)))
    with pytest.raises(DiskFullError, match=r"enlarging .*a\.png needs"):
        image.rendition(Size(1200, 900), Progress())


# --- inks ---------------------------------------------------------------------------------------


def test_inks_outside_a_change_keep_their_numbers(tmp_path: Path) -> None:
    inks = np.random.default_rng(5).integers(0, 256, (60, 80, 4), np.uint8)
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif", compression="tiff_lzw")
    image = open_file(tmp_path / "a.tif")
    region = Region(20, 10, 30, 25)
    write(image, tmp_path / "out.tif", Change(region, np.full((25, 30, 3), 128, np.uint8)))
    after = np.asarray(Image.open(tmp_path / "out.tif"))
    assert after.shape == inks.shape
    inside = np.zeros((60, 80), bool)
    inside[region.within(Region(0, 0, 0, 0))] = True
    assert np.array_equal(after[~inside], inks[~inside])
    assert (after[inside] != inks[inside]).mean() > 0.5
