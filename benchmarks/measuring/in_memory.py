"""Fusions of portraits that never leave the memory: every portrait is read and analysed once.

What is measured is what the pipeline writes: the same engine gets the same views of both faces,
and its field renders the same pixels; only files and the search for faces are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.measuring.studio_runs import Studio
from common.progress import Progress
from common.types import ByteArray, Face, FloatArray, Region, Size
from fusion.engines.base import Engine, Pair
from fusion.field import Backdrop, FusionField
from fusion.request import Blend
from fusion.views import source_view, surroundings, target_view
from preprocess.image_file import ImageFile
from preprocess.image_source import vips
from preprocess.landmarks import sharpness_of
from preprocess.window import scaled_size

LONGER = 2048
"""Longer side that portraits are reduced to; 14 megapixels show no more to these measures."""


class Portrait:
    """A picture with one face: sRGB, 8 bits, perhaps reduced.

    Attributes:
        file: The picture that it was made from; its name says who is shown.
        face: In pixels of `image`.
        sharpness: Of the face as the picture shows it; see `preprocess.landmarks.sharpness_of`.
    """

    def __init__(self, file: Path, image: ImageFile, face: Face) -> None:
        self.file = file
        self.face = face
        self.image = image.keeping([surroundings(face)], 1.0)
        self._pixels = image.read_srgb(Region.whole(image.size))
        self._reduced = (image.size, self._pixels)
        self.sharpness = sharpness_of(self._pixels, face.landmarks)

    @property
    def size(self) -> Size:
        return self.image.size

    def read(self, region: Region) -> ByteArray:
        """H x W x 3 uint8 of a region inside the picture."""
        pixels: ByteArray = self._pixels[region.within(Region.whole(self.size))]
        return pixels

    def at(self, size: Size) -> ByteArray:
        """The whole picture reduced to a size; H x W x 3 uint8, not to be changed."""
        if size == self.size:
            return self._pixels
        if size != self._reduced[0]:
            self._reduced = (size, self.image.read_srgb(Region.whole(size), size))
        return self._reduced[1]


@dataclass(frozen=True)
class Fused:
    """A fusion at the target's size or another.

    field: what the engine made of the two faces. at: size of the picture that was fused.
    """

    target: Portrait
    source: Portrait
    field: FusionField
    at: Size

    @property
    def region(self) -> Region:
        """Where the picture may differ from the target; the whole face if that is nowhere."""
        changed = self.field.bounds(self.at)
        return self._scaled(self.target.face.box).clip(self.at) if changed.is_empty else changed

    @property
    def before(self) -> ByteArray:
        """The target's pixels at this size."""
        return self.target.at(self.at)

    @cached_property
    def pixels(self) -> ByteArray:
        """The fused picture, H x W x 3 uint8."""
        out: ByteArray = self.before.copy()
        region = self.field.bounds(self.at)
        if not region.is_empty:
            under = Backdrop(self.before, Region.whole(self.at))
            values = self.field.render(under, region, self.at)
            rounded = np.rint(np.clip(values, 0.0, 1.0) * np.float32(255))
            out[region.within(Region.whole(self.at))] = rounded.astype(np.uint8)
        return out

    @property
    def size(self) -> Size:
        return self.at

    def read(self, region: Region) -> ByteArray:
        """H x W x 3 uint8 of a region inside the fused picture."""
        pixels: ByteArray = self.pixels[region.within(Region.whole(self.at))]
        return pixels

    def opacity(self) -> FloatArray:
        """Of the field over `region`."""
        return self.field.opacity(self.region, self.at)

    def _scaled(self, region: Region) -> Region:
        own = self.target.size
        return region.scale(self.at.width / own.width, self.at.height / own.height)


class Workbench:
    """Portraits ready to be fused.

    Args:
        scratch: A folder for the reduced pictures.
        longer: Longer side that larger pictures are reduced to, px; None keeps their size.
    """

    def __init__(self, studio: Studio, scratch: Path, longer: int | None = LONGER) -> None:
        self._studio = studio
        self._scratch = scratch
        self._longer = longer
        self._known: dict[Path, Portrait | None] = {}

    def portrait(self, file: Path) -> Portrait:
        """The portrait in a file.

        Raises:
            SystemExit: It does not show exactly one face.
        """
        found = self._look(file)
        if found is None:
            raise SystemExit(f"{file} does not show exactly one face")
        return found

    def fuse(
        self, target: Portrait, source: Portrait, engine: Engine, blend: Blend, scale: float = 1.0
    ) -> Fused:
        """The field of a pair; pixels are rendered when they are asked for.

        Args:
            scale: Of the fused picture over the target.
        """
        shown = target.face.quality.size * scale
        sight = engine.sight(blend)
        pair = Pair(
            source_view(source.image, source.face, target.image, shown, sight),
            target_view(target.image, target.face, sight),
            shown=shown,
        )
        (field,) = engine.prepare([pair], blend, Progress())
        return Fused(target, source, field, scaled_size(target.size, scale))

    def _look(self, file: Path) -> Portrait | None:
        if file not in self._known:
            copy = self._studio.open(self._copy(file))
            faces = self._studio.faces(copy.path)
            self._known[file] = Portrait(file, copy, faces[0]) if len(faces) == 1 else None
        return self._known[file]

    def _copy(self, file: Path) -> Path:
        """The picture in sRGB, upright and perhaps reduced, without a profile."""
        image = self._studio.open(file)
        at = image.size
        if self._longer is not None:
            at = scaled_size(at, min(1.0, self._longer / at.longer))
        copy = self._scratch / f"{file.stem}.png"
        pixels = image.read_srgb(Region.whole(at), at)
        vips().Image.new_from_array(pixels).pngsave(str(copy), compression=1)
        return copy
