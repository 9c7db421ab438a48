"""From a detected face to its 468 mesh points, irises, pose and quality.

The mesh network sees the face at about 128 px, so one run wavers by 1-2 % of the face. It
runs on several slightly moved, turned and scaled crops and the points are averaged; the eye
network then places the lids and irises, which carry a likeness most.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import ByteArray, Face, FaceQuality, FloatArray, Pose, Region
from preprocess import face_topology as topology
from preprocess.detection import Detection
from preprocess.networks import Network, NetworkSet

MESH_SIDE = 192
EYE_SIDE = 64
FACE_MARGIN = 1.5  # side of the mesh crop over the face's
EYE_MARGIN = 2.3  # side of the eye crop over the distance of the eye's corners
ANALYSIS_FACE = 256  # px across a face in the pixels that `locate` works on

# Moves of the mesh crop: x, y (share of its side), turn (radians), scale. Fixed, symmetric.
_JITTER = (
    (0.0, 0.0, 0.0, 1.0),
    (0.02, 0.01, 0.05, 0.96),
    (-0.02, 0.01, -0.05, 1.04),
    (0.01, -0.02, -0.05, 0.96),
    (-0.01, -0.02, 0.05, 1.04),
    (0.0, 0.03, 0.0, 1.1),
)
_EYE_JITTER = ((0.0, 0.0, 0.0, 1.0), (0.02, 0.02, 0.06, 0.95), (-0.02, -0.02, -0.06, 1.06))
_CENTRING_RUNS = 3  # a detector's box may end above the chin; the crop then creeps down
_LOWEST_PRESENCE = 0.5
_LEVEL_PITCH = 8.0  # degrees that forehead and chin lean in a face that looks straight ahead


@dataclass(frozen=True, slots=True)
class _Crop:
    """A turned square of the picture: centre (pixel centres), side in px, turn in radians."""

    x: float
    y: float
    side: float
    turn: float

    def moved(self, x: float, y: float, turn: float, scale: float) -> _Crop:
        return _Crop(
            self.x + x * self.side, self.y + y * self.side, self.side * scale, self.turn + turn
        )

    def to_picture(self, network_side: int) -> FloatArray:
        """2 x 3 affine map from pixels of the network's input to pixels of the picture."""
        scale = self.side / network_side
        cos, sin = np.cos(self.turn) * scale, np.sin(self.turn) * scale
        middle = (network_side - 1) / 2
        return np.array(
            [
                [cos, -sin, self.x - (cos - sin) * middle],
                [sin, cos, self.y - (sin + cos) * middle],
            ],
            np.float32,
        )

    def cut(self, pixels: ByteArray, network_side: int, mirrored: bool = False) -> FloatArray:
        """The crop as the network's input, values in [0, 1]; sampled twofold, then averaged."""
        fine = network_side * 2
        picture = cv2.warpAffine(
            pixels,
            self.to_picture(fine),
            (fine, fine),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        picture = cv2.resize(picture, (network_side, network_side), interpolation=cv2.INTER_AREA)
        if mirrored:
            picture = picture[:, ::-1]
        values = np.ascontiguousarray(picture, np.float32)
        values /= np.float32(255.0)
        return values


def locate(
    pixels: ByteArray, detection: Detection, networks: NetworkSet
) -> tuple[FloatArray, FloatArray, float] | None:
    """Mesh and irises of one face.

    Args:
        pixels: H x W x 3 uint8 sRGB around the face, about `ANALYSIS_FACE` px across it.
        detection: The face in pixels of that array.

    Returns:
        (landmarks 468 x 3, irises 2 x 5 x 2, presence 0-1) in pixels of the array, or None
        when the mesh network sees no face there.
    """
    box = detection.box
    crop = _Crop(
        float(box[0] + box[2]) / 2,
        float(box[1] + box[3]) / 2,
        detection.side * FACE_MARGIN,
        detection.roll,
    )
    for _ in range(_CENTRING_RUNS):
        points, _ = _run_mesh(pixels, crop, networks.mesh)
        crop = _crop_of_mesh(points)
    runs = [_run_mesh(pixels, crop.moved(*move), networks.mesh) for move in _JITTER]
    presence = float(np.median([score for _, score in runs]))
    if presence < _LOWEST_PRESENCE:
        return None
    points = np.mean([mesh for mesh, _ in runs], axis=0, dtype=np.float32)
    irises = _refine_eyes(pixels, points, networks.eye)
    return points, irises, presence


def _run_mesh(pixels: ByteArray, crop: _Crop, network: Network) -> tuple[FloatArray, float]:
    values, logit = network.run(crop.cut(pixels, MESH_SIDE))
    points = values.reshape(topology.POINTS, 3)
    scale = np.float32(crop.side / MESH_SIDE)
    placed = _place(points[:, :2], crop.to_picture(MESH_SIDE))
    presence = 1.0 / (1.0 + float(np.exp(-np.clip(logit.ravel()[0], -60.0, 60.0))))
    return np.column_stack([placed, points[:, 2] * scale]).astype(np.float32), presence


def _place(points: FloatArray, affine: FloatArray) -> FloatArray:
    """Network coordinates (pixel edges at whole numbers) to pixels of the picture."""
    return np.asarray((points - 0.5) @ affine[:, :2].T + affine[:, 2], np.float32)


def _crop_of_mesh(points: FloatArray) -> _Crop:
    """The square around a mesh, turned so that the outer eye corners are level."""
    across = points[topology.LEFT_EYE_CORNERS[0]] - points[topology.RIGHT_EYE_CORNERS[0]]
    turn = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(turn), np.sin(turn)
    level = points[:, :2] @ np.array([[cos, -sin], [sin, cos]], np.float32)
    low, high = level.min(axis=0), level.max(axis=0)
    middle = (low + high) / 2
    centre = np.array([[cos, -sin], [sin, cos]], np.float32) @ middle
    return _Crop(float(centre[0]), float(centre[1]), float((high - low).max()) * FACE_MARGIN, turn)


def _refine_eyes(pixels: ByteArray, points: FloatArray, network: Network) -> FloatArray:
    """Move the mesh's eye regions onto the eye network's contours; answers the irises.

    Changes ``points`` in place. The network knows one side only: the other is mirrored.
    """
    turn = _crop_of_mesh(points).turn
    irises = []
    for corners, region, mirrored in (
        (topology.RIGHT_EYE_CORNERS, topology.RIGHT_EYE_REGION, False),
        (topology.LEFT_EYE_CORNERS, topology.LEFT_EYE_REGION, True),
    ):
        outer, inner = points[corners[0], :2], points[corners[1], :2]
        centre = (outer + inner) / 2
        side = float(np.hypot(*(outer - inner))) * EYE_MARGIN
        crop = _Crop(float(centre[0]), float(centre[1]), side, turn)
        contour, iris = _run_eye(pixels, crop, mirrored, network)
        points[region, :2] = contour
        irises.append(iris)
    return np.stack(irises).astype(np.float32)


def _run_eye(
    pixels: ByteArray, crop: _Crop, mirrored: bool, network: Network
) -> tuple[FloatArray, FloatArray]:
    """Contour 71 x 2 and iris 5 x 2 in the picture, averaged over slightly moved crops."""
    runs = []
    for move in _EYE_JITTER:
        moved = crop.moved(*move)
        parts = network.run(moved.cut(pixels, EYE_SIDE, mirrored))
        values = np.concatenate([part.reshape(-1, 3)[:, :2] for part in parts])
        if mirrored:
            values[:, 0] = EYE_SIDE - values[:, 0]
        runs.append(_place(values, moved.to_picture(EYE_SIDE)))
    mean = np.asarray(np.mean(runs, axis=0), np.float32)
    return mean[: topology.RIGHT_EYE_REGION.size], mean[topology.RIGHT_EYE_REGION.size :]


def pose_of(points: FloatArray) -> Pose:
    """Head pose from the mesh's own depth (weak perspective).

    The face's plane is spanned by the line between the cheeks and that from forehead to chin.
    """
    across = (points[topology.LEFT_CHEEK] - points[topology.RIGHT_CHEEK]).astype(np.float64)
    down = (points[topology.CHIN] - points[topology.FOREHEAD]).astype(np.float64)
    forward = -np.cross(across, down)
    eyes = points[topology.LEFT_EYE_CORNERS[0]] - points[topology.RIGHT_EYE_CORNERS[0]]
    roll = np.arctan2(eyes[1], eyes[0])
    cos, sin = np.cos(roll), np.sin(roll)
    sideways = forward[0] * cos + forward[1] * sin
    downward = -forward[0] * sin + forward[1] * cos
    yaw = np.arctan2(sideways, -forward[2])
    pitch = np.arctan2(downward, np.hypot(sideways, forward[2]))
    yaw, pitch, roll = (float(np.degrees(angle)) for angle in (yaw, pitch, roll))
    return Pose(yaw, pitch - _LEVEL_PITCH, roll)


def sharpness_of(pixels: ByteArray, points: FloatArray) -> float:
    """Mean absolute Laplacian of the luma inside the face oval at `ANALYSIS_FACE` px width."""
    oval = points[topology.FACE_OVAL, :2]
    region = Region.around(oval).intersect(Region(0, 0, pixels.shape[1], pixels.shape[0]))
    if region.width < 3 or region.height < 3:
        return 0.0
    face = pixels[region.y : region.bottom, region.x : region.right]
    factor = ANALYSIS_FACE / max(1.0, float(np.ptp(oval[:, 0])))
    luma = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    luma = cv2.resize(luma, None, fx=factor, fy=factor, interpolation=method)
    outline = np.round((oval - [region.x, region.y]) * factor).astype(np.int32)
    inside = np.zeros(luma.shape, np.uint8)
    cv2.fillPoly(inside, [outline], 1)
    edges = np.abs(cv2.Laplacian(luma, cv2.CV_32F))[inside > 0]
    return float(edges.mean()) if edges.size else 0.0


def face_of(
    index: int, score: float, points: FloatArray, irises: FloatArray, sharpness: float
) -> Face:
    """Everything known about a face as one frozen value; coordinates in the picture."""
    points.flags.writeable = False
    irises.flags.writeable = False
    oval = points[topology.FACE_OVAL, :2]
    width, height = np.ptp(oval, axis=0)
    return Face(
        index=index,
        box=Region.around(oval),
        score=score,
        landmarks=points,
        irises=irises,
        pose=pose_of(points),
        quality=FaceQuality(float(np.sqrt(width * height)), sharpness),
    )
