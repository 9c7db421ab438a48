"""The demo pair: two portraits made from one free photograph when they are first wanted.

The target is `skimage.data.astronaut` (NASA, public domain). The second person is that
photograph mirrored, with other proportions, skin, hair, light and clothes, so that a
fusion is visible at a glance without a second photograph in the repository. This module
loads scikit-image and OpenCV; import it only when the pair is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage.data import astronaut

from common.types import ByteArray, FloatArray

TARGET_NAME = "astronaut.jpg"
SOURCE_NAME = "second-person.jpg"
CROP = (88, 0, 348, 300)  # left, top, right, bottom around head and collar
ENLARGED = 2
JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Bump:
    """A smooth local change of shape around a point of the photograph, in its pixels.

    grow: relative enlargement along x and y at the centre. shift: movement of the centre.
    Both fade with a Gaussian of the given radii.
    """

    centre: tuple[float, float]
    radius: tuple[float, float]
    grow: tuple[float, float] = (0.0, 0.0)
    shift: tuple[float, float] = (0.0, 0.0)


# In the photograph the eyes are at (202, 101) and (246, 103), the nose tip at (222, 127),
# the mouth's corners at (201, 139) and (243, 140), the chin at (222, 178).
SHAPE = (
    Bump((202, 101), (17, 11), grow=(0.20, 0.42), shift=(-1.5, 0.5)),
    Bump((246, 103), (17, 11), grow=(0.20, 0.42), shift=(1.5, 0.5)),
    Bump((200, 90), (20, 5), grow=(0.0, 0.45), shift=(0.0, -1.5)),
    Bump((248, 92), (20, 5), grow=(0.0, 0.45), shift=(0.0, -1.5)),
    Bump((222, 124), (15, 13), grow=(0.26, 0.0), shift=(0.0, 2.5)),
    Bump((202, 139), (11, 10), shift=(5.0, 3.5)),
    Bump((242, 140), (11, 10), shift=(-5.0, 3.5)),
    Bump((222, 150), (20, 8), grow=(0.0, 0.30), shift=(0.0, 1.5)),
    Bump((222, 168), (60, 26), grow=(-0.20, 0.0), shift=(0.0, 4.0)),
    Bump((222, 118), (75, 22), grow=(0.06, 0.0)),
)
FACE = (222.0, 122.0, 41.0, 56.0)  # ellipse: centre x, y, half axes
HEAD = (228.0, 82.0, 82.0, 80.0)
COLLAR = (205.0, 222.0, 78.0, 62.0)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def make_demo_pair(folder: Path) -> tuple[Path, Path]:
    """Write the pair into ``folder`` unless it is there already.

    Returns:
        (target, source): JPEG files, 512 x 512 and 520 x 600.
    """
    target, source = folder / TARGET_NAME, folder / SOURCE_NAME
    if not (target.is_file() and source.is_file()):
        photo = np.asarray(astronaut(), dtype=np.uint8)  # type: ignore[no-untyped-call]
        _write(photo, target)
        _write(second_person(photo), source)
    return target, source


def second_person(photo: ByteArray) -> ByteArray:
    """Another person out of the astronaut's photograph.

    Args:
        photo: `skimage.data.astronaut`, 512 x 512 x 3 uint8 RGB.

    Returns:
        600 x 520 x 3 uint8 RGB.
    """
    left, top, right, bottom = CROP
    columns = np.arange(left * ENLARGED, right * ENLARGED, dtype=np.float32) / ENLARGED
    rows = np.arange(top * ENLARGED, bottom * ENLARGED, dtype=np.float32) / ENLARGED
    x, y = (grid.astype(np.float32) for grid in np.meshgrid(columns, rows))
    from_x, from_y = _undo_shape(x, y)
    warped = cv2.remap(
        photo, from_x, from_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    ).astype(np.float32)
    coloured = _recolour(warped / 255.0, from_x, from_y)
    return np.ascontiguousarray((coloured[:, ::-1] * 255.0 + 0.5).astype(np.uint8))


def _undo_shape(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """For each output point, where it comes from."""
    from_x, from_y = x.copy(), y.copy()
    for bump in SHAPE:
        centre_x = bump.centre[0] + bump.shift[0]
        centre_y = bump.centre[1] + bump.shift[1]
        away_x, away_y = x - centre_x, y - centre_y
        weight = np.exp(-((away_x / bump.radius[0]) ** 2) - (away_y / bump.radius[1]) ** 2)
        from_x -= weight * (bump.shift[0] + away_x * bump.grow[0] / (1 + bump.grow[0]))
        from_y -= weight * (bump.shift[1] + away_y * bump.grow[1] / (1 + bump.grow[1]))
    return from_x, from_y


def _recolour(rgb: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Dark hair, tanned skin, blue suit, cool background, light from one side."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 2.5)  # masks from it do not follow the film's grain
    luma = rgb @ LUMA
    warmth = soft[..., 0] - soft[..., 2]
    brightness = (soft @ LUMA).astype(np.float32)
    face = _ellipse(x, y, FACE, 0.18)
    head = _ellipse(x, y, HEAD, 0.2)
    collar = _ellipse(x, y, COLLAR, 0.04)

    suit = _ramp(rgb[..., 0] - rgb[..., 2], 0.30, 0.45) * (1 - face) * _ramp(y, 165, 185)
    rgb = _mix(rgb, rgb[..., ::-1] * np.array([0.55, 0.62, 0.62], np.float32), suit)

    skin = (
        _ramp(warmth, 0.08, 0.18) * _ramp(luma, 0.34, 0.48) * np.maximum(face, _ramp(y, 115, 130))
    )
    skin = skin * (1 - suit)
    brightest = 0.95 - 0.33 * _ramp(y, 62, 84)  # of hair; the forehead begins lower down
    hair = head * (1 - face) * (1 - _ramp(brightness - brightest, -0.05, 0.05))
    hair = hair * _ramp(warmth, 0.03, 0.09) * (1 - _ramp(y, 125, 140))
    brows = 0.6 * (_spot(x, y, 200, 89, 15, 3.0) + _spot(x, y, 249, 91, 15, 3.0))
    dark_hair = (luma**1.45)[..., None] * np.array([0.50, 0.33, 0.25], np.float32)
    rgb = _mix(rgb, dark_hair, np.maximum(hair, brows * _ramp(0.80 - luma, 0.0, 0.25)))
    rgb = _mix(rgb, rgb ** np.array([1.30, 1.62, 1.75], np.float32) * 0.97, skin)

    backdrop = (1 - _ramp(warmth, 0.08, 0.20)) * _ramp(brightness, 0.48, 0.58)
    backdrop = backdrop * (1 - face) * (1 - collar)
    rgb = _mix(rgb, luma[..., None] * np.array([0.52, 0.66, 0.72], np.float32), backdrop)

    light = 0.80 + 0.32 * _ramp(x, 165, 275)
    return np.clip(rgb * light[..., None], 0.0, 1.0).astype(np.float32)


def _ramp(value: FloatArray, low: float, high: float) -> FloatArray:
    """0 up to ``low``, 1 from ``high``, smooth between (smoothstep)."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    smooth: FloatArray = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth


def _ellipse(
    x: FloatArray, y: FloatArray, shape: tuple[float, float, float, float], soft: float
) -> FloatArray:
    """1 inside an ellipse (centre x, y, half axes), fading out over ``soft`` of its size."""
    radius = np.hypot((x - shape[0]) / shape[2], (y - shape[1]) / shape[3])
    return 1 - _ramp(radius.astype(np.float32), 1 - soft, 1 + soft)


def _spot(
    x: FloatArray, y: FloatArray, centre_x: float, centre_y: float, wide: float, high: float
) -> FloatArray:
    far = ((x - centre_x) / wide) ** 2 + ((y - centre_y) / high) ** 2
    spot: FloatArray = np.exp(-(far**2)).astype(np.float32)
    return spot


def _mix(one: FloatArray, other: FloatArray, weight: FloatArray) -> FloatArray:
    part = weight[..., None]
    return (one * (1 - part) + other * part).astype(np.float32)


def _write(pixels: ByteArray, path: Path) -> None:
    part = path.with_suffix(".part")  # renamed when complete, so no reader sees half a file
    Image.fromarray(pixels).save(part, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    part.replace(path)
