"""Reading in a thread of its own: whoever cancels is not kept waiting by a decoder."""

import threading
from pathlib import Path
from typing import Any

import pytest
import pyvips

from common.errors import CancelledError, UnreadableImageError
from common.progress import Progress
from common.types import Region, Size
from preprocess import image_pipeline
from preprocess.apart import read_apart
from preprocess.image_file import ImageFile
from tests.preprocess.pictures import photo, save_png

WAIT_S = 30


def test_its_answer_comes_back() -> None:
    image = pyvips.Image.black(600, 600) + 7
    assert read_apart(lambda watched: watched(image).avg(), Progress()) == 7


def test_without_progress_it_runs_here() -> None:
    here = threading.get_ident()
    assert read_apart(lambda _: threading.get_ident(), None) == here
    assert read_apart(lambda _: threading.get_ident(), Progress()) != here


def test_its_failure_is_raised_here() -> None:
    def fail(_: Any) -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        read_apart(fail, Progress())


def cancel_when(begun: threading.Event, progress: Progress) -> None:
    def wait() -> None:
        if begun.wait(WAIT_S):
            progress.cancel()

    threading.Thread(target=wait).start()


def test_who_cancels_does_not_wait_for_a_decoder() -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def decode(_: Any) -> None:
        begun.set()
        assert release.wait(WAIT_S)
        ended.set()

    progress = Progress()
    cancel_when(begun, progress)
    with pytest.raises(CancelledError):
        read_apart(decode, progress)
    assert not ended.is_set()
    release.set()
    assert ended.wait(WAIT_S)


def test_what_is_watched_is_told_to_stop() -> None:
    begun, stopped = threading.Event(), threading.Event()
    progress = Progress()
    cancel_when(begun, progress)
    image = pyvips.Image.gaussnoise(20_000, 20_000).gaussblur(8, precision="float")  # seconds

    def work(watched: Any) -> None:
        watch = watched(image)
        begun.set()
        try:
            watch.avg()
        except pyvips.Error:
            stopped.set()
            raise

    with pytest.raises(CancelledError):
        read_apart(work, progress)
    assert stopped.wait(WAIT_S)


@pytest.mark.parametrize("what", ["keeping", "view", "shown", "canvas", "decoded"])
def test_every_way_to_read_a_file_can_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    image = ImageFile.open(save_png(tmp_path / "a.png", photo(300, 200)), max_megapixels=50)
    begun, release = threading.Event(), threading.Event()
    load = image_pipeline.load

    def slow(*arguments: Any) -> Any:
        """A decoder that takes a file whole, as that of HEIC does."""
        begun.set()
        assert release.wait(WAIT_S)
        return load(*arguments)

    part, size = Region(20, 30, 100, 100), Size(150, 100)
    progress = Progress()
    monkeypatch.setattr(image_pipeline, "load", slow)
    cancel_when(begun, progress)
    ways = {
        "keeping": lambda: image.keeping([part], 1.0, progress),
        "view": lambda: image.view(part, 1.0, progress),
        "shown": lambda: image.shown(size, progress),
        "canvas": lambda: image.canvas(size, progress),
        "decoded": lambda: image.decoded(progress),
    }
    with pytest.raises(CancelledError):
        ways[what]()
    release.set()


def test_a_damaged_file_is_still_told_from_a_cancelled_one(tmp_path: Path) -> None:
    whole = save_png(tmp_path / "a.png", photo(300, 200)).read_bytes()
    broken = tmp_path / "broken.png"
    broken.write_bytes(whole[: len(whole) // 2])
    image = ImageFile.open(broken, max_megapixels=50)
    with pytest.raises(UnreadableImageError, match=r"broken\.png"):
        image.view(Region.whole(image.size), 1.0, Progress())
