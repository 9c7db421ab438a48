"""Fixtures that several folders share.

What a test needs and this machine lacks makes the test skip with a line that says so; under
CI (the variable CI is "true") it fails instead, for there everything has to be tested.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from numpy.typing import NDArray

from common.errors import ModelMissingError
from common.settings import load_settings
from preprocess.face_models import MODEL_FILES, require_model
from preprocess.face_models import model_directory as find_model_directory


def _unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it under CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str], NoReturn]:
    """Call it with a sentence that says what this machine lacks for the test."""
    return _unavailable


@pytest.fixture(scope="session")
def faces_folder() -> Path:
    """The folder of portraits that the environment variable STUDIO_FACES names."""
    named = os.environ.get("STUDIO_FACES")
    if not named:
        _unavailable("STUDIO_FACES does not name a folder of portraits")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"STUDIO_FACES names {folder}, which is no folder", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def model_directory() -> Path:
    """The cache folder with every face model, as ./run.sh setup left it."""
    directory = find_model_directory(load_settings().models.directory)
    try:
        for model in MODEL_FILES:
            require_model(model.name, directory)
    except ModelMissingError as error:
        _unavailable(error.message)
    return directory


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """Answers the path of one of the system's programs, such as chromium or jpegtran."""

    def find(name: str) -> str:
        path = shutil.which(name)
        return path or _unavailable(f"the program {name} is not installed")

    return find


@pytest.fixture(scope="session")
def astronaut() -> NDArray[Any]:
    """Eileen Collins (NASA, public domain): 512 x 512 x 3 uint8 RGB; read-only."""
    from skimage.data import astronaut as load  # here: only those who ask pay for it

    picture = np.asarray(load())
    picture.flags.writeable = False
    return picture


@pytest.fixture(scope="session")
def cuda() -> str:
    """The CUDA device to test on, for tests with the mark `gpu`.

    Without one they are skipped everywhere, under CI as well: no machine of ours has to have one.
    """
    from fusion.engines.unet.devices import gpu_status

    if not gpu_status():
        pytest.skip("needs an NVIDIA GPU")
    return "cuda:0"
