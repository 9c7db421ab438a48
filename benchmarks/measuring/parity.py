"""The sides of the comparison with ModelScope's class, each in a process of its own."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring.portraits import one_of_each, portraits
from benchmarks.measuring.studio_runs import Studio
from common.types import ByteArray, Face, Region, Size
from preprocess.libvips import vips
from preprocess.window import scaled_size

_HALF = {"cpu": "bfloat16", "cuda": "float16"}
DEVICES = tuple(_HALF)
SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_ROOT = Path(__file__).resolve().parent.parent.parent


def sides_on(device: str) -> tuple[str, str, str]:
    """The class, the engine in float32 and in the device's 16-bit numbers, in this order."""
    return "official", "float32", _HALF[device]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture in a file, upright sRGB of 8 bits, and its faces, the largest first."""

    file: Path
    size: Size
    faces: tuple[Face, ...]

    def save(self) -> None:
        """Write the faces beside the picture, for the other process."""
        _beside(self.file).write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, file: Path) -> Scene:
        """What `save` wrote for the picture in a file."""
        scene = pickle.loads(_beside(file).read_bytes())
        assert isinstance(scene, Scene)
        return scene

    def pixels(self) -> ByteArray:
        """All of it, H x W x 3."""
        image = vips().Image.new_from_file(str(self.file), access="sequential")
        pixels: ByteArray = image.numpy()
        return pixels


@dataclass(frozen=True, slots=True)
class Job:
    """Faces of a target and the pictures whose largest faces replace them, in this order."""

    target: Path
    faces: tuple[int, ...]
    sources: tuple[Path, ...]
    out: Path


@dataclass(frozen=True, slots=True)
class Done:
    """What a side answers, see above."""

    seconds: float
    region: Region
    peak_mb: float


class Side:
    """The process of one side, as the benchmark talks to it.

    Args:
        side: One of `sides_on`.
        device: One of `DEVICES`.
        model: Folder of the model's files.
        scratch: A folder for what torch keeps on disk.
    """

    def __init__(self, side: str, device: str, model: Path, scratch: Path) -> None:
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(scratch / "torch")}
        if device == "cpu":
            environment["CUDA_VISIBLE_DEVICES"] = ""  # the class takes a GPU wherever there is one
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measuring.parity_side", side, device, str(model)],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._side = side

    def do(self, job: Job) -> Done:
        """Have a job done.

        Raises:
            SystemExit: The process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        names = {"target": str(job.target), "out": str(job.out)}
        parts = {"faces": job.faces, "sources": [str(file) for file in job.sources]}
        self._process.stdin.write(json.dumps(names | parts) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the side {self._side} ended with {self._process.wait()}")
        found = json.loads(answer)
        return Done(found["seconds"], Region(*found["region"]), found["peak_mb"])

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Stage:
    """Portraits as files of the sizes wanted, with their faces.

    Args:
        scratch: A folder for the files.
    """

    def __init__(self, studio: Studio, scratch: Path) -> None:
        self._studio = studio
        self.scratch = scratch
        self._known: dict[Path, Scene] = {}

    def portraits(self, folder: Path) -> list[Path]:
        """The first picture of every person that shows one face."""
        return one_of_each(self._studio.with_one_face(portraits(folder)))

    def scaled(self, file: Path, longer: int, enlarge: bool = True) -> Path:
        """The picture with that longer side; smaller ones may stay as they are."""
        own = self._studio.open(file).size
        factor = longer / own.longer
        at = scaled_size(own, factor if enlarge else min(1.0, factor))
        copy = self.scratch / f"{file.stem}_{at}.png"
        if copy not in self._known:
            image = vips().Image.new_from_array(self._studio.pixels(file))
            self.keep(copy, resized(image, at))
        return copy

    def keep(self, file: Path, image: Any) -> Scene:
        """Write a picture, and its faces for the other processes."""
        image.pngsave(str(file), compression=1)
        faces = self._studio.faces(file)
        if not faces:
            raise SystemExit(f"no face was found in {file.name}")
        self._known[file] = Scene(file, Size(image.width, image.height), faces)
        self._known[file].save()
        return self._known[file]

    def scene(self, file: Path) -> Scene:
        """A picture that was made before."""
        return self._known[file]


def resized(image: Any, at: Size) -> Any:
    """A picture of libvips at another size, without keeping its proportions."""
    return image.thumbnail_image(at.width, height=at.height, size="force")


def _beside(file: Path) -> Path:
    return file.with_suffix(".faces")
