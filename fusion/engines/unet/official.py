"""Exactly the picture that ModelScope's own class makes, as a fusion field.

`ImageFaceFusion` of the package modelscope (1.40) computes on the whole target: it lays the
network's 256 px crop in by a fixed matte, cuts GPEN's 1024 px crop out of that, and lays the
restored crop in by a feathered rectangle. Here the same samples are taken where they are wanted,
block by block; of the target no more is read than both crops show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from common.progress import Progress
from common.types import ByteArray, FloatArray, PixelArray, Region, Size
from fusion.compositing import masks, skin, warp
from fusion.compositing.grid import FaceGrid
from fusion.engines.unet import alignment
from fusion.engines.unet.aligned import Aligned
from fusion.engines.unet.alignment import RESTORED, inverted, reached, sampled
from fusion.engines.unet.similarity import Matrix
from fusion.field import Backdrop, blocks
from preprocess import face_topology as topology
from preprocess.window import Window

_HIGHEST = np.float32(255)
_OPAQUE = 1 - 1 / 512  # of the rectangle: what is left of the pixel below rounds to nothing
_PART = 128  # px of GPEN's crop that are computed at once

# The feathered rectangle on half of GPEN's crop, and how it is blurred, twice.
_HALF, _EDGES = 512, (26, 486)
_KERNEL, _SIGMA = (101, 101), 11

_NODES = 256  # across the face, of the mattes for finishing
_INSET, _FEATHER, _FEATURE_MARGIN = 0.008, 0.045, 0.03  # of the face's longer side


@dataclass(frozen=True, slots=True, eq=False)
class _Stages:
    """Both crops, and how they lie in the target.

    fused: 256 x 256 x 3 in [0, 1]. matte: likewise, its opacity. restored: 1024 x 1024 x 3 uint8,
    or None. fusion, restoration: 2 x 3, from pixels of the target to those of the crops.
    """

    fused: FloatArray
    matte: FloatArray
    restored: ByteArray | None
    fusion: Matrix
    restoration: Matrix

    def first(
        self, base: FloatArray, plane: Matrix, region: Region
    ) -> tuple[FloatArray, FloatArray]:
        """The network's crop laid over a region of a plane, and its opacity there.

        Outside the crop the official sampling reads black and transparency, as here.

        Args:
            base: What lies under it, H x W x 3 in [0, 1].
            plane: 2 x 3, from the region's pixels to those of the target.

        Returns:
            Both H x W x 3; ``base`` itself where nothing shows.
        """
        matrix = joined(self.fusion, plane)
        share = sampled(self.matte, matrix, region)
        if not share.any():
            return base, share
        shown = np.asarray(sampled(self.fused, matrix, region), np.float32)
        shown *= share
        shown += (1 - share) * base
        return shown, share

    def soft(self, plane: Matrix, region: Region) -> FloatArray:
        """The opacity of the restored crop, H x W in [0, 1]."""
        if self.restored is None:
            return np.zeros((region.height, region.width), np.float32)
        return np.asarray(sampled(_feather(), joined(self.restoration, plane), region), np.float32)

    def laid(self, base: FloatArray, plane: Matrix, region: Region) -> FloatArray:
        """Both crops laid over a region; whole levels of 255 but where ``base`` is untouched.

        Arguments as for `first`.
        """
        soft = self.soft(plane, region)[..., None]
        least = float(soft.min())
        if self.restored is not None and least > _OPAQUE:
            levels = self._levels(self.restored, plane, region)
            levels /= _HIGHEST
            return levels
        values, share = self.first(base, plane, region)
        levels = np.asarray(values * _HIGHEST, np.float32)
        if self.restored is not None and soft.any():
            levels *= 1 - soft
            levels += self._levels(self.restored, plane, region) * soft
        np.rint(levels, out=levels)
        levels /= _HIGHEST
        if least > 0:
            return levels
        covered = (soft > 0) | (share > 0).any(axis=2, keepdims=True)
        return np.asarray(np.where(covered, levels, base), np.float32)

    def _levels(self, restored: ByteArray, plane: Matrix, region: Region) -> FloatArray:
        """The restored crop over a region, H x W x 3 levels of 255; rounded, as there."""
        pixels = sampled(restored, joined(self.restoration, plane), region)
        return np.asarray(pixels, np.float32)


def joined(then: Matrix, first: Matrix) -> Matrix:
    """The 2 x 3 matrix that does ``first`` and ``then`` after it."""
    matrix: Matrix = np.einsum("ij,jk->ik", then[:, :2], first)
    matrix[:, 2] += then[:, 2]
    return matrix


def plane_of(target: Size, at: Size) -> Matrix:
    """From pixels of an output of size ``at`` to those of the target."""
    across, down = target.width / at.width, target.height / at.height
    return np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2]])


def restoration_input(
    face: Aligned,
    fused: FloatArray,
    matte: FloatArray,
    earlier: Sequence[OfficialField] = (),
) -> FloatArray:
    """GPEN's crop of the target with the network's crop in it.

    Args:
        fused: 256 x 256 x 3 in [0, 1], the network's answer.
        matte: 256 x 256 x 3 in [0, 1], `Networks.mask`.
        earlier: Other faces of the target, laid in before this one. The crop shows them too, and
            brought back what they were if it were cut from the target alone.

    Returns:
        1024 x 1024 x 3 float32 in [0, 1]; black outside the picture.
    """
    window, picture = face.view.window, face.view.picture
    stages = _stages(face, fused, matte, None)
    out = np.zeros((RESTORED, RESTORED, 3), np.float32)
    back = inverted(face.restoration.matrix)
    inward = alignment.into_window(back, window)
    into = alignment.into_window(np.eye(2, 3), window)
    frame = alignment.frame(window, picture)
    for part in Region(0, 0, RESTORED, RESTORED).blocks(_PART):
        box = reached(inward, part).intersect(frame)
        if box.is_empty:
            continue
        pixels = alignment.levels(alignment.cut(window.pixels, box))
        base = pixels.astype(np.float32) / _HIGHEST
        plane = alignment.out_of_window(window)
        for other in earlier:
            place = reached(into, other.bounds(picture)).intersect(box)
            if not place.is_empty:
                base[place.within(box)] = other.over(base[place.within(box)], plane, place)
        first, _ = stages.first(base, plane, box)
        levels = alignment.sampled_part(first * _HIGHEST, back, part, window, box)
        out[part.within(Region(0, 0, RESTORED, RESTORED))] = levels / _HIGHEST
    return out


def official_fields(
    faces: Sequence[Aligned],
    fused: FloatArray,
    matte: FloatArray,
    enhance: Callable[[FloatArray], FloatArray] | None,
    ratio: float,
    progress: Progress,
    warnings: tuple[str, ...] = (),
) -> tuple[OfficialField, ...]:
    """The fields of faces whose crops the network has fused; one restoration after the other.

    Args:
        faces: Of the target, in the order in which they are laid in.
        fused: N x 256 x 256 x 3 in [0, 1], the network's answers.
        matte: 256 x 256 x 3 in [0, 1], `Networks.mask`.
        enhance: `Networks.enhance`; None leaves the restoration out.
        ratio: Opacity of the result, 0-1.
        warnings: Of every field, for the person.

    Raises:
        StoppedError: ``progress`` ended the work.
    """
    made: list[OfficialField] = []
    for face, answer in zip(faces, fused, strict=True):
        restored = None
        if enhance is not None:
            progress.check()
            restored = enhance(restoration_input(face, answer, matte, made)[None])[0]
        made.append(OfficialField(face, answer, matte, restored, ratio, warnings))
    return tuple(made)


class OfficialField:
    """See `fusion.field.FusionField`; computes whole levels of 255 wherever it changes anything.

    Args:
        face: Of the target; its pixels are not kept.
        fused: 256 x 256 x 3 in [0, 1], the network's answer.
        matte: 256 x 256 x 3 in [0, 1], its opacity.
        restored: 1024 x 1024 x 3 in [0, 1], GPEN's answer to `restoration_input`; None without.
        ratio: Opacity of the whole, 0-1. At 1, and at the target's own size, the pixels are those
            of the official class.
        warnings: For the person.
    """

    def __init__(
        self,
        face: Aligned,
        fused: FloatArray,
        matte: FloatArray,
        restored: FloatArray | None,
        ratio: float,
        warnings: tuple[str, ...] = (),
    ) -> None:
        box = face.view.face.box
        levels = None
        if restored is not None:
            levels = _softened((restored * _HIGHEST).astype(np.uint8), min(box.width, box.height))
        self.notes, self.warnings = face.notes, warnings
        self._ratio = np.float32(ratio)
        self._target = face.view.picture
        self._stages = _stages(face, fused, matte, levels)
        self._reads = _support(face, matte, restored is not None)
        landmarks = face.view.face.landmarks
        self.width = float(np.ptp(landmarks[topology.FACE_OVAL, :2], axis=0).max())
        self._grid, self._face, self._skin = _mattes(face, self._stages, self.width)

    def bounds(self, at: Size) -> Region:
        if self._ratio == 0:
            return Region(0, 0, 0, 0)
        back = plane_of(at, self._target)
        bounds = Region(0, 0, 0, 0)
        for matrix, support in self._reads:
            area = reached(joined(back, matrix), support).clip(at)
            bounds = area if bounds.is_empty else bounds.union(area)
        return bounds

    def reach(self, at: Size) -> int:  # noqa: ARG002 (of the protocol)
        return 0

    def render(self, under: Backdrop, region: Region, at: Size) -> FloatArray:
        out = under.read(region)
        for part, block in blocks(region.intersect(self.bounds(at))):
            out[part.within(region)] = self._rendered(under, block, at)[part.within(block)]
        return out

    def opacity(self, region: Region, at: Size) -> FloatArray:
        out = np.zeros((region.height, region.width), np.float32)
        plane = plane_of(self._target, at)
        for part, block in blocks(region.intersect(self.bounds(at))):
            share = sampled(self._stages.matte, joined(self._stages.fusion, plane), block)
            hidden = (1 - share.max(axis=2)) * (1 - self._stages.soft(plane, block))
            out[part.within(region)] = ((1 - hidden) * self._ratio)[part.within(block)]
        return out

    def face(self, region: Region, at: Size) -> FloatArray:
        return self._plane(self._face, region, at)

    def skin(self, region: Region, at: Size) -> FloatArray:
        return self._plane(self._skin, region, at)

    def _plane(self, values: FloatArray, region: Region, at: Size) -> FloatArray:
        out = np.zeros((region.height, region.width), np.float32)
        for part, block in blocks(region.intersect(self._grid.extent(self._target, at))):
            sample = self._grid.sample(values[None], block, self._target, at)[0]
            out[part.within(region)] = sample[part.within(block)]
        return out

    def _rendered(self, under: Backdrop, block: Region, at: Size) -> FloatArray:
        """A whole block; what lies outside ``under`` is black, and nothing depends on it."""
        seen = block.intersect(under.region)
        if seen == block:
            base = under.read(block)
        else:
            base = np.zeros((block.height, block.width, 3), np.float32)
            base[seen.within(block)] = under.read(seen)
        return self.over(base, plane_of(self._target, at), block)

    def over(self, base: FloatArray, plane: Matrix, region: Region) -> FloatArray:
        """The face laid over a region of a plane.

        Args:
            base: What lies under it, H x W x 3 in [0, 1].
            plane: 2 x 3, from the region's pixels to those of the target.
        """
        laid = self._stages.laid(base, plane, region)
        if self._ratio == 1:
            return laid
        return np.asarray(base + self._ratio * (laid - base), np.float32)


def _stages(
    face: Aligned, fused: FloatArray, matte: FloatArray, restored: ByteArray | None
) -> _Stages:
    # The official class hands this one matrix on in single precision.
    back = face.fusion.inverse.astype(np.float32).astype(np.float64)
    return _Stages(fused, matte, restored, inverted(back), inverted(face.restoration.inverse))


def _support(face: Aligned, matte: FloatArray, restored: bool) -> list[tuple[Matrix, Region]]:
    """Where samples of the crops are not transparent: areas of crops, and the way to the target."""
    found = []
    rows, columns = (np.flatnonzero((matte > 0).any(axis=(axis, 2))) for axis in (1, 0))
    if len(rows):
        low, high = (int(columns[0]), int(rows[0])), (int(columns[-1]), int(rows[-1]))
        area = Region(low[0], low[1], high[0] + 1 - low[0], high[1] + 1 - low[1])
        found.append((face.fusion.inverse, area.grow(1)))
    if restored:
        found.append((face.restoration.inverse, Region(0, 0, RESTORED, RESTORED).grow(1)))
    return found


@lru_cache(maxsize=1)
def _feather() -> FloatArray:
    """The opacity of GPEN's crop: 1024 x 1024 in [0, 1], soft towards its edges."""
    half = np.zeros((_HALF, _HALF), np.float32)
    low, high = _EDGES
    cv2.rectangle(half, (low, low), (high, high), (1, 1, 1), -1, cv2.LINE_AA)
    for _ in range(2):
        half = np.asarray(cv2.GaussianBlur(half, _KERNEL, _SIGMA), np.float32)
    feather = np.asarray(cv2.resize(half, (RESTORED, RESTORED)), np.float32)
    feather.flags.writeable = False
    return feather


def _softened(restored: ByteArray, face: int) -> ByteArray:
    """What the official class does to GPEN's crop of a small face.

    Args:
        face: The shorter side of its box, px.
    """
    levels: PixelArray = restored
    if face < 40:
        levels = cv2.pyrUp(cv2.pyrUp(cv2.pyrDown(cv2.pyrDown(levels))))
    elif face < 60:
        twice = cv2.resize(cv2.pyrDown(levels), (0, 0), fx=2, fy=2)
        levels = cv2.pyrUp(cv2.resize(twice, (0, 0), fx=0.5, fy=0.5))
    elif face < 80:
        levels = cv2.pyrUp(cv2.pyrDown(levels))
    elif face < 100:
        levels = cv2.resize(cv2.pyrDown(levels), (0, 0), fx=2, fy=2)
    return levels


def _mattes(
    face: Aligned, stages: _Stages, width: float
) -> tuple[FaceGrid, FloatArray, FloatArray]:
    """What of the result is the face, and what skin, rows x columns in [0, 1] on a grid."""
    landmarks, window = face.view.face.landmarks, face.view.window
    step = width / min(width, _NODES)
    grid = FaceGrid.over(landmarks[:, :2], 2 * step, step)
    oval = masks.oval_matte(grid, landmarks, _INSET * width, _FEATHER * width, masks.RAISED * width)
    places = grid.positions()
    box = Region.around(window.inward(places[[0, -1], [0, -1]]), 2 * step * window.scale)
    offset = window.offset + np.array([box.x, box.y], np.float32)
    near = Window(alignment.cut(window.pixels, box), window.factor, offset)
    target = warp.sample(near.shrunk(step * window.scale), places)
    nodes = np.array([[step, 0.0, grid.x], [0.0, step, grid.y]])
    result = stages.laid(target, nodes, Region(0, 0, grid.columns, grid.rows))
    colour = skin.SkinColour.of(result, skin.sure_skin(grid, landmarks))
    apart = 1 - skin.features_matte(grid, landmarks, _FEATURE_MARGIN * width)
    bare = oval * apart * colour.likelihood(skin.TOLERANT)
    return grid, oval, np.asarray(bare, np.float32)
