"""JPEG files of every kind, and a look at their coefficients."""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from preprocess.jpeg_header import JpegHeader, read_jpeg_header
from tests.preprocess.pictures import Pixels

_FIRST = {"grey": 0, "4:4:4": 0, "4:2:2": 1, "4:2:0": 2, "4:4:0": 1}


def jpegtran(data: bytes, *arguments: str) -> bytes:
    """Its output; any warning is a failure."""
    done = subprocess.run(
        ["jpegtran", "-copy", "all", *arguments], input=data, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b""), (arguments, done.stderr)
    return done.stdout


def jpeg(pixels: Pixels, sampling: str = "4:4:4", *recoding: str, **options: Any) -> bytes:
    """A JPEG of H x W x 1 or 3 pixels.

    Args:
        pixels: The picture.
        sampling: As `JpegHeader.sampling` names it.
        recoding: Switches of a second run through jpegtran.
        options: Pillow's.
    """
    if sampling == "4:4:0":
        # Pillow lacks it: 4:2:2 of the transposed picture, turned back.
        pixels, recoding = pixels.swapaxes(0, 1), ("-transpose", *_recoding(options), *recoding)
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels.squeeze()))
    options = {"subsampling": _FIRST[sampling]} | options
    options.setdefault("quality", -1 if "qtables" in options else 85)
    picture.save(stream, "JPEG", **options)
    return jpegtran(stream.getvalue(), *recoding) if recoding else stream.getvalue()


def _recoding(options: dict[str, Any]) -> list[str]:
    """jpegtran's switches for some of Pillow's options."""
    switches = []
    if options.get("progressive"):
        switches.append("-progressive")
    if options.get("optimize"):
        switches.append("-optimize")
    if blocks := options.get("restart_marker_blocks"):
        switches += ["-restart", f"{blocks}B"]
    if rows := options.get("restart_marker_rows"):
        switches += ["-restart", str(rows)]
    return switches


def with_segments(data: bytes, segments: Sequence[tuple[int, bytes]]) -> bytes:
    """Segments put in front of all others."""
    head = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
        for marker, payload in segments
    )
    return data[:2] + head + data[2:]


def units(path: Path) -> tuple[JpegHeader, list[list[bytes]]]:
    """The coefficients of each unit, row by row: their code when every unit stands alone.

    Sequential, with standard Huffman codes and a restart marker behind each, the code of a unit
    depends on its coefficients alone, and no two codes mean the same.
    """
    data = jpegtran(path.read_bytes(), "-restart", "1B")
    plain = path.with_suffix(".units")
    plain.write_bytes(data)
    header = read_jpeg_header(plain)
    plain.unlink()
    assert header.standard_huffman
    (length,) = struct.unpack_from(">H", data, header.scan_offset)
    code = data[header.scan_offset + length : -2]
    for number in range(8):
        code = code.replace(bytes((0xFF, 0xD0 + number)), b"\xff\xd0")
    split = code.split(b"\xff\xd0")
    across = -(-header.size.width // header.unit.width)
    assert len(split) == across * -(-header.size.height // header.unit.height)
    return header, [split[start : start + across] for start in range(0, len(split), across)]
