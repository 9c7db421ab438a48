"""What happens when something on the page is used.

Handlers keep nothing but the jobs of each session; what a visitor has uploaded lives in that
visitor's session state as `Photo` values. What the browser sends back is not believed: paths
must lie in the storage, indices must be those of faces that were found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from common.errors import CancelledError, DeadlineError, ImageSizeError, OptionError, StudioError
from common.types import Size
from preprocess.resolution import AUTO, FITS, ORIGINAL, TIERS
from studio.page.session_jobs import SessionJobs
from studio.page.texts import TEXTS, Language, language_of, say
from studio.page.views import (
    EMPTY_PICKER,
    EMPTY_STAGE,
    View,
    busy_view,
    done_view,
    engine_lines,
    error_view,
    note_view,
    photo_view,
    pixels,
    sentence,
)
from studio.service.fusion_service import Fused, FusionService, Photo, Role, Wish
from studio.service.jobs import Job

LOG = logging.getLogger(__name__)
ROLES: tuple[Role, ...] = ("target", "source")
RESOLUTIONS = (str(ORIGINAL), *map(str, TIERS), str(AUTO))
"""The output sizes that the page offers, as `Resolution.parse` reads them."""
Update = dict[str, Any]
"""What Gradio changes on a component."""

Seen = tuple[Photo | Update | None, View]
"""A session's photograph and what its picker shows, or that both stay as they are."""

StageUpdate = tuple[View, Update, Update]
"""The stage, the start button and the cancel button."""


class Events:
    """The handlers of one page, shared by all its visitors.

    Args:
        service: Does the work.
    """

    def __init__(self, service: FusionService) -> None:
        self._service = service
        self._jobs = SessionJobs()

    def look_at_target(self, event: gr.EventData, request: gr.Request) -> Seen:
        """A target was uploaded: find its faces and show it."""
        return self._look_at("target", event, request)

    def look_at_source(self, event: gr.EventData, request: gr.Request) -> Seen:
        """A source was uploaded: find its faces and show it."""
        return self._look_at("source", event, request)

    def load_demo(self, request: gr.Request) -> tuple[Any, ...]:
        """Both photographs of the demo, looked at: `Seen` of the target, then of the source."""
        language, session = _language(request), str(request.session_hash)
        jobs: dict[Role, Job[Photo]] = {}
        try:
            for role in ROLES:
                submit = partial(self._service.look_at_demo, role)
                jobs[role] = self._jobs.begin(session, role, submit)
        except StudioError as error:
            self._jobs.forget(session, *ROLES)
            refusal = {"message": self._sentence(error, language)}
            return None, refusal, None, refusal
        for job in jobs.values():
            job.wait()
        target, source = (
            self._seen(session, role, job, "", language) for role, job in jobs.items()
        )
        return *target, *source

    def engine(self, request: gr.Request) -> str:
        """The lines about the engine, as HTML."""
        status = self._service.engine_status()
        lines = engine_lines(status, self._service.storage.directory, _language(request))
        return "".join(f"<p>{escape(line)}</p>" for line in lines)

    def remove_target(self, request: gr.Request) -> Seen:
        """The target is not wanted any more."""
        return self._remove("target", request)

    def remove_source(self, request: gr.Request) -> Seen:
        """The source is not wanted any more."""
        return self._remove("source", request)

    def ready(
        self, target: Photo | None, source: Photo | None, target_view: View, source_view: View
    ) -> Update:
        """Start can be pressed once a face is chosen in both photographs."""
        able = bool(target and source and _chosen(target_view) and _chosen(source_view))
        return gr.update(interactive=able)

    def sizes(
        self, target: Photo | None, chosen: str, fit: str, request: gr.Request
    ) -> tuple[Update, Update]:
        """The output sizes in pixels, and the shapes, for the target as it is known or gone."""
        language = _language(request)
        choices = []
        for name in RESOLUTIONS:
            label = say(language, name) if name in TEXTS else name
            if target is not None:
                label = f"{label} · {self._size_label(target.size, name, fit, language)}"
            choices.append((label, name))
        shape = gr.update(
            value=fit,
            info=say(language, f"{fit}_info"),
            visible=chosen != str(ORIGINAL),  # every shape of the original size is its own
        )
        return gr.update(choices=choices, value=chosen), shape

    def sizes_anew(self, request: gr.Request) -> tuple[Update, Update]:
        """The output sizes and shapes as at first."""
        return self.sizes(None, str(ORIGINAL), FITS[0], request)

    def start(  # noqa: PLR0913 - one parameter for each component that it reads
        self,
        target: Photo | None,
        source: Photo | None,
        target_view: View,
        source_view: View,
        ratio: float,
        resolution: str,
        fit: str,
        request: gr.Request,
    ) -> Iterator[StageUpdate]:
        """Queue the fusion and report until it is over."""
        language, session = _language(request), str(request.session_hash)
        try:
            if target is None or source is None:
                raise OptionError(say(language, "no_photos"))
            wish = Wish(
                target,
                source,
                _known(target, target_view, say(language, "no_face_chosen")),
                _known(source, source_view, say(language, "no_source_chosen"))[0],
                float(ratio),
                resolution,
                fit,
            )
            job = self._jobs.begin(session, "fusion", partial(self._service.submit, wish))
        except StudioError as error:
            yield _stopped(error_view(error, self._service.storage.directory, language))
            return
        try:
            for status in job.follow():
                if not status.state.is_final and self._jobs.find(session, "fusion") is job:
                    yield _running(busy_view(status, target))
            if self._jobs.end(session, "fusion", job):
                yield _stopped(self._outcome(job, target, language))
            else:  # cleared, or the visitor has left: nothing more is to be said
                yield gr.skip(), gr.skip(), gr.skip()
        finally:  # the visitor's connection broke; without effect when it is over
            self._jobs.end(session, "fusion", job)
            job.cancel()

    def cancel(self, request: gr.Request) -> None:
        """Stop the session's fusion; `start` then reports that it has ended."""
        job = self._jobs.find(str(request.session_hash), "fusion")
        if job is not None:
            job.cancel()

    def clear(self, request: gr.Request) -> None:
        """Stop all that the session waits for; it goes on from the beginning."""
        self._jobs.clear(str(request.session_hash))

    def forget(self, request: gr.Request) -> None:
        """Stop all that the session waits for and let nothing more be said about it."""
        self._jobs.forget(str(request.session_hash))

    def apology(self, *roles: Role) -> Callable[[gr.Request], tuple[Any, ...]]:
        """A handler for when looking at photographs could not be begun or broke unforeseen."""

        def apologise(request: gr.Request) -> tuple[Any, ...]:
            if self._jobs.are_withdrawn(str(request.session_hash), roles):
                return (gr.skip(),) * (2 * len(roles))
            return (None, {"message": say(_language(request), "unexpected")}) * len(roles)

        return apologise

    def apologise_for_fusion(self, request: gr.Request) -> StageUpdate:
        """Likewise for a fusion."""
        if self._jobs.are_withdrawn(str(request.session_hash), ("fusion",)):
            return gr.skip(), gr.skip(), gr.skip()
        return _stopped(EMPTY_STAGE | {"message": say(_language(request), "unexpected")})

    def _look_at(self, role: Role, event: gr.EventData, request: gr.Request) -> Seen:
        language, session = _language(request), str(request.session_hash)
        path = str(getattr(event, "path", ""))
        # The picker's script numbers its uploads, to tell whose answer this is.
        mark: View = {"upload": getattr(event, "number", None)}
        try:
            job = self._jobs.begin(
                session,
                role,
                lambda: self._service.look_at(self._service.storage.require(path)),
            )
        except StudioError as error:
            return None, {"message": self._sentence(error, language)} | mark
        job.wait()
        photo, view = self._seen(session, role, job, Path(path).name, language)
        return photo, view if view == gr.skip() else view | mark

    def _seen(
        self, session: str, role: Role, job: Job[Photo], name: str, language: Language
    ) -> Seen:
        """What came of looking; nothing is to be said if something newer took its place."""
        if not self._jobs.end(session, role, job):
            return gr.skip(), gr.skip()
        try:
            photo = job.result()
        except DeadlineError:
            seconds = f"{self._service.settings.limits.deadline_s:g}"
            return None, {"message": say(language, "looking_too_long", name=name, seconds=seconds)}
        except StudioError as error:
            LOG.info("%s refused: %s", role, error.message)
            return None, {"message": self._sentence(error, language)}
        return photo, photo_view(photo, role, self._service.smallest_face(photo.size), language)

    def _remove(self, role: Role, request: gr.Request) -> Seen:
        self._jobs.forget(str(request.session_hash), role)
        return None, EMPTY_PICKER

    def _outcome(self, job: Job[Fused], target: Photo, language: Language) -> View:
        try:
            return done_view(job.result(), target, language)
        except CancelledError:
            return note_view(say(language, "cancelled"))
        except StudioError as error:
            return error_view(error, self._service.storage.directory, language)

    def _sentence(self, error: StudioError, language: Language) -> str:
        return sentence(error, self._service.storage.directory, language)

    def _size_label(self, target: Size, resolution: str, fit: str, language: Language) -> str:
        try:
            size = self._service.result_size(target, resolution, fit)
        except ImageSizeError:
            return say(language, "too_many_pixels")
        return say(language, "auto_size") if size is None else pixels(size, language)


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


def _known(photo: Photo, view: View | None, otherwise: str) -> tuple[int, ...]:
    """The chosen faces, at least one, each among those that were found.

    Raises:
        OptionError: They are not; the message is ``otherwise``.
    """
    chosen = _chosen(view)
    if not chosen or not set(chosen) <= set(range(len(photo.faces))):
        raise OptionError(otherwise)
    return chosen
