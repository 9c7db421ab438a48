"""The memory figures, in a process of their own."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from common.settings import MAX_MEMORY_RANGE
from fusion import memory
from fusion.memory import (
    Budget,
    free_memory_mb,
    peak_rss_mb,
    resident_mb,
    return_large_blocks,
)

MIB = 2**20
ROOT = Path(__file__).resolve().parents[2]
GROW = """
import numpy as np
from fusion.memory import peak_rss_mb
before = peak_rss_mb()
block = np.ones(100 * 2**20, np.uint8)
held = peak_rss_mb()
del block
print(before, held, peak_rss_mb())
"""
ROUNDS = """
import sys
import numpy as np
from pathlib import Path
from fusion.memory import return_large_blocks
if sys.argv[1] == "yes":
    return_large_blocks()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
def fill(count, side):
    return [np.ones((side, side), np.uint8) for _ in range(count)]
fill(4, 5500)  # freeing blocks of 30 MB raises glibc's limit to that size
blocks, keep = [], []
for _ in range(40):
    blocks.append(np.ones(5 * 2**20, np.uint8))
    keep.append(np.ones(2**16, np.uint8))
blocks.clear()
print(resident())
"""


def run(code: str, *arguments: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def test_the_peak_counts_this_process_and_stays() -> None:
    padding = bytearray(300 * 2**20)  # the caller's own size does not count
    before, held, after = run(GROW)
    assert len(padding) == 300 * 2**20
    assert before < 150
    assert held - before == pytest.approx(100, abs=10)
    assert after == pytest.approx(held, abs=1)


def test_the_peak_of_this_process_is_plausible() -> None:
    assert 10 < peak_rss_mb() < 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is one of glibc's")
def test_large_blocks_go_back_to_the_system() -> None:
    (plain,), (returned,) = run(ROUNDS, "no"), run(ROUNDS, "yes")
    assert returned < 80  # measured 33; without it 233
    assert returned < plain - 50


def test_asking_twice_does_no_harm() -> None:
    return_large_blocks()
    return_large_blocks()


def test_what_is_held_now_falls_again() -> None:
    before = resident_mb()
    block = bytearray(b"1") * (100 * MIB)
    held = resident_mb()
    del block
    assert held - before == pytest.approx(100, abs=10)
    assert resident_mb() - before < 10
    assert held <= peak_rss_mb() + 1


def groups(tmp_path: Path, lines: str, **files: dict[str, str]) -> tuple[Path, Path]:
    """A process's ``cgroup`` file and the mounted hierarchies with the files of some groups."""
    proc, mounted = tmp_path / "proc", tmp_path / "cgroup"
    proc.mkdir()
    (proc / "cgroup").write_text(lines)
    for folder, contents in files.items():
        place = mounted / folder.strip("_").replace("__", "/")
        place.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (place / name).write_text(text + "\n")
    return proc, mounted


def version_2(limit: str, used: int = 90 * MIB, cache: int = 20 * MIB) -> dict[str, str]:
    statistics = f"anon 1\nfile {cache}\ninactive_anon 5\ninactive_file {cache}\nactive_file 7"
    return {"memory.max": limit, "memory.current": str(used), "memory.stat": statistics}


def version_1(limit: int, used: int = 90 * MIB, cache: int = 20 * MIB) -> dict[str, str]:
    return {
        "memory.limit_in_bytes": str(limit),
        "memory.usage_in_bytes": str(used),
        "memory.stat": f"inactive_file 3\ntotal_inactive_file {cache}\ntotal_active_file 7",
    }


def test_without_a_group_s_limit_the_machine_s_memory_counts(tmp_path: Path) -> None:
    available = psutil.virtual_memory().available / MIB
    for number, lines in enumerate(("", "0::/\n", "0::/app/studio\n", None)):
        folder = tmp_path / str(number)
        folder.mkdir()
        where = groups(folder, lines or "", app__studio=version_2("max"))
        if lines is None:
            where = (folder / "none", folder / "none")
        assert free_memory_mb(*where) == pytest.approx(available, rel=0.2)


@pytest.mark.parametrize(
    ("lines", "files"),
    [
        ("0::/\n", {"_": version_2(str(120 * MIB))}),
        ("0::/a/b\n", {"a__b": version_2(str(120 * MIB))}),
        # The group around the own one is the tighter.
        ("0::/a/b\n", {"a__b": version_2("max"), "a": version_2(str(120 * MIB))}),
        ("0::/a/b\n", {"a__b": version_2(str(500 * MIB)), "a": version_2(str(120 * MIB))}),
        # A container that sees the host's path, or one outside its namespace.
        ("0::/docker/5f1c\n", {"_": version_2(str(120 * MIB))}),
        ("0::/../5f1c\n", {"_": version_2(str(120 * MIB))}),
        ("9:cpu,cpuacct:/x\n4:memory:/a\n", {"memory__a": version_1(120 * MIB)}),
        ("4:memory,hugetlb:/a\n0::/\n", {"memory": version_1(120 * MIB), "unified": {}}),
    ],
)
def test_a_group_s_limit_counts_less_what_is_used_without_cache(
    tmp_path: Path, lines: str, files: dict[str, dict[str, str]]
) -> None:
    assert free_memory_mb(*groups(tmp_path, lines, **files)) == 120 - 90 + 20


def test_a_group_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    files = {"_": version_2(str(120 * MIB), used=150 * MIB)}
    assert free_memory_mb(*groups(tmp_path, "0::/\n", **files)) == 0


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    available = psutil.virtual_memory().available / MIB
    where = groups(tmp_path, "4:memory:/\n", memory=version_1(2**63 - 4096))
    assert free_memory_mb(*where) == pytest.approx(available, rel=0.2)


def test_a_budget_of_one_s_own() -> None:
    assert Budget.of(700) == Budget(700.0)
    held = resident_mb()
    assert Budget(held + 200).spare_mb() == pytest.approx(200, abs=20)
    assert Budget(1.0).spare_mb() == 0


def test_a_budget_follows_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory_mb", lambda: 4000.0)
    budget = Budget.of(None)
    assert budget.total_mb == pytest.approx(2000 + resident_mb(), abs=20)
    assert budget.spare_mb() == pytest.approx(2000, abs=40)
    monkeypatch.setattr(memory, "free_memory_mb", lambda: 0.0)
    assert Budget.of(None).total_mb == pytest.approx(
        max(resident_mb(), MAX_MEMORY_RANGE[0]), abs=20
    )


def test_the_free_memory_of_this_machine_is_plausible() -> None:
    assert 50 < free_memory_mb() <= psutil.virtual_memory().total / MIB
