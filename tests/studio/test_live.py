"""Previews while controls move: sessions, the newest wish, and what others are left with."""

import dataclasses
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.errors import CancelledError, MemoryLimitError, NoFaceError, OptionError
from common.progress import Progress
from common.types import Size
from fusion import live as fusion_live
from fusion.request import FaceSelection
from studio.service import live as service_live
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.jobs import Job, JobState
from studio.service.live import Live, Preview
from studio.service.wish import Photo, Wish

MakeWish = Callable[..., Wish]
WAIT_S = 30


@pytest.fixture
def wish(service: FusionService) -> MakeWish:
    """The demo pair with some controls."""
    target, source = (service.look_at_demo(role).result() for role in ("target", "source"))

    def make(**controls: Any) -> Wish:
        values = Controls.read(controls, service.settings)
        return Wish(target, (source,), FaceSelection(), values)

    return make


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The targets of all sessions that were begun."""
    begun: list[Path] = []
    original = fusion_live.LiveFusion.__init__

    def counted(self: Any, pipeline: Any, request: Any, longest: int, progress: Progress) -> None:
        begun.append(request.target)
        original(self, pipeline, request, longest, progress)

    monkeypatch.setattr(fusion_live.LiveFusion, "__init__", counted)
    return begun


def pixels(preview: Preview) -> NDArray[Any]:
    with Image.open(io.BytesIO(preview.jpeg)) as picture:
        return np.asarray(picture.convert("RGB"), int)


def test_a_preview_is_as_large_as_the_picture_beside_it(
    service: FusionService, wish: MakeWish
) -> None:
    preview = service.live.submit("page", wish(ratio=1.0)).result()
    assert preview.size == wish().target.shown == Size(256, 256)
    with Image.open(wish().target.preview) as picture:
        before = np.asarray(picture.convert("RGB"), int)
    apart = np.abs(pixels(preview) - before).max(axis=2)
    assert 0.005 < (apart > 20).mean() < 0.5  # the face, and nothing else
    assert preview.seconds > 0


def test_it_is_the_finished_file_s_own_preview(service: FusionService, wish: MakeWish) -> None:
    wanted = wish(ratio=0.9, smooth=0.5, brightness=0.1)
    preview = service.live.submit("page", wanted).result()
    fused = service.submit(wanted).result()
    assert fused.preview is not None
    with Image.open(fused.preview) as picture:
        apart = np.abs(pixels(preview) - np.asarray(picture.convert("RGB"), int))
    assert apart.mean() < 1.5  # measured 0.9
    assert set(preview.warnings) <= set(fused.result.warnings)


def test_each_key_keeps_its_pictures(
    service: FusionService, wish: MakeWish, looks: list[Path]
) -> None:
    for ratio in (0.2, 0.5, 0.8):
        service.live.submit("page", wish(ratio=ratio)).result()
    assert len(looks) == 1
    service.live.submit("another page", wish()).result()
    assert len(looks) == 2
    turned = dataclasses.replace(wish(), target=wish().sources[0])
    service.live.submit("page", turned).result()
    service.live.submit("page", turned).result()
    assert len(looks) == 3


def test_the_least_recently_used_session_goes_first(
    service: FusionService, wish: MakeWish, looks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_live, "_SESSIONS", (2, 2))
    for key in ("one", "two", "one", "three", "one"):
        service.live.submit(key, wish()).result()
    assert len(looks) == 3
    service.live.submit("two", wish()).result()
    assert len(looks) == 4


def test_a_session_can_be_forgotten(
    service: FusionService, wish: MakeWish, looks: list[Path]
) -> None:
    service.live.submit("page", wish()).result()
    service.live.forget("page")
    service.live.forget("nobody")
    service.live.submit("page", wish()).result()
    assert len(looks) == 2


class Held:
    """Keeps the first preview of a service from going on until it is let."""

    def __init__(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.released = threading.Event(), threading.Event()
        original = live.preview

        def slow(key: object, wish: Wish, progress: Progress, draft: bool) -> Preview:
            if not self.begun.is_set():
                self.begun.set()
                assert self.released.wait(WAIT_S)
                progress.check()
            return original(key, wish, progress, draft)

        monkeypatch.setattr(live, "preview", slow)


def outcome(job: Job[Preview]) -> JobState:
    assert job.wait(WAIT_S)
    return job.status().state


def test_the_newest_wish_of_a_page_wins(
    service: FusionService, wish: MakeWish, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(service.live, monkeypatch)
    first = service.live.submit("page", wish(ratio=0.1))
    assert held.begun.wait(WAIT_S)
    other = service.live.submit("another page", wish(ratio=0.3))
    second = service.live.submit("page", wish(ratio=0.5))
    third = service.live.submit("page", wish(ratio=0.9))
    assert outcome(second) is JobState.CANCELLED  # it had not begun
    held.released.set()
    assert outcome(first) is JobState.CANCELLED
    assert outcome(other) is JobState.DONE
    assert outcome(third) is JobState.DONE
    expected = service.live.submit("third page", wish(ratio=0.9)).result()
    assert third.result().jpeg == expected.jpeg


def test_previews_do_not_wait_for_fusions(service: FusionService, wish: MakeWish) -> None:
    free = threading.Event()
    busy = service.queue.submit(lambda _: free.wait(WAIT_S))
    assert service.live.submit("page", wish()).result().size == Size(256, 256)
    assert not busy.status().state.is_final
    free.set()
    assert busy.result()


def test_several_threads_share_a_session(
    service: FusionService, wish: MakeWish, looks: list[Path]
) -> None:
    ratios = (0.2, 0.5, 0.8, 0.5)
    found: dict[int, bytes] = {}

    def ask(number: int) -> None:
        wanted = wish(ratio=ratios[number])
        found[number] = service.live.preview("page", wanted, Progress()).jpeg

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(ratios))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(looks) == 1
    assert found[1] == found[3]
    assert len(set(found.values())) == 3


def test_a_cancelled_preview_ends(service: FusionService, wish: MakeWish) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(CancelledError):
        service.live.preview("page", wish(), progress)
    assert service.live.preview("page", wish(), Progress()).size == Size(256, 256)


def test_memory_that_runs_out_is_the_studio_s_error(
    service: FusionService, wish: MakeWish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(fusion_live, "prepared", fail)
    with pytest.raises(MemoryLimitError):
        service.live.submit("page", wish()).result()
    monkeypatch.undo()
    assert service.live.submit("page", wish()).result().size == Size(256, 256)


def test_what_cannot_be_is_refused(service: FusionService, wish: MakeWish, tmp_path: Path) -> None:
    faceless: Photo = dataclasses.replace(wish().target, faces=())
    with pytest.raises(OptionError, match="no face was found"):
        service.live.submit("page", dataclasses.replace(wish(), target=faceless))
    path = service.storage.new_file("grey.png")
    Image.new("RGB", (64, 64), (90, 90, 90)).save(path)
    changed = dataclasses.replace(wish().target, path=path)
    with pytest.raises(NoFaceError):
        service.live.submit("page", dataclasses.replace(wish(), target=changed)).result()
    assert not list(tmp_path.glob("**/preview.jpg.*"))
