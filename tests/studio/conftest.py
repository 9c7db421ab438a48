import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.settings import load_settings
from studio.service.fusion_service import FusionService
from studio.service.storage import Storage

EMPTY_CONFIG = Path(os.devnull)  # every setting at its default


@pytest.fixture
def service(tmp_path: Path, model_directory: Path) -> Iterator[FusionService]:
    """The real service on small limits, its files in the test's own folder."""
    settings = load_settings(
        EMPTY_CONFIG,
        {
            "STUDIO_MODELS__DIRECTORY": str(model_directory),
            "STUDIO_MODELSCOPE__FOLDER": os.devnull,  # engine mesh, whatever this machine has
            "STUDIO_LIMITS__CONCURRENT": "1",
            "STUDIO_LIMITS__QUEUE": "1",
            "STUDIO_LIMITS__MAX_MEGAPIXELS": "50",
            "STUDIO_PAGE__PREVIEW_PX": "256",
        },
    )
    storage = Storage(tmp_path, 24)
    made = FusionService(settings, storage)
    yield made
    made.close()
    storage.close()
