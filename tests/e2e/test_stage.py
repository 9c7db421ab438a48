"""What is seen on the right: the live preview, before and after, every pixel of the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Open, Photos
from tests.e2e.visit import Visit, pixels_of


def region(here: Visit, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Where the first face of the target lies in a picture of that shape."""
    box = here.page.evaluate("studio.state.target.faces[0]")
    height, width = shape[0] / 100, shape[1] / 100
    return (
        slice(int(box["y"] * height), int((box["y"] + box["h"]) * height)),
        slice(int(box["x"] * width), int((box["x"] + box["w"]) * width)),
    )


def after(here: Visit) -> Any:
    """The preview of the controls as they are."""
    here.page.wait_for_timeout(50)
    here.settle()
    return here.shown("after")


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("zh", 390)])
def test_sliders_change_the_preview_in_the_face(visit: Open, language: str, width: int) -> None:
    here = visit(language, width)
    here.load_demo()
    here.slide("ratio", 0.0)
    untouched = after(here)
    assert np.abs(untouched - here.shown("before")).mean() < 3
    here.slide("ratio", 1.0)
    fused = after(here)
    face = region(here, fused.shape)
    difference = np.abs(fused - untouched)
    assert difference[face].mean() > 8
    assert difference[400:].mean() < 0.5
    here.unfold("finish")
    here.slide("brightness", 0.3)
    bright = after(here)
    assert (bright - fused)[400:].mean() > 10  # the whole image, as its scope says
    here.choose("scope", "face")
    assert np.abs(after(here) - fused)[400:].mean() < 0.5
    assert here.overflow() == 0


def test_the_newest_of_many_moves_is_what_stays(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.slide("ratio", 0.4)
    wanted = after(here)
    here.page.evaluate(
        """async () => {
          for (let step = 0; step <= 30; step += 1) {
            studio.setControls({ ratio: step / 30 });
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
          studio.setControls({ ratio: 0.4 });
        }"""
    )
    assert np.array_equal(after(here), wanted)
    here.page.wait_for_timeout(400)  # nothing of before comes late
    assert np.array_equal(after(here), wanted)


def test_the_divider_moves_by_pointer_and_by_keyboard(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.settle()
    box = here.part("#ff-stage .ff-compare").bounding_box()
    assert box is not None
    x, y = box["x"], box["y"] + 0.5 * box["height"]
    here.page.mouse.move(x + 0.75 * box["width"], y)
    here.page.mouse.down()
    divider = here.part("#ff-stage .ff-range")
    assert float(divider.input_value()) == pytest.approx(75, abs=1)
    here.page.mouse.move(x + 0.25 * box["width"], y)
    here.page.mouse.up()
    assert float(divider.input_value()) == pytest.approx(25, abs=1)
    divider.focus()
    here.page.keyboard.press("ArrowRight")
    assert float(divider.input_value()) == pytest.approx(26, abs=1)
    here.page.keyboard.press("End")
    assert float(divider.input_value()) == 100
    here.page.keyboard.press("Home")
    clip = here.part("#ff-stage .ff-side-after").evaluate("i => getComputedStyle(i).clipPath")
    assert clip in ("inset(0px)", "inset(0px 0px 0px 0%)")


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("zh", 390)])
def test_pictures_can_be_seen_side_by_side(visit: Open, language: str, width: int) -> None:
    here = visit(language, width)
    here.load_demo()
    here.settle()
    views = here.part("#ff-stage .ff-views")
    assert views.get_attribute("aria-label") == here.say("view_mode")
    views.get_by_role("radio", name=here.say("view_sides")).click()
    boxes = [here.part(f"#ff-stage .ff-{side}").bounding_box() for side in ("before", "after")]
    left, right = boxes
    assert left is not None
    assert right is not None
    assert right["x"] >= left["x"] + left["width"]
    assert right["width"] == pytest.approx(left["width"], abs=1)
    assert left["width"] / left["height"] == pytest.approx(1, abs=0.02)
    assert here.overflow() == 0
    here.page.keyboard.press("ArrowRight")
    assert here.part("#ff-stage .ff-before").is_hidden()
    chosen = views.locator("[aria-checked=true]")
    assert chosen.inner_text() == here.say("view_after")
    assert chosen.evaluate("one => one === document.activeElement")


def zoom_in(here: Visit) -> dict[str, int]:
    """Look at 100 %; the part of the file that is seen."""
    with here.page.expect_request(
        lambda sent: "close_up" in (sent.post_data or "") and '"after"' in (sent.post_data or "")
    ) as waiting:
        here.part("#ff-stage .ff-zooms [data-name=full]").click()
    data: dict[str, int] = waiting.value.post_data_json["data"]
    seen(here)
    return data


def seen(here: Visit) -> None:
    """Wait until both close-ups are there."""
    for side in ("before", "after"):
        sign = f"#ff-stage .ff-{side}[src^='data:image/jpeg']"
        here.page.wait_for_selector(sign, state="attached")
    here.page.wait_for_load_state("networkidle")


@pytest.mark.parametrize(("language", "width"), [("en", 1440), ("zh", 390)])
def test_a_hundred_percent_shows_the_file_s_own_pixels(
    visit: Open, photos: Photos, tmp_path: Path, language: str, width: int
) -> None:
    here = visit(language, width)
    here.upload("target", photos.target)
    here.upload("sources", photos.source)
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.fuse()
    part = zoom_in(here)
    with Image.open(here.download(tmp_path)) as fused, Image.open(photos.target) as target:
        files = {"after": np.asarray(fused, int), "before": np.asarray(target, int)}

    def check(part: dict[str, int]) -> None:
        rows = slice(part["y"], part["y"] + part["height"])
        columns = slice(part["x"], part["x"] + part["width"])
        for side, pixels in files.items():
            shown = here.shown(side)
            assert shown.shape == (part["height"], part["width"], 3)
            assert np.abs(shown - pixels[rows, columns]).mean() < 2.5
            box = here.part(f"#ff-stage .ff-{side}").bounding_box()
            assert box is not None
            assert (box["width"], box["height"]) == (part["width"], part["height"])

    check(part)
    face = here.page.evaluate("studio.state.target.faces[0]")
    for at, length, side, whole in (("x", "w", "width", 1000), ("y", "h", "height", 1024)):
        middle = (face[at] + face[length] / 2) / 100 * whole  # as far as the picture reaches
        wanted = min(max(0, middle - part[side] / 2), whole - part[side])
        assert part[at] == pytest.approx(wanted, abs=10)

    # Drag: the picture follows the pointer.
    here.part("#ff-stage .ff-views [data-name=after]").click()
    seen(here)
    here.part("#ff-stage .ff-compare").scroll_into_view_if_needed()
    box = here.part("#ff-stage .ff-compare").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    with here.page.expect_request(lambda sent: '"after"' in (sent.post_data or "")) as waiting:
        here.page.mouse.move(x, y)
        here.page.mouse.down()
        here.page.mouse.move(x + 30, y - 60, steps=4)
        here.page.mouse.up()
    moved = waiting.value.post_data_json["data"]
    assert moved["y"] == min(part["y"] + 60, 1024 - part["height"])
    assert moved["x"] == max(0, part["x"] - 30)
    with here.page.expect_request(lambda sent: '"after"' in (sent.post_data or "")) as waiting:
        here.part("#ff-stage .ff-range").focus()
        here.page.keyboard.press("ArrowUp")
    assert waiting.value.post_data_json["data"]["y"] == max(0, moved["y"] - 80)
    here.part("#ff-stage .ff-zooms [data-name=fit]").click()
    assert here.shown("after").shape == (1024, 1000, 3)
    assert here.overflow() == 0


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_before_and_after_lie_on_each_other_in_another_frame(
    visit: Open, photos: Photos, fit: str
) -> None:
    """Ratio 0 leaves the face as it was: both sides must show the same, where both show."""
    here = visit()
    here.upload("target", photos.target)
    here.upload("sources", photos.source)
    here.page.evaluate(
        "(fit) => studio.setControls({ ratio: 0.0, resolution: '1200x700', fit })", fit
    )
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.fuse()
    zoom_in(here)
    here.page.wait_for_timeout(300)
    sides = {}
    for view in ("before", "after"):
        here.page.evaluate(
            """(side) => {
              document.querySelector("#ff-stage .ff-stage").dataset.view = "slider";
              document.querySelector("#ff-stage .ff-range").value = side === "before" ? 100 : 0;
              document.querySelector("#ff-stage .ff-range").dispatchEvent(new Event("input"));
            }""",
            view,
        )
        sides[view] = screenshot(here)
    height, width, _ = sides["after"].shape
    middle = slice(height // 4, 3 * height // 4), slice(int(0.4 * width), int(0.6 * width))
    assert np.abs(sides["before"] - sides["after"])[middle].mean() < 4


def screenshot(here: Visit) -> Any:
    """What is to be seen of the compared pictures."""
    import io

    taken = here.part("#ff-stage .ff-compare").screenshot()
    with Image.open(io.BytesIO(taken)) as picture:
        return np.asarray(picture.convert("RGB"), int)


def test_changed_settings_are_said_to_be(visit: Open) -> None:
    here = visit("zh")
    here.load_demo()
    here.fuse()
    stale = here.part("#ff-stage .ff-stale")
    assert stale.inner_text() == ""
    before = pixels_of(here.page, "#ff-stage .ff-after")
    here.slide("ratio", 0.1)
    here.page.wait_for_function("document.querySelector('#ff-stage .ff-stale').textContent")
    assert stale.inner_text() == here.say("changed")
    assert here.page.inner_text("#ff-stage .ff-badge") == here.say("preview")
    assert np.abs(after(here) - before).mean() > 0.3
    here.slide("ratio", 0.6)
    here.page.wait_for_function("!document.querySelector('#ff-stage .ff-stale').textContent")
    assert here.page.inner_text("#ff-stage .ff-badge") == here.say("result")


def test_the_result_tells_what_was_decided_and_why(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.fuse()
    facts = here.part("#ff-stage .ff-report dt").all_inner_texts()
    names = ("size", "file", "time", "engine", "written")
    assert facts == [here.say(f"fact_{name}") for name in names]
    why = here.part("#ff-stage .ff-why-box")
    why.locator("summary").click()
    assert "mesh" in why.locator("p").inner_text()


def test_a_preview_is_of_the_photographs_that_are_there(
    visit: Open, photos: Photos, tmp_path: Path
) -> None:
    wall = tmp_path / "wall.png"
    Image.new("RGB", (400, 300), (120, 110, 100)).save(wall)
    here = visit()
    here.load_demo()
    here.settle()
    here.page.click("#ff-sources .ff-photo .ff-remove")
    here.page.wait_for_selector("#ff-sources .ff-picker[data-state=empty]")
    here.page.wait_for_selector("#ff-stage .ff-after:not([src^='data:'])")
    assert np.array_equal(here.shown("after"), here.shown("before"))
    here.upload("sources", photos.source)
    here.settle()
    here.give("target", wall)
    here.page.wait_for_function("studio.state.target?.name === 'wall.png'")
    assert here.shown("after").shape == (300, 400, 3)
