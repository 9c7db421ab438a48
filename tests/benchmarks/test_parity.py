"""The studio's engine makes the picture of ModelScope's class, with all five networks of both."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from benchmarks.measuring.studio_runs import ROOT
from common.types import Region

NEEDED = ("torch", "torchvision", "modelscope", "scipy", "addict")


@pytest.fixture(scope="module")
def packages(unavailable: Callable[[str], NoReturn]) -> None:
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        names = ", ".join(lacking)
        unavailable(f"not installed: {names}; ./run.sh --full setup installs them")


@pytest.mark.usefixtures("packages", "model_directory")
@pytest.mark.timeout(900)  # four processes that each load 1.5 GB
def test_random_weights_give_the_official_picture(tmp_path: Path) -> None:
    """The command as a person starts it, on the demo pair: 512 and 1024 px."""
    file = tmp_path / "parity.json"
    command = [sys.executable, "-m", "benchmarks.modelscope_parity", "--quick", "--json", str(file)]
    outside = {name: value for name, value in os.environ.items() if name != "STUDIO_FACES"}
    environment = outside | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["random_weights"]
    assert [one["size"] for one in found["sizes"]] == [512, 1024]
    for one in found["sizes"]:
        assert one["max_diff"] <= 2
        assert one["mean_diff"] <= 0.1
        assert one["psnr_bf16"] >= 38
        assert one["psnr_bf16"] < 100  # it did compute with other numbers
        assert min(one["peak_mb"].values()) > 100
    assert "bf16 PSNR" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["parity.json"]


@pytest.mark.usefixtures("packages")
def test_differences_are_counted_over_what_changed() -> None:
    from benchmarks.modelscope_parity import differences

    target = np.full((1300, 40, 3), 100, np.uint8)
    region = Region(10, 600, 20, 50)
    ours = np.full((50, 20, 3), 120, np.uint8)
    official = target.copy()
    official[600:650, 10:30] = 120
    assert differences(target, official, ours, region) == (0, 0, 0)
    official[601, 12] = (123, 120, 120)
    official[1299, 39] = (100, 98, 100)  # outside what we changed
    assert differences(target, official, ours, region) == (3, 5 / 3 / 1001, 2 / 1001)
    assert differences(target, target, target[600:650, 10:30], region) == (0, 0, 0)


@pytest.mark.usefixtures("packages")
def test_growth_is_a_share_of_the_classs_own() -> None:
    from benchmarks.modelscope_parity import growth

    small, large = (
        {
            "size": size,
            "seconds": {"official": 10.0 + more, "float32": 5 + more / 20, "bfloat16": 2.0},
            "peak_mb": {"official": 5000 + more, "float32": 2000 + more / 10, "bfloat16": 1000},
        }
        for size, more in ((512, 0), (8192, 40))
    )
    found = growth(small, large)
    assert (found["from"], found["to"]) == (512, 8192)
    assert found["seconds_share"] == pytest.approx({"float32": 0.05, "bfloat16": 0})
    assert found["peak_mb_share"] == pytest.approx({"float32": 0.1, "bfloat16": 0})
