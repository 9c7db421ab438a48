"""The faces of a picture: found, measured and put in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.progress import Progress
from common.types import Face, Region
from preprocess import detection as detector
from preprocess import landmarks
from preprocess.detection import Detection
from preprocess.image_file import ImageFile
from preprocess.networks import NetworkPool, NetworkSet
from preprocess.window import Window

_ONE_READ = 16_000_000  # pixels of faces and their surroundings that one pass reads
_OCTAVES = 2  # faces of one pass differ by at most this power of two
_SURROUNDINGS = 1.25  # of a face's size, to each side of its middle
_OVERVIEW_FACE = 0.8 * landmarks.ANALYSIS_FACE  # px across a face
_FRAME_SHARE = 0.25  # of a face's box must lie in the picture
_SAME_FACE = 0.5  # overlap of two face boxes above which they are one face


class FaceFinder:
    """Finds and measures faces; one instance serves any number of threads.

    Args:
        model_directory: Where the model files are.
    """

    def __init__(self, model_directory: Path) -> None:
        self._pool = NetworkPool(model_directory)

    def find(
        self, image: ImageFile, threshold: float, min_face: int | None, progress: Progress
    ) -> tuple[ImageFile, tuple[Face, ...]]:
        """All faces of a picture, the largest first.

        Args:
            threshold: Lowest detection score, 0-1.
            min_face: Smallest face looked for, px; None for a fiftieth of the longer side,
                at least 24. Time grows with (longer side / min_face) squared.

        Returns:
            The picture with the surroundings of the largest faces in memory, if they had to be
            read, and the faces.

        Raises:
            UnreadableImageError: The picture's data is damaged.
            ModelMissingError: A face model is absent or broken.
        """
        image, overview = detector.look_over(image, progress)
        progress.check()
        # Only now: whoever has looked at another picture meanwhile may have left his.
        with self._pool.borrow() as networks:
            found = detector.detect(image, overview, networks, threshold, min_face, progress)
            whole = Region.whole(image.size)
            found = [one for one in found if _inside_share(one, whole) >= _FRAME_SHARE]
            enough = _OVERVIEW_FACE if overview.scale < 1 else 0.0
            large = [one for one in found if one.side * overview.scale >= enough]
            faces = _measure_all(lambda _: overview, large, networks, [], progress)
            # What lies in a face already known is a part of it and worth no reading.
            small = [one for one in found if one not in large and not _is_known(one.region, faces)]
            seen = image
            for group in _groups(small):
                kept, look = _read(image, group, progress)
                faces = _measure_all(look, group, networks, faces, progress)
                # The largest faces are those that are most likely asked for, and for all groups
                # there may be no room.
                seen = kept if seen is image else seen
        smallest = detector.smallest_face(image.size, min_face)
        faces = [face for face in faces if face.quality.size >= smallest * 0.8]
        faces.sort(key=lambda face: -face.quality.size)
        faces = [replace(face, index=index) for index, face in enumerate(faces)]
        return seen.keeping_only([face.box for face in faces]), tuple(faces)


def _groups(found: list[Detection]) -> Iterator[list[Detection]]:
    """Faces of similar size, as many as one pass of the decoder may read."""
    group: list[Detection] = []
    pixels = 0.0
    for one in sorted(found, key=lambda one: -one.side):
        needed = _pixels(one) * _needed(one) ** 2
        if group and (pixels + needed > _ONE_READ or one.side * 2**_OCTAVES < group[0].side):
            yield group
            group, pixels = [], 0.0
        group.append(one)
        pixels += needed
    if group:
        yield group


def _needed(one: Detection) -> float:
    """The scale at which a face shows all that the networks can see."""
    return min(1.0, landmarks.ANALYSIS_FACE / one.side)


def _pixels(one: Detection) -> float:
    """Of a face and its surroundings, at the picture's own size."""
    return (2 * _SURROUNDINGS * one.side) ** 2


def _read(
    image: ImageFile, group: list[Detection], progress: Progress
) -> tuple[ImageFile, Callable[[Detection], Window]]:
    """The picture with a group's surroundings in memory, and what shows one of them.

    They are kept as fine as they may be: what renders the fusion later reads them, too.
    """
    regions = [_surroundings(one) for one in group]
    needed = max(_needed(one) for one in group)
    affordable = (_ONE_READ / sum(_pixels(one) for one in group)) ** 0.5
    image = image.keeping(regions, max(needed, affordable), progress)

    def look(one: Detection) -> Window:
        # The networks' crops are cut without a prefilter, so the scale must not be much finer.
        window = image.view_srgb(_surroundings(one), _needed(one))
        return window.shrunk(window.scale / _needed(one))

    return image, look


def _surroundings(one: Detection) -> Region:
    middle, half = (one.box[:2] + one.box[2:]) / 2, one.side * _SURROUNDINGS
    return Region.around(np.stack([middle - half, middle + half]))


def _inside_share(one: Detection, whole: Region) -> float:
    box = one.box
    width = min(box[2], whole.right) - max(box[0], 0.0)
    height = min(box[3], whole.bottom) - max(box[1], 0.0)
    area = float((box[2] - box[0]) * (box[3] - box[1]))
    return float(max(width, 0.0) * max(height, 0.0)) / max(area, 1.0)


def _measure(window: Window, one: Detection, networks: NetworkSet) -> Face | None:
    local = Detection(
        window.inward(one.box.reshape(2, 2)).ravel(), window.inward(one.points), one.score
    )
    located = landmarks.locate(window.pixels, local, networks)
    if located is None:
        return None
    points, irises, _ = located
    sharpness = landmarks.sharpness_of(window.pixels, points)
    placed = np.column_stack([window.outward(points[:, :2]), points[:, 2] / window.factor[0]])
    irises = np.stack([window.outward(iris) for iris in irises])
    return landmarks.face_of(0, one.score, placed.astype(np.float32), irises, sharpness)


def _measure_all(
    look: Callable[[Detection], Window],
    group: list[Detection],
    networks: NetworkSet,
    known: list[Face],
    progress: Progress,
) -> list[Face]:
    """``known`` and the faces of ``group`` that are not among them."""
    faces = list(known)
    for one in group:
        progress.check()
        face = _measure(look(one), one, networks)
        if face is not None and not _is_known(face.box, faces):
            faces.append(face)
    return faces


def _is_known(box: Region, faces: list[Face]) -> bool:
    for other in faces:
        common = box.intersect(other.box).pixels
        if common > _SAME_FACE * min(box.pixels, other.box.pixels):
            return True
    return False
