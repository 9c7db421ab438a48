"""A stand-in for the networks that answers real pictures, of 256 px like theirs.

Nothing here can make a face: the embedded engine's fusion of a pair, cut to the very crop that
is asked about, stands for what the networks would answer. Shifts, a bias of each phase and
memory that runs out can be asked for; all calls are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.progress import Progress
from common.settings import ModelScopeSettings, Settings
from common.types import FloatArray, Region, Size
from fusion.engines.base import Capabilities, Engine, FaceView, Pair, Sight
from fusion.engines.mesh import MeshEngine
from fusion.engines.modelscope_unet import ModelScopeEngine
from fusion.engines.unet import alignment, boost
from fusion.engines.unet.aligned import Aligned
from fusion.engines.unet.alignment import CROP
from fusion.engines.unet.devices import NO_DRIVER, Gpu, Machine
from fusion.field import Backdrop, FusionField
from fusion.request import BOOSTS, Blend
from preprocess.window import Window
from tests.fusion.pictures import Fusion, Pixels, as_float
from tests.fusion.unet.fake_hub import model_files, write_files

COEFFICIENTS, EMBEDDING = 257, 512
CPU = Machine((), NO_DRIVER, frozenset(), 64_000)
GPU = Machine((Gpu("Big", 81_000, 1_000, 0, (8, 0)),), "", frozenset(), 64_000)

Allowed = Callable[[str, int, int], bool]


@dataclass(frozen=True)
class Call:
    """name: of the method. count: crops in it. device: where. boost: of `fuse`, the finest."""

    name: str
    count: int
    device: str
    boost: int = 1


@dataclass(frozen=True)
class Question:
    """What `fuse` was asked about one crop."""

    identity: FloatArray
    fused: FloatArray
    own: FloatArray


@dataclass(frozen=True, eq=False)
class _Phase:
    """A crop that the surrogate knows: its target, and which phase of which boost it is."""

    target: _Target
    n: int
    number: int


class _Target:
    """A target and what it looks like with each person's face."""

    def __init__(self, view: FaceView) -> None:
        self.aligned = Aligned.of(view, mirrors=False)
        self.official = Aligned.of(view)
        self.fused: dict[int, Window] = {}
        self._answers: dict[tuple[int, int, tuple[float, float]], FloatArray] = {}

    def answers(self, person: int, n: int, shift: tuple[float, float]) -> FloatArray:
        """n*n x 256 x 256 x 3, all phases of the person's face on it."""
        key = (person, n, shift)
        if key not in self._answers:
            finer = self.aligned.fusion.finer(n)
            crop = alignment.smooth_crop(self.fused[person], finer)
            if any(shift):
                move = np.array([[1, 0, shift[0] * n], [0, 1, shift[1] * n]], np.float32)
                crop = cv2.warpAffine(crop, move, crop.shape[:2], borderMode=cv2.BORDER_REPLICATE)
            self._answers[key] = boost.phases(crop, n)
        return self._answers[key]


@dataclass
class Surrogate:
    """Stands for `fusion.engines.unet.faces.Networks`; one person per embedding's direction.

    Faces must be made known: `person` for sources, `target` for targets. An identity on the way
    from one to the other is answered with both pictures mixed. A crop that is not exactly one
    of a known face is an error.

    shift: of all answers, network pixels. bias: spread of each phase's colours. noise: answers
    are nothing but noise. allowed: (device, crops at once, boost) -> whether memory is enough.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    bias: float = 0.0
    noise: bool = False
    allowed: Allowed = lambda *_: True
    device: str = "cpu"
    calls: list[Call] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    loads: list[tuple[str, str, bool]] = field(default_factory=list)
    closed: int = 0
    on_call: Callable[[Call], None] = lambda _: None
    _embeddings: dict[bytes, FloatArray] = field(default_factory=dict)
    _shapes: dict[bytes, FloatArray] = field(default_factory=dict)
    _phases: dict[bytes, _Phase] = field(default_factory=dict)
    _persons: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        y, x = np.mgrid[0:CROP, 0:CROP].astype(np.float32)
        far = np.hypot((x - 127.5) / 105, (y - 127.5) / 115)
        matte = np.clip((1 - far) / 0.15, 0, 1).astype(np.float32)
        self.mask = np.repeat(matte[..., None], 3, axis=2)

    # What the tests tell it.

    def person(self, view: FaceView, number: int, direction: int | None = None) -> None:
        """A source picture of a person; several of one may have directions of their own."""
        axis = number if direction is None else direction
        self._persons[axis] = number
        for crop in _crops(view):
            self._embeddings[crop.tobytes()] = _axis(axis)
            self._shapes[crop.tobytes()] = _coefficients(10.0 + axis)

    def target(self, view: FaceView, fused: dict[int, Pixels]) -> None:
        """A target, and what the whole picture is with each person's face, in 8 or 16 bits."""
        made = _Target(view)
        one = np.ones(2, np.float32)
        made.fused = {who: Window(all_, one, one * 0) for who, all_ in fused.items()}
        self._phases[made.official.crop().tobytes()] = _Phase(made, 1, 0)
        for n in BOOSTS:
            crop = alignment.smooth_crop(view.window, made.aligned.fusion.finer(n))
            for number, phase in enumerate(boost.phases(crop, n)):
                self._phases[phase.tobytes()] = _Phase(made, n, number)
        # Targets lie on the far axes, at right angles to all persons.
        for crop in _crops(view):
            self._embeddings[crop.tobytes()] = _axis(EMBEDDING - 1)
            self._shapes[crop.tobytes()] = _coefficients(5.0)

    def load(self, folder: Path, device: str, dtype: str, compiled: bool) -> Surrogate:
        """For `ModelScopeEngine`; the surrogate itself, now on another device."""
        assert folder.is_dir()
        self.loads.append((device, dtype, compiled))
        self.device = device
        return self

    def count(self, name: str) -> list[int]:
        """How many crops each call of a method had."""
        return [call.count for call in self.calls if call.name == name]

    # What the engine asks it.

    def identities(self, crops: FloatArray) -> FloatArray:
        self._called("identities", len(crops))
        return np.stack([self._embeddings[crop.tobytes()] for crop in crops])

    def coefficients(self, crops: FloatArray) -> FloatArray:
        self._called("coefficients", len(crops))
        return np.stack([self._shapes[crop.tobytes()] for crop in crops])

    def fuse(
        self, crops: FloatArray, identities: FloatArray, fused: FloatArray, own: FloatArray
    ) -> FloatArray:
        known = [self._phases[crop.tobytes()] for crop in crops]
        self._called("fuse", len(crops), max(phase.n for phase in known))
        self.questions += map(Question, identities, fused, own)
        pairs = zip(crops, known, identities, strict=True)
        return np.stack([self._answer(crop, phase, person) for crop, phase, person in pairs])

    def enhance(self, crops: FloatArray) -> FloatArray:
        self._called("enhance", len(crops))
        sharp = [2 * crop - cv2.GaussianBlur(crop, (0, 0), 2) for crop in crops]
        return np.clip(np.stack(sharp), 0, 1)

    def close(self) -> None:
        self.closed += 1

    def _called(self, name: str, count: int, n: int = 1) -> None:
        call = Call(name, count, self.device, n)
        self.calls.append(call)
        self.on_call(call)
        if not self.allowed(self.device, count, n):
            raise MemoryError

    def _answer(self, crop: FloatArray, phase: _Phase, identity: FloatArray) -> FloatArray:
        random = np.random.default_rng(phase.number)
        if self.noise:
            return random.uniform(0, 1, crop.shape).astype(np.float32)
        answer, left = np.zeros_like(crop), 1.0
        for axis, person in self._persons.items():
            share = float(identity[axis]) ** 2
            if share > 0 and person in phase.target.fused:
                parts = phase.target.answers(person, phase.n, self.shift)
                answer += np.float32(share) * parts[phase.number]
                left -= share
        answer += np.float32(max(left, 0.0)) * crop
        if self.bias:
            answer += random.normal(0, self.bias, (1, 1, 3)).astype(np.float32)
        return np.clip(answer, 0, 1).astype(np.float32)


def _crops(view: FaceView) -> list[FloatArray]:
    """Those that the two composites cut for the networks that recognise."""
    smooth = alignment.smooth_crop(view.window, Aligned.of(view, mirrors=False).fusion)
    return [smooth, Aligned.of(view).crop()]


def _axis(number: int) -> FloatArray:
    made = np.zeros(EMBEDDING, np.float32)
    made[number] = 1
    return made


def _coefficients(value: float) -> FloatArray:
    """Differs between faces in all numbers."""
    return (value + np.arange(COEFFICIENTS) / 512).astype(np.float32)


def share_of(identity: FloatArray) -> float:
    """How far an embedding is on its way from a target to a person, 0-1 of the angle."""
    target = float(identity[EMBEDDING - 1])
    return float(np.arctan2(np.linalg.norm(identity[:-1]), target)) / (np.pi / 2)


def ideal(fusion: Fusion) -> Pixels:
    """What the networks would answer at full resolution: the embedded engine's fusion, uint8."""
    for known, picture in _IDEALS:
        if known is fusion:
            return picture
    picture = over(fusion.pair, fusion.pixels)
    _IDEALS.append((fusion, picture))
    return picture


_IDEALS: deque[tuple[Fusion, Pixels]] = deque(maxlen=4)
"""Those of the last fusions; tests ask for them again and again."""


def over(pair: Pair, pixels: Pixels) -> Pixels:
    """A pair's fusion by the embedded engine in the whole target picture, in its own bits."""
    (made,) = MeshEngine().prepare([pair], Blend(1.0), Progress())
    size = Size(pixels.shape[1], pixels.shape[0])
    bounds = made.bounds(size)
    under = Backdrop(as_float(pixels), Region.whole(size))
    values = made.render(under, bounds, size) * np.iinfo(pixels.dtype).max
    fused = pixels.copy()
    fused[bounds.within(Region.whole(size))] = np.rint(values).astype(pixels.dtype)
    return fused


def surrogate_for(fusion: Fusion, **options: Any) -> Surrogate:
    """A surrogate that knows one fusion; its source is person 0."""
    made = Surrogate(**options)
    made.person(fusion.source, 0)
    made.target(fusion.target, {0: ideal(fusion)})
    return made


def engine_with(
    surrogate: Surrogate,
    folder: Path,
    machine: Machine = CPU,
    why: str = "",
    **settings: Any,
) -> ModelScopeEngine:
    """The engine over a surrogate; a folder with files that only look like the model's."""
    write_files(folder, model_files())
    values = {"folder": folder, "idle_unload_s": 3600.0} | settings
    wanted = Settings(modelscope=ModelScopeSettings.model_validate(values))
    return ModelScopeEngine(wanted, why, lambda: machine, surrogate.load)


def using(fusion: Fusion, engine: Engine) -> Fusion:
    """The same pair for another engine."""
    return Fusion(engine, fusion.source, fusion.target, fusion.pixels, fusion.source_pixels)


@dataclass
class Teacher:
    """An engine for the pipeline that tells the surrogate of all faces before they are fused.

    Persons are numbered by their source face, in the order in which they come. expected: of each
    target face by its index, the whole picture with the embedded engine's fusion.
    """

    engine: ModelScopeEngine
    surrogate: Surrogate
    pixels: NDArray[Any]
    pairs: list[Pair] = field(default_factory=list)
    fields: list[FusionField] = field(default_factory=list)
    expected: dict[int, Pixels] = field(default_factory=dict)

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    def sight(self, blend: Blend) -> Sight:
        return self.engine.sight(blend)

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FusionField, ...]:
        self.pairs += pairs
        persons: list[int] = []
        for pair in pairs:
            if id(pair.source.face) not in persons:
                persons.append(id(pair.source.face))
            number = persons.index(id(pair.source.face))
            for index, view in enumerate((pair.source, *pair.others)):
                self.surrogate.person(
                    view, number, number if not index else 100 + 10 * number + index
                )
            expected = over(pair, self.pixels)
            self.expected[pair.target.face.index] = expected
            self.surrogate.target(pair.target, {number: expected})
        made = self.engine.prepare(pairs, blend, progress)
        self.fields += made
        return made

    def close(self) -> None:
        raise AssertionError("the pipeline does not own the engine")
