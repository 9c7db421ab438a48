"""What work costs on this machine: rates by which amounts become seconds, learnt from past runs.

The seconds of a stage are the sum of amount times rate over its terms. A rate is its prior, as
measured on one machine (``benchmarks/estimate.py --rates``), times a factor of its own. The
logarithms of the factors have a normal prior with a large part that all share, the speed of the
machine, and a small one of each. Runs move them to their most probable values: Gauss-Newton steps
on the logarithms of the stages' seconds, in which outliers count less, as under Student's t with
four degrees of freedom, and old runs less than new ones. So a first run tells mostly how fast the
machine is, and later ones what differs: its disk, an encoder, a GPU.

What the last few runs took beyond that is the machine's pace now, with what else it has to do; the
next run is expected to feel two thirds of it at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.service.workload import STAGES, Work

Array = NDArray[np.float64]
Seconds = Mapping[str, float]

TERMS: dict[str, float] = {
    "open": 0.017,
    "look": 0.12,
    "look_face": 0.019,
    "start": 0.11,
    "decode_jpeg": 0.0057,
    "decode_png": 0.012,
    "decode_webp": 0.017,
    "decode_tiff": 0.0016,
    "decode_avif": 0.04,
    "decode_heic": 0.051,
    "decode_gif": 0.013,
    "enlarge": 0.05,
    "resize": 0.005,
    "prepare_face": 0.2,
    "prepare_mp": 0.018,
    "render": 0.018,
    "render_face": 0.29,
    "render_smooth": 0.15,
    "render_sharpen": 0.04,
    "render_tone": 0.016,
    "graft": 0.0039,
    "graft_part": 0.015,
    "copy": 0.00076,
    "encode_jpeg": 0.005,
    "encode_png": 0.03,
    "encode_webp": 0.061,
    "encode_tiff": 0.0039,
    "encode_avif": 1.1,
    "encode_heic": 0.77,
    "gather": 0.012,
    "preview": 0.016,
    "paint": 0.6,
    "recognise_cpu": 0.1,
    "fuse_cpu": 0.3,
    "enhance_cpu": 1.3,
    "load_cpu": 5.0,
    "recognise_gpu": 0.012,
    "fuse_gpu": 0.005,
    "enhance_gpu": 0.05,
    "load_gpu": 3.0,
}
"""Seconds for one of each: on two virtual cores of an EPYC; networks in bfloat16 there, or in
float16 on an H100 (docs/modelscope.md)."""

_LARGEST_FACTOR = 50.0
_SHARED = 0.7  # standard deviation of the logarithm of the factor that all rates share
_OWN = 0.35  # and of each rate's own
_STAGE_NOISE = 0.25  # of the logarithm of a stage's seconds about what the rates say
_RUN_NOISE = 0.12  # of a whole run's: what else the machine does meanwhile
_LEAST = 0.02  # seconds below which differences do not matter
_FREEDOM = 4.0
_HALF_LIFE = 50.0  # runs after which one counts half
_STEPS = 8
_PACE_HALF_LIFE = 1.0  # runs after which one says half as much about the machine's present pace
_PACE_PRIOR = 1.0  # runs at the usual pace that stand against them
_PACE_RUNS = 8
_PACE_MOST = 0.7  # the logarithm of how much slower or faster one run may say that it is
_SPREAD = 1.2816  # standard deviations on each side that hold 80 %


@dataclass(frozen=True, slots=True)
class Run:
    """A fusion that was done: its amounts, and the seconds of its stages."""

    work: Work
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a fusion will take.

    seconds: most probably. low, high: between them with four chances in five. runs: from how many
    past runs of this machine that is known.
    """

    seconds: float
    low: float
    high: float
    runs: int


class CostModel:
    """Rates that agree with past runs as far as they can.

    Args:
        runs: From the oldest to the newest.
        rates: The priors, by term.
    """

    def __init__(self, runs: Sequence[Run], rates: Mapping[str, float] = TERMS) -> None:
        self._names = tuple(rates)
        self._prior = np.log(np.array([rates[name] for name in self._names]))
        count = len(self._names)
        covariance = np.full((count, count), _SHARED**2) + np.eye(count) * _OWN**2
        self._precision = np.linalg.inv(covariance)
        self._runs = len(runs)
        self._factors = np.zeros(count)
        self._covariance = covariance
        self._pace = 1.0
        if runs:
            self._fit(runs)
            self._pace = self._present_pace(runs)

    @property
    def rates(self) -> dict[str, float]:
        """Seconds for one of each term on this machine, at its usual pace."""
        rates = np.exp(self._prior + self._factors)
        return {name: float(rate) for name, rate in zip(self._names, rates, strict=True)}

    def stages(self, work: Work) -> dict[str, float]:
        """Seconds of each stage of `STAGES`."""
        rates = self._pace * np.exp(self._prior + self._factors)
        return {stage: float(self._amounts(work, stage) @ rates) for stage in STAGES}

    def estimate(self, work: Work) -> Estimate:
        """Seconds of the whole."""
        rates = self._pace * np.exp(self._prior + self._factors)
        parts = np.stack([self._amounts(work, stage) for stage in STAGES]) * rates
        total = float(parts.sum())
        if total <= 0:
            return Estimate(0.0, 0.0, 0.0, self._runs)
        slope = parts.sum(axis=0) / total
        shares = parts.sum(axis=1) / total
        variance = float(slope @ self._covariance @ slope)
        variance += float((shares**2).sum()) * _STAGE_NOISE**2 + _RUN_NOISE**2
        width = math.exp(_SPREAD * math.sqrt(variance))
        return Estimate(total, total / width, total * width, self._runs)

    def _amounts(self, work: Work, stage: str) -> Array:
        amounts = work.get(stage, {})
        return np.array([amounts.get(name, 0.0) for name in self._names])

    def _fit(self, runs: Sequence[Run]) -> None:
        amounts, logs, ages = self._observed(runs)
        aged = 0.5 ** (ages / _HALF_LIFE)
        for _ in range(_STEPS):
            parts = amounts * np.exp(self._prior + self._factors)
            expected = parts.sum(axis=1) + _LEAST
            slopes = parts / expected[:, None]
            errors = logs - np.log(expected)
            normal = (errors / _STAGE_NOISE) ** 2
            weights = aged * (_FREEDOM + 1) / (_FREEDOM + normal) / _STAGE_NOISE**2
            curvature = self._precision + (slopes * weights[:, None]).T @ slopes
            pull = slopes.T @ (weights * errors) - self._precision @ self._factors
            step = np.linalg.solve(curvature, pull)
            self._factors += np.clip(step, -1.0, 1.0)
        most = math.log(_LARGEST_FACTOR)
        self._factors = np.clip(self._factors, -most, most)
        self._covariance = np.linalg.inv(curvature)

    def _present_pace(self, runs: Sequence[Run]) -> float:
        """The factor by which the last runs were slower than their rates say."""
        total, weight = 0.0, 1.0
        counted = _PACE_PRIOR
        for run in reversed(runs[-_PACE_RUNS:]):
            expected = sum(self.stages(run.work).values()) + _LEAST
            error = math.log((sum(run.seconds.values()) + _LEAST) / expected)
            total += weight * min(max(error, -_PACE_MOST), _PACE_MOST)
            counted += weight
            weight *= 0.5 ** (1 / _PACE_HALF_LIFE)
        return math.exp(total / counted)

    def _observed(self, runs: Sequence[Run]) -> tuple[Array, Array, Array]:
        """Amounts (one row for each stage of a run that did something), log seconds, ages."""
        rows, logs, ages = [], [], []
        for age, run in enumerate(reversed(runs)):
            for stage in STAGES:
                amounts = self._amounts(run.work, stage)
                if stage in run.seconds and amounts.any():
                    rows.append(amounts)
                    logs.append(math.log(max(run.seconds[stage], 0.0) + _LEAST))
                    ages.append(age)
        if not rows:
            return np.zeros((0, len(self._names))), np.zeros(0), np.zeros(0)
        return np.stack(rows), np.array(logs), np.array(ages, float)
