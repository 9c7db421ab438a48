"""Replacing units of a JPEG: what changed lands, all other coefficients stay as they are."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import pyvips
from PIL import Image

from common.errors import (
    CancelledError,
    DeadlineError,
    FileMissingError,
    MemoryLimitError,
    UnreadableImageError,
)
from common.progress import Progress
from common.types import PixelArray, Region, Size
from preprocess.image_source import Orientation
from preprocess.jpeg_graft import Graft, Grafted, graft, memory_mb, obstacle, turns_exactly
from preprocess.jpeg_header import APP1, COM, read_jpeg_header, read_scans
from preprocess.jpegtran import GraftError
from tests.preprocess.jpegs import jpeg, jpegtran, units, with_segments
from tests.preprocess.pictures import Pixels, photo

ROOT = Path(__file__).resolve().parents[2]
UPRIGHT = Orientation()
WHOLE_UNITS, CUT_UNITS = Size(160, 96), Size(157, 91)
SAMPLINGS = ["grey", "4:4:4", "4:2:2", "4:2:0", "4:4:0"]

CODINGS: dict[str, tuple[tuple[str, ...], dict[str, object]]] = {
    "baseline": ((), {}),
    "optimised": ((), {"optimize": True}),
    "progressive": ((), {"progressive": True}),
    "restarts": ((), {"restart_marker_blocks": 3}),
    "optimised with restarts": ((), {"optimize": True, "restart_marker_rows": 1}),
    "progressive with restarts": ((), {"progressive": True, "restart_marker_blocks": 7}),
}


@pytest.fixture(autouse=True)
def _needs_jpegtran(request: pytest.FixtureRequest, require_program: Callable[[str], str]) -> None:
    require_program("jpegtran")


def picture(size: Size, sampling: str) -> Pixels:
    return photo(size.width, size.height, 1 if sampling == "grey" else 3)


def as_read(path: Path) -> Pixels:
    """H x W x 3, as libvips decodes and the image layer hands out."""
    image = pyvips.Image.new_from_file(str(path), access="sequential")
    pixels = image.numpy().reshape(image.height, image.width, -1)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def brighter(path: Path, region: Region, oval: bool = False) -> tuple[Region, PixelArray]:
    """A piece in which every pixel differs by about a seventh of the range, or only an oval."""
    pixels = as_read(path)[region.y : region.bottom, region.x : region.right].copy()
    new = np.where(pixels < 128, pixels + 40, pixels - 40).astype(np.uint8)
    if not oval:
        return region, new
    y, x = np.mgrid[0 : region.height, 0 : region.width]
    inside = np.hypot((y + 0.5) / region.height - 0.5, (x + 0.5) / region.width - 0.5) < 0.5
    return region, np.where(inside[..., None], new, pixels)


def grafted(
    path: Path,
    pieces: Sequence[tuple[Region, PixelArray]],
    upright: Orientation = UPRIGHT,
    progress: Progress | None = None,
) -> tuple[Path, Grafted]:
    output = path.with_name("out.jpg")
    header = read_jpeg_header(path)
    assert obstacle(header) is None
    return output, graft(path, header, pieces, output, upright, progress or Progress())


def check_units(
    path: Path, output: Path, pieces: Sequence[tuple[Region, PixelArray]], **options: object
) -> None:
    """Units in which a pixel differs are those of the new picture encoded as a whole; all
    others are the old ones. The coding stays.
    """
    header, old = units(path)
    pixels = as_read(path)
    new = pixels.copy()
    for region, laid in pieces:
        new[region.y : region.bottom, region.x : region.right] = laid
    differs = (pixels != new).any(axis=2)
    if header.sampling == "grey":
        new = np.asarray(Image.fromarray(new).convert("L"))[..., np.newaxis]
    whole = path.with_name("whole.jpg")
    whole.write_bytes(jpeg(new, header.sampling or "", **options))
    _, fresh = units(whole)
    whole.unlink()
    across, down = header.unit.width, header.unit.height
    expected = [
        [
            mine if differs[y * down :, x * across :][:down, :across].any() else before
            for x, (before, mine) in enumerate(zip(*rows, strict=True))
        ]
        for y, rows in enumerate(zip(old, fresh, strict=True))
    ]
    assert units(output)[1] == expected
    assert expected != old
    check_coding(path, output)


def check_coding(path: Path, output: Path) -> None:
    ours, theirs = read_jpeg_header(output), read_jpeg_header(path)
    assert ours.components == theirs.components
    assert ours.size == theirs.size
    assert ours.progressive == theirs.progressive
    assert ours.restart_interval == theirs.restart_interval
    assert ours.standard_huffman == theirs.standard_huffman
    assert ours.segments == theirs.segments
    assert read_scans(output, ours) == read_scans(path, theirs)


def save(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    return path


# --- the matrix -----------------------------------------------------------------------------

REGIONS = {
    "inside": lambda size: Region(43, 29, 50, 37),
    "top left": lambda size: Region(0, 0, 40, 33),
    "bottom right": lambda size: Region(size.width - 45, size.height - 40, 45, 40),
    "right": lambda size: Region(size.width - 3, 20, 3, 30),
    "bottom": lambda size: Region(20, size.height - 2, 60, 2),
    "all": Region.whole,
}


@pytest.mark.parametrize("size", [WHOLE_UNITS, CUT_UNITS], ids=["whole units", "cut units"])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_only_units_with_other_pixels_change(
    tmp_path: Path, sampling: str, coding: str, size: Size
) -> None:
    recoding, options = CODINGS[coding]
    path = save(tmp_path, jpeg(picture(size, sampling), sampling, *recoding, **options))
    for place in REGIONS.values():
        pieces = [brighter(path, place(size), oval=True)]
        output, done = grafted(path, pieces)
        assert done == Grafted(upright=True, lost=())
        check_units(path, output, pieces)


def test_pixels_as_they_were_change_nothing(tmp_path: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    region = Region(21, 11, 80, 50)
    pixels = as_read(path)[region.y : region.bottom, region.x : region.right]
    output, _ = grafted(path, [(region, pixels)])
    assert output.read_bytes() == path.read_bytes()


def test_several_pieces_lie_in_their_order(tmp_path: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0", optimize=True))
    low = brighter(path, Region(5, 5, 60, 50))
    over = (Region(30, 20, 50, 40), np.full((40, 50, 3), 90, np.uint8))
    far = brighter(path, Region(130, 60, 27, 31), oval=True)
    output, _ = grafted(path, [low, over, far])
    check_units(path, output, [low, over, far])


def test_strips_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    piece = brighter(path, Region(9, 3, 130, 85), oval=True)
    whole = grafted(path, [piece])[0].read_bytes()
    monkeypatch.setattr("preprocess.jpeg_splice._STRIP_PIXELS", 1)
    assert grafted(path, [piece])[0].read_bytes() == whole


@pytest.mark.parametrize(("sampling", "ring"), [("4:4:4", 0), ("4:2:0", 1)])
def test_decoded_pixels_beside_the_changed_units(tmp_path: Path, sampling: str, ring: int) -> None:
    """Colour of half the resolution is smoothed over the border of a unit, by one pixel."""
    path = save(tmp_path, jpeg(picture(CUT_UNITS, sampling), sampling))
    units_changed = Region(32, 16, 64, 48)
    output, _ = grafted(path, [brighter(path, units_changed)])
    differs = (as_read(path) != as_read(output)).any(axis=2)
    rows, columns = np.nonzero(differs)
    found = Region.around(np.stack([columns, rows], axis=1))
    assert found == units_changed.grow(ring)


def test_rgb(tmp_path: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:4:4"), keep_rgb=True))
    piece = brighter(path, Region(40, 30, 60, 40))
    output, _ = grafted(path, [piece])
    check_units(path, output, [piece], keep_rgb=True)


def test_three_different_tables(tmp_path: Path) -> None:
    tables = [[step] * 64 for step in (2, 9, 30)]
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0", qtables=tables))
    piece = brighter(path, Region(40, 30, 60, 40))
    output, _ = grafted(path, [piece])
    check_units(path, output, [piece], qtables=tables)


def test_a_grey_file_with_factors(tmp_path: Path) -> None:
    """A lone channel's sampling factors mean nothing; they may be any."""
    data = jpeg(picture(CUT_UNITS, "grey"), "grey")
    path = save(tmp_path, data)
    piece = brighter(path, Region(130, 50, 27, 41))
    plain = grafted(path, [piece])[0].read_bytes()
    place = data.index(b"\xff\xc0") + 11
    save(tmp_path, data[:place] + b"\x22" + data[place + 1 :])
    output, _ = grafted(path, [piece])
    assert output.read_bytes() == plain


def test_coding_in_separate_scans_is_kept(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("0;\n2;\n1;\n")
    data = jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0", "-scans", str(script))
    path = save(tmp_path, data)
    piece = brighter(path, Region(40, 30, 60, 40))
    output, _ = grafted(path, [piece])
    check_units(path, output, [piece])


def test_a_name_that_looks_like_a_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("-optimize \udcff.jpg")
    path.write_bytes(jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    region = Region(40, 30, 60, 40)
    graft(
        path,
        read_jpeg_header(path),
        [(region, np.zeros((40, 60, 3), np.uint8))],
        Path("-o.jpg"),
        UPRIGHT,
        Progress(),
    )
    assert as_read(Path("-o.jpg"))[40:60, 50:90].max() < 12


# --- orientation ----------------------------------------------------------------------------

TURNS = {
    2: ("-flip", "horizontal"),
    3: ("-rotate", "180"),
    4: ("-flip", "vertical"),
    5: ("-transpose",),
    6: ("-rotate", "90"),
    7: ("-transverse",),
    8: ("-rotate", "270"),
}


def with_orientation(data: bytes, value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return with_segments(data, [(APP1, b"Exif\0\0" + exif.tobytes()[6:])])


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("value", TURNS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_picture_of_whole_units_is_turned(
    tmp_path: Path, sampling: str, value: int, progressive: bool
) -> None:
    data = jpeg(picture(WHOLE_UNITS, sampling), sampling, progressive=progressive)
    path = save(tmp_path, with_orientation(data, value))
    pieces = [brighter(path, Region(11, 7, 60, 40), oval=True)]
    output, done = grafted(path, pieces, Orientation.from_exif(value))
    assert done.upright
    with Image.open(output) as result:
        assert result.getexif()[0x0112] == 1
    # Turned back, it is what it would have been without the turn.
    stored, _ = grafted_beside(path, pieces)
    back = tmp_path / "back.jpg"
    undo = {6: TURNS[8], 8: TURNS[6]}.get(value, TURNS[value])
    back.write_bytes(jpegtran(output.read_bytes(), "-perfect", *undo))
    assert units(back)[1] == units(stored)[1]
    assert read_jpeg_header(output).progressive == progressive


def grafted_beside(path: Path, pieces: Sequence[tuple[Region, PixelArray]]) -> tuple[Path, Grafted]:
    output = path.with_name("stored.jpg")
    return output, graft(path, read_jpeg_header(path), pieces, output, UPRIGHT, Progress())


@pytest.mark.parametrize("value", TURNS)
def test_a_picture_with_cut_units_lies_as_it_lay(tmp_path: Path, value: int) -> None:
    data = with_orientation(jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"), value)
    path = save(tmp_path, data)
    pieces = [brighter(path, Region(11, 7, 60, 40), oval=True)]
    output, done = grafted(path, pieces, Orientation.from_exif(value))
    assert done.upright == (value == 5)  # a transposition mirrors nothing
    with Image.open(output) as result:
        assert result.getexif()[0x0112] == (1 if value == 5 else value)
    if value != 5:
        check_units(path, output, pieces)


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("size", [Size(160, 91), Size(157, 96), WHOLE_UNITS, CUT_UNITS])
def test_jpegtran_agrees_on_what_turns_without_loss(tmp_path: Path, size: Size, value: int) -> None:
    path = save(tmp_path, with_orientation(jpeg(picture(size, "4:2:0"), "4:2:0"), value))
    command = ["jpegtran", "-perfect", *TURNS.get(value, ()), str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    header = read_jpeg_header(path)
    assert turns_exactly(header, Orientation.from_exif(value)) == (done.returncode == 0)


# --- size and memory ------------------------------------------------------------------------


def test_the_file_keeps_its_size(tmp_path: Path, faces_folder: Path) -> None:
    """A piece on 9 % of each portrait, pixels moved by a twentieth of the range."""
    seen = 0
    for portrait in sorted(faces_folder.glob("*.jpg")):
        if portrait.read_bytes()[:2] != b"\xff\xd8":
            continue
        path = tmp_path / "a.jpg"
        path.write_bytes(portrait.read_bytes())
        size = read_jpeg_header(path).size
        region = Region(
            size.width // 3, size.height // 4, 3 * size.width // 10, 3 * size.height // 10
        )
        pixels = as_read(path)[region.y : region.bottom, region.x : region.right]
        new = np.clip(pixels.astype(int) + 13, 0, 255).astype(np.uint8)
        output, _ = grafted(path, [(region, new)])
        growth = output.stat().st_size / path.stat().st_size - 1
        assert abs(growth) < 0.03, (portrait.name, growth)
        check_coding_of_portrait(path, output)
        seen += 1
    assert seen >= 10


def check_coding_of_portrait(path: Path, output: Path) -> None:
    ours, theirs = read_jpeg_header(output), read_jpeg_header(path)
    assert ours.components == theirs.components
    assert ours.progressive == theirs.progressive
    assert ours.standard_huffman == theirs.standard_huffman
    assert read_scans(output, ours).script == read_scans(path, theirs).script


@pytest.mark.parametrize("value", [1, 6])
@pytest.mark.parametrize(
    ("sampling", "options"),
    [("4:4:4", {"optimize": True}), ("4:2:0", {"progressive": True}), ("grey", {})],
)
def test_memory_is_as_foretold(
    tmp_path: Path, sampling: str, options: dict[str, bool], value: int
) -> None:
    """On 12 megapixels, of which jpegtran's own code is the smaller part."""
    tile = photo(512, 512, 1 if sampling == "grey" else 3)
    path = save(tmp_path, jpeg(np.tile(tile, (6, 8, 1)), sampling, **options))
    piece = brighter(path, Region(1000, 1000, 600, 800))
    turn = Orientation.from_exif(value)
    most = 0
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(grafted, path, [piece], turn)
        while not work.done():
            most = max([most, *(child_memory(child) for child in psutil.Process().children())])
            time.sleep(0.001)
    work.result()
    foretold = memory_mb(read_jpeg_header(path), [piece[0]], turn)
    assert 0.9 * foretold < most / 2**20 < 1.02 * foretold


def child_memory(child: psutil.Process) -> int:
    """Resident bytes of a jpegtran; until it has started it is a copy of this process."""
    try:
        return int(child.memory_info().rss) if child.name() == "jpegtran" else 0
    except psutil.NoSuchProcess:
        return 0


# --- what can go wrong ----------------------------------------------------------------------

CMYK = io.BytesIO()
Image.new("CMYK", (64, 64)).save(CMYK, "JPEG")

OBSTACLES = {
    "arithmetically": lambda: jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0", "-arithmetic"),
    "rare way (4x1, 1x1, 1x1)": lambda: patched(b"\xff\xc0", 11, b"\x41"),
    "rare way (2x2, 2x2, 2x2)": lambda: patched(b"\xff\xc0", 11, b"\x22\0\2\x22\1\3\x22"),
    "12 bits": lambda: patched(b"\xff\xc0", 4, b"\x0c"),
    "lossless": lambda: patched(b"\xff\xc0", 1, b"\xc3"),
    "steps above 255": lambda: jpeg(picture(CUT_UNITS, "grey"), "grey", qtables=[[256] * 64]),
    "between its scans": lambda: patched(b"\xff\xc0", 12, b"\x03"),
    "4 channels": CMYK.getvalue,
}


def patched(find: bytes, place: int, new: bytes) -> bytes:
    data = bytearray(jpeg(picture(CUT_UNITS, "4:4:4")))
    start = data.index(find) + place
    data[start : start + len(new)] = new
    return bytes(data)


@pytest.mark.parametrize("reason", OBSTACLES)
def test_obstacles(tmp_path: Path, reason: str) -> None:
    found = obstacle(read_jpeg_header(save(tmp_path, OBSTACLES[reason]())))
    assert found is not None
    assert reason in found


def test_without_jpegtran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    piece = brighter(path, Region(40, 30, 60, 40))
    monkeypatch.setenv("PATH", str(tmp_path))
    header = read_jpeg_header(path)
    assert "libjpeg-turbo-progs" in str(obstacle(header))
    with pytest.raises(GraftError, match="not installed"):
        graft(path, header, [piece], tmp_path / "out.jpg", UPRIGHT, Progress())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_truncated_file(tmp_path: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    piece = brighter(path, Region(0, 0, 60, 40))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UnreadableImageError, match=r"a\.jpg"):
        grafted(path, [piece])
    path.write_bytes(path.read_bytes() + b"\xff\xd9")
    with pytest.raises(GraftError, match=r"Corrupt|[Pp]remature"):
        grafted(path, [piece])
    assert names(tmp_path) == ["a.jpg"]


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    header = read_jpeg_header(path)
    piece = brighter(path, Region(0, 0, 60, 40))
    path.unlink()
    with pytest.raises(FileMissingError):
        graft(path, header, [piece], tmp_path / "out.jpg", UPRIGHT, Progress())


def test_a_file_that_was_replaced_by_a_smaller_one(tmp_path: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    header = read_jpeg_header(path)
    piece = brighter(path, Region(90, 50, 60, 40))
    save(tmp_path, jpeg(picture(Size(40, 40), "4:2:0"), "4:2:0"))
    with pytest.raises(GraftError):
        graft(path, header, [piece], tmp_path / "out.jpg", UPRIGHT, Progress())


@pytest.mark.parametrize("region", [Region(0, 0, 0, 5), Region(-1, 0, 9, 9), Region(150, 0, 9, 9)])
def test_regions_outside_are_a_mistake_of_the_caller(tmp_path: Path, region: Region) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    with pytest.raises(ValueError, match="outside"):
        Graft(path, read_jpeg_header(path), [region])
    with pytest.raises(ValueError, match="at least one"):
        Graft(path, read_jpeg_header(path), [])


def test_pieces_elsewhere_than_begun_are_a_mistake_of_the_caller(tmp_path: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    piece = brighter(path, Region(90, 50, 60, 40))
    begun = Graft(path, read_jpeg_header(path), [Region(0, 0, 9, 9)])
    with begun, pytest.raises(ValueError, match="outside"):
        begun.write([piece], tmp_path / "out.jpg", UPRIGHT, Progress())


# --- stopping -------------------------------------------------------------------------------


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A jpegtran that says nothing for a minute, and writes its process number."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "jpegtran"
    program.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/started\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "started"


def gone(started: Path) -> bool:
    return not any(psutil.pid_exists(int(line)) for line in started.read_text().split())


def test_a_cancel_ends_the_child(tmp_path: Path, slow: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    piece = brighter(path, Region(40, 30, 60, 40))
    progress = Progress()
    threading.Timer(0.3, progress.cancel).start()
    begun = time.monotonic()
    with pytest.raises(CancelledError):
        grafted(path, [piece], progress=progress)
    assert time.monotonic() - begun < 5
    assert gone(slow)
    assert names(tmp_path) == ["a.jpg", "bin", "started"]


def test_a_deadline_ends_the_child(tmp_path: Path, slow: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    piece = brighter(path, Region(40, 30, 60, 40))
    with pytest.raises(DeadlineError):
        grafted(path, [piece], progress=Progress(deadline_s=0.3))
    assert gone(slow)


def test_one_that_was_begun_in_vain_ends(tmp_path: Path, slow: Path) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    with Graft(path, read_jpeg_header(path), [Region(0, 0, 9, 9)]):
        while not slow.exists() or not slow.read_text():
            time.sleep(0.01)
        assert not gone(slow)
    assert gone(slow)


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("kill -9 $$", MemoryLimitError, "memory"),
        ("echo 'Insufficient memory (case 4)' >&2; exit 1", MemoryLimitError, "memory"),
        ("echo 'Bogus marker length' >&2; exit 1", GraftError, "Bogus marker length"),
        ("exit 3", GraftError, "ended with 3"),
        ("cat > /dev/null", GraftError, "not a JPEG"),
        ("cat", GraftError, "instead of"),
    ],
)
def test_a_child_that_fails(
    tmp_path: Path, slow: Path, script: str, error: type[Exception], words: str
) -> None:
    path = save(tmp_path, jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0"))
    piece = brighter(path, Region(40, 30, 60, 40))
    (tmp_path / "bin/jpegtran").write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(error, match=words):
        grafted(path, [piece])
    assert names(tmp_path) == ["a.jpg", "bin"]


DISK = """
import resource, sys
import numpy as np
from pathlib import Path
from common.errors import DiskFullError
from common.progress import Progress
from common.types import Region
from preprocess.image_source import Orientation
from preprocess.jpeg_graft import graft
from preprocess.jpeg_header import read_jpeg_header
folder = Path(sys.argv[1])
header = read_jpeg_header(folder / "a.jpg")
piece = Region(0, 0, 64, 64), np.zeros((64, 64, 3), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
turn = Orientation.from_exif(int(sys.argv[2]))
try:
    graft(folder / "a.jpg", header, [piece], folder / "o.jpg", turn, Progress())
except DiskFullError as error:
    print(error.message)
"""


@pytest.mark.parametrize("value", [1, 6])
def test_a_full_disk(tmp_path: Path, value: int) -> None:
    """A limit on file sizes stands for it: the write fails midway just so."""
    noise = np.random.default_rng(1).integers(0, 256, (512, 512, 3), np.uint8)
    save(tmp_path, jpeg(noise, quality=95))
    done = subprocess.run(
        [sys.executable, "-c", DISK, str(tmp_path), str(value)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "disk is full" in done.stdout
    assert "o.jpg" in done.stdout
    assert set(names(tmp_path)) <= {"a.jpg", "o.jpg"}  # the caller deletes what is its own


def test_comments_stay_and_what_follows_is_reported(tmp_path: Path) -> None:
    data = jpeg(picture(CUT_UNITS, "4:2:0"), "4:2:0")
    path = save(tmp_path, with_segments(data, [(COM, b"hello")]) + data)
    piece = brighter(path, Region(40, 30, 60, 40))
    output, done = grafted(path, [piece])
    assert len(done.lost) == 1
    assert "behind its picture" in done.lost[0]
    assert read_jpeg_header(output).segments[0] == (COM, b"hello")
    assert not read_scans(output, read_jpeg_header(output)).follows
