"""ModelScope's own face fusion class, with the studio's face finder in place of its TensorFlow one.

Everything else is the package's: the class `ImageFaceFusion` of modelscope 1.40 runs unchanged,
on a GPU if torch finds one and else on the CPU, with the files of a model folder.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np

from common.types import ByteArray, Face, FloatArray
from fusion.engines.unet.alignment import points68

_FINDER = "modelscope.models.cv.face_detection.peppa_pig_face.facer"
_CLASS = "modelscope.models.cv.image_face_fusion.image_face_fusion"


class Finder:
    """Answers, one after the other, the faces that it was told of."""

    def __init__(self, *_: object) -> None:
        self.faces: list[Face] = []

    def run(self, _image: ByteArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Boxes as left, top, right, bottom; 68 points each; states, which nobody reads."""
        face = self.faces.pop(0)
        box = np.array([[face.box.x, face.box.y, face.box.right, face.box.bottom]], np.float32)
        return box, points68(face.landmarks)[None], np.zeros((1, 0), np.float32)


class Official:
    """The class, loaded; not thread-safe.

    Args:
        folder: Files of the model, or random ones.
    """

    def __init__(self, folder: Path) -> None:
        self._model: Any = official_class()(str(folder))
        self._finder = Finder()
        self._model.facer = self._finder

    def fuse(self, target: tuple[ByteArray, Face], source: tuple[ByteArray, Face]) -> ByteArray:
        """The source's face on the target.

        Args:
            target, source: H x W x 3 RGB, and the face there.

        Returns:
            H x W x 3 RGB, uint8.
        """
        import torch

        # The order in which the class looks for them.
        self._finder.faces = [source[1], target[1]]
        pictures = [torch.from_numpy(np.ascontiguousarray(one[0])) for one in (target, source)]
        with contextlib.redirect_stdout(io.StringIO()):  # a pupil not found is printed there
            fused: ByteArray = self._model.inference(*pictures)
        return fused[:, :, ::-1]


def official_class() -> Any:
    """The class itself.

    It imports TensorFlow, for its finder alone; a module of ours takes that one's place.
    """
    import importlib

    instead = types.ModuleType(_FINDER)
    instead.FaceAna = Finder  # type: ignore[attr-defined]
    known = sys.modules.get(_FINDER)
    sys.modules[_FINDER] = instead
    try:
        found = importlib.import_module(_CLASS).ImageFaceFusion
    finally:
        del sys.modules[_FINDER]
        if known is not None:
            sys.modules[_FINDER] = known
    logging.getLogger("modelscope").setLevel(logging.WARNING)  # it says what it has done
    return found
