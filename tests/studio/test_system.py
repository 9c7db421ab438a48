"""What the System tab and `/system` tell: each figure against what it is taken from."""

import json
import os
import platform
import shutil
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from common.errors import OptionError
from common.progress import Progress
from common.settings import load_settings
from fusion.engines.registry import Choice
from fusion.engines.unet import weights
from fusion.engines.unet.devices import Gpu
from preprocess import face_models
from studio.page.calls.system import SystemCalls
from studio.page.visits import Visit, Visits
from studio.service.engines import EngineStatus
from studio.service.fusion_service import FusionService
from studio.service.storage import Storage
from studio.service.system import PACKAGES, report, versions


@pytest.fixture
def without_models(tmp_path: Path) -> Iterator[FusionService]:
    """A studio that was set up nowhere."""
    storage = Storage(tmp_path, 0.5)
    settings = load_settings(
        Path(os.devnull),
        {
            "STUDIO_MODELS__DIRECTORY": str(tmp_path / "none"),
            "STUDIO_MODELSCOPE__FOLDER": str(tmp_path / "none"),
            "STUDIO_SERVER__MAX_UPLOAD_MB": "7",
            "STUDIO_LIMITS__MAX_MEMORY_MB": "900",
            "STUDIO_LIMITS__DEADLINE_S": "33",
            "STUDIO_STORAGE__KEEP_HOURS": "0.5",
        },
    )
    made = FusionService(settings, storage)
    yield made
    made.close()
    storage.close()


def test_the_usual_engine_its_device_and_why(service: FusionService) -> None:
    told = report(service).engine
    assert (told.name, told.device, told.problem) == ("mesh", "cpu", None)
    assert told.reason == service.engine_status().choice.why


def test_an_engine_that_cannot_run_here_says_why(
    without_models: FusionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = weights.require_folder
    with pytest.raises(weights.ModelMissingError) as caught:
        problem(without_models.settings.modelscope)
    status = EngineStatus(Choice("modelscope", "asked"), caught.value, ())
    monkeypatch.setattr(without_models, "engine_status", lambda: status)
    told = report(without_models).engine
    assert (told.name, told.device) == ("modelscope", None)
    assert told.problem == caught.value.message


def test_every_gpu_with_its_memory(service: FusionService, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu("One", 8000.4, 1000.2, 37)
    status = service.engine_status()
    changed = EngineStatus(status.choice, status.problem, (gpu,))
    monkeypatch.setattr(service, "engine_status", lambda: changed)
    (told,) = report(service).engine.gpus
    assert (told.name, told.total_mb, told.used_mb, told.utilisation) == ("One", 8000, 1000, 37)


def test_memory_disk_and_cores_are_this_machines(service: FusionService) -> None:
    told = report(service).machine
    assert 1 <= told.cores <= (os.cpu_count() or 1)
    assert 50 < told.memory_own_mb < told.memory_total_mb
    assert 0 < told.memory_free_mb <= told.memory_total_mb
    disk = shutil.disk_usage(service.storage.directory)
    assert told.disk_total_mb == round(disk.total / 2**20)
    assert told.disk_free_mb == pytest.approx(disk.free / 2**20, abs=2000)  # others write as well


def test_jobs_that_run_and_wait_are_counted(service: FusionService) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(progress: Progress) -> None:
        begun.set()
        go_on.wait(30)

    first = service.queue.submit(work)
    assert begun.wait(30)
    second = service.queue.submit(work)
    told = report(service)
    go_on.set()
    for job in (first, second):
        job.result()
    assert (told.fusions.running, told.fusions.waiting) == (1, 1)
    assert (told.fusions.most_running, told.fusions.most_waiting) == (1, 1)
    assert (told.uploads.running, told.uploads.most_running) == (0, 2)
    assert report(service).fusions.running == 0


def test_models_that_are_here_need_nothing(service: FusionService) -> None:
    faces, _ = report(service).models
    assert (faces.name, faces.files) == ("faces", len(face_models.MODEL_FILES))
    assert (faces.missing, faces.packages, faces.commands) == ((), (), ())


def test_missing_models_are_named_with_what_gets_them(
    without_models: FusionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "missing_packages", lambda: ("torch", "addict"))
    faces, modelscope = report(without_models).models
    assert faces.missing == tuple(model.name for model in face_models.MODEL_FILES)
    assert faces.commands == (face_models.COMMAND,)
    assert modelscope.missing == tuple(file.name for file in weights.WEIGHT_FILES)
    assert modelscope.packages == ("torch", "addict")
    # The files can only be fetched once the packages are there.
    assert modelscope.commands == (weights.INSTALL, weights.COMMAND)


def test_a_cut_off_face_model_counts_as_missing(
    without_models: FusionService, model_directory: Path
) -> None:
    folder = without_models.settings.models.directory
    assert folder is not None
    shutil.copytree(model_directory, folder, ignore=shutil.ignore_patterns("compiled"))
    name = face_models.MODEL_FILES[0].name
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    assert report(without_models).models[0].missing == (name,)


def test_versions_are_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    told = versions()
    assert told["python"] == platform.python_version()
    assert told["numpy"] == sys.modules["numpy"].__version__
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'version = "{told["studio"]}"' in project

    def nothing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    assert set(versions()) == {"studio", "python"}
    assert {"numpy", "torch", "libvips", "gradio"} <= set(PACKAGES)


def test_torch_is_not_imported_to_learn_its_version(service: FusionService) -> None:
    before = "torch" in sys.modules
    report(service)
    assert ("torch" in sys.modules) == before


def test_limits_are_the_settings(without_models: FusionService) -> None:
    told = report(without_models).limits
    assert (told.upload_mb, told.memory_mb, told.deadline_s) == (7, 900, 33.0)
    assert (told.megapixels, told.keep_hours) == (390.0, 0.5)


def test_the_report_is_plain_data(service: FusionService) -> None:
    told = report(service).as_dict()
    assert json.loads(json.dumps(told))["fusions"]["most_running"] == 1
    assert told["models"][0]["name"] == "faces"


# --- the call ---


def test_the_call_tells_sentences_in_both_languages_and_no_place_of_files(
    without_models: FusionService, visits: Visits, visit: Visit
) -> None:
    view = SystemCalls(without_models, visits).system(visit, {})
    reason = view["engine"]["reason"]
    assert reason["en"].startswith("Engine mesh is used because")
    assert "引擎" in reason["zh"]
    assert view["engine"]["device"] == "CPU"
    assert str(without_models.storage.directory) not in json.dumps(view)
    assert "/none" not in json.dumps(view)


def test_the_text_to_copy_holds_every_figure(
    without_models: FusionService, visits: Visits, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = without_models.engine_status()
    gpus = (Gpu("One", 8000, 1000, 37), Gpu("Two", 4000, 100))
    changed = EngineStatus(status.choice, status.problem, gpus)
    monkeypatch.setattr(without_models, "engine_status", lambda: changed)
    view = SystemCalls(without_models, visits).system(visit, {})
    text = view["text"]
    assert f"python {platform.python_version()}\n" in text
    assert "engine: mesh on cpu\n" in text
    assert view["engine"]["reason"]["en"] in text
    assert "GPU: One, 1000 of 8000 MiB used, 37 % busy\n" in text
    assert "GPU: Two, 100 of 4000 MiB used\n" in text
    assert "fusions: 0 of 2 running, 0 of 16 waiting\n" in text
    assert f"models of faces: missing {face_models.MODEL_FILES[0].name}, " in text
    assert text.endswith(
        "limits: upload 7 MB, 390 megapixels, memory 900 MiB, 33 s for a job, files kept 0.5 h"
    )


def test_the_call_takes_nothing(service: FusionService, visits: Visits, visit: Visit) -> None:
    with pytest.raises(OptionError):
        SystemCalls(service, visits).system(visit, {"more": 1})
