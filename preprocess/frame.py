"""Where the output lies in the scaled target: the whole of it, with a border, or a cutting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from common.errors import ImageSizeError, OptionError
from common.types import Region, Size
from preprocess.image_source import MAX_SIDE, MIN_SIDE
from preprocess.resolution import (
    Resolution,
    circumscribed,
    inscribed,
    largest,
    output_size,
    reduced_box,
)

# Hair stands above the box of a face: of the rows that a crop has to spare, a tenth is moved
# from below the faces to above them, at most a sixth of the tallest face.
_LIFT_OF_ROOM = 10
_LIFT_OF_FACE = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """The output as a rectangle of the target at the output's scale.

    at: size of the whole target at that scale; it may be larger than the output (crop). window:
    the output's rectangle in it; where it reaches outside (pad), the picture is reflected at
    its edges, as often as needed.
    """

    at: Size
    window: Region

    @property
    def size(self) -> Size:
        """The output's size."""
        return Size(self.window.width, self.window.height)

    @property
    def is_whole(self) -> bool:
        """Whether the output is the scaled target itself, with no border and nothing cut."""
        return self.window == Region.whole(self.at)


def plan_frame(
    size: Size,
    resolution: Resolution,
    fit: str,
    faces: Sequence[Region],
    max_megapixels: float,
) -> Frame:
    """Decide how the target fills the output.

    keep: the window is the whole target. pad: the whole target is in the middle of the window
    (an odd pixel of border goes to the right and bottom). crop: the target is scaled until it
    covers the window, which is placed so that the chosen faces are in its middle as far as the
    picture reaches, with a little more room above them than below.

    Args:
        size: The upright target.
        resolution: What was asked for; auto must have been decided.
        fit: One of `resolution.FITS`.
        faces: Boxes of the chosen faces in pixels of the upright target; they may reach over
            its edge. Only crop looks at them; without any it cuts around the middle.
        max_megapixels: Largest output, in millions of pixels.

    Raises:
        ImageSizeError: The output would be larger than ``max_megapixels``, or for crop the
            scaled target would be longer than 65 535 px.
        OptionError: The fit is not known, or the faces do not fit into the crop together; the
            message names what would work.
        ValueError: The resolution is auto.
    """
    box = output_size(size, resolution, max_megapixels, fit)
    if fit == "keep":
        return Frame(box, Region.whole(box))
    if fit == "pad":
        at = inscribed(size, box)
        left, top = (box.width - at.width) // 2, (box.height - at.height) // 2
        return Frame(at, Region(-left, -top, box.width, box.height))
    at = circumscribed(size, box)
    if at.longer > MAX_SIDE:
        raise _too_long(size, box, at)
    seen = [part for part in (face.clip(size) for face in faces) if not part.is_empty]
    if not _holds(size, box, seen):
        raise _do_not_fit(size, box, seen)
    return Frame(at, _around([_scaled(face, size, at) for face in seen], box, at))


def _around(faces: Sequence[Region], box: Size, at: Size) -> Region:
    """A window of size ``box`` inside ``at`` around faces that it can hold."""
    group, lift = Region.whole(at), 0
    if faces:
        group = _group(faces)
        tallest = max(face.height for face in faces)
        lift = min((box.height - group.height) // _LIFT_OF_ROOM, tallest // _LIFT_OF_FACE)
    x = (group.x + group.right - box.width) // 2
    y = (group.y + group.bottom - box.height) // 2 - lift
    # The faces lie inside the picture, so a window that holds them still does when moved into it.
    x, y = min(max(x, 0), at.width - box.width), min(max(y, 0), at.height - box.height)
    return Region(x, y, box.width, box.height)


def _group(faces: Sequence[Region]) -> Region:
    return reduce(Region.union, faces)


def _holds(size: Size, box: Size, faces: Sequence[Region]) -> bool:
    """Whether a crop to ``box`` can show faces, parts of a target of ``size``, together."""
    if not faces:
        return True
    group = _scaled(_group(faces), size, circumscribed(size, box))
    return group.width <= box.width and group.height <= box.height


def _scaled(region: Region, size: Size, at: Size) -> Region:
    """`Region.scale` in integers: a box up to the picture's edge must not reach over it."""
    x, y = region.x * at.width // size.width, region.y * at.height // size.height
    right = -(-region.right * at.width // size.width)
    bottom = -(-region.bottom * at.height // size.height)
    return Region(x, y, right - x, bottom - y)


def _too_long(size: Size, box: Size, at: Size) -> ImageSizeError:
    possible = reduced_box(box, lambda other: circumscribed(size, other).longer <= MAX_SIDE)
    smaller = "" if possible is None else f" or resolution {possible}"
    return ImageSizeError(
        f"a crop of the {size} target to {box} would enlarge it to {at}, more than {MAX_SIDE} "
        f"pixels on a side; use fit keep or pad{smaller}"
    )


def _do_not_fit(size: Size, box: Size, faces: Sequence[Region]) -> OptionError:
    group = _group(faces)
    advice = _less_narrow(size, box, faces)
    ways = "fit pad or keep"
    if advice is not None:
        ways = f"{ways}, another size such as {advice}"
    if len(faces) > 1:
        ways = f"{ways}, or fewer faces"
    return OptionError(
        f"a crop to {box} cannot show the chosen faces whole: they span {group.width}x"
        f"{group.height} pixels of the {size} target; use {ways}"
    )


def _less_narrow(size: Size, box: Size, faces: Sequence[Region]) -> Size | None:
    """The largest size that holds the faces when one side of ``box`` is shortened."""
    # Shortening ends at the target's own aspect: there nothing is cut.
    whole = inscribed(size, box)
    if whole.width == box.width:
        height = largest(
            max(whole.height, MIN_SIDE),
            box.height,
            lambda side: _holds(size, Size(box.width, side), faces),
        )
        return None if height is None else Size(box.width, height)
    width = largest(
        max(whole.width, MIN_SIDE),
        box.width,
        lambda side: _holds(size, Size(side, box.height), faces),
    )
    return None if width is None else Size(width, box.height)
