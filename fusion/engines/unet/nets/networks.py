"""ModelScope's five networks behind one door: numpy arrays in, numpy arrays out."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from common.errors import EngineUnavailableError, OptionError
from common.types import FloatArray
from fusion.engines.unet.nets import loading
from fusion.engines.unet.nets.enhancing import Enhancer
from fusion.engines.unet.nets.fusing import Fuser
from fusion.engines.unet.nets.landmarks import JawModel
from fusion.engines.unet.nets.layers import LAST, Place
from fusion.engines.unet.nets.recognition import Recogniser, Reconstruction
from preprocess.libvips import return_free_blocks

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_CROP_PX = 256
_NO_MEMORY = (
    "DefaultCPUAllocator",
    "could not create a memory object",
    "unable to mmap",
    "ALLOC_FAILED",
    "out of memory",
)
"""What torch's messages say where it has no class of error: of the processor's memory, of oneDNN's,
cuDNN's and cuBLAS', and of a GPU that others have filled."""


@dataclass(frozen=True, slots=True)
class _Parts:
    recognise: Callable[[Tensor], Tensor]
    reconstruct: Callable[[Tensor], Tensor]
    fuse: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    enhance: Callable[[Tensor], Tensor]
    jaw: JawModel


class Networks:
    """The networks on one device, in forms that compute what ModelScope's classes do.

    Methods may be called from several threads; one at a time computes. On the CPU pictures go
    through one by one, so that each is the same whatever it is computed with, and a batch needs
    no more memory than one. Where the networks are compiled likewise: each size of a batch would
    be compiled anew.

    mask: 256 x 256 x 3 in [0, 1], where the fused crop is opaque; channels as in the file
        read by OpenCV.
    """

    def __init__(self, parts: _Parts, place: Place, mask: FloatArray, compiled: bool) -> None:
        self.mask = mask
        self._compiled = compiled
        self._parts: _Parts | None = parts
        self._place = place
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", dtype: str = "float32", compiled: bool = False
    ) -> Networks:
        """Read the model folder.

        Args:
            device: "cpu", "cuda" or "cuda:1" and so on.
            dtype: "float32", "bfloat16" or (on a GPU) "float16"; of the layers that stand it.
            compiled: Whether torch.compile makes the networks over, at the first picture and in
                minutes.

        Raises:
            ModelMissingError: A file is absent, damaged or not the one expected.
            EngineUnavailableError: The device is not there.
            OptionError: The device or dtype is unknown or they do not go together.
            MemoryError: The device has too little memory.
        """
        place = _place(device, dtype, packed=not compiled)
        mask = _mask(folder)
        with _computing(place):
            parts = _Parts(
                recognise=Recogniser(loading.load_identity(folder), place),
                reconstruct=Reconstruction(loading.load_shape(folder), place),
                fuse=Fuser(loading.load_fusing(folder), place),
                enhance=Enhancer(loading.load_enhancing(folder), place),
                jaw=JawModel(folder),
            )
        return cls(_compiled(parts) if compiled else parts, place, mask, compiled)

    def identities(self, crops: FloatArray) -> FloatArray:
        """N x 512 of unit length, of aligned crops N x 256 x 256 x 3 RGB in [0, 1]."""
        with self._computing() as parts:
            return _array(self._each(parts.recognise, self._tensor(crops) * 2 - 1))

    def coefficients(self, crops: FloatArray) -> FloatArray:
        """N x 257 of the 3-D face model, of aligned crops N x 256 x 256 x 3 RGB in [0, 1]."""
        with self._computing() as parts:
            return _array(self._each(parts.reconstruct, self._tensor(crops)))

    def fuse(
        self, crops: FloatArray, identities: FloatArray, fused: FloatArray, own: FloatArray
    ) -> FloatArray:
        """The fused faces, N x 256 x 256 x 3 RGB in [0, 1].

        Args:
            crops: The targets, aligned, N x 256 x 256 x 3 RGB in [0, 1].
            identities: Who they become, N x 512 of unit length.
            fused: Coefficients of the form wanted, N x 257.
            own: Coefficients of the targets, N x 257.
        """
        with self._computing() as parts:
            given = (
                self._tensor(crops) * 2 - 1,
                self._vectors(identities),
                self._vectors(parts.jaw.points(fused)),
                self._vectors(parts.jaw.points(own)),
            )
            return _pictures(self._each(parts.fuse, *given))

    def enhance(self, crops: FloatArray) -> FloatArray:
        """Faces painted anew, N x 1024 x 1024 x 3 RGB in [0, 1], of crops like them."""
        with self._computing() as parts:
            return np.concatenate(
                [_pictures(parts.enhance(self._tensor(crop[None]) * 2 - 1)) for crop in crops]
            )

    def close(self) -> None:
        """Give the memory back; the networks cannot be used afterwards."""
        with self._lock:
            self._parts = None
            if self._compiled:
                torch.compiler.reset()  # what it has compiled holds weights and buffers
            # Frames that hold layers hang in cycles: those of `load`, when torch's compiler was
            # imported meanwhile, and those of work that failed.
            gc.collect()
            return_free_blocks()
            if not self._place.on_cpu:
                # Every thread that computed has one, inside of a block that may be far larger.
                torch._C._cuda_clearCublasWorkspaces()
                torch.cuda.empty_cache()

    @contextmanager
    def _computing(self) -> Iterator[_Parts]:
        with self._lock:
            if self._parts is None:
                raise EngineUnavailableError(
                    "the networks were unloaded; the next request loads them again"
                )
            with _computing(self._place):
                yield self._parts

    def _each(self, network: Callable[..., Tensor], *given: Tensor) -> Tensor:
        """A batch through a network: at once on a GPU, else one by one."""
        if not (self._place.on_cpu or self._compiled):
            return network(*given)
        singly = zip(*(torch.split(values, 1) for values in given), strict=True)
        return torch.cat([network(*one) for one in singly])

    def _tensor(self, pictures: FloatArray) -> Tensor:
        """N x 3 x H x W, channels last in memory, on the device."""
        tensor = torch.from_numpy(np.ascontiguousarray(pictures, np.float32))
        tensor = tensor.to(self._place.device).permute(0, 3, 1, 2)
        return tensor.contiguous(memory_format=LAST)

    def _vectors(self, values: FloatArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self._place.device)


@contextmanager
def _computing(place: Place) -> Iterator[None]:
    """No gradients, no rounding to TensorFloat-32, the same bytes each time; memory's errors."""
    try:
        with torch.inference_mode():
            if place.on_cpu:
                yield
                return
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ):
                yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(f"{place.device} is out of memory") from error
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _NO_MEMORY):
            raise
        raise MemoryError(f"the networks need more memory than {place.device} has") from error


def _place(device: str, dtype: str, packed: bool) -> Place:
    if dtype not in _DTYPES:
        raise OptionError(f"dtype {dtype} is unknown; {', '.join(_DTYPES)} are accepted")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise OptionError(
            f"device {device} is unknown; cpu, cuda and cuda:N are accepted"
        ) from error
    if found.type == "cpu":
        if dtype == "float16":
            raise OptionError("float16 needs a GPU; on the cpu, bfloat16 or float32 is accepted")
    elif found.type != "cuda":
        raise OptionError(f"device {device} is not supported; cpu, cuda, cuda:N are")
    elif (found.index or 0) >= torch.cuda.device_count():
        raise EngineUnavailableError(
            f"device {device} cannot be used: torch finds {torch.cuda.device_count()} CUDA "
            "devices; set modelscope.device to cpu in config.yaml, or use engine mesh"
        )
    return Place(found, _DTYPES[dtype], packed)


def _compiled(parts: _Parts) -> _Parts:
    # Without CUDA graphs: torch ties them to one thread (its issue 123177).
    return _Parts(
        recognise=torch.compile(parts.recognise, dynamic=False),
        reconstruct=torch.compile(parts.reconstruct, dynamic=False),
        fuse=torch.compile(parts.fuse, dynamic=False),
        enhance=torch.compile(parts.enhance, dynamic=False),
        jaw=parts.jaw,
    )


def _mask(folder: Path) -> FloatArray:
    path = folder / loading.MASK
    if not path.is_file():
        raise loading.broken(path, "is not there")
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise loading.broken(path, f"cannot be read ({error.strerror})") from error
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if picture is None:
        raise loading.broken(path, "is no picture")
    resized = cv2.resize(picture, (_CROP_PX, _CROP_PX))
    return np.asarray(resized / 255.0, np.float32)


def _array(values: Tensor) -> FloatArray:
    if not bool(torch.isfinite(values).all()):
        raise EngineUnavailableError(
            "the networks' numbers overflowed; set modelscope.dtype to float32 in config.yaml"
        )
    return np.asarray(values.float().cpu().numpy(), np.float32)


def _pictures(values: Tensor) -> FloatArray:
    """N x H x W x 3 in [0, 1] of pictures in [-1, 1]."""
    array = _array((values * 0.5 + 0.5).clamp_(0, 1))
    return np.asarray(array.transpose(0, 2, 3, 1), np.float32, order="C")
