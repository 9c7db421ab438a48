import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.settings import load_settings
from fusion.request import FaceSelection
from studio.page.calls import Data
from studio.page.calls.fuse import FuseCalls
from studio.page.visits import Visit, Visits
from studio.service.controls import Controls
from studio.service.fusion_service import FusionService
from studio.service.storage import Storage
from studio.service.wish import Photo, Wish

EMPTY_CONFIG = Path(os.devnull)  # every setting at its default
Pair = tuple[Photo, Photo]


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


@pytest.fixture
def demo(service: FusionService) -> Pair:
    """Target and source of the demo, looked at."""
    return service.look_at_demo("target").result(), service.look_at_demo("source").result()


@pytest.fixture
def wish_for(service: FusionService) -> Callable[..., Wish]:
    """Makes a wish: the target, a source or several, and controls by name."""

    def make(
        target: Photo,
        sources: Photo | tuple[Photo, ...],
        faces: tuple[tuple[int | None, int], ...] = ((None, 0),),
        **controls: object,
    ) -> Wish:
        several = sources if isinstance(sources, tuple) else (sources,)
        chosen = Controls.read(controls, service.settings)
        return Wish(target, several, FaceSelection(pairs=faces), chosen)

    return make


@pytest.fixture
def two_heads(astronaut: np.ndarray) -> Image.Image:
    """The same head twice, 300 and 240 px high, side by side: face 0 is the left one."""
    head = Image.fromarray(astronaut).crop((60, 0, 360, 300))
    beside = Image.new("RGB", (600, 300))
    beside.paste(head, (0, 0))
    beside.paste(head.resize((240, 240)), (330, 30))
    return beside


@pytest.fixture
def visits(service: FusionService) -> Visits:
    return Visits(3600, left=lambda visit: service.live.forget(visit.key))


@pytest.fixture
def visit(visits: Visits) -> Visit:
    """An open page."""
    return visits.find("anna", "one")


@pytest.fixture
def calls(service: FusionService, visits: Visits) -> FuseCalls:
    return FuseCalls(service, visits)


@pytest.fixture
def asked(calls: FuseCalls, visit: Visit) -> Data:
    """The wish that a browser sends to have the demo pair fused."""
    pair = calls.demo(visit, {})
    return {
        "target": pair["target"]["id"],
        "sources": [pair["source"]["id"]],
        "faces": [[None, 0]],
        "controls": {},
    }
