"""Reads the model folder into ModelScope's own classes, which know every layer's form.

The classes are built without memory (torch's meta device) and take the tensors of the
mapped file as they are: nothing is drawn at random only to be overwritten, and what a
faster form of the network does not keep never leaves the disk cache.
"""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from modelscope.models.cv.image_face_fusion.facegan.gpen_model import FullGenerator
from modelscope.models.cv.image_face_fusion.network.aei_flow_net import AEI_Net
from modelscope.models.cv.image_face_fusion.network.facerecon_model import ReconNetWrapper
from modelscope.models.cv.image_face_fusion.network.model_irse import Backbone
from torch import Tensor, nn

from common.errors import ModelMissingError

FUSING = Path("pytorch_model.pt")
IDENTITY = Path("faceRecog/CurricularFace_Backbone.pth")
SHAPE = Path("3dRecon/face_3d.pth")
FACE_MODEL = Path("BFM/BFM_model_front.mat")
ENHANCING = Path("faceEnhance/GPEN-BFR-1024.pth")
MASK = Path("alpha.jpg")

KEYPOINTS = 17
IDENTITY_LENGTH = 512
ENHANCED_PX = 1024

Network = TypeVar("Network", bound=nn.Module)


def broken(path: Path, what: str) -> ModelMissingError:
    """The error about a file of the folder; ``what`` completes "FILE ..."."""
    return ModelMissingError(
        f"{path} {what}; run ./run.sh models download to fetch the model's files again"
    )


def load_fusing(folder: Path) -> AEI_Net:
    """The network that makes the fused face.

    Raises:
        ModelMissingError: The file is absent, truncated or another network's; of all `load_`.
    """
    path = folder / FUSING
    state = _entry(path, _read(path), "state_dict")
    # Saved from a network wrapped for several GPUs, or for several GPUs and training.
    for prefix in ("module.model.", "module."):
        if next(iter(state), "").startswith(prefix):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
            break
    return _filled(
        lambda: AEI_Net(c_id=IDENTITY_LENGTH, num_kp=KEYPOINTS, device=torch.device("cpu")),
        state,
        path,
    )


def load_identity(folder: Path) -> Backbone:
    """CurricularFace; what its file holds beyond the network (a head for training) is left."""
    path = folder / IDENTITY
    return _filled(lambda: Backbone([112, 112], 100, "ir"), _state(path, _read(path)), path)


def load_shape(folder: Path) -> ReconNetWrapper:
    """The network that finds coefficients of the 3-D face model."""
    path = folder / SHAPE
    return _filled(
        lambda: ReconNetWrapper(net_recon="resnet50", use_last_fc=False),
        _entry(path, _read(path), "net_recon"),
        path,
    )


def load_enhancing(folder: Path) -> FullGenerator:
    """GPEN for faces of 1024 px."""
    path = folder / ENHANCING
    return _filled(lambda: FullGenerator(ENHANCED_PX, 512, 8, 2), _state(path, _read(path)), path)


# The reader of weights interprets whatever bytes it is given: anything may go wrong in it.
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise broken(path, "is not there")
    try:
        return torch.load(
            path,
            map_location="cpu",
            weights_only=True,
            mmap=zipfile.is_zipfile(path),  # files of before 2020 have another form
        )
    except _UNREADABLE as error:
        if "Cannot allocate memory" in str(error):  # of the system torch has no class of error
            raise MemoryError(f"there is not enough memory to read {path}") from error
        raise broken(path, "is damaged or is no file of PyTorch weights") from error


def _entry(path: Path, loaded: Any, name: str) -> dict[str, Tensor]:
    if not isinstance(loaded, dict) or name not in loaded:
        raise broken(path, f"has no entry {name}")
    return _state(path, loaded[name])


def _state(path: Path, loaded: Any) -> dict[str, Tensor]:
    if not isinstance(loaded, dict) or not loaded:
        raise broken(path, "holds no weights")
    return loaded


def _filled(build: Callable[[], Network], state: dict[str, Tensor], path: Path) -> Network:
    """A network in evaluation mode that shares the tensors of ``state``."""
    with warnings.catch_warnings():
        # A remark of torch's on how the classes call torch.meshgrid.
        warnings.filterwarnings("ignore", message="torch.meshgrid", category=UserWarning)
        with torch.device("meta"):
            network = build()
    wanted = network.state_dict()
    absent = sorted(set(wanted) - set(state))
    if absent:
        raise broken(path, f"is another network's: it lacks {absent[0]} (and {len(absent)} in all)")
    for name, value in wanted.items():
        if value.shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(value.shape)}"
            raise broken(path, f"is another network's: {name} is {shapes}")
    network.load_state_dict({name: state[name] for name in wanted}, assign=True)
    return network.requires_grad_(False).eval()
