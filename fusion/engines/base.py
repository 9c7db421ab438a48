"""What an engine is: declared capabilities and one call that returns a fusion field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from common.progress import Progress
from common.types import Face, FloatArray, Size
from fusion.field import FusionField
from fusion.request import Blend
from preprocess.window import Window


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, as data.

    name: as in results and options. device: where it computes. analysis_px: pixels across the
    target face that `Engine.prepare` wants to see.
    """

    name: str
    device: str
    modes: tuple[str, ...]
    analysis_px: int


@dataclass(frozen=True, slots=True, eq=False)
class FaceView:
    """A face and the pixels around it.

    picture: size of the whole picture. The window reaches at least a third of the face's size
    beyond its box where the picture does; its numbers, the source's too, are those that
    the target is fused in: of its own RGB profile, else sRGB, with 8 or 16 bits.

    in_front: landmarks (468 x 3) of faces that are nearer to the camera and may cover this one.
    close: of a target, a few small parts of the skin at the picture's own resolution.
    """

    face: Face
    window: Window
    picture: Size
    in_front: tuple[FloatArray, ...] = ()
    close: tuple[Window, ...] = ()


class Engine(Protocol):
    """Looks at two faces once, at low resolution, and answers a field."""

    @property
    def capabilities(self) -> Capabilities: ...

    def prepare(
        self, source: FaceView, target: FaceView, blend: Blend, progress: Progress
    ) -> FusionField:
        """Build the field that puts the source's face onto the target's.

        Args:
            source: At the resolution that the largest output will show.
            target: With about ``capabilities.analysis_px`` pixels across the face.

        Raises:
            EngineUnavailableError: The engine or its model cannot run here.
            StoppedError: `progress` ended the work.
        """
        ...
