"""A real server, `python app.py`, and a real browser, both for this folder's tests alone."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
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


@dataclass
class Visit:
    """A page that is open, and all that the browser did and said."""

    page: Page
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def stage(self, state: str, timeout_s: float = 60) -> None:
        """Wait until the right-hand side is in a state."""
        self.page.wait_for_selector(
            f"#ff-stage .ff-stage[data-state={state}]", timeout=1000 * timeout_s
        )

    def upload(self, role: str, file: Path) -> None:
        """Give a file to a picker and wait until its faces are shown."""
        self.page.set_input_files(f"#ff-{role} .ff-file", file)
        self.page.wait_for_selector(f"#ff-{role} .ff-picker[data-state=ready] .ff-face")

    def load_demo(self) -> None:
        self.page.click("#ff-demo")
        self.page.wait_for_selector("#ff-source .ff-picker[data-state=ready] .ff-face")
        self.page.wait_for_selector("#ff-start:not([disabled])")

    def alert(self, place: str) -> str:
        """Wait for a sentence that needs attention and read it."""
        alert = self.page.wait_for_selector(f"#ff-{place} .ff-alert:not(:empty)")
        assert alert is not None
        return alert.inner_text()


@pytest.fixture(scope="session")
def browser_profiles(
    tmp_path_factory: pytest.TempPathFactory, require_program: Callable[[str], str]
) -> Iterator[Callable[..., BrowserContext]]:
    """Opens browsers with a fresh profile each; all are closed in the end."""
    chromium = require_program("chromium")
    opened: list[BrowserContext] = []
    with sync_playwright() as playwright:

        def open_profile(**options: Any) -> BrowserContext:
            context = playwright.chromium.launch_persistent_context(
                str(tmp_path_factory.mktemp("profile")),
                executable_path=chromium,
                args=BROWSER_OPTIONS,
                accept_downloads=True,
                **options,
            )
            opened.append(context)
            return context

        yield open_profile
        for context in opened:
            context.close()


@pytest.fixture
def visit(
    server: Server, browser_profiles: Callable[..., BrowserContext]
) -> Iterator[Callable[..., Visit]]:
    """Opens the page; afterwards no request left the machine and the console had no error."""
    visits: list[tuple[Visit, BrowserContext]] = []

    def open_page(
        width: int = 1440, height: int = 900, locale: str = "en-US", **options: Any
    ) -> Visit:
        context = browser_profiles(
            viewport={"width": width, "height": height}, locale=locale, **options
        )
        page = context.pages[0]
        made = Visit(page)
        visits.append((made, context))
        page.set_default_timeout(30_000)
        context.on("request", lambda request: made.requests.append(request.url))
        page.on("console", lambda line: made.console.append(f"{line.type}: {line.text}"))
        page.on("pageerror", lambda error: made.console.append(f"error: {error}"))
        page.goto(server.url)
        page.wait_for_selector("#ff-stage .ff-empty-title:not(:empty)")
        return made

    yield open_page
    for made, context in visits:
        context.close()
        inside = (server.url, "data:", "blob:", "about:")
        assert [url for url in made.requests if not url.startswith(inside)] == []
        assert [line for line in made.console if line.startswith("error")] == []
    assert not any("Traceback" in line for line in server.log), "".join(server.log)
