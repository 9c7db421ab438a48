"""An open page and what a person does with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, Request

from studio.page.texts import say

INSIDE = ("data:", "blob:", "about:")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Visit:
    """A page that is open, and all that the browser did and said.

    language: "en" or "zh", of the texts that are expected.
    """

    page: Page
    url: str
    language: str
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._requested)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.console.append(f"page error: {error}"))

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def _said(self, line: ConsoleMessage) -> None:
        if line.type == "error":
            self.console.append(f"{line.text} ({line.location.get('url', '')})")

    def check(self) -> None:
        """No request has left the machine, and nothing has gone wrong."""
        inside = (self.url, *INSIDE)
        assert [url for url in self.requests if not url.startswith(inside)] == []
        assert self.console == []

    def say(self, key: str, **values: object) -> str:
        """A text of the page in the language that is expected."""
        return say(self.language, key, **values)  # type: ignore[arg-type]

    def open(self) -> None:
        """Load the page, or load it again, and wait until all its parts are there."""
        self.page.goto(self.url)
        self.page.wait_for_selector("html[data-ready]")

    def part(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def show(self, tab: str) -> None:
        """Change to a tab as a person does."""
        self.page.click(f"#ff-tab-{tab}")
        self.page.wait_for_selector(f"#ff-panel-{tab}.ff-shown")

    # --- photographs ---

    def give(self, role: str, files: Path | Sequence[Path]) -> None:
        """Choose files for a picker."""
        self.page.set_input_files(f"#ff-{role} .ff-file >> nth=0", files)

    def upload(self, role: str, files: Path | Sequence[Path]) -> None:
        """Choose files for a picker and wait until their faces are shown."""
        self.give(role, files)
        self.ready(role)

    def ready(self, role: str) -> None:
        self.page.wait_for_selector(f"#ff-{role} .ff-picker[data-state=ready] .ff-face")

    def load_demo(self) -> None:
        self.page.click("#ff-demo")
        self.ready("target")
        self.ready("sources")
        self.page.wait_for_selector("#ff-start:not([disabled])")

    def alert(self, part: str) -> str:
        """Wait for a sentence that needs attention and read it."""
        alert = self.page.wait_for_selector(f"#ff-{part} .ff-alert:visible:not(:empty)")
        assert alert is not None
        return alert.inner_text().strip()

    # --- controls ---

    def slide(self, name: str, value: float) -> None:
        """Move a slider."""
        self.page.locator(f"[data-control={name}] input[type=range]").fill(str(value))

    def choose(self, name: str, value: str) -> None:
        """Choose one of a control's values."""
        self.page.click(f"input[name=ff-c-{name}][value='{value}'] >> xpath=..")

    def unfold(self, group: str) -> None:
        """Open a group of the advanced controls."""
        details = self.page.locator(f"details[data-group={group}]")
        if details.get_attribute("open") is None:
            details.locator("summary").click()

    def controls(self) -> dict[str, Any]:
        state: dict[str, Any] = self.page.evaluate("studio.state.controls")
        return state

    # --- the stage ---

    def settle(self) -> None:
        """Wait until the preview is that of the controls as they are."""
        self.page.wait_for_selector("#ff-stage .ff-after[src^='data:image/jpeg']")
        self.page.wait_for_function(
            "document.querySelector('#ff-stage .ff-working').textContent === ''"
        )

    def shown(self, side: str) -> Any:
        """The pixels of the picture on a side of the stage, as height x width x RGB."""
        return pixels_of(self.page, f"#ff-stage .ff-{side}")

    def start(self) -> None:
        self.page.click("#ff-start")

    def done(self, timeout_s: float = 60) -> None:
        """Wait for the result's card."""
        self.page.wait_for_selector("#ff-stage .ff-outcome:visible", timeout=1000 * timeout_s)

    def fuse(self) -> None:
        """Start and wait for the end."""
        self.start()
        self.done()

    def download(self, folder: Path, button: str = "#ff-stage .ff-download") -> Path:
        """Save what a button offers under the name that it gives."""
        with self.page.expect_download() as waiting:
            self.page.click(button)
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        value: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return value


def pixels_of(page: Page, selector: str) -> Any:
    """The pixels that an img element shows, decoded by the browser."""
    import base64
    import io

    import numpy as np
    from PIL import Image

    encoded: str = page.evaluate(
        """async (selector) => {
          const image = document.querySelector(selector);
          await image.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          canvas.getContext("2d").drawImage(image, 0, 0);
          return canvas.toDataURL("image/png").split(",")[1];
        }""",
        selector,
    )
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return np.asarray(picture.convert("RGB"), int)
