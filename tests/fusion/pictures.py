"""Two persons out of one free photograph, and what a fusion of them is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.progress import Progress
from common.types import FloatArray, Region, Size
from fusion.engines.base import Capabilities, Engine, FaceView
from fusion.field import Backdrop, FusionField
from fusion.request import Blend

Pixels = NDArray[Any]


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

    def prepare(
        self, source: FaceView, target: FaceView, blend: Blend, progress: Progress
    ) -> FusionField:
        made = self.engine.prepare(source, target, blend, progress)
        self.seen.append((source, target))
        self.fields.append(made)
        return made


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

    def field(self, ratio: float = 1.0) -> FusionField:
        return self.engine.prepare(self.source, self.target, Blend(ratio), Progress())

    def render(self, fusion_field: FusionField, at: Size | None = None) -> FloatArray:
        """The whole picture at size ``at``, H x W x 3."""
        at = at or self.size
        whole = Region.whole(at)
        return fusion_field.render(Backdrop(resized(self.pixels, at), whole), whole, at)
