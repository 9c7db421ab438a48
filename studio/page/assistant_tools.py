"""The tools of `studio.page.assistants` in the words and schemas that an assistant reads."""

from __future__ import annotations

from typing import Any

from studio.service.controls import Controls

Schema = dict[str, Any]

INSTRUCTIONS = """\
Face Fusion Studio puts the face of a source picture into a target photograph, at the
photograph's own resolution, on the computer where it runs. Use it for people who agree to it.

It reads only files that were uploaded to it, neither other files of its computer nor the web.
Upload a file first, with a program that can send it, for example
  curl -F files=@photo.jpg SERVER/gradio_api/upload
where SERVER is the address of this server without /mcp. The answer is a JSON list with the
file's path there; give that path to a tool. A picture of less than 3 MB can be given as a
data: URL instead. The result has an address from which the file can be downloaded until it is
deleted; its picture in the answer is a small one.

Usually: detect (whose faces are there?), then fuse; batch for many photographs of one person.
"""
MEANINGS = {
    "ratio": "0 leaves the target as it is, 1 shows the source's face in full",
    "mode": "how the faces are mixed: normal, blend (keeps the target's tones) or overlay",
    "shape": "0-1, how far the face's outline moves toward the source's proportions",
    "expression": "whose mouth and lids are shown: target or source",
    "keep_glasses": "whether spectacles that the target wears stay in front",
    "smooth": "0-1, smooths the fused skin",
    "brightness": "-0.5 to 0.5",
    "contrast": "-0.5 to 0.5",
    "saturation": "-0.5 to 0.5",
    "sharpen": "0-1",
    "scope": "what brightness, contrast, saturation and sharpen act on: image, or face for "
    "the fused faces alone",
    "resolution": "original, the longer side in pixels (512, 1024, 2048, 4096), WIDTHxHEIGHT or "
    "auto",
    "fit": "how another size is filled: keep (the target's aspect), pad or crop",
    "format": "of the result: same (as the target), jpeg, png, webp, tiff, avif or heic",
    "quality": "1-100 of lossy formats; null for that of a JPEG target, else 95",
    "metadata": "keep or remove EXIF, XMP and IPTC",
    "threshold": "0.1-0.9, lowest detection score of a face",
    "engine": "auto, mesh or modelscope",
    "composite": "engine modelscope only: studio, or official (exactly as ModelScope pastes)",
    "boost": "engine modelscope only: 1, 2 or 4 times the network's resolution; null for auto",
    "enhance": "engine modelscope only: 0-1, strength of the face restoration; null for auto",
}
"""What each of `Controls` means, to an assistant."""

_FILE = (
    "path that the upload was answered with, the address of a file of this server, or a data: URL"
)


def _file(told: str) -> Schema:
    return {"type": "string", "description": f"{told}: {_FILE}"}


def _files(told: str) -> Schema:
    return {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "description": f"{told}; each: {_FILE}",
    }


def _controls() -> Schema:
    """Those of `Controls`, none of them required."""
    known = Controls.model_json_schema()["properties"]
    return {
        "type": "object",
        "description": "what is to be other than usual, by name",
        "additionalProperties": False,
        "properties": {
            name: {key: value for key, value in schema.items() if key not in ("title", "default")}
            | {"description": MEANINGS[name]}
            for name, schema in known.items()
        },
    }


def _arguments(*required: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TOOLS: dict[str, tuple[str, Schema]] = {
    "fuse": (
        "Fuse the face of the source pictures into the target photograph and write a new file; "
        "the photograph stays as it is. Answers a report (size, faces, engine, seconds, warnings "
        "to pass on to the person), the file's address, and a small picture of the result.",
        _arguments(
            "target",
            "sources",
            target=_file("the photograph that gets another face"),
            sources=_files(
                "pictures whose face is taken; several are views of one person, or of several"
            ),
            faces={
                "type": "string",
                "default": "largest",
                "description": "which target faces: largest, all, indices such as 0,2, or "
                "source:target pairs such as 1:0; faces count from the largest, from 0",
            },
            controls=_controls(),
        ),
    ),
    "detect": (
        "List the faces of a picture, the largest first: index, box [x, y, width, height] in "
        "pixels, score, and how the head is turned, in degrees.",
        _arguments(
            "image",
            image=_file("the picture"),
            threshold={"type": "number", "description": MEANINGS["threshold"]},
        ),
    ),
    "batch": (
        "Fuse the face of the source pictures into many photographs. Answers what became of each "
        "and the address of a ZIP with the results and a report. One that fails does not stop the "
        "rest.",
        _arguments(
            "targets",
            "sources",
            targets=_files("the photographs, or a single ZIP file of them"),
            sources=_files("pictures of the person"),
            faces={
                "type": "string",
                "enum": ["largest", "all"],
                "default": "largest",
                "description": "which faces of each photograph are replaced",
            },
            controls=_controls(),
        ),
    ),
    "system": (
        "Tell the studio's engine and device, memory, queue, limits, versions, and which models "
        "are missing with the command that gets them.",
        _arguments(),
    ),
}
"""Each tool's description and the schema of its arguments."""
