"""The memory figures, in a process of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from fusion.memory import peak_rss_mb, return_large_blocks

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
