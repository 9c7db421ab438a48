"""What requirements.txt installs fits together, and nobody pays for it who does not use it."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).parents[1]

HEAVY = ("torch", "torchvision", "modelscope", "modelscope_hub", "tensorflow")
NETWORKS = "fusion.engines.unet.nets."
"""The only modules that bring torch in; everybody else imports them inside of functions."""

OWN_PACKAGES = f"""
import importlib, json, pkgutil, sys

names = ["common", "preprocess", "fusion", "studio", "app"]
for name in names[:4]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        names.append(module.name)
for name in names:
    if not name.startswith({NETWORKS!r}):
        importlib.import_module(name)
print(json.dumps({{"modules": names, "heavy": sorted(set({HEAVY!r}) & set(sys.modules))}}))
"""

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
""".replace("HEAVY", repr(HEAVY))
"""What a core installation is like: none of the large packages is there."""

ASK_FOR_MODELSCOPE = """
import json
from common.errors import EngineUnavailableError
from common.settings import Settings
from fusion.engines.registry import choose_engine, create_engine

try:
    create_engine("modelscope", Settings())
except EngineUnavailableError as error:
    message = error.message
print(json.dumps({
    "message": message,
    "auto": choose_engine("auto", Settings()).why,
    "engine": create_engine("auto", Settings()).capabilities.name,
}))
"""

BUILD_THE_PAGE = """
import json, sys, tempfile
from pathlib import Path
import app
from common.settings import Settings
from studio.service.storage import Storage

with tempfile.TemporaryDirectory() as folder:
    storage = Storage(Path(folder), 24)
    app.prepare_environment(storage)
    from studio.page.layout import build_page
    from studio.page.messages import for_page
    from studio.page.visits import Visits
    from studio.service.fusion_service import FusionService

    service = FusionService(Settings(), storage)
    build_page(service, Visits(60))
    told = for_page(service.engine_status().choice.why, Path(folder))
    service.close()
    storage.close()
print(json.dumps({"told": told, "heavy": sorted(set(HEAVY) & set(sys.modules))}))
""".replace("HEAVY", repr(HEAVY))

UNET_MODULES = """
import importlib, json, pkgutil, sys

import fusion.engines.unet.nets as own

for module in pkgutil.iter_modules(own.__path__, own.__name__ + "."):
    importlib.import_module(module.name)

import torch, torchvision

base = "modelscope.models.cv.image_face_fusion."
wanted = {
    "network.aei_flow_net": "AEI_Net",
    "network.bfm": "ParametricFaceModel",
    "network.facerecon_model": "ReconNetWrapper",
    "network.model_irse": "Backbone",
    "network.ops": "warp_affine_torch",
    "facegan.face_gan": "GPEN",
    "facelib.align_trans": "warp_and_crop_face",
}
lacking = [
    module + "." + name
    for module, name in wanted.items()
    if not hasattr(importlib.import_module(base + module), name)
]
boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 9.0, 8.0], [50.0, 50.0, 59.0, 59.0]])
kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9, 0.4]), 0.5)
print(json.dumps({
    "lacking": lacking,
    "tensorflow": "tensorflow" in sys.modules,
    "kept": kept.tolist(),
}))
"""


def run_python(code: str) -> Any:
    """Run code in a process of its own; answers the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def full_install(unavailable: Callable[[str], NoReturn]) -> None:
    for name in ("torch", "torchvision", "modelscope"):
        if importlib.util.find_spec(name) is None:
            unavailable(f"{name} is not installed; ./run.sh --full installs it")


def test_only_the_networks_bring_torch_in() -> None:
    found = run_python(OWN_PACKAGES)
    assert found["heavy"] == []
    assert {"common.settings", "preprocess.face_models", "fusion.request"} <= set(found["modules"])
    assert {"fusion.engines.modelscope_unet", NETWORKS + "networks"} <= set(found["modules"])


def test_everything_else_works_without_the_large_packages() -> None:
    found = run_python(WITHOUT + OWN_PACKAGES)
    assert found["heavy"] == []
    found = run_python(WITHOUT + BUILD_THE_PAGE)
    assert found["heavy"] == []
    assert found["told"]["en"].startswith(
        "Engine mesh is used because engine modelscope needs torch"
    )
    assert all("./run.sh --full setup" in text for text in found["told"].values())


@pytest.mark.parametrize(
    "arguments", [["--help"], ["fuse", "--help"], ["detect", "--help"], ["models", "--help"]]
)
def test_help_needs_none_of_the_large_packages(arguments: list[str]) -> None:
    code = f"{WITHOUT}from studio.cli import main\nprint()\nsys.exit(main({arguments!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: ./run.sh" in done.stdout


def test_asking_for_modelscope_without_it_names_what_is_missing() -> None:
    found = run_python(WITHOUT + ASK_FOR_MODELSCOPE)
    assert "torch, torchvision, modelscope" in found["message"]
    assert "./run.sh --full setup" in found["message"]
    assert found["engine"] == "mesh"
    assert "torch, torchvision, modelscope" in found["auto"]


def test_no_line_of_ours_names_tensorflow_s_modules() -> None:
    """modelscope's own class of the engine imports TensorFlow, and so would we through it."""
    importing = re.compile(
        r"^\s*(from|import)\s+(tensorflow|.*image_face_fusion\.image_face)", re.MULTILINE
    )
    for package in ("common", "preprocess", "fusion", "studio"):
        for path in (ROOT / package).rglob("*.py"):
            assert not importing.search(path.read_text(encoding="utf-8")), path


def test_torch_and_torchvision_and_the_unet_s_modules_import_together(full_install: None) -> None:
    found = run_python(UNET_MODULES)
    assert found["lacking"] == []
    assert not found["tensorflow"]  # modelscope's own detector would bring it
    assert found["kept"] == [1, 2]  # an operator that torchvision has compiled for torch
