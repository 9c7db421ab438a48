"""The two fits of a similarity to point pairs that ModelScope's class makes.

Written so that every rounding is as there: a crop that is shifted by a thousandth of a pixel
already has other levels in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.types import FloatArray

Matrix = NDArray[np.float64]


def fitted_back(points: FloatArray, reference: FloatArray, mirrors: bool) -> tuple[Matrix, Matrix]:
    """The similarity of MATLAB's ``cp2tform``: least squares from the reference to the points.

    As there a reflected similarity may be tried as well. The official class compares both fits
    with the reflected reference, so that faces turned far away become mirrored crops.

    Args:
        points: 5 x 2 float32, pixels of a picture; not all in one place.
        reference: 5 x 2 float32, where they go in the crop.
        mirrors: Whether the reflected one is tried.

    Returns:
        2 x 3 matrices from picture to crop and from crop to picture.
    """
    back = _least_squares(reference, points)
    forward = _inverted(back)
    if mirrors:
        forward, back = _nearer(points, reference, forward, back)
    return np.ascontiguousarray(forward[:, :2].T), np.ascontiguousarray(back[:, :2].T)


def _nearer(
    points: FloatArray, reference: FloatArray, forward: Matrix, back: Matrix
) -> tuple[Matrix, Matrix]:
    """The fit, or the reflected one where the official comparison prefers that."""
    mirrored = reference * np.array([-1, 1], np.float32)
    flipped = _inverted(_least_squares(mirrored, points)) * np.array([-1.0, 1.0, 1.0])
    whole = np.hstack([points, np.ones((len(points), 1))])
    plain_error, flipped_error = (
        np.linalg.norm((whole @ matrix)[:, :2] - mirrored) for matrix in (forward, flipped)
    )
    if plain_error <= flipped_error:
        return forward, back
    return flipped, np.asarray(np.linalg.inv(flipped), np.float64)


def _least_squares(start: FloatArray, end: FloatArray) -> Matrix:
    """The 3 x 3 matrix A, without reflection, for which [start 1] A is nearest to [end 1]."""
    count = len(start)
    x, y = start[:, :1], start[:, 1:]
    one, none = np.ones((count, 1)), np.zeros((count, 1))
    equations = np.vstack([np.hstack([x, y, one, none]), np.hstack([y, -x, none, one])])
    wanted = np.vstack([end[:, :1], end[:, 1:]])
    across, turn, right, down = np.linalg.lstsq(equations, wanted, rcond=None)[0][:, 0]
    return np.array([[across, -turn, 0.0], [turn, across, 0.0], [right, down, 1.0]])


def _inverted(matrix: Matrix) -> Matrix:
    inverse = np.asarray(np.linalg.inv(matrix), np.float64)
    inverse[:, 2] = (0.0, 0.0, 1.0)
    return inverse


def umeyama(
    points: FloatArray, reference: FloatArray, scale: float | None = None
) -> tuple[Matrix, float]:
    """The similarity with the least squared distance to the reference, and its scale.

    S. Umeyama, Least-squares estimation of transformation parameters between two point patterns,
    IEEE PAMI 13(4), 1991, equations 38 to 43.

    Args:
        points: N x 2 float32, not all on one line.
        reference: N x 2 float32, likewise.
        scale: Taken instead of the best one.

    Returns:
        2 x 3 matrix from the points to the reference.
    """
    middle, goal = points.mean(axis=0), reference.mean(axis=0)
    apart = points - middle
    covariance = (reference - goal).T @ apart / len(points)
    signs = np.ones(2)
    if np.linalg.det(covariance) < 0:
        signs[1] = -1
    left, values, right = np.linalg.svd(covariance)
    matrix = np.empty((2, 3))
    matrix[:, :2] = left @ np.diag(signs) @ right
    if scale is None:
        scale = 1.0 / apart.var(axis=0).sum() * (values @ signs)
    matrix[:, 2] = goal - scale * (matrix[:, :2] @ middle.T)
    matrix[:, :2] *= scale
    return matrix, float(scale)
