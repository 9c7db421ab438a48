"""A real server, `python app.py`, and a real browser, both for this folder's tests alone."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from studio.service.demo import second_person
from tests.e2e.visit import Visit

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@dataclass
class Server:
    """A running app.py.

    log: everything that it has written, line by line.
    """

    url: str
    storage: Path
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    def end(self) -> int:
        """Ask it to end as Ctrl+C or a service manager would; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(START_S)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


@contextmanager
def running_server(folder: Path, models: Path, **settings: str) -> Iterator[Server]:
    """Start app.py on a free port with files in ``folder`` and wait until it answers."""
    port = free_port()
    environment = os.environ | {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "STUDIO_CONFIG": os.devnull,
        "STUDIO_SERVER__PORT": str(port),
        "STUDIO_STORAGE__DIRECTORY": str(folder),
        "STUDIO_MODELS__DIRECTORY": str(models),
        "STUDIO_MODELSCOPE__FOLDER": os.devnull,  # engine mesh, whatever this machine has
        "PYTHONUNBUFFERED": "1",
        **settings,
    }
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py")],
        env=environment,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    server = Server(f"http://127.0.0.1:{port}", folder, process)
    ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                server.log.append(line)
                if line.strip() == server.url:
                    ready.set()
        ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert ready.wait(START_S), f"no answer within {START_S:g} s"
        assert f"{server.url}\n" in server.log, "".join(server.log)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()
        reader.join(START_S)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, model_directory: Path) -> Iterator[Server]:
    """One server for all tests of this folder, with a small upload limit."""
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, model_directory, STUDIO_SERVER__MAX_UPLOAD_MB="3") as running:
        yield running


@pytest.fixture(scope="session")
def browser(require_program: Callable[[str], str]) -> Iterator[Browser]:
    """One Chromium for all tests; each visit has a context of its own in it."""
    chromium = require_program("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS)
        yield started
        started.close()


Open = Callable[..., Visit]


@pytest.fixture
def visit(server: Server, browser: Browser) -> Iterator[Open]:
    """Opens the page; afterwards no request left the machine and the console had no error.

    A second page with ``beside`` is one of the same browser.
    """
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_page(
        language: str = "en",
        width: int = 1440,
        height: int = 900,
        beside: Visit | None = None,
        **options: Any,
    ) -> Visit:
        if beside is None:
            locale = {"en": "en-GB", "zh": "zh-CN"}[language]
            size = {"width": width, "height": height}
            context = browser.new_context(viewport=size, locale=locale, **options)
            context.set_default_timeout(30_000)
            contexts.append(context)
        else:
            context = beside.page.context
        made = Visit(context.new_page(), server.url, language)
        visits.append(made)
        made.open()
        return made

    yield open_page
    for context in contexts:
        context.close()
    for made in visits:
        made.check()
    assert not any("Traceback" in line for line in server.log), "".join(server.log)


@dataclass(frozen=True)
class Photos:
    """Files to upload: a target of 1000 x 1024 with a name to be careful about, and a source."""

    target: Path
    source: Path
    two: Path  # two people side by side, 600 x 300
    pixels: Any  # the astronaut's, 512 x 512 x 3


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Iterator[Photos]:
    folder = tmp_path_factory.mktemp("photos")
    target, source, two = (
        folder / name for name in ("Mission photo (1).jpg", "someone.png", "two.png")
    )
    Image.fromarray(astronaut).resize((1000, 1024)).save(target, quality=95)
    Image.fromarray(second_person(astronaut)).save(source)
    head = Image.fromarray(astronaut).crop((60, 0, 360, 300))
    beside = Image.new("RGB", (600, 300))
    beside.paste(head, (0, 0))
    beside.paste(head.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (300, 0))
    beside.save(two)
    yield Photos(target, source, two, astronaut)
    shutil.rmtree(folder)
