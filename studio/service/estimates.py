"""How long a fusion will take, before it starts and while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import StudioError
from studio.service.cost_model import CostModel, Estimate, Run
from studio.service.jobs import Job, JobState
from studio.service.prospect import Prospect, look_ahead, look_back
from studio.service.timings import Timings
from studio.service.workload import STAGES, Machine, Work, work_of

if TYPE_CHECKING:
    from studio.service.fusion_service import FusionService
    from studio.service.wish import Fused, Wish

LOG = logging.getLogger(__name__)
_FOLLOWED = 64  # jobs whose start is remembered
_PACE = (0.4, 5.0)  # how much slower or faster than expected the rest may be taken to be
_PRIOR_SHARE = 0.2  # of the whole: for how much of the work the estimate's own pace speaks
_FIRST_READ = 0.1  # of the stage read that is over before faces are looked for


class Estimates:
    """Expects the time of fusions and learns from those that were done; thread-safe.

    Args:
        service: Whose fusions they are.
        file: Where runs are remembered (`timings.timings_file`); None for this process alone.
    """

    def __init__(self, service: FusionService, file: Path | None = None) -> None:
        self._service = service
        self._timings = Timings(file)
        self._lock = threading.Lock()
        self._model: tuple[tuple[Run, ...], CostModel] | None = None
        self._used: dict[str, float] = {}
        self._followed: OrderedDict[str, tuple[float, Course]] = OrderedDict()

    def remember_in(self, file: Path | None) -> None:
        """From now on know the runs of this file and write new ones to it; None for no file."""
        with self._lock:
            self._timings, self._model = Timings(file), None

    def expect(self, wish: Wish, prospect: Prospect | None = None) -> Estimate:
        """The time from the start to the result and its preview, waiting left out.

        Args:
            prospect: What `look_ahead` says, if that is known already.

        Raises:
            StudioError: The fusion would be refused; see `look_ahead` and `Engines.get`.
        """
        work = self._work(wish, prospect, time.monotonic())
        with self._lock:
            return self._fitted().estimate(work)

    def learn(self, wish: Wish, fused: Fused, seconds: float) -> None:
        """Take a fusion that was done into account; one that cannot be told apart is left out.

        Args:
            seconds: The wall time of all of it, the result's preview included.
        """
        now = time.monotonic()
        service, result = self._service, fused.result
        try:
            capabilities = service.engines.get(wish.controls.engine).capabilities
            prospect = look_back(wish, result, capabilities, service.settings)
        except StudioError as error:  # the result is worth more than what it teaches
            LOG.warning("a fusion's time was not learnt: %s", error.message)
            return
        work = self._work(wish, prospect, now - seconds)
        taken = {stage: result.seconds.get(stage, 0.0) for stage in STAGES if stage != "show"}
        taken["show"] = max(0.0, seconds - sum(taken.values()))
        with self._lock:
            self._used[capabilities.name] = now
            self._timings.add(Run(work, taken))

    def remaining(self, wish: Wish, job: Job[Any]) -> float | None:
        """Seconds that a running job will still take; None for one that does not run.

        Raises:
            StudioError: See `expect`.
        """
        status = job.status()
        if status.state is not JobState.RUNNING:
            return None
        now = time.monotonic()
        with self._lock:
            known = self._followed.get(job.id)
        if known is None:
            work = self._work(wish, None, now)
            with self._lock:
                course = Course(self._fitted().stages(work))
                known = self._followed.setdefault(job.id, (now, course))
                while len(self._followed) > _FOLLOWED:
                    self._followed.popitem(last=False)
        begun, course = known
        with self._lock:
            return course.remaining(status.stage, status.fraction, now - begun)

    def _work(self, wish: Wish, prospect: Prospect | None, start: float) -> Work:
        service = self._service
        capabilities = service.engines.get(wish.controls.engine).capabilities
        if prospect is None:
            prospect = look_ahead(wish, capabilities, service.settings)
        with self._lock:
            used = self._used.get(capabilities.name)
        # A neural engine gives its memory back when nobody asks for a while.
        idle = service.settings.modelscope.idle_unload_s if capabilities.composites else None
        cold = used is None or (idle is not None and start - used > idle)
        return work_of(wish, prospect, Machine.of(capabilities, cold))

    def _fitted(self) -> CostModel:
        runs = self._timings.runs()
        if self._model is None or self._model[0] is not runs:
            self._model = runs, CostModel(runs)
        return self._model[1]


class Course:
    """How far a run has come, measured by the time that was expected for its stages.

    Args:
        expected: Seconds of each stage of `STAGES`.
    """

    def __init__(self, expected: dict[str, float]) -> None:
        first = _FIRST_READ * expected["read"] + expected["detect"]
        self._drawn = (1 - _FIRST_READ) * expected["read"] + expected["render"]
        self._read = (1 - _FIRST_READ) * expected["read"]
        self._lengths = {**expected, "render": self._drawn}
        prepared = first + expected["prepare"]
        self._ends = {"detect": first, "prepare": prepared, "render": prepared + self._drawn}
        self._ends["write"] = self._ends["render"] + expected["write"]
        self._whole = self._ends["write"] + expected["show"]
        self._prepared = False
        self._done = 0.0

    def remaining(self, stage: str, fraction: float, elapsed: float) -> float:
        """Seconds that are left.

        Args:
            stage: In which the run is, "" before the first.
            fraction: Of that stage, 0-1.
            elapsed: Seconds since the start.
        """
        if self._whole <= 0:
            return 0.0
        part = min(max(fraction, 0.0), 1.0)
        self._prepared = self._prepared or stage == "prepare"
        done = 0.0
        if stage in self._ends:
            done = self._ends[stage] - (1 - part) * self._lengths[stage]
        elif stage == "read" and self._prepared:  # strips are read and rendered in turn
            done = self._ends["prepare"] + part * self._read
        self._done = max(self._done, done)
        known = _PRIOR_SHARE * self._whole
        pace = (elapsed + known) / (self._done + known)
        return (self._whole - self._done) * min(max(pace, _PACE[0]), _PACE[1])
