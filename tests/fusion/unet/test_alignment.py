"""The five points and the crops are those of ModelScope's class, on whole pictures and on parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.types import FloatArray, Region, Size
from fusion.engines.unet import alignment
from fusion.engines.unet.alignment import Alignment
from preprocess.window import Window
from tests.fusion.pictures import Fusion

READ = [30, *range(36, 48), 48, 54]
FIVE = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]], np.float32)


@pytest.fixture(scope="module")
def facelib(unavailable: Callable[[str], NoReturn]) -> Any:
    """The official functions; they are plain numpy and OpenCV."""
    try:
        from modelscope.models.cv.image_face_fusion.facelib import align_trans
    except ImportError:
        unavailable("modelscope is not installed; ./run.sh --full setup installs it")
    return align_trans


def _window(pixels: NDArray[Any], region: Region | None = None) -> Window:
    size = Size(pixels.shape[1], pixels.shape[0])
    region = region or Region.whole(size)
    return Window.of(np.ascontiguousarray(pixels[_slices(region)]), region, size, size)


def _slices(region: Region) -> tuple[slice, slice]:
    return region.within(Region(0, 0, 0, 0))


def _size(pixels: NDArray[Any]) -> Size:
    return Size(pixels.shape[1], pixels.shape[0])


class Drawn:
    """A face of five points somewhere, perhaps over the edge of a noisy picture."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng(seed)
        height, width = draw.integers(60, 700, 2)
        noise = cv2.GaussianBlur(draw.normal(128, 90, (height, width, 3)), (0, 0), 2)
        noise += draw.normal(0, 25, noise.shape)
        self.pixels = np.clip(noise, 0, 255).astype(np.uint8)
        turn, scale = draw.uniform(-3, 3), draw.uniform(0.2, 5)
        rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        narrow = np.array([draw.uniform(0.1, 1), 1])  # as of a head turned away
        middle = (draw.uniform(0, width), draw.uniform(0, height))
        points = ((FIVE - FIVE[2]) * narrow) @ rotation.T + middle
        apart = np.hypot(*(points[1] - points[0]))
        round_eye = np.linspace(0, 2 * np.pi, 7)[:6]
        self.points = np.full((68, 2), np.nan, np.float32)
        for first, centre in ((36, points[0]), (42, points[1])):
            rim = np.stack([0.2 * np.cos(round_eye), 0.1 * np.sin(round_eye)], axis=1)
            self.points[first : first + 6] = centre + apart * rim
        self.points[[30, 48, 54]] = points[2:]

    @property
    def size(self) -> Size:
        return _size(self.pixels)

    def part(self, region: Region) -> Window:
        return _window(self.pixels, region.clip(self.size))


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    return [Drawn(seed) for seed in range(60)]


def _official_five(facelib: Any, one: Drawn) -> FloatArray:
    return np.array(facelib.get_f5p(one.points, one.pixels[:, :, ::-1]), np.float32)


def test_the_points_read_are_taken_from_the_mesh(fusion: Fusion) -> None:
    landmarks = fusion.target.face.landmarks
    points = alignment.points68(landmarks)
    assert np.flatnonzero(np.isfinite(points[:, 0])).tolist() == READ
    irises = fusion.target.face.irises[:, 0]
    for eye, iris in zip((slice(36, 42), slice(42, 48)), irises, strict=True):
        low, high = points[eye].min(axis=0), points[eye].max(axis=0)
        assert (low < iris).all()
        assert (iris < high).all()
    # Corners of the mouth at both sides of the nose's tip, and below it.
    assert points[48, 0] < points[30, 0] < points[54, 0]
    assert points[[48, 54], 1].min() > points[30, 1]


def test_five_points_are_the_official_ones(facelib: Any, drawn: list[Drawn], capsys: Any) -> None:
    inside = 0
    for one in drawn:
        wanted = _official_five(facelib, one)
        known = one.points[np.isfinite(one.points[:, 0])]
        around = Region.around(known, 2.0)
        parts = [Region.whole(one.size), around.grow(9)]
        inside += around.clip(one.size) == around
        for part in parts:
            if part.clip(one.size).is_empty:
                continue
            found = alignment.five_points(one.points, one.part(part), one.size)
            assert np.array_equal(found, wanted)
    assert 15 < inside < len(drawn)  # faces over the edge were tried as well
    capsys.readouterr()  # the official function prints when it finds no pupil


def test_a_pupil_is_the_middle_of_the_dark_part_of_the_eye(fusion: Fusion) -> None:
    pixels = np.full((300, 300, 3), 220, np.uint8)
    points = np.full((68, 2), np.nan, np.float32)
    for first, x in ((36, 60.5), (42, 180.5)):
        points[first : first + 6] = [
            (x, 100), (x + 20, 92), (x + 40, 92), (x + 60, 100), (x + 40, 110), (x + 20, 110)
        ]  # fmt: skip
        cv2.circle(pixels, (round(x + 33), 101), 5, (30, 20, 20), -1)
    points[[30, 48, 54]] = [(150, 170), (110, 230), (190, 230)]
    found = alignment.five_points(points, _window(pixels), _size(pixels))
    assert np.abs(found[:2] - [(93, 101), (213, 101)]).max() <= 1
    assert np.array_equal(found[2:], points[[30, 48, 54]])
    deep = pixels.astype(np.uint16) * 257
    assert np.array_equal(alignment.five_points(points, _window(deep), _size(deep)), found)
    # An eye over the edge of the picture: the means of the five points of both.
    size = Size(190, 300)
    cut = alignment.five_points(points, _window(pixels[:, :190]), size)
    assert cut[0] == pytest.approx(points[36:41].mean(axis=0))
    assert cut[1] == pytest.approx(points[42:47].mean(axis=0))


def test_a_reduced_window_gives_nearly_the_same_pupils(fusion: Fusion) -> None:
    view, size = fusion.target, fusion.size
    points = alignment.points68(view.face.landmarks)
    whole = _window(fusion.pixels)
    found = alignment.five_points(points, whole, size)
    reduced = alignment.five_points(points, whole.shrunk(1.5), size)
    assert np.abs(found - reduced).max() < 4  # an eye is 40 px wide


def test_alignments_are_bit_for_bit_the_official_ones(facelib: Any, drawn: list[Drawn]) -> None:
    fusing = facelib.get_reference_facial_points(default_square=True)
    restoring = facelib.get_reference_facial_points((1024, 1024), 0.25, (0, 0), True)
    mirrored = 0
    for one in drawn:
        five = alignment.five_points(one.points, one.part(Region.whole(one.size)), one.size)
        crop, back = facelib.warp_and_crop_face(
            one.pixels, five, reference_pts=fusing, crop_size=(256, 256), return_trans_inv=True
        )
        ours = Alignment.for_fusion(five)
        assert np.array_equal(ours.inverse, back)
        _same_crop(one, ours, crop)
        values = one.pixels.astype(np.float32)
        _, back = facelib.warp_and_crop_face_enhance(
            values, five, reference_pts=restoring, crop_size=(1024, 1024)
        )
        assert np.array_equal(Alignment.for_restoration(five).inverse, back)
        mirrored += np.linalg.det(ours.matrix[:, :2]) < 0
        assert np.linalg.det(Alignment.for_fusion(five, mirrors=False).matrix[:, :2]) > 0
    assert 10 < mirrored < 50


def _same_crop(one: Drawn, ours: Alignment, wanted: NDArray[np.uint8]) -> None:
    """On the whole picture and on the part that the crop shows; black beyond the picture."""
    for part in (Region.whole(one.size), ours.reads()):
        if part.clip(one.size).is_empty:
            assert not wanted.any()
            continue
        found = alignment.official_crop(one.part(part), ours, one.size)
        apart = np.abs(found.astype(int) - wanted)
        # The same numbers; a processor that fuses no products may round a few differently.
        assert apart.max() <= 1
        assert np.count_nonzero(apart) <= 3


@pytest.mark.parametrize("make", [Alignment.for_fusion, Alignment.for_restoration])
def test_an_upright_face_lies_where_the_reference_has_it(make: Any) -> None:
    five = FIVE * 3 + np.array([100, 50], np.float32)
    found = make(five)
    placed = five @ found.matrix[:, :2].T + found.matrix[:, 2]
    share = 0.85 * 256 / 112 if found.side == 256 else 1024 / 168
    wanted = (FIVE - 56) * share + found.side / 2
    assert np.abs(placed - wanted).max() < 0.35
    back = placed @ found.inverse[:, :2].T + found.inverse[:, 2]
    assert np.abs(back - five).max() < 0.2  # for GPEN it is a fit of its own
    assert found.spacing == pytest.approx(3 / share, rel=0.01)


@pytest.mark.parametrize("make", [Alignment.for_fusion, Alignment.for_restoration])
@pytest.mark.parametrize("slope", [0.0, 1.0], ids=["place", "line"])
def test_points_on_a_line_are_refused(make: Any, slope: float) -> None:
    along = slope * np.arange(5)
    with pytest.raises(ValueError, match="five points on a line"):
        make(np.stack([50 + along, 70 + 2 * along], axis=1).astype(np.float32))


def test_a_window_that_ends_inside_the_picture_is_continued(fusion: Fusion) -> None:
    points = alignment.points68(fusion.target.face.landmarks)
    ours = Alignment.for_fusion(alignment.five_points(points, _window(fusion.pixels), fusion.size))
    reads = ours.reads().clip(fusion.size)
    short = Region(reads.x, reads.y + 40, reads.width, reads.height - 40)
    whole = alignment.official_crop(_window(fusion.pixels), ours, fusion.size)
    crop = alignment.official_crop(_window(fusion.pixels, short), ours, fusion.size)
    assert np.abs(crop[60:].astype(int) - whole[60:]).max() <= 1
    assert crop[:2].mean() > 10  # not black
    far = Alignment(ours.matrix - np.array([[0, 0, 9000]] * 2), ours.inverse, 256)
    assert not alignment.official_crop(_window(fusion.pixels), far, fusion.size).any()


@pytest.mark.parametrize("highest", [255, 65535])
def test_the_smooth_crop_averages_what_it_skips(highest: int) -> None:
    depth = np.uint8 if highest == 255 else np.uint16
    board = np.indices((900, 900)).sum(axis=0) % 2 * highest
    pixels = np.repeat(board[..., None], 3, axis=2).astype(depth)
    ours = Alignment.for_fusion(FIVE * 6 + np.array([100, 100], np.float32))
    crop = alignment.smooth_crop(_window(pixels), ours)
    assert crop.dtype == np.float32
    assert np.abs(crop[20:-20, 20:-20] - 0.5).max() < 0.05
    official = alignment.official_crop(_window(pixels), ours, Size(900, 900))
    assert official.std() > 30  # that one does not


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("scale", [0.8, 2.5, 7.0])
def test_the_smooth_crop_shows_every_place_at_its_place(times: int, scale: float) -> None:
    size = Size(1200, 1000)
    x, y = np.meshgrid(np.arange(size.width), np.arange(size.height))
    pixels = np.stack([x * 50, y * 50, x * 0 + 9000], axis=2).astype(np.uint16)
    ours = Alignment.for_fusion(FIVE * scale + np.array([150, 120], np.float32))
    finer = ours.finer(times)
    crop = alignment.smooth_crop(_window(pixels), finer) * 65535 / 50
    assert crop.shape == (256 * times, 256 * times, 3)
    row, column = np.mgrid[60:200:20, 60:200:20] * times
    places = np.stack([column, row], axis=-1) @ finer.inverse[:, :2].T + finer.inverse[:, 2]
    inside = (places > 8).all(axis=-1) & (places < np.array([1190, 990])).all(axis=-1)
    assert inside.mean() > 0.5
    assert np.abs(crop[row, column, :2] - places)[inside].max() < 0.25
    # The finer crop's pixels lie around those of the coarse one.
    middle = np.array([[(times - 1) / 2] * 2]) @ finer.inverse[:, :2].T + finer.inverse[:, 2]
    assert middle[0] == pytest.approx(ours.inverse[:, 2], abs=1e-4)


def test_the_smooth_crop_continues_the_picture_beyond_its_edge() -> None:
    pixels = np.full((200, 200, 3), 90, np.uint8)
    ours = Alignment.for_fusion(FIVE * 2 + np.array([-60, -60], np.float32))
    crop = alignment.smooth_crop(_window(pixels), ours)
    assert crop == pytest.approx(np.full((256, 256, 3), 90 / 255), abs=1e-6)
