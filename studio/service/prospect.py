"""What a fusion will do, as far as that can be known before any pixel of it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import StudioError
from common.settings import Settings
from common.types import Region, Size, separated
from fusion.request import Finish, FusionResult
from preprocess.frame import Frame, plan_frame
from preprocess.resolution import AUTO, ORIGINAL, Resolution
from studio.service.controls import SUFFIXES
from studio.service.storage import download_name

if TYPE_CHECKING:
    from fusion.engines.base import Capabilities
    from fusion.pairing import Match
    from studio.service.wish import Photo, Wish

_MOST = 0.9  # share of changed pixels above which the pipeline does not graft


@dataclass(frozen=True, slots=True, eq=False)
class Prospect:
    """The decisions of a fusion.

    matches: in the order asked for. frame: where the output lies in the target. faces: their
    boxes in the output. regions: where its pixels may change.
    written: as in `FusionResult`.
    """

    matches: tuple[Match, ...]
    frame: Frame
    faces: tuple[Region, ...]
    regions: tuple[Region, ...]
    written: str

    @property
    def size(self) -> Size:
        """Of the output."""
        return self.frame.size


def look_ahead(wish: Wish, capabilities: Capabilities, settings: Settings) -> Prospect:
    """Decide as `fusion.pipeline` will.

    What auto chooses depends on the memory that is free, so it may choose otherwise later.

    Raises:
        OptionError: A value is out of range, or the engine cannot do what is asked.
        ImageSizeError: The result would be too large, or the faces do not fit into a crop.
        OutputError: The format cannot hold a picture of that size.
    """
    from fusion.pairing import View, choose_matches
    from fusion.views import surroundings
    from preprocess.image_write import check_size

    wish.check()
    controls, target = wish.controls, wish.target
    capabilities.check(controls.blend(bool(capabilities.composites)))
    views = [View(photo.path, photo.size, photo.faces) for photo in wish.sources]
    matches = choose_matches(wish.faces, target.faces, views)
    resolution = Resolution.parse(controls.resolution)
    if resolution == AUTO:
        resolution = _chosen(matches, target.size, controls.fit, settings)
    boxes = [match.target.box for match in matches]
    limit = settings.limits.max_megapixels
    frame = plan_frame(target.size, resolution, controls.fit, boxes, limit)
    name = download_name(target.name, controls.suffix(target.format))
    check_size(Path(name), frame.size)
    faces = _placed(boxes, frame, target.size)
    around = _placed([surroundings(match.target) for match in matches], frame, target.size)
    regions = _changing(around, frame, controls.ratio, controls.finish())
    return Prospect(matches, frame, faces, regions, _written(wish, frame, regions, settings))


def look_back(
    wish: Wish, result: FusionResult, capabilities: Capabilities, settings: Settings
) -> Prospect:
    """Likewise for a fusion that is done, with what it decided itself."""
    size = result.size
    keeps_its_own = size == wish.target.size
    known = ORIGINAL if keeps_its_own else Resolution(exact=size)
    controls = wish.controls.model_copy(update={"resolution": str(known)})
    of_its_size = type(wish)(wish.target, wish.sources, wish.faces, controls)
    ahead = look_ahead(of_its_size, capabilities, settings)
    return replace(ahead, written=result.written)


def _chosen(matches: tuple[Match, ...], size: Size, fit: str, settings: Settings) -> Resolution:
    from fusion.memory import Budget
    from preprocess.auto_resolution import choose_resolution

    faces = [(match.target.quality.size, match.source.quality.size) for match in matches]
    limits = settings.limits
    spare = Budget.of(limits.max_memory_mb).spare_mb()
    return choose_resolution(size, faces, spare, limits.max_megapixels, fit).resolution


def _placed(parts: Sequence[Region], frame: Frame, target: Size) -> tuple[Region, ...]:
    """Parts of the target as far as the output shows them."""
    window = frame.window.clip(frame.at)
    across, down = frame.at.width / target.width, frame.at.height / target.height
    return tuple(part.scale(across, down).intersect(window) for part in parts)


def _changing(
    around: Sequence[Region], frame: Frame, ratio: float, finish: Finish
) -> tuple[Region, ...]:
    from fusion.finishing import needs_faces

    everywhere = (finish.sharpen, finish.brightness, finish.contrast, finish.saturation)
    if finish.scope == "image" and any(everywhere):
        return (frame.window.clip(frame.at),)
    return separated(around) if ratio > 0 or needs_faces(finish) else ()


def _written(wish: Wish, frame: Frame, regions: tuple[Region, ...], settings: Settings) -> str:
    controls, target = wish.controls, wish.target
    own = frame.at == target.size and frame.is_whole
    kept = controls.suffix(target.format) == SUFFIXES[target.format] and target.format != "gif"
    if not (own and kept):
        return "encoded"
    if not regions and controls.metadata == "keep":
        return "copied"
    if not regions:
        return "stripped" if target.format == "jpeg" else "encoded"
    changed = sum(region.pixels for region in regions)
    grafted = (
        target.format == "jpeg"
        and controls.quality is None
        and settings.output.jpeg_graft != "never"
        and changed <= _MOST * frame.at.pixels
        and _can_be_grafted(target)
    )
    return "grafted" if grafted else "encoded"


def _can_be_grafted(target: Photo) -> bool:
    from preprocess.jpeg_graft import obstacle
    from preprocess.jpeg_header import read_jpeg_header

    try:
        return obstacle(read_jpeg_header(target.path)) is None
    except StudioError:  # swept away meanwhile, or odd; the fusion itself will say so
        return False
