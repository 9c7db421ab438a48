"""The page in a browser, against the real server and the real pipeline."""

import hashlib
import http.client
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import psutil
import pytest
from PIL import Image
from playwright.sync_api import Route

from studio.service.demo import second_person
from tests.e2e.conftest import Server, Visit

Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> tuple[Path, Path]:
    """A target of 1000 x 1024 with a name to be careful about, and a source."""
    folder = tmp_path_factory.mktemp("photos")
    target, source = folder / "Mission photo (1).jpg", folder / "someone.png"
    large = Image.fromarray(astronaut).resize((1000, 1024))
    large.save(target, quality=95)
    Image.fromarray(second_person(astronaut)).save(source)
    return target, source


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_upload_fuse_look_download(
    server: Server, visit: Open, photos: tuple[Path, Path], tmp_path: Path
) -> None:
    here = visit()
    assert here.page.is_disabled("#ff-start")
    here.upload("target", photos[0])
    assert here.page.is_disabled("#ff-start")
    here.upload("source", photos[1])
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.page.click("#ff-start")
    here.stage("done")

    for side in ("before", "after"):
        shown = here.page.locator(f"#ff-stage .ff-{side}")
        assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1000
    report = here.page.inner_text("#ff-stage .ff-report")
    assert "1000 × 1024 px" in report
    assert "mesh" in report
    assert here.page.inner_text("#ff-stage .ff-why").startswith("Engine ")

    with here.page.expect_download() as waiting:
        here.page.click("#ff-stage .ff-download")
    download = waiting.value
    assert download.suggested_filename == "Mission-photo-1-fused.jpg"
    fused = tmp_path / "fused.jpg"
    download.save_as(fused)
    with Image.open(fused) as picture, Image.open(photos[0]) as target:
        assert (picture.format, picture.size) == ("JPEG", (1000, 1024))
        difference = np.abs(np.asarray(picture, float) - np.asarray(target, float))
    assert difference[160:330, 350:530].mean() > 8  # the face is another one
    assert difference[600:, :].mean() < 1.5  # what was not fused looks as before

    uploaded = {sha256(path) for path in server.storage.rglob("*") if path.is_file()}
    assert sha256(photos[0]) in uploaded  # not decoded and encoded again on the way
    assert sha256(photos[1]) in uploaded


def test_the_demo_takes_three_clicks(visit: Open) -> None:
    here = visit()
    here.page.wait_for_selector("#ff-engine p")
    assert here.page.inner_text("#ff-engine").startswith("Engine mesh, because")
    here.load_demo()
    here.page.click("#ff-start")
    here.stage("done")
    with here.page.expect_download() as waiting:
        here.page.click("#ff-stage .ff-download")
    assert waiting.value.suggested_filename == "astronaut-fused.jpg"


def test_the_divider_moves_by_pointer_and_by_keyboard(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.page.click("#ff-start")
    here.stage("done")
    box = here.page.locator("#ff-stage .ff-compare").bounding_box()
    assert box is not None
    here.page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
    divider = here.page.locator("#ff-stage .ff-range")
    assert float(divider.input_value()) == pytest.approx(75, abs=1)
    divider.focus()
    here.page.keyboard.press("ArrowLeft")
    assert float(divider.input_value()) == pytest.approx(74, abs=1)
    clip = here.page.locator("#ff-stage .ff-after").evaluate("i => getComputedStyle(i).clipPath")
    assert "74%" in clip


def test_several_faces_can_be_chosen(
    visit: Open, photos: tuple[Path, Path], tmp_path: Path, astronaut: np.ndarray
) -> None:
    two = tmp_path / "two.png"
    head = Image.fromarray(astronaut).crop((60, 0, 360, 300))
    beside = Image.new("RGB", (600, 300))
    beside.paste(head, (0, 0))
    beside.paste(head.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (300, 0))
    beside.save(two)
    here = visit()
    here.upload("target", two)
    here.upload("source", photos[1])
    faces = here.page.locator("#ff-target button.ff-face")
    assert faces.count() == 2
    assert here.page.locator("#ff-source button.ff-face").count() == 0  # no choice of one
    assert [faces.nth(n).get_attribute("aria-checked") for n in range(2)] == ["true", "false"]
    faces.nth(0).click()
    here.page.wait_for_selector("#ff-start[disabled]")
    faces.nth(0).focus()
    here.page.keyboard.press("Enter")
    faces.nth(1).click()
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.page.click("#ff-start")
    here.stage("done")
    with here.page.expect_download() as waiting:
        here.page.click("#ff-stage .ff-download")
    fused = tmp_path / "fused.png"
    waiting.value.save_as(fused)
    with Image.open(fused) as picture:
        changed = np.abs(np.asarray(picture, int) - np.asarray(beside, int)).sum(axis=2)
    assert (changed[60:190, 100:220] > 30).mean() > 0.05
    assert (changed[60:190, 380:500] > 30).mean() > 0.05
    assert changed[:, 260:340].max() == 0  # between the two


def test_another_size_can_be_a_square_and_says_so_before_the_start(
    visit: Open, photos: tuple[Path, Path], tmp_path: Path
) -> None:
    here = visit()
    shape, sizes = here.page.locator("#ff-fit"), here.page.locator("#ff-resolution input")
    here.upload("target", photos[0])
    here.upload("source", photos[1])
    assert not shape.is_visible()  # the original size has its own
    sizes.click()
    here.page.click("[role=option] >> text=512 · 500 × 512 px")
    shape.wait_for()
    shape.locator("label", has_text="Crop").click()
    here.page.wait_for_selector("#ff-fit >> text=A square cut out of the photograph")
    here.page.wait_for_function(
        "document.querySelector('#ff-resolution input').value === '512 · 512 × 512 px'"
    )
    here.page.click("#ff-start:not([disabled])")
    here.stage("done")
    report = here.page.inner_text("#ff-stage .ff-report")
    assert "512 × 512 px" in report
    assert "encoded anew" in report
    before = here.page.locator("#ff-stage .ff-before").bounding_box()
    after = here.page.locator("#ff-stage .ff-after").bounding_box()
    assert before is not None
    assert after is not None
    assert before["width"] == pytest.approx(after["width"], abs=0.6)
    assert before["height"] / before["width"] == pytest.approx(1.024, abs=0.002)
    here.page.click("#ff-clear")
    shape.wait_for(state="hidden")
    assert sizes.input_value() == "Original"


def test_automatic_says_what_it_chose(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.page.click("#ff-resolution input")
    here.page.click("[role=option] >> text=Automatic")
    here.page.click("#ff-start")
    here.stage("done")
    assert here.page.inner_text("#ff-stage .ff-notes li").startswith("Auto chose")


@pytest.mark.parametrize(("suffix", "result"), [(".heic", ".heic"), (".gif", ".png")])
def test_other_formats_are_shown_fused_and_given_back(
    visit: Open,
    photos: tuple[Path, Path],
    tmp_path: Path,
    astronaut: np.ndarray,
    suffix: str,
    result: str,
) -> None:
    pillow_heif.register_heif_opener()
    target = tmp_path / f"holiday{suffix}"
    Image.fromarray(astronaut).save(target)
    here = visit()
    here.upload("target", target)
    shown = here.page.locator("#ff-target .ff-image")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 512
    here.upload("source", photos[1])
    here.page.click("#ff-start:not([disabled])")
    here.stage("done")
    with here.page.expect_download() as waiting:
        here.page.click("#ff-stage .ff-download")
    assert waiting.value.suggested_filename == f"holiday-fused{result}"
    fused = tmp_path / f"fused{result}"
    waiting.value.save_as(fused)
    with Image.open(fused) as picture:
        assert picture.size == (512, 512)
        difference = np.abs(np.asarray(picture.convert("RGB"), float) - astronaut)
    assert difference[80:170, 190:260].mean() > 8  # the face is another one
    assert difference[300:].mean() < 8


def test_bad_files_get_a_sentence_and_the_page_goes_on(
    visit: Open, photos: tuple[Path, Path], tmp_path: Path
) -> None:
    here = visit()
    text = tmp_path / "letter.jpg"
    text.write_text("Dear all,\n" * 50)
    here.page.set_input_files("#ff-target .ff-file", text)
    assert here.alert("target").startswith("letter.jpg is not a picture")
    here.upload("target", photos[0])
    assert here.page.locator("#ff-target .ff-alert").inner_text() == ""
    half = tmp_path / "half.jpg"
    half.write_bytes(photos[0].read_bytes()[:40_000])
    here.page.set_input_files("#ff-source .ff-file", half)
    assert "half.jpg" in here.alert("source")
    assert here.page.is_disabled("#ff-start")


def test_a_file_that_is_too_large_is_explained(visit: Open, tmp_path: Path) -> None:
    large = tmp_path / "poster.jpg"
    large.write_bytes(b"\xff\xd8" + bytes(3_200_000))
    here = visit()
    here.page.set_input_files("#ff-target .ff-file", large)
    sentence = here.alert("target")
    assert sentence == "poster.jpg has 3.2 MB; the page accepts files up to 3 MB."


def test_one_request_cannot_bring_more_than_one_file_may_have(server: Server) -> None:
    host = server.url.removeprefix("http://")
    asking = http.client.HTTPConnection(host, timeout=30)
    asking.putrequest("POST", "/gradio_api/upload")
    asking.putheader("Content-Type", "multipart/form-data; boundary=x")
    asking.putheader("Content-Length", "6000000")
    asking.endheaders()  # refused before the first byte of it
    assert asking.getresponse().status == 413
    asking.close()


def test_cancel_and_clear(visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.page.click("#ff-resolution input")
    here.page.click("[role=option] >> text=4096")
    here.page.click("#ff-start")
    here.page.click("#ff-cancel")
    here.page.wait_for_selector("#ff-stage .ff-note:not(:empty)")
    assert here.page.inner_text("#ff-stage .ff-note") == "Cancelled. Nothing was written."
    here.page.click("#ff-start")
    here.page.wait_for_selector("#ff-cancel")
    here.page.click("#ff-clear")
    here.page.wait_for_selector("#ff-target .ff-picker[data-state=empty]")
    here.page.wait_for_selector("#ff-start[disabled]")
    assert here.page.is_hidden("#ff-cancel")
    here.load_demo()
    here.page.click("#ff-start")
    here.stage("done")  # the worker was free, and nothing of before came back


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that takes seconds to look at: large, and without any face."""
    path = tmp_path_factory.mktemp("wall") / "wall.png"
    Image.new("RGB", (12_000, 12_000), (120, 110, 100)).save(path, compress_level=1)
    return path


def looking(here: Visit, role: str) -> None:
    here.page.wait_for_selector(f"#ff-{role} .ff-busy >> text=Looking for faces")


def test_the_newest_upload_wins(visit: Open, photos: tuple[Path, Path], wall: Path) -> None:
    here = visit()
    here.page.set_input_files("#ff-target .ff-file", wall)
    looking(here, "target")
    here.upload("target", photos[0])
    assert here.page.inner_text("#ff-target .ff-facts").startswith("Mission photo")
    here.page.set_input_files("#ff-source .ff-file", wall)
    looking(here, "source")
    here.upload("source", photos[1])  # the wall's analysis holds no place any more
    here.page.click("#ff-start:not([disabled])")
    here.stage("done")
    assert here.page.inner_text("#ff-target .ff-facts").startswith("Mission photo")
    assert here.page.inner_text("#ff-source .ff-facts").startswith("someone")


def test_an_upload_is_not_lost_when_an_older_one_is_answered(
    visit: Open, photos: tuple[Path, Path], wall: Path
) -> None:
    here = visit()
    here.page.set_input_files("#ff-target .ff-file", wall)
    looking(here, "target")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    here.page.route("**/gradio_api/upload*", hold)
    with here.page.expect_response(lambda answer: answer.url.endswith("/run/predict")):
        here.page.set_input_files("#ff-target .ff-file", photos[0])
    assert here.page.inner_text("#ff-target .ff-busy") == "Uploading"
    held[0].continue_()
    here.page.wait_for_selector("#ff-target .ff-picker[data-state=ready] .ff-face")
    assert here.page.inner_text("#ff-target .ff-facts").startswith("Mission photo")

    here.page.unroute_all()
    here.page.route("**/gradio_api/upload*", lambda route: route.abort())
    here.page.set_input_files("#ff-target .ff-file", photos[1])
    assert "could not be uploaded" in here.alert("target")
    here.page.wait_for_selector("#ff-target .ff-picker[data-state=ready]")
    assert here.page.inner_text("#ff-target .ff-facts").startswith("Mission photo")
    here.console.clear()  # the browser's own line about the upload that was cut off


def test_clear_during_an_analysis_clears(
    visit: Open, photos: tuple[Path, Path], wall: Path
) -> None:
    here = visit()
    for _ in range(2):  # the second time, what Clear answers is what the page has already
        here.page.set_input_files("#ff-target .ff-file", wall)
        looking(here, "target")
        here.page.click("#ff-clear")
        here.page.wait_for_selector("#ff-target .ff-picker[data-state=empty]")
    here.page.click("#ff-demo")
    here.page.click("#ff-clear")
    here.upload("target", photos[0])
    assert here.page.inner_text("#ff-target .ff-alert") == ""
    assert here.page.inner_text("#ff-source .ff-alert") == ""
    assert here.page.get_attribute("#ff-source .ff-picker", "data-state") == "empty"
    assert here.page.is_disabled("#ff-start")


def test_the_same_bad_file_twice_is_refused_twice(visit: Open, tmp_path: Path) -> None:
    text = tmp_path / "letter.jpg"
    text.write_text("Dear all,\n" * 50)
    here = visit()
    for _ in range(2):
        here.page.set_input_files("#ff-target .ff-file", text)
        assert here.alert("target").startswith("letter.jpg is not a picture")
        here.page.wait_for_selector("#ff-target .ff-picker[data-state=empty]")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_nothing_scrolls_sideways(visit: Open, width: int, color_scheme: str) -> None:
    here = visit(width=width, height=844, color_scheme=color_scheme)

    def overflow() -> int:
        value: int = here.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return value

    assert overflow() == 0
    here.load_demo()
    assert overflow() == 0
    here.page.click("#ff-start")
    here.stage("done")
    assert overflow() == 0
    columns = here.page.locator("#ff-inputs"), here.page.locator("#ff-output")
    left, right = (column.bounding_box() for column in columns)
    assert left is not None
    assert right is not None
    side_by_side = right["x"] >= left["x"] + left["width"]
    below = right["y"] >= left["y"] + left["height"]
    assert (side_by_side, below) == ((False, True) if width == 390 else (True, False))


def test_it_speaks_chinese_to_a_chinese_browser(visit: Open) -> None:
    here = visit(locale="zh-CN")
    assert here.page.title() == "人脸融合工作室"
    assert here.page.inner_text("#ff-start") == "开始"
    here.page.wait_for_selector("#ff-engine p")
    assert here.page.inner_text("#ff-engine").startswith("引擎 mesh")
    here.load_demo()
    here.page.click("#ff-start")
    here.stage("done")
    assert "512 × 512 像素" in here.page.inner_text("#ff-stage .ff-report")


def test_the_server_talks_to_nobody_else(server: Server, visit: Open) -> None:
    visit().load_demo()
    process = psutil.Process(server.process.pid)
    others = {
        connection.raddr.ip
        for member in (process, *process.children(recursive=True))
        for connection in member.net_connections()
        if connection.raddr
    }
    assert others <= {"127.0.0.1", "::1"}


def test_leaving_the_page_frees_the_worker(server: Server, visit: Open) -> None:
    leaving = visit()
    leaving.load_demo()
    leaving.page.click("#ff-resolution input")
    leaving.page.click("[role=option] >> text=4096")
    leaving.page.click("#ff-start")
    leaving.stage("busy")
    leaving.page.close()
    here = visit()
    here.load_demo()
    here.page.click("#ff-start")
    here.stage("done", timeout_s=20)
    finished = []
    for path in server.storage.rglob("astronaut-fused.jpg"):
        with Image.open(path) as picture:
            finished.append(picture.size)
    assert (512, 512) in finished
    assert (4096, 4096) not in finished  # it was stopped, not left to run
