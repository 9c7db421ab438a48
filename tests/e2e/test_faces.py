"""Several faces, several sources, and which goes where."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from tests.e2e.conftest import Open, Photos


def changed(fused: Path, before: Path) -> Any:
    with Image.open(fused) as one, Image.open(before) as other:
        return np.abs(np.asarray(one, int) - np.asarray(other, int)).sum(axis=2)


LEFT, RIGHT = (slice(60, 190), slice(100, 220)), (slice(60, 190), slice(380, 500))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_target_faces_are_chosen_by_clicking_them(
    visit: Open, photos: Photos, tmp_path: Path, language: str
) -> None:
    here = visit(language)
    here.upload("target", photos.two)
    here.upload("sources", photos.source)
    faces = here.part("#ff-target button.ff-face")
    assert faces.count() == 2
    assert here.part("#ff-sources button.ff-face").count() == 0  # no choice of one
    assert [faces.nth(n).get_attribute("aria-label") for n in range(2)] == [
        here.say("face", number=1),
        here.say("face", number=2),
    ]

    def pressed() -> list[str | None]:
        return [faces.nth(n).get_attribute("aria-pressed") for n in range(2)]

    assert pressed() == ["true", "false"]
    assert faces.nth(0).inner_text() == "1"
    faces.nth(0).click()
    here.page.wait_for_selector("#ff-start[disabled]")
    assert here.page.inner_text("#ff-actions .ff-takes") == here.say("missing_face")
    faces.nth(0).focus()
    here.page.keyboard.press("Enter")
    assert pressed() == ["true", "false"]
    here.page.click("#ff-target .ff-all")
    assert pressed() == ["true", "true"]
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.fuse()
    difference = changed(here.download(tmp_path), photos.two)
    for face in (LEFT, RIGHT):
        assert (difference[face] > 30).mean() > 0.05
    assert difference[:, 260:340].max() == 0  # between the two


@pytest.mark.parametrize(("language", "width"), [("en", 390), ("zh", 1440)])
def test_each_face_can_have_a_source_of_its_own(
    visit: Open, photos: Photos, tmp_path: Path, language: str, width: int
) -> None:
    """The astronaut herself as a source in natural and in blue colours."""
    other = tmp_path / "herself.png"
    Image.fromarray(photos.pixels).save(other)
    here = visit(language, width)
    here.upload("target", photos.two)
    here.page.click("#ff-target .ff-all")
    here.upload("sources", [photos.source, other])
    here.page.wait_for_function("studio.state.sources.length === 2")
    letters = here.part("#ff-sources button.ff-face .ff-tag")
    assert letters.all_inner_texts() == ["A", "B"]
    here.part("#ff-sources .ff-pairs").wait_for()
    selects = here.part("#ff-sources .ff-pair select")
    assert selects.count() == 2
    assert selects.nth(0).inner_text().splitlines()[0] == here.say("pair_best")
    names = here.page.evaluate("studio.state.sources.map(({ name }) => name)")
    someone = names.index("someone.png")
    here.settle()

    def assigned(first: int, second: int) -> Any:
        selects.nth(0).select_option(str(first))
        selects.nth(1).select_option(str(second))
        here.page.wait_for_function(f"studio.wish().faces.join() === '{first},0,{second},1'")
        here.settle()
        here.page.wait_for_timeout(300)
        here.settle()
        return here.shown("after")

    plain = here.shown("before")
    straight, crossed = assigned(someone, 1 - someone), assigned(1 - someone, someone)
    boxes = here.page.evaluate("studio.state.target.faces")
    for index, (more, less) in enumerate(((straight, crossed), (crossed, straight))):
        box = boxes[index]
        rows = slice(int(box["y"] * 3), int((box["y"] + box["h"]) * 3))
        columns = slice(int(box["x"] * 6), int((box["x"] + box["w"]) * 6))
        assert np.abs(more - less)[rows, columns].mean() > 3  # another person's face
        assert np.abs(more - plain)[rows, columns].mean() > 5
    # A click on a source's face gives it to all chosen faces, and a second takes it back.
    here.part("#ff-sources button.ff-face").nth(1).click()
    assert here.page.evaluate("studio.wish().faces") == [[1, 0], [1, 1]]
    here.part("#ff-sources button.ff-face").nth(1).click()
    assert here.page.evaluate("studio.wish().faces") == [[None, 0], [None, 1]]
    here.page.click("#ff-sources .ff-photo .ff-remove >> nth=0")
    here.page.wait_for_function("studio.state.sources.length === 1")
    assert here.part("#ff-sources .ff-pairs").is_hidden()
    assert here.overflow() == 0


def test_another_threshold_looks_again(visit: Open, photos: Photos, tmp_path: Path) -> None:
    dim = tmp_path / "dim.png"
    with Image.open(photos.two) as two:
        right = two.crop((300, 0, 600, 300)).filter(ImageFilter.GaussianBlur(3))
        two.paste(ImageEnhance.Brightness(right).enhance(0.4), (300, 0))
        two.save(dim)
    here = visit()
    here.upload("target", dim)
    here.upload("sources", photos.source)
    assert here.part("#ff-target .ff-face").count() == 2
    here.unfold("face")
    here.slide("threshold", 0.9)
    here.page.wait_for_function("studio.state.target.threshold === 0.9")
    assert here.part("#ff-target .ff-face").count() == 1
    here.page.wait_for_function("studio.state.sources[0].threshold === 0.9")
    here.page.wait_for_selector("#ff-start:not([disabled])")


def test_photographs_can_be_removed_and_replaced(visit: Open, photos: Photos) -> None:
    here = visit("zh")
    here.load_demo()
    here.settle()
    with here.page.expect_file_chooser() as chooser:
        here.page.click("#ff-target .ff-replace")
    chooser.value.set_files(photos.two)
    here.page.wait_for_function("studio.state.target?.name === 'two.png'")
    here.page.click("#ff-target .ff-remove")
    here.page.wait_for_selector("#ff-target .ff-picker[data-state=empty]")
    here.page.wait_for_selector("#ff-stage .ff-stage[data-state=empty]")
    assert here.page.inner_text("#ff-actions .ff-takes") == here.say("missing_target")
    here.page.click("#ff-sources .ff-photo .ff-remove")
    here.page.wait_for_selector("#ff-sources .ff-picker[data-state=empty]")
