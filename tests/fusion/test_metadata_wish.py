"""A fusion without metadata, from request to file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from common.errors import OptionError
from common.progress import Progress
from fusion.engines.registry import create_engine
from fusion.pipeline import Pipeline
from fusion.request import Blend, FusionRequest, FusionResult, Output
from tests.fusion.pictures import target_portrait

GPS, DESCRIPTION = 0x8825, 0x010E


@pytest.fixture
def target(tmp_path: Path, astronaut: NDArray[Any]) -> Path:
    """A JPEG that tells who was where."""
    exif = Image.Exif()
    exif[DESCRIPTION] = "secret pier"
    exif[GPS] = {1: "N", 2: (1.0, 2.0, 3.0)}
    path = tmp_path / "target.jpg"
    picture = Image.fromarray(target_portrait(astronaut))
    picture.save(path, quality=92, exif=exif, comment=b"secret comment", dpi=(300, 300))
    return path


def fuse(
    pipeline: Pipeline, target: Path, source: Path, name: str, ratio: float, metadata: str
) -> FusionResult:
    output = Output(target.with_name(name), metadata=metadata)
    request = FusionRequest(target, (source,), output, Blend(ratio))
    return pipeline.run(request, create_engine("mesh"), Progress())


@pytest.mark.parametrize(
    ("name", "ratio", "written"),
    [("out.jpg", 0.8, "grafted"), ("out.jpg", 0.0, "stripped"), ("out.png", 0.8, "encoded")],
)
def test_a_result_tells_nothing_of_its_target(
    pipeline: Pipeline, target: Path, source_file: Path, name: str, ratio: float, written: str
) -> None:
    kept = fuse(pipeline, target, source_file, f"kept-{name}", ratio, "keep")
    result = fuse(pipeline, target, source_file, name, ratio, "remove")
    assert result.written == result.as_dict()["written"] == written
    assert kept.written == {"stripped": "copied"}.get(written, written)
    assert (result.warnings, result.notes) == (kept.warnings, kept.notes)
    with Image.open(target.with_name(name)) as bare, Image.open(kept.request.output.path) as full:
        assert DESCRIPTION in full.getexif()
        assert dict(bare.getexif()) == {}
        assert bare.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert np.array_equal(np.asarray(bare), np.asarray(full))
    assert b"secret" not in target.with_name(name).read_bytes()


def test_another_word_is_refused() -> None:
    with pytest.raises(OptionError, match="metadata 'some' is not known; use one of: keep, remove"):
        Output(Path("a.jpg"), metadata="some")
