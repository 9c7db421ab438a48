"""What the page's own components show, as the plain values that their scripts read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.errors import StudioError
from common.types import Region, Size
from fusion.request import FusionResult
from studio.page.preview import file_link, outline, preview_size
from studio.page.texts import Language, say
from studio.service.fusion_service import Photo
from studio.service.jobs import JobStatus

Role = Literal["target", "source"]
View = dict[str, Any]
EMPTY_STAGE: View = {"state": "empty"}
BESIDE_FACES = 0.06  # of the picture's width, from the divider to the first new face


@dataclass(frozen=True, slots=True)
class Loaded:
    """A photograph of a session.

    preview: link to the small picture of it that the browser shows.
    """

    photo: Photo
    preview: str


def photo_view(loaded: Loaded, role: Role, smallest: int, longest: int, language: Language) -> View:
    """A picker with its photograph and the faces found, the largest one chosen.

    Args:
        smallest: The smallest face that was looked for, px; named when there is none.
        longest: Longer side of the preview, px.
    """
    photo = loaded.photo
    shown = preview_size(photo.size, longest)
    view: View = {
        "url": loaded.preview,
        "name": photo.name,
        "facts": f"{photo.name} · {pixels(photo.size, language)}",
        "width": shown.width,
        "height": shown.height,
        "faces": [outline(face, photo.size) for face in photo.faces],
        "chosen": [0] if photo.faces else [],
    }
    if not photo.faces:
        view["message"] = say(language, f"no_face_{role}", name=photo.name, pixels=smallest)
    return view


def busy_view(status: JobStatus, target: Loaded) -> View:
    """The stage while a job waits or runs."""
    return {
        "state": "busy",
        "position": status.position,
        "stage": status.stage,
        "fraction": round(status.fraction, 3),
        "stopping": status.stopping,
        "before": target.preview,
        "width": target.photo.size.width,
        "height": target.photo.size.height,
    }


def done_view(result: FusionResult, target: Loaded, after: Path, language: Language) -> View:
    """The stage with a result.

    Args:
        after: The preview of the result.
    """
    output = result.request.output.path
    megabytes = output.stat().st_size / 1e6
    seconds = f"{result.seconds['total']:.1f}"
    engine = say(language, "engine_on", engine=result.engine, device=result.device)
    return {
        "state": "done",
        "before": target.preview,
        "after": file_link(after),
        "width": result.size.width,
        "height": result.size.height,
        "divide": _divider([face.box for face, used in result.faces if used], target.photo.size),
        "link": file_link(output),
        "file": output.name,
        "facts": [
            ["fact_size", pixels(result.size, language)],
            ["fact_file", f"{result.format.upper()} · {megabytes:.1f} MB"],
            ["fact_time", say(language, "seconds", seconds=seconds)],
            ["fact_engine", engine],
        ],
        "warnings": [stand_alone(warning) for warning in result.warnings],
    }


def note_view(text: str) -> View:
    """The empty stage with a calm sentence."""
    return EMPTY_STAGE | {"note": text}


def error_view(error: StudioError, paths: Sequence[Path], language: Language) -> View:
    """The empty stage with a sentence about what went wrong."""
    return EMPTY_STAGE | {"message": sentence(error, paths, language)}


def sentence(error: StudioError, paths: Sequence[Path], language: Language) -> str:
    """The error for the page: files by their names, not by where the server keeps them."""
    message = stand_alone(error.message)
    for path in paths:
        for form in sorted({str(path), str(path.resolve())}, key=len, reverse=True):
            message = message.replace(form, path.name)
    return say(language, "error_lead") + message


def stand_alone(text: str) -> str:
    """Errors and warnings are written to follow a colon; here they stand alone."""
    first = text[:1].upper() + text[1:]
    return first if first.endswith((".", "!", "?", "。")) else first + "."


def pixels(size: Size, language: Language) -> str:
    return say(language, "pixels", width=size.width, height=size.height)


def _divider(faces: Sequence[Region], picture: Size) -> float:
    """Where the divider starts, percent from the left: every new face is to its right."""
    if not faces:
        return 50.0
    first = min(box.x for box in faces) / picture.width - BESIDE_FACES
    return round(100 * min(max(first, 0.04), 0.5), 2)
