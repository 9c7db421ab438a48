"""How much work a fusion is: amounts of each kind of work in each stage of the pipeline.

An amount counts something whose time grows with it: megapixels through a decoder, faces that are
prepared, megapixels that an encoder takes. What one of them costs on this machine is
`studio.service.cost_model`'s to know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.types import Face, Size
from studio.service.controls import SAME
from studio.service.prospect import Prospect

if TYPE_CHECKING:
    from fusion.engines.base import Capabilities
    from fusion.pairing import Match
    from studio.service.controls import Controls
    from studio.service.wish import Photo, Wish

STAGES = ("read", "detect", "prepare", "render", "write", "show")
"""Those of `FusionResult.seconds`, and what else there is: above all the preview of the result."""

Amounts = Mapping[str, float]
"""By the name of a term of `cost_model.TERMS`."""
Work = Mapping[str, Amounts]
"""Amounts by stage; what is absent is 0."""

_MILLION = 1e6
_OVERVIEW_PX = 1024  # longer side of what faces are looked for in
_PREVIEW_PX = 1600  # by default; what is read for it hardly depends on it
_FINE_ENOUGH = 205.0  # px across a face in it, below which the face is read once more
_SOURCE_RESERVE = 1.25  # how much finer than the output a source is read
_PER_MEGABYTE = {"jpeg": 0.6, "png": 0.25, "webp": 0.5, "tiff": 0.3, "avif": 2.0, "heic": 2.0}
"""Megapixels that take a decoder as long as a megabyte of code does, besides the pixels'."""
_USUAL_BYTES = 0.4  # of a compressed picture, per pixel, where its file cannot be asked
_FACE_POWER = 0.6  # of its pixels by which a face's rendering grows: small ones cost more for each
_ENHANCE_FROM_PX = 220.0  # as `fusion.engines.unet.rooms` chooses by itself
_NATIVE_PX = 180.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What the engine computes on, and whether it has to be loaded first."""

    neural: bool
    device: str
    cold: bool

    @classmethod
    def of(cls, capabilities: Capabilities, cold: bool) -> Machine:
        device = "cpu" if capabilities.device == "cpu" else "gpu"
        return cls(bool(capabilities.composites), device, cold)


def work_of(wish: Wish, prospect: Prospect, machine: Machine) -> Work:
    """The amounts of a fusion.

    Args:
        prospect: What it will do, or has done.
    """
    from fusion.finishing import needs_faces

    stages: dict[str, dict[str, float]] = {stage: defaultdict(float) for stage in STAGES}
    shown = prospect.frame.at.longer / wish.target.size.longer
    _add_reading(stages["read"], wish, prospect, shown)
    _add_detection(stages["detect"], wish)
    if machine.cold:
        stages["prepare"]["start"] = 1
    if wish.controls.ratio > 0 or needs_faces(wish.controls.finish()):
        _add_preparation(stages["prepare"], wish, prospect.matches, machine, shown)
    _add_rendering(stages["render"], wish.controls, prospect)
    _add_writing(stages["write"], wish, prospect)
    _add_decoding(stages["show"], _kind(wish), prospect.size, None, 1.0, _preview(prospect.size))
    stages["show"]["preview"] = 1
    stages["show"]["gather"] = sum(region.pixels for region in prospect.regions) / _MILLION
    return {stage: dict(amounts) for stage, amounts in stages.items()}


def _preview(size: Size) -> float:
    """The scale of a result's preview."""
    return _PREVIEW_PX / size.longer


def _kind(wish: Wish) -> str:
    """The format of the result."""
    wanted = wish.controls.format
    given = "png" if wish.target.format == "gif" else wish.target.format
    return given if wanted == SAME else wanted


def _add_reading(amounts: dict[str, float], wish: Wish, prospect: Prospect, shown: float) -> None:
    target, at = wish.target, prospect.frame.at
    amounts["open"] += 1 + len(wish.sources)
    if not prospect.matches or not prospect.regions:
        return
    # The skin close by is read at full size, as far down as the lowest face.
    lowest = max(match.target.box.bottom for match in prospect.matches) / target.size.height
    if target.size.longer > _OVERVIEW_PX:
        _add_decoding_of(amounts, target, min(lowest, 1.0), 1.0)
    for match in prospect.matches:
        source = wish.sources[match.view]
        wanted = _SOURCE_RESERVE * match.target.quality.size * shown / match.source.quality.size
        if wanted > _OVERVIEW_PX / source.size.longer:
            _add_decoding_of(amounts, source, 1.0, min(wanted, 1.0))
    last = max(region.bottom for region in prospect.regions) / at.height
    if shown > 1:
        _add_decoding_of(amounts, target, 1.0, 1.0)
        amounts["enlarge"] += at.pixels / _MILLION
    else:
        _add_decoding_of(amounts, target, min(last, 1.0), shown)


def _add_detection(amounts: dict[str, float], wish: Wish) -> None:
    pictures = (wish.target, *dict.fromkeys(wish.sources))
    for place, photo in enumerate(pictures):
        share = 1.0 if place == 0 else 0.5  # a source is looked at beside the target
        amounts["look"] += share
        amounts["look_face"] += len(photo.faces) * share
        factor = _OVERVIEW_PX / photo.size.longer
        passes: dict[str, float] = defaultdict(float)
        _add_decoding_of(passes, photo, 1.0, factor)
        if factor < 1 and any(face.quality.size * factor < _FINE_ENOUGH for face in photo.faces):
            _add_decoding_of(passes, photo, _lowest(photo.faces, photo.size), 1.0)
        for name, amount in passes.items():
            amounts[name] += amount * share


def _lowest(faces: Sequence[Face], size: Size) -> float:
    """How far down faces reach, as a share of the picture's height."""
    return min(1.0, max(face.box.bottom for face in faces) / size.height)


def _add_preparation(
    amounts: dict[str, float],
    wish: Wish,
    matches: Sequence[Match],
    machine: Machine,
    shown: float,
) -> None:
    controls, place = wish.controls, machine.device
    for match in matches:
        height = match.target.quality.size * shown
        read = min(_SOURCE_RESERVE * height, match.source.quality.size)
        amounts["prepare_face"] += 1
        amounts["prepare_mp"] += read**2 / _MILLION
        if not machine.neural or controls.ratio == 0:
            continue
        official = controls.composite == "official"
        crops = _boost(controls, height, place) ** 2
        amounts[f"fuse_{place}"] += crops
        if not official:
            amounts["paint"] += 1 + crops / 16  # our own work on what the networks answer
        enhanced = height > _ENHANCE_FROM_PX if controls.enhance is None else controls.enhance > 0
        amounts[f"enhance_{place}"] += official or enhanced
    if machine.neural and controls.ratio > 0:
        amounts[f"recognise_{place}"] += len(matches) + len(wish.sources)
        if machine.cold:
            amounts[f"load_{place}"] += 1


def _boost(controls: Controls, height: float, place: str) -> int:
    """How many times finer than its own pixels the network computes a face."""
    if controls.composite == "official":
        return 1
    if controls.boost is not None:
        return controls.boost
    most = 2 if place == "cpu" else 4
    return min(most, 1 if height <= _NATIVE_PX else 2 if height <= 2 * _NATIVE_PX else 4)


def _add_rendering(amounts: dict[str, float], controls: Controls, prospect: Prospect) -> None:
    faces = sum(face.pixels for face in prospect.faces) / _MILLION
    everywhere = sum(region.pixels for region in prospect.regions) / _MILLION
    amounts["render"] += everywhere
    if controls.ratio > 0:
        amounts["render_face"] += sum(
            (face.pixels / _MILLION) ** _FACE_POWER for face in prospect.faces
        )
    if controls.smooth > 0:
        amounts["render_smooth"] += faces
    area = everywhere if controls.scope == "image" else faces
    if controls.sharpen > 0:
        amounts["render_sharpen"] += area
    if any((controls.brightness, controls.contrast, controls.saturation)):
        amounts["render_tone"] += area


def _add_writing(amounts: dict[str, float], wish: Wish, prospect: Prospect) -> None:
    target, size = wish.target, prospect.size
    if prospect.written in ("copied", "stripped"):
        amounts["copy"] += _megabytes(target)
        return
    if prospect.written == "grafted":
        amounts["graft"] += target.size.pixels / _MILLION + _megabytes(target)
        amounts["graft_part"] += sum(region.pixels for region in prospect.regions) / _MILLION
        return
    at = prospect.frame.at
    shown = at.longer / target.size.longer
    if shown <= 1:
        _add_decoding_of(amounts, target, 1.0, shown)
    if shown < 1:
        amounts["resize"] += at.pixels / _MILLION
    amounts[f"encode_{_kind(wish)}"] += size.pixels / _MILLION


def _add_decoding_of(amounts: dict[str, float], photo: Photo, share: float, factor: float) -> None:
    """One pass of the decoder.

    Args:
        share: Of the picture's rows that are decoded, from the top.
        factor: The scale that is wanted, at which a JPEG need not be decoded in full.
    """
    _add_decoding(amounts, photo.format, photo.size, _megabytes(photo), share, factor)


def _add_decoding(
    amounts: dict[str, float],
    kind: str,
    size: Size,
    megabytes: float | None,
    share: float,
    factor: float = 1.0,
) -> None:
    million = size.pixels / _MILLION
    if megabytes is None:
        megabytes = _USUAL_BYTES * million
    shrink = 1
    while kind == "jpeg" and shrink < 8 and factor * 4 * shrink <= 1:
        shrink *= 2
    code = _PER_MEGABYTE.get(kind, 0.3) * megabytes
    amounts[f"decode_{kind}"] += share * (million / shrink**1.5 + code)


def _megabytes(photo: Photo) -> float:
    try:
        return photo.path.stat().st_size / _MILLION
    except OSError:  # swept away meanwhile
        return _USUAL_BYTES * photo.size.pixels / _MILLION
