"""Starting and ending app.py: the sentence and the exit code for what can be wrong."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, free_port, running_server


def run_app(tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "STUDIO_CONFIG": os.devnull,
        "STUDIO_SERVER__PORT": str(free_port()),
        "STUDIO_STORAGE__DIRECTORY": str(tmp_path),
        **settings,
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_one_sentence(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ended.stdout == ""
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    for word in words:
        assert word in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_serves_until_a_signal_and_leaves_nothing(
    tmp_path: Path, model_directory: Path, number: signal.Signals
) -> None:
    with running_server(tmp_path, model_directory) as server:
        with urllib.request.urlopen(server.url, timeout=10) as answer:
            assert answer.status == 200
            page = answer.read().decode()
        assert "githubusercontent" not in page
        assert "googleapis" not in page
        server.process.send_signal(number)
        assert server.process.wait(20) == 0
    assert server.log == [f"{server.url}\n"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_nohup_keeps_it_serving(tmp_path: Path, model_directory: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a child inherits it
    try:
        with running_server(tmp_path, model_directory) as server:
            server.process.send_signal(signal.SIGHUP)
            with urllib.request.urlopen(server.url, timeout=10) as answer:
                assert answer.status == 200
            assert server.end() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_taken_port_is_a_sentence(tmp_path: Path, model_directory: Path) -> None:
    with running_server(tmp_path, model_directory) as server:
        port = server.url.rpartition(":")[2]
        ended = run_app(
            tmp_path, STUDIO_SERVER__PORT=port, STUDIO_MODELS__DIRECTORY=str(model_directory)
        )
    assert ended.returncode == 2
    assert_one_sentence(ended, f"127.0.0.1:{port}", "server.port")


def test_missing_models_are_a_sentence_that_says_what_to_run(tmp_path: Path) -> None:
    ended = run_app(tmp_path, STUDIO_MODELS__DIRECTORY=str(tmp_path / "none"))
    assert ended.returncode == 4
    assert_one_sentence(ended, "run.sh", str(tmp_path / "none"))


def test_a_wrong_setting_is_a_sentence_that_names_it(tmp_path: Path) -> None:
    ended = run_app(tmp_path, STUDIO_LIMITS__CONCURRENT="7")
    assert ended.returncode == 2
    assert_one_sentence(ended, "limits.concurrent", "STUDIO_LIMITS__CONCURRENT")


def test_an_unusable_storage_folder_is_a_sentence(tmp_path: Path, model_directory: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    ended = run_app(
        tmp_path,
        STUDIO_STORAGE__DIRECTORY=str(blocked),
        STUDIO_MODELS__DIRECTORY=str(model_directory),
    )
    assert ended.returncode == 2
    assert_one_sentence(ended, "storage.directory", str(blocked))
