"""What an engine is shown of a face: pixels around it, as fine as the output needs them."""

from __future__ import annotations

from functools import reduce

import numpy as np

from common.progress import Progress
from common.types import Face, FloatArray, Region
from fusion.engines.base import FaceView, Sight
from preprocess.image_file import ImageFile
from preprocess.window import Window

_MARGIN = 0.4  # of a face's size, around its box
_SOURCE_RESERVE = 1.25  # finer than the output on average: some parts of the warp enlarge
_CLOSE_AT = (151, 50, 280)  # forehead, both cheeks: no beard
_CLOSE_SIDE = (32, 96)  # px of the picture, least and most
_CLOSE_SHARE = 0.16  # of the face's size
_AT_ONCE = 16_000_000  # pixels around all of them that may be read together


def surroundings(face: Face, margin: float = _MARGIN) -> Region:
    """A face and ``margin`` times its size around it; it may reach over the picture's edge."""
    return face.box.grow(round(max(face.box.width, face.box.height) * margin))


def target_view(
    image: ImageFile,
    face: Face,
    sight: Sight,
    in_front: tuple[FloatArray, ...] = (),
    progress: Progress | None = None,
) -> FaceView:
    """A target's face as an engine wants to see it, and parts of it close by.

    Args:
        in_front: Landmarks of faces that may cover it; see `FaceView`.
        progress: Checked meanwhile.

    Raises:
        UnreadableImageError: The pixel data are damaged.
        MemoryLimitError: Memory ran out.
    """
    region = surroundings(face, sight.margin)
    window = image.view(region, min(1.0, sight.target_px / face.quality.size), progress)
    return FaceView(face, window, image.size, in_front, close_parts(image, face, progress))


def close_parts(
    image: ImageFile, face: Face, progress: Progress | None = None
) -> tuple[Window, ...]:
    """Squares of a face's skin at the picture's own resolution, those that lie inside it.

    Free where the face is in memory; else one pass of the decoder.

    Raises:
        UnreadableImageError: The pixel data are damaged.
        MemoryLimitError: Memory ran out.
    """
    side = int(np.clip(round(_CLOSE_SHARE * face.quality.size), *_CLOSE_SIDE))
    corners = np.rint(face.landmarks[list(_CLOSE_AT), :2] - side / 2).astype(int)
    parts = [Region(int(x), int(y), side, side) for x, y in corners]
    parts = [part for part in parts if part.clip(image.size) == part]
    if not parts:
        return ()
    whole = reduce(Region.union, parts)
    if whole.pixels > _AT_ONCE:  # too large to be in memory
        image = image.keeping(parts, 1.0, progress)
        return tuple(image.view(part, 1.0) for part in parts)
    around = image.view(whole, 1.0, progress).pixels
    return tuple(
        Window.of(np.array(around[part.within(whole)]), part, image.size, image.size)
        for part in parts
    )


def source_view(
    image: ImageFile,
    face: Face,
    target: ImageFile,
    shown: float,
    sight: Sight,
    progress: Progress | None = None,
) -> FaceView:
    """A source's face as fine as the output shows it or finer, in the target's numbers.

    Args:
        shown: Size of the target's face in the output, px (`FaceQuality.size`).
        progress: Checked meanwhile.

    Raises:
        UnreadableImageError: The pixel data are damaged.
        MemoryLimitError: Memory ran out.
    """
    wanted = max(_SOURCE_RESERVE * shown, sight.source_px) / face.quality.size
    window = image.view_for(target, surroundings(face, sight.margin), wanted, progress)
    return FaceView(face, window, image.size)
