"""What requirements.txt installs fits together, and nobody pays for it who does not use it."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).parents[1]

OWN_PACKAGES = """
import importlib, json, pkgutil, sys

names = ["common", "preprocess", "fusion", "studio"]
for name in list(names):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        names.append(module.name)
        importlib.import_module(module.name)
heavy = {"torch", "torchvision", "modelscope", "tensorflow"} & set(sys.modules)
print(json.dumps({"modules": names, "heavy": sorted(heavy)}))
"""

UNET_MODULES = """
import importlib, json, sys

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


def test_our_packages_import_without_torch() -> None:
    found = run_python(OWN_PACKAGES)
    assert found["heavy"] == []
    assert {"common.settings", "preprocess.face_models", "fusion.request"} <= set(found["modules"])


def test_torch_and_torchvision_and_the_unet_s_modules_import_together(full_install: None) -> None:
    found = run_python(UNET_MODULES)
    assert found["lacking"] == []
    assert not found["tensorflow"]  # modelscope's own detector would bring it
    assert found["kept"] == [1, 2]  # an operator that torchvision has compiled for torch
