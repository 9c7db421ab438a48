"""From the open page to the downloaded file, and how many clicks that takes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import ROOT, Open, Photos, Server
from tests.e2e.visit import Visit, sha256

BOTH = [(language, width) for language in ("en", "zh") for width in (1440, 390)]


def by_command(models: Path, target: Path, source: Path, output: Path, *options: str) -> bytes:
    """What the command line makes of the same request."""
    environment = os.environ | {
        "STUDIO_CONFIG": os.devnull,
        "STUDIO_MODELS__DIRECTORY": str(models),
        "STUDIO_MODELSCOPE__FOLDER": os.devnull,
    }
    files = ["--target", target, "--source", source, "--output", output]
    subprocess.run(
        [sys.executable, "-m", "studio.cli", "fuse", *map(str, files), *options],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
    )
    return output.read_bytes()


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory, photos: Photos, model_directory: Path) -> str:
    """The hash of the file that the command line makes of the photographs at ratio 0.85."""
    output = tmp_path_factory.mktemp("cli") / "cli.jpg"
    made = by_command(model_directory, photos.target, photos.source, output, "--ratio", "0.85")
    return hashlib.sha256(made).hexdigest()


@pytest.mark.parametrize(("language", "width"), BOTH)
def test_upload_preview_fuse_download(
    visit: Open, photos: Photos, tmp_path: Path, wanted: str, language: str, width: int
) -> None:
    here = visit(language, width)
    page = here.page
    assert page.inner_text("#ff-start") == here.say("start")
    assert page.inner_text("#ff-actions .ff-takes") == here.say("missing_target")
    assert page.is_disabled("#ff-start")
    here.upload("target", photos.target)
    assert "1000 × 1024" in page.inner_text("#ff-target .ff-facts")
    assert page.inner_text("#ff-actions .ff-takes") == here.say("missing_source")
    here.upload("sources", photos.source)
    page.wait_for_selector("#ff-start:not([disabled])")
    here.settle()
    assert page.inner_text("#ff-stage .ff-badge") == here.say("preview")

    here.slide("ratio", 0.85)
    here.settle()
    page.wait_for_function("document.querySelector('#ff-actions .ff-takes').textContent !== ''")
    here.fuse()
    assert page.inner_text("#ff-stage .ff-badge") == here.say("result")
    report = page.inner_text("#ff-stage .ff-report")
    assert here.say("pixels", width=1000, height=1024) in report
    assert here.say("fact_written") in report
    for side in ("before", "after"):
        assert here.shown(side).shape == (1024, 1000, 3)

    fused = here.download(tmp_path)
    assert fused.name == "Mission-photo-1-fused.jpg"
    assert sha256(fused) == wanted
    with Image.open(fused) as picture, Image.open(photos.target) as target:
        assert (picture.format, picture.size) == ("JPEG", (1000, 1024))
        difference = np.abs(np.asarray(picture, float) - np.asarray(target, float))
    assert difference[160:330, 350:530].mean() > 8  # the face is another one
    assert difference[600:, :].mean() < 1.5  # what was not fused looks as before
    assert here.overflow() == 0


def count_clicks(here: Visit) -> None:
    here.page.evaluate(
        """() => {
          window.clicks = 0;
          addEventListener("click", (event) => { window.clicks += event.isTrusted; }, true);
        }"""
    )


def test_the_demo_takes_three_clicks(visit: Open, tmp_path: Path) -> None:
    here = visit()
    count_clicks(here)
    here.page.click("#ff-demo")
    here.page.click("#ff-start:not([disabled])")
    here.done()
    assert here.download(tmp_path).name == "astronaut-fused.jpg"
    assert here.page.evaluate("window.clicks") == 3


def test_a_double_click_loads_the_demo_once(visit: Open) -> None:
    here = visit()
    here.page.dblclick("#ff-demo")
    for role in ("target", "sources"):
        here.ready(role)
        assert here.page.inner_text(f"#ff-{role} .ff-alert") == ""
    here.page.wait_for_selector("#ff-start:not([disabled])")
    assert here.page.evaluate("studio.state.sources.length") == 1


def test_own_files_take_at_most_five_clicks(visit: Open, photos: Photos, tmp_path: Path) -> None:
    here = visit("zh")
    count_clicks(here)
    for role, file in (("target", photos.target), ("sources", photos.source)):
        with here.page.expect_file_chooser() as chooser:
            here.page.click(f"#ff-{role} .ff-drop")
        chooser.value.set_files(file)
    here.page.click("#ff-start:not([disabled])")
    here.done()
    assert here.download(tmp_path).stat().st_size > 0
    assert here.page.evaluate("window.clicks") <= 5


def test_a_deep_picture_with_many_settings_is_the_command_line_s(
    visit: Open, photos: Photos, tmp_path: Path, model_directory: Path
) -> None:
    import tifffile

    target = tmp_path / "deep.tif"
    tifffile.imwrite(target, photos.pixels.astype(np.uint16) * 257, photometric="rgb")
    here = visit()
    here.upload("target", target)
    here.upload("sources", photos.source)
    shown = here.shown("before")
    assert np.abs(shown - photos.pixels).mean() < 4  # a preview made by the server
    controls = {
        "ratio": 0.8,
        "mode": "blend",
        "shape": 0.2,
        "expression": "source",
        "smooth": 0.3,
        "brightness": 0.1,
        "contrast": -0.1,
        "saturation": 0.2,
        "sharpen": 0.4,
        "scope": "face",
        "resolution": "640x512",
        "fit": "pad",
    }
    here.page.evaluate("(values) => studio.setControls(values)", controls)
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.fuse()
    fused = here.download(tmp_path)
    options = [text for name, value in controls.items() for text in (f"--{name}", str(value))]
    same = by_command(model_directory, target, photos.source, tmp_path / "cli.tif", *options)
    assert same == fused.read_bytes()
    assert tifffile.imread(fused).dtype == np.uint16


def test_another_size_can_be_a_square_and_says_so_before_the_start(
    visit: Open, photos: Photos, tmp_path: Path
) -> None:
    here = visit()
    fit = here.part("[data-control=fit]")
    here.upload("target", photos.target)
    here.upload("sources", photos.source)
    assert not fit.is_visible()  # the original size has its own
    here.page.wait_for_selector("[data-control=resolution] >> text=500 × 512")
    here.choose("resolution", "512")
    fit.wait_for()
    here.choose("fit", "crop")
    here.page.wait_for_selector("[data-control=resolution] >> text=512 × 512")
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.fuse()
    report = here.page.inner_text("#ff-stage .ff-report")
    assert here.say("pixels", width=512, height=512) in report
    assert here.say("written_encoded") in report
    before = here.part("#ff-stage .ff-before").bounding_box()
    after = here.part("#ff-stage .ff-after").bounding_box()
    assert before is not None
    assert after is not None
    assert before["width"] == pytest.approx(after["width"], abs=0.6)
    assert before["height"] / before["width"] == pytest.approx(1.024, abs=0.002)
    with Image.open(here.download(tmp_path)) as picture:
        assert picture.size == (512, 512)


def test_automatic_says_what_it_chose(visit: Open) -> None:
    here = visit("zh")
    here.load_demo()
    here.choose("resolution", "auto")
    here.page.wait_for_function("studio.state.controls.resolution === 'auto'")
    here.fuse()
    note = here.page.inner_text("#ff-stage .ff-notes li")
    assert note.endswith("。")
    assert note.startswith("自动选择了")


def test_cancel_and_clear(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.choose("resolution", "4096")
    here.start()
    here.page.wait_for_selector("#ff-stage .ff-stage[data-state=busy]")
    assert here.part("#ff-stage [role=progressbar]").get_attribute("aria-valuenow") is not None
    here.page.click("#ff-cancel")
    here.page.wait_for_selector("#ff-stage .ff-note:not(:empty)")
    assert here.page.inner_text("#ff-stage .ff-note") == here.say("cancelled")
    here.start()
    here.page.wait_for_selector("#ff-cancel")
    here.page.click("#ff-clear")
    here.page.wait_for_selector("#ff-target .ff-picker[data-state=empty]")
    here.page.wait_for_selector("#ff-sources .ff-picker[data-state=empty]")
    here.page.wait_for_selector("#ff-start[disabled]")
    assert here.page.is_hidden("#ff-cancel")
    here.load_demo()
    here.choose("resolution", "original")
    here.fuse()  # the worker was free, and nothing of before came back
    assert here.say("pixels", width=512, height=512) in here.page.inner_text("#ff-stage .ff-report")


def test_progress_is_told_with_its_stage_and_the_time_left(visit: Open) -> None:
    here = visit("zh")
    here.load_demo()
    here.fuse()  # the studio knows now how long one takes
    here.choose("resolution", "4096")
    here.page.wait_for_selector("#ff-actions .ff-takes:not(:empty)")
    here.page.evaluate(
        """() => {
          window.told = new Set();
          const look = () => {
            for (const name of ["now", "percent", "remaining"]) {
              window.told.add(document.querySelector(`#ff-stage .ff-${name}`).textContent);
            }
          };
          const changes = { subtree: true, childList: true, characterData: true };
          new MutationObserver(look).observe(document.querySelector("#ff-stage"), changes);
        }"""
    )
    takes = here.page.inner_text("#ff-actions .ff-takes")
    assert "秒" in takes
    here.start()
    here.page.wait_for_selector("#ff-stage .ff-stage[data-state=busy]")
    here.page.wait_for_selector("#ff-stage .ff-stage:not([data-state=busy])", timeout=90_000)
    told = here.page.evaluate("[...window.told]")
    assert here.say("stage_render") in told
    assert any(text.endswith("%") for text in told)
    begin = here.say("remaining", time="").strip()
    assert any(text.startswith(begin) for text in told)


def test_leaving_the_page_frees_the_worker(
    server: Server, visit: Open, photos: Photos, tmp_path: Path
) -> None:
    target = tmp_path / "leaving.jpg"
    target.write_bytes(photos.target.read_bytes())
    leaving = visit()
    leaving.upload("target", target)
    leaving.upload("sources", photos.source)
    leaving.choose("resolution", "4096")
    leaving.page.wait_for_selector("#ff-start:not([disabled])")
    leaving.start()
    leaving.page.wait_for_selector("#ff-stage .ff-stage[data-state=busy]")
    leaving.page.close()
    here = visit()
    here.load_demo()
    here.fuse()
    assert not list(server.storage.rglob("leaving-fused.jpg"))  # it was stopped
    assert here.page.evaluate("studio.call('system').then(({ fusions }) => fusions.running)") == 0
