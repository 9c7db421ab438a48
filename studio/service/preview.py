"""The pictures that the browser shows: small JPEGs made here, never the uploaded file.

This module loads Pillow and OpenCV; import it only when a preview is wanted.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from common.progress import Progress
from common.types import Size
from preprocess.image_file import ImageFile
from preprocess.window import scaled_size
from studio.service.storage import storage_errors

PREVIEW_QUALITY = 88


def preview_size(size: Size, longest: int) -> Size:
    """``size``, or the same aspect with a longer side of ``longest`` if it is larger."""
    return scaled_size(size, min(1.0, longest / size.longer))


def write_preview(image: ImageFile, longest: int, path: Path, progress: Progress) -> Size:
    """Write ``image`` as an sRGB JPEG whose longer side is at most ``longest`` px.

    Returns:
        The size of the preview.

    Raises:
        UnreadableImageError: The picture's data is damaged.
        ResourceError: There is no room for it.
        StoppedError: ``progress`` ended the work.
    """
    size = preview_size(image.size, longest)
    pixels = np.ascontiguousarray(image.shown(size, progress))
    progress.check()
    encoded = io.BytesIO()  # not into the file: Pillow may keep the reason of a failure to itself
    Image.fromarray(pixels).save(encoded, "JPEG", quality=PREVIEW_QUALITY)
    with storage_errors():
        path.write_bytes(encoded.getvalue())
    return size
