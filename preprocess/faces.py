"""The faces of a picture: found, measured and put in order."""

from __future__ import annotations

from collections.abc import Iterable
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
from preprocess.window import Window, scaled_size

_ONE_READ = 16_000_000  # pixels up to which one read serves all faces
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
    ) -> tuple[Face, ...]:
        """All faces of a picture, the largest first.

        Args:
            threshold: Lowest detection score, 0-1.
            min_face: Smallest face looked for, px; None for a fiftieth of the longer side,
                at least 24. Time grows with (longer side / min_face) squared.

        Raises:
            UnreadableImageError: The picture's data is damaged.
            ModelMissingError: A face model is absent or broken.
        """
        with self._pool.borrow() as networks:
            overview = detector.look_over(image)
            progress.check()
            found = detector.detect(image, overview, networks, threshold, min_face, progress)
            whole = Region.whole(image.size)
            found = [one for one in found if _inside_share(one, whole) >= _FRAME_SHARE]
            enough = _OVERVIEW_FACE if overview.scale < 1 else 0.0
            large = [one for one in found if one.side * overview.scale >= enough]
            faces = _measure_all(overview, large, networks, [], progress)
            # What lies in a face already known is a part of it and worth no reading.
            small = [one for one in found if one not in large and not _is_known(one.region, faces)]
            for group, window in _windows(image, small):
                faces = _measure_all(window, group, networks, faces, progress)
        smallest = detector.smallest_face(image.size, min_face)
        faces = [face for face in faces if face.quality.size >= smallest * 0.8]
        faces.sort(key=lambda face: -face.quality.size)
        return tuple(replace(face, index=index) for index, face in enumerate(faces))


def _windows(image: ImageFile, found: list[Detection]) -> Iterable[tuple[list[Detection], Window]]:
    """Read the pixels that the faces need: once for all where that is small, else per face."""
    if not found:
        return
    finest = min(1.0, landmarks.ANALYSIS_FACE / min(one.side for one in found))
    if image.size.pixels * finest**2 <= _ONE_READ:
        yield found, _read(image, found, finest)
        return
    for one in found:
        yield [one], _read(image, [one], min(1.0, landmarks.ANALYSIS_FACE / one.side))


def _read(image: ImageFile, group: list[Detection], factor: float) -> Window:
    at = scaled_size(image.size, factor)
    exact = at.width / image.size.width, at.height / image.size.height
    corners = []
    for one in group:
        middle, half = (one.box[:2] + one.box[2:]) / 2, one.side
        corners += [middle - half, middle + half]
    region = Region.around(np.stack(corners) * exact).clip(at)
    return Window.of(image.read_srgb(region, at), region, at, image.size)


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
    window: Window,
    group: list[Detection],
    networks: NetworkSet,
    known: list[Face],
    progress: Progress,
) -> list[Face]:
    """``known`` and the faces of ``group`` that are not among them."""
    faces = list(known)
    for one in group:
        progress.check()
        face = _measure(window, one, networks)
        if face is not None and not _is_known(face.box, faces):
            faces.append(face)
    return faces


def _is_known(box: Region, faces: list[Face]) -> bool:
    for other in faces:
        common = box.intersect(other.box).pixels
        if common > _SAME_FACE * min(box.pixels, other.box.pixels):
            return True
    return False
