"""Pictures on disk for one request."""

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from common.errors import CancelledError, DiskFullError, ResourceError
from common.progress import Progress
from common.types import PixelArray, Size
from preprocess.image_source import vips
from preprocess.scratch import Scratch, with_meaning


def noise(width: int, height: int, bands: int, dtype: type) -> PixelArray:
    values = np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, (height, width, bands))
    return values.astype(dtype)


def numbers(image: object) -> PixelArray:
    return image.numpy().reshape(image.height, image.width, image.bands)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
def test_rows_of_any_heights_come_back(bands: int, dtype: type) -> None:
    pixels = noise(333, 700, bands, dtype)
    edges = [0, 1, 100, 101, 600, 700]

    def rows() -> Iterator[PixelArray]:
        for top, bottom in itertools.pairwise(edges):
            yield pixels[top:bottom]

    scratch = Scratch.of_rows(Size(333, 700), bands, np.dtype(dtype), rows(), "a test")
    assert np.array_equal(numbers(scratch.image()), pixels)
    again = Scratch.of_image(scratch.image(), "a test")
    assert np.array_equal(numbers(again.image()), pixels)


def test_any_place_can_be_read_and_readers_do_not_disturb_each_other() -> None:
    pixels = noise(600, 900, 3, np.uint8)
    scratch = Scratch.of_rows(Size(600, 900), 3, np.dtype(np.uint8), iter([pixels]), "a test")
    low, high = scratch.image(), scratch.image()
    for y in (800, 3, 511):
        assert np.array_equal(numbers(low.crop(5, y, 50, 50)), pixels[y : y + 50, 5:55])
        assert np.array_equal(
            numbers(high.crop(540, 850 - y // 2, 9, 9)),
            pixels[850 - y // 2 : 859 - y // 2, 540:549],
        )


def test_inks_keep_their_numbers_and_meaning() -> None:
    pixels = noise(70, 50, 4, np.uint8)
    inks = vips().Image.new_from_array(pixels).copy(interpretation="cmyk", xres=9.5)
    inks.set_type(vips().GValue.blob_type, "icc-profile-data", b"a profile")
    back = Scratch.of_image(inks, "a test").image(inks)
    assert np.array_equal(numbers(back), pixels)
    assert (back.interpretation, back.xres) == ("cmyk", 9.5)
    assert back.get("icc-profile-data") == b"a profile"


def test_metadata_of_the_temporary_file_is_not_taken_for_the_pictures() -> None:
    like = vips().Image.black(8, 8, bands=3).copy(interpretation="srgb")
    scratch = Scratch.of_rows(
        Size(8, 8), 3, np.dtype(np.uint8), iter([noise(8, 8, 3, np.uint8)]), "a test"
    )
    fields = with_meaning(scratch.image(), like).get_fields()
    assert set(fields) == set(like.get_fields())


def test_nothing_has_a_name_and_nothing_stays(folder: Path) -> None:
    scratch = Scratch.of_image(vips().Image.black(300, 300, bands=3), "a test")
    if Path("/proc/self/fd").exists():
        assert not list(folder.iterdir())
    image = scratch.image()
    scratch.close()
    assert not list(folder.iterdir())
    assert image.avg() == 0  # what is open stays readable


def test_a_full_disk_is_told_before_anything_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("preprocess.scratch.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match=r"turning x upright needs 3 MB in .*TMPDIR"):
        Scratch.of_image(vips().Image.black(1000, 1000, bands=3), "turning x upright")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("way", ["image", "rows"])
def test_a_disk_that_fills_up_meanwhile_is_told(way: str, tmp_path: Path) -> None:
    code = f"""
import resource, signal, sys
import numpy as np
from common.errors import DiskFullError
from common.types import Size
from preprocess.image_source import vips
from preprocess.scratch import Scratch
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    if {way!r} == "image":
        Scratch.of_image(vips().Image.black(1500, 1500, bands=3), "a test")
    else:
        rows = (np.zeros((100, 1500, 3), np.uint8) for _ in range(15))
        Scratch.of_rows(Size(1500, 1500), 3, np.dtype(np.uint8), rows, "a test")
except DiskFullError as error:
    print(error.message)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert "a test needs 7 MB" in done.stdout
    assert not list(tmp_path.iterdir())


def refused() -> ResourceError:
    with pytest.raises(ResourceError) as caught:
        Scratch.of_image(vips().Image.black(10, 10, bands=3), "turning x upright")
    assert "turning x upright" in caught.value.message
    assert "TMPDIR" in caught.value.message
    return caught.value


def test_a_temporary_folder_that_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    error = refused()
    assert not isinstance(error, DiskFullError)
    assert f"{tmp_path / 'gone'}" in error.message
    assert os.strerror(errno.ENOENT) in error.message


def test_no_temporary_folder_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/no/such/folder"])
    assert "/no/such/folder" in refused().message


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EMFILE])
def test_a_temporary_folder_that_cannot_be_written_is_told(
    code: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("preprocess.scratch.tempfile.mkstemp", refuse)
    error = refused()
    assert os.strerror(code) in error.message
    assert str(folder) in error.message


def test_the_least_that_is_needed_is_not_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("preprocess.scratch.shutil.disk_usage", lambda _: usage)
    assert "needs 1 MB" in refused().message


def test_cancelling_ends_the_writing(folder: Path) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(CancelledError):
        Scratch.of_image(vips().Image.black(3000, 3000, bands=3), "a test", progress)
    assert not list(folder.iterdir())
