"""What the page's own components show, as the plain values that their scripts read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from common.errors import StudioError
from common.types import Face, Region, Size
from fusion.request import FusionResult
from preprocess.frame import Frame, plan_frame
from preprocess.resolution import Resolution
from studio.page.texts import Language, say
from studio.service.fusion_service import EngineStatus, Fused, Photo, Role
from studio.service.jobs import JobStatus

if TYPE_CHECKING:
    from fusion.engines.unet.devices import Gpu

View = dict[str, Any]
EMPTY_STAGE: View = {"state": "empty"}

EMPTY_PICKER: View = {"faces": []}  # not None: the browser must see it as a change
BUSY_PICKER: View = {"busy": True}

FOLDERS = re.compile(r"(?<![^\s'\"(])/(?=[^\s/])(?:[^/\s'\"]+/)*")
BESIDE_FACES = 0.06  # of the picture's width, from the divider to the first new face


def photo_view(photo: Photo, role: Role, smallest: int, language: Language) -> View:
    """A picker with its photograph and the faces found, the largest one chosen.

    Args:
        smallest: The smallest face that was looked for, px; named when there is none.
    """
    view: View = {
        "url": file_link(photo.preview),
        "name": photo.name,
        "facts": f"{photo.name} · {pixels(photo.size, language)}",
        "width": photo.shown.width,
        "height": photo.shown.height,
        "faces": [outline(face, photo.size) for face in photo.faces],
        "chosen": [0] if photo.faces else [],
    }
    if not photo.faces:
        view["message"] = say(language, f"no_face_{role}", name=photo.name, pixels=smallest)
    return view


def busy_view(status: JobStatus, target: Photo) -> View:
    """The stage while a job waits or runs."""
    return {
        "state": "busy",
        "position": status.position,
        "stage": status.stage,
        "fraction": round(status.fraction, 3),
        "stopping": status.stopping,
        "before": file_link(target.preview),
        "width": target.size.width,
        "height": target.size.height,
    }


def done_view(fused: Fused, target: Photo, language: Language) -> View:
    """The stage with a result; without a preview it has only the facts and the file."""
    result = fused.result
    warnings = [stand_alone(warning) for warning in result.warnings]
    if fused.preview is None:
        warnings.append(say(language, "no_preview"))
    output = result.request.output.path
    megabytes = output.stat().st_size / 1e6
    seconds = f"{result.seconds['total']:.1f}"
    engine = say(language, "engine_on", engine=result.engine, device=result.device)
    boxes = [face.box for face, used in result.faces if used]
    frame = _frame(result, boxes, target.size)
    return {
        "state": "done",
        "before": file_link(target.preview),
        "after": None if fused.preview is None else file_link(fused.preview),
        "width": result.size.width,
        "height": result.size.height,
        "placed": _placed(frame),
        "divide": _divider(boxes, target.size, frame),
        "link": file_link(output),
        "file": output.name,
        "facts": [
            ["fact_size", pixels(result.size, language)],
            ["fact_file", f"{result.format.upper()} · {megabytes:.1f} MB"],
            ["fact_time", say(language, "seconds", seconds=seconds)],
            ["fact_engine", engine],
            ["fact_written", say(language, result.written)],
        ],
        "why": stand_alone(result.engine_reason) if result.engine_reason else "",
        "notes": [stand_alone(note) for note in result.notes],
        "warnings": warnings,
    }


def engine_lines(status: EngineStatus, storage: Path, language: Language) -> list[str]:
    """The engine that will be used, why, and how to get the other; then each GPU."""
    choice = status.choice
    line = say(language, f"engine_{choice.reason}", engine=choice.engine)
    if status.problem is not None:
        problem = say(language, "engine_problem")
        line = " ".join((line, problem, sentence(status.problem, storage, language)))
    return [line, *(_gpu_line(gpu, language) for gpu in status.gpus)]


def _gpu_line(gpu: Gpu, language: Language) -> str:
    used, total = (f"{megabytes / 1024:.1f}" for megabytes in (gpu.used_mb, gpu.total_mb))
    line = say(language, "gpu", name=gpu.name, used=used, total=total)
    if gpu.utilisation is None:
        return line
    return line + say(language, "gpu_load", percent=gpu.utilisation)


def note_view(text: str) -> View:
    """The empty stage with a calm sentence."""
    return EMPTY_STAGE | {"note": text}


def error_view(error: StudioError, storage: Path, language: Language) -> View:
    """The empty stage with a sentence about what went wrong."""
    return EMPTY_STAGE | {"message": sentence(error, storage, language)}


def sentence(error: StudioError, storage: Path, language: Language) -> str:
    """The error for the page: files by their names, not by where the server keeps them.

    Args:
        storage: The folder of uploads and results; its name may contain spaces, and so may
            those of the files in it.
    """
    message = stand_alone(error.message.replace(str(storage), ""))
    # Afterwards, so that a file's name at the beginning keeps its small letter.
    return say(language, "error_lead") + FOLDERS.sub("", message)


def stand_alone(text: str) -> str:
    """Errors and warnings are written to follow a colon; here they stand alone."""
    first = text[:1].upper() + text[1:]
    return first if first.endswith((".", "!", "?", "。")) else first + "."


def pixels(size: Size, language: Language) -> str:
    return say(language, "pixels", width=size.width, height=size.height)


def _frame(result: FusionResult, faces: Sequence[Region], target: Size) -> Frame:
    """Where the result lies in the target."""
    fit = result.request.output.fit
    if fit == "keep":
        return Frame(result.size, Region.whole(result.size))
    # Whatever was asked for, it was answered with this size.
    return plan_frame(target, Resolution(exact=result.size), fit, faces, float("inf"))


def _placed(frame: Frame) -> dict[str, float]:
    """Where the target's preview lies in the result, percent of the result's sides."""
    window, at = frame.window, frame.at
    return {
        "left": round(-100 * window.x / window.width, 4),
        "top": round(-100 * window.y / window.height, 4),
        "across": round(100 * at.width / window.width, 4),
        "down": round(100 * at.height / window.height, 4),
    }


def _divider(faces: Sequence[Region], target: Size, frame: Frame) -> float:
    """Where the divider starts, percent from the left: every new face is to its right."""
    if not faces:
        return 50.0
    left = min(box.x for box in faces) * frame.at.width / target.width - frame.window.x
    first = left / frame.window.width - BESIDE_FACES
    return round(100 * min(max(first, 0.04), 0.5), 2)


def file_link(path: Path) -> str:
    """Where Gradio serves a file of its cache folder, relative to the page."""
    return "gradio_api/file=" + quote(path.as_posix())


def outline(face: Face, size: Size) -> dict[str, float]:
    """The face's box clipped to the picture, as percentages of its width and height."""
    box = face.box.clip(size)
    return {
        "x": round(100 * box.x / size.width, 3),
        "y": round(100 * box.y / size.height, 3),
        "w": round(100 * box.width / size.width, 3),
        "h": round(100 * box.height / size.height, 3),
    }
