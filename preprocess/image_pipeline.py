"""The libvips pipelines between a file and pixels: size, colour, upright turn, frame.

All are lazy: nothing is decoded before rows are asked for, and only a band of rows is held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.progress import Progress
from common.types import Region, Size
from preprocess.apart import Watch, read_apart
from preprocess.colour import deepest_number, flatten, to_profile, to_srgb
from preprocess.image_source import Header, jpeg_shrink, load
from preprocess.libvips import vips
from preprocess.loaders import with_exif_resolution
from preprocess.scratch import Scratch, bytes_of
from preprocess.window import scaled_size

if TYPE_CHECKING:
    import pyvips

# A picture that must be read at any place is held whole: in memory up to this many bytes,
# else on disk.
_HELD_IN_MEMORY = 128 * 2**20

# Output rows whose decoded rows are kept between crops: a kernel looks 6 back.
_ROWS_BACK = 32
_CACHE_ROWS = 16

_MID_GREY = 128

OVERVIEW_SIDE = 1024
"""Longer side at which a picture is looked over for faces; a quarter of that is then fine enough
for a face's mesh as well."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A picture out of the decoder, in memory: all sizes of one decoding.

    image: at 1 / ``shrink`` of its size, as `preprocess.image_source.load` answers it.
    """

    shrink: int
    image: pyvips.Image


def decoded(header: Header, progress: Progress) -> Decoded | None:
    """The picture as it is decoded to be looked over; None where that takes above 128 MiB.

    Raises:
        StoppedError: ``progress`` ended the work.
    """

    def read(watched: Watch) -> Decoded | None:
        shrink = _overview_shrink(header)
        image = load(header.path, header.format, shrink)
        if bytes_of(image) > _HELD_IN_MEMORY:
            return None
        return Decoded(shrink, watched(image).copy_memory())

    return read_apart(read, progress)


def stored_numbers(header: Header, at: Size, source: Decoded | None = None) -> pyvips.Image:
    """The picture as stored, reduced to exactly ``at``, still in its stored orientation.

    Channels and depth are the file's (1-4 colour channels, alpha last). Reading and writing
    both start here, so that what is read is what is written. Enlarging is `preprocess.enlarge`.

    Args:
        header: The file.
        at: Upright size of the whole picture, on no side longer than its own.
        source: Used if it gives the same numbers.
    """
    return _stored_numbers(header, at, _shrink_to(header, at), source)


def shown_numbers(header: Header, at: Size, source: Decoded | None = None) -> pyvips.Image:
    """Likewise to be looked at: decoded only as fine as for an overview, if that is enough."""
    shrink, goal = _overview_shrink(header), header.orientation.size(at)
    while (
        shrink > 1
        and min(header.stored.width / goal.width, header.stored.height / goal.height) < shrink
    ):
        shrink //= 2
    return _stored_numbers(header, at, shrink, source)


def _overview_shrink(header: Header) -> int:
    at = scaled_size(header.stored, min(1.0, OVERVIEW_SIDE / header.stored.longer))
    return _shrink_to(header, header.orientation.size(at))


def _shrink_to(header: Header, at: Size) -> int:
    if header.format != "jpeg":
        return 1
    return jpeg_shrink(header.stored, header.orientation.size(at))


def stepwise(
    header: Header, part: Region, at: Size, progress: Progress, source: Decoded | None = None
) -> pyvips.Image:
    """`stored_numbers` of a part, for successive crops from its top to its bottom.

    Each may start where the one before ended.

    Args:
        header: The file.
        part: Of the picture at that size, in its stored orientation.
        at, source: As there.
        progress: Checked where the part is computed at once.

    Raises:
        DiskFullError: The temporary folder has too little room.
        StoppedError: ``progress`` ended the work.
    """
    shrink = _shrink_to(header, at)
    if header.format != "tiff":
        image = _stored_numbers(header, at, shrink, source, in_steps=True).copy()
        # One thread at a time: of several, one that the system leaves waiting would ask for rows
        # that are no longer kept, and the decoder cannot go back.
        image.set_type(vips().GValue.gint_type, "concurrency", 1)
        return image.crop(part.x, part.y, part.width, part.height)
    # Its reader goes on in steps of its own, which libvips does not tell.
    image = _stored_numbers(header, at, shrink, source)
    image = image.crop(part.x, part.y, part.width, part.height)
    return held(image, f"reading {header.path}", progress)


def _stored_numbers(
    header: Header, at: Size, shrink: int, source: Decoded | None, in_steps: bool = False
) -> pyvips.Image:
    goal = header.orientation.size(at)
    if goal.width > header.stored.width or goal.height > header.stored.height:
        raise ValueError(f"{header.stored} cannot be reduced to {goal}")
    if source is not None and source.shrink == shrink:
        image, in_steps = source.image, False
    else:
        image = load(header.path, header.format, shrink)
    if in_steps:
        image = _keep_recent_rows(image, goal)
    if header.format == "webp":
        image = with_exif_resolution(image)  # its loader alone leaves it unset
    xres, yres = image.xres, image.yres
    if (image.width, image.height) != (goal.width, goal.height):
        image = _reduce(image, goal)
    return image.copy(xres=xres, yres=yres)


def srgb_numbers(image: pyvips.Image) -> pyvips.Image:
    """Stored numbers as 3 bands of 8-bit sRGB, transparency laid on mid grey.

    What transparency hides must be neither found nor fused, so alpha is not just dropped; mid
    grey is the background that makes the weakest edges.
    """
    return to_srgb(_opaque(image))


def numbers_for(image: pyvips.Image, profile: bytes | None, depth: int) -> pyvips.Image:
    """Stored numbers as 3 bands of another picture's: its profile's, ``depth`` bits deep."""
    return to_profile(_opaque(image), profile, depth)


def working_numbers(image: pyvips.Image) -> pyvips.Image:
    """The 3 bands that faces are fused in: stored RGB, grey three times, inks as sRGB."""
    if image.interpretation == "cmyk":
        return to_srgb(colours_of(image))
    image = colours_of(image)
    return image if image.bands == 3 else image.bandjoin([image, image])


def colours_of(image: pyvips.Image) -> pyvips.Image:
    """All channels but the opacity."""
    return image.extract_band(0, n=image.bands - 1) if image.hasalpha() else image


def _opaque(image: pyvips.Image) -> pyvips.Image:
    return flatten(image, _MID_GREY) if image.hasalpha() else image


def held(image: pyvips.Image, what: str, progress: Progress) -> pyvips.Image:
    """The picture computed, for reading at any place.

    Up to 128 MiB are held in memory; larger ones in the system's temporary folder until the
    answer's end.

    Raises:
        DiskFullError: The temporary folder has too little room.
        StoppedError: ``progress`` ended the work.
    """
    from preprocess.image_write import run_with_progress

    if bytes_of(image) <= _HELD_IN_MEMORY:
        return run_with_progress(image, image.copy_memory, progress)
    return Scratch.of_image(image, what, progress).image(image)


def upright(image: pyvips.Image, header: Header, progress: Progress) -> pyvips.Image:
    """Turn a picture that still lies as stored; it is computed whole first unless it is upright.

    Raises:
        DiskFullError: The temporary folder has too little room.
        StoppedError: ``progress`` ended the work.
    """
    if header.orientation.is_upright:
        return image
    what = f"turning {header.path} upright"
    return header.orientation.turn(held(image, what, progress))


def framed(image: pyvips.Image, window: Region, what: str, progress: Progress) -> pyvips.Image:
    """A window of a picture; where it reaches outside, the picture is reflected.

    Raises:
        DiskFullError: The temporary folder has too little room.
        StoppedError: ``progress`` ended the work.
    """
    size = Size(image.width, image.height)
    if window == Region.whole(size):
        return image
    inside = window.clip(size)
    if inside == window:
        return image.crop(window.x, window.y, window.width, window.height)
    if window.y < 0 or window.bottom > size.height:
        # The rows above the first are those below it, so one pass from the top cannot do.
        image = held(image, what, progress)
    return image.embed(-window.x, -window.y, window.width, window.height, extend="mirror")


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


def _reduce(image: pyvips.Image, goal: Size) -> pyvips.Image:
    """Reduce to exactly ``goal``, clipping overshoot to the format's range.

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


def _interpolate(image: pyvips.Image, goal: Size) -> pyvips.Image:
    """Lanczos3; pixel centres keep their relative places."""
    across, down = goal.width / image.width, goal.height / image.height
    return image.resize(across, vscale=down, kernel="lanczos3")
