"""A part of a picture at its own pixels, for looking at it closely.

This module loads Pillow; import it only when such a part is wanted.
"""

from __future__ import annotations

import io

from PIL import Image

from common.errors import OptionError
from common.types import Region, Size
from preprocess.image_file import ImageFile

QUALITY = 92
MOST_PIXELS = 6_000_000


def read_close_up(image: ImageFile, region: Region, at: Size) -> bytes:
    """A part of a picture as an sRGB JPEG.

    Args:
        image: Of any size and colours.
        region: In the picture reduced to ``at``; what lies outside it is left out.
        at: At most the picture's own size.

    Raises:
        OptionError: The region lies outside, or is larger than a screen.
        UnreadableImageError: The pixel data are damaged.
        MemoryLimitError: Memory ran out.
    """
    inside = region.clip(at)
    if inside.is_empty or inside.pixels > MOST_PIXELS:
        raise OptionError(
            f"the part of {region.width}x{region.height} px at {region.x}, {region.y} cannot be "
            f"shown; it must lie in the picture and have at most {MOST_PIXELS} pixels"
        )
    encoded = io.BytesIO()
    pixels = image.read_srgb(inside, at)
    Image.fromarray(pixels).save(encoded, "JPEG", quality=QUALITY, subsampling=0)
    return encoded.getvalue()
