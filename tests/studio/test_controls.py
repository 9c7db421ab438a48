import os
from pathlib import Path

import pytest

from common.errors import OptionError
from common.settings import Settings, load_settings
from fusion.request import Blend, Finish, Network
from preprocess.image_format import NAMES
from preprocess.resolution import AUTO
from studio.service.controls import FORMATS, SUFFIXES, Controls

SETTINGS = load_settings(Path(os.devnull), {})


def settings(**variables: str) -> Settings:
    return load_settings(Path(os.devnull), {f"STUDIO_{name}": it for name, it in variables.items()})


def test_the_defaults_are_what_the_settings_say() -> None:
    own = settings(
        FUSION__RATIO="0.3",
        FUSION__MODE="overlay",
        FUSION__KEEP_GLASSES="false",
        OUTPUT__QUALITY="80",
        DETECTION__THRESHOLD="0.4",
        MODELSCOPE__BOOST="2",
    )
    defaults = Controls.defaults(own)
    assert (defaults.ratio, defaults.mode, defaults.keep_glasses) == (0.3, "overlay", False)
    assert (defaults.quality, defaults.threshold, defaults.boost) == (80, 0.4, 2)
    assert Controls.read({}, own) == defaults


def test_the_official_composite_of_the_settings_has_neither_boost_nor_enhance() -> None:
    own = settings(
        MODELSCOPE__COMPOSITE="official", MODELSCOPE__BOOST="2", MODELSCOPE__ENHANCE="0.5"
    )
    defaults = Controls.defaults(own)
    assert (defaults.composite, defaults.boost, defaults.enhance) == ("official", None, None)
    assert defaults.blend(neural=True).network == Network("official")


def test_what_is_not_named_stays_at_its_default() -> None:
    controls = Controls.read({"ratio": 0.9, "smooth": 0.2}, SETTINGS)
    assert controls == Controls.defaults(SETTINGS).model_copy(update={"ratio": 0.9, "smooth": 0.2})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ratio", 1.5, "0 to 1"),
        ("ratio", float("nan"), "finite"),
        ("ratio", "strong", "ratio"),
        ("mode", "screen", "normal, blend, overlay"),
        ("expression", "mine", "target, source"),
        ("keep_glasses", "perhaps", "keep_glasses"),
        ("smooth", -0.1, "0 to 1"),
        ("brightness", 0.6, "-0.5 to 0.5"),
        ("scope", "hair", "image, face"),
        ("resolution", "3000", "512, 1024, 2048, 4096"),
        ("resolution", "8x8", "16 to 65535"),
        ("fit", "squeeze", "keep, pad, crop"),
        ("format", "bmp", "same, jpeg"),
        ("quality", 0, "1 to 100"),
        ("metadata", "some", "keep, remove"),
        ("threshold", 0.95, "0.1 to 0.9"),
        ("composite", "mine", "studio, official"),
        ("boost", 3, "boost"),
        ("enhance", 2.0, "0 to 1"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_would_be_accepted(
    name: str, value: object, told: str
) -> None:
    with pytest.raises(OptionError) as refused:
        Controls.read({name: value}, SETTINGS)
    assert told in refused.value.message


def test_an_unknown_control_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"no control 'glow'; there are: ratio, mode, .*enhance"):
        Controls.read({"glow": 1}, SETTINGS)


def test_boost_is_not_for_the_official_composite() -> None:
    with pytest.raises(OptionError, match="composite official"):
        Controls.read({"composite": "official", "boost": 2}, SETTINGS)


def test_the_groups_of_a_request_carry_every_control() -> None:
    controls = Controls.read(
        {
            "ratio": 0.7,
            "mode": "blend",
            "shape": 0.1,
            "expression": "source",
            "keep_glasses": False,
            "smooth": 0.2,
            "brightness": 0.1,
            "contrast": -0.1,
            "saturation": 0.3,
            "sharpen": 0.4,
            "scope": "face",
            "resolution": "auto",
            "fit": "crop",
            "quality": 70,
            "metadata": "remove",
            "boost": 4,
            "enhance": 0.5,
        },
        SETTINGS,
    )
    network = Network("studio", 4, 0.5)
    assert controls.blend(neural=True) == Blend(0.7, "blend", 0.1, "source", False, network)
    assert controls.blend(neural=False) == Blend(0.7, "blend", 0.1, "source", False)
    assert controls.finish() == Finish(0.2, 0.1, -0.1, 0.3, 0.4, "face")
    output = controls.output(Path("out.webp"))
    assert (output.path, output.resolution, output.fit) == (Path("out.webp"), AUTO, "crop")
    assert (output.quality, output.metadata, output.graft) == (70, "remove", "auto")


@pytest.mark.parametrize("kind", sorted(SUFFIXES))
def test_a_result_has_the_suffix_of_its_target_unless_another_format_is_chosen(kind: str) -> None:
    assert Controls().suffix(kind) == SUFFIXES[kind]
    assert Controls(format="webp").suffix(kind) == ".webp"


def test_every_format_that_can_be_written_can_be_chosen() -> None:
    assert set(FORMATS) == {"same", *NAMES} - {"gif"}
