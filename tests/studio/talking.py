"""What a browser does with the calls, without one."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from studio.page.calls import Data
from studio.page.calls.fuse import FuseCalls
from studio.page.visits import Visit
from studio.service.fusion_service import FusionService
from tests.studio.loops import run


def upload(service: FusionService, name: str, picture: NDArray[Any] | bytes) -> str:
    """Put a file where uploads lie; its path."""
    path = service.storage.new_file(name)
    if isinstance(picture, bytes):
        path.write_bytes(picture)
    else:
        Image.fromarray(picture).save(path)
    return str(path)


def start(calls: FuseCalls, visit: Visit, wish: Data, **controls: object) -> str:
    """Have a wish fulfilled with other controls; the job's id."""
    sent = wish | {"controls": wish["controls"] | controls}
    job: str = calls.start(visit, {"wish": sent})["job"]
    return job


def follow(calls: FuseCalls, visit: Visit) -> list[Data]:
    """All that is told of the latest fusion, its end last."""
    seen: list[Data] = []
    while not seen or seen[-1]["state"] == "busy":
        last = seen[-1]["seen"] if seen else ""
        seen.append(run(calls.follow(visit, {"seen": last})))
    return seen


def decoded(answer: Data) -> NDArray[Any]:
    """The picture in an answer, H x W x 3."""
    head, _, encoded = answer["image"].partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return np.asarray(picture.convert("RGB"), int)


def opened(path: Path | str) -> NDArray[Any]:
    """A file's pixels, H x W x 3."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), int)
