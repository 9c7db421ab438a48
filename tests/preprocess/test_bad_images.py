"""Files that are no usable picture: each its own error, a sentence with the file's name."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from common.errors import (
    DiskFullError,
    FileMissingError,
    ImageSizeError,
    MemoryLimitError,
    OutputError,
    StudioError,
    UnreadableImageError,
    UnsupportedFormatError,
)
from common.types import Region, Size
from preprocess.image_file import ImageFile
from preprocess.image_format import ACCEPTED
from preprocess.libvips import reading
from tests.preprocess.pictures import bare_png, encoded, photo
from tests.preprocess.renditions import rendered, write

ROOT = Path(__file__).resolve().parents[2]


def open_file(path: Path) -> ImageFile:
    return ImageFile.open(path, max_megapixels=390)


def refusal(path: Path, kind: type[StudioError], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        open_file(path)
    assert path.name in caught.value.message
    assert ACCEPTED in caught.value.message or kind is ImageSizeError


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refusal(tmp_path / "nothing.jpg", FileMissingError, "does not exist")


def test_a_name_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    refusal(tmp_path / "a.txt" / "b.jpg", FileMissingError, "does not exist")


def test_a_folder(tmp_path: Path) -> None:
    refusal(tmp_path, FileMissingError, "is a folder")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    refusal(tmp_path / "pipe.jpg", FileMissingError, "not a regular file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(bare_png(64, 64))
    path.chmod(0)
    refusal(path, FileMissingError, "may not be read")


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    refusal(path, UnreadableImageError, "is empty")


@pytest.mark.parametrize(
    "content", [b"x", b"just some words, much longer than any signature\n" * 9]
)
def test_text_renamed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.jpg"
    path.write_bytes(content)
    refusal(path, UnreadableImageError, "is not a picture")


@pytest.mark.parametrize(("kind", "name"), [("BMP", "BMP"), ("JPEG2000", "JPEG 2000")])
def test_real_pictures_of_other_formats(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(photo(32, 32), kind))
    refusal(path, UnsupportedFormatError, f"is a {name} picture")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x18ftypcrx ", "camera raw"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, head: bytes, name: str) -> None:
    (tmp_path / "picture.jpg").write_bytes(head + bytes(100))
    refusal(tmp_path / "picture.jpg", UnsupportedFormatError, f"is a {name}")


@pytest.mark.parametrize(
    "head",
    [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"RIFF\x10\x00\x00\x00WEBP",
        b"II*\0",
        b"MM\0+\0\x08\0\0",
        b"GIF89a",
        b"\0\0\0\x1cftypavif\0\0\0\0mif1avif",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1",
    ],
)
def test_a_signature_and_nothing_else(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "stub.jpg"
    path.write_bytes(head)
    refusal(path, UnreadableImageError, "damaged or incomplete")


@pytest.mark.parametrize(("width", "height"), [(0, 0), (1, 1), (15, 400), (400, 15)])
def test_too_small(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "tiny.png"
    path.write_bytes(bare_png(width, height))
    refusal(path, ImageSizeError, f"{width}x{height} pixels.*at least 16")


def test_a_jpeg_of_one_pixel(tmp_path: Path) -> None:
    path = tmp_path / "tiny.jpg"
    path.write_bytes(encoded(photo(1, 1), "JPEG"))
    refusal(path, ImageSizeError, "1x1")


def test_the_limit_counts_millions_of_pixels(tmp_path: Path) -> None:
    path = tmp_path / "million.png"
    path.write_bytes(encoded(np.zeros((1000, 1000), np.uint8), "PNG"))
    assert ImageFile.open(path, max_megapixels=1).size.pixels == 1_000_000
    with pytest.raises(ImageSizeError, match=r"1000x1000 .*at most 0\.99 megapixels") as caught:
        ImageFile.open(path, max_megapixels=0.99)
    assert "million.png" in caught.value.message


BOMB = """
import sys, time
from pathlib import Path
from common.errors import ImageSizeError
from preprocess.image_file import ImageFile
from preprocess.image_format import ACCEPTED
imported = time.perf_counter()
try:
    ImageFile.open(Path(sys.argv[1]), max_megapixels=390)
except ImageSizeError as error:
    done = time.perf_counter()
    status = Path("/proc/self/status")
    # Not getrusage: its peak starts with that of the process that started this one.
    lines = status.read_text().splitlines() if status.exists() else ["VmHWM: 0 kB"]
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    print(done - imported, peak / 1000)
"""


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (3_000_000, 16)])
def test_a_bomb_is_refused_from_its_header(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bare_png(width, height))
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, megabytes = map(float, done.stdout.split())
    assert seconds < 0.3  # measured 0.001: PNG needs no decoder for this
    assert megabytes < 100  # measured 33, the whole process
    assert done.stderr == ""


@pytest.mark.parametrize(("width", "height"), [(65_536, 16), (16, 65_536)])
def test_a_side_beyond_that_of_any_jpeg(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "ribbon.png"
    path.write_bytes(bare_png(width, height))
    refusal(path, ImageSizeError, f"{width}x{height} pixels; each side may have at most 65535")
    path.write_bytes(bare_png(min(width, 65_535), min(height, 65_535)))
    assert open_file(path).size.longer == 65_535


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 90, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"quality": 90}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
        ("AVIF", {}),
    ],
)
def test_half_a_file(tmp_path: Path, kind: str, options: dict[str, bool]) -> None:
    content = encoded(photo(400, 300), kind, **options)
    path = tmp_path / "half.jpg"
    path.write_bytes(content[: len(content) // 2])
    before = set(tmp_path.iterdir())
    whole = Region(0, 0, 400, 300)
    attempts = [
        lambda: rendered(open_file(path), open_file(path).size, whole),
        lambda: open_file(path).read_srgb(whole),
        lambda: list(open_file(path).strips(Size(400, 300), 64, 8)),
        lambda: write_to(tmp_path / "out.png"),
        lambda: write_to(tmp_path / "out.jpg"),
        lambda: write_to(tmp_path / "out.webp"),
    ]

    def write_to(output: Path) -> None:
        write(open_file(path), output, at=Size(400, 300))

    for attempt in attempts:
        with pytest.raises(UnreadableImageError, match=r"half\.jpg is damaged or incomplete"):
            attempt()
    assert set(tmp_path.iterdir()) == before


def failure(path: Path, words: str = "") -> StudioError:
    """What comes of a failure of libvips, without its words unless some are given."""
    pyvips.Error("")  # empties the buffer of words, which another failure may have filled
    with pytest.raises(StudioError) as caught, reading(path):
        raise pyvips.Error("unable to call pngload", words)
    assert path.name in caught.value.message
    return caught.value


def test_a_failure_without_words_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    error = failure(path)
    assert type(error) is UnreadableImageError
    assert "damaged or incomplete, or memory or disk space ran out" in error.message
    assert "is damaged" in failure(path, "pngload: bad chunk").message
    with pytest.raises(UnreadableImageError, match=r"a\.png is damaged or"), reading(path):
        raise pyvips.Error("tiff: the file ends before 99")  # our own have theirs in front

    usage = type("Usage", (), {"free": 1000})()
    with monkeypatch.context() as patch:
        patch.setattr("preprocess.libvips.shutil.disk_usage", lambda _: usage)
        assert type(failure(path)) is DiskFullError
        assert type(failure(path, "pngload: bad chunk")) is UnreadableImageError
    with monkeypatch.context() as patch:
        memory = type("Memory", (), {"available": 1000})()
        patch.setattr("psutil.virtual_memory", lambda: memory)
        assert type(failure(path)) is MemoryLimitError
        assert type(failure(path, "pngload: bad chunk")) is UnreadableImageError
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
        assert type(failure(path)) is UnreadableImageError


def test_words_that_another_thread_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told however often pyvips empties the buffer of words meanwhile."""
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("preprocess.libvips.shutil.disk_usage", lambda _: usage)
    path = tmp_path / "a.png"
    picture, done = pyvips.Image.black(8, 8), threading.Event()

    def look() -> None:
        while not done.is_set():
            picture.crop  # noqa: B018 - looking is enough to empty it

    def fail() -> StudioError:
        with pytest.raises(StudioError) as caught, reading(path):
            pyvips.Image.new_from_memory(bytes(48), 4, 4, 3, "uchar").write_to_file(
                str(tmp_path / "none" / "a.raw")
            )
        return caught.value

    thread = threading.Thread(target=look)
    thread.start()
    try:
        found = [fail() for _ in range(200)]
    finally:
        done.set()
        thread.join()
    for error in found:
        assert type(error) is DiskFullError or "is damaged or incomplete;" in error.message


def test_damage_in_the_middle_of_a_png(tmp_path: Path) -> None:
    content = bytearray(encoded(photo(400, 300), "PNG"))
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path = tmp_path / "scratched.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=r"scratched\.png"):
        rendered(open_file(path), open_file(path).size, Region(0, 0, 400, 300))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_bytes_after_the_end_do_no_harm(tmp_path: Path, kind: str) -> None:
    content = encoded(photo(64, 48), kind)
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "longer").write_bytes(content + b"trailing garbage" * 100)
    whole = Region(0, 0, 64, 48)
    plain = rendered(open_file(tmp_path / "plain"), open_file(tmp_path / "plain").size, whole)
    assert np.array_equal(
        rendered(open_file(tmp_path / "longer"), open_file(tmp_path / "longer").size, whole), plain
    )


def test_a_file_replaced_after_a_read_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "changing.png"
    for value in (10, 200):
        path.write_bytes(encoded(np.full((32, 32, 3), value, np.uint8), "PNG"))
        assert rendered(open_file(path), open_file(path).size, Region(0, 0, 32, 32)).max() == value


def test_a_file_that_vanishes_after_opening(tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    path.write_bytes(encoded(photo(64, 48), "PNG"))
    image = open_file(path)
    path.unlink()
    with pytest.raises(UnreadableImageError, match=r"gone\.png"):
        rendered(image, image.size, Region(0, 0, 64, 48))
    with pytest.raises((UnreadableImageError, OutputError), match=r"gone\.png"):
        write(image, tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(np.full((32, 48, 3), v, np.uint8)) for v in (30, 220, 90)]
    path = tmp_path / "moving"
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], **options)
    image = open_file(path)
    assert (image.size.width, image.size.height) == (48, 32)
    assert np.all(rendered(image, image.size, Region(0, 0, 48, 32)) == 30)


@pytest.mark.parametrize(
    "name", ["photo[1].png", "a b%20c.png", "wäl 人脸.png", "-x.png", b"\xff.png"]
)
def test_odd_file_names(tmp_path: Path, name: str | bytes) -> None:
    path = tmp_path / (os.fsdecode(name) if isinstance(name, bytes) else name)
    pixels = photo(32, 24)
    path.write_bytes(encoded(pixels, "PNG"))
    image = open_file(path)
    assert np.array_equal(rendered(image, image.size, Region(0, 0, 32, 24)), pixels)
    output = path.with_name("out-" + path.name)
    write(image, output)
    assert np.array_equal(
        rendered(open_file(output), open_file(output).size, Region(0, 0, 32, 24)), pixels
    )
