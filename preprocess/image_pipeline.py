"""The libvips pipelines between a file and pixels: size, colour, upright turn.

All are lazy: nothing is decoded before rows are asked for, and only a band of rows is held.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from typing import TYPE_CHECKING

from common.errors import DiskFullError
from common.types import Size
from preprocess.image_source import (
    DISK_FULL,
    Header,
    jpeg_shrink,
    load,
    temporary_folder_full,
    vips,
)

if TYPE_CHECKING:
    import pyvips

# A picture that must be turned is held whole: in memory up to this many bytes, else on disk.
_TURN_IN_MEMORY = 128 * 2**20

# Output rows whose decoded rows are kept between crops: a kernel looks 6 back, and threads
# work on several bands of rows at a time.
_ROWS_BACK = 32
_CACHE_ROWS = 16

_PROBE_BYTES = 2**20
_UNKNOWN_DPI = 72.0
_MM_PER_INCH = 25.4
_MID_GREY = 128


def stored_numbers(header: Header, at: Size, in_steps: bool = False) -> pyvips.Image:
    """The picture as stored, resized to exactly ``at``, still in its stored orientation.

    Channels and depth are the file's (1-4 bands, alpha last), except that CMYK becomes sRGB.
    Reading and writing both start here, so that what is read is what is written.

    Args:
        header: The file.
        at: Upright size of the whole picture.
        in_steps: Whether successive crops will be asked for instead of one; each may then
            start where the one before ended.
    """
    goal = header.orientation.size(at)
    if header.format == "jpeg":
        image = load(header.path, "jpeg", jpeg_shrink(header.stored, goal))
    else:
        image = load(header.path, header.format)
    if in_steps:
        image = _keep_recent_rows(image, goal)
    xres, yres = image.xres, image.yres
    if header.format == "webp":
        # This loader alone leaves them unset.
        xres, yres = (_exif_resolution(image, f"exif-ifd0-{axis}Resolution") for axis in "XY")
    if header.is_cmyk:
        image = to_srgb(image)
    if (image.width, image.height) != (goal.width, goal.height):
        image = _resize(image, goal)
    return image.copy(xres=xres, yres=yres)


def srgb_numbers(header: Header, at: Size, in_steps: bool = False) -> pyvips.Image:
    """`stored_numbers` as 3 bands of 8-bit sRGB, transparency laid on mid grey.

    What transparency hides must be neither found nor fused, so alpha is not just dropped; mid
    grey is the background that makes the weakest edges.
    """
    image = stored_numbers(header, at, in_steps)
    if header.has_alpha:
        image = flatten(image, _MID_GREY)
    return to_srgb(image)


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """3 bands of 8-bit sRGB; a profile that cannot be used is ignored, as in every viewer."""
    if "icc-profile-data" in image.get_fields() or image.interpretation == "cmyk":
        fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
        try:
            return image.icc_transform(
                "srgb", embedded=True, input_profile=fallback, intent="relative", depth=8
            )
        except vips().Error:
            # Only the profile is judged here: no pixel has been decoded yet.
            image = image.copy()
            image.remove("icc-profile-data")
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", intent="relative", depth=8)
    image = to_8_bits(image)
    return image if image.bands == 3 else image.bandjoin([image, image])


def flatten(image: pyvips.Image, grey: int) -> pyvips.Image:
    """Lay a picture with alpha on a plain background; ``grey`` is 0-255 at any depth."""
    deepest = deepest_number(image)
    background = [grey * (deepest // 255)] * (image.bands - 1)
    return image.flatten(background=background, max_alpha=deepest)


def deepest_number(image: pyvips.Image) -> int:
    """The number that stands for full: 65535 or 255."""
    return 65_535 if image.format == "ushort" else 255


def to_8_bits(image: pyvips.Image) -> pyvips.Image:
    """16 bits become 8 by the nearest value: v / 257, which undoes v * 257 exactly."""
    if image.format != "ushort":
        return image
    interpretation = "b-w" if image.bands < 3 else "srgb"
    return image.linear(1 / 257, 0).rint().cast("uchar").copy(interpretation=interpretation)


def upright(image: pyvips.Image, header: Header) -> pyvips.Image:
    """Turn a picture that still lies as stored; it is computed whole first unless it is upright.

    Up to 128 MiB are held in memory; larger ones go to a file in the system's temporary
    folder, which libvips deletes with the picture.

    Raises:
        DiskFullError: The temporary folder has too little room.
    """
    if header.orientation.is_upright:
        return image
    size = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)
    if size <= _TURN_IN_MEMORY:
        return header.orientation.turn(image.copy_memory())
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < size:
        raise DiskFullError(
            f"turning {header.path} upright needs {size / 1e6:.0f} MB in {folder}, which has "
            "less; make room or set TMPDIR to another folder"
        )
    whole = vips().Image.new_temp_file("%s.v")
    try:
        image.write(whole)
    except vips().Error:
        _raise_if_full(folder, header)
        raise
    return header.orientation.turn(whole)


def _raise_if_full(folder: str, header: Header) -> None:
    """After a failed temporary file: find out by a trial whether one more mebibyte fits.

    Raises:
        DiskFullError: It does not.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        if error.errno in DISK_FULL:
            raise temporary_folder_full(header.path) from error


def _keep_recent_rows(image: pyvips.Image, goal: Size) -> pyvips.Image:
    """Hold on to decoded rows that the next crop's reduction kernel looks back at.

    Without this the second crop asks the decoder for rows that have passed.
    """
    rows = math.ceil(_ROWS_BACK * max(image.height / goal.height, 1)) + 8 * _CACHE_ROWS
    return image.tilecache(
        tile_width=image.width,
        tile_height=_CACHE_ROWS,
        max_tiles=rows // _CACHE_ROWS,
        access="random",
        threaded=True,
        persistent=True,
    )


def _resize(image: pyvips.Image, goal: Size) -> pyvips.Image:
    """Resize to exactly ``goal``, clipping overshoot to the format's range.

    Colours are weighted by their opacity meanwhile, so that those that transparency hides do
    not bleed into edges.
    """
    if image.format == "uchar" and not image.hasalpha():
        return _interpolate(image, goal)
    # Floating point: libvips' integer weights leave ripples of a thousandth on 16-bit pictures.
    if image.hasalpha():
        deepest = deepest_number(image)
        weighted = _interpolate(image.premultiply(max_alpha=deepest), goal)
        numbers = weighted.unpremultiply(max_alpha=deepest)
    else:
        numbers = _interpolate(image.cast("float"), goal)
    return numbers.rint().cast(image.format).copy(interpretation=image.interpretation)


def _exif_resolution(image: pyvips.Image, field: str) -> float:
    """Pixels per millimetre as EXIF says, else those of 72 dpi."""
    fields = image.get_fields()
    # libvips gives tags as text: "240/1 (240, Rational, ...", and "2 (Inch, ..." for the unit.
    found = re.match(r"(\d+)/(\d+)", image.get(field)) if field in fields else None
    if found is None or 0 in map(int, found.groups()):
        return _UNKNOWN_DPI / _MM_PER_INCH
    unit = "exif-ifd0-ResolutionUnit"
    in_cm = unit in fields and image.get(unit).startswith("3")
    return int(found[1]) / int(found[2]) / (10 if in_cm else _MM_PER_INCH)


def _interpolate(image: pyvips.Image, goal: Size) -> pyvips.Image:
    """Lanczos3 reduction or Catmull-Rom enlargement; pixel centres keep their relative places.

    Catmull-Rom is the sharpest interpolator that libvips has for photographs. It is placed by
    hand because `resize` puts an enlargement half an output pixel off.
    """
    across, down = goal.width / image.width, goal.height / image.height
    if across <= 1 and down <= 1:
        return image.resize(across, vscale=down, kernel="lanczos3")
    return image.affine(
        [across, 0, 0, down],
        interpolate=vips().Interpolate.new("bicubic"),
        oarea=[0, 0, goal.width, goal.height],
        odx=(across - 1) / 2,
        ody=(down - 1) / 2,
        extend="copy",
    )
