"""The pictures that the browser shows: small JPEGs made here, never the uploaded file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from PIL import Image

from common.types import Face, Region, Size

if TYPE_CHECKING:
    from preprocess.image_file import ImageFile

PREVIEW_QUALITY = 88


def preview_size(size: Size, longest: int) -> Size:
    """``size``, or the same aspect with a longer side of ``longest`` if it is larger."""
    if size.longer <= longest:
        return size
    scale = longest / size.longer
    return Size(max(1, round(size.width * scale)), max(1, round(size.height * scale)))


def write_preview(image: ImageFile, longest: int, path: Path) -> None:
    """Write ``image`` as an sRGB JPEG whose longer side is at most ``longest`` px.

    Raises:
        UnreadableImageError: The picture's data is damaged.
    """
    size = preview_size(image.size, longest)
    pixels = image.read_srgb(Region.whole(size), at=size)
    Image.fromarray(pixels).save(path, "JPEG", quality=PREVIEW_QUALITY)


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
