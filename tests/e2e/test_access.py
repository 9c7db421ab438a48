"""Everything by keyboard, for every reader, on every screen."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.conftest import Open, Photos
from tests.e2e.visit import Visit

SERIOUS = ("serious", "critical")
TABS = ("batch", "history", "system", "guide")


def violations(here: Visit) -> list[str]:
    """What axe-core finds that keeps people out, as lines that can be read."""
    options = {"resultTypes": ["violations"]}
    response = Axe().run(here.page, options=options).response
    assert len(response["passes"]) > 10  # it did look
    found = response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


def empty(here: Visit) -> None:
    here.page.wait_for_selector("#ff-stage .ff-stage[data-state=empty]")


def shown(here: Visit) -> None:
    here.load_demo()
    here.settle()
    for group in ("face", "finish", "engine", "file"):
        here.unfold(group)


def busy(here: Visit) -> None:
    here.choose("resolution", "4096")
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.start()
    here.page.wait_for_selector("#ff-stage .ff-stage[data-state=busy]")


def cancelled(here: Visit) -> None:
    here.page.keyboard.press("Escape")  # it may have ended by itself meanwhile
    here.page.wait_for_selector("#ff-stage .ff-stage:not([data-state=busy])")
    here.choose("resolution", "original")


def done(here: Visit) -> None:
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.fuse()


def close(here: Visit) -> None:
    here.part("#ff-stage .ff-zooms [data-name=full]").click()
    here.page.wait_for_selector("#ff-stage .ff-after[src^='data:image/jpeg']")


def failed(here: Visit) -> None:
    bad = Path(__file__)
    here.give("target", bad)
    here.alert("target")


FUSE: tuple[Callable[[Visit], None], ...] = (empty, shown, busy, cancelled, done, close, failed)


@pytest.mark.parametrize(
    ("language", "width", "theme"),
    [("en", 1440, "light"), ("zh", 390, "dark"), ("en", 390, "light"), ("zh", 1440, "dark")],
)
def test_nothing_keeps_people_out_and_nothing_scrolls_sideways(
    visit: Open, language: str, width: int, theme: str
) -> None:
    here = visit(language, width, 844, color_scheme=theme, reduced_motion="reduce")
    problems: dict[str, list[str]] = {}
    for state in FUSE:
        state(here)
        if found := violations(here):
            problems[state.__name__] = found
        assert here.overflow() == 0, state.__name__
    for tab in TABS:
        here.show(tab)
        here.page.wait_for_load_state("networkidle")
        if found := violations(here):
            problems[tab] = found
        assert here.overflow() == 0, tab
    assert problems == {}


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1440, 1920])
def test_nothing_scrolls_sideways_at_any_width(visit: Open, width: int) -> None:
    here = visit("en", width, 844)
    for tab in ("fuse", *TABS):
        here.show(tab)
        assert here.overflow() == 0, tab


@pytest.mark.parametrize("width", [390, 1440])
def test_the_picture_is_beside_the_photographs_where_there_is_room(visit: Open, width: int) -> None:
    here = visit("en", width)
    here.load_demo()
    target, stage = (
        here.part(name).bounding_box() for name in ("#ff-target .ff-picker", "#ff-stage .ff-mat")
    )
    assert target is not None
    assert stage is not None
    side_by_side = stage["x"] >= target["x"] + target["width"]
    below = stage["y"] >= target["y"] + target["height"]
    assert (side_by_side, below) == ((False, True) if width == 390 else (True, False))


def focused(here: Visit) -> str:
    """What has the focus: its id, or its classes."""
    name: str = here.page.evaluate(
        "document.activeElement.id || document.activeElement.className || 'body'"
    )
    return name


def tab_to(here: Visit, selector: str, most: int = 80) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(most):
        here.page.keyboard.press("Tab")
        if here.page.evaluate("(one) => document.activeElement.matches(one)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab; the focus is on {focused(here)}")


def test_from_load_to_download_by_keyboard(visit: Open, photos: Photos, tmp_path: Path) -> None:
    here = visit()
    # Known to the browser from now on, not only when a key has opened the dialog already.
    here.page.on("filechooser", lambda _: None)
    keys = here.page.keyboard
    keys.press("Tab")
    assert here.page.evaluate("document.activeElement.classList.contains('ff-skip')")
    tab_to(here, "#ff-tab-fuse")
    keys.press("ArrowRight")
    here.page.wait_for_selector("#ff-panel-batch.ff-shown")
    assert focused(here) == "ff-tab-batch"
    keys.press("Home")
    here.page.wait_for_selector("#ff-panel-fuse.ff-shown")
    for role, file in (("target", photos.target), ("sources", photos.source)):
        tab_to(here, f"#ff-{role} .ff-drop")
        with here.page.expect_file_chooser() as chooser:
            keys.press("Enter")
        chooser.value.set_files(file)
        here.ready(role)
    here.settle()
    tab_to(here, "[data-control=ratio] input[type=range]")
    keys.press("ArrowRight")
    assert here.controls()["ratio"] > 0.6
    here.page.wait_for_selector("#ff-start:not([disabled])")
    keys.press("Shift+Enter")
    here.page.wait_for_selector("#ff-stage .ff-stage[data-state=busy]")
    here.done()
    tab_to(here, "#ff-stage .ff-download")
    with here.page.expect_download() as waiting:
        keys.press("Enter")
    assert waiting.value.suggested_filename == "Mission-photo-1-fused.jpg"


def test_escape_cancels(visit: Open) -> None:
    here = visit("zh")
    here.load_demo()
    here.choose("resolution", "4096")
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.page.keyboard.press("Shift+Enter")
    here.page.wait_for_selector("#ff-cancel:visible")
    here.page.wait_for_selector("#ff-stage .ff-stage[data-state=busy]")
    here.page.keyboard.press("Escape")
    here.page.wait_for_selector("#ff-stage .ff-note:not(:empty)")
    assert here.page.inner_text("#ff-stage .ff-note") == here.say("cancelled")


def test_the_focus_can_be_seen_everywhere(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.settle()
    unseen = []
    seen = set()
    here.part(".ff-skip").focus()
    for _ in range(80):
        here.page.keyboard.press("Tab")
        name = here.page.evaluate(
            """() => {
              const one = document.activeElement;
              if (one === document.body) return null;
              const marks = (element) => {
                const style = getComputedStyle(element);
                return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1)
                  || style.boxShadow !== "none";
              };
              const around = [one, one.parentElement, one.closest(".ff-compare, label")];
              const label = `${one.tagName}.${one.className}#${one.id}`;
              return [label, around.some((element) => element && marks(element))];
            }"""
        )
        if name is None:
            break
        seen.add(name[0])
        if not name[1]:
            unseen.append(name[0])
    assert unseen == []
    assert len(seen) > 15


def test_targets_for_fingers_are_large_enough(visit: Open) -> None:
    here = visit("zh", 390, 844, has_touch=True, is_mobile=True)
    here.load_demo()
    small = here.page.evaluate(
        """() => [...document.querySelectorAll(
            ".ff-shown button, .ff-shown select, .ff-frame-head button, .ff-shown summary")]
          .filter((one) => one.checkVisibility() && !one.disabled && !one.matches(".ff-face"))
          .map((one) => [one.className || one.id, one.getBoundingClientRect()])
          .filter(([, box]) => box.width > 1 && (box.height < 24 || box.width < 24))
          .map(([name, box]) => `${name} ${Math.round(box.width)}x${Math.round(box.height)}`)"""
    )
    assert small == []  # WCAG 2.2, 2.5.8
    for name in ("#ff-start", "#ff-target .ff-replace", "#ff-tab-guide"):
        box = here.part(name).bounding_box()
        assert box is not None
        assert box["height"] >= 40
