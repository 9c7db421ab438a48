"""Two languages and three themes, changed without losing anything."""

import re

import pytest

from tests.e2e.conftest import Open
from tests.e2e.visit import Visit

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_browser_s_language_is_the_first(visit: Open, language: str) -> None:
    here = visit(language)
    assert here.page.title() == here.say("title")
    assert here.page.get_attribute("html", "lang") == {"en": "en", "zh": "zh-CN"}[language]
    for tab in ("fuse", "batch", "history", "system", "guide"):
        assert here.page.inner_text(f"#ff-tab-{tab}") == here.say(f"tab_{tab}")


def texts(here: Visit) -> str:
    """All that is to be read in the panel that is shown."""
    text: str = here.page.evaluate("document.querySelector('.ff-panel-tab.ff-shown').innerText")
    return text


@pytest.mark.parametrize("width", [1440, 390])
def test_the_switch_changes_everything_and_loses_nothing(visit: Open, width: int) -> None:
    here = visit("en", width)
    here.load_demo()
    here.slide("ratio", 0.75)
    here.fuse()
    here.part("#ff-stage .ff-views [data-name=sides]").click()
    link = here.page.get_attribute("#ff-stage .ff-download", "href")
    assert not CHINESE.search(texts(here))
    here.page.click("#ff-language")
    here.language = "zh"
    here.page.wait_for_selector("html[lang=zh-CN]")
    assert here.page.title() == here.say("title")
    assert here.page.inner_text("#ff-start") == here.say("start")
    assert here.page.inner_text("#ff-stage .ff-badge") == here.say("result")
    report = here.page.inner_text("#ff-stage .ff-report")
    assert here.say("pixels", width=512, height=512) in report
    assert here.page.get_attribute("#ff-stage .ff-download", "href") == link
    assert here.page.get_attribute("#ff-stage .ff-stage", "data-view") == "sides"
    assert here.controls()["ratio"] == 0.75
    for role in ("target", "sources"):
        here.ready(role)
    for tab in ("batch", "history", "system", "guide"):
        here.show(tab)
        here.page.wait_for_function(
            "/[\\u4e00-\\u9fff]/.test(document.querySelector('.ff-panel-tab.ff-shown').innerText)"
        )
        assert here.overflow() == 0
    here.page.click("#ff-language")
    here.language = "en"
    for tab in ("system", "history", "batch", "guide", "fuse"):
        here.show(tab)
        here.page.wait_for_timeout(100)
        assert not CHINESE.search(texts(here)), tab
    here.page.click("#ff-language")
    here.open()  # the choice is remembered
    assert here.page.title() == "人脸融合工作室"


def test_the_theme_can_be_chosen(visit: Open) -> None:
    here = visit(color_scheme="dark")

    def is_dark() -> bool:
        value: bool = here.page.evaluate("document.body.classList.contains('dark')")
        return value

    button = here.part("#ff-frame .ff-theme")
    assert is_dark()
    label = button.get_attribute("aria-label")
    assert label == here.say("theme_label", name=here.say("theme_system"))
    button.click()
    assert not is_dark()
    here.open()
    assert not is_dark()  # remembered
    button.click()
    assert is_dark()
    button.click()  # like the system's again
    here.page.emulate_media(color_scheme="light")
    here.page.wait_for_function("!document.body.classList.contains('dark')")
