"""Calls of the Fuse tab: photographs, the preview, the fusion."""

from __future__ import annotations

import asyncio
import base64
import time
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from common.errors import CancelledError, DeadlineError, OptionError, StudioError
from common.progress import Progress
from common.types import Region, Size
from fusion.request import FaceSelection
from preprocess.frame import Frame
from studio.page.calls import Asked, Data, error_answer, read
from studio.page.messages import for_page
from studio.page.texts import both
from studio.page.views import busy_view, done_view, frame_of, photo_view
from studio.page.visits import Visit, Visits
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.jobs import Job, JobState
from studio.service.wish import Fused, Photo, Role, Wish

_ANSWER_S = 5.0
"""A call that waits for a change answers after this time without one."""
_LOOK_S = 0.1
MOST_FACES = 1000
PhotoName = Annotated[str, Field(max_length=64)]


class LookAsked(Asked):
    """path: an uploaded file; or photo: one that was looked at before. slot: what it is for."""

    slot: str = Field(pattern=r"^(target|source:[\w-]{1,40})$")
    path: str | None = Field(None, max_length=4096)
    photo: str | None = Field(None, max_length=64)
    threshold: float | None = None


class DemoAsked(Asked):
    threshold: float | None = None


class WishAsked(Asked):
    """A fusion in the browser's words; see `Wish`."""

    target: PhotoName
    sources: tuple[PhotoName, ...] = Field(min_length=1, max_length=50)
    faces: tuple[tuple[int | None, int], ...] = Field(max_length=MOST_FACES)
    controls: dict[str, Any]


class StartAsked(Asked):
    wish: WishAsked


class PreviewAsked(StartAsked):
    """draft: whether soon is better than exact."""

    draft: bool = False


class FollowAsked(Asked):
    seen: str = Field("", max_length=200)


class CloseUpAsked(Asked):
    """A part of the latest result, in its pixels; of: the result, or the target as it was."""

    of: Literal["before", "after"]
    x: int
    y: int
    width: int = Field(ge=1)
    height: int = Field(ge=1)


def wish_of(asked: WishAsked, visit: Visit, service: FusionService) -> Wish:
    """The wish that the browser describes.

    Raises:
        OptionError: A photograph, a face or a control is not known.
    """
    pairs = asked.faces
    if any(number < 0 for pair in pairs for number in pair if number is not None):
        raise OptionError("faces are counted from 0")
    if len({target for _, target in pairs}) != len(pairs):
        raise OptionError("a target face is named twice")
    wish = Wish(
        visit.photo(asked.target),
        tuple(visit.photo(name) for name in asked.sources),
        FaceSelection(pairs=pairs),
        Controls.read(asked.controls, service.settings),
    )
    wish.check()
    return wish


class FuseCalls:
    """See the module.

    Args:
        service: Does the work.
        visits: Forgets a page that is left.
    """

    names = (
        "demo",
        "look",
        "preview",
        "start",
        "follow",
        "cancel",
        "close_up",
        "clear",
        "leave",
    )

    def __init__(self, service: FusionService, visits: Visits) -> None:
        self._service = service
        self._visits = visits

    def demo(self, visit: Visit, data: Data) -> Data:
        """Both photographs of the demo, looked at."""
        threshold = read(DemoAsked, data).threshold
        slots: dict[Role, str] = {"target": "target", "source": "source:demo"}
        jobs = {
            role: visit.jobs.begin(slot, partial(self._service.look_at_demo, role, threshold))
            for role, slot in slots.items()
        }
        return {role: self._looked(visit, slots[role], role, job, "") for role, job in jobs.items()}

    def look(self, visit: Visit, data: Data) -> Data:
        """A photograph was uploaded, or its faces are to be found with another threshold."""
        asked = read(LookAsked, data)
        if asked.photo is not None:
            path = visit.photo(asked.photo).path
        elif asked.path is not None:
            path = self._service.storage.require(asked.path)
        else:
            raise OptionError("the call names neither a file nor a photograph")
        role: Role = "target" if asked.slot == "target" else "source"
        submit = partial(self._service.look_at, path, asked.threshold)
        job = visit.jobs.begin(asked.slot, submit)
        return self._looked(visit, asked.slot, role, job, path.name)

    def preview(self, visit: Visit, data: Data) -> Data:
        """The fusion at preview size; a newer call ends an older one."""
        asked = read(PreviewAsked, data)
        wish = wish_of(asked.wish, visit, self._service)
        begun = time.perf_counter()
        submit = partial(self._service.live.submit, visit.key, wish, asked.draft)
        job = visit.jobs.begin("preview", submit)
        shown = job.result()
        visit.jobs.end("preview", job)
        storage = self._service.storage.directory
        image = base64.b64encode(shown.jpeg).decode("ascii")
        return {
            "image": f"data:image/jpeg;base64,{image}",
            "width": shown.size.width,
            "height": shown.size.height,
            "draft": shown.draft,
            "seconds": round(time.perf_counter() - begun, 3),
            "warnings": [for_page(warning, storage) for warning in shown.warnings],
        }

    def start(self, visit: Visit, data: Data) -> Data:
        """Queue a fusion; `follow` tells what becomes of it."""
        wish = wish_of(read(StartAsked, data).wish, visit, self._service)
        keep = partial(self._service.history.add, visit.visitor, wish)
        visit.jobs.forget("preview")
        job = visit.jobs.begin("fusion", partial(self._service.submit, wish, keep))
        visit.latest = job, wish
        return {"job": job.id}

    async def follow(self, visit: Visit, data: Data) -> Data:
        """What the fusion does, as soon as that is something else than ``seen``."""
        seen = read(FollowAsked, data).seen
        if visit.latest is None:
            return {"state": "none", "seen": ""}
        job, wish = visit.latest
        limit = time.monotonic() + _ANSWER_S
        while True:
            status = job.status()
            now = (
                f"{job.id} {status.state.value} {status.position} {status.stage} "
                f"{status.fraction:.2f} {status.stopping}"
            )
            if now != seen or time.monotonic() > limit:
                break
            await asyncio.sleep(_LOOK_S)
        if not status.state.is_final:
            remaining = self._service.estimates.remaining(wish, job)
            return busy_view(status, remaining) | {"seen": now}
        return await asyncio.to_thread(self._outcome, job, wish) | {"seen": now}

    def cancel(self, visit: Visit, data: Data) -> Data:
        """Stop the fusion; `follow` then tells that it has ended."""
        read(Asked, data)
        job = visit.jobs.find("fusion")
        if job is not None:
            job.cancel()
        return {}

    def close_up(self, visit: Visit, data: Data) -> Data:
        """A part of the latest result, or of the target where the result lies, pixel by pixel."""
        from preprocess.image_file import ImageFile
        from studio.service.close_up import read_close_up

        asked = read(CloseUpAsked, data)
        if visit.latest is None or visit.latest[0].status().state is not JobState.DONE:
            raise OptionError("there is no result to look at")
        job, wish = visit.latest
        result = job.result().result
        part = Region(asked.x, asked.y, asked.width, asked.height)
        if asked.of == "after":
            path, at = result.request.output.path, result.size
            frame = Frame(at, Region.whole(at))
        else:
            path = wish.target.path
            frame = frame_of(result, wish.target.size)
            at = min(frame.at, wish.target.size, key=lambda size: size.width)
        region = _in_picture(part, frame, at)
        inside = region.clip(at)
        if asked.of == "before" and inside.is_empty:  # in the border around the target
            return {"image": None, "placed": None}
        found = self._service.storage.require(path)
        most = self._service.settings.limits.max_megapixels

        def work(_: Progress) -> bytes:
            return read_close_up(ImageFile.open(found, max_megapixels=most), region, at)

        slot = f"close_up:{asked.of}"
        reading = visit.jobs.begin(slot, partial(self._service.analyses.submit, work))
        encoded = base64.b64encode(reading.result()).decode("ascii")
        visit.jobs.end(slot, reading)
        placed = _in_part(inside, part, frame, at)
        return {"image": f"data:image/jpeg;base64,{encoded}", "placed": placed}

    def clear(self, visit: Visit, data: Data) -> Data:
        """Stop all that the page waits for; it goes on from the beginning."""
        read(Asked, data)
        visit.jobs.forget()
        self._service.live.forget(visit.key)
        visit.photos.clear()
        visit.latest = None
        return {}

    def leave(self, visit: Visit, data: Data) -> Data:
        """The page is being closed."""
        read(Asked, data)
        self._visits.leave(visit)
        return {}

    def _looked(self, visit: Visit, slot: str, role: Role, job: Job[Photo], name: str) -> Data:
        """What came of looking at a photograph.

        Raises:
            StudioError: It cannot be used, or something newer took its place.
        """
        try:
            photo = job.result()
        except DeadlineError as error:
            raise DeadlineError(
                f"looking for faces in {name} took longer than the "
                f"{self._service.settings.limits.deadline_s:g} s allowed; use a smaller photograph "
                "or try again later"
            ) from error
        finally:
            visit.jobs.end(slot, job)
        smallest = self._service.smallest_face(photo.size)
        return photo_view(visit.keep(photo), photo, role, smallest)

    def _outcome(self, job: Job[Fused], wish: Wish) -> Data:
        storage = self._service.storage.directory
        try:
            return done_view(job.result(), wish.target.size, wish.target.preview, storage)
        except CancelledError:
            return {"state": "cancelled", "text": both("cancelled")}
        except StudioError as error:
            return {"state": "error", **error_answer(error, storage)}


def _in_picture(part: Region, frame: Frame, at: Size) -> Region:
    """The pixels over a part of a result, in the framed picture at size ``at``.

    Of a picture that was enlarged these are its own pixels; the browser enlarges them.
    """
    moved = Region(part.x + frame.window.x, part.y + frame.window.y, part.width, part.height)
    return moved.scale(at.width / frame.at.width, at.height / frame.at.height)


def _in_part(inside: Region, part: Region, frame: Frame, at: Size) -> dict[str, float]:
    """Where those pixels lie in the part: the edges' places, percent of its sides."""
    across, down = frame.at.width / at.width, frame.at.height / at.height
    left = inside.x * across - frame.window.x - part.x
    top = inside.y * down - frame.window.y - part.y
    return {
        "left": round(100 * left / part.width, 4),
        "top": round(100 * top / part.height, 4),
        "across": round(100 * inside.width * across / part.width, 4),
        "down": round(100 * inside.height * down / part.height, 4),
    }
