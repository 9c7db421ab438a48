"""A fusion seen at preview size, again and again with other controls.

The same steps as a final fusion, `Pipeline.run`: the engine's fields and the finish's layers are
rendered at the size of the preview. What did not change since the last time is kept.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from common.progress import Progress
from common.types import ByteArray, Region, Size, separated
from fusion.engines.base import Engine, Pair
from fusion.field import BLOCK, Backdrop, FusionField, Layer
from fusion.pairing import Match, laying_order
from fusion.pipeline import Pipeline, memory_limits
from fusion.planning import (
    Looked,
    Plan,
    finish_of,
    needs_fields,
    pairs_of,
    prepared,
    remarks_on,
)
from fusion.rendering import memory_errors, numbers_of, workers_here
from fusion.request import Blend, FaceSelection, FusionRequest
from preprocess.canvas import Canvas
from preprocess.tiling import Tiling, run_tiles
from preprocess.window import scaled_size

QUALITY = 88
"""Of the JPEG that is shown."""
_TILE = 2 * BLOCK
_FIELDS = 3  # blends that are kept: of going back and forth between two, and of one in between
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shown:
    """A fusion at preview size.

    jpeg: the whole picture, sRGB, upright. size: of it. draft: whether the engine has looked less
    closely than for the final result. notes, warnings: as of that, but for how its file is written.
    """

    jpeg: bytes
    size: Size
    draft: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


class LiveFusion:
    """One target and its sources, looked at once; safe to use from several threads.

    Args:
        pipeline: Finds the faces.
        request: Names the pictures and how their faces are found; what else it says is that of
            the first picture that is shown.
        longest: Longer side of what is shown, px.
        progress: Stages read and detect.

    Raises:
        InputError: A file cannot be used as a picture.
        NoFaceError: A picture shows no face; the message says which.
        ModelMissingError: A face model is absent or broken.
        StoppedError: ``progress`` ended the work.
        MemoryLimitError: Memory ran out.
    """

    def __init__(
        self, pipeline: Pipeline, request: FusionRequest, longest: int, progress: Progress
    ) -> None:
        self._pipeline = pipeline
        self._longest = longest
        self._lock = threading.Lock()
        self._looked = pipeline.look(request, progress)
        self._canvas: _Latest[Canvas] = _Latest()
        self._pairs: _Latest[tuple[Pair, ...]] = _Latest()
        self._fields: _Latest[tuple[FusionField, ...]] = _Latest(_FIELDS)
        self._fused: _Latest[tuple[Backdrop, ...]] = _Latest()

    def show(
        self, request: FusionRequest, engine: Engine, progress: Progress, draft: bool = False
    ) -> Shown:
        """The result of a request about the same pictures, as its own preview would show it.

        The whole picture, also where the output is a part of it or has borders around it; as
        large as the output at most.

        Args:
            request: Its output is not written.
            engine: May differ from call to call.
            progress: Stages read, prepare, render and write.
            draft: Whether the engine may look less closely if it has not looked yet.

        Raises:
            OptionError: A value that this engine or these faces do not allow.
            ImageSizeError: The output would be too large.
            EngineUnavailableError: The engine cannot run here.
            UnreadableImageError: The pixel data are damaged.
            MemoryLimitError: Memory ran out.
            StoppedError: ``progress`` ended the work.
        """
        engine.capabilities.check(request.blend)
        with self._lock, memory_limits():
            plan = self._pipeline.decide(self._looked, request)
            at = self._size(plan)
            scene = _Scene(plan, laying_order(plan.matches), at, request.faces)
            with progress.stage("read"):
                canvas = self._canvas.get(at, lambda: plan.target.canvas(at, progress))
            fields: tuple[FusionField, ...] = ()
            if needs_fields(request.blend, request.finish):
                key = (*scene.key, engine.capabilities, request.blend)
                draft = draft and key not in self._fields
                look = partial(self._prepared, scene, engine, request.blend, progress, draft)
                fields = self._fields.get((*key, True) if draft else key, look)
            with progress.stage("render"):
                # By the fields themselves: they are equal only if they are the same.
                fused = self._fused.get((fields, at), lambda: _laid(fields, [], canvas, progress))
                finish = finish_of(plan, scene.order, fields, request.finish)
                shown = _laid(finish, fused, canvas, progress) if finish else fused
            with progress.stage("write"):
                dtype = canvas.pixels.dtype
                changes = [(part.region, numbers_of(part.pixels, dtype)) for part in shown]
                jpeg = _encoded(canvas.shown(changes))
            remarks = remarks_on(plan, fields)
        return Shown(jpeg, at, draft and bool(fields), remarks.notes, remarks.warnings)

    def _size(self, plan: Plan) -> Size:
        target = plan.target.size
        longest = min(self._longest, plan.frame.at.longer)
        return scaled_size(target, min(1.0, longest / target.longer))

    def _prepared(
        self, scene: _Scene, engine: Engine, blend: Blend, progress: Progress, draft: bool
    ) -> tuple[FusionField, ...]:
        def look() -> tuple[Pair, ...]:
            pairs = pairs_of(scene.plan, scene.order, engine, blend, scene.scale, progress)
            # What detection left in memory has served; other faces are read anew.
            self._looked = _without_pixels(self._looked)
            return pairs

        with progress.stage("read"):
            sight = (engine.sight(blend), engine.capabilities.all_views)
            pairs = self._pairs.get((*scene.key, *sight), look)
        if draft:
            pairs = tuple(replace(pair, draft=True) for pair in pairs)
        with progress.stage("prepare"):
            return prepared(engine, pairs, blend, progress)


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What is seen of which faces; order: of laying. at: size of the preview."""

    plan: Plan
    order: tuple[Match, ...]
    at: Size
    faces: FaceSelection

    @property
    def scale(self) -> float:
        """Pixels of the preview per target pixel."""
        return self.at.longer / self.plan.target.size.longer

    @property
    def key(self) -> tuple[Hashable, ...]:
        return self.faces, self.plan.scale, self.at


class _Latest(Generic[T]):
    """The values that were asked for last, by their keys."""

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, T] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._held

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key; what makes room for a new one goes before that is made."""
        if key not in self._held:
            while len(self._held) >= self._most:
                self._held.popitem(last=False)
            self._held[key] = make()
        self._held.move_to_end(key)
        return self._held[key]


def _laid(
    layers: Sequence[Layer], fused: Sequence[Backdrop], canvas: Canvas, progress: Progress
) -> tuple[Backdrop, ...]:
    """What is changed when layers are laid over a picture, in parts that do not overlap.

    The same pixels as of `fusion.rendering.render`, which composes tile by tile to hold no whole
    picture: this one is small enough to be held after every layer.

    Args:
        fused: What was changed before; float32.
        canvas: The picture before any change.
    """
    at = canvas.size
    whole = Region.whole(at)
    bounds = [layer.bounds(at) for layer in layers]
    changed = separated([*bounds, *(part.region for part in fused)])
    if not changed:
        return ()
    # With all that any of them looks at.
    seen = [bound.grow(layer.reach(at)) for bound, layer in zip(bounds, layers, strict=True)]
    area = reduce(Region.union, [*changed, *(one for one in seen if not one.is_empty)]).clip(at)
    values = Backdrop(canvas.pixels, whole).read(area)
    for part in fused:
        values[part.region.within(area)] = part.pixels
    under = Backdrop(values, area)
    for layer, bound in zip(layers, bounds, strict=True):
        if not bound.is_empty:
            _lay(layer, bound, under, at, progress)
    return tuple(Backdrop(values[part.within(area)], part) for part in changed)


def _lay(layer: Layer, bound: Region, under: Backdrop, at: Size, progress: Progress) -> None:
    """Lay one layer over a picture, in place."""
    own = under.pixels[bound.within(under.region)]
    # What looks around itself must not see what is new already.
    out = own if layer.reach(at) == 0 else np.empty_like(own)

    def work(tile: Region) -> None:
        with memory_errors():
            out[tile.within(bound)] = layer.render(under, tile, at)

    run_tiles(bound, Tiling(_TILE, BLOCK, BLOCK, workers_here()), work, progress)
    if out is not own:
        own[...] = out


def _without_pixels(looked: Looked) -> Looked:
    """The same pictures with nothing of them in memory."""
    sources = tuple(source.keeping_only([]) for source in looked.sources)
    return replace(looked, target=looked.target.keeping_only([]), sources=sources)


def _encoded(pixels: ByteArray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()
