"""The studio as benchmarks use it: the real pipeline in this process, and the command line."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.processes import Run, run
from common.progress import Progress
from common.settings import load_settings
from common.types import Face, Region, Size
from fusion.engines.base import Capabilities, Engine, Pair, Sight
from fusion.engines.registry import create_engine
from fusion.field import FusionField
from fusion.pipeline import build_pipeline
from fusion.request import Blend, Detection, FusionRequest, FusionResult, Output
from preprocess.image_file import ImageFile
from preprocess.resolution import ORIGINAL, Resolution

FULLY = Blend(ratio=1.0)
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of wall time, and of processor time of all threads."""

    wall: float
    cpu: float


def timed(work: Callable[[], Any], children: bool = False) -> Cost:
    """What ``work`` costs this process, or the processes that it starts and awaits."""
    whose = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    before, begun = resource.getrusage(whose), time.perf_counter()
    work()
    wall, after = time.perf_counter() - begun, resource.getrusage(whose)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, used)


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Median of the wall times and median of the processor times."""
    return Cost(
        float(np.median([cost.wall for cost in costs])),
        float(np.median([cost.cpu for cost in costs])),
    )


class RecordingEngine:
    """Any engine, remembering the field that it made last."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.field: FusionField | None = None

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def sight(self, blend: Blend) -> Sight:
        return self._engine.sight(blend)

    def prepare(
        self, pairs: Sequence[Pair], blend: Blend, progress: Progress
    ) -> tuple[FusionField, ...]:
        """See `fusion.engines.base.Engine.prepare`."""
        fields = self._engine.prepare(pairs, blend, progress)
        self.field = fields[-1]
        return fields

    def close(self) -> None:
        self._engine.close()

    def last(self) -> FusionField:
        """The field that was made last.

        Raises:
            RuntimeError: None was ever asked for.
        """
        if self.field is None:
            raise RuntimeError(f"{self.capabilities.name} was never asked for a field")
        return self.field


class Studio:
    """The pipeline with the settings of this machine."""

    def __init__(self) -> None:
        self.settings = load_settings()
        self.pipeline = build_pipeline(self.settings)
        self._faces: dict[Path, tuple[Face, ...]] = {}

    def open(self, file: Path) -> ImageFile:
        """A picture's header."""
        return ImageFile.open(file, max_megapixels=self.settings.limits.max_megapixels)

    def faces(self, file: Path, min_face: int | None = None) -> tuple[Face, ...]:
        """All faces of a file, the largest first."""
        return self.pipeline.detect(file, Detection(min_face=min_face), Progress())[1]

    def portrait_face(self, file: Path) -> Face:
        """The largest face of a portrait; looked for once.

        Raises:
            SystemExit: It shows none.
        """
        if file not in self._faces:
            self._faces[file] = self.faces(file)
        if not self._faces[file]:
            raise SystemExit(f"no face was found in {file}")
        return self._faces[file][0]

    def with_one_face(self, files: Sequence[Path]) -> list[Path]:
        """Those of the pictures that show one face, so that it is clear who is meant."""
        return [file for file in files if len(self.faces(file)) == 1]

    def fuse(
        self,
        target: Path,
        source: Path,
        output: Path,
        *,
        blend: Blend = FULLY,
        resolution: Resolution = ORIGINAL,
        engine: Engine | None = None,
    ) -> FusionResult:
        """One request with the default engine or a given one."""
        request = FusionRequest(
            target, (source,), Output(output, resolution), blend, detection=Detection()
        )
        chosen = engine or create_engine("mesh")
        return self.pipeline.run(request, chosen, Progress())

    def pixels(self, file: Path, region: Region | None = None, at: Size | None = None) -> Any:
        """A region, or all, of a file in sRGB: H x W x 3 uint8."""
        image = self.open(file)
        return image.read_srgb(region or Region.whole(at or image.size), at)


def command_line(*arguments: str) -> dict[str, Any]:
    """Run the studio's command line as a person does; answers its line of JSON.

    Raises:
        SystemExit: The command failed.
    """
    return watched_command_line(*arguments)[0]


def watched_command_line(*arguments: str) -> tuple[dict[str, Any], Run]:
    """Likewise; also answers what it took. ``./run.sh`` where it is set up, else this Python.

    Raises:
        SystemExit: The command failed.
    """
    start = [sys.executable, "-m", "studio.cli"]
    if (ROOT / ".venv" / "installed-core").exists():
        start = [str(ROOT / "run.sh")]
    done = run([*start, *arguments], ROOT)
    report: dict[str, Any] = json.loads(done.out)
    return report, done
