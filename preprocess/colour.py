"""Numbers of pixels: depth, transparency, colour spaces. All on lazy libvips pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from common.types import ByteArray
from preprocess.libvips import vips

if TYPE_CHECKING:
    import pyvips
    from PIL import ImageCms

_PROFILE = "icc-profile-data"

# Colours that both sides can show stay as they are; the darkest of one becomes the darkest of
# the other, so that shadows on paper neither wash out on a screen nor clip. It changes nothing
# between profiles of screens, whose black is no light at all.
_INTENT = {"intent": "relative", "black_point_compensation": True}

# Of patches on inks: how often the aim is moved at most, and the sum over R, G and B that is near
# enough, less than one step of each: the rounding of four inks leaves as much.
_TRIES = 4
_NEAR = 2
_PIECE = 2**18  # pixels that are converted at once
_MODES = {"RGB ": "RGB", "CMYK": "CMYK"}


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """3 bands of 8-bit sRGB (and alpha, if the picture has it).

    The embedded profile is applied; one that cannot be used is ignored, as in every viewer.
    CMYK without one is taken for the common press that libvips' own profile describes.
    """
    return _to_srgb(image, 8)


def to_profile(image: pyvips.Image, profile: bytes | None, depth: int) -> pyvips.Image:
    """A picture's colours as numbers of another one's profile.

    Relative colorimetric with black point compensation. The picture's own embedded profile is
    honoured as in `to_srgb`; so are its own numbers where both have the same profile.

    Args:
        image: 1 or 3 bands, or CMYK, without alpha.
        profile: An ICC profile for RGB or grey; None, and one that is for neither or broken,
            stand for sRGB.
        depth: Bits per channel of the result, 8 or 16.

    Returns:
        3 bands of uchar or ushort without a profile attached; three times the same for a grey
        profile.
    """
    fields = image.get_fields()
    own = bytes(image.get(_PROFILE)) if _PROFILE in fields else None
    if own is not None and own == profile and image.bands in (1, 3):
        converted = _to_depth(image, depth)
    elif profile is None or profile[16:20] not in (b"RGB ", b"GRAY"):
        converted = _to_srgb(image, depth)
    else:
        try:
            converted = _export(_to_lab(image), profile, depth)
        except vips().Error:
            # Only profiles are judged here: no pixel has been decoded yet.
            converted = _to_srgb(image, depth)
    if converted.bands == 1:
        converted = converted.bandjoin([converted, converted])
    converted = converted.copy(interpretation="rgb16" if depth == 16 else "srgb")
    if _PROFILE in converted.get_fields():
        converted.remove(_PROFILE)
    return converted


def cmyk_patch(
    stored: ByteArray, before: ByteArray, after: ByteArray, profile: bytes | None
) -> ByteArray:
    """A change of sRGB pixels as a change of CMYK numbers.

    Adds to the stored numbers the difference that the change makes in the profile's own
    separation, so that a pixel without change keeps its numbers exactly, black ink and all. A
    difference of inks looks different on other inks than the profile would have chosen, so the
    aim is moved by what is still missing, a few times, for the pixels that still come nearer.
    Takes 30 MB beside the result, whatever its size, and half a second of one core a megapixel.

    Args:
        stored: H x W x 4, 0 = no ink, as libvips gives them also for Adobe's inverted JPEGs.
        before: H x W x 3, the sRGB colours of ``stored``.
        after: H x W x 3, the sRGB colours that are wanted.
        profile: The CMYK profile of the picture; None, or one that cannot be used, stands for
            libvips' own.

    Returns:
        H x W x 4.
    """
    result: ByteArray = stored.copy()
    rows = max(1, _PIECE // max(1, stored.shape[1]))
    for top in range(0, len(stored), rows):
        part = slice(top, top + rows)
        red, green, blue = np.moveaxis(before[part] != after[part], 2, 0)
        changed = red | green | blue  # four times as fast as numpy's any()
        if changed.any():
            # Only what changed is converted, as one row of pixels.
            result[part][changed] = _other_inks(
                stored[part][changed], before[part][changed], after[part][changed], profile
            )
    return result


def _other_inks(
    stored: ByteArray, before: ByteArray, after: ByteArray, profile: bytes | None
) -> ByteArray:
    """`cmyk_patch` for N pixels in a row, all of them changed."""
    separate, see = _ink_transforms(profile)
    own = stored.astype(np.int16) - separate(before)
    aim = wanted = after.astype(np.int16)
    found: ByteArray = stored.copy()
    missed = np.full(len(stored), 2**15 - 1, np.int16)
    left = np.arange(len(stored))  # places of those that still come nearer
    for _ in range(_TRIES):
        inks = own + separate(np.clip(aim, 0, 255).astype(np.uint8))
        tried = np.clip(inks, 0, 255).astype(np.uint8)
        rest = wanted - see(tried)
        red, green, blue = np.abs(rest).T
        miss = red + green + blue
        better = miss < missed
        found[left[better]] = tried[better]
        on = np.flatnonzero(better & (miss > _NEAR))
        if not on.size:
            break
        aim = np.clip(aim[on] + rest[on], -255, 510)
        own, wanted, left, missed = own[on], wanted[on], left[on], miss[on]
    return found


def flatten(image: pyvips.Image, grey: int) -> pyvips.Image:
    """Lay a picture with alpha on a plain background; ``grey`` is 0-255 at any depth."""
    deepest = deepest_number(image)
    level = grey * (deepest // 255)
    if image.interpretation == "cmyk":
        background = [0, 0, 0, 255 - grey]
    else:
        background = [level] * (image.bands - 1)
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


def _to_16_bits(image: pyvips.Image) -> pyvips.Image:
    if image.format == "ushort":
        return image
    interpretation = "grey16" if image.bands < 3 else "rgb16"
    return (image.cast("ushort") * 257).cast("ushort").copy(interpretation=interpretation)


def _to_depth(image: pyvips.Image, depth: int) -> pyvips.Image:
    return _to_16_bits(image) if depth == 16 else to_8_bits(image)


def _to_srgb(image: pyvips.Image, depth: int) -> pyvips.Image:
    options = _INTENT | {"depth": depth}
    if _PROFILE in image.get_fields() or image.interpretation == "cmyk":
        fallback = "cmyk" if image.interpretation == "cmyk" else "srgb"
        try:
            return image.icc_transform("srgb", embedded=True, input_profile=fallback, **options)
        except vips().Error:
            # Only the profile is judged here: no pixel has been decoded yet.
            image = image.copy()
            image.remove(_PROFILE)
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", **options)
    image = _to_depth(image, depth)
    return image if image.bands >= 3 else image.bandjoin([image, image])


def _to_lab(image: pyvips.Image) -> pyvips.Image:
    """The colours of a picture in the profiles' own space, in floating point."""
    kind = "cmyk" if image.interpretation == "cmyk" else "srgb"
    if _PROFILE in image.get_fields():
        try:
            return image.icc_import(embedded=True, **_INTENT)
        except vips().Error:
            image = image.copy()
            image.remove(_PROFILE)
    if image.bands < 3:
        meaning = "rgb16" if image.format == "ushort" else "srgb"
        image = image.bandjoin([image, image]).copy(interpretation=meaning)
    return image.icc_import(input_profile=kind, **_INTENT)


def _export(lab: pyvips.Image, profile: bytes, depth: int) -> pyvips.Image:
    """Lab to the numbers of a profile that is given as bytes: libvips takes an attached one.

    Raises:
        pyvips.Error: The profile cannot be used.
    """
    lab = lab.copy()
    lab.set_type(vips().GValue.blob_type, _PROFILE, profile)
    return lab.icc_export(depth=depth, **_INTENT)


_Transform = Callable[[ByteArray], ByteArray]


@lru_cache(maxsize=2)
def _ink_transforms(profile: bytes | None) -> tuple[_Transform, _Transform]:
    """From sRGB to a profile's inks and back, for N x 3 and N x 4 bytes.

    By Pillow's little CMS, the same as in libvips and with its profiles: it prepares a transform,
    which takes as long as a quarter of a megapixel, once and not for every piece of a picture.
    """
    from PIL import ImageCms

    def opened(data: bytes) -> ImageCms.ImageCmsProfile:
        return ImageCms.ImageCmsProfile(io.BytesIO(data))

    def between(source: ImageCms.ImageCmsProfile, goal: ImageCms.ImageCmsProfile) -> _Transform:
        mode = _MODES[source.profile.xcolor_space]
        transform = ImageCms.buildTransform(
            source,
            goal,
            mode,
            _MODES[goal.profile.xcolor_space],
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # A transform with little CMS's cache of one pixel may serve one thread alone.
            ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,
        )
        return partial(_transformed, transform, mode)

    screen, press = (opened(bytes(vips().Image.profile_load(name))) for name in ("srgb", "cmyk"))
    usual = between(screen, press), between(press, screen)
    if profile is None or profile[16:20] != b"CMYK":
        return usual
    # A profile that is broken, or for one direction only: as without one, as far as it is so.
    separate, see = usual
    with suppress(ImageCms.PyCMSError, OSError):
        press = opened(profile)
        with suppress(ImageCms.PyCMSError):
            separate = between(screen, press)
        see = between(press, screen)
    return separate, see


def _transformed(transform: ImageCms.ImageCmsTransform, mode: str, pixels: ByteArray) -> ByteArray:
    from PIL import Image

    row = Image.frombytes(mode, (len(pixels), 1), pixels.tobytes())
    result: ByteArray = np.asarray(transform.apply(row), np.uint8)[0]
    return result
