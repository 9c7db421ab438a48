"""Two persons out of one free photograph, and what a fusion of them is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.compositing.face_field import FaceField
from fusion.engines.base import Capabilities, Engine, FaceView, Pair, Sight
from fusion.field import Backdrop, FusionField
from fusion.request import Blend
from preprocess.window import Window
from tests.fusion.faces import width_of

Pixels = NDArray[Any]
Paint = Callable[[Pixels, FloatArray], Pixels]
"""paint(H x W x 3 of any part of a picture, its face's landmarks there): new pixels."""


def enlarged(astronaut: Pixels, rows: slice, columns: slice, factor: float) -> Pixels:
    part = astronaut[rows, columns]
    return np.asarray(
        cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8
    )


def target_portrait(astronaut: Pixels) -> Pixels:
    """600 x 720 x 3; the face is 191 px wide and not in the middle."""
    return enlarged(astronaut, slice(0, 300), slice(60, 420), 2.0)


def source_portrait(astronaut: Pixels) -> Pixels:
    """700 x 725 x 3: the astronaut with other proportions, colours and light."""
    photo = enlarged(astronaut, slice(0, 280), slice(90, 380), 2.5)
    height, width = photo.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    from_x = width / 2 + (x - width / 2) * np.float32(0.93) + 4 * np.sin(y / 37)
    from_y = y + 3 * np.cos(x / 41)
    warped = cv2.remap(photo, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    light = (0.95 - 0.2 * x / width)[..., None] * np.array([0.95, 1.0, 1.05])
    values = (warped / 255.0) ** np.array([1.15, 1.35, 1.5]) * light + 0.02
    return np.asarray(np.round(np.clip(values, 0, 1) * 255), np.uint8)


def tan(pixels: Pixels, landmarks: FloatArray) -> Pixels:
    """Darker cheeks and forehead, well away from the mouth, whose form is told by its colours."""
    skin, width = np.zeros(pixels.shape[:2], np.float32), width_of(landmarks)
    for point in (205, 425, 151):
        centre = np.rint(landmarks[point, :2]).astype(int).tolist()
        cv2.circle(skin, centre, round(0.05 * width), 1.0, -1)
    skin = cv2.GaussianBlur(skin, (0, 0), 0.01 * width)[..., None]
    return np.asarray(np.rint(pixels * (1 - skin * np.array([0.3, 0.45, 0.5]))), np.uint8)


def save(path: Path, pixels: Pixels, **options: Any) -> Path:
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, **options)
    return path


def linear(encoded: Pixels) -> NDArray[np.float64]:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    values = np.asarray(encoded, np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def as_float(pixels: Pixels) -> FloatArray:
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def resized(pixels: Pixels, at: Size) -> FloatArray:
    return as_float(cv2.resize(pixels, (at.width, at.height), interpolation=cv2.INTER_AREA))


@dataclass
class Observer:
    """An engine that lets another do the work and keeps what passed between."""

    engine: Engine
    seen: list[tuple[FaceView, FaceView]] = field(default_factory=list)
    fields: list[FusionField] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return self.engine.capabilities

    def sight(self, blend: Blend) -> Sight:
        return self.engine.sight(blend)

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FusionField, ...]:
        made = self.engine.prepare(pairs, blend, progress)
        self.seen += [(pair.source, pair.target) for pair in pairs]
        self.fields += made
        return made

    def close(self) -> None:
        self.engine.close()


@dataclass(frozen=True)
class Fusion:
    """A prepared fusion: both views, all pixels, and fields of any ratio."""

    engine: Engine
    source: FaceView
    target: FaceView
    pixels: Pixels
    source_pixels: Pixels

    @property
    def size(self) -> Size:
        return self.target.picture

    @property
    def pair(self) -> Pair:
        return Pair(self.source, self.target, self.target.face.quality.size)

    def field(self, ratio: float = 1.0, **blend: Any) -> FaceField:
        (made,) = self.engine.prepare([self.pair], Blend(ratio, **blend), Progress())
        assert isinstance(made, FaceField)
        return made

    def painted(self, *, target: Paint | None = None, source: Paint | None = None) -> Fusion:
        """The same faces after something was painted onto either picture."""
        seen, given, pixels, source_pixels = (
            self.target,
            self.source,
            self.pixels,
            self.source_pixels,
        )
        if target is not None:
            seen = _painted(seen, target)
            pixels = target(pixels, self.target.face.landmarks)
        if source is not None:
            given = _painted(given, source)
            source_pixels = source(source_pixels, self.source.face.landmarks)
        return Fusion(self.engine, given, seen, pixels, source_pixels)

    @property
    def whole(self) -> Region:
        return Region.whole(self.size)

    def render(self, fusion_field: FusionField, at: Size | None = None) -> FloatArray:
        """The whole picture at size ``at``, H x W x 3."""
        at = at or self.size
        whole = Region.whole(at)
        return fusion_field.render(Backdrop(resized(self.pixels, at), whole), whole, at)

    def moved(self, fusion_field: FaceField, at: Size | None = None) -> FloatArray:
        """The target alone after its surroundings moved as a field has it, H x W x 3.

        Computed apart from the field, in one piece; rounding aside the same pixels.
        """
        at = at or self.size
        moves = fusion_field._moves
        x, y = moves.grid.sample(moves.maps, Region.whole(at), self.size, at)
        column, row = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (at.width, at.height)))
        x = x * np.float32(at.width / self.size.width) + column
        y = y * np.float32(at.height / self.size.height) + row
        picture = cv2.remap(resized(self.pixels, at), x, y, cv2.INTER_CUBIC)
        return np.clip(picture, 0, 1).astype(np.float32)

    def shown_at(self, fusion_field: FaceField, points: FloatArray) -> FloatArray:
        """Where a field shows the target's points (N x 2), in pixels of the target."""
        moves, places = fusion_field._moves, np.array(points, np.float32)
        for _ in range(10):  # a fixed point: what shows at p came from p + moves(p)
            x, y = np.ascontiguousarray(moves.grid.nodes_of(places).T[..., None])
            shift = [cv2.remap(plane, x, y, cv2.INTER_LINEAR)[:, 0] for plane in moves.maps]
            places = points - np.stack(shift, axis=1)
        return places


def _painted(view: FaceView, paint: Paint) -> FaceView:
    """A view of the painted picture; what was measured of its face stays."""

    def changed(window: Window) -> Window:
        points = np.array(view.face.landmarks)
        points[:, :2] = window.inward(points[:, :2])
        return replace(window, pixels=paint(window.pixels, points))

    return replace(
        view, window=changed(view.window), close=tuple(changed(one) for one in view.close)
    )
