"""From pairs of faces to fields: what the networks are shown, and in which batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from common.progress import Progress
from common.types import ByteArray, FloatArray
from fusion.compositing import lips
from fusion.compositing.face_field import Remarks
from fusion.compositing.form import width_of
from fusion.engines.base import FaceView, Pair
from fusion.engines.unet import alignment, boost, identity
from fusion.engines.unet.aligned import Aligned
from fusion.engines.unet.alignment import RESTORED, Alignment
from fusion.engines.unet.composite import NetworkFace, studio_field
from fusion.engines.unet.devices import Attempt, SingleCropError
from fusion.engines.unet.identity import Mixture
from fusion.engines.unet.official import joined, official_fields
from fusion.engines.unet.rooms import Boost, Enhance, Room, choose_boost, choose_enhance
from fusion.engines.unet.similarity import Matrix
from fusion.field import FusionField
from fusion.request import Blend
from preprocess.detection import Detection
from preprocess.landmarks import locate
from preprocess.networks import NetworkPool, NetworkSet
from preprocess.window import Window

_RECOGNISED_SIDE = 384  # px of a crop in which its face is about 256 px high
_FARTHEST = 0.12  # of the face's width: landmarks that moved farther are of something else
_LIMIT = 1.4  # pixels of a crop: what is finer was lost when it was cut and is laid in


class Networks(Protocol):
    """What `nets.networks.Networks` offers; arrays are float32, pictures RGB in [0, 1]."""

    mask: FloatArray

    def identities(self, crops: FloatArray) -> FloatArray: ...

    def coefficients(self, crops: FloatArray) -> FloatArray: ...

    def fuse(
        self, crops: FloatArray, identities: FloatArray, fused: FloatArray, own: FloatArray
    ) -> FloatArray: ...

    def enhance(self, crops: FloatArray) -> FloatArray: ...

    def close(self) -> None: ...


class Recogniser:
    """Finds how a face's landmarks have moved; thread-safe.

    Args:
        directory: Of the face models.
    """

    def __init__(self, directory: Path) -> None:
        self._pool = NetworkPool(directory)

    def moved(
        self, before: FloatArray, after: FloatArray, landmarks: FloatArray
    ) -> FloatArray | None:
        """How far each landmark has moved from one picture of a face to another.

        Both are looked at in the same way, so that what the network of the landmarks always gets
        wrong, or what the picture's border hides, is no movement.

        Args:
            before, after: S x S x 3 in [0, 1], crops of the same place.
            landmarks: 468 x 3, those in ``before``, as far as they are known.

        Returns:
            468 x 3 pixels of the crops; None where no face was recognised in one of them, or where
            that in ``after`` is another one.
        """
        factor = _RECOGNISED_SIDE / len(after)
        shift = np.array([0.5, 0.5, 0.0], np.float32)
        near = (landmarks + shift) * np.float32(factor) - shift
        with self._pool.borrow() as networks:
            found = [_recognised(crop, near, networks) for crop in (before, after)]
        here, there = found
        if here is None or there is None:
            return None
        apart = there - here
        if float(np.median(np.hypot(*apart[:, :2].T))) > _FARTHEST * width_of(near):
            return None
        return np.asarray(apart / np.float32(factor), np.float32)


def _recognised(crop: FloatArray, near: FloatArray, networks: NetworkSet) -> FloatArray | None:
    """468 x 3 landmarks of a face that lies about where ``near`` says, in a reduced crop."""
    size = (_RECOGNISED_SIDE, _RECOGNISED_SIDE)
    method = cv2.INTER_AREA if len(crop) > _RECOGNISED_SIDE else cv2.INTER_CUBIC
    small = cv2.resize(crop, size, interpolation=method)
    pixels: ByteArray = np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)
    low, high = near[:, :2].min(axis=0), near[:, :2].max(axis=0)
    # Crops are upright: the eyes' line, which is all that these points tell, is level.
    level = np.array([low, [high[0], low[1]], low, low, low, low], np.float32)
    found = locate(pixels, Detection(np.concatenate([low, high]), level, 1.0), networks)
    if found is None:
        return None
    whole = Window(pixels, np.ones(2, np.float32), np.zeros(2, np.float32))
    return lips.refined(found[0], whole)


class Maker:
    """The fields of one request's pairs.

    Args:
        pairs: At least one.
        blend: Its ratio is above 0.
        recogniser: Finds the fused face's landmarks.
        progress: Asked between batches.
    """

    def __init__(
        self, pairs: Sequence[Pair], blend: Blend, recogniser: Recogniser, progress: Progress
    ) -> None:
        self._pairs = tuple(pairs)
        self._blend = blend
        self._recogniser = recogniser
        self._progress = progress
        self._official = blend.network.composite == "official"
        self._targets = [self._aligned(pair.target) for pair in self._pairs]
        self._mixture = Mixture.of(blend.ratio)
        if not self._official:
            self._mixture = Mixture.of(blend.ratio, blend.shape)

    def wanted_boost(self, room: Room) -> int:
        """The largest detail boost that a face asks for."""
        if self._official:
            return 1
        return max(self._boost_of(pair, room, 4).n for pair in self._pairs)

    def most_crops(self, room: Room) -> int:
        """How many crops a network gets in all, the one that gets most."""
        fused = len(self._pairs)
        if not self._official:
            fused = sum(self._boost_of(pair, room, 4).n ** 2 for pair in self._pairs)
        seen = {id(view.face) for pair in self._pairs for view in (pair.source, *pair.others)}
        return max(fused, len(seen))

    def fields(
        self, networks: Networks, attempt: Attempt, room: Room, warnings: tuple[str, ...]
    ) -> tuple[FusionField, ...]:
        """Ask the networks and lay their faces into the target.

        Raises:
            MemoryError: It ran out; a smaller attempt may do.
            StoppedError: The progress ended the work.
        """
        crops = np.stack([self._crop(face) for face in self._targets])
        wanted, theirs = self._persons(networks, attempt)
        own = self._batched(networks.coefficients, attempt, crops)
        if self._mixture.identity < 1:
            before = self._batched(networks.identities, attempt, crops)
            share = self._mixture.identity
            wanted = [identity.between(a, b, share) for a, b in zip(before, wanted, strict=True)]
        mixed = [
            identity.mixed_shape(mine, given, self._mixture.shape)
            for mine, given in zip(own, theirs, strict=True)
        ]
        if self._official:
            fused = self._batched(
                networks.fuse, attempt, crops, np.stack(wanted), np.stack(mixed), own
            )
            return official_fields(
                self._targets,
                fused,
                networks.mask,
                lambda crop: _enhanced(networks, crop),
                self._mixture.opacity,
                self._progress,
                warnings,
            )
        return self._studio_fields(networks, attempt, room, (wanted, mixed, own), warnings)

    def _studio_fields(
        self,
        networks: Networks,
        attempt: Attempt,
        room: Room,
        persons: tuple[Sequence[FloatArray], Sequence[FloatArray], FloatArray],
        warnings: tuple[str, ...],
    ) -> tuple[FusionField, ...]:
        """The faces in the studio's composite.

        Args:
            persons: Embeddings, mixed and own coefficients of each pair.
        """
        boosts = [self._boost_of(pair, room, attempt.boost) for pair in self._pairs]
        crops = [
            alignment.smooth_crop(face.view.window, face.fusion.finer(each.n))
            for face, each in zip(self._targets, boosts, strict=True)
        ]
        parts = [boost.phases(crop, each.n) for crop, each in zip(crops, boosts, strict=True)]
        counts = [len(part) for part in parts]
        wanted, mixed, own = (np.repeat(np.stack(list(each)), counts, axis=0) for each in persons)
        answers = self._batched(networks.fuse, attempt, np.concatenate(parts), wanted, mixed, own)
        ends = np.cumsum(counts)[:-1]
        fields = []
        for pair, face, crop, each, answer in zip(
            self._pairs, self._targets, crops, boosts, np.split(answers, ends), strict=True
        ):
            picture = boost.joined(answer, crop, each.n)
            enhance = choose_enhance(_height(pair), self._blend.network.enhance, room)
            made = self._face(networks, pair, face, (crop, picture), (each, enhance))
            notes = (f"{each.why}; {enhance.why}",)
            fields.append(studio_field(pair, made, self._blend, Remarks(notes, warnings)))
            self._progress.check()
        return tuple(fields)

    def _face(
        self,
        networks: Networks,
        pair: Pair,
        face: Aligned,
        pictures: tuple[FloatArray, FloatArray],
        chosen: tuple[Boost, Enhance],
    ) -> NetworkFace:
        """The network's picture, restored as far as asked for.

        Args:
            pictures: The target's crop and what the network made of it.
        """
        crop, picture = pictures
        n, enhance = chosen[0].n, chosen[1]
        place = face.fusion.finer(n)
        landmarks = _placed(pair.target.face.landmarks, place.matrix)
        moved = self._recogniser.moved(crop, picture, landmarks)
        if moved is not None:
            moved = _turned(moved, place.inverse)
        share = boost.resolved(picture, self._crop_of_source(pair, n), n)
        shares = ((face.fusion.spacing, 1.0 - share), (place.spacing, share))
        limits = [(_LIMIT * pitch, (1.0 - enhance.strength) * part) for pitch, part in shares]
        if enhance.strength > 0:
            picture, place = self._restored(networks, face, picture, place, enhance.strength)
            limits.append((_LIMIT * place.spacing, enhance.strength))
        return NetworkFace(picture, place, tuple(limits), moved, self._mixture.opacity)

    def _restored(
        self,
        networks: Networks,
        face: Aligned,
        picture: FloatArray,
        place: Alignment,
        strength: float,
    ) -> tuple[FloatArray, Alignment]:
        """GPEN's crop with its answer laid over the network's picture and the target."""
        matrix = joined(place.matrix, face.restoration.inverse)
        before = alignment.smooth_crop(face.view.window, face.restoration)
        size = (RESTORED, RESTORED)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        shown = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        matte = cv2.resize(networks.mask, picture.shape[:2])
        matte = cv2.warpAffine(matte, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        before += matte * (shown - before)
        self._progress.check()
        after = _enhanced(networks, before[None])[0]
        mixed = before + np.float32(strength) * (after - before)
        return np.asarray(np.clip(mixed, 0, 1), np.float32), face.restoration

    def _crop_of_source(self, pair: Pair, n: int) -> FloatArray:
        """As fine as a boost's result."""
        face = self._aligned(pair.source)
        return alignment.smooth_crop(pair.source.window, face.fusion.finer(n))

    def _aligned(self, view: FaceView) -> Aligned:
        # Of a head turned far away the official class takes a mirrored crop.
        return Aligned.of(view, mirrors=self._official)

    def _crop(self, face: Aligned) -> FloatArray:
        """The 256 px that the networks see of a face."""
        if self._official:
            return face.crop()
        return alignment.smooth_crop(face.view.window, face.fusion)

    def _persons(
        self, networks: Networks, attempt: Attempt
    ) -> tuple[list[FloatArray], list[FloatArray]]:
        """Of each pair the source's embedding, the mean of all its pictures', and coefficients."""
        views: dict[int, FaceView] = {}
        for pair in self._pairs:
            views |= {id(view.face): view for view in (pair.source, *pair.others)}
        place = {key: index for index, key in enumerate(views)}
        crops = np.stack([self._crop(self._aligned(view)) for view in views.values()])
        shown = sorted({place[id(pair.source.face)] for pair in self._pairs})
        shapes = self._batched(networks.coefficients, attempt, crops[shown])
        embeddings = self._batched(networks.identities, attempt, crops)
        persons = []
        for pair in self._pairs:
            group = sorted({place[id(view.face)] for view in (pair.source, *pair.others)})
            one = embeddings[group]
            persons.append(one[0] if len(group) == 1 else identity.mean_embedding(one))
        own = [shapes[shown.index(place[id(pair.source.face)])] for pair in self._pairs]
        return persons, own

    def _batched(
        self, network: Callable[..., FloatArray], attempt: Attempt, *inputs: FloatArray
    ) -> FloatArray:
        """A network's answers to N inputs, so many at once as the attempt says."""
        answers = []
        for start in range(0, len(inputs[0]), attempt.batch):
            self._progress.check()
            answers.append(network(*(each[start : start + attempt.batch] for each in inputs)))
        return np.concatenate(answers)

    def _boost_of(self, pair: Pair, room: Room, most: int) -> Boost:
        chosen = choose_boost(_height(pair), self._blend.network.boost, room)
        return chosen if chosen.n <= most else Boost(most, f"detail boost {most}")


def _enhanced(networks: Networks, crop: FloatArray) -> FloatArray:
    """GPEN's answer to one crop, 1 x 1024 x 1024 x 3.

    Raises:
        SingleCropError: The memory was not enough for it.
    """
    try:
        return networks.enhance(crop)
    except MemoryError as error:
        raise SingleCropError from error


def _height(pair: Pair) -> float:
    """Of the face's oval in the output, px."""
    face = pair.target.face
    return width_of(face.landmarks) * pair.shown / face.quality.size


def _placed(landmarks: FloatArray, matrix: Matrix) -> FloatArray:
    """Landmarks (N x 3) through a 2 x 3 similarity; depth is scaled like the rest."""
    return _turned(landmarks, matrix) + np.append(matrix[:, 2], 0).astype(np.float32)


def _turned(moves: FloatArray, matrix: Matrix) -> FloatArray:
    """Likewise moves, which have no place."""
    turned = np.einsum("ij,nj->ni", matrix[:, :2], moves[:, :2])
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return np.column_stack([turned, moves[:, 2] * scale]).astype(np.float32)
