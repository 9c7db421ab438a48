"""What is decided before a face is fused: the pictures' faces, who replaces whom, the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.progress import Progress
from common.types import Face
from fusion.advice import warnings_for
from fusion.engines.base import Engine, Pair, Sight
from fusion.field import FusionField, Layer
from fusion.finishing import FinishedFace, finishing_layers, needs_faces
from fusion.pairing import (
    Match,
    View,
    choose_matches,
    faces_in_front,
    notes_on_views,
)
from fusion.request import Blend, Finish, FusionRequest
from fusion.views import source_view, surroundings, target_view
from preprocess.auto_resolution import choose_resolution
from preprocess.frame import Frame, plan_frame
from preprocess.image_file import ImageFile
from preprocess.libvips import return_free_blocks
from preprocess.resolution import AUTO

_RECOGNISED_PX = 300  # across a face: more tells nobody who it is


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """The pictures of a request and their faces.

    faces: all of the target, the largest first. views: the sources' faces, in their order.
    """

    target: ImageFile
    faces: tuple[Face, ...]
    sources: tuple[ImageFile, ...]
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is decided before any pixel of a face is read at full size.

    looked: only the pictures that are used hold pixels. matches: in the order asked for.
    """

    looked: Looked
    matches: tuple[Match, ...]
    frame: Frame
    notes: tuple[str, ...]

    @property
    def target(self) -> ImageFile:
        return self.looked.target

    @property
    def sources(self) -> tuple[ImageFile, ...]:
        return self.looked.sources

    @property
    def scale(self) -> float:
        """Output pixels per target pixel."""
        return self.frame.at.longer / self.target.size.longer


@dataclass(frozen=True, slots=True)
class Remarks:
    """Sentences for the person; see `fusion.request.FusionResult`."""

    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def plan_fusion(
    looked: Looked, request: FusionRequest, spare_mb: float, max_megapixels: float
) -> Plan:
    """Choose the faces and the size of the output.

    Args:
        spare_mb: Memory that may still be taken; for the resolution ``auto``.
        max_megapixels: Outputs above this are refused.

    Raises:
        OptionError: A face is named that there is not, or the size cannot be made.
        ImageSizeError: The output would be too large.
    """
    output, size = request.output, looked.target.size
    matches = choose_matches(request.faces, looked.faces, looked.views)
    notes = notes_on_views(matches, looked.views)
    resolution = output.resolution
    if resolution == AUTO:
        sizes = [(match.target.quality.size, match.source.quality.size) for match in matches]
        choice = choose_resolution(size, sizes, spare_mb, max_megapixels, output.fit)
        resolution, notes = choice.resolution, (choice.reason, *notes)
    boxes = [match.target.box for match in matches]
    frame = plan_frame(size, resolution, output.fit, boxes, max_megapixels)
    used = [
        source.keeping_only([match.source.box for match in matches if match.view == index])
        for index, source in enumerate(looked.sources)
    ]
    seen = Looked(looked.target.keeping_only(boxes), looked.faces, tuple(used), looked.views)
    return Plan(seen, matches, frame, notes)


def pairs_of(
    plan: Plan,
    matches: Sequence[Match],
    engine: Engine,
    blend: Blend,
    shown: float,
    progress: Progress,
) -> tuple[Pair, ...]:
    """The faces of each match as an engine sees them.

    Args:
        matches: Of the plan, in the order of laying.
        shown: Pixels that are rendered per target pixel, at most those of the output: sources
            are read that fine, and as fine as the engine looks at targets.
        progress: Checked while pictures are decoded.

    Raises:
        UnreadableImageError: The pixel data are damaged.
        MemoryLimitError: Memory ran out.
        StoppedError: ``progress`` ended the work.
    """
    sight, all_views = engine.sight(blend), engine.capabilities.all_views
    return tuple(_pair(plan, match, sight, all_views, shown, progress) for match in matches)


def prepared(
    engine: Engine, pairs: Sequence[Pair], blend: Blend, progress: Progress
) -> tuple[FusionField, ...]:
    """The engine's fields; what it needed meanwhile goes back to the system.

    Raises:
        EngineUnavailableError: The engine cannot run here.
        MemoryLimitError: Memory ran out.
        StoppedError: ``progress`` ended the work.
    """
    fields = engine.prepare(pairs, blend, progress)
    return_free_blocks()
    return fields


def needs_fields(blend: Blend, finish: Finish) -> bool:
    """Whether faces have to be prepared at all."""
    return blend.ratio > 0 or needs_faces(finish)


def finish_of(
    plan: Plan, matches: Sequence[Match], fields: Sequence[FusionField], finish: Finish
) -> tuple[Layer, ...]:
    """The layers of a finish over fields that were laid in the order of ``matches``."""
    shown = [
        FinishedFace(field, surroundings(match.target))
        for field, match in zip(fields, matches, strict=False)
    ]
    return finishing_layers(finish, shown, plan.target.size, plan.frame.at)


def remarks_on(plan: Plan, fields: Sequence[FusionField]) -> Remarks:
    """What was decided and what may disappoint, but for how the output is written."""
    read = (plan.target, *(plan.sources[match.view] for match in plan.matches))
    return Remarks(
        notes=once(plan.notes, *(field.notes for field in reversed(fields))),
        warnings=once(
            *(image.header.warnings for image in read),
            warnings_for(plan.matches, plan.scale),
            *(field.warnings for field in reversed(fields)),
        ),
    )


def once(*groups: Sequence[str]) -> tuple[str, ...]:
    """All sentences in order, none of them twice."""
    return tuple(dict.fromkeys(sentence for group in groups for sentence in group))


def _pair(
    plan: Plan, match: Match, sight: Sight, all_views: bool, shown: float, progress: Progress
) -> Pair:
    """Both faces of a match as an engine sees them.

    Args:
        all_views: Whether the person's other pictures are shown as well.
    """
    looked = plan.looked
    front = faces_in_front(match.target, looked.faces)
    others = []
    if all_views and match.suited:
        others = [
            source_view(image, view.faces[0], plan.target, _RECOGNISED_PX, sight, progress)
            for index, (image, view) in enumerate(zip(looked.sources, looked.views, strict=True))
            if index != match.view
        ]
    size = match.target.quality.size
    source = looked.sources[match.view]
    finest = min(size * plan.scale, max(size * shown, sight.target_px))
    return Pair(
        source=source_view(source, match.source, plan.target, finest, sight, progress),
        target=target_view(plan.target, match.target, sight, front, progress),
        shown=size * plan.scale,
        others=tuple(others),
    )
