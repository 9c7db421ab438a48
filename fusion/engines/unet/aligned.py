"""A face as the networks see it: its view and its two crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.types import FloatArray, Region
from fusion.engines.base import FaceView
from fusion.engines.unet import alignment
from fusion.engines.unet.alignment import Alignment

_HIGHEST = np.float32(255)
_REDUCED = (
    "the face is larger than composite official is computed for; its crops were taken from the "
    "picture reduced to {percent:.0f} %"
)
_CUT = "parts of the picture around the face were not read; the restoration sees them continued"


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """A face and its two crops.

    view: with its picture's own pixels, as far around the face as the crops show them; what is
    missing is continued. fusion: of 256 px. restoration: of 1024 px.
    """

    view: FaceView
    fusion: Alignment
    restoration: Alignment

    @classmethod
    def of(cls, view: FaceView, mirrors: bool = True) -> Aligned:
        """Find the five points of a face.

        Args:
            mirrors: See `Alignment.for_fusion`; the official class does.
        """
        points = alignment.points68(view.face.landmarks)
        five = alignment.five_points(points, view.window, view.picture)
        return cls(view, Alignment.for_fusion(five, mirrors), Alignment.for_restoration(five))

    def crop(self) -> FloatArray:
        """What the networks see: 256 x 256 x 3 whole levels of 255, in [0, 1]."""
        pixels = alignment.official_crop(self.view.window, self.fusion, self.view.picture)
        return np.asarray(pixels.astype(np.float32) / _HIGHEST, np.float32)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why the result may differ from the official one; mostly nothing."""
        window, picture = self.view.window, self.view.picture
        found = []
        if window.scale < 1:
            found.append(_REDUCED.format(percent=100 * window.scale))
        seen = Region.around(
            window.outward(np.array([[0, 0], window.pixels.shape[1::-1]], np.float32) - 0.5)
        )
        for crop in (self.fusion, self.restoration):
            wanted = crop.reads(-2 / window.scale).clip(picture)
            if seen.intersect(wanted) != wanted:
                found.append(_CUT)
                break
        return tuple(found)
