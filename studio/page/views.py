"""What the page's parts show, as the plain values that their scripts read.

Texts come in both languages; the browser shows the one it is set to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from common.types import Region, Size
from fusion.request import FusionResult
from preprocess.frame import Frame, plan_frame
from preprocess.resolution import Resolution
from studio.page.messages import for_page
from studio.page.texts import both
from studio.page.texts.language import Bilingual
from studio.service.jobs import JobStatus
from studio.service.wish import Fused, Photo, Role

View = dict[str, Any]
ENGINE_NAMES = {"mesh": "Mesh", "modelscope": "ModelScope"}
"""How the page writes them."""
BESIDE_FACES = 0.06  # of the picture's width, from the divider to the first new face


def photo_view(name: str, photo: Photo, role: Role, smallest: int) -> View:
    """A photograph and the faces found in it.

    Args:
        name: Its id.
        smallest: The smallest face that was looked for, px; named when there is none.
    """
    message = None
    if not photo.faces:
        message = both(f"no_face_{role}", name=photo.name, pixels=smallest)
    return {
        "id": name,
        "url": file_link(photo.preview),
        "name": photo.name,
        "size": [photo.size.width, photo.size.height],
        "width": photo.shown.width,
        "height": photo.shown.height,
        "format": photo.format,
        "threshold": photo.threshold,
        "faces": [outline(face.box, photo.size) for face in photo.faces],
        "message": message,
    }


def busy_view(status: JobStatus, remaining: float | None) -> View:
    """A job that waits or runs.

    Args:
        remaining: Seconds that it will still run; None where that is not known.
    """
    return {
        "state": "busy",
        "position": status.position,
        "stage": status.stage,
        "fraction": round(status.fraction, 3),
        "stopping": status.stopping,
        "remaining": None if remaining is None else round(remaining, 1),
    }


def done_view(fused: Fused, target: Size, before: Path, storage: Path) -> View:
    """A result; without a preview it has only the facts and the file.

    Args:
        target: Size of the target.
        before: The target's preview.
        storage: The folder of uploads and results; no text tells where it is.
    """
    result = fused.result
    warnings = [for_page(warning, storage) for warning in result.warnings]
    if fused.preview is None:
        warnings.append(both("no_preview"))
    output = result.request.output.path
    frame = frame_of(result, target)
    boxes = [face.box for face, used in result.faces if used]
    return {
        "state": "done",
        "before": file_link(before),
        "after": None if fused.preview is None else file_link(fused.preview),
        "width": result.size.width,
        "height": result.size.height,
        "placed": _placed(frame),
        "divide": _divider(boxes, target, frame),
        "faces": [_shown(box, target, frame) for box in boxes],
        "link": file_link(output),
        "file": output.name,
        "bytes": output.stat().st_size,
        "facts": _facts(result),
        "why": for_page(result.engine_reason, storage) if result.engine_reason else None,
        "notes": [for_page(note, storage) for note in result.notes],
        "warnings": warnings,
    }


def _facts(result: FusionResult) -> list[tuple[str, Bilingual]]:
    """Name of a text and what it says of this result."""
    plain = result.format.upper()
    seconds = f"{result.seconds['total']:.1f}"
    engine = ENGINE_NAMES.get(result.engine, result.engine)
    return [
        ("fact_size", both("pixels", width=result.size.width, height=result.size.height)),
        ("fact_file", {"en": plain, "zh": plain}),
        ("fact_time", both("seconds", seconds=seconds)),
        ("fact_engine", both("engine_on", engine=engine, device=device_name(result.device))),
        ("fact_written", both(f"written_{result.written}")),
    ]


def device_name(device: str) -> str:
    """``cpu`` -> CPU, ``cuda:0`` -> GPU 0."""
    kind, _, number = device.partition(":")
    return "CPU" if kind == "cpu" else f"GPU {number or 0}"


def frame_of(result: FusionResult, target: Size) -> Frame:
    """Where the result lies in the target."""
    fit = result.request.output.fit
    if fit == "keep":
        return Frame(result.size, Region.whole(result.size))
    boxes = [face.box for face, used in result.faces if used]
    # Whatever was asked for, it was answered with this size.
    return plan_frame(target, Resolution(exact=result.size), fit, boxes, float("inf"))


def _placed(frame: Frame) -> dict[str, float]:
    """Where the target's preview lies in the result, percent of the result's sides."""
    window, at = frame.window, frame.at
    return {
        "left": round(-100 * window.x / window.width, 4),
        "top": round(-100 * window.y / window.height, 4),
        "across": round(100 * at.width / window.width, 4),
        "down": round(100 * at.height / window.height, 4),
    }


def _shown(box: Region, target: Size, frame: Frame) -> dict[str, float]:
    """A target's face in the result, percent of the result's sides."""
    at = box.scale(frame.at.width / target.width, frame.at.height / target.height)
    window = frame.window
    moved = Region(at.x - window.x, at.y - window.y, at.width, at.height)
    return outline(moved, window.size)


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


def outline(box: Region, size: Size) -> dict[str, float]:
    """A face's box clipped to its picture, as percentages of the picture's width and height."""
    inside = box.clip(size)
    return {
        "x": round(100 * inside.x / size.width, 3),
        "y": round(100 * inside.y / size.height, 3),
        "w": round(100 * inside.width / size.width, 3),
        "h": round(100 * inside.height / size.height, 3),
    }
