"""Landmarks of faces that no picture shows: turned heads, open mouths, closed eyes."""

from __future__ import annotations

import numpy as np

from common.types import FloatArray
from preprocess import face_topology as topology


def turned(landmarks: FloatArray, degrees: float) -> FloatArray:
    """The head turned about its vertical axis, seen from far away."""
    angle = np.radians(degrees)
    middle = landmarks[topology.FACE_OVAL].mean(axis=0)
    x, y, z = (landmarks - middle).T
    shaken = np.stack(
        [x * np.cos(angle) - z * np.sin(angle), y, x * np.sin(angle) + z * np.cos(angle)]
    )
    return np.asarray(shaken.T + middle, np.float32)


def width_of(landmarks: FloatArray) -> float:
    return float(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0).max())


def closed_eye(landmarks: FloatArray, contour: topology.IntArray) -> FloatArray:
    """The upper lid lowered onto the other one."""
    moved = landmarks.copy()
    moved[contour[1:8]] = moved[contour[:8:-1]]
    return np.asarray(moved, np.float32)


def open_mouth(landmarks: FloatArray, drop: float) -> FloatArray:
    """Lower lip and chin ``drop`` px further down, the jaw following."""
    moved = landmarks.copy()
    line = landmarks[list(topology.MOUTH_CORNERS), 1].mean()
    lower = np.concatenate([topology.INNER_LIPS[11:], topology.OUTER_LIPS[11:]])
    share = np.clip((landmarks[:, 1] - line) / (landmarks[topology.CHIN, 1] - line), 0, 1)
    lips = np.concatenate([topology.INNER_LIPS, topology.OUTER_LIPS])
    share[lips] = 0
    share[lower] = 1
    share[[15, 16, 85, 86, 315, 316, 179, 180, 403, 404, 89, 90, 319, 320]] = 1
    moved[:, 1] += drop * share
    return np.asarray(moved, np.float32)
