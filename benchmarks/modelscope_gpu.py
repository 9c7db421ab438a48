"""The engine modelscope on a GPU: how fast, how exact, in how much of its memory?

Usage: ./run.sh --full bench modelscope_gpu [--faces FOLDER] [--model FOLDER] [--runs N]
       [--compile] [--json FILE]

Without --model the weights are random (benchmarks/measuring/random_weights.py). It prints

- the networks in each kind of numbers: seconds to load, milliseconds of a call with so many crops
  at once, and PSNR against float32 for the same crop;
- what they hold of the GPU's memory, and what a call holds besides;
- each row of the memory table (fusion/engines/unet/rooms.py): the most that it lets a fusion ask
  for at once, with torch held to that row's memory. "held" is what the process then has of the
  GPU; "fits" says whether it was enough;
- what the process has of the GPU before, with, and after the networks, used by three threads;
- fusions from file to file, stage by stage, with everything loaded: medians of N runs. The
  target's longer side is 2048 px;
- what a change of ratio costs in a preview of 1024 px: prepare and render, nothing else;
- with --compile, calls of compiled networks: the first, and those after it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.measuring.in_memory import Workbench
from benchmarks.measuring.parity import Stage
from benchmarks.measuring.portraits import Pair, add_faces_option
from benchmarks.measuring.report import add_json_option, number, table, write_report
from benchmarks.measuring.studio_runs import Studio
from benchmarks.modelscope_parity import chosen_pairs, random_model
from common.settings import Settings
from common.types import FloatArray
from fusion.engines.base import Sight
from fusion.engines.modelscope_unet import ModelScopeEngine
from fusion.engines.unet import alignment
from fusion.engines.unet.aligned import Aligned
from fusion.engines.unet.devices import Gpu, gpu_status
from fusion.engines.unet.rooms import ROOMS_ON_GPU, Room
from fusion.request import Blend, Network
from fusion.views import target_view

DTYPES = ("float32", "bfloat16", "float16")
BATCHES = (1, 4, 16, 64)
CALLS = ("identities", "coefficients", *(f"fuse {batch}" for batch in BATCHES), "enhance")
FUSIONS = {
    "studio, boost 1, no GPEN": Network(boost=1, enhance=0.0),
    "studio, boost 4, GPEN": Network(boost=4, enhance=1.0),
    "official": Network("official"),
}
_DEVICE = "cuda:0"
_HALF = "float16"
_LONGER = 2048
_PREVIEW = 1024
_RATIOS = (0.5, 0.7, 0.55, 0.65, 0.75)
_STAGES = ("read", "detect", "prepare", "render", "write", "total")
_GROUP = 8  # faces, for whose identities the rows of the memory table have room too
_MIB = 2**20


class Device:
    """The first GPU, as torch and the driver see it; amounts are MiB."""

    def __init__(self) -> None:
        import torch

        gpus = gpu_status()
        if not gpus or not torch.cuda.is_available():
            raise SystemExit("there is no NVIDIA GPU that torch can use")
        self.gpu: Gpu = gpus[0]
        self._cuda = torch.cuda
        self._idle = self.gpu.used_mb
        torch.zeros(1, device=_DEVICE)
        # What CUDA takes for itself before anything is computed.
        self.context = self.held - float(self._cuda.memory_reserved(0)) / _MIB

    @property
    def allocated(self) -> float:
        return float(self._cuda.memory_allocated(0)) / _MIB

    @property
    def peak(self) -> float:
        """The most that arrays took at once since `start`."""
        return float(self._cuda.max_memory_allocated(0)) / _MIB

    @property
    def held(self) -> float:
        """What this process has of the GPU now: arrays, what torch keeps, CUDA itself."""
        self._cuda.synchronize()
        return gpu_status()[0].used_mb - self._idle

    def start(self) -> None:
        """Forget the peak, and give back what torch keeps without need."""
        gc.collect()
        self._cuda.empty_cache()
        self._cuda.reset_peak_memory_stats(0)

    @contextmanager
    def limited(self, free: float) -> Iterator[None]:
        """As if no more than ``free`` had been free before this process came."""
        self.start()
        self._cuda.set_per_process_memory_fraction((free - self.context) / self.gpu.total_mb, 0)
        try:
            yield
        finally:
            self._cuda.set_per_process_memory_fraction(1.0, 0)


class Faces:
    """A portrait's face as the networks see it: crops of 256 and 1024 px."""

    def __init__(self, studio: Studio, file: Path) -> None:
        sight = Sight(target_px=_LONGER, margin=1.0)
        view = target_view(studio.open(file), studio.portrait_face(file), sight)
        face = Aligned.of(view, mirrors=False)
        self.small = alignment.smooth_crop(view.window, face.fusion)[None]
        self.large = alignment.smooth_crop(view.window, face.restoration)[None]

    def calls(self, networks: Any, batches: tuple[int, ...]) -> dict[str, Callable[[], FloatArray]]:
        """`CALLS` of networks, with these batches."""
        person, own = networks.identities(self.small), networks.coefficients(self.small)
        found: dict[str, Callable[[], FloatArray]] = {
            "identities": partial(networks.identities, self.small),
            "coefficients": partial(networks.coefficients, self.small),
        }
        for batch in batches:
            given = (np.repeat(each, batch, axis=0) for each in (self.small, person, own, own))
            found[f"fuse {batch}"] = partial(networks.fuse, *given)
        return found | {"enhance": partial(networks.enhance, self.large)}


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_faces_option(parser)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="files of the real model")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--compile", action="store_true", help="compile the networks as well")
    add_json_option(parser)
    options = parser.parse_args()
    device = Device()
    with tempfile.TemporaryDirectory() as folder:
        scratch, studio = Path(folder), Studio()
        stage = Stage(studio, scratch)
        pair = chosen_pairs(stage, options.faces, None)[0]
        pair = Pair(stage.scaled(pair.target, _LONGER), stage.scaled(pair.source, _LONGER, False))
        model = options.model or random_model(scratch / "model")
        faces = Faces(studio, pair.target)
        report: dict[str, Any] = {
            "gpu": device.gpu.name,
            "context_mb": device.context,
            "random_weights": options.model is None,
        }
        print(f"{device.gpu.name}; CUDA itself takes {device.context:.0f} MB")
        report["networks"] = measure_networks(device, model, faces)
        print_networks(report["networks"])
        report["rooms"] = [measure_room(device, model, faces, *row) for row in ROOMS_ON_GPU]
        print_rooms(report["rooms"])
        report["unloading_mb"] = measure_unloading(device, model, faces)
        held = " ".join(f"{name} {mb:.0f}" for name, mb in report["unloading_mb"].items())
        print(f"\nof the GPU's memory before, with and after the networks, MB: {held}", flush=True)
        report["fusions"] = {}
        for dtype in ("float32", _HALF):
            report["fusions"][dtype] = measure_fusions(studio, model, pair, dtype, options.runs)
            print_fusions(dtype, report["fusions"][dtype])
        report["preview_s"] = measure_preview(studio, model, pair)
        print(f"\nanother ratio at {_PREVIEW} px: {report['preview_s']:.2f} s", flush=True)
        if options.compile:
            report["compiled"] = measure_compiled(model, faces)
    write_report(options.json, "modelscope_gpu", report)


def measure_networks(device: Device, model: Path, faces: Faces) -> dict[str, Any]:
    """Each kind of numbers: time, memory, and PSNR against float32."""
    found: dict[str, Any] = {}
    exact: dict[str, FloatArray] = {}
    for dtype in DTYPES:
        device.start()
        before, begun = device.allocated, perf_counter()
        networks = _loaded(model, dtype)
        loading = perf_counter() - begun
        holds = device.allocated - before
        calls = faces.calls(networks, BATCHES)
        answers = {name: calls[name]() for name in ("fuse 1", "enhance")}
        exact = exact or answers
        found[dtype] = {
            "load_s": loading,
            "holds_mb": holds,
            "psnr": {name: _psnr(answers[name], exact[name]) for name in answers},
            "calls": {name: _timed_call(device, call) for name, call in calls.items()},
        }
        networks.close()
    return found


def _loaded(model: Path, dtype: str, compiled: bool = False) -> Any:
    from fusion.engines.unet.nets.networks import Networks

    return Networks.load(model, _DEVICE, dtype, compiled)


def _timed_call(device: Device, call: Callable[[], object]) -> dict[str, float]:
    call()
    device.start()
    before = device.allocated
    seconds = []
    for _ in range(5):
        begun = perf_counter()
        call()  # its answer is on the CPU: nothing is left to wait for
        seconds.append(perf_counter() - begun)
    return {"ms": 1000 * statistics.median(seconds), "peak_mb": device.peak - before}


def _psnr(made: FloatArray, wanted: FloatArray) -> float:
    return float(10 * np.log10(1 / max(float(np.square(made - wanted).mean()), 1e-12)))


def measure_room(
    device: Device, model: Path, faces: Faces, free: float, room: Room
) -> dict[str, Any]:
    """The most that a row of the table lets a fusion ask for at once, in its memory."""
    crowd = np.repeat(faces.small, min(room.faces, _GROUP), axis=0)
    found = {"free_mb": free, "boost": room.boost, "batch": room.faces, "fits": True}
    with device.limited(free):
        networks = _loaded(model, _HALF)
        calls = faces.calls(networks, (room.faces,))
        try:
            networks.identities(crowd)
            networks.coefficients(crowd)
            for _ in range(2):
                calls[f"fuse {room.faces}"]()
            calls["enhance"]()
        except MemoryError:
            found["fits"] = False
        found |= {"peak_mb": device.peak, "held_mb": device.held}
        networks.close()
    return found


def measure_unloading(device: Device, model: Path, faces: Faces) -> dict[str, float]:
    """What this process has of the GPU with the networks and without."""
    device.start()
    before = device.held
    networks = _loaded(model, _HALF)
    calls = faces.calls(networks, (16,))
    for name in ("fuse 16", "enhance", "identities"):
        thread = threading.Thread(target=calls[name])
        thread.start()
        thread.join()
    loaded = device.held
    networks.close()
    return {"before": before, "loaded": loaded, "after": device.held}


def _engine(model: Path, dtype: str) -> ModelScopeEngine:
    wanted = {"folder": model, "device": _DEVICE, "dtype": dtype}
    return ModelScopeEngine(Settings.model_validate({"modelscope": wanted}))


def measure_fusions(
    studio: Studio, model: Path, pair: Pair, dtype: str, runs: int
) -> dict[str, Any]:
    """All of `FUSIONS`: the first, and medians of the rest."""
    engine = _engine(model, dtype)
    out = pair.target.with_name("fused.png")
    found: dict[str, Any] = {}
    for name, network in FUSIONS.items():
        blend = Blend(ratio=1.0, network=network)
        done = [
            studio.fuse(pair.target, pair.source, out, blend=blend, engine=engine)
            for _ in range(1 + runs)
        ]
        found[name] = {
            "first_s": done[0].seconds["total"],
            "warnings": done[0].warnings,
            "stages_s": {
                stage: statistics.median(one.seconds[stage] for one in done[1:])
                for stage in _STAGES
            },
        }
    engine.close()
    return found


def measure_preview(studio: Studio, model: Path, pair: Pair) -> float:
    """Prepare and render at another ratio; seconds."""
    engine = _engine(model, _HALF)
    bench = Workbench(studio, pair.target.parent, longer=_PREVIEW)
    target, source = bench.portrait(pair.target), bench.portrait(pair.source)
    seconds = []
    for ratio in (0.4, *_RATIOS):
        begun = perf_counter()
        assert bench.fuse(target, source, engine, Blend(ratio=ratio)).pixels.any()
        seconds.append(perf_counter() - begun)
    engine.close()
    return statistics.median(seconds[1:])


def measure_compiled(model: Path, faces: Faces) -> dict[str, Any]:
    """The first call of each network, which compiles it, and the next ones in another thread."""
    networks = _loaded(model, _HALF, compiled=True)
    begun = perf_counter()
    calls = faces.calls(networks, (1, 16))
    found: dict[str, Any] = {"recognisers": {"first_s": perf_counter() - begun}}
    print(f"\ncompiled, identities and coefficients: {perf_counter() - begun:.1f} s", flush=True)
    for name in ("fuse 1", "enhance", "fuse 16"):
        begun = perf_counter()
        calls[name]()
        first = perf_counter() - begun
        later: list[float] = []
        thread = threading.Thread(target=_repeat, args=(calls[name], later))
        thread.start()
        thread.join()
        found[name] = {"first_s": first, "ms": 1000 * statistics.median(later)}
        told = f"first {first:.1f} s, then {found[name]['ms']:.1f} ms"
        print(f"compiled, {name}: {told}", flush=True)
    networks.close()
    return found


def _repeat(call: Callable[[], object], seconds: list[float]) -> None:
    for _ in range(5):
        begun = perf_counter()
        call()
        seconds.append(perf_counter() - begun)


def print_networks(networks: dict[str, Any]) -> None:
    """Times, then memory."""
    print("\nthe networks: seconds to load, ms per call, PSNR to float32")
    print(
        table(
            ("numbers", "load", *CALLS, "fuse dB", "enhance dB"),
            [
                (
                    dtype,
                    number(one["load_s"]),
                    *(number(one["calls"][name]["ms"], 1) for name in CALLS),
                    *(number(value if value < 119 else None, 1) for value in one["psnr"].values()),
                )
                for dtype, one in networks.items()
            ],
        )
    )
    print("\nMB that the networks hold, and that a call holds besides")
    print(
        table(
            ("numbers", "networks", *CALLS),
            [
                (
                    dtype,
                    number(one["holds_mb"], 0),
                    *(number(one["calls"][name]["peak_mb"], 0) for name in CALLS),
                )
                for dtype, one in networks.items()
            ],
        ),
        flush=True,
    )


def print_rooms(rooms: list[dict[str, Any]]) -> None:
    """One line for each."""
    print(f"\n{_HALF} in the memory of each row, MB")
    print(
        table(
            ("free", "boost", "crops at once", "arrays", "held", "fits"),
            [
                (
                    *(str(one[name]) for name in ("free_mb", "boost", "batch")),
                    *(number(one[name], 0) for name in ("peak_mb", "held_mb")),
                    "yes" if one["fits"] else "no",
                )
                for one in rooms
            ],
        ),
        flush=True,
    )


def print_fusions(dtype: str, fusions: dict[str, Any]) -> None:
    """One line for each."""
    print(f"\nfile to file, {_LONGER} px, {dtype}: seconds")
    print(
        table(
            ("fusion", "first", *_STAGES),
            [
                (
                    name,
                    number(one["first_s"]),
                    *(number(one["stages_s"][stage]) for stage in _STAGES),
                )
                for name, one in fusions.items()
            ],
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
