"""The engine over networks that answer pictures: ratio, memory, tiles, files."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import (
    CancelledError,
    EngineUnavailableError,
    MemoryLimitError,
    ModelMissingError,
    OptionError,
)
from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.engines.modelscope_unet import ModelScopeEngine
from fusion.engines.unet.devices import NO_DRIVER, Machine
from fusion.field import Backdrop, FusionField
from fusion.pipeline import Pipeline
from fusion.request import (
    COMPOSITES,
    MODES,
    Blend,
    FaceSelection,
    Finish,
    FusionRequest,
    FusionResult,
    Network,
    Output,
)
from preprocess.resolution import Resolution
from tests.fusion.pictures import Fusion, as_float, resized, save, target_portrait
from tests.fusion.unet.surrogate import (
    CPU,
    GPU,
    Call,
    Surrogate,
    Teacher,
    engine_with,
    surrogate_for,
    using,
)
from tests.preprocess.pictures import load_pixels

PLAIN = Network(boost=1, enhance=0.0)
FINE = Network(boost=2, enhance=0.5)
SMALL = Machine((), NO_DRIVER, frozenset(), 5_000)
"""So much free memory that in float32 two crops go through at once."""


@pytest.fixture
def surrogate(fusion: Fusion) -> Surrogate:
    return surrogate_for(fusion)


@pytest.fixture
def engine(surrogate: Surrogate, tmp_path: Path) -> ModelScopeEngine:
    return engine_with(surrogate, tmp_path)


@pytest.fixture(scope="module")
def fine(fusion: Fusion, tmp_path_factory: pytest.TempPathFactory) -> FusionField:
    """With boost, restoration and the source's detail, at a ratio that keeps some of the target."""
    engine = engine_with(surrogate_for(fusion), tmp_path_factory.mktemp("model"))
    return using(fusion, engine).field(0.3, network=FINE)


def test_what_it_says_of_itself(engine: ModelScopeEngine, tmp_path: Path) -> None:
    capabilities = engine.capabilities
    assert (capabilities.name, capabilities.device) == ("modelscope", "cpu")
    assert capabilities.modes == MODES
    assert capabilities.composites == COMPOSITES
    assert capabilities.expressions == ("target",)
    assert capabilities.all_views
    assert NO_DRIVER in capabilities.why
    other = engine_with(Surrogate(), tmp_path, GPU, "it was asked for")
    assert other.capabilities.device == "cuda:0"
    assert other.capabilities.why.startswith("it was asked for; ")


def test_the_official_composite_sees_the_pictures_own_pixels(engine: ModelScopeEngine) -> None:
    studio, official = (
        engine.sight(Blend(1.0, network=Network(composite))) for composite in COMPOSITES
    )
    assert studio.target_px == 1024
    assert official.target_px >= 3000
    assert official.source_px >= 3000


def test_what_is_missing_is_said_at_once(tmp_path: Path) -> None:
    surrogate = Surrogate()
    with pytest.raises(EngineUnavailableError, match="cuda:3"):
        engine_with(surrogate, tmp_path, GPU, device="cuda:3")
    (tmp_path / "alpha.jpg").unlink()
    (tmp_path / "pytorch_model.pt").write_bytes(b"")
    with pytest.raises(ModelMissingError) as caught:
        ModelScopeEngine(settings_of(tmp_path), "", lambda: CPU, surrogate.load)
    for told in ("alpha.jpg", "pytorch_model.pt", "models download"):
        assert told in caught.value.message
    assert surrogate.loads == []


def settings_of(folder: Path) -> Any:
    from common.settings import ModelScopeSettings, Settings

    return Settings(modelscope=ModelScopeSettings(folder=folder))


def test_ratio_0_is_the_target_and_loads_nothing(
    fusion: Fusion, surrogate: Surrogate, engine: ModelScopeEngine
) -> None:
    for composite in COMPOSITES:
        field = using(fusion, engine).field(0.0, network=Network(composite))
        assert field.bounds(fusion.size).is_empty
        assert np.array_equal(fusion.render(field), as_float(fusion.pixels))
        assert field.face(fusion.whole, fusion.size).max() == 1  # for what finishes faces
    assert surrogate.loads == []
    assert surrogate.calls == []


def test_more_ratio_comes_nearer_to_the_source(fusion: Fusion, engine: ModelScopeEngine) -> None:
    mine = using(fusion, engine)
    fields = {ratio: mine.field(ratio, network=PLAIN) for ratio in (0.05, 0.2, 0.4, 0.7, 1.0)}
    inside = fields[1.0].opacity(fusion.whole, fusion.size) > 0.9
    full = fusion.render(fields[1.0])[inside]
    left = [float(np.abs(as_float(fusion.pixels)[inside] - full).mean())]
    left += [float(np.abs(fusion.render(field)[inside] - full).mean()) for field in fields.values()]
    assert left[-1] == 0
    # measured 0.0365 0.0361 0.0338 0.0237 0.0089 0
    assert all(more > less + 0.0002 for more, less in pairwise(left))


def test_small_ratios_fade_in(fusion: Fusion, engine: ModelScopeEngine) -> None:
    """At 0.4 and above nothing of the target's face is below the fused one."""
    for ratio, opacity in ((0.1, 0.25), (0.2, 0.5), (0.4, 1.0), (0.8, 1.0)):
        field = using(fusion, engine).field(ratio, network=PLAIN)
        shown = field.opacity(fusion.whole, fusion.size)
        assert shown.max() == pytest.approx(opacity, abs=1e-5)


def test_networks_are_loaded_once_and_unloaded_on_closing(
    fusion: Fusion, surrogate: Surrogate, engine: ModelScopeEngine
) -> None:
    mine = using(fusion, engine)
    assert surrogate.loads == []
    first, second = (fusion.render(mine.field(1.0, network=PLAIN)) for _ in range(2))
    assert np.array_equal(first, second)
    assert surrogate.loads == [("cpu", "float32", False)]
    assert surrogate.closed == 0
    engine.close()
    assert surrogate.closed == 1
    engine.close()
    assert surrogate.closed == 1
    again = fusion.render(mine.field(1.0, network=PLAIN))
    assert np.array_equal(first, again)
    assert len(surrogate.loads) == 2


def test_numbers_and_compilation_are_those_of_the_settings(
    fusion: Fusion, surrogate: Surrogate, tmp_path: Path
) -> None:
    engine = engine_with(surrogate, tmp_path, GPU, dtype="bfloat16", compile=True)
    using(fusion, engine).field(1.0, network=PLAIN)
    assert surrogate.loads == [("cuda:0", "bfloat16", True)]


# Out of memory: less at once, then less detail, then the CPU, then an error.


def test_too_many_at_once_become_fewer_and_the_result_is_the_same(
    fusion: Fusion, surrogate: Surrogate, engine: ModelScopeEngine, tmp_path: Path
) -> None:
    blend = {"network": Network(boost=4, enhance=0.0)}
    two = using(fusion, engine_with(surrogate, tmp_path, SMALL)).field(1.0, **blend)
    assert surrogate.count("fuse") == [2] * 8
    assert two.warnings == ()
    surrogate.calls.clear()
    surrogate.allowed = lambda device, count, n: count <= 2
    field = using(fusion, engine).field(1.0, **blend)
    assert [count for count in surrogate.count("fuse") if count <= 2] == [2] * 8
    assert [warning.count("at once") for warning in field.warnings] == [1] * len(field.warnings)
    assert "batches of 2" in field.warnings[-1]
    assert field.notes == two.notes
    assert np.array_equal(fusion.render(field), fusion.render(two))


def test_then_the_boost_becomes_smaller(
    fusion: Fusion, surrogate: Surrogate, engine: ModelScopeEngine
) -> None:
    surrogate.allowed = lambda device, count, n: count == 1 and n <= 2
    field = using(fusion, engine).field(1.0, network=Network(boost=4, enhance=0.0))
    assert "detail boost 4" in field.warnings[-1]
    assert "boost 2" in field.warnings[-1]
    assert any("detail boost 2" in note for note in field.notes)
    surrogate.allowed = lambda *_: True
    direct = using(fusion, engine).field(1.0, network=Network(boost=2, enhance=0.0))
    assert np.array_equal(fusion.render(field), fusion.render(direct))


def test_then_the_cpu_computes(fusion: Fusion, surrogate: Surrogate, tmp_path: Path) -> None:
    surrogate.allowed = lambda device, count, n: device == "cpu"
    mine = using(fusion, engine_with(surrogate, tmp_path, GPU))
    field = mine.field(1.0, network=Network(boost=2, enhance=0.0))
    assert [device for device, _, _ in surrogate.loads] == ["cuda:0", "cpu"]
    assert surrogate.loads[0][1] == "float16"
    assert surrogate.loads[1][1] == "float32"
    assert "ran on cpu" in field.warnings[-1]
    surrogate.allowed = lambda *_: True
    direct = mine.field(1.0, network=Network(boost=1, enhance=0.0))
    assert np.array_equal(fusion.render(field), fusion.render(direct))


def test_the_restoration_goes_to_the_cpu_with_its_boost(
    fusion: Fusion, surrogate: Surrogate, tmp_path: Path
) -> None:
    """It takes one crop at a time: smaller batches and boosts would not help."""

    def enhance_on_cpu(call: Call) -> None:
        if call.name == "enhance" and call.device != "cpu":
            raise MemoryError

    surrogate.on_call = enhance_on_cpu
    mine = using(fusion, engine_with(surrogate, tmp_path, GPU))
    field = mine.field(1.0, network=FINE)
    assert surrogate.count("fuse") == [4, 4]
    assert len(field.warnings) == 1
    assert "cpu" in field.warnings[0]
    assert [device for device, _, _ in surrogate.loads] == ["cuda:0", "cpu"]
    assert surrogate.closed == 1  # what the GPU held is given back


def test_then_the_memory_is_not_enough(
    fusion: Fusion, surrogate: Surrogate, tmp_path: Path
) -> None:
    surrogate.allowed = lambda *_: False
    for machine in (CPU, GPU):
        mine = using(fusion, engine_with(surrogate, tmp_path, machine))
        with pytest.raises(MemoryError):
            mine.field(1.0, network=PLAIN)
    assert [device for device, _, _ in surrogate.loads] == ["cpu", "cuda:0", "cpu"]
    surrogate.allowed = lambda *_: True  # and it is not broken by that
    assert mine.field(1.0, network=PLAIN).warnings == ()


def test_memory_that_runs_out_while_loading_counts_as_well(
    fusion: Fusion, surrogate: Surrogate, tmp_path: Path
) -> None:
    plain = surrogate.load

    def load(folder: Path, device: str, dtype: str, compiled: bool) -> Surrogate:
        loaded = plain(folder, device, dtype, compiled)
        if device != "cpu":
            raise MemoryError
        return loaded

    surrogate.load = load  # type: ignore[method-assign]
    field = using(fusion, engine_with(surrogate, tmp_path, GPU)).field(1.0, network=PLAIN)
    assert len(field.warnings) == 1  # to load them again would not help
    assert "ran on cpu" in field.warnings[0]
    assert [device for device, _, _ in surrogate.loads] == ["cuda:0", "cpu"]


def test_no_batch_is_said_to_be_larger_than_there_are_crops(
    fusion: Fusion, surrogate: Surrogate, tmp_path: Path
) -> None:
    surrogate.allowed = lambda device, count, n: device == "cpu"
    mine = using(fusion, engine_with(surrogate, tmp_path, GPU))
    (warning,) = mine.field(1.0, network=PLAIN).warnings
    assert "ran on cpu" in warning
    surrogate.allowed = lambda device, count, n: count <= 2
    (first, second, third) = mine.field(1.0, network=Network(boost=4, enhance=0.0)).warnings
    assert "16 crops at once" in first
    assert "8 crops at once" in second
    assert "batches of 2" in third


# The field.

SIZES = {0.5: Size(360, 300), 1: Size(720, 600), 2: Size(1440, 1200)}


def laid(field: FusionField, target: FloatArray, region: Region, at: Size) -> FloatArray:
    """A part of the target's picture, fused; the field sees no more than it may look at."""
    seen = region.grow(field.reach(at)).clip(at)
    under = Backdrop(np.array(target[seen.within(Region.whole(at))]), seen)
    return field.render(under, region, at)


@pytest.mark.parametrize("at", SIZES.values(), ids=str)
def test_tiles_are_the_same_bits(fusion: Fusion, fine: FusionField, at: Size) -> None:
    assert isinstance(fine.reach(at), int)
    target = resized(fusion.pixels, at)
    whole = laid(fine, target, Region.whole(at), at)
    assert not np.array_equal(whole, target)
    bounds = fine.bounds(at)
    for side in (93, 128, 301):
        for tile in bounds.grow(20).clip(at).blocks(side):
            part = laid(fine, target, tile, at)
            assert np.array_equal(part, whole[tile.within(Region.whole(at))])
    odd = Region(bounds.x + 13, bounds.y + 7, bounds.width - 31, bounds.height - 45)
    assert np.array_equal(laid(fine, target, odd, at), whole[odd.within(Region.whole(at))])


def test_the_fields_detail_is_on(fine: Any) -> None:
    """Else the tiles above would not show what they should."""
    detail = fine._origin._detail
    assert detail.amount.max() > 0.3
    assert sum(share for _, share in detail.limits) == pytest.approx(1)
    assert all(0 <= share <= 1 for _, share in detail.limits)


@pytest.mark.parametrize("highest", [255, 65535])
def test_what_is_not_fused_is_not_touched(fusion: Fusion, fine: FusionField, highest: int) -> None:
    at = fusion.size
    noise = np.random.default_rng(3).integers(0, highest + 1, (at.height, at.width, 3))
    tile = noise.astype(np.float32) / np.float32(highest)
    fused = laid(fine, tile, Region.whole(at), at)
    changed = (fused != tile).any(axis=-1)
    outside = np.ones(changed.shape, bool)
    outside[fine.bounds(at).within(Region.whole(at))] = False
    assert not changed[outside].any()
    assert np.array_equal(np.rint(fused[outside] * highest), noise[outside])
    opaque = fine.opacity(Region.whole(at), at) > 0
    assert changed[opaque].mean() > 0.95


def test_every_size_shows_the_same_fusion(fusion: Fusion, fine: FusionField) -> None:
    own = laid(fine, resized(fusion.pixels, fusion.size), fusion.whole, fusion.size)
    for scale, at in SIZES.items():
        shown = laid(fine, resized(fusion.pixels, at), Region.whole(at), at)
        common = (min(at.width, 720), min(at.height, 600))
        pair = [cv2.resize(one, common, interpolation=cv2.INTER_AREA) for one in (own, shown)]
        assert np.abs(pair[0] - pair[1]).mean() < (0.002 if scale >= 1 else 0.004)


# From files to file.

Fuse = Callable[..., tuple[FusionResult, NDArray[Any], Teacher]]


@pytest.fixture
def fuse(pipeline: Pipeline, source_file: Path, tmp_path: Path) -> Fuse:
    """fuse(target, surrogate, sources=..., faces=..., **blend): result, pixels and the engine."""

    def run(
        target: Path,
        surrogate: Surrogate | None = None,
        *,
        sources: tuple[Path, ...] = (source_file,),
        faces: str = "largest",
        ratio: float = 1.0,
        machine: Machine = CPU,
        progress: Progress | None = None,
        finish: Finish | None = None,
        resolution: str = "original",
        **blend: Any,
    ) -> tuple[FusionResult, NDArray[Any], Teacher]:
        surrogate = surrogate or Surrogate()
        engine = engine_with(surrogate, tmp_path / "model", machine)
        teacher = Teacher(engine, surrogate, load_pixels(target))
        request = FusionRequest(
            target,
            sources,
            Output(tmp_path / "fused.png", Resolution.parse(resolution)),
            Blend(ratio, **blend),
            finish or Finish(),
            FaceSelection.parse(faces),
        )
        result = pipeline.run(request, teacher, progress or Progress())
        return result, load_pixels(tmp_path / "fused.png"), teacher

    return run


@pytest.fixture(scope="module")
def eight(astronaut: NDArray[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight astronauts of different sizes and light, 1200 x 660."""
    picture = np.full((660, 1200, 3), 120, np.uint8)
    head = target_portrait(astronaut)[:, 180:480]
    for index in range(8):
        scale = 0.54 - 0.01 * index
        small = cv2.resize(head, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        lit = np.rint(small * (1 - 0.03 * index)).astype(np.uint8)
        x, y = 60 + 290 * (index % 4), 320 * (index // 4)
        picture[y : y + lit.shape[0], x : x + lit.shape[1]] = lit
    return save(tmp_path_factory.mktemp("eight") / "eight.png", picture)


@pytest.fixture(scope="module")
def two_sources(
    astronaut: NDArray[Any], source_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Two persons: the source portrait and a much paler one."""
    pixels = load_pixels(source_file).astype(float)
    pale = np.clip(255 * (pixels / 255) ** 0.5 * np.array([0.8, 0.95, 1.0]), 0, 255)
    folder = tmp_path_factory.mktemp("persons")
    return source_file, save(folder / "pale.png", np.rint(pale).astype(np.uint8))


def test_eight_faces_in_one_picture(
    fuse: Fuse, eight: Path, two_sources: tuple[Path, Path]
) -> None:
    """Each from its own source; every crop goes through each network once."""
    faces = "0:0,1:1,0:2,1:3,0:4,1:5,0:6,1:7"
    result, fused, teacher = fuse(eight, sources=two_sources, faces=faces, network=PLAIN)
    assert [used for _, used in result.faces] == [True] * 8
    surrogate = teacher.surrogate
    assert surrogate.count("fuse") == [8]
    assert surrogate.count("identities") == [2]
    assert sorted(surrogate.count("coefficients")) == [2, 8]
    assert all(not pair.others for pair in teacher.pairs)
    before = load_pixels(eight)
    swapped = "1:0,0:1,1:2,0:3,1:4,0:5,1:6,0:7"
    other = fuse(eight, sources=two_sources, faces=swapped, network=PLAIN)[2]
    for index, (face, _) in enumerate(result.faces):
        place = face.box.within(Region.whole(result.size))
        assert apart(fused[place], before[place]) > 2
        mine, not_mine = (each.expected[index][place] for each in (teacher, other))
        # measured 0.3 to 0.5 of it
        assert apart(fused[place], mine) < 0.7 * apart(fused[place], not_mine)


def apart(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Mean difference in levels."""
    return float(np.abs(one.astype(float) - other).mean())


def test_the_pictures_order_does_not_matter(
    fuse: Fuse, eight: Path, two_sources: tuple[Path, Path]
) -> None:
    one = fuse(eight, sources=two_sources, faces="0:0,1:3", network=PLAIN)[1]
    other = fuse(eight, sources=two_sources, faces="1:3,0:0", network=PLAIN)[1]
    assert np.array_equal(one, other)


def test_several_pictures_of_one_person(
    fuse: Fuse, target_file: Path, two_sources: tuple[Path, Path]
) -> None:
    """All are looked at, and the mean is asked for."""
    result, _, teacher = fuse(target_file, sources=two_sources, network=PLAIN)
    (pair,) = teacher.pairs
    assert len(pair.others) == 1
    assert teacher.surrogate.count("identities") == [2]
    (question,) = teacher.surrogate.questions
    assert np.sort(question.identity)[-2:] == pytest.approx([np.sqrt(0.5)] * 2, abs=1e-6)
    assert any("2 source pictures" in note for note in result.notes)


def test_a_result_tells_engine_device_and_choices(fuse: Fuse, target_file: Path) -> None:
    result, _, _ = fuse(target_file)
    report = result.as_dict()
    assert (report["engine"], report["device"]) == ("modelscope", "cpu")
    assert NO_DRIVER in report["engine_reason"]
    assert any("detail boost" in note and "GPEN" in note for note in report["notes"])
    assert report["warnings"] == []


def test_memory_that_ran_out_is_a_warning_of_the_result(fuse: Fuse, target_file: Path) -> None:
    short = Surrogate(allowed=lambda device, count, n: count <= 2)
    result, fused, _ = fuse(target_file, short, network=Network(boost=2, enhance=0.0))
    assert any("batches of 2" in warning for warning in result.warnings)
    assert np.array_equal(fused, fuse(target_file, network=Network(boost=2, enhance=0.0))[1])


def test_no_memory_at_all_is_an_error_without_a_file(
    fuse: Fuse, target_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(MemoryLimitError):
        fuse(target_file, Surrogate(allowed=lambda *_: False), network=PLAIN)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_cancelled_between_batches(fuse: Fuse, target_file: Path, tmp_path: Path) -> None:
    progress, surrogate = Progress(), Surrogate()
    surrogate.on_call = lambda call: progress.cancel() if call.name == "fuse" else None
    with pytest.raises(CancelledError):
        fuse(target_file, surrogate, progress=progress, network=Network(boost=2, enhance=1.0))
    assert surrogate.count("enhance") == []
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_ratio_0_with_a_finish_needs_no_networks(fuse: Fuse, target_file: Path) -> None:
    _, smoothed, teacher = fuse(
        target_file, ratio=0.0, finish=Finish(smooth=1.0), network=Network("official")
    )
    assert teacher.surrogate.loads == []
    before = load_pixels(target_file)
    assert 0 < (smoothed != before).any(axis=-1).mean() < 0.2


def test_the_official_composite_takes_no_mode(engine: ModelScopeEngine) -> None:
    for mode in MODES[1:]:
        with pytest.raises(OptionError, match=f"composite official has no mode {mode}"):
            engine.capabilities.check(Blend(1.0, mode=mode, network=Network("official")))
    for composite in COMPOSITES:
        engine.capabilities.check(Blend(1.0, network=Network(composite)))
    with pytest.raises(OptionError, match="engine modelscope can do"):
        engine.capabilities.check(Blend(1.0, expression="source"))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_sixteen_bits_go_through(
    fuse: Fuse, astronaut: NDArray[Any], tmp_path: Path, composite: str
) -> None:
    from tests.preprocess.pictures import save_png

    noise = np.random.default_rng(1).integers(0, 257, (600, 720, 3))
    deep = np.clip(target_portrait(astronaut) * 257.0 + noise - 128, 0, 65535).astype(np.uint16)
    result, fused, teacher = fuse(save_png(tmp_path / "deep.png", deep), network=Network(composite))
    assert fused.dtype == np.uint16
    (field,) = teacher.fields
    outside = np.ones(deep.shape[:2], bool)
    outside[field.bounds(result.size).within(Region.whole(result.size))] = False
    assert np.array_equal(fused[outside], deep[outside])
    assert (fused != deep).any(axis=-1)[~outside].mean() > 0.3


def test_the_same_request_gives_the_same_bytes(
    fuse: Fuse, target_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusion import rendering

    written = []
    for threads in (1, 2):
        monkeypatch.setattr(rendering, "_THREADS", threads)
        fuse(target_file, ratio=0.7, network=FINE)
        written.append((tmp_path / "fused.png").read_bytes())
    assert len(set(written)) == 1
