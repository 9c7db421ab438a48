"""What a fusion is asked for and what comes of it, in the words of the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.errors import OptionError
from common.types import Face, Size
from fusion.request import FaceSelection, FusionResult
from studio.service.controls import Controls

Role = Literal["target", "source"]


@dataclass(frozen=True, slots=True)
class Photo:
    """An uploaded picture that has been looked at.

    path: the uploaded file, unchanged. size: upright. format: of `controls.SUFFIXES`. faces:
    largest first, possibly none; those found with ``threshold``. preview: the small picture of
    it that the browser shows. shown: the preview's size.
    """

    path: Path
    size: Size
    format: str
    faces: tuple[Face, ...]
    threshold: float
    preview: Path
    shown: Size

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True)
class Wish:
    """One fusion as the person at the page describes it.

    sources: at least one. faces: pairs of `FaceSelection`, whose source indices count the faces of
    all sources from picture to picture, or none, for the largest target face.
    """

    target: Photo
    sources: tuple[Photo, ...]
    faces: FaceSelection
    controls: Controls

    def check(self) -> None:
        """Check that the faces are those of the photographs.

        Raises:
            OptionError: A photograph is missing or shows no face, or a face is not among those
                that were found.
        """
        if not self.sources:
            raise OptionError("a fusion needs at least one source picture")
        for photo in (self.target, *self.sources):
            if not photo.faces:
                raise OptionError(f"no face was found in {photo.name}; use another picture")
        total = sum(len(photo.faces) for photo in self.sources)
        for source, target in self.faces.pairs:
            if target >= len(self.target.faces) or (source is not None and source >= total):
                raise OptionError("a face was chosen that is not in the photographs; choose anew")


@dataclass(frozen=True, slots=True)
class Fused:
    """A finished fusion.

    preview: a small picture of it; None where none could be made of the complete file.
    """

    result: FusionResult
    preview: Path | None
