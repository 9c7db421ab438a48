"""Who is it? An independent recogniser's opinion: dlib's network (King, 2017), CC0.

`dlib-bin` brings the program, `face-recognition-models` the weights (requirements-bench.txt).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import dlib
import numpy as np

from common.types import ByteArray, Face, FloatArray, Region
from preprocess import face_topology as topology

SAME_PERSON = 0.6
"""Distance below which dlib's author takes two pictures for the same person."""

_CROP = 400  # px; the network itself looks at 150
_MARGIN = 0.6  # of the face's width, around its box
_BROWS = (105, 334)


class Recogniser:
    """Descriptors of faces; not thread-safe."""

    def __init__(self) -> None:
        self._network = dlib.face_recognition_model_v1(
            str(model_file("dlib_face_recognition_resnet_model_v1"))
        )
        self._points = dlib.shape_predictor(str(model_file("shape_predictor_5_face_landmarks")))

    def describe(self, pixels: ByteArray, region: Region, face: Face) -> FloatArray:
        """The descriptor of one face, 128 numbers; Euclidean distances compare people.

        Args:
            pixels: sRGB pixels of ``region`` of the picture.
            face: Where the face is in the picture. A fusion is described where its target's
                face was: looking for it anew would add the detector's wavering.
        """
        crop, scale = reduced(pixels)
        box = dlib.rectangle(*(int(edge) for edge in box_of(face, region, scale)))
        shape = self._points(crop, box)
        return np.array(self._network.compute_face_descriptor(crop, shape, 1), np.float32)


def reduced(pixels: ByteArray) -> tuple[ByteArray, float]:
    """Pixels of a head as large as dlib needs them, and the factor to it."""
    scale = min(1.0, _CROP / max(pixels.shape[:2]))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small), scale


def box_of(face: Face, region: Region, scale: float) -> FloatArray:
    """The box that dlib's own detector would find: left, top (above the brows), right, bottom.

    In pixels of ``region`` reduced by ``scale``.
    """
    points = (face.landmarks[:, :2] - (region.x, region.y)) * scale
    left, right = points[:, 0].min(), points[:, 0].max()
    top = points[list(_BROWS), 1].mean() - 0.05 * (right - left)
    return np.array([left, top, right, points[topology.CHIN, 1]], np.float32)


def head(face: Face, picture: Region) -> Region:
    """What `Recogniser.describe` wants to see of a picture."""
    return face.box.grow(round(face.box.width * _MARGIN)).intersect(picture)


def distance(a: FloatArray, b: FloatArray) -> float:
    """Euclidean distance of two descriptors; see `SAME_PERSON`."""
    return float(np.linalg.norm(a - b))


def model_file(name: str) -> Path:
    """One of the models of face-recognition-models.

    Raises:
        SystemExit: They are not installed.
    """
    # Importing the package asks for pkg_resources, which new Pythons lack; its files suffice.
    found = importlib.util.find_spec("face_recognition_models")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("face-recognition-models is missing; ./run.sh bench installs it")
    return Path(found.submodule_search_locations[0]) / "models" / f"{name}.dat"
