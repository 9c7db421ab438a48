"""Where the jaw of the 3-D face model lies in a crop, of its coefficients.

Of the model (Deng et al., 2019, on the Basel face model) only the rows of the 17 points are
kept: the mesh of 35 000 vertices, its texture and its light have no part in a fusion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat  # type: ignore[import-untyped]
from scipy.io.matlab import MatReadError  # type: ignore[import-untyped]

from common.types import FloatArray
from fusion.engines.unet.nets.loading import FACE_MODEL, KEYPOINTS, broken

_CROP_PX = 224  # of the camera that coefficients are meant for
_FOCAL_PX = 1015.0
_CAMERA = 10.0  # its distance, in the model's units of 10 cm


class JawModel:
    """The 17 points of the jaw line (iBUG's first) as a function of coefficients."""

    def __init__(self, folder: Path) -> None:
        """Read the face model.

        Raises:
            ModelMissingError: The file is absent or not a face model.
        """
        path = folder / FACE_MODEL
        if not path.is_file():
            raise broken(path, "is not there")
        try:
            model = loadmat(
                str(path), variable_names=("meanshape", "idBase", "exBase", "keypoints")
            )
            rows = np.squeeze(model["keypoints"]).astype(np.int64)[:KEYPOINTS] - 1
            mean = model["meanshape"].astype(np.float32).reshape(-1, 3)
            self._mean: FloatArray = (mean - mean.mean(axis=0, keepdims=True))[rows]
            self._identity = _rows_of(model["idBase"], rows, 80)
            self._expression = _rows_of(model["exBase"], rows, 64)
        except (MatReadError, KeyError, IndexError, ValueError, TypeError, OSError) as error:
            raise broken(path, "is damaged or is no face model") from error

    def points(self, coefficients: FloatArray) -> FloatArray:
        """N x 17 x 2 in [-1, 1] across the crop (x to the right, y down), of N x 257.

        Coefficients: 80 of identity, 64 of expression, 80 of texture, 3 angles, 27 of light,
        3 of position.
        """
        shape = (
            np.einsum("pck,nk->npc", self._identity, coefficients[:, :80])
            + np.einsum("pck,nk->npc", self._expression, coefficients[:, 80:144])
            + self._mean
        )
        turned = np.einsum("nij,npj->npi", _rotation(coefficients[:, 224:227]), shape)
        placed = turned + coefficients[:, None, 254:257]
        depth = _CAMERA - placed[..., 2:]
        pixels = _FOCAL_PX * placed[..., :2] / depth + _CROP_PX / 2
        share = pixels / _CROP_PX
        share[..., 1] = 1 - share[..., 1]  # the model's y points up
        return np.asarray(share * 2 - 1, np.float32)


def _rows_of(base: FloatArray, rows: NDArray[np.int64], count: int) -> FloatArray:
    """Of a base 3 vertices x count the rows of some vertices, points x 3 x count."""
    return np.asarray(base, np.float32).reshape(-1, 3, count)[rows]


def _rotation(angles: FloatArray) -> FloatArray:
    """N x 3 x 3: about x, then y, then z, of N x 3 angles in radians."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles).T, np.cos(angles).T
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return np.asarray(np.stack([np.stack(row, axis=-1) for row in rows], axis=-2), np.float32)
