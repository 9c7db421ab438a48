"""Where the networks run, decided from injected figures; no GPU is needed."""
# ruff: noqa: N802 - the names are NVIDIA's

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.errors import EngineUnavailableError
from fusion.engines.unet import devices
from fusion.engines.unet.devices import (
    NO_DRIVER,
    Attempt,
    Gpu,
    Machine,
    Place,
    choose_place,
    cpu_features,
    first_attempt,
    gpu_status,
    run_with_fallback,
    this_machine,
)

MIB = 2**20
AMPERE, TURING, PASCAL, KEPLER = (8, 0), (7, 5), (6, 1), (3, 5)


def gpu(free: float, capability: tuple[int, int] | None = AMPERE, name: str = "Big") -> Gpu:
    return Gpu(name, free + 1000, 1000, 5, capability)


def machine(*gpus: Gpu, features: tuple[str, ...] = (), free: float = 16_000) -> Machine:
    return Machine(gpus, "" if gpus else NO_DRIVER, frozenset(features), free)


@pytest.mark.parametrize(
    ("features", "dtype"),
    [
        ((), "float32"),
        (("avx512_bf16",), "bfloat16"),
        (("amx_bf16",), "bfloat16"),
        (("amx_bf16", "avx512_bf16"), "bfloat16"),
    ],
)
def test_a_cpu_computes_in_what_it_is_fast_in(features: tuple[str, ...], dtype: str) -> None:
    place = choose_place("auto", "auto", machine(features=features))
    assert (place.device, place.dtype) == ("cpu", dtype)
    assert NO_DRIVER in place.why
    assert dtype in place.why


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [
        (AMPERE, "float16"),
        (TURING, "float16"),
        ((7, 0), "float16"),
        (PASCAL, "float32"),
        (KEPLER, "float32"),
        (None, "float32"),
    ],
)
def test_a_gpu_computes_in_what_it_is_fast_in(
    capability: tuple[int, int] | None, dtype: str
) -> None:
    place = choose_place("cuda", "auto", machine(gpu(8000, capability)))
    assert (place.device, place.dtype) == ("cuda:0", dtype)
    assert "Big, 8000 MB free" in place.why


@pytest.mark.parametrize("capability", [KEPLER, PASCAL, (7, 0)])
def test_a_gpu_that_torch_leaves_out_is_not_chosen(capability: tuple[int, int]) -> None:
    place = choose_place("auto", "auto", machine(gpu(8000, capability)))
    assert place.device == "cpu"
    assert "Big is too old for torch" in place.why
    assert choose_place("auto", "auto", machine(gpu(8000, TURING))).device == "cuda:0"


def test_the_gpu_with_the_most_free_memory_is_taken() -> None:
    three = machine(gpu(4000), gpu(9000, name="Middle"), gpu(8000))
    for wish in ("auto", "cuda"):
        assert choose_place(wish, "auto", three).device == "cuda:1"
    assert choose_place("cuda:2", "auto", three).device == "cuda:2"
    assert choose_place("cpu", "auto", three).device == "cpu"
    assert "as asked for" in choose_place("cpu", "auto", three).why


def test_a_full_gpu_is_only_taken_if_it_is_asked_for() -> None:
    full = machine(gpu(2999))
    place = choose_place("auto", "auto", full)
    assert place.device == "cpu"
    assert "2999 MB of free memory and 3000 are needed" in place.why
    assert choose_place("auto", "auto", machine(gpu(3000))).device == "cuda:0"
    for wish in ("cuda", "cuda:0"):
        assert choose_place(wish, "auto", full).device == "cuda:0"


@pytest.mark.parametrize("wish", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_an_error_with_the_reason(wish: str) -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        choose_place(wish, "auto", machine())
    for told in (wish, NO_DRIVER, "modelscope.device to cpu or auto"):
        assert told in caught.value.message


def test_a_number_that_no_gpu_has_is_an_error_that_lists_them() -> None:
    with pytest.raises(EngineUnavailableError, match=r"no device cuda:2.*cuda:0, cuda:1, cpu"):
        choose_place("cuda:2", "auto", machine(gpu(1), gpu(2)))


def test_explicit_numbers_are_kept_where_they_are_possible() -> None:
    quick = machine(gpu(8000), features=("amx_bf16",))
    for dtype in ("float32", "bfloat16", "float16"):
        place = choose_place("cuda", dtype, quick)
        assert place.dtype == dtype
        assert f"in {dtype} as asked for" in place.why
    for dtype in ("float32", "bfloat16"):
        assert choose_place("cpu", dtype, quick).dtype == dtype
    assert "slow" not in choose_place("cpu", "bfloat16", quick).why
    assert "which this CPU is slow in" in choose_place("cpu", "bfloat16", machine()).why


@pytest.mark.parametrize(
    ("device", "dtype", "capability", "told"),
    [
        ("cpu", "float16", AMPERE, "float16 is for GPUs"),
        ("cuda", "bfloat16", TURING, "needs compute capability 8.0, and this one's is 7.5"),
        ("cuda", "float16", KEPLER, "needs compute capability 5.3, and this one's is 3.5"),
        ("cuda", "bfloat16", None, "this one's is unknown"),
    ],
)
def test_numbers_that_a_device_does_not_have_are_an_error(
    device: str, dtype: str, capability: tuple[int, int] | None, told: str
) -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        choose_place(device, dtype, machine(gpu(8000, capability)))
    assert told in caught.value.message
    assert "modelscope.dtype" in caught.value.message


def test_the_processor_s_features_are_read(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nflags\t\t: fpu sse avx512_bf16 amx_tile amx_bf16\n")
    assert cpu_features(info) == {"avx512_bf16", "amx_bf16"}
    info.write_text("processor\t: 0\nFeatures\t: fp asimd avx512_bf16x\n")
    assert cpu_features(info) == set()
    assert cpu_features(tmp_path / "none") == set()


class FakeNvml:
    """NVIDIA's library as `devices` uses it.

    The three exist to be asked for by number and by name; the last is a part of a divided GPU.
    """

    class NVMLError(Exception):
        pass

    def __init__(self, count: int = 2, fails: str = "") -> None:
        self.count = count
        self.fails = fails
        self.open = 0

    def _call(self, name: str) -> None:
        if name == self.fails:
            raise self.NVMLError(f"{name} failed")

    def nvmlInit(self) -> None:
        self._call("nvmlInit")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        self._call("nvmlDeviceGetCount")
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if uuid not in ("GPU-b", "MIG-c"):
            raise self.NVMLError(f"no {uuid}")
        return {"GPU-b": 1, "MIG-c": 2}[uuid]

    def nvmlDeviceGetName(self, handle: int) -> "str | bytes":
        return ("Small", b"Large", "Part")[handle]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=(8 + 16 * handle) * 1024 * MIB, used=512 * MIB)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        if handle == 2:
            raise self.NVMLError("not supported")
        return SimpleNamespace(gpu=37, memory=2)

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> list[int]:
        if handle == 2:
            raise self.NVMLError("not supported")
        return [8, 6]


@pytest.fixture
def visible(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return monkeypatch


def test_gpus_are_read_with_memory_and_load(visible: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()
    assert gpu_status(nvml) == (
        Gpu("Small", 8192, 512, 37, (8, 6)),
        Gpu("Large", 24_576, 512, 37, (8, 6)),
    )
    assert gpu_status(nvml)[0].free_mb == 7680
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("1,0", ["Large", "Small"]),
        ("1", ["Large"]),
        (" 0 , 1 ", ["Small", "Large"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["Small"]),  # CUDA stops at the first that it does not know
        ("7,0", []),
        ("GPU-b", ["Large"]),
        ("MIG-c", ["Part"]),
    ],
)
def test_gpus_are_numbered_as_cuda_numbers_them(
    visible: pytest.MonkeyPatch, value: str, names: list[str]
) -> None:
    visible.setenv("CUDA_VISIBLE_DEVICES", value)
    assert [found.name for found in gpu_status(FakeNvml())] == names


def test_a_part_of_a_gpu_has_no_load(visible: pytest.MonkeyPatch) -> None:
    visible.setenv("CUDA_VISIBLE_DEVICES", "MIG-c")
    assert gpu_status(FakeNvml()) == (Gpu("Part", 40_960, 512, None, None),)


@pytest.mark.parametrize(
    ("nvml", "shown", "reason"),
    [
        (FakeNvml(fails="nvmlInit"), None, NO_DRIVER),
        (FakeNvml(fails="nvmlDeviceGetCount"), None, "nvmlDeviceGetCount failed"),
        (FakeNvml(), "GPU-x", "no GPU-x"),
        (FakeNvml(count=0), None, "there is no NVIDIA GPU"),
        (FakeNvml(), "-1", "CUDA_VISIBLE_DEVICES hides every GPU"),
    ],
)
def test_where_there_is_no_gpu_the_reason_is_told(
    nvml: FakeNvml, shown: str | None, reason: str
) -> None:
    environment = {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}
    gpus, told = devices._visible_gpus(nvml, environment)
    assert gpus == ()
    assert reason in told
    assert nvml.open == 0


def test_a_torch_without_cuda_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.metadata, "version", lambda _: "2.14.1+cpu")
    gpus, told = devices._visible_gpus()
    assert gpus == ()
    assert "torch that is installed (2.14.1+cpu) is one without CUDA" in told


def test_this_machine_is_read() -> None:
    found = this_machine()
    assert bool(found.gpus) is not bool(found.no_gpu)
    assert 100 < found.free_mb < 1e8
    assert choose_place("auto", "auto", found).why


@pytest.mark.gpu
def test_a_real_gpu_is_read_and_chosen(cuda: str) -> None:
    found = this_machine()
    gpu = found.gpus[0]
    assert 0 <= gpu.used_mb < gpu.total_mb
    assert gpu.capability is not None
    assert choose_place(cuda, "auto", found).device == cuda


CUDA = Place("cuda:0", "float16", "")
CPU = Place("cpu", "float32", "")


def test_less_is_tried_in_order() -> None:
    attempt = first_attempt(CUDA, 4, 4, machine(gpu(8000), features=("amx_bf16",)))
    seen = []
    warnings = []
    while True:
        seen.append((attempt.place.device, attempt.place.dtype, attempt.batch, attempt.boost))
        following = attempt.smaller()
        if following is None:
            break
        attempt, warning = following
        warnings.append(warning)
    assert seen == [
        ("cuda:0", "float16", 4, 4),
        ("cuda:0", "float16", 2, 4),
        ("cuda:0", "float16", 1, 4),
        ("cuda:0", "float16", 1, 2),
        ("cuda:0", "float16", 1, 1),
        ("cpu", "bfloat16", 1, 1),
    ]
    assert all(warning.startswith("the memory of cuda:0 was not enough") for warning in warnings)
    for warning, told in zip(
        warnings,
        ("batches of 2", "batches of 1", "boost 2 ", "boost 1 ", "ran on cpu"),
        strict=True,
    ):
        assert told in warning


def test_on_the_cpu_there_is_nowhere_else_to_go() -> None:
    assert first_attempt(CPU, 1, 1, machine(gpu(8000))) == Attempt(CPU, 1, 1, None)
    assert Attempt(CPU, 1, 1).smaller() is None
    odd = Attempt(CPU, 3, 1).smaller()
    assert odd is not None
    assert odd[0].batch == 1


def test_work_goes_on_with_less_until_it_fits() -> None:
    warnings: list[str] = []
    tried: list[tuple[str, int, int]] = []

    def work(attempt: Attempt) -> str:
        tried.append((attempt.place.device, attempt.batch, attempt.boost))
        if attempt.place.device != "cpu":
            raise MemoryError
        return "done"

    assert run_with_fallback(Attempt(CUDA, 2, 2, CPU), work, warnings.append) == "done"
    assert tried == [("cuda:0", 2, 2), ("cuda:0", 1, 2), ("cuda:0", 1, 1), ("cpu", 1, 1)]
    assert len(warnings) == 3


def test_what_fits_at_once_has_no_warning() -> None:
    warnings: list[str] = []
    assert run_with_fallback(Attempt(CUDA, 2, 2, CPU), lambda one: one.batch, warnings.append) == 2
    assert warnings == []


def test_when_nothing_fits_the_memory_error_comes_out() -> None:
    def work(attempt: Attempt) -> None:
        raise MemoryError(attempt.batch)

    with pytest.raises(MemoryError, match="1"):
        run_with_fallback(Attempt(CPU, 4, 1), work, lambda _: None)


def test_other_errors_are_not_tried_again() -> None:
    tried = []

    def work(attempt: Attempt) -> None:
        tried.append(attempt)
        raise ValueError("wrong shape")

    with pytest.raises(ValueError, match="wrong shape"):
        run_with_fallback(Attempt(CPU, 4, 4), work, lambda _: None)
    assert len(tried) == 1
