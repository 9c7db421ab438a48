"""How long `python app.py` takes until the page answers.

Usage: python -m benchmarks.page_start [--runs N] [--json FILE]

Each run starts the server as a person would, on a free port with its files in a temporary
folder, asks for the page until it comes, and ends the server with SIGTERM. "answers" is the
wall time from the start of Python to the whole page; "ends" from the signal to the exit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0
BETWEEN_TRIES_S = 0.02


def measure() -> dict[str, float]:
    """One start and end, in seconds.

    Raises:
        RuntimeError: The server ended or did not answer.
    """
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "STUDIO_SERVER__PORT": str(port),
            "STUDIO_STORAGE__DIRECTORY": folder,
        }
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            kilobytes = wait_for_page(process, f"http://127.0.0.1:{port}/", begun) / 1000
            answers = time.perf_counter() - begun
            told = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
            ends = time.perf_counter() - told
        finally:
            process.kill()
            process.communicate()
    return {"answers_s": answers, "ends_s": ends, "page_kb": kilobytes}


def wait_for_page(process: subprocess.Popen[str], url: str, begun: float) -> int:
    """Ask until the page comes; its size in bytes.

    Raises:
        RuntimeError: The server ended or did not answer.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.perf_counter() - begun < PATIENCE_S:
        if process.poll() is not None:
            message = process.stderr.read() if process.stderr else ""
            raise RuntimeError(f"app.py ended with {process.returncode}: {message.strip()}")
        try:
            with opener.open(url, timeout=PATIENCE_S) as answer:
                return len(answer.read())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(BETWEEN_TRIES_S)
    raise RuntimeError(f"no answer within {PATIENCE_S:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="how many starts (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    runs = [measure() for _ in range(options.runs)]
    print(f"{'run':>4} {'answers':>9} {'ends':>8} {'page':>9}")
    for number, run in enumerate(runs, start=1):
        print(
            f"{number:>4} {run['answers_s']:>7.2f} s {run['ends_s']:>6.2f} s "
            f"{run['page_kb']:>6.0f} kB"
        )
    median = statistics.median(run["answers_s"] for run in runs)
    print(f"median {median:.2f} s, longest {max(run['answers_s'] for run in runs):.2f} s")
    if options.json:
        report: dict[str, Any] = {
            "benchmark": "page_start",
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "median_answers_s": median,
            "runs": runs,
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
