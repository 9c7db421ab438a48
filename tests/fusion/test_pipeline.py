"""From files to file: what is written, what is refused, and what stays behind."""

import dataclasses
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import (
    CancelledError,
    DeadlineError,
    FileMissingError,
    ImageSizeError,
    MemoryLimitError,
    NoFaceError,
    OptionError,
    OutputError,
    UnsupportedFormatError,
)
from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion import rendering
from fusion.engines.base import Capabilities, FaceView, Pair, Sight
from fusion.engines.registry import create_engine
from fusion.field import Backdrop, FusionField
from fusion.pipeline import Pipeline, detection_report
from fusion.request import (
    Blend,
    Detection,
    FaceSelection,
    FusionRequest,
    FusionResult,
    Network,
    Output,
)
from preprocess.image_file import ImageFile
from preprocess.image_source import Orientation
from preprocess.resolution import Resolution
from tests.fusion.pictures import Observer, save, target_portrait
from tests.preprocess.pictures import load_pixels, photo, save_png

Run = Callable[..., tuple[FusionResult, NDArray[Any]]]


@pytest.fixture
def run(pipeline: Pipeline, target_file: Path, source_file: Path, tmp_path: Path) -> Run:
    """run(target=..., name=..., **parts of the request and its blend): the result and pixels."""

    def fuse(
        target: Path = target_file,
        name: str = "out.png",
        *,
        source: Path | tuple[Path, ...] = source_file,
        ratio: float = 1.0,
        faces: str = "largest",
        resolution: str = "original",
        progress: Progress | None = None,
        engine: Any = None,
        **blend: Any,
    ) -> tuple[FusionResult, NDArray[Any]]:
        request = FusionRequest(
            target,
            source if isinstance(source, tuple) else (source,),
            Output(tmp_path / name, Resolution.parse(resolution)),
            Blend(ratio, **blend),
            faces=FaceSelection.parse(faces),
        )
        result = pipeline.run(request, engine or create_engine("mesh"), progress or Progress())
        return result, load_pixels(tmp_path / name)

    return fuse


def changed(before: NDArray[Any], after: NDArray[Any]) -> Region:
    """The smallest region that holds every pixel that differs."""
    y, x = np.nonzero((before != after).any(axis=-1))
    return Region.around(np.stack([x, y], axis=1))


def face_box(result: FusionResult, index: int = 0) -> Region:
    return result.faces[index][0].box


def neighbourhood(result: FusionResult) -> Region:
    """Around the face all that may move, in pixels of the target."""
    box = face_box(result)
    return box.grow(round(0.4 * max(box.width, box.height)))


def test_only_the_face_changes(run: Run, target_file: Path, astronaut: NDArray[Any]) -> None:
    observer = Observer(create_engine("mesh"))
    result, fused = run(engine=observer)
    before = target_portrait(astronaut)
    region = changed(before, fused)
    bounds = observer.fields[0].bounds(result.size)
    assert region.intersect(bounds) == region
    assert region.intersect(neighbourhood(result)) == region
    assert region.pixels > 0.7 * face_box(result).pixels
    assert bounds.pixels < 5.5 * face_box(result).pixels  # measured 4.2: the neighbourhood
    far = (fused != before).any(axis=-1)
    far[face_box(result).grow(12).within(Region.whole(result.size))] = False
    moved = np.abs(fused.astype(int) - before)[far]
    assert moved.mean() < 12  # levels, where the surroundings follow the jaw


BLENDS: tuple[dict[str, Any], ...] = (
    {},
    {"mode": "blend"},
    {"mode": "overlay"},
    {"expression": "source"},
    {"shape": 1.0, "keep_glasses": False},
)


@pytest.mark.parametrize("blend", BLENDS, ids=str)
def test_the_same_request_gives_the_same_bytes_whatever_the_threads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blend: dict[str, Any]
) -> None:
    written = []
    for threads in (1, 2):
        monkeypatch.setattr(rendering, "_THREADS", threads)
        monkeypatch.setattr(os, "cpu_count", lambda count=threads: count)
        result, _ = run(ratio=0.7, **blend)
        written.append((tmp_path / "out.png").read_bytes())
    assert len(set(written)) == 1
    assert result.request.blend == Blend(0.7, **blend)


def test_more_threads_than_tiles_change_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(name="a.png", resolution="1024")[1]
    monkeypatch.setattr(rendering, "_THREADS", 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert np.array_equal(run(name="b.png", resolution="1024")[1], expected)


def test_every_choice_of_the_blend_reaches_the_picture(run: Run, astronaut: NDArray[Any]) -> None:
    before = target_portrait(astronaut)
    pictures = []
    for blend in BLENDS:
        result, fused = run(name="one.png", **blend)
        told = result.as_dict()
        assert (told["mode"], told["shape"], told["expression"]) == (
            blend.get("mode", "normal"),
            blend.get("shape", 0.35),
            blend.get("expression", "target"),
        )
        region = changed(before, fused)
        assert region.intersect(neighbourhood(result)) == region
        pictures.append(fused)
    for index, one in enumerate(pictures):
        for other in pictures[:index]:
            assert difference(one, other) > ALIKE


def test_ratio_0_copies_the_file(run: Run, target_file: Path, tmp_path: Path) -> None:
    result, _ = run(ratio=0.0)
    assert (tmp_path / "out.png").read_bytes() == target_file.read_bytes()
    assert result.as_dict()["ratio"] == 0.0


def test_ratio_0_in_another_format_keeps_the_pixels(
    run: Run, astronaut: NDArray[Any], tmp_path: Path
) -> None:
    target = save(tmp_path / "t.webp", target_portrait(astronaut), lossless=True)
    _, fused = run(target, ratio=0.0)
    assert np.array_equal(fused, target_portrait(astronaut))


@pytest.mark.parametrize("name", ["out.jpg", "out.webp", "OUT.JPEG"])
def test_lossy_formats_show_the_same(run: Run, name: str) -> None:
    exact = run(name="exact.png")[1].astype(float)
    result, lossy = run(name=name)
    assert result.format == ("webp" if name.endswith("webp") else "jpeg")
    assert np.abs(lossy - exact).mean() < 2.5


@pytest.mark.parametrize(
    ("resolution", "size"),
    [
        ("original", Size(720, 600)),
        ("512", Size(512, 427)),
        ("1024", Size(1024, 853)),
        ("2048", Size(2048, 1707)),
        ("4096", Size(4096, 3413)),
    ],
)
def test_output_sizes_keep_the_aspect(
    run: Run, target_file: Path, resolution: str, size: Size
) -> None:
    result, fused = run(name="out.jpg", resolution=resolution)
    assert result.size == size
    assert fused.shape == (size.height, size.width, 3)
    # Seen at the smallest size, all are the same fusion.
    reference = run(name="own.png")[1]
    small = [
        cv2.resize(one, (240, 200), interpolation=cv2.INTER_AREA) for one in (fused, reference)
    ]
    assert np.abs(small[0].astype(float) - small[1]).mean() < 1.5


def test_a_resized_output_is_the_resized_target_outside_the_face(
    run: Run, target_file: Path
) -> None:
    result, fused = run(resolution="512")
    plain = ImageFile.open(target_file, max_megapixels=10).read_srgb(
        Region.whole(result.size), result.size
    )
    region = changed(plain, fused)
    scaled = neighbourhood(result).scale(512 / 720, 427 / 600)
    assert region.intersect(scaled) == region


@pytest.fixture(scope="module")
def small(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait at half its size, 360 x 300."""
    half = cv2.resize(target_portrait(astronaut), (360, 300), interpolation=cv2.INTER_AREA)
    return save(tmp_path_factory.mktemp("small") / "small.png", half)


@pytest.fixture(scope="module")
def small_fused(pipeline: Pipeline, small: Path, source_file: Path) -> FusionResult:
    """What the small portrait becomes as it stands, written beside it."""
    output = Output(small.with_name("fused.png"))
    request = FusionRequest(small, (source_file,), output, Blend(1.0))
    return pipeline.run(request, create_engine("mesh"), Progress())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_target_that_a_camera_stored_turned(
    run: Run, small: Path, small_fused: FusionResult, tmp_path: Path, orientation: int
) -> None:
    portrait = load_pixels(small)
    turn = Orientation.from_exif(orientation)
    stored = portrait[:: -1 if turn.flip_y else 1, :: -1 if turn.flip_x else 1]
    stored = stored.swapaxes(0, 1) if turn.swap else stored
    turned = save_png(tmp_path / "turned.png", np.ascontiguousarray(stored), orientation)
    result, fused = run(turned, name="turned-out.png")
    expected = load_pixels(small_fused.request.output.path)
    assert result.size == Size(360, 300)
    assert fused.shape == expected.shape
    assert face_box(result).as_list() == pytest.approx(face_box(small_fused).as_list(), abs=2)
    region = changed(portrait, fused)
    assert region.intersect(neighbourhood(small_fused)) == region
    # Reduced before or after turning, the picture that is looked at rounds differently.
    assert difference(fused, expected) < 0.1


def test_sixteen_bits_stay(run: Run, astronaut: NDArray[Any], tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 257, (600, 720, 3))
    deep = np.clip(target_portrait(astronaut) * 257.0 + noise - 128, 0, 65535).astype(np.uint16)
    result, fused = run(save_png(tmp_path / "deep.png", deep))
    assert fused.dtype == np.uint16
    region = changed(deep, fused)
    around = neighbourhood(result)
    assert region.intersect(around) == region
    inside = fused[face_box(result).within(Region.whole(result.size))]
    assert (inside % 257 != 0).mean() > 0.9  # real 16-bit values, not 8 bits spread out
    shallow = run(name="8.png")[1]
    assert np.abs(fused / 257.0 - shallow).mean() < 0.5


def test_a_grey_target_stays_grey(run: Run, astronaut: NDArray[Any], tmp_path: Path) -> None:
    grey = cv2.cvtColor(target_portrait(astronaut), cv2.COLOR_RGB2GRAY)[..., None]
    _, fused = run(save_png(tmp_path / "grey.png", grey))
    assert fused.shape == grey.shape
    assert np.abs(fused.astype(int) - grey).max() > 10


def test_transparency_stays(run: Run, astronaut: NDArray[Any], tmp_path: Path) -> None:
    alpha = photo(720, 600, channels=1)
    alpha[alpha < 100] = 255
    rgba = np.concatenate([target_portrait(astronaut), alpha], axis=2)
    _, fused = run(save_png(tmp_path / "alpha.png", rgba))
    assert np.array_equal(fused[..., 3], alpha[..., 0])
    assert (fused[..., :3] != rgba[..., :3]).any()
    result, _ = run(tmp_path / "alpha.png", name="flat.jpg")
    assert any("transparency" in warning for warning in result.warnings)


@pytest.fixture(scope="module")
def pair(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two astronauts side by side, the left one larger."""
    picture = np.full((620, 1240, 3), 140, np.uint8)
    picture[:600, :720] = target_portrait(astronaut)
    right = cv2.resize(target_portrait(astronaut), (504, 420), interpolation=cv2.INTER_AREA)
    picture[100:520, 730:1234] = right
    return save(tmp_path_factory.mktemp("pair") / "pair.png", picture)


@pytest.mark.parametrize(
    ("faces", "used"),
    [
        ("largest", [True, False]),
        ("all", [True, True]),
        ("1", [False, True]),
        ("0,1", [True, True]),
        ("0:1", [False, True]),
    ],
)
def test_faces_are_chosen(run: Run, pair: Path, faces: str, used: list[bool]) -> None:
    result, fused = run(pair, faces=faces)
    assert [face["used"] for face in result.as_dict()["faces"]] == used
    before = load_pixels(pair)
    for index, expected in enumerate(used):
        place = face_box(result, index).within(Region.whole(result.size))
        assert (fused[place] != before[place]).any() == expected


def test_pairs_name_the_sources_face(run: Run, pair: Path, source_file: Path) -> None:
    """The same target face from two faces of one source picture: the results differ."""
    target = source_file
    pictures = [run(target, source=pair, faces=f"{index}:0")[1] for index in (0, 1)]
    assert (pictures[0] != pictures[1]).any()


class Batches(Observer):
    """Keeps the pairs of each call; wants all views if ``all_views`` says so."""

    def __init__(self, all_views: bool = False, composites: tuple[str, ...] = ()) -> None:
        super().__init__(create_engine("mesh"))
        self.batches: list[tuple[Pair, ...]] = []
        self._capabilities = dataclasses.replace(
            self.engine.capabilities, all_views=all_views, composites=composites
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FusionField, ...]:
        self.batches.append(tuple(pairs))
        return super().prepare(pairs, blend, progress)


def test_all_faces_are_shown_to_the_engine_at_once(run: Run, pair: Path) -> None:
    engine = Batches()
    result, _ = run(pair, faces="all", engine=engine, resolution="512")
    (pairs,) = engine.batches
    assert [each.target.face.index for each in pairs] == [1, 0]
    assert len({id(each.source.face) for each in pairs}) == 1
    for each in pairs:
        assert each.shown == pytest.approx(each.target.face.quality.size * 512 / 1240)
    assert result.seconds["prepare"] > 0


@pytest.mark.parametrize("all_views", [True, False])
def test_engines_that_want_them_see_all_pictures_of_a_person(
    run: Run, pair: Path, target_file: Path, source_file: Path, all_views: bool
) -> None:
    """The largest face of each, unless a face was named: then that face is the person."""
    engine = Batches(all_views)
    sources = (source_file, pair, source_file)
    run(target_file, source=sources, engine=engine)
    run(target_file, source=sources, faces="1:0", engine=engine)
    run(target_file, source=source_file, engine=engine)
    suited, named, alone = (pairs[0] for pairs in engine.batches)
    assert len(suited.others) == (2 if all_views else 0)
    assert all(view.face.index == 0 for view in suited.others)
    assert all(view.face is not suited.source.face for view in suited.others[:1])
    assert named.others == ()
    assert alone.others == ()


def test_what_an_engine_cannot_do_is_refused_before_any_work(run: Run, tmp_path: Path) -> None:
    stages: list[str] = []
    progress = Progress(listener=lambda stage, _: stages.append(stage))
    narrow = Batches(composites=("studio",))
    narrow._capabilities = dataclasses.replace(
        narrow.capabilities, modes=("normal",), expressions=("target",)
    )
    for blend, says in (
        ({"mode": "overlay"}, "mode 'overlay' is not known; use one of: normal"),
        ({"expression": "source"}, "expression 'source' is not something that engine mesh can do"),
        ({"network": Network("official")}, "composite 'official' is not known; use one of: studio"),
    ):
        with pytest.raises(OptionError, match=says):
            run(engine=narrow, progress=progress, **blend)
    with pytest.raises(OptionError, match="not for engine mesh"):
        run(network=Network(boost=2), progress=progress)
    assert stages == []
    assert list(tmp_path.iterdir()) == []
    run(engine=narrow, network=Network(boost=2))  # an engine with composites takes it


@pytest.mark.parametrize(
    ("faces", "says"),
    [
        ("1", "the target picture has no face 1; it shows 1, numbered from 0"),
        ("2:0", "the source picture has no face 2; it shows 1, numbered from 0"),
    ],
)
def test_a_face_that_is_not_there(run: Run, faces: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=says):
        run(faces=faces)
    assert list(tmp_path.iterdir()) == []


class Tint:
    """A field that paints a rectangle; where two overlap, the later one shows."""

    notes = ("painted in one colour",)
    width = 200.0

    def __init__(self, region: Region, value: float) -> None:
        self._region = region
        self._value = np.float32(value)
        self.warnings = (f"painted {value:.1f}",)

    def bounds(self, at: Size) -> Region:
        return self._region.clip(at)

    def reach(self, _: Size) -> int:
        return 0

    def opacity(self, region: Region, at: Size) -> FloatArray:
        out = np.zeros((region.height, region.width), np.float32)
        inner = region.intersect(self.bounds(at))
        if not inner.is_empty:
            out[inner.within(region)] = 1
        return out

    face = skin = opacity

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        weight = self.opacity(region, at)[..., None]
        tile = under.read(region)
        return np.asarray(tile * (1 - weight) + weight * self._value, np.float32)


class Painter:
    """An engine whose fields overlap and touch: 0 and 1 overlap, 2 lies apart."""

    capabilities = create_engine("mesh").capabilities
    regions = (Region(10, 20, 200, 150), Region(150, 100, 300, 200), Region(600, 500, 500, 500))

    def __init__(self) -> None:
        self.seen: list[tuple[FaceView, FaceView]] = []

    def sight(self, _: Blend) -> Sight:
        return Sight(320)

    def prepare(self, pairs: Sequence[Pair], *_: Any) -> tuple[FusionField, ...]:
        self.seen = [(pair.source, pair.target) for pair in pairs]
        return tuple(Tint(self.regions[i], (i + 1) / 5) for i in range(len(pairs)))

    def close(self) -> None:
        raise AssertionError("the pipeline does not own the engine")


@pytest.fixture
def three(astronaut: NDArray[Any], tmp_path: Path) -> Path:
    """Three heads side by side, 900 x 600."""
    head = target_portrait(astronaut)[:, 180:480]
    return save(tmp_path / "three.png", np.concatenate([head, head[:, ::-1], head], axis=1))


def test_overlapping_fields_are_laid_one_over_the_other(run: Run, three: Path) -> None:
    result, fused = run(three, faces="all", engine=Painter())
    expected = load_pixels(three)
    for index, region in enumerate(Painter.regions):
        inside = region.clip(Size(900, 600))
        expected[inside.within(Region(0, 0, 900, 600))] = (index + 1) * 51
    assert np.array_equal(fused, expected)
    assert [face.index for face, _ in result.faces] == [0, 1, 2]


def test_what_fields_say_is_said_once(run: Run, three: Path) -> None:
    result, _ = run(three, faces="all", engine=Painter())
    assert result.notes.count("painted in one colour") == 1
    assert {"painted 0.2", "painted 0.4", "painted 0.6"} <= set(result.warnings)
    assert len(set(result.warnings)) == len(result.warnings)


@pytest.fixture(scope="module")
def couple(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads so close that each reaches into the other's surroundings; the right is larger."""
    picture = np.full((620, 900, 3), 140, np.uint8)
    head = target_portrait(astronaut)[:, 200:470]
    small = cv2.resize(head, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    picture[60 : 60 + small.shape[0], 300 - small.shape[1] : 300] = small
    picture[:600, 260:530] = head
    return save(tmp_path_factory.mktemp("couple") / "couple.png", picture)


@pytest.mark.parametrize("faces", ["all", "0,1", "1,0"])
def test_the_nearer_face_is_laid_last_and_stands_before_the_other(
    run: Run, couple: Path, faces: str
) -> None:
    painter = Painter()
    result, _ = run(couple, faces=faces, engine=painter)
    near, far = (face for face, _ in result.faces)
    assert near.quality.size > far.quality.size
    assert [target.face.index for _, target in painter.seen] == [1, 0]
    (over_far, over_near) = (target.in_front for _, target in painter.seen)
    assert over_near == ()
    (points,) = over_far
    assert np.array_equal(points, near.landmarks)


def test_a_face_stands_in_front_though_it_is_not_fused(run: Run, couple: Path) -> None:
    painter = Painter()
    run(couple, faces="1", engine=painter)
    ((_, target),) = painter.seen
    assert len(target.in_front) == 1


ALIKE = 0.1
"""Mean levels of the whole picture; one of several sources is read anew, at another scale."""


def difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Mean absolute difference in levels."""
    return float(np.abs(one.astype(float) - other).mean())


def test_of_several_views_the_one_that_suits_best_is_taken(
    run: Run, source_file: Path, tmp_path: Path
) -> None:
    """A small and blurred copy and the portrait itself: the order does not matter."""
    pixels = load_pixels(source_file)
    poor = save(tmp_path / "poor.png", cv2.GaussianBlur(pixels, (0, 0), 4)[::2, ::2])
    for sources in ((poor, source_file), (source_file, poor)):
        result, fused = run(source=sources, name="several.png")
        assert difference(fused, run(source=source_file, name="one.png")[1]) < ALIKE
        assert difference(fused, run(source=poor, name="other.png")[1]) > 2 * ALIKE
        (note,) = (note for note in result.notes if "source pictures" in note)
        assert note.startswith(f"of the 2 source pictures, {source_file} was taken")
        assert not any("blurred" in warning for warning in result.warnings)
        assert result.as_dict()["sources"] == [str(path) for path in sources]


def test_one_source_given_twice_is_one_source(run: Run, source_file: Path) -> None:
    twice = run(source=(source_file, source_file), name="twice.png")[1]
    assert np.array_equal(twice, run(name="once.png")[1])


def test_pairs_number_the_faces_on_from_source_to_source(
    run: Run, pair: Path, source_file: Path, target_file: Path
) -> None:
    """0 and 1 are the pair's, 2 is the portrait's."""
    sources = (pair, source_file)
    fused = run(source=sources, faces="2:0", name="second.png")[1]
    alone = run(faces="0:0", name="alone.png")[1]
    assert difference(fused, alone) < ALIKE
    fused = run(source=sources, faces="1:0", name="first.png")[1]
    assert difference(fused, run(source=pair, faces="1:0", name="pair.png")[1]) < ALIKE
    assert difference(fused, alone) > 2 * ALIKE
    with pytest.raises(OptionError, match="the source pictures have no face 3; they show 3"):
        run(source=sources, faces="3:0")


def test_every_source_needs_a_face(run: Run, source_file: Path, tmp_path: Path) -> None:
    empty = save_png(tmp_path / "empty.png", photo(300, 200))
    with pytest.raises(NoFaceError, match=r"in the source picture .*empty\.png"):
        run(source=(source_file, empty))
    assert list(tmp_path.iterdir()) == [empty]


def test_only_a_source_that_is_used_keeps_pixels(
    pipeline: Pipeline, target_file: Path, source_file: Path, pair: Path, tmp_path: Path
) -> None:
    output = Output(tmp_path / "out.png")
    for sources in ((source_file,), (source_file, pair, pair)):
        request = FusionRequest(target_file, sources, output)
        plan = pipeline.decide(pipeline.look(request, Progress()), request)
        used = {match.view for match in plan.matches}
        kept = {index for index, image in enumerate(plan.sources) if image._kept}
        assert kept <= used
        assert len(plan.sources) == len(sources)


def test_the_target_may_be_the_output(run: Run, astronaut: NDArray[Any], tmp_path: Path) -> None:
    expected = run(name="elsewhere.png")[1]
    place = save(tmp_path / "same.png", target_portrait(astronaut))
    _, fused = run(place, name="same.png")
    assert np.array_equal(fused, expected)


@pytest.mark.parametrize("role", ["target", "source"])
def test_no_face_says_in_which_picture(run: Run, tmp_path: Path, role: str) -> None:
    empty = save_png(tmp_path / "empty.png", photo(300, 200))
    with pytest.raises(NoFaceError, match=rf"no face was found in the {role} picture .*empty\.png"):
        run(**{role: empty})
    assert list(tmp_path.iterdir()) == [empty]


def test_files_and_places_are_refused_before_any_work(
    run: Run, target_file: Path, tmp_path: Path
) -> None:
    stages: list[str] = []
    progress = Progress(listener=lambda stage, _: stages.append(stage))
    attempts: list[tuple[type[Exception], dict[str, Any]]] = [
        (FileMissingError, {"target": tmp_path / "none.png"}),
        (FileMissingError, {"source": tmp_path / "none.png"}),
        (UnsupportedFormatError, {"name": "out.bmp"}),
        (OutputError, {"name": "no-folder/out.png"}),
    ]
    for error, given in attempts:
        with pytest.raises(error):
            run(progress=progress, **given)
    assert set(stages) == {"read"}
    assert list(tmp_path.iterdir()) == []


def test_a_limit_that_the_engine_alone_does_not_fit_is_refused(
    pipeline: Pipeline, target_file: Path, source_file: Path, tmp_path: Path
) -> None:
    engine = Painter()
    engine.capabilities = dataclasses.replace(engine.capabilities, memory_mb=2000)
    request = FusionRequest(
        target_file, (source_file,), Output(tmp_path / "out.png"), max_memory_mb=2299
    )
    with pytest.raises(MemoryLimitError, match="set max-memory-mb to at least 2300"):
        pipeline.run(request, engine, Progress())
    assert not engine.seen
    request = dataclasses.replace(request, max_memory_mb=2300)
    pipeline.run(request, engine, Progress())
    assert len(engine.seen) == 1


def test_outputs_have_the_pictures_limit(
    pipeline: Pipeline, model_directory: Path, target_file: Path, source_file: Path, tmp_path: Path
) -> None:
    small = Pipeline(pipeline._finder, max_megapixels=1.0)
    large = Output(tmp_path / "out.png", Resolution.parse("2048"))
    with pytest.raises(ImageSizeError, match="2048x1707"):
        small.run(
            FusionRequest(target_file, (source_file,), large), create_engine("mesh"), Progress()
        )
    with pytest.raises(ImageSizeError, match="megapixels"):
        Pipeline(pipeline._finder, max_megapixels=0.1).detect(target_file, Detection(), Progress())


@pytest.mark.parametrize("stage", ["read", "detect", "prepare", "render", "write"])
def test_cancelled_in_any_stage_nothing_stays(run: Run, tmp_path: Path, stage: str) -> None:
    seen: list[str] = []

    def listen(name: str, _: float) -> None:
        seen.append(name)
        if name == stage:
            progress.cancel()

    progress = Progress(listener=listen)
    (tmp_path / "out.png").write_bytes(b"what was there before")
    with pytest.raises(CancelledError):
        run(progress=progress)
    assert seen[-1] == stage
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"what was there before"]


def test_cancelled_from_another_thread(run: Run, tmp_path: Path) -> None:
    started = threading.Event()
    progress = Progress(listener=lambda stage, _: started.set() if stage == "render" else None)
    canceller = threading.Thread(target=lambda: (started.wait(60), progress.cancel()))
    canceller.start()
    with pytest.raises(CancelledError):
        run(progress=progress, resolution="4096")
    canceller.join()
    assert list(tmp_path.iterdir()) == []


def test_a_deadline_ends_the_work(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DeadlineError, match=r"longer than the 0\.0001 s"):
        run(progress=Progress(deadline_s=0.0001))
    assert list(tmp_path.iterdir()) == []


class Greedy:
    """An engine that fails for want of memory."""

    capabilities = create_engine("mesh").capabilities

    def __init__(self, error: Exception) -> None:
        self._error = error

    def sight(self, _: Blend) -> Sight:
        return Sight(320)

    def prepare(self, *_: Any) -> tuple[FusionField, ...]:
        raise self._error

    def close(self) -> None:
        raise AssertionError("the pipeline does not own the engine")


def test_memory_that_runs_out_has_a_sentence(run: Run, tmp_path: Path) -> None:
    opencv = cv2.error("Failed to allocate")
    opencv.code = cv2.Error.StsNoMem
    for error in (MemoryError(), opencv):
        with pytest.raises(MemoryLimitError, match="choose a smaller output resolution"):
            run(engine=Greedy(error))
    with pytest.raises(cv2.error):
        run(engine=Greedy(cv2.error("something else")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ratio", [0.0, 0.6])
def test_a_result_tells_all_of_the_contract(run: Run, tmp_path: Path, ratio: float) -> None:
    stages: list[str] = []
    progress = Progress(listener=lambda stage, fraction: stages.append(stage))
    result, _ = run(ratio=ratio, resolution="1024", name="out.jpg", progress=progress)
    report = result.as_dict()
    assert list(report) == [
        *("output", "width", "height", "format", "engine", "device", "engine_reason"),
        *("ratio", "mode", "shape", "expression", "sources", "faces"),
        *("seconds", "peak_rss_mb", "written", "notes", "warnings"),
    ]
    (face,) = report["faces"]
    assert list(face) == ["index", "box", "score", "yaw", "pitch", "roll", "used"]
    assert [type(face[key]) for key in face] == [int, list, float, float, float, float, bool]
    assert all(type(number) is int for number in face["box"])
    assert list(report["seconds"]) == ["total", "read", "detect", "prepare", "render", "write"]
    assert all(type(value) is float for value in report["seconds"].values())
    parts = sum(value for stage, value in report["seconds"].items() if stage != "total")
    assert 0.8 * report["seconds"]["total"] < parts <= report["seconds"]["total"] + 0.001
    assert (report["width"], report["height"], report["format"]) == (1024, 853, "jpeg")
    assert (report["output"], report["ratio"]) == (str(tmp_path / "out.jpg"), ratio)
    assert 30 < report["peak_rss_mb"] < 10_000
    assert report["warnings"] == report["notes"] == []
    assert report["written"] == "encoded"
    assert list(dict.fromkeys(stages)) == [
        stage
        for stage in ("read", "detect", "prepare", "render", "write")
        if ratio > 0 or stage not in ("prepare", "render")
    ]


def test_warnings_reach_the_result(run: Run, astronaut: NDArray[Any], tmp_path: Path) -> None:
    tiny = save(tmp_path / "tiny.png", astronaut[:200, 120:330])
    result, _ = run(source=tiny, resolution="4096", name="out.jpg")
    assert len(result.warnings) >= 1
    assert "a larger source would give more detail" in result.warnings[-1]


def test_detect_reports_what_it_found(pipeline: Pipeline, pair: Path) -> None:
    progress = Progress()
    image, faces = pipeline.detect(pair, Detection(), progress)
    report = detection_report(image, faces, progress)
    assert list(report) == [
        *("image", "width", "height", "format", "faces", "seconds", "peak_rss_mb", "warnings")
    ]
    assert (report["image"], report["width"], report["height"]) == (str(pair), 1240, 620)
    assert [face["index"] for face in report["faces"]] == [0, 1]
    assert list(report["seconds"]) == ["read", "detect", "total"]
    assert len(pipeline.detect(pair, Detection(min_face=200), Progress())[1]) == 1


def test_detect_finds_none_without_an_error(pipeline: Pipeline, tmp_path: Path) -> None:
    empty = save_png(tmp_path / "empty.png", photo(300, 200))
    assert pipeline.detect(empty, Detection(), Progress())[1] == ()


def test_requests_may_run_side_by_side(
    pipeline: Pipeline, target_file: Path, source_file: Path, tmp_path: Path
) -> None:
    engine = create_engine("mesh")
    base = FusionRequest(target_file, (source_file,), Output(tmp_path / "0.png"), Blend(0.8))

    def work(index: int) -> bytes:
        output = Output(tmp_path / f"{index}.png")
        pipeline.run(dataclasses.replace(base, output=output), engine, Progress())
        return output.path.read_bytes()

    with ThreadPoolExecutor(3) as threads:
        assert len(set(threads.map(work, range(3)))) == 1
