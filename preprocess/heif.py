"""HEIC files through pillow-heif: libvips' packages read their headers but lack the HEVC codec."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UnsupportedFormatError
from preprocess.libvips import vips

if TYPE_CHECKING:
    import pyvips

# Side of the tiles of a large HEIC: 384 of them make 16 000 x 24 000; readers take up to 1000.
_TILE = 1024

# Measured on a photograph of 3 megapixels at quality 95: "superfast" makes files as small as
# x265's default "slow" (1.89 and 1.88 MB) with 1.4 dB less signal over noise, at 71 dB, in less
# than half the time.
_PRESET = "superfast"


def decode(path: Path, like: pyvips.Image) -> pyvips.Image:
    """The primary picture of a HEIC file, upright as its own properties (irot, imir) say.

    The codec only works on whole pictures: about 7 bytes per pixel are held while it does, 3
    (16 bits: 6) afterwards, until the picture is released.

    Args:
        path: The file.
        like: libvips' picture of the same file, of which only the header can be read; it
            gives all metadata.

    Raises:
        pyvips.Error: The pixel data are damaged or end early, or memory ran out.
    """
    pillow_heif = _library()
    try:
        file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
        picture = file[file.primary_index]
        data = picture.data
    except MemoryError as error:
        raise vips().Error("heif: out of memory") from error
    except (EOFError, OSError, RuntimeError, SyntaxError, ValueError) as error:
        raise vips().Error(f"heif: {error}") from error
    deep = ";16" in picture.mode
    bands = {"L": 1, "LA": 2, "I": 1, "RGB": 3, "RGBA": 4, "RGBa": 4}[picture.mode.split(";")[0]]
    width, height = picture.size
    image = vips().Image.new_from_memory(data, width, height, bands, "ushort" if deep else "uchar")
    kinds = {(False, False): "b-w", (False, True): "grey16"}
    kinds |= {(True, False): "srgb", (True, True): "rgb16"}
    image = image.copy(interpretation=kinds[bands > 2, deep], xres=like.xres, yres=like.yres)
    if bands < 3:  # libvips has no grey HEIF, and this is to be what its header announces
        image = image[0].bandjoin([image[0], image[0], *image.bandsplit()[1:]])
        image = image.copy(interpretation=like.interpretation)
    if (image.width, image.height, image.bands) != (like.width, like.height, like.bands):
        raise vips().Error(f"heif: {image.width}x{image.height} differs from the header")
    own = set(image.get_fields())
    for name in like.get_fields():
        if name not in own:
            image.set_type(like.get_typeof(name), name, like.get(name))
    if picture.premultiplied_alpha:
        deepest = 65_535 if deep else 255
        numbers = image.unpremultiply(max_alpha=deepest).rint()
        image = numbers.cast(image.format).copy(interpretation=image.interpretation)
    return image


def encode(
    image: pyvips.Image,
    file: Path,
    *,
    quality: int,
    bits: int,
    full_colour: bool,
    exif: bytes,
    check: Callable[[], None] | None,
) -> None:
    """Write a HEIC file; a large one in tiles, as cameras do, so that memory stays bounded.

    The pixels go through a temporary file. With alpha the encoder takes the picture whole.

    Args:
        image: 1-4 bands of uchar or ushort.
        file: To be written.
        quality: 1-100.
        bits: Per channel: 8, or 10 or 12 of a picture with 16.
        full_colour: Colour at full resolution.
        exif: An EXIF block, or empty.
        check: Asked before each row of a tile; raises to end the work.

    Raises:
        UnsupportedFormatError: This installation has no HEVC encoder.
        pyvips.Error: Reading or encoding failed.
    """
    require_encoder()
    fields = image.get_fields()
    names = {"icc-profile-data": "icc_profile", "xmp-data": "xmp"}
    options: dict[str, Any] = {
        name: bytes(image.get(field)) for field, name in names.items() if field in fields
    }
    if exif:
        options["exif"] = exif
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[image.bands]
    mode += ";16" if image.format == "ushort" else ""
    size = (image.width, image.height)
    tiled = not image.hasalpha() and max(size) > _TILE
    if tiled:
        options["tile_size"] = _TILE
    with tempfile.TemporaryFile() as spool:
        image.rawsave_target(vips().Target.new_to_descriptor(spool.fileno()), keep="none")
        rows = _Rows(spool.fileno(), check)
        data = rows if tiled else rows[0 : len(rows)]
        try:
            _library().encode(
                mode,
                size,
                data,
                file,
                quality=quality,
                bit_depth=bits,
                subsampling="4:4:4" if full_colour else "4:2:0",
                enc_params={"preset": _PRESET},
                **options,
            )
        except MemoryError as error:
            raise vips().Error("heif: out of memory") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise vips().Error(f"heif: {error}") from error


def require_encoder() -> None:
    """Find out whether HEIC can be written here.

    Raises:
        UnsupportedFormatError: It cannot; the message names other formats.
    """
    if not _library().libheif_info()["HEIF"]:
        raise UnsupportedFormatError(
            "this installation of pillow-heif has no HEVC encoder, so HEIC cannot be written; "
            "write AVIF or JPEG"
        )


class _Rows:
    """Pixel data on disk, read in the slices that the encoder cuts its tiles from."""

    def __init__(self, descriptor: int, check: Callable[[], None] | None) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._check = check

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        if self._check is not None:
            self._check()
        return os.pread(self._descriptor, part.stop - part.start, part.start)


def _library() -> Any:
    """pillow_heif, imported on first use.

    Raises:
        UnsupportedFormatError: It is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise UnsupportedFormatError(
            "HEIC needs the package pillow-heif, which is not installed here; use AVIF or JPEG"
        ) from error
    return pillow_heif
