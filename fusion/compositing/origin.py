"""What is laid into a target's face: one picture's pixels, perhaps with finer detail of others."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from common.types import FloatArray, Region, Size
from fusion.compositing import warp
from fusion.compositing.grid import FaceGrid, places
from fusion.compositing.moves import Moves
from preprocess.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where a picture's pixels come from, on the nodes of a grid over the target's face.

    own, other: 2 x rows x columns, pixels of the picture: of the place itself and of its
    counterpart in the face's other half. share: rows x columns in [0, 1], how much of the other
    half is taken. plain: likewise, where the picture shows nothing: smooth skin.
    """

    own: FloatArray
    other: FloatArray
    share: FloatArray
    plain: FloatArray


class Picture:
    """A picture in the target's shape; safe to use from several threads.

    Args:
        window: Pixels around its face, in the numbers that the target is fused in.
        places: Over ``grid``.
        grid: Over the target's face.
        target: Size of the target picture.
    """

    def __init__(self, window: Window, places: Places, grid: FaceGrid, target: Size) -> None:
        self.window, self.places = window, places
        self._grid, self._target = grid, target
        spacing = warp.spacing(*places.own) / grid.step
        self._spacing = spacing * window.scale  # window pixels per target pixel
        self._reduced: dict[float, Window] = {}
        self._lock = threading.Lock()

    @property
    def pitch(self) -> float:
        """Target pixels that one of its pixels covers."""
        return 1.0 / max(self._spacing, 1e-6)

    def pixels(self, block: Region, at: Size, pitch: float = 0.0) -> FloatArray:
        """Its pixels for a block of the output, H x W x 3 float32 in [0, 1].

        Args:
            pitch: Without detail finer than this many target pixels.
        """
        window = self._reduced_to(max(pitch, self._pitch_of(at)))
        taken = warp.sample(window, self._sampled(self.places.own, block, at))
        share = self._grid.sample(self.places.share[None], block, self._target, at)[0]
        if not share.any():
            return taken
        other = warp.sample(window, self._sampled(self.places.other, block, at))
        return np.asarray(taken + share[..., None] * (other - taken), np.float32)

    def at_nodes(self, pitch: float = 0.0) -> FloatArray:
        """Its pixels at the grid's nodes, rows x columns x 3; ``pitch`` as above."""
        window = self._reduced_to(max(pitch, self._grid.step))
        places = self.places
        taken = warp.sample(window, np.moveaxis(places.own, 0, -1))
        if not places.share.any():
            return taken
        other = warp.sample(window, np.moveaxis(places.other, 0, -1))
        return np.asarray(taken + places.share[..., None] * (other - taken), np.float32)

    def _pitch_of(self, at: Size) -> float:
        return float(np.sqrt(self._target.pixels / at.pixels))

    def _sampled(self, maps: FloatArray, block: Region, at: Size) -> FloatArray:
        return np.moveaxis(self._grid.sample(maps, block, self._target, at), 0, -1)

    def _reduced_to(self, pitch: float) -> Window:
        with self._lock:
            if pitch not in self._reduced:
                self._reduced[pitch] = self.window.shrunk(self._spacing * pitch)
            return self._reduced[pitch]


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """Finer detail than a picture of limited resolution has, taken from two others.

    source: whose detail is added, multiplied by amount, rows x columns. limits: pairs of a distance
    in target pixels and a share; of that share, what is finer than the distance is added; shares
    sum to 1. target: the target's window, whose detail below ``kept_pitch`` is kept.
    kept: rows x columns in [0, 1], how much of it. moves: how the target follows the new form.
    """

    source: Picture
    limits: tuple[tuple[float, float], ...]
    amount: FloatArray
    target: Window
    kept_pitch: float
    kept: FloatArray
    moves: Moves

    @property
    def low(self) -> Window:
        """The target without what is kept."""
        return self.target.shrunk(self.kept_pitch * self.target.scale)

    def at_nodes(self, grid: FaceGrid, wanted: FloatArray) -> FloatArray:
        """What it adds at the grid's nodes, rows x columns x 3.

        Args:
            wanted: Likewise, the target's pixels after they have moved.
        """
        fine = self.source.at_nodes()
        for pitch, share in self.limits:
            fine -= np.float32(share) * self.source.at_nodes(pitch)
        added = self.amount[..., None] * fine
        if self.kept.any():
            positions = grid.positions()
            if self.moves.longest > 0:
                moved = self.moves.grid.at_nodes(self.moves.maps, grid)
                positions = positions + np.moveaxis(moved, 0, -1)
            added += self.kept[..., None] * (wanted - warp.sample(self.low, positions))
        return np.asarray(added, np.float32)


class Origin:
    """What is laid into the target: a picture and finer detail.

    Args:
        picture: In the target's shape.
        grid, target: As of the picture.
        detail: None where the picture is all there is.
    """

    def __init__(
        self, picture: Picture, grid: FaceGrid, target: Size, detail: Detail | None = None
    ) -> None:
        self._picture, self._detail = picture, detail
        self._grid, self._target = grid, target
        self._low: Window | None = None
        if detail is not None:
            self._low = detail.low

    @property
    def plain(self) -> FloatArray:
        """Rows x columns in [0, 1], where it shows nothing."""
        return self._picture.places.plain

    def pixels(self, base: FloatArray, block: Region, at: Size) -> FloatArray:
        """Its pixels for a block of the output, H x W x 3 float32 in [0, 1].

        Args:
            base: The target's pixels of the block, likewise, after they have moved.
        """
        taken = self._picture.pixels(block, at)
        detail = self._detail
        if detail is None or self._low is None:
            return taken
        amount, kept = self._grid.sample(
            np.stack([detail.amount, detail.kept]), block, self._target, at
        )
        if amount.any():
            fine = detail.source.pixels(block, at)
            for pitch, share in detail.limits:
                fine -= np.float32(share) * detail.source.pixels(block, at, pitch)
            taken += amount[..., None] * fine
        if kept.any():
            own = base - warp.sample(self._low, self._own_places(detail.moves, block, at))
            taken += kept[..., None] * own
        return np.asarray(np.clip(taken, 0.0, 1.0), np.float32)

    def _own_places(self, moves: Moves, block: Region, at: Size) -> FloatArray:
        """Target pixels that a block's pixels were taken from, H x W x 2."""
        x = places(block.x, block.width, at.width / self._target.width)
        y = places(block.y, block.height, at.height / self._target.height)
        points = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
        if moves.longest > 0:
            moved = moves.grid.sample(moves.maps, block, self._target, at)
            points += np.moveaxis(moved, 0, -1)
        return points
