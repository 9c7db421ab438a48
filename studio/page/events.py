"""What happens when something on the page is used.

Handlers keep nothing but the running job of each session; what a visitor has uploaded lives
in that visitor's session state as `Loaded` values. What the browser sends back is not
believed: paths must lie in the storage, indices must be those of faces that were found.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from common.errors import CancelledError, ImageSizeError, OptionError, StudioError
from common.types import Size
from fusion.request import FusionResult
from preprocess.resolution import ORIGINAL, TIERS
from studio.page.preview import file_link, write_preview
from studio.page.texts import Language, language_of, say
from studio.page.views import (
    EMPTY_STAGE,
    Loaded,
    Role,
    View,
    busy_view,
    done_view,
    error_view,
    note_view,
    photo_view,
    pixels,
    sentence,
)
from studio.service.fusion_service import FusionService, Wish
from studio.service.jobs import Job

LOG = logging.getLogger(__name__)
Update = dict[str, Any]
"""What Gradio changes on a component."""

StageUpdate = tuple[View, Update, Update]
"""The stage, the start button and the cancel button."""


class Events:
    """The handlers of one page, shared by all its visitors.

    Args:
        service: Does the work.
    """

    def __init__(self, service: FusionService) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._jobs: dict[str, Job[FusionResult]] = {}

    def look_at_target(
        self, event: gr.EventData, request: gr.Request
    ) -> tuple[Loaded | None, View]:
        """A target was uploaded: find its faces and show it."""
        return self._look_at("target", str(event.path), _language(request))

    def look_at_source(
        self, event: gr.EventData, request: gr.Request
    ) -> tuple[Loaded | None, View]:
        """A source was uploaded: find its faces and show it."""
        return self._look_at("source", str(event.path), _language(request))

    def load_demo(self, request: gr.Request) -> tuple[Loaded | None, View, Loaded | None, View]:
        """Both photographs of the demo, looked at."""
        language = _language(request)
        target, source = self._service.demo_pair()
        return (
            *self._look_at("target", str(target), language),
            *self._look_at("source", str(source), language),
        )

    def ready(
        self, target: Loaded | None, source: Loaded | None, target_view: View, source_view: View
    ) -> Update:
        """Start can be pressed once a face is chosen in both photographs."""
        able = bool(target and source and _chosen(target_view) and _chosen(source_view))
        return gr.update(interactive=able)

    def sizes(self, target: Loaded | None, chosen: str, request: gr.Request) -> Update:
        """The output sizes in pixels, now that the target is known or gone."""
        language = _language(request)
        choices = []
        for name in (str(ORIGINAL), *map(str, TIERS)):
            label = say(language, "original") if name == str(ORIGINAL) else name
            if target is not None:
                label = f"{label} · {self._size_label(target.photo.size, name, language)}"
            choices.append((label, name))
        return gr.update(choices=choices, value=chosen)

    def sizes_anew(self, request: gr.Request) -> Update:
        """The output sizes as at first."""
        return self.sizes(None, str(ORIGINAL), request)

    def start(
        self,
        target: Loaded | None,
        source: Loaded | None,
        target_view: View,
        source_view: View,
        ratio: float,
        resolution: str,
        request: gr.Request,
    ) -> Iterator[StageUpdate]:
        """Queue the fusion and report until it is over."""
        language = _language(request)
        session = str(request.session_hash)
        try:
            if target is None or source is None:
                raise OptionError(say(language, "no_photos"))
            target_faces = _known(target, target_view, say(language, "no_face_chosen"))
            source_face = _known(source, source_view, say(language, "no_source_chosen"))[0]
            job = self._service.submit(
                Wish(
                    target.photo, source.photo, target_faces, source_face, float(ratio), resolution
                )
            )
        except StudioError as error:
            yield _stopped(error_view(error, (), language))
            return
        self._remember(session, job)
        try:
            for status in job.follow():
                if not status.state.is_final and self._is_current(session, job):
                    yield _running(busy_view(status, target))
            if self._take(session, job):
                yield _stopped(self._outcome(job, target, source, language))
            else:  # cleared, or the visitor has left: nothing more is to be said
                yield gr.skip(), gr.skip(), gr.skip()
        finally:
            job.cancel()  # the visitor's connection broke; without effect when it is over

    def cancel(self, request: gr.Request) -> None:
        """Stop the session's fusion; `start` then reports that it has ended."""
        with self._lock:
            job = self._jobs.get(str(request.session_hash))
        if job is not None:
            job.cancel()

    def forget(self, request: gr.Request) -> None:
        """Stop the session's fusion and let nothing more be said about it."""
        with self._lock:
            job = self._jobs.pop(str(request.session_hash), None)
        if job is not None:
            job.cancel()

    def apologise(self, request: gr.Request) -> tuple[None, View]:
        """Looking at a photograph broke in a way that nobody foresaw; the log has it."""
        return None, {"message": say(_language(request), "unexpected")}

    def apologise_for_demo(self, request: gr.Request) -> tuple[None, View, None, View]:
        """Likewise for both photographs of the demo."""
        return *self.apologise(request), *self.apologise(request)

    def apologise_for_fusion(self, request: gr.Request) -> StageUpdate:
        """Likewise for a fusion."""
        self.forget(request)
        return _stopped(EMPTY_STAGE | {"message": say(_language(request), "unexpected")})

    def _remember(self, session: str, job: Job[FusionResult]) -> None:
        """One fusion for each session: a new one takes the place of another."""
        with self._lock:
            former = self._jobs.get(session)
            self._jobs[session] = job
        if former is not None:
            former.cancel()

    def _is_current(self, session: str, job: Job[FusionResult]) -> bool:
        with self._lock:
            return self._jobs.get(session) is job

    def _take(self, session: str, job: Job[FusionResult]) -> bool:
        """Whether ``job`` was still the session's; it is not any more afterwards."""
        with self._lock:
            if self._jobs.get(session) is not job:
                return False
            del self._jobs[session]
            return True

    def _look_at(self, role: Role, path: str, language: Language) -> tuple[Loaded | None, View]:
        try:
            photo = self._service.look_at(self._service.storage.require(path))
            loaded = Loaded(photo, file_link(self._write_preview(photo.path)))
        except StudioError as error:
            LOG.info("%s refused: %s", role, error.message)
            return None, {"message": sentence(error, (Path(path),), language)}
        smallest = self._service.smallest_face(photo.size)
        longest = self._service.settings.page.preview_px
        return loaded, photo_view(loaded, role, smallest, longest, language)

    def _outcome(
        self, job: Job[FusionResult], target: Loaded, source: Loaded, language: Language
    ) -> View:
        try:
            result = job.result()
            after = self._write_preview(result.request.output.path)
        except CancelledError:
            return note_view(say(language, "cancelled"))
        except StudioError as error:
            return error_view(error, (target.photo.path, source.photo.path), language)
        return done_view(result, target, after, language)

    def _write_preview(self, picture: Path) -> Path:
        preview = self._service.storage.new_file("preview.jpg")
        longest = self._service.settings.page.preview_px
        write_preview(self._service.open_image(picture), longest, preview)
        return preview

    def _size_label(self, target: Size, resolution: str, language: Language) -> str:
        try:
            size = self._service.result_size(target, resolution)
        except ImageSizeError:
            return say(language, "too_many_pixels")
        return pixels(size, language)


def _language(request: gr.Request) -> Language:
    return language_of(request.headers.get("accept-language"))


def _running(view: View) -> StageUpdate:
    return view, gr.update(visible=False), gr.update(visible=True)


def _stopped(view: View) -> StageUpdate:
    return view, gr.update(visible=True), gr.update(visible=False)


def _chosen(view: View | None) -> tuple[int, ...]:
    """The chosen faces as the browser sent them; anything odd counts as none chosen."""
    chosen = view.get("chosen") if isinstance(view, dict) else None
    if not isinstance(chosen, list) or not all(type(index) is int for index in chosen):
        return ()
    return tuple(sorted(set(chosen)))


def _known(loaded: Loaded, view: View | None, otherwise: str) -> tuple[int, ...]:
    """The chosen faces, at least one, each among those that were found.

    Raises:
        OptionError: They are not; the message is ``otherwise``.
    """
    chosen = _chosen(view)
    if not chosen or not set(chosen) <= set(range(len(loaded.photo.faces))):
        raise OptionError(otherwise)
    return chosen
