"""./run.sh models: against a hub on this machine, never against the network."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fusion.engines.unet import weights
from fusion.engines.unet.weights import WEIGHT_FILES
from preprocess.face_models import MODEL_FILES
from tests.fusion.unet.fake_hub import Hub, model_files, serve, write_files

ROOT = Path(__file__).resolve().parents[2]
NAMES = [file.name for file in WEIGHT_FILES]
TENSORFLOW = "face_detect.pb"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """It has the model's files, and one that nobody needs."""
    with serve(Hub(model_files() | {TENSORFLOW: b"graph" * 100})) as served:
        yield served


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """run(*arguments, **variables) runs `models` with folders of its own and no network."""

    def start(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        own = {
            "MODELSCOPE_CACHE": str(tmp_path / "cache"),
            "MODELSCOPE_HOME": str(tmp_path / "home"),
            "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9",  # where nobody listens
            "MODELSCOPE_DOWNLOAD_MAX_RETRIES": "0",
            "MODELSCOPE_REPO_TREE_PAGE_MAX_ATTEMPTS": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", "studio.cli", "models", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **own, **variables},
        )

    return start


@pytest.fixture
def client(unavailable: Callable[[str], NoReturn]) -> None:
    if weights.missing_packages():
        unavailable("modelscope is not installed; ./run.sh --full installs it")


def report(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return dict(json.loads(done.stdout))


def failure(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    assert (done.returncode, done.stdout) == (4, "")
    return dict(json.loads(done.stderr.splitlines()[-1]))


def test_the_first_download_brings_what_is_needed_and_the_second_asks_nobody(
    client: None, hub: Hub, run: Run, tmp_path: Path
) -> None:
    done = report(run("download", MODELSCOPE_ENDPOINT=hub.url))
    folder = Path(done["folder"])
    assert folder.is_relative_to(tmp_path / "cache")
    assert done["files"] == NAMES
    for name in NAMES:
        assert (folder / name).read_bytes() == hub.files[name]
    assert sorted(hub.asked) == sorted((name, 0) for name in NAMES)
    assert not (folder / TENSORFLOW).exists()
    again = run("download")  # the hub is out of reach now
    assert report(again) == done
    assert "nothing was downloaded" in again.stderr
    assert report(run("verify"))["deep"] is False


def test_an_interrupted_download_goes_on_where_it_broke(client: None, hub: Hub, run: Run) -> None:
    hub.cut[NAMES[0]] = 30_000
    broken = failure(run("download", MODELSCOPE_ENDPOINT=hub.url))
    assert broken["error"] == "model_missing"
    for told in (NAMES[0], "run ./run.sh models download again"):
        assert told in broken["message"]
    hub.asked.clear()
    folder = Path(report(run("download", MODELSCOPE_ENDPOINT=hub.url))["folder"])
    assert hub.asked == [(NAMES[0], 30_000)]
    assert (folder / NAMES[0]).read_bytes() == hub.files[NAMES[0]]


def test_a_damaged_file_is_named_and_fetched_again(client: None, hub: Hub, run: Run) -> None:
    folder = Path(report(run("download", MODELSCOPE_ENDPOINT=hub.url))["folder"])
    content = hub.files[NAMES[4]]
    (folder / NAMES[4]).write_bytes(content[: len(content) // 2])
    named = failure(run("verify"))
    assert f"{folder / NAMES[4]} is cut off or damaged" in named["message"]
    assert "./run.sh models download" in named["message"]
    hub.asked.clear()
    again = run("download", MODELSCOPE_ENDPOINT=hub.url)
    report(again)
    assert f"{NAMES[4]} is cut off or damaged" in again.stderr
    assert hub.asked == [(NAMES[4], 0)]
    assert (folder / NAMES[4]).read_bytes() == content


def test_a_damaged_file_stays_where_no_whole_one_can_be_had(
    client: None, hub: Hub, run: Run
) -> None:
    folder = Path(report(run("download", MODELSCOPE_ENDPOINT=hub.url))["folder"])
    damaged = hub.files[NAMES[4]][:20_000]
    (folder / NAMES[4]).write_bytes(damaged)
    before = sorted(file.name for file in folder.rglob("*"))
    failure(run("download"))  # the hub is out of reach now
    assert (folder / NAMES[4]).read_bytes() == damaged
    assert sorted(file.name for file in folder.rglob("*")) == before


def test_a_file_that_the_hub_lacks_is_named(client: None, hub: Hub, run: Run) -> None:
    del hub.files[NAMES[2]]
    named = failure(run("download", MODELSCOPE_ENDPOINT=hub.url))
    assert f"{NAMES[2]} is missing" in named["message"]
    assert "modelscope.revision" in named["message"]


def test_a_folder_of_one_s_own_is_filled(client: None, hub: Hub, run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own folder"
    variables = {"MODELSCOPE_ENDPOINT": hub.url, "STUDIO_MODELSCOPE__FOLDER": str(own)}
    assert report(run("download", **variables))["folder"] == str(own)
    assert (own / NAMES[5]).read_bytes() == hub.files[NAMES[5]]


def test_a_hub_out_of_reach_says_what_to_do(client: None, run: Run) -> None:
    refused = failure(run("download"))
    assert refused["error"] == "model_missing"
    for told in ("damo/cv_unet-image-face-fusion_damo", "v1.3", "check the network"):
        assert told in refused["message"]


def test_without_modelscope_a_download_says_how_to_install_it(run: Run, tmp_path: Path) -> None:
    block = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'torchvision', 'modelscope'):\n"
        "            raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from studio.cli import main\n"
        "sys.exit(main(['models', 'download']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MODELSCOPE_CACHE": str(tmp_path)},
    )
    named = failure(done)
    assert named["error"] == "engine_unavailable"
    for told in ("torch, torchvision, modelscope", "./run.sh --full models download"):
        assert told in named["message"]


def test_the_list_names_every_file_and_its_state(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    files = model_files()
    files[NAMES[0]] = b"cut"
    del files[NAMES[3]]
    write_files(folder, files)
    done = run(
        "list", STUDIO_MODELSCOPE__FOLDER=str(folder), STUDIO_MODELS__DIRECTORY=str(tmp_path)
    )
    listed = {file["file"]: file for file in report(done)["files"]}
    assert list(listed) == [*(model.name for model in MODEL_FILES), *NAMES]
    states = {name: file["state"] for name, file in listed.items()}
    assert {states[model.name] for model in MODEL_FILES} == {"is missing"}
    assert states[NAMES[0]] == "is not a file that torch has written"
    assert states[NAMES[3]] == "is missing"
    assert {states[name] for name in (*NAMES[1:3], *NAMES[4:])} == {"whole"}
    whole = listed[NAMES[5]]
    assert (whole["path"], whole["bytes"]) == (str(folder / NAMES[5]), len(files[NAMES[5]]))
    assert whole["engines"] == ["modelscope"]
    assert listed[NAMES[3]]["bytes"] is None
    for name in listed:
        assert name in done.stderr
    assert "./run.sh models download and ./run.sh setup will get" in done.stderr


def test_verify_says_everything_that_is_missing(run: Run, tmp_path: Path) -> None:
    (tmp_path / MODEL_FILES[0].name).write_bytes(b"something else")
    named = failure(run("verify", STUDIO_MODELS__DIRECTORY=str(tmp_path)))
    assert named["error"] == "model_missing"
    assert f"{MODEL_FILES[0].name} is damaged" in named["message"]
    for name in (*(model.name for model in MODEL_FILES[1:]), *NAMES):
        assert f"{name} is missing" in named["message"]
    for command in ("./run.sh setup", "./run.sh models download"):
        assert command in named["message"]
