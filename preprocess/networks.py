"""The four small face networks on LiteRT, borrowed from a pool by one thread at a time.

Inputs and outputs (checked by running the files; source: MediaPipe, Apache-2.0):
    full range detector   1x192x192x3 in [-1, 1] -> 2304 anchors x 16, 2304 logits
    short range detector  1x128x128x3 in [-1, 1] -> 896 anchors x 16, 896 logits
    face mesh             1x192x192x3 in [0, 1]  -> 468 x 3 in crop pixels, presence logit
    eye                   1x64x64x3 in [0, 1]    -> 71 x 3 contour, 5 x 3 iris, crop pixels
"""

from __future__ import annotations

import errno
import os
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common.errors import MemoryLimitError, ModelMissingError
from common.types import FloatArray
from preprocess.face_models import require_model

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

FULL_RANGE = "face_detection_full_range_sparse.tflite"
SHORT_RANGE = "face_detection_short_range.tflite"
MESH = "face_landmark.tflite"
EYE = "iris_landmark.tflite"

_THREADS = 2  # a network runs 1-2 ms; more threads only add hand-over time
_construction = threading.Lock()

# LiteRT tells in words what went wrong; 12 is what the system says when no memory is left.
_NO_MEMORY = re.compile(f"error '{errno.ENOMEM}'|allocat|insufficient memory", re.IGNORECASE)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Hide LiteRT's "Created TensorFlow Lite XNNPACK delegate" line.

    It is written by C++ straight to descriptor 2 and no log level reaches it; the command
    line promises that a failure prints one line of JSON there.
    """
    saved = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(silent)


class Network:
    """One loaded model file."""

    def __init__(self, file: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with _construction, _silent_stderr():
                self._interpreter: Interpreter = Interpreter(
                    model_path=str(file), num_threads=_THREADS
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            if _NO_MEMORY.search(str(error)):
                raise MemoryLimitError(
                    f"the memory was not enough to load the face model {file}; free some"
                ) from error
            raise ModelMissingError(
                f"the face model {file} cannot be loaded ({error}); "
                "delete it and run ./run.sh once more to fetch it again"
            ) from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def run(self, image: FloatArray) -> list[FloatArray]:
        """Answers the outputs for one H x W x 3 float32 image, batch axis removed."""
        self._interpreter.set_tensor(self._input, image[np.newaxis])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


class NetworkSet:
    """The four networks; not thread-safe, so `NetworkPool` hands each set to one thread."""

    def __init__(self, directory: Path) -> None:
        names = (FULL_RANGE, SHORT_RANGE, MESH, EYE)
        files = {name: require_model(name, directory) for name in names}
        self.full_range = Network(files[FULL_RANGE])
        self.short_range = Network(files[SHORT_RANGE])
        self.mesh = Network(files[MESH])
        self.eye = Network(files[EYE])


class NetworkPool:
    """Loads network sets as they are needed and keeps them for the next borrower."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._idle: queue.LifoQueue[NetworkSet] = queue.LifoQueue()

    @contextmanager
    def borrow(self) -> Iterator[NetworkSet]:
        """A set for the calling thread alone.

        Raises:
            ModelMissingError: A model file is absent or broken.
        """
        try:
            networks = self._idle.get_nowait()
        except queue.Empty:
            networks = NetworkSet(self._directory)
        try:
            yield networks
        finally:
            self._idle.put(networks)
