"""The benchmark of previews on the demo pair, small: it runs, and says what its JSON promises."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import preview


@pytest.mark.usefixtures("model_directory")
def test_it_measures_every_control_and_an_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "preview.json"
    monkeypatch.delenv("STUDIO_FACES", raising=False)  # the demo pair
    monkeypatch.setattr(preview, "UPLOAD", (900, 600))
    arguments = ["preview", "--longest", "256", "--moves", "2", "--json", str(figures)]
    monkeypatch.setattr(sys, "argv", arguments)
    preview.main()
    told = json.loads(figures.read_text(encoding="utf-8"))
    controls = told["previews"]["controls"]
    assert [one["control"] for one in controls] == list(preview.CONTROLS)
    for one in controls:
        assert 0 < one["best_s"] <= one["median_s"] <= one["p95_s"]
    assert told["previews"]["size"] == "256x256"
    assert told["upload"]["faces"] == 1
    shown = capsys.readouterr().out
    assert all(name in shown for name in preview.CONTROLS)
