"""Each output format's own encoder: which options, which metadata, how much memory."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.types import Size
from preprocess import tiff
from preprocess.colour import deepest_number, flatten, to_8_bits, to_srgb
from preprocess.image_format import NAMES
from preprocess.image_source import Header
from preprocess.jpeg_header import read_jpeg_header
from preprocess.libvips import vips
from preprocess.tiff import TiffLayout

if TYPE_CHECKING:
    import pyvips

DEFAULT_QUALITY = 95

# Measured on photographs of 1.4 and 14 megapixels: about half the time and half the bytes of
# libvips' defaults (level 6 without a filter); slower levels save a twentieth more.
_PNG_COMPRESSION, _PNG_FILTER = 3, "up"

# Half the time of libvips' default effort for the same number of bytes.
_WEBP_EFFORT = 2

# Measured on a photograph of 15 megapixels at quality 90, two cores: 0 16 MP/s and 4.5 MB, 2
# 7.8 MP/s and 4.3 MB, 3 4.6 MP/s and 3.6 MB, 4 (libvips' default) 1.1 MP/s.
_AVIF_EFFORT = 3
_AVIF_THREADS = 4
_encoding_avif = threading.Lock()
_FULL_COLOUR_FROM = 90  # quality at which lossy encoders stop halving the colour's resolution

# Larger tiles would make a row of them heavy; they are no TIFF that streams well anyway.
_LARGEST_TILE = 1024
_BIG_TIFF_FROM = 3.9e9  # a plain TIFF counts bytes in 32 bits; compression may add a little
_MM_PER_INCH = 25.4
_UNKNOWN_RESOLUTION = (1.0, 1.0)  # libvips' pixels per millimetre where a file says nothing
_PROFILE = "icc"  # all that libvips' writers keep of a picture without metadata
_TELLING = ("exif-", "xmp-", "iptc-", "photoshop-", "png-comment-", "gif-comment", "jpeg-")
_TELLING_TOO = ("image-description", "orientation")
_IPTC_ENVELOPE = b"Photoshop 3.0\0"
_IPTC_RESOURCE = 0x0404

# Bytes per pixel that the encoders hold of a whole picture, measured with libvips 8.18 and
# pillow-heif 1.8 on 15 megapixels: 8 bits without alpha, 8 with, 16 without, 16 with. HEIC without
# alpha goes in tiles; what grows there is the coded file (0.1 to 0.2 GB for 15 to 61 megapixels).
_HEIF_MEMORY = {"avif": (29, 44, 45, 65), "heic": (4, 47, 5, 70)}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a picture is encoded.

    quality: 1-100, for JPEG, WebP, AVIF and HEIC. subsample: colour of a JPEG at half the
    resolution; None for below quality 90. bits: per channel of an AVIF or HEIC of more than 8;
    None for the most there are. tiff: the layout of a TIFF; None for strips with deflate. bare:
    without any metadata but colour profile and resolution.
    """

    quality: int = DEFAULT_QUALITY
    subsample: bool | None = None
    bits: int | None = None
    tiff: TiffLayout | None = None
    bare: bool = False


def encoding_like(header: Header, kind: str, quality: int | None) -> Encoding:
    """How a result in ``kind`` should be encoded to be as its target is.

    Args:
        header: The target.
        kind: The output's format.
        quality: What was asked for; None for that of a JPEG target whose result is one, with
            its resolution of colour, else 95.

    Raises:
        UnreadableImageError: The target has gone or changed.
    """
    subsample = None
    if quality is None:
        quality = DEFAULT_QUALITY
        if header.format == kind == "jpeg":
            own = read_jpeg_header(header.path)
            quality, subsample = own.quality(), own.subsampled
    bits = header.bits if header.bits in (10, 12) else None
    return Encoding(quality, subsample, bits, header.layout)


def encoder_memory(kind: str, size: Size, depth: int, has_alpha: bool) -> int:
    """Bytes that an encoder holds of a whole picture; 0 for those that work in strips.

    WebP's, which take about as much as its decoder, are not counted: its sides are limited.
    """
    per_pixel = _HEIF_MEMORY.get(kind, (0, 0, 0, 0))[(2 if depth == 16 else 0) + has_alpha]
    return size.pixels * per_pixel


def fit_format(image: pyvips.Image, kind: str) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Give up what ``kind`` cannot hold; answers the picture and a sentence for each loss."""
    lost = []
    name = NAMES[kind]
    if image.interpretation == "cmyk" and kind not in ("jpeg", "tiff"):
        image = to_srgb(image).copy()
        # libvips attaches the profile that the numbers are in now.
        image.remove("icc-profile-data")
        lost.append("CMYK colours were converted to sRGB; JPEG and TIFF keep them")
    if kind == "jpeg" and image.hasalpha():
        image = flatten(image, 255)
        lost.append(
            "JPEG holds no transparency: the picture was laid on white; PNG, WebP and TIFF keep it"
        )
    if kind in ("jpeg", "webp") and image.format == "ushort":
        image = to_8_bits(image)
        lost.append(
            f"{name} holds 8 bits per channel: the target's 16 were reduced; PNG and TIFF keep them"
        )
    if kind in ("avif", "heic") and image.format == "ushort" and _bits(image) > 12:
        lost.append(
            f"{name} holds at most 12 bits per channel: the target's 16 were reduced; PNG and TIFF "
            "keep them"
        )
    if "iptc-data" in image.get_fields() and kind not in ("jpeg", "tiff"):
        lost.append(
            f"{name} holds no IPTC data: the target's were dropped; JPEG and TIFF keep them"
        )
    return image, tuple(lost)


def without_metadata(image: pyvips.Image) -> pyvips.Image:
    """The picture without what tells about it but its colour profile and its resolution.

    Whoever writes it must have turned it upright: its orientation goes as well.
    """
    image = image.copy()
    for field in image.get_fields():
        if field.startswith(_TELLING) or field in _TELLING_TOO:
            image.remove(field)
    return image


def encode(
    image: pyvips.Image,
    kind: str,
    file: Path,
    encoding: Encoding,
    check: Callable[[], None] | None = None,
) -> None:
    """Write ``image``, which must already fit the format, with all metadata that it still has.

    Args:
        image: From `fit_format`.
        kind: The output's format.
        file: To be written, or written over.
        encoding: How.
        check: Asked from time to time by an encoder that libvips cannot stop; raises to end it.

    Raises:
        pyvips.Error: Reading or writing failed, or the picture was killed.
        UnsupportedFormatError: HEIC, and this installation has no encoder for it.
    """
    name = os.fsencode(file)
    quality = encoding.quality
    keep = _PROFILE if encoding.bare else "all"
    if kind == "jpeg":
        # Optimised or progressive coding would hold all coefficients of the picture.
        modes = {None: "auto", True: "on", False: "off"}
        image = _with_enveloped_iptc(image)
        options = {"Q": quality, "subsample_mode": modes[encoding.subsample], "keep": keep}
        if encoding.bare:
            _save_bare_jpeg(image, file, options)
        else:
            image.jpegsave(name, **options)
    elif kind == "webp":
        image.webpsave(name, Q=quality, effort=_WEBP_EFFORT, keep=keep)
    elif kind == "png":
        # Said outright: a palette or 1-bit target must not squeeze the result into its own.
        depth = 16 if image.format == "ushort" else 8
        image.pngsave(
            name,
            compression=_PNG_COMPRESSION,
            filter=_PNG_FILTER,
            palette=False,
            bitdepth=depth,
            keep=keep,
        )
    elif kind == "tiff":
        _save_tiff(image, file, encoding.tiff or TiffLayout(), encoding.bare)
    elif kind == "avif":
        mode = "off" if quality >= _FULL_COLOUR_FROM else "on"
        with _steady_threads():
            image.heifsave(
                name,
                compression="av1",
                effort=_AVIF_EFFORT,
                Q=quality,
                bitdepth=_heif_bits(image, encoding),
                subsample_mode=mode,
                keep=keep,
            )
    else:
        from preprocess import heif

        heif.encode(
            image,
            file,
            quality=quality,
            bits=_heif_bits(image, encoding),
            full_colour=quality >= _FULL_COLOUR_FROM,
            exif=b"" if encoding.bare else final_exif(image),
            check=check,
        )


def _save_bare_jpeg(image: pyvips.Image, file: Path, options: dict[str, Any]) -> None:
    """Libvips' writer, and in front the resolution, which it only writes into EXIF data."""
    dots = [min(max(round(each * _MM_PER_INCH), 1), 0xFFFF) for each in (image.xres, image.yres)]
    told = (0, 1, 1) if (image.xres, image.yres) == _UNKNOWN_RESOLUTION else (1, *dots)
    head = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\2" + struct.pack(">BHHH", *told, 0)
    with file.open("wb") as out:
        out.seek(len(head) - 2)  # the writer's start marker, two bytes, makes way for the head
        image.jpegsave_target(vips().Target.new_to_descriptor(out.fileno()), **options)
        out.seek(0)
        out.write(head)


def final_exif(image: pyvips.Image) -> bytes:
    """The EXIF block that libvips would write for a picture, with all changes to its fields."""
    one = vips().Image.black(1, 1).copy(xres=image.xres, yres=image.yres)
    for field in image.get_fields():
        if field.startswith("exif-") or field in ("orientation", "resolution-unit"):
            one.set_type(image.get_typeof(field), field, image.get(field))
    again = vips().Image.pngload_buffer(one.pngsave_buffer(keep="exif"))
    if "exif-data" not in again.get_fields():
        return b""
    return tiff.with_size(bytes(again.get("exif-data")), image.width, image.height)


@contextmanager
def _steady_threads() -> Iterator[None]:
    """The same number of threads on every machine; one AVIF at a time.

    What the AV1 encoder writes depends on it. libvips hands it its own setting, which belongs to
    the whole process; other work merely runs with another number of threads meanwhile.
    """
    library = vips().vips_lib
    with _encoding_avif:
        before = library.vips_concurrency_get()
        library.vips_concurrency_set(_AVIF_THREADS)
        try:
            yield
        finally:
            library.vips_concurrency_set(before)


def _bits(image: pyvips.Image) -> int:
    """Bits that a 16-bit picture really has, as its file said."""
    bits = image.get("bits-per-sample") if "bits-per-sample" in image.get_fields() else 16
    return bits if bits in (10, 12) else 16


def _heif_bits(image: pyvips.Image, encoding: Encoding) -> int:
    return (encoding.bits or 12) if image.format == "ushort" else 8


def _save_tiff(image: pyvips.Image, file: Path, layout: TiffLayout, bare: bool) -> None:
    """Libvips' writer, and behind it the metadata that this one leaves out."""
    premultiplied = layout.premultiplied and bool(image.hasalpha())
    exif, iptc = (b"", b"") if bare else (final_exif(image), _records(image))
    image = image.copy()
    if "iptc-data" in image.get_fields():
        image.remove("iptc-data")  # the writer cuts it to a quarter
    if premultiplied:
        image = _premultiplied(image)
    options = _tiff_options(image, layout)
    image.tiffsave(os.fsencode(file), keep=_PROFILE if bare else "all", **options)
    try:
        tiff.add_metadata(file, exif, iptc, premultiplied)
    except (tiff.TiffError, OSError) as error:
        raise vips().Error(f"tiff: {error}") from error


def _tiff_options(image: pyvips.Image, layout: TiffLayout) -> dict[str, Any]:
    size = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)
    options: dict[str, Any] = {
        "compression": layout.compression,
        "predictor": "horizontal" if layout.predictor else "none",
        "bigtiff": layout.big or size > _BIG_TIFF_FROM,
    }
    if layout.tile is not None and max(layout.tile) <= _LARGEST_TILE:
        options |= {"tile": True, "tile_width": layout.tile[0], "tile_height": layout.tile[1]}
    return options


def _premultiplied(image: pyvips.Image) -> pyvips.Image:
    """Colours times opacity, the inverse of what the loader did to a premultiplied TIFF."""
    image = image.linecache(tile_height=16, access="sequential", threaded=True)
    colours = image.extract_band(0, n=image.bands - 1).cast("double")
    alpha = image[image.bands - 1]
    numbers = (colours * alpha / deepest_number(image)).rint().cast(image.format)
    return numbers.bandjoin(alpha).copy(interpretation=image.interpretation)


def _records(image: pyvips.Image) -> bytes:
    """IPTC records as they are, without the envelope that JPEG puts around them."""
    if "iptc-data" not in image.get_fields():
        return b""
    data = bytes(image.get("iptc-data"))
    if not data.startswith(_IPTC_ENVELOPE):
        return data
    at = len(_IPTC_ENVELOPE)
    while data[at : at + 4] == b"8BIM" and at + 12 <= len(data):
        kind = int.from_bytes(data[at + 4 : at + 6], "big")
        at += 6 + (data[at + 6] + 2) // 2 * 2  # a name with its length, padded to even
        length = int.from_bytes(data[at : at + 4], "big")
        if kind == _IPTC_RESOURCE:
            return data[at + 4 : at + 4 + length]
        at += 4 + length + length % 2
    return b""


def _with_enveloped_iptc(image: pyvips.Image) -> pyvips.Image:
    """IPTC records in the envelope that JPEG needs, which those of a TIFF lack."""
    if "iptc-data" not in image.get_fields():
        return image
    data = bytes(image.get("iptc-data"))
    if data.startswith(_IPTC_ENVELOPE):
        return image
    block = b"8BIM" + _IPTC_RESOURCE.to_bytes(2, "big") + b"\0\0" + len(data).to_bytes(4, "big")
    image = image.copy()
    whole = _IPTC_ENVELOPE + block + data + bytes(len(data) % 2)
    image.set_type(vips().GValue.blob_type, "iptc-data", whole)
    return image
