"""Each format through its own libvips loader, and what these loaders leave to be done."""

from __future__ import annotations

import os
import re
import struct
import weakref
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preprocess import tiff
from preprocess.image_format import is_lab_of_8_bits
from preprocess.libvips import vips

if TYPE_CHECKING:
    import pyvips

_UNKNOWN_DPI = 72.0
_MM_PER_INCH = 25.4
# Values of tags, as their places in `preprocess.tiff` say.
_RGB, _UNASSOCIATED = 2, 2
_DEEPEST = {"uchar": 255, "ushort": 65_535}


def look(path: Path, kind: str) -> pyvips.Image:
    """A file as its loader shows it; of a HEIC only the header can be used.

    Args:
        path: The file.
        kind: `Header.format`, or 'heif' for AVIF or HEIC.

    Raises:
        pyvips.Error: It is damaged or gone.
    """
    return _open(path, kind, 1)


def load(path: Path, kind: str, shrink: int) -> pyvips.Image:
    """See `image_source.load`."""
    image = _open(path, kind, shrink)
    if kind == "heic":
        from preprocess.heif import decode

        image = decode(path, image)
    image, _ = unfolded(image)
    if kind == "tiff":
        image = _with_exif(image, _exif_of_tiff(path))
    if kind in ("avif", "heic", "gif"):
        image = with_exif_resolution(image)
    return image


def unfolded(image: pyvips.Image) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Numbers in the forms that the rest of the program knows, and a sentence for each loss."""
    if image.interpretation in ("lab", "labs"):
        return _from_lab(image), ("CIELAB colours were converted to sRGB",)
    if image.format != "ushort":
        return image, ()
    if image.interpretation == "cmyk":
        bytes_ = image.linear(1 / 257, 0).rint().cast("uchar")
        lost = "CMYK is handled with 8 bits per channel: the target's 16 were reduced"
        return bytes_.copy(interpretation="cmyk"), (lost,)
    bits = image.get("bits-per-sample") if "bits-per-sample" in image.get_fields() else 16
    if image.get("vips-loader").startswith("heif") and bits in (10, 12):
        # The loaders leave the lowest bits empty, so that white and opaque are less than full.
        image = (image | (image >> bits)).copy(interpretation=image.interpretation)
    return image, ()


def with_exif_resolution(image: pyvips.Image) -> pyvips.Image:
    """The resolution that EXIF names, else 72 dpi: for loaders that leave it unset."""
    xres, yres = (_exif_resolution(image, f"exif-ifd0-{axis}Resolution") for axis in "XY")
    return image.copy(xres=xres, yres=yres)


def parsed_exif(block: bytes) -> pyvips.Image:
    """A picture of one pixel that holds an EXIF block and its fields as libvips reads them.

    Raises:
        pyvips.Error: The block is damaged.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"eXIf", block.removeprefix(tiff.EXIF_PREFIX))
    chunks += chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return vips().Image.pngload_buffer(b"\x89PNG\r\n\x1a\n" + chunks)


def _open(path: Path, kind: str, shrink: int) -> pyvips.Image:
    options = {"access": "sequential", "fail_on": "truncated"}
    name = os.fsencode(path)  # file names need not be UTF-8
    image = vips().Image
    if kind == "jpeg":
        # By its name libvips would map the file, and what it has read of it counts as resident.
        source = FileSource(path, {}).source()
        return _kept(image.jpegload_source(source, shrink=shrink, **options), source)
    if kind == "png":
        return image.pngload(name, **options)
    if kind == "webp":
        return image.webpload(name, **options)
    if kind == "gif":
        return image.gifload(name, **options)
    if kind == "tiff":
        return _open_tiff(path, options)
    # The decoders have turned the picture as its container says; what EXIF says besides counts
    # for nothing in these formats (ISO/IEC 23000-22) and would turn it a second time.
    image = image.heifload(name, **options).copy()
    if "exif-ifd0-Orientation" in image.get_fields():
        image.remove("exif-ifd0-Orientation")
    image.set_type(vips().GValue.gint_type, "orientation", 1)
    return image


def _open_tiff(path: Path, options: dict[str, Any]) -> pyvips.Image:
    """A TIFF, colours not multiplied by alpha.

    libvips' own limit of memory counts bytes over the life of a file; ours are in `tiff_memory`.
    """
    # "truncated" lets pieces that cannot be read pass as black.
    options = options | {"unlimited": True, "fail_on": "error"}
    try:
        with path.open("rb") as file:
            directory = tiff.read_directory(file)
            lab = is_lab_of_8_bits(file, directory)
            premultiplied = tiff.number(file, directory, tiff.EXTRA_SAMPLES, 0) == 1
    except (tiff.TiffError, OSError) as error:
        raise vips().Error(f"tiff: {error}") from error
    changes = {}
    if lab:  # libvips reads CIELAB of 16 bits only; as RGB it hands out the bytes as they are
        changes[tiff.PHOTOMETRIC] = _RGB
    if premultiplied:  # it would divide in single precision, which cannot be undone exactly
        changes[tiff.EXTRA_SAMPLES] = _UNASSOCIATED
    if not changes:
        return vips().Image.tiffload(os.fsencode(path), **options)
    code = directory.order + "H"
    patches = {directory.entries[tag].at: struct.pack(code, to) for tag, to in changes.items()}
    source = FileSource(path, patches).source()
    image = _kept(vips().Image.tiffload_source(source, **options), source)
    if premultiplied and image.hasalpha() and image.format in _DEEPEST:
        image = _unpremultiplied(image)
    return _lab_from_bytes(image) if lab else image


def _lab_from_bytes(image: pyvips.Image) -> pyvips.Image:
    """CIELAB as TIFF stores it in bytes: L in 255ths of its range, a and b in two's complement."""
    image = image.linecache(tile_height=16, access="sequential", threaded=True)
    lightness = image[0].linear(100 / 255, 0)
    others = (image.extract_band(1, n=2) ^ 128).linear(1, -128)
    lab = lightness.bandjoin(others)
    if image.bands == 4:
        lab = lab.bandjoin(image[3])
    return lab.copy(interpretation="lab")


def _unpremultiplied(image: pyvips.Image) -> pyvips.Image:
    """Colours divided by opacity and rounded, so that multiplying again gives the same numbers.

    Rounding is off by at most half a step, and the product with an opacity below 1 by less.
    Colours above their opacity, which no picture should have, are cut off.
    """
    image = image.linecache(tile_height=16, access="sequential", threaded=True)
    colours = image.extract_band(0, n=image.bands - 1).cast("double")
    alpha = image[image.bands - 1]
    # libvips answers a division by zero with zero.
    numbers = (colours * _DEEPEST[image.format] / alpha).rint().cast(image.format)
    return numbers.bandjoin(alpha).copy(interpretation=image.interpretation)


def _kept(image: pyvips.Image, source: Any) -> pyvips.Image:
    """As pyvips' own constructors do: what calls back into Python must live as long."""
    image._references.append(source)
    return image


class FileSource:
    """A file that libvips reads through us.

    Args:
        path: The file.
        patches: Bytes to be read instead of those at these places: how a loader is shown
            another tag.
    """

    def __init__(self, path: Path, patches: dict[int, bytes]) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise vips().Error(f"file: {error}") from error
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._patches = patches
        self._at = 0

    def source(self) -> Any:
        """A libvips source that reads this file and keeps it open."""
        source = vips().SourceCustom()
        source.on_read(self._read)
        source.on_seek(self._seek)
        return source

    def _read(self, size: int) -> bytes:
        read = os.pread(self._descriptor, size, self._at)
        self._at += len(read)
        if not self._patches:
            return read
        data, start = bytearray(read), self._at - len(read)
        for place, patch in self._patches.items():
            for index, value in enumerate(patch, place - start):
                if 0 <= index < len(data):
                    data[index] = value
        return bytes(data)

    def _seek(self, offset: int, whence: int) -> int:
        size = os.fstat(self._descriptor).st_size
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: size}[whence]
        self._at = start + offset
        return self._at


def _from_lab(image: pyvips.Image) -> pyvips.Image:
    """CIELAB of TIFF (white is D50, as in profiles) to sRGB, 8 bits from bytes, else 16."""
    depth = 8 if image.format == "float" else 16
    lab = image.colourspace("lab", source_space=image.interpretation).copy()
    if "icc-profile-data" in lab.get_fields():
        lab.remove("icc-profile-data")
    colours = lab.extract_band(0, n=3).icc_export(
        output_profile="srgb", intent="relative", depth=depth
    )
    colours = colours.copy()
    colours.remove("icc-profile-data")
    if image.bands == 3:
        return colours
    alpha = image[3].cast("uchar" if depth == 8 else "ushort")
    return colours.bandjoin(alpha)


def _exif_of_tiff(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return tiff.exif_block(file, tiff.read_directory(file))
    except (tiff.TiffError, OSError) as error:
        raise vips().Error(f"tiff: {error}") from error


def _with_exif(image: pyvips.Image, block: bytes) -> pyvips.Image:
    """``image`` with the fields of an EXIF block; a damaged block is left out."""
    if not block:
        return image
    try:
        parsed = parsed_exif(block)
    except vips().Error:
        return image
    image = image.copy()
    for name in parsed.get_fields():
        if name.startswith("exif-"):
            image.set_type(parsed.get_typeof(name), name, parsed.get(name))
    return image


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
