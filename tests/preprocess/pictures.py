"""Synthetic pictures with known pixels and metadata, for the image tests."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[Any]


def photo(width: int, height: int, channels: int = 3, depth: int = 8, seed: int = 7) -> Pixels:
    """Smooth shapes plus noise, no symmetry: H x W x channels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    phases = np.arange(channels) * 1.3
    waves = np.sin(x[..., None] / 17 + phases) + np.cos(y[..., None] / 11 - 2 * phases)
    ramp = (x / width + 2 * y / height)[..., None]
    noise = np.random.default_rng(seed).normal(0, 0.05, (height, width, channels))
    values = np.clip(0.5 + 0.15 * waves + 0.1 * (ramp - 1) + noise, 0, 1)
    dtype = np.uint16 if depth == 16 else np.uint8
    return np.round(values * (65535 if depth == 16 else 255)).astype(dtype)


def as_vips(pixels: Pixels) -> Any:
    """A libvips picture of H x W x 1-4 pixels with the right interpretation."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
    grey, deep = pixels.shape[2] < 3, pixels.dtype == np.uint16
    kinds = {(0, 0): "srgb", (0, 1): "rgb16", (1, 0): "b-w", (1, 1): "grey16"}
    return image.copy(interpretation=kinds[grey, deep])


def save_png(path: Path, pixels: Pixels, orientation: int = 1) -> Path:
    """Lossless, 8 or 16 bit, 1-4 channels, with an EXIF orientation."""
    image = as_vips(pixels)
    if orientation != 1:
        image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.pngsave(str(path))
    return path


def load_pixels(path: Path) -> Pixels:
    """What stands in the file, H x W x C, without orientation or profile."""
    image = pyvips.Image.new_from_file(str(path))
    return image.numpy().reshape(image.height, image.width, image.bands)


def encoded(pixels: Pixels, kind: str, **options: Any) -> bytes:
    """The bytes of a file that Pillow writes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def grey_profile() -> bytes:
    """A small ICC profile for grey pictures whose light is the square of the number."""

    def s15(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65_536) for value in values))

    white = b"XYZ \0\0\0\0" + s15(0.9642, 1.0, 0.8249)
    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, 2 << 8, 0)
    text = b"text\0\0\0\0none\0\0\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(78)
    table, body = b"", b""
    tags = {b"wtpt": white, b"kTRC": curve, b"cprt": text, b"desc": name + bytes(-len(name) % 4)}
    start = 132 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data
    size = struct.pack(">I", start + len(body))
    head = size + bytes(4) + struct.pack(">I", 0x02400000) + b"mntrGRAYXYZ " + bytes(12) + b"acsp"
    head += bytes(28) + s15(0.9642, 1.0, 0.8249)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def bare_png(width: int, height: int) -> bytes:
    """A PNG whose header claims any size and whose data hold next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
