"""The pictures of the page that stand in README.md and docs/.

Usage: ./run.sh screenshots [--out FOLDER] [NAME ...]

Starts the studio on a free port with settings and files of its own, drives the system's Chromium
through the demo pair (NASA, public domain), and writes one palette PNG for each state. NAMEs choose
some of them.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 250_000
"""A README should be there at once: each picture is at most as large."""
COLOURS = (256, 192, 128, 96, 64)
"""Sizes of palette that are tried, one after the other, until the picture is small enough."""
PATIENCE_MS = 60_000
LOADED = "[...document.images].every((image) => !image.checkVisibility() || image.complete)"
"""A condition in the page: all pictures that are shown are there."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture.

    width, height: of the window, px. act: brings the page into the state that is shown. whole: the
    whole page and not only what is in the window.
    """

    name: str
    act: Callable[[Page, Path], None]
    width: int = 1440
    height: int = 940
    language: str = "en"
    dark: bool = False
    whole: bool = False


def fuse(page: Page, _: Path) -> None:
    """The demo pair, fused."""
    page.click("#ff-demo")
    page.wait_for_selector("#ff-start:not([disabled])")
    finish(page)


def finish(page: Page) -> None:
    """Start, wait for the file, and show it from the top of the page."""
    page.click("#ff-start")
    page.wait_for_selector("#ff-cancel:not([hidden])")
    page.wait_for_selector("#ff-stage .ff-outcome:not([hidden]) .ff-download[href]")
    page.wait_for_selector("#ff-start:not([hidden])")
    page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")


def fuse_on_a_phone(page: Page, folder: Path) -> None:
    """The result, which is below the settings where there is one column."""
    fuse(page, folder)
    page.evaluate("document.querySelector('.ff-stage').scrollIntoView()")


def batch(page: Page, folder: Path) -> None:
    """A batch that is over; one of its photographs shows nobody."""
    source, targets = make_batch(folder)
    page.click("#ff-tab-batch")
    for button, files in ((".ff-b-sources-add", [source]), (".ff-b-files", targets)):
        with page.expect_file_chooser() as chooser:
            page.click(f"#ff-panel-batch {button}")
        chooser.value.set_files(files)
    page.wait_for_selector("#ff-panel-batch .ff-b-start:not([disabled])")
    page.click("#ff-panel-batch .ff-b-start")
    page.wait_for_selector("#ff-panel-batch .ff-b-download[href]:not([hidden])")
    page.evaluate("document.activeElement.blur()")


def history(page: Page, folder: Path) -> None:
    """What is left of several fusions with other settings."""
    fuse(page, folder)
    for changed in (
        {"ratio": 0.85, "shape": 0.6},
        {"resolution": "640x640", "fit": "crop", "ratio": 1, "smooth": 0.3},
        {"resolution": "800x450", "fit": "crop", "ratio": 0.4, "saturation": -0.5},
    ):
        page.evaluate("(own) => studio.setControls({ ...studio.data.defaults, ...own })", changed)
        finish(page)
    page.click("#ff-tab-history")
    page.wait_for_function("document.querySelectorAll('.ff-history-list > li').length === 4")
    page.evaluate("document.activeElement.blur()")


def system(page: Page, _: Path) -> None:
    """The state of the machine."""
    page.click("#ff-tab-system")
    page.wait_for_selector(".ff-system:not([data-state=loading])")
    page.evaluate("document.activeElement.blur()")


def guide(page: Page, _: Path) -> None:
    """The guide's beginning."""
    page.click("#ff-tab-guide")
    page.evaluate("document.activeElement.blur()")


SHOTS = (
    Shot("page-fuse", fuse, height=1250),
    Shot("page-fuse-zh", fuse, height=1250, language="zh"),
    Shot("page-fuse-phone", fuse_on_a_phone, 390, 844, "zh", dark=True),
    Shot("page-batch", batch, height=820),
    Shot("page-history", history, height=760),
    Shot("page-system", system, whole=True),
    Shot("page-guide", guide, height=900),
)


def make_batch(folder: Path) -> tuple[Path, list[Path]]:
    """The demo's source, and photographs made from the demo's target."""
    from studio.service.demo import make_demo_pair

    target, source = make_demo_pair(folder)
    with Image.open(target) as opened:
        photo = opened.convert("RGB")
    made = {
        "portrait.jpg": photo,
        "portrait-large.png": photo.resize((1536, 1536), Image.Resampling.LANCZOS),
        "close-up.webp": photo.crop((96, 0, 352, 288)).resize((1024, 1152)),
        "flag.jpg": photo.crop((0, 300, 150, 512)),  # nobody is seen
        "mirrored.tif": photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }
    for name, picture in made.items():
        picture.save(folder / name)
    return source, [folder / name for name in made]


@contextmanager
def running_studio(folder: Path) -> Iterator[str]:
    """Start app.py with its files in ``folder``, whatever this machine is set up for.

    Yields:
        The page's address.

    Raises:
        RuntimeError: It ended instead of answering.
    """
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STUDIO_") or name.startswith("STUDIO_MODELS_")
    }
    environment |= {
        "STUDIO_CONFIG": os.devnull,
        "STUDIO_SERVER__PORT": str(port),
        "STUDIO_STORAGE__DIRECTORY": str(folder),
        "STUDIO_MODELSCOPE__FOLDER": os.devnull,  # engine mesh, which everybody has
    }
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("http"):
            raise RuntimeError(f"app.py did not start; it ended with {process.wait()}")
        yield line.strip()
    finally:
        process.terminate()
        process.communicate()


def open_browser(playwright: Playwright) -> Browser:
    """The system's Chromium, else the one that Playwright has installed."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    alone = ("--no-sandbox",) if os.geteuid() == 0 else ()  # root has none
    return playwright.chromium.launch(executable_path=found, args=[*QUIET, *alone])


def take(browser: Browser, url: str, shot: Shot, folder: Path) -> bytes:
    """The picture as the browser makes it, PNG.

    Raises:
        playwright.sync_api.Error: The page did not come into the state that is wanted.
    """
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        locale="zh-CN" if shot.language == "zh" else "en-GB",
        color_scheme="dark" if shot.dark else "light",
        reduced_motion="reduce",
    )
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        page.wait_for_selector("#ff-stage .ff-empty-title:not(:empty)")
        shot.act(page, folder)
        page.mouse.move(0, 0)
        page.wait_for_function(LOADED)
        return page.screenshot(full_page=shot.whole, animations="disabled")
    finally:
        context.close()


def reduced(png: bytes) -> bytes:
    """The same picture with a palette, at most `MOST_BYTES` large.

    Raises:
        RuntimeError: Even the smallest palette is too large.
    """
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGB")
    for colours in COLOURS:
        written = io.BytesIO()
        picture.quantize(colours, Image.Quantize.MEDIANCUT).save(written, "PNG", optimize=True)
        if written.tell() <= MOST_BYTES:
            return written.getvalue()
    raise RuntimeError(f"the picture needs more than {MOST_BYTES / 1000:.0f} kB")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which of them (all)")
    parser.add_argument("--out", type=Path, default=IMAGES, help="where they go (docs/images)")
    options = parser.parse_args(arguments)
    wanted = [shot for shot in SHOTS if not options.names or shot.name in options.names]
    unknown = set(options.names) - {shot.name for shot in SHOTS}
    if unknown:
        known = ", ".join(shot.name for shot in SHOTS)
        parser.error(f"there is no picture {', '.join(sorted(unknown))}; there are: {known}")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as kept, sync_playwright() as playwright:
        made, stored = Path(kept) / "made", Path(kept) / "stored"
        for folder in (made, stored):
            folder.mkdir()
        browser = open_browser(playwright)
        with running_studio(stored) as url:
            for shot in wanted:
                picture = reduced(take(browser, url, shot, made))
                path = options.out / f"{shot.name}.png"
                path.write_bytes(picture)
                told = f"{path}: {len(picture) / 1000:.0f} kB"
                print(told)  # noqa: T201 - a program's own output
        browser.close()


if __name__ == "__main__":
    main()
