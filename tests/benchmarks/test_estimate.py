"""The benchmark of estimates on the demo pair, small."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import estimate
from studio.service.cost_model import TERMS, Run

pytestmark = pytest.mark.usefixtures("model_directory")


def test_estimate_tells_what_was_expected_and_what_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STUDIO_FACES", raising=False)
    monkeypatch.setattr(estimate, "MEGAPIXELS", (0.2, 0.3))
    monkeypatch.setattr(estimate, "FORMATS", {"jpeg": (1, 0.3), "png": (1, 0.3)})
    monkeypatch.setattr(estimate, "SLOW_FORMATS", {})
    monkeypatch.setattr(estimate, "RESOLUTIONS", ("original", "512"))
    monkeypatch.setattr(estimate, "LEARNT", 1)
    figures = tmp_path / "figures.json"
    arguments = ["--requests", "3", "--orders", "2", "--rates", "--json", str(figures)]
    monkeypatch.setattr(sys, "argv", ["estimate", *arguments])
    estimate.main()
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert len(found["trials"]) == 3
    assert all(0 < trial["low_s"] < trial["expected_s"] for trial in found["trials"])
    assert all(trial["taken_s"] > 0 for trial in found["trials"])
    assert 0 <= found["within"] <= 1
    assert found["orders"]["as taken"]["estimates"] == 4
    assert set(found["rates"]) == set(TERMS)
    assert '"decode_jpeg": ' in capsys.readouterr().out


def test_estimates_that_are_right_are_within_the_bar() -> None:
    amounts = [{"render": {"render_face": 1.0 + place}} for place in range(11)]
    runs = [Run(one, {"render": one["render"]["render_face"]}) for one in amounts]
    assert estimate.replayed(runs, 3, 3.0)["within"] == 1
    assert estimate.within([0.1, -0.3, 0.31]) == pytest.approx(2 / 3, abs=1e-4)
