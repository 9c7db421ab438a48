"""Where the networks run and in which numbers, decided from figures that tests can inject.

Nothing here imports torch: what a machine has is read from NVIDIA's management library and
from /proc/cpuinfo, so that an engine can be chosen before anything heavy is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from common.errors import EngineUnavailableError

Result = TypeVar("Result")

NO_DRIVER = "there is no NVIDIA driver"
BFLOAT16_CPU = ("amx_bf16", "avx512_bf16")
"""Flags of /proc/cpuinfo of processors that multiply bfloat16 faster than float32."""
_HALF = 5, 3  # compute capabilities from which CUDA has float16, ...
_TENSOR_CORES = 7, 0  # ... multiplies it in tensor cores, ...
_BFLOAT16 = 8, 0  # ... and bfloat16 likewise
_MIB = 2**20
LEAST_CAPABILITY = 7, 5
"""Compute capability below which a GPU is not chosen automatically: torch's packages leave older
ones out."""
LEAST_GPU_MB = 3000
"""Free memory below which a GPU is not chosen automatically, MiB."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A CUDA device as this process numbers it.

    total_mb, used_mb: its memory, MiB. utilisation: percent of the last moment that it was busy;
    None where the driver does not say. capability: CUDA's compute capability, or None.
    """

    name: str
    total_mb: float
    used_mb: float
    utilisation: int | None = None
    capability: tuple[int, int] | None = None

    @property
    def free_mb(self) -> float:
        return self.total_mb - self.used_mb


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to compute with.

    no_gpu: why there is no GPU; "" where there is one. features: those of `BFLOAT16_CPU` that
    the processor has. free_mb: main memory that this process may still take, MiB.
    """

    gpus: tuple[Gpu, ...]
    no_gpu: str
    features: frozenset[str]
    free_mb: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where networks run. device: cpu or cuda:N. dtype: of their numbers. why: a sentence."""

    device: str
    dtype: str
    why: str


def this_machine() -> Machine:
    """The machine that this process runs on, as it is now."""
    from fusion.memory import free_memory_mb

    gpus, no_gpu = _visible_gpus()
    return Machine(gpus, no_gpu, cpu_features(), free_memory_mb())


def gpu_status(nvml: Any = None) -> tuple[Gpu, ...]:
    """The GPUs that this process may use, with their memory and load now; perhaps none.

    Args:
        nvml: NVIDIA's management library; None takes ``pynvml``, if it is installed.
    """
    return _visible_gpus(nvml)[0]


def _visible_gpus(
    nvml: Any = None, environment: Mapping[str, str] | None = None
) -> tuple[tuple[Gpu, ...], str]:
    """The GPUs, and if there is none the reason."""
    environment = os.environ if environment is None else environment
    if nvml is None:
        if _torch_version().endswith("+cpu"):
            return (), f"the torch that is installed ({_torch_version()}) is one without CUDA"
        try:
            import pynvml
        except ImportError:
            return (), "nvidia-ml-py, which tells of NVIDIA GPUs, is not installed"
        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return (), NO_DRIVER
    try:
        gpus = tuple(_read(nvml, handle) for handle in _handles(nvml, environment))
    except nvml.NVMLError as error:
        return (), f"the NVIDIA driver does not answer ({error})"
    finally:
        nvml.nvmlShutdown()
    if gpus:
        return gpus, ""
    hidden = "CUDA_VISIBLE_DEVICES" in environment
    return (), "CUDA_VISIBLE_DEVICES hides every GPU" if hidden else "there is no NVIDIA GPU"


def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def _handles(nvml: Any, environment: Mapping[str, str]) -> list[Any]:
    """Those that CUDA_VISIBLE_DEVICES shows, in its order: numbers and UUIDs, to the first bad."""
    count = nvml.nvmlDeviceGetCount()
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    names = map(str, range(count)) if wanted is None else wanted.split(",")
    handles = []
    for name in (name.strip() for name in names):
        if name.isdecimal() and int(name) < count:
            handles.append(nvml.nvmlDeviceGetHandleByIndex(int(name)))
        elif name.startswith(("GPU-", "MIG-")):
            handles.append(nvml.nvmlDeviceGetHandleByUUID(name))
        else:
            break
    return handles


def _read(nvml: Any, handle: Any) -> Gpu:
    def optional(ask: Callable[[Any], Any]) -> Any:
        try:
            return ask(handle)
        except nvml.NVMLError:  # parts of a divided GPU have no load of their own
            return None

    name = nvml.nvmlDeviceGetName(handle)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    load = optional(nvml.nvmlDeviceGetUtilizationRates)
    capability = optional(nvml.nvmlDeviceGetCudaComputeCapability)
    return Gpu(
        name=name if isinstance(name, str) else name.decode(),
        total_mb=memory.total / _MIB,
        used_mb=memory.used / _MIB,
        utilisation=None if load is None else int(load.gpu),
        capability=None if capability is None else (int(capability[0]), int(capability[1])),
    )


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Those of `BFLOAT16_CPU` that the processor has; none where the system does not say."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(BFLOAT16_CPU).intersection(flags.split())


def choose_place(device: str, dtype: str, machine: Machine) -> Place:
    """Where to run, by what is wished and what there is.

    Args:
        device: auto, cpu, cuda (the GPU with the most free memory) or cuda:N.
        dtype: auto, float32, bfloat16 or float16.

    Raises:
        EngineUnavailableError: There is no such device, or it does not compute in that dtype;
            the message says what there is.
    """
    number, why = _choose_device(device, machine)
    if number is None:
        chosen, how = _cpu_dtype(dtype, machine.features)
        return Place("cpu", chosen, f"{why}; {how}")
    gpu = machine.gpus[number]
    chosen, how = _gpu_dtype(dtype, f"cuda:{number} ({gpu.name})", gpu.capability)
    return Place(f"cuda:{number}", chosen, f"{why}; {how}")


def _choose_device(device: str, machine: Machine) -> tuple[int | None, str]:
    """The number of a GPU, None for the CPU; and why."""
    if device == "cpu":
        return None, "it runs on the CPU as asked for"
    if not machine.gpus:
        if device == "auto":
            return None, f"it runs on the CPU, for {machine.no_gpu}"
        raise EngineUnavailableError(
            f"the device {device} cannot be used: {machine.no_gpu}; set modelscope.device to cpu "
            "or auto in config.yaml"
        )
    if device in ("auto", "cuda"):
        best = max(range(len(machine.gpus)), key=lambda index: machine.gpus[index].free_mb)
        gpu = machine.gpus[best]
        if device == "auto" and gpu.free_mb < LEAST_GPU_MB:
            return None, (
                f"it runs on the CPU, for {gpu.name} has {gpu.free_mb:.0f} MB of free memory and "
                f"{LEAST_GPU_MB} are needed"
            )
        if device == "auto" and gpu.capability is not None and gpu.capability < LEAST_CAPABILITY:
            return None, f"it runs on the CPU, for {gpu.name} is too old for torch"
        return best, f"it runs on cuda:{best} ({gpu.name}, {gpu.free_mb:.0f} MB free)"
    number = int(device.partition(":")[2])
    if number >= len(machine.gpus):
        there = ", ".join(f"cuda:{index}" for index in range(len(machine.gpus)))
        raise EngineUnavailableError(
            f"there is no device {device}; set modelscope.device to {there}, cpu or auto in "
            "config.yaml"
        )
    return number, f"it runs on {device} ({machine.gpus[number].name}) as asked for"


def _cpu_dtype(dtype: str, features: frozenset[str]) -> tuple[str, str]:
    quick = next((name for name in BFLOAT16_CPU if name in features), None)
    if dtype == "float16":
        raise EngineUnavailableError(
            "float16 is for GPUs: this would run on the CPU; set modelscope.dtype to bfloat16, "
            "float32 or auto in config.yaml"
        )
    if dtype != "auto":
        slow = ", which this CPU is slow in" if dtype == "bfloat16" and not quick else ""
        return dtype, f"in {dtype} as asked for{slow}"
    if quick:
        return "bfloat16", f"in bfloat16, which this CPU is fast in ({quick})"
    return "float32", "in float32, for this CPU is not fast in bfloat16"


def _gpu_dtype(dtype: str, name: str, capability: tuple[int, int] | None) -> tuple[str, str]:
    known = capability or (0, 0)
    needed = {"float16": _HALF, "bfloat16": _BFLOAT16}.get(dtype, (0, 0))
    if known < needed:
        has = "unknown" if capability is None else f"{known[0]}.{known[1]}"
        raise EngineUnavailableError(
            f"{name} does not compute in {dtype}: it needs compute capability {needed[0]}."
            f"{needed[1]}, and this one's is {has}; set modelscope.dtype to float32 or auto in "
            "config.yaml"
        )
    if dtype != "auto":
        return dtype, f"in {dtype} as asked for"
    if known >= _TENSOR_CORES:
        return "float16", "in float16, which its tensor cores are fast in"
    return "float32", "in float32, for it has no tensor cores"


class SingleCropError(MemoryError):
    """The networks themselves were too much, or one crop for a network that takes one at a time.

    Less at once is no help.
    """


@dataclass(frozen=True, slots=True)
class Attempt:
    """How much is tried at once.

    batch: crops that go through the networks together. boost: of `request.BOOSTS`. spare: where
    to go when nothing smaller is left here; None for nowhere.
    """

    place: Place
    batch: int
    boost: int
    spare: Place | None = None

    def smaller(self) -> tuple[Attempt, str] | None:
        """What to try when the memory was not enough, and a warning that says so.

        Half the batch; else half the boost; else the CPU; None when that was the CPU.
        """
        short = f"the memory of {self.place.device} was not enough"
        if self.batch > 1:
            batch = self.batch // 2
            return replace(self, batch=batch), (
                f"{short} for {self.batch} crops at once; they go through in batches of {batch}"
            )
        if self.boost > 1:
            boost = self.boost // 2
            return replace(self, boost=boost), (
                f"{short} for detail boost {self.boost}; the face has boost {boost} and less "
                "fine detail"
            )
        return self.elsewhere()

    def elsewhere(self) -> tuple[Attempt, str] | None:
        """Likewise, the CPU at once."""
        if self.spare is None:
            return None
        return replace(self, place=self.spare, spare=None), (
            f"the memory of {self.place.device} was not enough for one crop; the networks ran on "
            f"{self.spare.device}, which takes longer"
        )


def first_attempt(place: Place, batch: int, boost: int, machine: Machine) -> Attempt:
    """An attempt on ``place`` that may in the end go to the CPU."""
    spare = None
    if place.device != "cpu":
        spare = choose_place("cpu", "auto", machine)
    return Attempt(place, batch, boost, spare)


def run_with_fallback(
    attempt: Attempt, work: Callable[[Attempt], Result], on_warning: Callable[[str], None]
) -> Result:
    """Do ``work``, with less at once each time that it runs out of memory.

    Raises:
        MemoryError: It ran out with the smallest attempt as well.
    """
    while True:
        try:
            return work(attempt)
        except MemoryError as error:
            single = isinstance(error, SingleCropError)
            following = attempt.elsewhere() if single else attempt.smaller()
            if following is None:
                raise
        # Outside of the handler, so that the failed work's arrays are gone by now.
        attempt, warning = following
        on_warning(warning)
