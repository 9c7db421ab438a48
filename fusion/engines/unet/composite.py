"""The network's face in the studio's composite: our mattes and light, and real detail.

The network answers a crop of limited resolution. It is laid in like any source, by the places
of an affine map; what it cannot show, the finer bands, come from the source's own pixels,
placed by the mesh, and where the source is no finer than the network, from the target's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from common.types import FloatArray
from fusion.compositing import composition, masks, placing, skin
from fusion.compositing.composition import Seen
from fusion.compositing.face_field import FaceField, Remarks
from fusion.compositing.form import Form
from fusion.compositing.grid import FaceGrid
from fusion.compositing.ground import Ground
from fusion.compositing.moves import Moves
from fusion.compositing.origin import Detail, Origin, Picture, Places
from fusion.compositing.placing import Placed
from fusion.engines.base import FaceView, Pair
from fusion.engines.unet.alignment import Alignment
from fusion.request import Blend
from preprocess.window import Window

_LEVELS = 65535  # of the networks' numbers, kept in 16 bits
_BORDER = 0.02  # of the crop's side, over which it ends
_AGREEMENT = (0.3, 0.75)  # correlation of edges that do not belong together, that surely do
_TEXTURE = (0.004, 0.012)  # contrast of mere skin, of an edge, in encoded values
_EDGE_SCALE = 1.2  # pitches of the network: what is compared lies just below its limit
_LIGHT_SCALE = 0.06  # of the face's width
_MOST_LIGHT = 1.5  # times that the source's detail is made stronger or weaker by the light
_BARELY_FINER = 0.5  # octaves between source and target below which the source's detail is enough
_FEATURE_MARGIN = 0.02  # of the face's width


@dataclass(frozen=True, slots=True, eq=False)
class NetworkFace:
    """What the networks made of a pair.

    picture: S x S x 3 float32 in [0, 1]. alignment: from the target's pixels to the picture's.
    limits: distances in target pixels below which a share of the picture shows nothing real, with
    those shares, which sum to 1. moved: 468 x 3 target pixels, how its landmarks differ from the
    target's; None where no face was recognised. opacity: of it, see `identity.Mixture`.
    """

    picture: FloatArray
    alignment: Alignment
    limits: tuple[tuple[float, float], ...]
    moved: FloatArray | None
    opacity: float

    @property
    def limit(self) -> float:
        """That of the larger share."""
        return max(self.limits, key=lambda limit: limit[1])[0]


def studio_field(pair: Pair, face: NetworkFace, blend: Blend, remarks: Remarks) -> FaceField:
    """The field that shows a network's face on the target."""
    source, target = pair.source, pair.target
    form = _form(face, source, target, blend)
    grid = form.grid()
    moves = form.moves(grid.step, target.in_front)
    window = placing.toned_like(source.window, target.window)
    placed = placing.placed(grid, form, source, window, target.window)
    wanted = placing.moved(grid, moves, target.window)
    picture = Picture(_window(face, target), _places(grid, face), grid, target.picture)
    given = picture.at_nodes()
    # The target's own teeth, where the network's mouth is the same.
    same, _ = _correlation(given, wanted, max(face.limit / grid.step, 1.0))
    holes = form.mouth_hole(grid, wanted, form.landmarks) * same
    real = Picture(window, placed.places, grid, target.picture)
    detail = _detail(pair, face, (grid, form), (given, wanted, placed), real, moves)
    given = np.clip(given + detail.at_nodes(grid, wanted), 0, 1)
    sharpness = composition.sharpness_at
    known = sharpness(grid, form.landmarks, wanted)
    # The nodes show less than the pictures: the target tells how much less.
    scale = target.face.quality.sharpness / known if known > 0 else 1.0
    shown = sharpness(grid, form.landmarks, given) * scale
    place = (grid, form.landmarks, form.width)
    ground = Ground.of(*place, wanted, target, blend.keep_glasses)
    seen = Seen(*place, given, ground, (shown, target.face.quality.sharpness))
    origin = Origin(picture, grid, target.picture, detail)
    mixed = blend.at(face.opacity)
    return composition.compose(seen, origin, moves, holes, target, mixed, remarks)


def _form(face: NetworkFace, source: FaceView, target: FaceView, blend: Blend) -> Form:
    """The target's form, or where a face was recognised, that of the network's face."""
    form = Form.between(source, target, blend.at(0.0))
    if face.moved is None or blend.shape == 0:
        return form
    # As far as it shows: a face that is faded in must not make the target around it jump.
    return form.moved_by(np.float32(face.opacity) * face.moved)


def _window(face: NetworkFace, target: FaceView) -> Window:
    levels = np.rint(np.clip(face.picture, 0, 1) * np.float32(_LEVELS)).astype(np.uint16)
    whole = Window(levels, np.ones(2, np.float32), np.zeros(2, np.float32))
    return placing.toned_like(whole, target.window)


def _places(grid: FaceGrid, face: NetworkFace) -> Places:
    """Where in the network's picture each node lies."""
    positions, matrix = grid.positions(), face.alignment.matrix
    own = np.einsum("ij,hwj->ihw", matrix[:, :2], positions) + matrix[:, 2][:, None, None]
    own = own.astype(np.float32)
    side = face.picture.shape[0]
    edge = np.minimum(own, side - 1 - own).min(axis=0)
    plain = 1 - masks.smoothstep(np.asarray(edge / (_BORDER * side), np.float32))
    return Places(own, own, np.zeros(grid.shape, np.float32), plain)


def _detail(
    pair: Pair,
    face: NetworkFace,
    where: tuple[FaceGrid, Form],
    shown: tuple[FloatArray, FloatArray, Placed],
    real: Picture,
    moves: Moves,
) -> Detail:
    """What is finer than the network's limit.

    Args:
        where: The grid and the form of the fused face.
        shown: The network's face and the target at the nodes, and the placed source.
        real: The source's picture.
    """
    grid, form = where
    given, wanted, placed = shown
    seen = 1 - placed.places.plain
    amount = seen * _agreement(given, placed.given, max(face.limit / grid.step, 1.0))
    amount *= _light_ratio(given, placed.given, form.width / grid.step)
    # Octaves that the target has beyond the source.
    finest = min(face.limit, real.pitch)
    seen_pitch = max(1.0, 1.0 / pair.target.window.scale)
    if real.pitch > max(pitch for pitch, share in face.limits if share > 0):
        amount = np.zeros_like(amount)
    further = np.log2(max(finest, 1e-6)) if finest >= seen_pitch else 0.0
    lacking = float(np.clip(further / _BARELY_FINER - 1, 0, 1))
    apart = 1 - skin.features_matte(grid, form.landmarks, _FEATURE_MARGIN * form.width)
    kept = lacking * apart * _agreement(given, wanted, max(finest / grid.step, 1.0))
    return Detail(
        source=real,
        limits=face.limits,
        amount=np.asarray(amount, np.float32),
        target=pair.target.window,
        kept_pitch=finest,
        kept=np.asarray(kept, np.float32),
        moves=moves,
    )


def _agreement(network: FloatArray, other: FloatArray, limit: float) -> FloatArray:
    """How much of another picture's detail belongs where it lies, rows x columns in [0, 1].

    An edge (a lid, a lip, a nostril) is sharpened only where the network's face has the same edge:
    just below the network's limit both must rise and fall together. Pores and other texture
    belong anywhere.

    Args:
        network, other: rows x columns x 3 at the nodes, encoded.
        limit: Of the network, nodes.
    """
    together, power = _correlation(network, other, limit)
    low, high = _TEXTURE
    edge = masks.smoothstep(np.asarray((power - low) / (high - low), np.float32))
    return np.asarray(1 - edge * (1 - together), np.float32)


def _correlation(
    network: FloatArray, other: FloatArray, limit: float
) -> tuple[FloatArray, FloatArray]:
    """Whether two pictures' edges belong together, 0-1, and how strong the other's are."""
    bands = []
    inner, outer = _EDGE_SCALE * limit, 3 * _EDGE_SCALE * limit
    for values in (network, other):
        luma = cv2.cvtColor(values, cv2.COLOR_RGB2GRAY)
        bands.append(cv2.GaussianBlur(luma, (0, 0), inner) - cv2.GaussianBlur(luma, (0, 0), outer))

    def around(product: FloatArray) -> FloatArray:
        return np.asarray(cv2.GaussianBlur(product, (0, 0), 4 * _EDGE_SCALE * limit), np.float32)

    ours, theirs = (np.sqrt(np.maximum(around(band * band), 0)) for band in bands)
    together = around(bands[0] * bands[1]) / np.maximum(ours * theirs, 1e-7)
    low, high = _AGREEMENT
    return masks.smoothstep(np.asarray((together - low) / (high - low), np.float32)), theirs


def _light_ratio(network: FloatArray, source: FloatArray, width: float) -> FloatArray:
    """How much brighter the network's face is than the source: detail is as much stronger.

    Args:
        network, source: rows x columns x 3 at the nodes, encoded.
        width: Of the face, nodes.
    """
    sigma = _LIGHT_SCALE * width
    ours, theirs = (
        cv2.GaussianBlur(cv2.cvtColor(values, cv2.COLOR_RGB2GRAY), (0, 0), sigma) + np.float32(0.02)
        for values in (network, source)
    )
    return np.asarray(np.clip(ours / theirs, 1 / _MOST_LIGHT, _MOST_LIGHT), np.float32)
