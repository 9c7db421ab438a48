"""The command line's options, in groups that follow the request's.

A default of None leaves the value to config.yaml. Only click is imported: --help answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
FILE = click.Path(path_type=Path)


def group(*options: Decorator) -> Decorator:
    """Several options as one decorator, listed in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


FILES = group(
    click.option("--target", type=FILE, required=True, help="Photograph that gets another face."),
    click.option(
        "--source",
        "sources",
        type=FILE,
        required=True,
        multiple=True,
        help="Picture whose face is taken. Repeated: views of one person, of which the best suited "
        "is taken for each target face; or several people, see --faces.",
    ),
    click.option(
        "--output",
        type=FILE,
        required=True,
        help="File to write; its suffix is the format: .jpg, .jpeg, .png, .webp, .tif, .tiff, "
        ".avif, .heic.",
    ),
)

BLEND = group(
    click.option(
        "--ratio", type=float, help="0 leaves the target as it is, 1 shows the source's face [0.6]."
    ),
    click.option(
        "--mode",
        help="How the faces are mixed: normal; blend, which keeps the target's tones and soft "
        "transitions; overlay, through which the target shows [normal].",
    ),
    click.option(
        "--shape",
        type=float,
        help="How far the outline moves toward the source's proportions, and features the rest of "
        "their way, 0-1 [0.35].",
    ),
    click.option("--expression", help="Whose mouth and lids: target or source [target]."),
    click.option(
        "--keep-glasses/--no-keep-glasses",
        default=None,
        help="Whether spectacles that the target wears stay in front [they do].",
    ),
)

NETWORK = group(
    click.option(
        "--composite",
        help="Engine modelscope: studio, which keeps the target's light, hair and grain; or "
        "official, exactly as ModelScope pastes [studio].",
    ),
    click.option(
        "--boost",
        help="Engine modelscope: 1, 2 or 4 times the network's own resolution; auto goes by the "
        "face's size and the device [auto].",
    ),
    click.option(
        "--enhance",
        help="Engine modelscope: how much of the face restoration GPEN shows, 0-1; auto goes by "
        "the face's size [auto].",
    ),
)

SELECTION = group(
    click.option(
        "--faces",
        default="largest",
        help="Target faces: largest, all, indices (0,2) or source:target pairs (1:0). Faces count "
        "from the largest; those of several sources are numbered on from picture to picture.",
    ),
)

OUTPUT = group(
    click.option(
        "--resolution",
        default="original",
        help="original; the longer side in pixels: 512, 1024, 2048, 4096; WIDTHxHEIGHT; or auto, "
        "which chooses by the faces and the free memory.",
    ),
    click.option(
        "--fit",
        default="keep",
        help="keep: the target's aspect ratio, inside the size; pad: exactly the size, with a "
        "mirrored border; crop: exactly the size, cut around the faces.",
    ),
    click.option(
        "--quality",
        type=int,
        help="Quality of JPEG, WebP, AVIF and HEIC, 1-100 [that of a JPEG target, else 95].",
    ),
    click.option(
        "--jpeg-graft",
        help="Replace only the blocks under the face of a JPEG: auto, always or never [auto].",
    ),
    click.option(
        "--metadata",
        default="keep",
        help="keep: EXIF, XMP, IPTC and comments of the target come along; remove: none of them, "
        "only colour profile and resolution [keep].",
    ),
)

FINISH = group(
    click.option("--smooth", type=float, default=0.0, help="Smooth the fused skin, 0-1 [0]."),
    click.option("--brightness", type=float, default=0.0, help="-0.5 to 0.5 [0]."),
    click.option("--contrast", type=float, default=0.0, help="-0.5 to 0.5 [0]."),
    click.option("--saturation", type=float, default=0.0, help="-0.5 to 0.5 [0]."),
    click.option("--sharpen", type=float, default=0.0, help="0-1 [0]."),
    click.option(
        "--scope",
        default="image",
        help="What brightness, contrast, saturation and sharpen act on: image, or face for the "
        "fused faces alone.",
    ),
)

DETECTION = group(
    click.option(
        "--threshold", type=float, help="Lowest detection score of a face, 0.1-0.9 [0.5]."
    ),
    click.option(
        "--min-face",
        type=int,
        help="Smallest face in pixels, at least 24 [a fiftieth of the longer side].",
    ),
)

MACHINE = group(
    click.option(
        "--engine",
        help="mesh; modelscope; or auto: modelscope where its files and a GPU are, else mesh "
        "[auto].",
    ),
    click.option(
        "--max-memory-mb",
        type=int,
        help="MiB that the fusion may hold in all its processes, at least 300 [what is free].",
    ),
)
