"""The tab that tells how the studio and its machine are."""

import re

import pytest

from tests.e2e.conftest import Open


@pytest.mark.parametrize(("language", "width"), [("en", 390), ("zh", 1440)])
def test_it_tells_engine_machine_queue_models_and_limits(
    visit: Open, language: str, width: int
) -> None:
    here = visit(language, width)
    here.show("system")
    here.page.wait_for_selector("#ff-system .ff-system[data-state=told]")
    cards = here.part("#ff-system .ff-system-card h3").all_inner_texts()
    names = ("engine", "machine", "queue", "models", "limits", "versions")
    assert cards == [here.say(f"system_{name}") for name in names]
    text = here.page.inner_text("#ff-system")
    assert "3.0 MB" in text or "3 MB" in text  # the limit of uploads
    assert "Gradio" in text
    assert "./run.sh models download" in text
    meters = here.part("#ff-system [role=meter]")
    assert meters.count() >= 4
    for index in range(meters.count()):
        assert meters.nth(index).get_attribute("aria-valuetext")
    assert here.overflow() == 0


def test_it_is_refreshed_while_it_is_shown(visit: Open) -> None:
    here = visit()
    here.page.evaluate(
        """() => {
          window.asked = 0;
          const call = studio.call;
          studio.call = (name, values) => {
            window.asked += name === "system";
            return call(name, values);
          };
        }"""
    )
    here.show("system")
    here.page.wait_for_function("window.asked >= 2", timeout=15_000)
    here.show("fuse")
    asked = here.page.evaluate("window.asked")
    here.page.wait_for_timeout(5500)
    assert here.page.evaluate("window.asked") == asked


def test_the_report_and_the_commands_can_be_copied(visit: Open) -> None:
    here = visit(permissions=["clipboard-read", "clipboard-write"])
    here.show("system")
    here.page.wait_for_selector("#ff-system .ff-system[data-state=told]")
    here.page.click("#ff-system .ff-system-copy")
    here.page.wait_for_selector(f"#ff-system .ff-system-copy >> text={here.say('system_copied')}")
    report = here.page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"Python\D+\d+\.\d+", report, re.IGNORECASE)
    here.page.click("#ff-system .ff-system-command button >> nth=0")
    here.page.wait_for_function(
        "navigator.clipboard.readText().then((text) => text.startsWith('./run.sh'))"
    )
