"""The official composite is the class's own picture, however it is cut, and stays within bounds.

The class runs with its own code from the points to the pixels; in place of its networks simple
functions stand, on both sides the same, so that every crop that they are shown counts.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import CancelledError
from common.progress import Progress
from common.types import Face, FloatArray, Region, Size
from fusion.engines.base import FaceView
from fusion.engines.unet import alignment, official
from fusion.engines.unet.aligned import Aligned
from fusion.engines.unet.official import OfficialField, official_fields, restoration_input
from fusion.field import BLOCK, Backdrop
from preprocess.window import Window
from tests.fusion.pictures import Fusion

MARGIN = 1.0


def _matte() -> FloatArray:
    """A soft oval, a little different in each channel."""
    y, x = np.mgrid[0:256, 0:256].astype(np.float32)
    away = np.hypot((x - 127.5) / 105, (y - 132) / 118)
    channels = [np.clip((1.05 - away) * 5 - shift, 0, 1) for shift in (0, 0.02, 0.04)]
    return np.stack(channels, axis=2).astype(np.float32)


MATTE = _matte()


def fusing(crops: FloatArray) -> FloatArray:
    """In place of the fusion network, N x H x W x 3 in [0, 1]."""
    return np.float32(0.5) - np.float32(0.9) * (crops - np.float32(0.5))


def enhancing(crops: FloatArray) -> FloatArray:
    """In place of GPEN."""
    return np.float32(0.52) + np.float32(0.7) * (crops[..., ::-1] - np.float32(0.5))


@dataclass(frozen=True)
class Scene:
    """A picture with one face in it, whole."""

    pixels: NDArray[Any]
    face: Face

    @property
    def size(self) -> Size:
        return Size(self.pixels.shape[1], self.pixels.shape[0])

    @property
    def whole(self) -> Region:
        return Region.whole(self.size)

    def view(self, margin: float = MARGIN) -> FaceView:
        box = self.face.box
        region = box.grow(round(margin * max(box.width, box.height))).clip(self.size)
        pixels = np.ascontiguousarray(self.pixels[region.within(self.whole)])
        window = Window.of(pixels, region, self.size, self.size)
        return FaceView(self.face, window, self.size)

    def field(self, ratio: float = 1.0, restored: bool = True) -> OfficialField:
        aligned = Aligned.of(self.view())
        fused = fusing(aligned.crop()[None])
        enhance = enhancing if restored else None
        (made,) = official_fields([aligned], fused, MATTE, enhance, ratio, Progress())
        return made

    def laid(self, field: OfficialField, region: Region | None = None) -> FloatArray:
        region = region or self.whole
        return field.render(Backdrop(self.pixels, self.whole), region, self.size)

    def moved(self, scale: float, turn: float, to: tuple[float, float], size: Size) -> Scene:
        """The face scaled, turned by degrees, with its nose's tip at ``to``."""
        nose = self.face.landmarks[4, :2]
        matrix = cv2.getRotationMatrix2D((float(nose[0]), float(nose[1])), turn, scale)
        matrix[:, 2] += np.array(to) - nose
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        pixels = cv2.warpAffine(
            self.pixels, matrix, (size.width, size.height), flags=flags, borderMode=4
        )
        landmarks = np.array(self.face.landmarks)
        landmarks[:, :2] = landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        face = replace(
            self.face, landmarks=landmarks.astype(np.float32), box=Region.around(landmarks)
        )
        return Scene(np.asarray(pixels, np.uint8), face)


@pytest.fixture(scope="module")
def scene(fusion: Fusion) -> Scene:
    return Scene(fusion.pixels, fusion.target.face)


@pytest.fixture(scope="module")
def source(fusion: Fusion) -> Scene:
    return Scene(fusion.source_pixels, fusion.source.face)


OfficialFuse = Callable[[Scene, Scene], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def official_fuse(
    unavailable: Callable[[str], NoReturn], tmp_path_factory: pytest.TempPathFactory
) -> OfficialFuse:
    """The official class on (target, source), with functions in place of its networks."""
    from benchmarks.measuring.official import Finder, official_class

    with pytest.MonkeyPatch.context() as patch:
        # Its import makes torch's folder for compiled kernels.
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("torch")))
        try:
            import torch

            kind = official_class()
        except ImportError:
            unavailable("torch or modelscope is not installed; ./run.sh --full setup installs them")
    model = _without_networks(torch, kind)

    def fuse(target: Scene, source: Scene) -> NDArray[np.uint8]:
        finder = Finder()
        finder.faces = [source.face, target.face]
        model.facer = finder
        pictures = [torch.from_numpy(np.array(one.pixels)) for one in (target, source)]
        return np.asarray(model.inference(*pictures)[:, :, ::-1])

    return fuse


def _without_networks(torch: Any, kind: Any) -> Any:
    """The official class with all that its constructor makes but for the networks."""
    import sys

    module = sys.modules[kind.__module__]
    model = kind.__new__(kind)
    torch.nn.Module.__init__(model)
    model.device, model.num_kp = torch.device("cpu"), 17
    model.arcface = lambda crops: (torch.zeros(1, 512), None)
    model.f_3d = lambda crops: torch.zeros(1, 257)
    model.face_model = _Answer(
        compute_for_render=lambda _: (None, None, None, torch.ones(1, 68, 2))
    )
    model.netG = lambda crops, *_: (-0.9 * crops, None, None)
    model.mask = torch.from_numpy(MATTE).permute(2, 0, 1)[None]
    gpen = module.GPEN.__new__(module.GPEN)
    gpen.resolution, gpen.device = 1024, model.device
    gpen.model = lambda crops: (0.04 + 0.7 * crops.flip(1), None)
    model.ganwrap_1024 = gpen
    feather = np.zeros((512, 512), np.float32)
    cv2.rectangle(feather, (26, 26), (486, 486), (1, 1, 1), -1, cv2.LINE_AA)
    feather = cv2.GaussianBlur(cv2.GaussianBlur(feather, (101, 101), 11), (101, 101), 11)
    model.mask_enhance = feather
    model.reference_5pts_1024 = module.get_reference_facial_points((1024, 1024), 0.25, (0, 0), True)
    model.test_transform = module.transforms.Compose(
        [module.transforms.ToTensor(), module.transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    )
    return model


class _Answer:
    """An object with the given methods."""

    def __init__(self, **methods: Any) -> None:
        self.__dict__.update(methods)


# Scale, turn in degrees, place of the nose and size of the picture. The face is 230 px high.
PLACES = {
    "as it is": (1.0, 0.0, (330, 330), Size(720, 600)),
    "large": (3.4, 8.0, (700, 600), Size(1500, 1300)),
    "turned": (1.3, 40.0, (420, 350), Size(800, 700)),
    "over the corner": (1.5, -20.0, (60, 640), Size(500, 700)),
    "under 100 px": (0.45, 10.0, (150, 170), Size(330, 300)),
    "under 80 px": (0.37, 0.0, (150, 170), Size(330, 300)),
    "under 60 px": (0.28, -10.0, (150, 170), Size(330, 300)),
    "under 40 px": (0.16, 0.0, (150, 170), Size(330, 300)),
}


@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@pytest.mark.parametrize("place", PLACES)
def test_it_is_the_official_picture(
    scene: Scene, source: Scene, official_fuse: OfficialFuse, place: str
) -> None:
    target = scene.moved(*PLACES[place])
    wanted = official_fuse(target, source)
    levels = target.laid(target.field()) * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-4
    apart = np.abs(np.rint(levels) - wanted)
    assert apart.max() <= 1
    changed = (wanted != target.pixels).any(axis=2)
    assert changed.mean() > 0.015
    # Sums of single precision that end near a half are rounded either way.
    assert apart[changed].mean() < 0.01


def test_the_smallest_faces_are_softened_differently(scene: Scene) -> None:
    sides = [min(scene.moved(*place).face.box.as_list()[2:]) for place in PLACES.values()]
    assert [sum(side < limit for limit in (40, 60, 80, 100)) for side in sides] == [
        *[0] * 4, 1, 2, 3, 4
    ]  # fmt: skip


def test_bounds_hold_all_that_changes_and_little_more(scene: Scene) -> None:
    field = scene.field()
    bounds, fused = field.bounds(scene.size), scene.laid(field)
    before = scene.pixels.astype(np.float32) / np.float32(255)
    outside = np.ones(before.shape[:2], bool)
    outside[bounds.within(scene.whole)] = False
    assert np.array_equal(fused[outside], before[outside])
    assert not field.opacity(scene.whole, scene.size)[outside].any()
    shown = field.opacity(scene.whole, scene.size) > 0
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    assert bounds.y >= rows[0] - 4
    assert bounds.bottom <= rows[-1] + 5
    assert bounds.x >= columns[0] - 4
    assert bounds.right <= columns[-1] + 5
    untouched = ~shown
    assert np.array_equal(fused[untouched], before[untouched])
    assert field.reach(scene.size) == 0


@pytest.mark.parametrize("at", [Size(720, 600), Size(431, 359), Size(1440, 1200)], ids=str)
@pytest.mark.parametrize("ratio", [1.0, 0.4])
def test_any_tiling_gives_the_same_bits(scene: Scene, at: Size, ratio: float) -> None:
    field = scene.field(ratio)
    pixels = cv2.resize(scene.pixels, (at.width, at.height), interpolation=cv2.INTER_AREA)
    whole = Region.whole(at)
    fused = field.render(Backdrop(pixels, whole), whole, at)
    shown = field.opacity(whole, at)
    for side in (93, BLOCK, 301):
        for tile in whole.blocks(side):
            under = Backdrop(pixels[tile.within(whole)], tile)
            part = field.render(under, tile, at)
            assert np.array_equal(part, fused[tile.within(whole)])
            assert np.array_equal(field.opacity(tile, at), shown[tile.within(whole)])


def test_a_larger_output_shows_the_same_values_between_others(scene: Scene) -> None:
    own, at = scene.laid(scene.field()), Size(3 * scene.size.width, 3 * scene.size.height)
    pixels = np.repeat(np.repeat(scene.pixels, 3, axis=0), 3, axis=1)
    whole = Region.whole(at)
    field = scene.field()
    large = field.render(Backdrop(pixels, whole), whole, at)
    apart = np.abs(large[1::3, 1::3] - own) * 255
    assert apart.max() < 1.1
    assert (apart > 0.5).mean() < 0.01
    assert field.bounds(at).width == pytest.approx(3 * field.bounds(scene.size).width, abs=20)


def test_the_ratio_is_opacity(scene: Scene) -> None:
    before = scene.pixels.astype(np.float32) / np.float32(255)
    full, part = scene.laid(scene.field()), scene.laid(scene.field(0.25))
    assert np.abs(part - (before + 0.25 * (full - before))).max() < 1e-6
    none = scene.field(0.0)
    assert none.bounds(scene.size).is_empty
    assert np.array_equal(scene.laid(none), before)
    shown = scene.field().opacity(scene.whole, scene.size)
    assert shown.max() == 1
    assert np.abs(scene.field(0.25).opacity(scene.whole, scene.size) - shown / 4).max() < 1e-6


def test_without_restoration_only_the_networks_crop_is_laid_in(scene: Scene) -> None:
    plain, restored = scene.field(restored=False), scene.field()
    small, large = plain.bounds(scene.size), restored.bounds(scene.size)
    assert small.intersect(large) == small
    assert small.pixels < large.pixels
    aligned = Aligned.of(scene.view())
    back = alignment.inverted(aligned.fusion.inverse)
    share = alignment.sampled(MATTE, back, scene.whole)
    shown = alignment.sampled(fusing(aligned.crop()), back, scene.whole)
    before = scene.pixels.astype(np.float32) / np.float32(255)
    wanted = share * shown + (1 - share) * before
    assert np.abs(scene.laid(plain) - wanted).max() < 0.51 / 255


def test_sixteen_bits_stay_where_nothing_shows(scene: Scene) -> None:
    noise = np.random.default_rng(5).integers(0, 257, scene.pixels.shape)
    deep = Scene(
        (scene.pixels.astype(int) * 256 + noise).clip(0, 65535).astype(np.uint16), scene.face
    )
    field = deep.field()
    fused = deep.laid(field)
    untouched = field.opacity(deep.whole, deep.size) == 0
    numbers = np.rint(fused * 65535).astype(np.uint16)
    assert untouched.mean() > 0.2
    assert np.array_equal(numbers[untouched], deep.pixels[untouched])
    shallow = scene.laid(scene.field())
    assert np.abs(fused - shallow)[~untouched].max() < 6 / 255
    assert np.abs(fused - shallow)[~untouched].mean() < 0.5 / 255


def test_the_restoration_sees_the_fused_picture(scene: Scene) -> None:
    """Computed here in one piece, from the whole picture."""
    turned = scene.moved(2.6, 25.0, (200, 420), Size(900, 900))  # cut off on the left
    aligned = Aligned.of(turned.view())
    fused = fusing(aligned.crop())
    found = official.restoration_input(aligned, fused, MATTE)
    back = alignment.inverted(aligned.fusion.inverse)
    share = alignment.sampled(MATTE, back, turned.whole)
    shown = alignment.sampled(fused, back, turned.whole)
    whole = share * shown + (1 - share) * (turned.pixels.astype(np.float32) / 255)
    wanted = cv2.warpAffine(whole, aligned.restoration.matrix, (1024, 1024))
    assert np.abs(found - wanted).max() < 2e-3
    assert (found == 0).all(axis=2).mean() > 0.05  # beyond the picture


def test_several_faces_are_restored_one_after_the_other(scene: Scene) -> None:
    beside = scene.moved(1.2, 12.0, (380, 360), scene.size).face
    pair = [scene, replace(scene, face=beside)]
    faces = [Aligned.of(one.view()) for one in pair]
    fused = fusing(np.stack([face.crop() for face in faces]))
    counts: list[int] = []
    progress = Progress()

    def enhance(crops: FloatArray) -> FloatArray:
        counts.append(len(crops))
        return enhancing(crops)

    fields = official_fields(faces, fused, MATTE, enhance, 1.0, progress, ("slow",))
    assert counts == [1, 1]
    assert [field.warnings for field in fields] == [("slow",)] * 2
    assert np.array_equal(scene.laid(fields[0]), scene.laid(scene.field()))
    # What the second restoration sees, and what lies under it, is the picture with the first
    # face in it: else its soft rectangle would bring back what that face was.
    pixels = np.rint(scene.laid(fields[0]) * 255).astype(np.uint8)
    second = replace(faces[1], view=Scene(pixels, beside).view())
    expected = restoration_input(second, fused[1], MATTE)
    seen = restoration_input(faces[1], fused[1], MATTE, fields[:1])
    apart = np.abs(seen - expected) * 255
    assert apart.max() <= 1  # a level where halves are rounded the other way
    assert (apart > 0.01).mean() < 1e-3  # measured 5e-5
    assert np.abs(seen - restoration_input(faces[1], fused[1], MATTE)).max() > 0.02

    def cancelling(crops: FloatArray) -> FloatArray:
        progress.cancel()
        return enhance(crops)

    with pytest.raises(CancelledError):
        official_fields(faces, fused, MATTE, cancelling, 1.0, progress)
    assert len(counts) == 3


def test_face_and_skin_for_finishing(scene: Scene) -> None:
    field = scene.field()
    face, skin = (plane(scene.whole, scene.size) for plane in (field.face, field.skin))
    assert face.min() == 0
    assert face.max() == 1
    assert (skin <= face).all()
    landmarks = np.rint(scene.face.landmarks[:, :2]).astype(int)
    assert face[tuple(landmarks[[4, 205, 425]].T[::-1])].min() > 0
    assert skin[tuple(landmarks[[205, 425]].T[::-1])].min() > 0.5  # cheeks
    eyes = np.rint(scene.face.irises[:, 0]).astype(int)
    assert skin[tuple(eyes.T[::-1])].max() < 1e-3
    assert field.width == pytest.approx(np.ptp(landmarks[:, 1]), rel=0.1)
    tile = Region(300, 200, 77, 99)
    assert np.array_equal(field.face(tile, scene.size), face[tile.within(scene.whole)])


def test_notes_say_what_is_not_exact(scene: Scene) -> None:
    assert Aligned.of(scene.view()).notes == ()
    view = scene.view()
    reduced = Aligned.of(replace(view, window=view.window.shrunk(2.0)))
    assert len(reduced.notes) == 1
    assert "50 %" in reduced.notes[0]
    (note,) = Aligned.of(scene.view(margin=0.15)).notes
    assert "were not read" in note
    field = scene.field()
    assert field.notes == field.warnings == ()


def test_a_reduced_window_gives_nearly_the_same_picture(scene: Scene) -> None:
    large = scene.moved(2.0, 0.0, (700, 640), Size(1400, 1200))
    view = large.view()
    aligned = Aligned.of(replace(view, window=view.window.shrunk(2.0)))
    (field,) = official_fields(
        [aligned], fusing(aligned.crop()[None]), MATTE, enhancing, 1.0, Progress()
    )
    apart = np.abs(large.laid(field) - large.laid(large.field())) * 255
    assert apart.mean() < 1.5


def test_a_field_keeps_no_pixels_of_the_picture(scene: Scene) -> None:
    view = scene.view()
    pixels = weakref.ref(view.window.pixels)
    aligned = Aligned.of(view)
    fields = official_fields(
        [aligned], fusing(aligned.crop()[None]), MATTE, enhancing, 1.0, Progress()
    )
    del view, aligned
    gc.collect()
    assert pixels() is None
    assert len(fields) == 1
