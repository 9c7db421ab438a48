"""What a fusion would come to: its size, its time, its engine, and what stands in its way."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from common.errors import EngineUnavailableError, ImageSizeError, StudioError
from common.types import Size
from fusion.request import EXPRESSIONS, MODES, FaceSelection
from studio.page.calls import Asked, Data, read
from studio.page.controls_view import ENGINES, RESOLUTIONS
from studio.page.messages import for_page
from studio.page.texts import both, say
from studio.page.texts.language import LANGUAGES, Bilingual
from studio.page.visits import Visit, Visits
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.prospect import look_ahead
from studio.service.wish import Wish


class PartialWish(Asked):
    """A wish that need not have its photographs yet."""

    target: str | None = None
    sources: tuple[str, ...] = Field((), max_length=50)
    faces: tuple[tuple[int | None, int], ...] = Field((), max_length=1000)
    controls: dict[str, Any]


class PlanAsked(Asked):
    wish: PartialWish


class PlanCalls:
    """See the module.

    Args:
        service: Knows sizes, times and engines.
        visits: As every area gets them.
    """

    names = ("plan",)

    def __init__(self, service: FusionService, visits: Visits) -> None:  # noqa: ARG002
        self._service = service

    def plan(self, visit: Visit, data: Data) -> Data:
        """What the wish would come to, as far as it is complete.

        Answers ``sizes``: by the name of a resolution the output's [width, height], None where
        auto cannot tell yet, or {"too_large": True}; none without a target. ``size``: of the
        chosen one. ``estimate``: seconds, low, high, runs, or None. ``engine``: the one that would
        be used. ``missing``: the engines that cannot run here, and why. ``problem``: why the
        fusion would be refused, or None.
        """
        asked = read(PlanAsked, data).wish
        controls = Controls.read(asked.controls, self._service.settings)
        target = None if asked.target is None else visit.photo(asked.target)
        sources = tuple(visit.photo(name) for name in asked.sources)
        engine = self._engine(controls.engine)
        told: Data = {
            "sizes": {} if target is None else self._sizes(target.size, controls),
            "size": None,
            "estimate": None,
            "engine": engine,
            "missing": self._missing(),
            "problem": None,
        }
        if target is None:
            return told
        if not (target.faces and sources and all(photo.faces for photo in sources)):
            return told | self._early(target.size, controls)
        if engine["problem"] is not None:
            return told | {"problem": engine["problem"]}
        selection = FaceSelection(pairs=asked.faces)
        return told | self._outlook(Wish(target, sources, selection, controls))

    def _sizes(self, target: Size, controls: Controls) -> Data:
        names = dict.fromkeys((*RESOLUTIONS, controls.resolution))
        return {name: self._size(target, name, controls.fit) for name in names}

    def _size(self, target: Size, resolution: str, fit: str) -> list[int] | dict[str, bool] | None:
        try:
            size = self._service.result_size(target, resolution, fit)
        except ImageSizeError:
            return {"too_large": True}
        return None if size is None else [size.width, size.height]

    def _early(self, target: Size, controls: Controls) -> Data:
        """The size, as long as no face can be fused."""
        try:
            size = self._service.result_size(target, controls.resolution, controls.fit)
        except ImageSizeError as error:
            return {"problem": self._told(error)}
        return {"size": None if size is None else [size.width, size.height]}

    def _outlook(self, wish: Wish) -> Data:
        """Size and time of a complete wish, or why it would be refused."""
        service = self._service
        try:
            capabilities = service.engines.get(wish.controls.engine).capabilities
            prospect = look_ahead(wish, capabilities, service.settings)
            expected = service.estimates.expect(wish, prospect)
        except StudioError as error:
            return {"problem": self._told(error)}
        size = [prospect.size.width, prospect.size.height]
        estimate = {
            "seconds": round(expected.seconds, 2),
            "low": round(expected.low, 2),
            "high": round(expected.high, 2),
            "runs": expected.runs,
        }
        return {"size": size, "estimate": estimate}

    def _engine(self, wanted: str) -> Data:
        """The engine that would be used, why, and what it can do; or why it cannot run."""
        choice = self._service.engines.choice(wanted)
        name = self._name(choice.engine)
        told: Data = {
            "name": choice.engine,
            "reason": choice.reason,
            "text": both(f"controls_why_{choice.reason}", engine=name),
            "problem": None,
            "device": "",
            "composites": False,
            "modes": list(MODES),
            "expressions": list(EXPRESSIONS),
        }
        try:
            can = self._service.engines.get(wanted).capabilities
        except EngineUnavailableError as error:
            return told | {"problem": self._cannot(choice.engine, error)}
        return told | {
            "device": can.device,
            "composites": bool(can.composites),
            "modes": list(can.modes),
            "expressions": list(can.expressions),
        }

    def _missing(self) -> dict[str, Bilingual]:
        """The engines that cannot run here, and why."""
        told = {name: self._lack(name) for name in ENGINES[1:]}
        return {name: lack for name, lack in told.items() if lack is not None}

    def _lack(self, engine: str) -> Bilingual | None:
        from fusion.engines.registry import require_engine

        try:
            require_engine(engine, self._service.settings)
        except EngineUnavailableError as error:
            return self._cannot(engine, error)
        return None

    def _cannot(self, engine: str, error: StudioError) -> Bilingual:
        reason, name = self._told(error), self._name(engine)
        return {
            language: say(language, "controls_engine_missing", engine=name, reason=reason[language])
            for language in LANGUAGES
        }

    def _name(self, engine: str) -> str:
        """As the page calls it, in every language."""
        return both(f"controls_engine_{engine}")["en"]

    def _told(self, error: StudioError) -> Bilingual:
        return for_page(error, self._service.storage.directory)
