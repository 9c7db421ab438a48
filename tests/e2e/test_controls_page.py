"""The controls: each changes what is sent, explains itself and goes back."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Open
from tests.e2e.visit import Visit

GROUPS = ("face", "finish", "engine", "file")


def wait_for(here: Visit, name: str, value: object) -> None:
    here.page.wait_for_function(
        "([name, value]) => studio.state.controls[name] === value", arg=[name, value]
    )


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("zh", 390)])
def test_every_control_changes_and_resets(visit: Open, language: str, width: int) -> None:
    here = visit(language, width)
    here.load_demo()
    for group in GROUPS:
        here.unfold(group)
    defaults = here.controls()
    sliders = {
        "ratio": 0.3,
        "shape": 0.8,
        "threshold": 0.4,
        "smooth": 0.5,
        "brightness": -0.2,
        "contrast": 0.2,
        "saturation": 0.1,
        "sharpen": 0.6,
    }
    for name, value in sliders.items():
        here.slide(name, value)
        wait_for(here, name, value)
    choices = {
        "resolution": "1024",
        "fit": "pad",
        "mode": "blend",
        "expression": "source",
        "scope": "face",
        "metadata": "remove",
    }
    for name, value in choices.items():
        here.choose(name, value)
        wait_for(here, name, value)
    here.part("[data-control=keep_glasses] input").click()
    wait_for(here, "keep_glasses", False)
    here.part("[data-control=format] select").select_option("webp")
    here.part("[data-control=quality] input[type=checkbox]").uncheck()
    here.slide("quality", 70)
    wait_for(here, "quality", 70)
    changed = here.controls()
    assert {name for name in defaults if changed[name] != defaults[name]} >= {
        *sliders,
        *choices,
        "keep_glasses",
        "format",
        "quality",
    }
    visible = here.part("#ff-controls .ff-c-control:visible")
    for index in range(visible.count()):
        control = visible.nth(index)
        assert control.locator(".ff-c-info").inner_text().endswith((".", "。"))
    assert here.overflow() == 0
    reset = here.part("[data-control=brightness] .ff-c-reset")
    assert here.say("controls_brightness") in (reset.get_attribute("aria-label") or "")
    reset.click()
    wait_for(here, "brightness", defaults["brightness"])
    assert reset.is_hidden()
    here.page.click("#ff-controls .ff-c-reset-all")
    here.page.wait_for_function(
        "JSON.stringify(studio.state.controls) === JSON.stringify(studio.data.defaults)"
    )
    assert here.part("#ff-controls .ff-c-reset-all").is_hidden()


def test_numbers_can_be_typed_and_wrong_ones_are_marked(visit: Open) -> None:
    here = visit()
    number = here.part("[data-control=ratio] input[type=number]")
    number.fill("0.33")
    wait_for(here, "ratio", 0.33)
    number.fill("7")
    assert number.get_attribute("aria-invalid") == "true"
    number.blur()
    assert number.input_value() == "0.33"
    assert here.controls()["ratio"] == 0.33
    slider = here.part("[data-control=ratio] input[type=range]")
    slider.dblclick()
    wait_for(here, "ratio", 0.6)
    here.choose("resolution", "custom")
    sides = here.part("[data-control=resolution] .ff-c-sides input")
    sides.nth(0).fill("640")
    sides.nth(1).fill("480")
    wait_for(here, "resolution", "640x480")
    sides.nth(1).fill("3")
    assert here.controls()["resolution"] == "640x480"
    assert here.part("[data-control=resolution] .ff-c-wrong").inner_text()


PRESETS = {
    "social": {
        "ratio": 0.5,
        "smooth": 0.4,
        "brightness": 0.1,
        "contrast": 0.05,
        "resolution": "512",
    },
    "art": {"ratio": 0.7, "mode": "blend", "smooth": 0.3, "saturation": 0.2, "resolution": "1024"},
    "old": {"ratio": 0.6, "smooth": 0.6, "brightness": 0.15, "contrast": 0.1, "resolution": "2048"},
    "print": {"ratio": 0.8, "resolution": "original"},
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_presets_set_what_they_name(visit: Open, language: str) -> None:
    here = visit(language)
    chips = here.part("#ff-presets .ff-p-chip")
    names = chips.evaluate_all("all => all.map((one) => one.dataset.preset)")
    assert len(names) == len(PRESETS)
    for name, (index, values) in zip(names, enumerate(PRESETS.values()), strict=True):
        chips.nth(index).click()
        now = here.controls()
        assert {key: now[key] for key in values} == values, name
        assert chips.nth(index).get_attribute("aria-pressed") == "true"
    here.slide("ratio", 0.11)
    assert here.say("controls_preset_changed") in chips.nth(3).inner_text()
    assert chips.nth(3).get_attribute("aria-pressed") == "false"


def test_own_presets_are_saved_in_the_browser(visit: Open, tmp_path: Path) -> None:
    here = visit()
    here.slide("ratio", 0.22)
    here.page.click("#ff-presets [data-act=save]")
    here.page.fill("#ff-presets .ff-p-name", "Grandma")
    here.page.keyboard.press("Enter")
    mine = here.part("#ff-presets [data-preset='own:Grandma']")
    assert mine.get_attribute("aria-pressed") == "true"
    here.open()
    here.part("#ff-presets .ff-p-chip").nth(0).click()
    mine.click()
    wait_for(here, "ratio", 0.22)
    here.page.click("#ff-presets [data-act=save]")
    with here.page.expect_download() as waiting:
        here.part("#ff-presets .ff-p-form .ff-p-link").nth(0).click()
    exported = tmp_path / "presets.json"
    waiting.value.save_as(exported)
    assert json.loads(exported.read_text())["presets"][0]["name"] == "Grandma"
    here.part("#ff-presets .ff-p-name").focus()
    here.page.keyboard.press("Escape")
    here.page.click("#ff-presets [data-act=delete]")
    assert mine.count() == 0
    here.page.click("#ff-presets .ff-p-said button")  # taken back
    assert mine.count() == 1
    here.page.click("#ff-presets [data-act=delete]")
    here.page.click("#ff-presets [data-act=save]")
    here.page.set_input_files("#ff-presets .ff-p-form input[type=file]", exported)
    mine.wait_for()


def test_what_is_stored_wrongly_does_no_harm(visit: Open) -> None:
    here = visit()
    here.page.evaluate(
        """() => {
          const presets = [{ name: 7 }, null, { name: "x", values: { ratio: 9 } }];
          localStorage.setItem("ff-presets", JSON.stringify(presets));
          localStorage.setItem("ff-preset", "{");
          localStorage.setItem("ff-language", '"fr"');
          localStorage.setItem("ff-theme", "[]");
          localStorage.setItem("ff-controls-open", "7");
        }"""
    )
    here.open()
    assert here.part("#ff-presets .ff-p-chip").count() == len(PRESETS)
    assert here.page.inner_text("#ff-start") == here.say("start")


def test_a_size_above_the_limit_is_said_to_be(visit: Open) -> None:
    here = visit("zh")
    here.load_demo()
    here.page.evaluate("studio.setControls({ resolution: '60000x60000', fit: 'pad' })")
    here.page.wait_for_selector("#ff-start[disabled]")
    said = here.page.inner_text("#ff-actions .ff-takes")
    assert "60000" in said
    assert said.endswith("。")
