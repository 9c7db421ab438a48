"""What an engine is: declared capabilities and one call that returns fusion fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from common.errors import OptionError
from common.progress import Progress
from common.types import Face, FloatArray, Size
from fusion.field import FusionField
from fusion.request import Blend, Network, check_choice
from preprocess.window import Window


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, as data.

    name: as in results and options. device: where it computes. modes, expressions, composites:
    those of the request that it knows; an engine without composites takes no `Network`.
    all_views: whether it wants to see all pictures of a person. memory_mb: MiB of main memory that
    it needs besides the pictures. why: a sentence that says why this engine is used and how to
    get another.
    """

    name: str
    device: str
    modes: tuple[str, ...]
    expressions: tuple[str, ...]
    composites: tuple[str, ...] = ()
    all_views: bool = False
    memory_mb: int = 0
    why: str = ""

    def check(self, blend: Blend) -> None:
        """Reject what the engine cannot do.

        Raises:
            OptionError: A mode, an expression or a composite that it does not have.
        """
        check_choice("mode", blend.mode, self.modes)
        if blend.expression not in self.expressions:
            known = ", ".join(self.expressions)
            raise OptionError(
                f"expression {blend.expression!r} is not something that engine {self.name} can "
                f"do; it takes: {known}"
            )
        if self.composites:
            check_choice("composite", blend.network.composite, self.composites)
            if blend.network.composite == "official" and blend.mode != "normal":
                raise OptionError(
                    f"composite official has no mode {blend.mode}; use mode normal, or composite "
                    "studio"
                )
        elif blend.network != Network():
            raise OptionError(
                f"composite, boost and enhance are not for engine {self.name}; leave them out, or "
                "use engine modelscope"
            )


@dataclass(frozen=True, slots=True)
class Sight:
    """How much of the pictures an engine wants to see.

    target_px: pixels across the target's face. source_px: likewise the source's, at least; 0 for
    as many as the output shows. margin: around the faces' boxes, in face sizes.
    """

    target_px: int
    source_px: int = 0
    margin: float = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class FaceView:
    """A face and the pixels around it.

    picture: size of the whole picture. The window reaches `Sight.margin` beyond the face's box
    where the picture does; its numbers, the source's too, are those that the target is fused
    in: of its own RGB profile, else sRGB, with 8 or 16 bits.

    in_front: landmarks (468 x 3) of faces that are nearer to the camera and may cover this one.
    close: of a target, a few small parts of the skin at the picture's own resolution.
    """

    face: Face
    window: Window
    picture: Size
    in_front: tuple[FloatArray, ...] = ()
    close: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A source's face for a target's.

    source and target: as the engine's `Sight` asks. shown: size of the target's face in the output,
    px (`FaceQuality.size`). others: further pictures of the source's person, if the engine wants
    `Capabilities.all_views`. draft: it is seen for a moment only, and soon is better than exact.
    """

    source: FaceView
    target: FaceView
    shown: float
    others: tuple[FaceView, ...] = ()
    draft: bool = False


class Engine(Protocol):
    """Looks at faces once, at low resolution, and answers fields."""

    @property
    def capabilities(self) -> Capabilities: ...

    def sight(self, blend: Blend) -> Sight:
        """What `prepare` wants to see of each face."""
        ...

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FusionField, ...]:
        """Build the fields that put each pair's source onto its target.

        Args:
            pairs: Those of one picture; an engine may look at all of them at once.
            blend: One that `Capabilities.check` let pass.

        Raises:
            EngineUnavailableError: The engine or its model cannot run here.
            MemoryLimitError: Memory ran out.
            StoppedError: `progress` ended the work.
        """
        ...

    def close(self) -> None:
        """Give up memory and devices; the next use takes them again."""
        ...
