"""Where faces are: two detectors on an image pyramid and on overlapping tiles.

A detection network sees 192 x 192 (128 x 128) px, so a face smaller than about 10 px there
is missed. Level after level the picture is looked at larger until the smallest wanted face is
10 px wide, and each level is covered by tiles that overlap by a quarter: whatever is larger
than the overlap lies whole in a tile of a coarser level.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from common.progress import Progress
from common.types import ByteArray, FloatArray, Region, Size
from preprocess.image_file import ImageFile
from preprocess.image_pipeline import OVERVIEW_SIDE
from preprocess.networks import Network, NetworkSet
from preprocess.window import Window, scaled_size

FULL_RANGE_SIDE = 192
SHORT_RANGE_SIDE = 128
TILE_OVERLAP = 48
SMALLEST_IN_NETWORK = 10.0
SMALLEST_FACE = 24
_LEVEL_STEP = 3  # what outgrows the overlap of one level is at least 16 px in the one before
_FRAMED_SIDE = 384
_FRAME_BORDER = 0.17  # of that, on each side
# Upright faces that are seen whole score 0.93 to 0.98, upside-down ones up to 0.92.
_CERTAIN = 0.93
_SAME_FACE = 0.3  # intersection over union above which two detections are one face


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A detected face in pixels of the picture.

    box: left, top, right, bottom. points: 6 x 2, right eye, left eye, nose, mouth, right ear,
    left ear. score: probability, 0-1.
    """

    box: FloatArray
    points: FloatArray
    score: float

    @property
    def side(self) -> float:
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @property
    def region(self) -> Region:
        return Region.around(self.box.reshape(2, 2))

    @property
    def roll(self) -> float:
        """Angle of the line through the eyes, radians, clockwise in the picture."""
        across = self.points[1] - self.points[0]
        return float(np.arctan2(across[1], across[0]))


def smallest_face(size: Size, min_face: int | None) -> int:
    """The smallest face looked for, px; not asked, a fiftieth of the longer side, at least 24."""
    return min_face if min_face is not None else max(SMALLEST_FACE, round(size.longer / 50))


def look_over(image: ImageFile, progress: Progress | None = None) -> tuple[ImageFile, Window]:
    """The whole picture with a longer side of at most `OVERVIEW_SIDE` px, in one decoding.

    Args:
        progress: Checked meanwhile.

    Returns:
        The picture with that copy in memory, and the copy in sRGB.
    """
    factor = min(1.0, OVERVIEW_SIDE / image.size.longer)
    image = image.keeping([Region.whole(image.size)], factor, progress)
    return image, image.view_srgb(Region.whole(image.size), factor)


def detect(
    image: ImageFile,
    overview: Window,
    networks: NetworkSet,
    threshold: float,
    min_face: int | None,
    progress: Progress,
) -> list[Detection]:
    """All faces of a picture, in the rotation that shows them best.

    An upside-down face may pass for an odd upright one (eyes for a mouth), so the other three
    rotations are looked at whenever no face is certain, not only when there is none.

    Args:
        overview: The copy that `look_over` answers for the picture.
        threshold: Lowest score, 0-1.
        min_face: Smallest face in px of the picture; None for the default.

    Raises:
        UnreadableImageError: The picture's data is damaged.
    """
    finest = image.size.longer * SMALLEST_IN_NETWORK / smallest_face(image.size, min_face)
    finest = int(min(finest, image.size.longer))
    seen = max(overview.pixels.shape[:2])
    pixels = _shrink(overview.pixels, max(min(finest, seen), FULL_RANGE_SIDE))
    found, turns = _scan_rotations(pixels, networks, threshold, progress)
    scale = np.float32(image.size.longer / max(pixels.shape[:2]))
    found = [_scaled(one, scale) for one in found]
    for side in _levels(seen, finest):
        at = scaled_size(image.size, side / image.size.longer)
        found += _scan_strips(image, at, turns, networks, threshold, progress)
    return suppress(found)


def suppress(found: list[Detection]) -> list[Detection]:
    """Non-maximum suppression: detections of one face become their score-weighted mean.

    Source of the weighted form: BlazeFace (arXiv:1907.05047), section 4.
    """
    rest = sorted(found, key=lambda one: -one.score)
    kept = []
    while rest:
        best = rest[0]
        group = [one for one in rest if _overlap(best.box, one.box) > _SAME_FACE]
        rest = [one for one in rest if not any(one is member for member in group)]
        weights = np.array([one.score for one in group], np.float32)
        weights /= weights.sum()
        kept.append(
            Detection(
                np.einsum("n,ni->i", weights, np.stack([one.box for one in group])),
                np.einsum("n,nij->ij", weights, np.stack([one.points for one in group])),
                best.score,
            )
        )
    return kept


def _overlap(a: FloatArray, b: FloatArray) -> float:
    """Intersection over union; a box inside a much larger one counts by the smaller's share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = float(width * height)
    area_a = float((a[2] - a[0]) * (a[3] - a[1]))
    area_b = float((b[2] - b[0]) * (b[3] - b[1]))
    union = common / (area_a + area_b - common)
    inside = common / min(area_a, area_b)
    return max(union, inside - 0.5)


def _scaled(one: Detection, factor: np.float32) -> Detection:
    """Coordinates in a picture ``factor`` times as large (pixel centres)."""
    return Detection((one.box + 0.5) * factor - 0.5, (one.points + 0.5) * factor - 0.5, one.score)


def _moved(one: Detection, x: float, y: float) -> Detection:
    offset = np.array([x, y], np.float32)
    return Detection(one.box + np.tile(offset, 2), one.points + offset, one.score)


def _scan_picture(
    overview: ByteArray, networks: NetworkSet, threshold: float, progress: Progress
) -> list[Detection]:
    """All levels of ``overview``, and a coarse one once more inside a black border.

    The border lets the network see a face that the frame cuts as one with a hidden part.
    """
    found = _scan_whole(overview, networks, threshold)
    longer = max(overview.shape[:2])
    for side in _levels(FULL_RANGE_SIDE, longer):
        found += _scan_level(overview, side, networks, threshold, progress)
    inner = round(_FRAMED_SIDE * (1 - 2 * _FRAME_BORDER))
    border = round(_FRAMED_SIDE * _FRAME_BORDER)
    framed = _shrink(overview, inner)
    factor = np.float32(longer / max(framed.shape[:2]))
    framed = _bordered(framed, border)
    for side in (FULL_RANGE_SIDE, _FRAMED_SIDE):
        for one in _scan_level(framed, side, networks, threshold, progress):
            found.append(_scaled(_moved(one, -border, -border), factor))
    return suppress(found)


def _levels(done: int, finest: int) -> Iterator[int]:
    """Longer sides of the finer levels, from the one after ``done`` to ``finest``."""
    while done < finest:
        done = min(done * _LEVEL_STEP, finest)
        yield done


def _scan_level(
    picture: ByteArray, side: int, networks: NetworkSet, threshold: float, progress: Progress
) -> list[Detection]:
    """One level in tiles; answers coordinates of ``picture``."""
    level = _shrink(picture, side)
    factor = np.float32(max(picture.shape[:2]) / max(level.shape[:2]))
    bounds = (0, 0, level.shape[1], level.shape[0])
    return [
        _scaled(one, factor) for one in _scan_tiles(level, bounds, networks, threshold, progress)
    ]


def _scan_tiles(
    picture: ByteArray,
    bounds: tuple[int, int, int, int],
    networks: NetworkSet,
    threshold: float,
    progress: Progress,
    turns: int = 0,
) -> list[Detection]:
    """Detections in all tiles of a level or strip, without those that a tile cuts.

    A face that crosses a tile's edge shows only a part, which may pass for a smaller face;
    another tile or a coarser level sees it whole. Edges on the picture's own border
    (``bounds``: left, top, right, bottom in coordinates of ``picture``) do not count.
    """
    found = []
    for x, y, tile in _tiles(picture):
        progress.check()
        left = -np.inf if x <= bounds[0] else x
        top = -np.inf if y <= bounds[1] else y
        right = np.inf if x + tile.shape[1] >= bounds[2] else x + tile.shape[1]
        bottom = np.inf if y + tile.shape[0] >= bounds[3] else y + tile.shape[0]
        turned = np.ascontiguousarray(np.rot90(tile, turns))
        for one in _run_full_range(turned, networks.full_range, threshold):
            moved = _moved(_turned_back(one, turns, tile.shape[1], tile.shape[0]), x, y)
            box = moved.box
            if box[0] >= left and box[1] >= top and box[2] <= right and box[3] <= bottom:
                found.append(moved)
    return found


def _scan_whole(picture: ByteArray, networks: NetworkSet, threshold: float) -> list[Detection]:
    """Both detectors on the whole picture, the short range one also with a wide border.

    The border makes a face that fills or overfills the frame small enough to be seen whole.
    """
    longer = max(picture.shape[:2])
    found = []
    view = _shrink(picture, FULL_RANGE_SIDE)
    factor = np.float32(longer / max(view.shape[:2]))
    found += [_scaled(one, factor) for one in _run_full_range(view, networks.full_range, threshold)]
    for share in (1.0, 0.6, 0.4):
        view = _shrink(picture, round(SHORT_RANGE_SIDE * share))
        factor = np.float32(longer / max(view.shape[:2]))
        border = (SHORT_RANGE_SIDE - max(view.shape[:2])) // 2
        framed = _bordered(view, border)
        for one in _run_short_range(framed, networks.short_range, threshold):
            found.append(_scaled(_moved(one, -border, -border), factor))
    return found


def _scan_rotations(
    overview: ByteArray, networks: NetworkSet, threshold: float, progress: Progress
) -> tuple[list[Detection], int]:
    """Faces of the rotation with the most certain one, and its counter-clockwise turns."""
    height, width = overview.shape[:2]
    best = _scan_picture(overview, networks, threshold, progress)
    best_turns = 0
    if _certainty(best) >= _CERTAIN:
        return best, best_turns
    for turns in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(overview, turns))
        found = _scan_picture(turned, networks, threshold, progress)
        if _certainty(found) > _certainty(best):
            best = [_turned_back(one, turns, width, height) for one in found]
            best_turns = turns
    return best, best_turns


def _certainty(found: list[Detection]) -> float:
    return max((one.score for one in found), default=0.0)


def _turned_back(one: Detection, turns: int, width: int, height: int) -> Detection:
    """Coordinates in the picture before ``turns`` counter-clockwise quarter turns."""

    def back(points: FloatArray) -> FloatArray:
        x, y = points[:, 0], points[:, 1]
        if turns == 1:
            x, y = width - 1 - y, x
        elif turns == 2:
            x, y = width - 1 - x, height - 1 - y
        elif turns == 3:
            x, y = y, height - 1 - x
        return np.stack([x, y], axis=1)

    corners = back(one.box.reshape(2, 2))
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return Detection(box, back(one.points), one.score)


def _scan_strips(
    image: ImageFile,
    at: Size,
    turns: int,
    networks: NetworkSet,
    threshold: float,
    progress: Progress,
) -> list[Detection]:
    """A fine level of a large picture, streamed in strips of one tile's height.

    Each tile is looked at after ``turns`` quarter turns, as the overview was.
    """
    factor = np.float32(image.size.longer / at.longer)
    found = []
    for top, strip in image.strips(at, FULL_RANGE_SIDE, TILE_OVERLAP):
        bounds = (0, -top, at.width, at.height - top)
        seen = _scan_tiles(strip, bounds, networks, threshold, progress, turns)
        found += [_scaled(_moved(one, 0, top), factor) for one in seen]
    return suppress(found)


def _shrink(picture: ByteArray, longer: int) -> ByteArray:
    factor = longer / max(picture.shape[:2])
    if factor == 1.0:
        return picture
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def _bordered(picture: ByteArray, border: int) -> ByteArray:
    """The picture inside a black border of ``border`` px."""
    return np.pad(picture, ((border, border), (border, border), (0, 0)))


def _tiles(picture: ByteArray) -> Iterator[tuple[int, int, ByteArray]]:
    """Overlapping views of the network's side that cover the picture: (x, y, view)."""
    height, width = picture.shape[:2]
    for y, x in itertools.product(_starts(height), _starts(width)):
        yield x, y, picture[y : y + FULL_RANGE_SIDE, x : x + FULL_RANGE_SIDE]


def _starts(length: int) -> list[int]:
    if length <= FULL_RANGE_SIDE:
        return [0]
    steps = -(-(length - FULL_RANGE_SIDE) // (FULL_RANGE_SIDE - TILE_OVERLAP))
    return [round(i * (length - FULL_RANGE_SIDE) / steps) for i in range(steps + 1)]


def _network_input(view: ByteArray, side: int) -> FloatArray:
    """The view in the top-left corner of a black square, values in [-1, 1]."""
    square = np.full((side, side, 3), -1.0, np.float32)
    square[: view.shape[0], : view.shape[1]] = view.astype(np.float32) / 127.5 - 1.0
    return square


def _grid(side: int) -> FloatArray:
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel()], axis=1)


_FULL_RANGE_ANCHORS = _grid(48)
_SHORT_RANGE_ANCHORS = np.concatenate(
    [np.repeat(_grid(16), 2, axis=0), np.repeat(_grid(8), 6, axis=0)]
)


def _run_full_range(view: ByteArray, network: Network, threshold: float) -> list[Detection]:
    outputs = network.run(_network_input(view, FULL_RANGE_SIDE))
    return _decode(outputs, _FULL_RANGE_ANCHORS, FULL_RANGE_SIDE, threshold)


def _run_short_range(view: ByteArray, network: Network, threshold: float) -> list[Detection]:
    outputs = network.run(_network_input(view, SHORT_RANGE_SIDE))
    return _decode(outputs, _SHORT_RANGE_ANCHORS, SHORT_RANGE_SIDE, threshold)


def _decode(
    outputs: list[FloatArray], anchors: FloatArray, side: int, threshold: float
) -> list[Detection]:
    """Anchor offsets to pixels of the view. Order: x, y, width, height, six points."""
    values, logits = outputs
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits[:, 0], -60.0, 60.0)))
    chosen = np.flatnonzero(scores >= threshold)
    found = []
    for index in chosen:
        pairs = values[index].reshape(8, 2) + anchors[index] * side
        pairs[1] = values[index, 2:4]
        low, high = pairs[0] - pairs[1] / 2, pairs[0] + pairs[1] / 2
        found.append(
            Detection(
                np.concatenate([low, high]) - np.float32(0.5),
                pairs[2:] - np.float32(0.5),
                float(scores[index]),
            )
        )
    return suppress(found)
