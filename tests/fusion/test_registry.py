"""Engines by name."""

import pytest

from common.errors import OptionError
from common.settings import FusionSettings
from fusion.engines.registry import CHOICES, create_engine
from fusion.request import MODES


@pytest.mark.parametrize("choice", ["auto", "mesh"])
def test_the_embedded_engine(choice: str) -> None:
    capabilities = create_engine(choice).capabilities
    assert (capabilities.name, capabilities.device) == ("mesh", "cpu")
    assert set(capabilities.modes) <= set(MODES)
    assert capabilities.analysis_px >= 128


@pytest.mark.parametrize("choice", ["Mesh", "modelscope", ""])
def test_other_names_are_refused(choice: str) -> None:
    with pytest.raises(OptionError, match="is not known; use one of: auto, mesh") as caught:
        create_engine(choice)
    assert repr(choice) in caught.value.message


def test_the_settings_accept_what_the_registry_knows() -> None:
    for choice in CHOICES:
        assert FusionSettings(engine=choice).engine == choice
