import json
import re
from pathlib import Path

import pytest

from common.errors import OptionError
from fusion.engines.registry import CHOICES
from preprocess.image_format import NAMES
from studio.page.controls_view import (
    ENGINES,
    LOOK,
    LOSSLESS,
    OWN_LOOK,
    PRESETS,
    RANGES,
    Preset,
    control_props,
)
from studio.page.texts import TEXTS
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService

ASSETS = Path(__file__).parents[2] / "studio" / "page" / "assets"
FIELDS = set(Controls.model_fields)


def test_the_engines_are_the_registrys() -> None:
    assert ENGINES == CHOICES


def test_the_panel_gets_plain_values(service: FusionService) -> None:
    props = control_props(service)
    assert json.loads(json.dumps(props)) == props
    assert props["defaults"] == Controls.defaults(service.settings).model_dump()


def test_every_control_has_a_range_or_choices(service: FusionService) -> None:
    choices = control_props(service)["choices"]
    assert set(choices) | set(RANGES) == FIELDS - {"keep_glasses"}
    assert not set(choices) & set(RANGES)


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_ends_of_every_range_are_accepted_and_nothing_beyond(
    service: FusionService, name: str, end: int
) -> None:
    value, step = RANGES[name][end], RANGES[name][2]
    Controls.read({name: value}, service.settings)
    with pytest.raises(OptionError):
        Controls.read({name: value + step if end else value - step}, service.settings)


def test_every_choice_is_accepted(service: FusionService) -> None:
    for name, values in control_props(service)["choices"].items():
        for value in values:
            assert getattr(Controls.read({name: value}, service.settings), name) == value


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_sets_what_looks_and_nothing_else(service: FusionService, preset: Preset) -> None:
    assert set(preset.values) <= set(LOOK)
    controls = Controls.read(preset.values, service.settings)
    assert {name: getattr(controls, name) for name in preset.values} == preset.values


def test_the_presets_are_those_that_were_promised() -> None:
    found = {preset.name: preset.values for preset in PRESETS}
    assert found == {
        "social": {
            "resolution": "512",
            "ratio": 0.5,
            "smooth": 0.4,
            "brightness": 0.1,
            "contrast": 0.05,
        },
        "art": {
            "resolution": "1024",
            "ratio": 0.7,
            "mode": "blend",
            "smooth": 0.3,
            "saturation": 0.2,
        },
        "old": {
            "resolution": "2048",
            "ratio": 0.6,
            "smooth": 0.6,
            "brightness": 0.15,
            "contrast": 0.1,
        },
        "print": {"resolution": "original", "ratio": 0.8},
    }


def test_a_preset_of_ones_own_leaves_photographs_and_machine_alone() -> None:
    engine = {"engine", "composite", "boost", "enhance"}
    assert set(OWN_LOOK) == FIELDS - engine - {"threshold"}
    assert set(LOOK) <= set(OWN_LOOK)


def test_formats_without_loss_need_no_quality() -> None:
    assert set(LOSSLESS) <= set(NAMES)


def test_every_control_is_explained_in_one_sentence() -> None:
    by_value = {"mode", "composite", "fit"}
    for name in FIELDS:
        assert f"controls_{name}" in TEXTS
        if name not in by_value:
            assert f"controls_{name}_info" in TEXTS


def test_the_script_builds_every_control() -> None:
    script = (ASSETS / "controls.js").read_text(encoding="utf-8")
    built = set(re.findall(r"(?:slider|choice|optional|onOff|menu)\(\"(\w+)\"", script))
    several = re.search(r"\[([^\]]*)\]\.map\(\(name\) => slider\(name\)\)", script)
    assert several is not None
    built |= set(re.findall(r"\w+", several[1]))
    assert built == FIELDS
