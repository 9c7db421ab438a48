"""How photographs come in: click, drop, paste, camera; and those that cannot be used."""

import base64
import http.client
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image
from playwright.sync_api import Route

from tests.e2e.conftest import Open, Photos, Server
from tests.e2e.visit import Visit, sha256


def transfer(here: Visit, files: list[Path], types: dict[str, str]) -> object:
    """A DataTransfer that holds files, as of a drag or of the clipboard."""
    content = [
        [path.name, types[path.suffix], base64.b64encode(path.read_bytes()).decode()]
        for path in files
    ]
    return here.page.evaluate_handle(
        """(content) => {
          const data = new DataTransfer();
          for (const [name, type, encoded] of content) {
            const bytes = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
            data.items.add(new File([bytes], name, { type }));
          }
          return data;
        }""",
        content,
    )


TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".txt": "text/plain"}


def stored(server: Server) -> set[str]:
    """The hashes of all files that the server keeps."""
    return {sha256(path) for path in server.storage.rglob("*") if path.is_file()}


def test_files_can_be_dropped(server: Server, visit: Open, photos: Photos) -> None:
    here = visit()
    for role, file in (("target", photos.target), ("sources", photos.source)):
        data = transfer(here, [file], TYPES)
        zone = f"#ff-{role} .ff-picker"
        here.page.dispatch_event(zone, "dragover", {"dataTransfer": data})
        here.page.dispatch_event(zone, "drop", {"dataTransfer": data})
        here.ready(role)
    assert {sha256(photos.target), sha256(photos.source)} <= stored(server)
    data = transfer(here, [photos.target, photos.source], TYPES)
    here.page.dispatch_event("#ff-target .ff-picker", "drop", {"dataTransfer": data})
    assert here.alert("target") == here.say("one_file")
    here.page.dispatch_event("#ff-sources .ff-picker", "drop", {"dataTransfer": data})
    here.page.wait_for_function("studio.state.sources.length === 3")


def test_pictures_can_be_pasted(server: Server, visit: Open, photos: Photos) -> None:
    here = visit()

    def paste(file: Path) -> None:
        here.page.evaluate(
            """(data) => document.dispatchEvent(
              new ClipboardEvent("paste", { clipboardData: data, bubbles: true }))""",
            transfer(here, [file], TYPES),
        )

    paste(photos.target)
    here.ready("target")
    paste(photos.source)  # the target is there: this one is a source
    here.ready("sources")
    assert here.page.inner_text("#ff-sources .ff-facts").startswith("someone.png")
    assert {sha256(photos.target), sha256(photos.source)} <= stored(server)


def test_the_camera_takes_a_picture(server: Server, visit: Open) -> None:
    here = visit(permissions=["camera"])
    here.page.click("#ff-target .ff-take")
    dialog = here.part("dialog.ff-camera-dialog")
    dialog.wait_for()
    assert dialog.get_attribute("aria-label") == here.say("camera_title")
    here.page.click("dialog.ff-camera-dialog .ff-primary:not([disabled])")
    # The picture that the browser plays has no face in it.
    assert "camera-" in here.alert("target")
    (taken,) = server.storage.rglob("camera-*.jpg")
    with Image.open(taken) as picture:
        assert picture.format == "JPEG"
        assert min(picture.size) >= 240
    assert dialog.count() == 0
    here.page.click("#ff-sources .ff-take")
    dialog.wait_for()
    here.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")


def save_heic(pixels: np.ndarray, path: Path) -> None:
    pillow_heif.register_heif_opener()
    Image.fromarray(pixels).save(path)


def save_deep(pixels: np.ndarray, path: Path) -> None:
    tifffile.imwrite(path, pixels.astype(np.uint16) * 257, photometric="rgb")


def save_gif(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("name", "save", "result"),
    [
        ("holiday.heic", save_heic, "holiday-fused.heic"),
        ("scan.tif", save_deep, "scan-fused.tif"),
        ("old.gif", save_gif, "old-fused.png"),
    ],
)
def test_other_formats_arrive_unchanged_and_are_shown_fused_and_given_back(
    server: Server,
    visit: Open,
    photos: Photos,
    tmp_path: Path,
    name: str,
    save: object,
    result: str,
) -> None:
    target = tmp_path / name
    save(photos.pixels, target)  # type: ignore[operator]
    here = visit()
    here.upload("target", target)
    assert sha256(target) in stored(server)
    shown = here.part("#ff-target .ff-image")
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 512
    here.upload("sources", photos.source)
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.fuse()
    fused = here.download(tmp_path)
    assert fused.name == result
    if name.endswith(".tif"):
        pixels = tifffile.imread(fused) / 257
    else:
        pillow_heif.register_heif_opener()
        with Image.open(fused) as picture:
            pixels = np.asarray(picture.convert("RGB"), float)
    difference = np.abs(pixels - photos.pixels)
    assert difference[80:170, 190:260].mean() > 8  # the face is another one
    assert difference[300:].mean() < 8


@pytest.mark.parametrize("language", ["en", "zh"])
def test_bad_files_get_a_sentence_and_the_page_goes_on(
    visit: Open, photos: Photos, tmp_path: Path, language: str
) -> None:
    here = visit(language)
    text, half, wall = (tmp_path / name for name in ("letter.jpg", "half.jpg", "wall.png"))
    text.write_text("Dear all,\n" * 50)
    half.write_bytes(photos.target.read_bytes()[:40_000])
    Image.new("RGB", (400, 300), (120, 110, 100)).save(wall)
    ends = {"en": ".", "zh": "。"}[language]
    for _ in range(2):  # the same bad file is refused a second time
        here.give("target", text)
        told = here.alert("target")
        assert "letter.jpg" in told
        assert told.endswith(ends)
        here.page.wait_for_selector("#ff-target .ff-picker[data-state=empty]")
    here.upload("target", photos.target)
    assert here.part("#ff-target .ff-alert").inner_text() == ""
    here.give("sources", half)
    assert "half.jpg" in here.alert("sources")
    here.give("sources", wall)
    here.page.wait_for_selector("#ff-sources .ff-picker[data-state=ready]")
    smallest = here.say("no_face_source", name="wall.png", pixels=24)
    assert here.alert("sources") == smallest
    assert here.page.is_disabled("#ff-start")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_file_that_is_too_large_is_explained(visit: Open, tmp_path: Path, language: str) -> None:
    large = tmp_path / "poster.jpg"
    large.write_bytes(b"\xff\xd8" + bytes(3_200_000))
    here = visit(language)
    here.give("target", large)
    said = here.say("too_large", name="poster.jpg", size="3.2 MB", limit=3)
    assert here.alert("target") == said


def test_one_request_cannot_bring_more_than_one_file_may_have(server: Server) -> None:
    host = server.url.removeprefix("http://")
    asking = http.client.HTTPConnection(host, timeout=30)
    asking.putrequest("POST", "/gradio_api/upload")
    asking.putheader("Content-Type", "multipart/form-data; boundary=x")
    asking.putheader("Content-Length", "6000000")
    asking.endheaders()  # refused before the first byte of it
    assert asking.getresponse().status == 413
    asking.close()


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that takes seconds to look at: large, and without any face."""
    path = tmp_path_factory.mktemp("wall") / "wall.png"
    Image.new("RGB", (12_000, 12_000), (120, 110, 100)).save(path, compress_level=1)
    return path


def looking(here: Visit, role: str) -> None:
    text = here.say("looking")
    here.page.wait_for_selector(f"#ff-{role} .ff-busy >> text={text}")


def test_the_newest_upload_wins(visit: Open, photos: Photos, wall: Path) -> None:
    here = visit()
    here.give("target", wall)
    looking(here, "target")
    here.upload("target", photos.target)  # the wall's analysis holds no place any more
    assert here.page.inner_text("#ff-target .ff-facts").startswith("Mission photo")
    here.upload("sources", photos.source)
    here.page.wait_for_selector("#ff-start:not([disabled])")
    here.fuse()
    assert here.page.inner_text("#ff-target .ff-facts").startswith("Mission photo")


def test_an_upload_that_fails_leaves_what_was_there(visit: Open, photos: Photos) -> None:
    here = visit("zh")
    here.upload("target", photos.target)

    def cut_off(route: Route) -> None:
        route.abort()

    here.page.route("**/gradio_api/upload*", cut_off)
    here.give("target", photos.source)
    assert here.alert("target") == here.say("upload_failed", name="someone.png")
    assert here.page.inner_text("#ff-target .ff-facts").startswith("Mission photo")
    here.page.unroute_all()
    here.console.clear()  # the browser's own line about the upload that was cut off
    here.upload("target", photos.source)
    assert here.part("#ff-target .ff-alert").inner_text() == ""


def test_clear_during_an_analysis_clears(visit: Open, photos: Photos, wall: Path) -> None:
    here = visit()
    for _ in range(2):
        here.give("target", wall)
        looking(here, "target")
        here.page.click("#ff-clear")
        here.page.wait_for_selector("#ff-target .ff-picker[data-state=empty]")
    here.page.click("#ff-demo")
    here.page.click("#ff-clear")
    here.upload("target", photos.target)
    here.page.wait_for_timeout(500)
    assert here.page.inner_text("#ff-target .ff-facts").startswith("Mission photo")
    for role in ("target", "sources"):
        assert here.page.inner_text(f"#ff-{role} .ff-alert") == ""
    assert here.page.get_attribute("#ff-sources .ff-picker", "data-state") == "empty"
    assert here.page.is_disabled("#ff-start")
