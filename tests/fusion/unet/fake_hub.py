"""Small files in the formats of the model's, and a hub on this machine that serves them."""

import hashlib
import io
import json
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from fusion.engines.unet.weights import WEIGHT_FILES


def torch_file(words: int = 20_000) -> bytes:
    """An archive as torch writes it, with numbers that do not shrink."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        numbers = b"".join(struct.pack("<I", (i * 2654435761) % 2**32) for i in range(words))
        archive.writestr("archive/data/0", numbers)
    return made.getvalue()


def mat_file(elements: int = 2) -> bytes:
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    body = bytes(range(240))
    return head + (struct.pack("<II", 15, len(body)) + body) * elements


def jpeg_file() -> bytes:
    made = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(made, "JPEG")
    return made.getvalue()


def model_files() -> dict[str, bytes]:
    """Path in the model's folder -> content, for each of `WEIGHT_FILES`."""
    makers = {"torch": torch_file, "mat": mat_file, "jpeg": jpeg_file}
    return {file.name: makers[file.kind]() for file in WEIGHT_FILES}


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class Hub:
    """What is served, and what was asked for.

    files: path -> content. cut: path -> bytes after which the connection breaks, once.
    asked: (path, first byte) of each download.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.cut: dict[str, int] = {}
        self.asked: list[tuple[str, int]] = []
        self.listings = 0
        self.url = ""

    def listing(self) -> dict[str, Any]:
        entries = [
            {
                "Path": path,
                "Name": Path(path).name,
                "Type": "blob",
                "Size": len(content),
                "Sha256": hashlib.sha256(content).hexdigest(),
            }
            for path, content in self.files.items()
        ]
        return {"Code": 200, "Success": True, "Data": {"Files": entries}}


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve it on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            if asked.path.endswith("/repo/files"):
                hub.listings += 1
                root = query.get("Root", "").strip("/")
                answer = hub.listing()
                if root:
                    files = answer["Data"]["Files"]
                    answer["Data"]["Files"] = [f for f in files if f["Path"].startswith(root + "/")]
                self.answer(200, json.dumps(answer).encode(), "application/json")
            elif asked.path.endswith("/repo") and query.get("FilePath") in hub.files:
                self.send_file(query["FilePath"])
            else:
                refusal = {"Code": 404, "Message": "no such file", "Success": False}
                self.answer(404, json.dumps(refusal).encode(), "application/json")

        def send_file(self, path: str) -> None:
            content = hub.files[path]
            first = 0
            wanted = self.headers.get("Range")
            if wanted:
                first = int(wanted.removeprefix("bytes=").partition("-")[0])
            hub.asked.append((path, first))
            self.send_response(206 if first else 200)
            if first:
                span = f"bytes {first}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", span)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            cut = hub.cut.pop(path, None)
            self.wfile.write(content[first : first + cut if cut else None])
            if cut:
                self.close_connection = True

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
