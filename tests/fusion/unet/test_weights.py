"""The files of ModelScope's model: found, checked, named when they are wrong, downloaded."""

import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from common.errors import DiskFullError, EngineUnavailableError, ModelMissingError
from common.settings import ModelScopeSettings
from fusion.engines.unet import weights
from fusion.engines.unet.weights import WEIGHT_FILES, Flaw
from tests.fusion.unet.fake_hub import mat_file, model_files, torch_file, write_files

NAMES = [file.name for file in WEIGHT_FILES]
MODEL = ModelScopeSettings().model
OWNER, NAME = MODEL.split("/")
LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # torch/serialization.py


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ModelScope's cache, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MODELSCOPE_CACHE", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with every file, small and whole."""
    made = tmp_path / "model"
    write_files(made, model_files())
    return made


def settings(folder: Path | None = None, revision: str = "v1.3") -> ModelScopeSettings:
    return ModelScopeSettings(folder=folder, revision=revision)


LAYOUTS = [
    f"models/{OWNER}--{NAME}/snapshots/v1.3",
    f"models/{OWNER}/{NAME}",
    f"hub/models/{OWNER}/{NAME}",
    f"{OWNER}/{NAME}",
    f"hub/{OWNER}/{NAME}",
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_modelscope_s_own_folders_are_found(cache: Path, layout: str) -> None:
    assert weights.find_folder(settings()) is None
    write_files(cache / layout, model_files())
    assert weights.find_folder(settings()) == cache / layout
    assert weights.require_folder(settings()) == cache / layout


ASK_MODELSCOPE = """
import json, sys
from modelscope.hub.snapshot_download import snapshot_download

model, *caches = sys.argv[1:]
answers = [snapshot_download(model, "v1.3", cache, local_files_only=True) for cache in caches]
print(json.dumps(answers))
"""


def test_modelscope_itself_looks_in_the_same_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unavailable: Callable[[str], NoReturn]
) -> None:
    if weights.missing_packages():
        unavailable("modelscope is not installed; ./run.sh --full installs it")
    found = []
    for number, layout in enumerate(LAYOUTS):
        cache = tmp_path / str(number)
        write_files(cache / layout, {"alpha.jpg": b"something"})
        monkeypatch.setenv("MODELSCOPE_CACHE", str(cache))
        found.append(str(weights.find_folder(settings())))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
    caches = [str(tmp_path / str(number)) for number in range(len(LAYOUTS))]
    done = subprocess.run(
        [sys.executable, "-c", ASK_MODELSCOPE, MODEL, *caches],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == found


def test_the_folder_with_the_most_files_is_taken(cache: Path) -> None:
    files = model_files()
    write_files(cache / LAYOUTS[0], {NAMES[0]: files[NAMES[0]]})
    (cache / LAYOUTS[1]).mkdir(parents=True)
    assert weights.find_folder(settings()) == cache / LAYOUTS[0]
    write_files(cache / LAYOUTS[3], files)
    assert weights.find_folder(settings()) == cache / LAYOUTS[3]


def test_another_revision_is_another_model(cache: Path) -> None:
    write_files(cache / LAYOUTS[0], model_files())
    assert weights.find_folder(settings(revision="master")) is None


def test_without_a_variable_the_cache_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODELSCOPE_CACHE", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert weights.cache_folder() == Path("/home/somebody/.cache/modelscope")


def test_the_configured_folder_wins(cache: Path, folder: Path) -> None:
    write_files(cache / LAYOUTS[0], model_files())
    assert weights.find_folder(settings(folder)) == folder
    assert weights.find_folder(settings(folder / "elsewhere")) is None
    with pytest.raises(ModelMissingError, match=r"elsewhere; run \./run\.sh models download"):
        weights.require_folder(settings(folder / "elsewhere"))


def test_each_missing_file_is_named(folder: Path) -> None:
    assert weights.missing_files(folder) == ()
    (folder / NAMES[1]).unlink()
    (folder / NAMES[3]).write_bytes(b"")
    assert weights.missing_files(folder) == (NAMES[1], NAMES[3])
    with pytest.raises(ModelMissingError) as caught:
        weights.require_folder(settings(folder))
    for told in (NAMES[1], NAMES[3], str(folder), "./run.sh models download"):
        assert told in caught.value.message


def test_whole_files_have_no_flaw(folder: Path) -> None:
    assert weights.verify(folder) == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_an_empty_and_a_foreign_file_are_told_apart(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(b"<html>no such page</html>" * 20)
    (flaw,) = weights.verify(folder)
    assert flaw.file == name
    assert flaw.reason.startswith("is not a ")
    path.write_bytes(b"")
    assert weights.verify(folder) == (Flaw(name, "is empty"),)
    path.unlink()
    assert weights.verify(folder) == (Flaw(name, "is missing"),)
    path.mkdir()
    assert weights.verify(folder) == (Flaw(name, "is a folder", lasting=True),)


def test_what_a_download_cannot_mend_is_left_alone(
    folder: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    if weights.missing_packages():
        unavailable("modelscope is not installed; ./run.sh --full installs it")
    (folder / NAMES[5]).unlink()
    (folder / NAMES[5]).mkdir()
    with pytest.raises(ModelMissingError, match=r"alpha.jpg is a folder; a download cannot mend"):
        weights.download(ModelScopeSettings(folder=folder), lambda sentence: None)
    assert (folder / NAMES[5]).is_dir()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kept", [0.3, 0.9, -1])
def test_a_file_that_is_cut_off_is_seen(folder: Path, name: str, kept: float) -> None:
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: -1 if kept < 0 else int(kept * len(content))])
    (flaw,) = weights.verify(folder)
    assert flaw.file == name
    assert "cut off" in flaw.reason or "not a whole" in flaw.reason


def test_damage_inside_a_network_s_file_is_seen(folder: Path) -> None:
    content = bytearray(torch_file())
    content[len(content) // 2] ^= 0xFF
    (folder / NAMES[0]).write_bytes(content)
    assert weights.verify(folder) == (Flaw(NAMES[0], "is damaged at archive/data/0"),)


def test_files_of_older_torch_versions_are_accepted(folder: Path) -> None:
    (folder / NAMES[1]).write_bytes(LEGACY + b"and what follows")
    assert weights.verify(folder) == ()


def test_an_archive_that_is_not_torch_s_is_seen(folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(folder / NAMES[2], "w") as archive:
        archive.writestr("readme.txt", "hello")
    (flaw,) = weights.verify(folder)
    assert flaw == Flaw(NAMES[2], "is an archive, but none that torch has written")


def test_bytes_behind_the_last_element_of_a_mat_file_are_seen(folder: Path) -> None:
    (folder / NAMES[3]).write_bytes(mat_file() + b"abc")
    assert weights.verify(folder) == (Flaw(NAMES[3], "is cut off"),)
    (folder / NAMES[3]).write_bytes(mat_file(0))
    assert weights.verify(folder) == (Flaw(NAMES[3], "is cut off"),)


def test_the_deep_check_names_a_file_that_does_not_fit(
    folder: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    if weights.missing_packages():
        unavailable("torch and modelscope are not installed; ./run.sh --full installs them")
    (flaw,) = weights.verify(folder, deep=True)  # small archives hold no network
    assert flaw.file in NAMES
    assert "does not fit" in flaw.reason


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(weights, "PACKAGES", ("yaml", "no_such_package", "nor_this_one"))
    assert weights.missing_packages() == ("no_such_package", "nor_this_one")
    for check in (weights.require_packages, lambda: weights.verify(folder, deep=True)):
        with pytest.raises(EngineUnavailableError) as caught:
            check()
        assert "no_such_package, nor_this_one, which are not installed" in caught.value.message
        assert "./run.sh --full setup" in caught.value.message


def test_a_download_without_the_packages_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, cache: Path, folder: Path
) -> None:
    monkeypatch.setattr(weights, "PACKAGES", ("no_such_package",))
    (folder / NAMES[0]).write_bytes(b"broken")
    for wanted in (settings(), settings(folder)):
        with pytest.raises(EngineUnavailableError, match=r"\./run\.sh --full models download"):
            weights.download(wanted, lambda _: None)
    assert (folder / NAMES[0]).read_bytes() == b"broken"


def test_whole_files_are_not_downloaded(folder: Path) -> None:
    said: list[str] = []
    assert weights.download(settings(folder), said.append) == folder
    assert said == [f"all 6 files are in {folder}; nothing was downloaded"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_seen_behind_other_errors(number: int) -> None:
    full = OSError(number, os.strerror(number))
    outer = RuntimeError("a file could not be downloaded")
    outer.__cause__ = full
    for error in (full, outer):
        with pytest.raises(DiskFullError, match=r"\./run\.sh models download again"):
            weights._raise_if_disk(error)
    weights._raise_if_disk(OSError(errno.EACCES, "not allowed"), RuntimeError())
