"""What is laid into a face: one picture, and finer detail of two others."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import FloatArray, Region, Size
from fusion.compositing.grid import FaceGrid
from fusion.compositing.moves import Moves
from fusion.compositing.origin import Detail, Origin, Picture, Places
from preprocess.window import Window

TARGET = Size(300, 240)
BLOCK = Region(0, 0, 128, 128)
GRID = FaceGrid(-8.0, -8.0, 2.0, 160, 130)


def places(zoom: float = 1.0, share: float = 0.0, shift: float = 0.0) -> Places:
    """Each node's own place in a picture ``zoom`` times as large; its other half lies mirrored."""
    own = np.moveaxis(GRID.positions(), -1, 0) * np.float32(zoom)
    own = (own + np.float32(shift)).astype(np.float32)
    other = own.copy()
    other[0] = np.float32(TARGET.width * zoom - 1) - own[0]
    flat = np.full(GRID.shape, share, np.float32)
    return Places(own, other, flat, np.zeros_like(flat))


def window(pixels: NDArray[np.uint8]) -> Window:
    return Window(pixels, np.ones(2, np.float32), np.zeros(2, np.float32))


def smooth(seed: int, zoom: int = 1) -> NDArray[np.uint8]:
    """Soft clouds, of which interpolation loses nothing."""
    values = np.random.default_rng(seed).uniform(0, 255, (12, 15, 3)).astype(np.float32)
    size = (TARGET.width * zoom, TARGET.height * zoom)
    large = cv2.resize(values, size, interpolation=cv2.INTER_CUBIC)
    return np.rint(np.clip(0.5 * large + 64, 0, 255)).astype(np.uint8)


def textured(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 12, pixels.shape[:2])[..., None]
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def as_float(pixels: NDArray[np.uint8]) -> FloatArray:
    return np.asarray(pixels, np.float32) / np.float32(255)


def picture(pixels: NDArray[np.uint8], where: Places | None = None) -> Picture:
    return Picture(window(pixels), where or places(), GRID, TARGET)


def still() -> Moves:
    return Moves(GRID, np.zeros((2, *GRID.shape), np.float32), 0.0)


def detail(
    source: Picture, target: NDArray[np.uint8], amount: float = 0.0, kept: float = 0.0
) -> Detail:
    flat = np.ones(GRID.shape, np.float32)
    return Detail(
        source=source,
        limits=((6.0, 1.0),),
        amount=flat * np.float32(amount),
        target=window(target),
        kept_pitch=6.0,
        kept=flat * np.float32(kept),
        moves=still(),
    )


def part(pixels: NDArray[np.uint8]) -> FloatArray:
    return as_float(pixels[BLOCK.within(Region.whole(TARGET))])


def fine(values: FloatArray) -> FloatArray:
    return values - cv2.GaussianBlur(values, (0, 0), 3)


def inner(values: FloatArray) -> FloatArray:
    """Away from the block's edges, where filters see less."""
    return values[16:-16, 16:-16]


def test_a_picture_in_its_own_place_is_itself() -> None:
    pixels = smooth(1)
    made = picture(pixels)
    assert made.pitch == pytest.approx(1.0, rel=1e-3)
    taken = made.pixels(BLOCK, TARGET)
    assert inner(np.abs(taken - part(pixels))).max() < 1 / 255


def test_a_finer_picture_covers_less_with_a_pixel() -> None:
    made = picture(smooth(1, zoom=2), places(zoom=2.0, shift=0.5))
    assert made.pitch == pytest.approx(0.5, rel=1e-3)
    assert inner(np.abs(made.pixels(BLOCK, TARGET) - part(smooth(1)))).mean() < 2 / 255


def test_the_other_half_is_mixed_in_by_its_share() -> None:
    pixels = smooth(1)
    own, half, other = (
        picture(pixels, places(share=share)).pixels(BLOCK, TARGET) for share in (0.0, 0.5, 1.0)
    )
    mirrored = as_float(np.ascontiguousarray(pixels[:, ::-1]))[:128, :128]
    assert inner(np.abs(other - mirrored)).max() < 1 / 255
    assert np.abs(half - (own + other) / 2).max() < 1e-5


def test_a_pitch_takes_what_is_finer_away() -> None:
    pixels = textured(smooth(1), 5)
    made = picture(pixels)
    whole, coarse = made.pixels(BLOCK, TARGET), made.pixels(BLOCK, TARGET, 6.0)
    assert np.std(fine(coarse)) < 0.2 * np.std(fine(whole))
    assert inner(np.abs(coarse - part(smooth(1)))).mean() < 0.02


def test_without_detail_the_picture_is_all_there_is() -> None:
    made = picture(smooth(1))
    base = np.zeros((128, 128, 3), np.float32)
    taken = Origin(made, GRID, TARGET).pixels(base, BLOCK, TARGET)
    assert np.array_equal(taken, made.pixels(BLOCK, TARGET))
    assert Origin(made, GRID, TARGET).plain is made.places.plain


def test_the_sources_detail_is_added_to_the_picture() -> None:
    """Colours of the picture, texture of the source."""
    rough = textured(smooth(2), 5)
    made, base = picture(smooth(1)), part(smooth(3))
    with_detail = Origin(made, GRID, TARGET, detail(picture(rough), smooth(3), amount=1.0))
    taken = with_detail.pixels(base, BLOCK, TARGET)
    texture = fine(part(rough)) - fine(part(smooth(2)))
    added = taken - made.pixels(BLOCK, TARGET)
    assert np.corrcoef(inner(added).ravel(), inner(texture).ravel())[0, 1] > 0.95
    soft = [cv2.GaussianBlur(each, (0, 0), 8) for each in (taken, part(smooth(1)))]
    assert inner(np.abs(soft[0] - soft[1])).max() < 0.02
    quarters = []
    for amount in (0.25, 0.5):  # so little that nothing is cut off
        some = Origin(made, GRID, TARGET, detail(picture(rough), smooth(3), amount=amount))
        quarters.append(some.pixels(base, BLOCK, TARGET) - made.pixels(BLOCK, TARGET))
    assert np.abs(quarters[1] - 2 * quarters[0]).max() < 1e-5


def test_limits_share_what_is_added() -> None:
    made, rough = picture(smooth(1)), picture(textured(smooth(2), 5))
    base = part(smooth(3))

    def taken(*limits: tuple[float, float]) -> FloatArray:
        only = replace(detail(rough, smooth(3), amount=1.0), limits=limits)
        return Origin(made, GRID, TARGET, only).pixels(base, BLOCK, TARGET)

    near, far = taken((2.0, 1.0)), taken((6.0, 1.0))
    assert np.std(fine(near)) < np.std(fine(far))
    mixed = taken((2.0, 0.3), (6.0, 0.7))
    assert np.abs(mixed - (0.3 * near + 0.7 * far)).max() < 1e-5


def test_the_targets_detail_is_kept_where_asked_for() -> None:
    rough = textured(smooth(3), 9)
    made, plain = picture(smooth(1)), picture(smooth(2))
    keeping = Origin(made, GRID, TARGET, detail(plain, rough, kept=1.0))
    added = keeping.pixels(part(rough), BLOCK, TARGET) - made.pixels(BLOCK, TARGET)
    texture = fine(part(rough)) - fine(part(smooth(3)))
    assert np.corrcoef(inner(added).ravel(), inner(texture).ravel())[0, 1] > 0.95
    assert abs(float(inner(added).mean())) < 0.003


def test_nothing_is_added_beyond_black_and_white() -> None:
    rough = textured(smooth(2), 5)
    strong = Origin(picture(smooth(1)), GRID, TARGET, detail(picture(rough), smooth(3), amount=40))
    taken = strong.pixels(part(smooth(3)), BLOCK, TARGET)
    assert taken.min() == 0
    assert taken.max() == 1
    assert taken.dtype == np.float32


def test_nodes_see_what_pixels_see() -> None:
    """A detail at the nodes is that of the pixels there, at the nodes' own resolution."""
    made = picture(smooth(1))
    nodes = made.at_nodes()
    assert nodes.shape == (*GRID.shape, 3)
    x, y = np.moveaxis(GRID.positions(), -1, 0)
    inside = (x > 20) & (x < 270) & (y > 20) & (y < 210)
    seen = cv2.remap(as_float(smooth(1)), x, y, cv2.INTER_LINEAR)
    assert np.abs(nodes - seen)[inside].max() < 3 / 255
    plain = detail(picture(smooth(2)), smooth(3))
    assert not plain.at_nodes(GRID, nodes).any()


def test_the_same_block_gives_the_same_bits() -> None:
    rough = textured(smooth(2), 5)
    base = part(smooth(3))

    def once() -> FloatArray:
        both = detail(picture(rough), textured(smooth(3), 9), amount=0.7, kept=0.4)
        return Origin(picture(smooth(1)), GRID, TARGET, both).pixels(base, BLOCK, TARGET)

    assert np.array_equal(once(), once())
