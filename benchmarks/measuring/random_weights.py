"""A model folder of ModelScope's face fusion with random weights that behave like trained ones.

The real weights cannot be shipped, and weights drawn at random leave a deep network dead or
saturated: every difference between two implementations would be multiplied away or hidden.
So scales and BatchNorm statistics are set layer by layer from what synthetic faces give
(layer-sequential unit variance, Mishkin and Matas 2016), and one path through the last
layers carries the picture, as in a trained network: what comes out is the picture that went
in, softer and with random texture. The same seed gives the same bytes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

_FACES = 6  # pictures that statistics are taken of
_KEYPOINTS = 17
_EPS = 1e-5  # BatchNorm's
_RGB = range(3)


def make_model_folder(folder: Path, seed: int = 0) -> None:
    """Write the seven files of the official layout (1.5 GB) into ``folder``, made if absent."""
    for name in ("faceRecog", "3dRecon", "BFM", "faceEnhance"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with _drawing(seed):
        fusing = fusing_network()
        torch.save(
            {"state_dict": {f"module.{key}": value for key, value in fusing.items()}},
            folder / "pytorch_model.pt",
        )
        del fusing
        torch.save(identity_network(), folder / "faceRecog" / "CurricularFace_Backbone.pth")
        torch.save({"net_recon": shape_network()}, folder / "3dRecon" / "face_3d.pth")
        torch.save(enhancing_network(), folder / "faceEnhance" / "GPEN-BFR-1024.pth")
    write_face_model(folder / "BFM" / "BFM_model_front.mat", seed)
    write_mask(folder / "alpha.jpg")


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Seeded random numbers, no gradients, no remark of torch's on the networks' old calls."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        torch.manual_seed(seed)
        yield


def synthetic_faces(count: int, size: int) -> Tensor:
    """``count`` x 3 x size x size in [-1, 1]: ovals with eyes and mouth, shading and texture.

    Drawn with torch's random numbers of the moment.
    """
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, size),) * 2, indexing="ij")
    faces = []
    for _ in range(count):
        turn, width, height = (torch.rand(3) - 0.5).tolist()
        tone, ground, eyes = torch.rand(3, 3, 1, 1)
        face = _spot(x - 0.2 * turn, y, 0.6 + 0.1 * width, 0.8 + 0.1 * height) * torch.ones(3, 1, 1)
        picture = ground * (1 - face) + (0.45 + 0.4 * tone) * face
        for side in (-0.27, 0.27):
            picture *= 1 - (1 - 0.5 * eyes) * _spot(x - side - 0.2 * turn, y + 0.2, 0.12, 0.06)
        picture[1:] *= 1 - 0.5 * _spot(x - 0.2 * turn, y - 0.45, 0.25, 0.08)
        picture = picture * (0.8 + 0.4 * turn * x + 0.2 * height * y)
        coarse = F.interpolate(torch.randn(1, 3, 9, 9), (size, size), mode="bicubic")[0]
        fine = F.interpolate(torch.randn(1, 1, size // 2, size // 2), (size, size))[0]
        faces.append(picture + 0.05 * coarse + 0.02 * fine)
    return torch.stack(faces).clamp(0, 1) * 2 - 1


def _spot(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    """A filled ellipse with a soft edge."""
    return torch.sigmoid(8 * (1 - ((x / width) ** 2 + (y / height) ** 2)))


def _settle(network: nn.Module, run: Callable[[], object], target: Callable[[str], float]) -> None:
    """Set every layer's scale from what ``run`` sends through it, first layers first.

    BatchNorm learns its running statistics; other layers are multiplied so that their output,
    without the bias, deviates by ``target`` of the layer's name. Factors are rounded, so
    that the last bit of a sum (the number of threads) does not show in the file.
    """
    hooks = []

    def scale(name: str) -> Callable[..., Tensor]:
        def hook(layer: nn.Conv2d | nn.Linear, _given: object, out: Tensor) -> Tensor:
            bias = layer.bias
            if bias is not None:
                bias = bias.view(1, -1, *(1,) * (out.ndim - 2))
                out = out - bias
            factor = 2.0 ** (round(8 * math.log2(target(name) / float(out.std()))) / 8)
            layer.weight.mul_(factor)
            scaled: Tensor = out * factor
            return scaled if bias is None else scaled + bias

        return hook

    def learn(layer: Any, given: tuple[Tensor, ...]) -> None:
        axes = [axis for axis in range(given[0].ndim) if axis != 1]
        layer.running_mean.copy_(given[0].mean(axes).mul(1024).round().div(1024))
        spread = given[0].var(axes).clamp_min(1e-3)
        layer.running_var.copy_(spread.log2().mul(16).round().div(16).exp2())

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            if layer.affine:
                layer.weight.uniform_(0.8, 1.2)
                layer.bias.normal_(0, 0.1)
            hooks.append(layer.register_forward_pre_hook(learn))
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) and hasattr(
            layer, "weight"
        ):
            layer.weight.normal_(0, 1 / math.sqrt(layer.weight[0].numel()))
            hooks.append(layer.register_forward_hook(scale(name)))
    network.eval()
    run()
    for hook in hooks:
        hook.remove()


def identity_network() -> dict[str, Tensor]:
    """CurricularFace: residual branches a third as strong as what they are added to."""
    from modelscope.models.cv.image_face_fusion.network.model_irse import Backbone

    network = Backbone([112, 112], 100, "ir")
    for layer in network.modules():
        if isinstance(layer, nn.PReLU):
            layer.weight.uniform_(0.1, 0.4)
    faces = synthetic_faces(_FACES, 112)

    def branches() -> None:
        # The BatchNorm that ends a branch has no say in its own statistics: it is made
        # weak before anything behind it is looked at.
        for unit in network.body:
            unit.res_layer[-1].weight.mul_(0.35)
        network(faces)

    _settle(network, branches, lambda _: 1.0)
    return dict(network.state_dict())


def shape_network() -> dict[str, Tensor]:
    """The ResNet-50 of the 3-D reconstruction: coefficients of a face that fills the crop."""
    from modelscope.models.cv.image_face_fusion.network.facerecon_model import ReconNetWrapper

    network = ReconNetWrapper(net_recon="resnet50", use_last_fc=False)
    faces = synthetic_faces(_FACES, 224) * 0.5 + 0.5
    # Identity, expression, texture, angles, light, shift across and in depth.
    spreads = (0.25, 0.12, 0.15, 0.02, 0.04, 0.01, 0.02)
    targets = {f"final_layers.{index}": spread for index, spread in enumerate(spreads)}

    def run() -> None:
        for stage in (network.backbone.layer1, network.backbone.layer2):
            for block in stage:
                block.bn3.weight.mul_(0.5)
        for stage in (network.backbone.layer3, network.backbone.layer4):
            for block in stage:
                block.bn3.weight.mul_(0.35)
        network(faces)
        for layer in network.final_layers:  # what all faces have in common is taken out
            layer.bias.zero_()
        common = network(faces).mean(0)
        for layer, part in zip(
            network.final_layers, common.split((80, 64, 80, 3, 27, 2, 1)), strict=True
        ):
            layer.bias.copy_(part.mul(-64).round().div(64))

    _settle(network, run, lambda name: targets.get(name, 1.0))
    return dict(network.state_dict())


def fusing_network() -> dict[str, Tensor]:
    """AEI_Net: attributes, motion and the generator that joins them with an identity."""
    from modelscope.models.cv.image_face_fusion.network.aei_flow_net import AEI_Net
    from modelscope.models.cv.image_face_fusion.network.ops import SpectralNorm

    network = AEI_Net(c_id=512, num_kp=_KEYPOINTS, device=torch.device("cpu"))
    faces = synthetic_faces(_FACES, 256)
    around = torch.linspace(0, math.pi, _KEYPOINTS)
    jaw = torch.stack((-0.7 * around.cos(), 0.8 * around.sin() - 0.1), dim=-1)
    own = jaw + 0.03 * torch.randn(_FACES, 1, 2)
    wanted = own + 0.03 * torch.randn(_FACES, _KEYPOINTS, 2)
    identities = F.normalize(torch.randn(_FACES, 512))

    for layer in network.modules():
        if isinstance(layer, SpectralNorm):
            _converge(layer.module)
    network.generator.sa.gamma.fill_(0.5)
    _carry_picture(network)
    _settle(
        network,
        lambda: network(faces, identities, {"value": wanted}, {"value": own}),
        _fusing_target,
    )
    for block in (getattr(network.generator, f"AADBlk{index}") for index in range(1, 9)):
        for part in ("AAD1", "AAD2", "AAD3"):
            if (layer := getattr(block, part, None)) is not None:
                layer.conv1.bias.add_(0.8)
                layer.fc1.bias.add_(0.8)
    last = network.generator.AADBlk8.AAD2  # its three channels: texture on the picture
    for layer in (last.conv1, last.conv2, last.fc1, last.fc2):
        layer.weight.mul_(0.15)
        layer.bias.mul_(0.15)
    _carry_picture(network)
    return dict(network.state_dict())


def _fusing_target(name: str) -> float:
    """Deviation of a layer's output, by what it does."""
    if name.endswith(("conv1", "conv2", "fc1", "fc2")) and "AAD" in name:
        return 0.4  # scales and shifts
    return 2.0 if name == "dense_motion_network.mask" else 1.0


def _converge(layer: Any) -> None:
    """Draw a layer under spectral normalisation with its vectors where training leaves them."""
    layer.weight_bar.normal_(0, 1 / math.sqrt(layer.weight_bar[0].numel()))
    matrix = layer.weight_bar.flatten(1)
    _measure_norm(layer, matrix)


def _measure_norm(layer: Any, matrix: Tensor) -> None:
    for _ in range(8):
        layer.weight_v.copy_(F.normalize(matrix.T @ layer.weight_u, dim=0))
        layer.weight_u.copy_(F.normalize(matrix @ layer.weight_v, dim=0))


def _carry_picture(network: Any) -> None:
    """Lay the path that keeps the picture: first attribute layer to last shortcut."""
    first, last = network.encoder.conv1, network.generator.AADBlk8
    shared = last.AAD3.mlp_shared[1]
    last.AAD3.conv_h.bias.fill_(-2)  # mostly attributes, little identity
    last.conv3.module.weight_bar.mul_(0).add_(0.01)
    for c in _RGB:
        first.conv.weight[c].zero_()
        first.conv.weight[c, c, 1:3, 1:3] = 0.25  # mean of 2 x 2 pixels
        first.norm.weight[c], first.norm.bias[c] = 1, 1.1  # above 0, where LeakyReLU is even
        first.norm.running_mean[c], first.norm.running_var[c] = 0, 1 - _EPS
        shared.weight[c].zero_()
        shared.weight[c, 32 + c, 1, 1] = 1  # the skip connection follows 32 other channels
        shared.bias[c] = 0
        last.AAD3.conv1.weight[c].mul_(0.1)
        last.AAD3.conv1.bias[c] = 0
        last.AAD3.conv2.weight[c].mul_(0.1)
        last.AAD3.conv2.weight[c, c, 1, 1] = 1.1
        last.AAD3.conv2.bias[c] = -1.1 * 1.1
        last.conv3.module.weight_bar[c, c] = 1
    _measure_norm(last.conv3.module, last.conv3.module.weight_bar.flatten(1))


def enhancing_network(size: int = 1024) -> dict[str, Tensor]:
    """GPEN: equalised layers keep their own scale; the finest level carries the picture."""
    from modelscope.models.cv.image_face_fusion.facegan.gpen_model import FullGenerator

    network = FullGenerator(size, 512, 8, 2)
    generator = network.generator
    for name, value in network.named_parameters():
        if name.endswith("modulation.weight"):
            value.mul_(0.15)
        elif name.endswith("noise.weight"):
            value.fill_(0.5)
        elif name.endswith(("activate.bias", "0.1.bias")):
            value.normal_(0, 0.1)
    for layer in (generator.to_rgb1, *generator.to_rgbs):
        layer.conv.weight.mul_(0.08)
    convolution, activation = network.ecd0[0]
    half = convolution.weight.shape[0]
    paint = generator.to_rgbs[-1]
    generator.convs[-1].activate.bias[half:].zero_()
    for c in _RGB:
        convolution.weight[c].zero_()
        convolution.weight[c, c] = 1 / convolution.scale
        activation.bias[c] = 1.2  # above 0, where LeakyReLU is even
        paint.conv.weight[0, c, half + c] = 0.85 / paint.conv.scale
        paint.bias[0, c] = -0.85 * 1.2
    network.eval()
    return dict(network.state_dict())


def write_face_model(path: Path, seed: int = 0) -> None:
    """A coarse face of the Basel model's form: one vertex in 40, smooth random bases."""
    from scipy.io import savemat  # type: ignore[import-untyped]

    random = np.random.default_rng(seed)
    side = 30
    line = np.linspace(-1, 1, side)
    across, down = np.tile(line, side), np.repeat(line, side)
    depth = 0.8 * np.sqrt(np.maximum(1 - 0.45 * (across**2 + down**2), 0))
    points = np.stack((0.8 * across, 0.95 * down, depth), axis=1)
    where = np.arange(side * side).reshape(side, side)
    a, b, c, d = (where[rows, :][:, columns].ravel() for rows, columns in _quarters())
    triangles = np.concatenate((np.stack((a, c, b), 1), np.stack((b, c, d), 1)))
    touching = np.full((side * side, 8), len(triangles))  # one behind the last: no triangle
    for index, triangle in enumerate(triangles):
        for vertex in triangle:
            touching[vertex, np.argmax(touching[vertex] == len(triangles))] = index
    names = {
        "meanshape": points.reshape(1, -1),
        "idBase": _bases(random, points, 80, 0.012),
        "exBase": _bases(random, points, 64, 0.008),
        "meantex": random.uniform(90, 180, (1, points.size)),
        "texBase": _bases(random, points, 80, 3.0),
        "tri": triangles + 1,
        "point_buf": touching + 1,
        "keypoints": _keypoints(points)[None] + 1,
        "frontmask2_idx": where[5:-5, 5:-5].reshape(-1, 1) + 1,
        "tri_mask2": triangles[len(triangles) // 4 : len(triangles) // 2] + 1,
        "skinmask": np.ones((1, len(points))),
    }
    savemat(path, names)
    with path.open("r+b") as file:  # the header would say when
        file.write(b"MATLAB 5.0 MAT-file".ljust(116))


def _quarters() -> list[tuple[slice, slice]]:
    low, high = slice(None, -1), slice(1, None)
    return [(low, low), (low, high), (high, low), (high, high)]


def _bases(
    random: np.random.Generator, points: NDArray[np.float64], count: int, size: float
) -> NDArray[np.float64]:
    """``count`` waves over the points, 3 N x count."""
    waves = random.normal(0, 2, (count, 3, 3))
    phases = random.uniform(0, 2 * np.pi, (count, 3))
    bases = np.sin(np.einsum("kai,ni->kna", waves, points) + phases[:, None])
    return np.asarray(size * bases.reshape(count, -1).T, np.float64)


def _keypoints(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """The vertices next to 68 places of the iBUG numbering: jaw, brows, nose, eyes, mouth."""
    jaw = np.linspace(0, np.pi, 17)
    rows = [(-0.68 * math.cos(angle), -0.85 * math.sin(angle) + 0.1) for angle in jaw]
    rows += [(side * x, 0.38) for side in (-1, 1) for x in np.linspace(0.15, 0.5, 5)]
    rows += [(0, y) for y in (0.25, 0.15, 0.05, -0.05)] + [(x, -0.12) for x in _spread(0.12, 5)]
    for side in (-0.3, 0.3):
        rows += [(side + 0.12 * math.cos(t), 0.22 + 0.05 * math.sin(t)) for t in _circle(6)]
    for width, height, count in ((0.3, 0.13, 12), (0.22, 0.05, 8)):
        rows += [(width * math.cos(t), -0.4 + height * math.sin(t)) for t in _circle(count)]
    away = ((points[None, :, :2] - np.array(rows)[:, None]) ** 2).sum(-1)
    return np.asarray(away.argmin(axis=1))


def _circle(count: int) -> NDArray[np.float64]:
    return np.asarray(np.linspace(np.pi, -np.pi, count, endpoint=False), np.float64)


def _spread(width: float, count: int) -> NDArray[np.float64]:
    return np.asarray(np.linspace(-width, width, count), np.float64)


def write_mask(path: Path) -> None:
    """A soft oval, as the pictures that say where the fused face is opaque."""
    import cv2

    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    inside = 1 / (1 + np.exp(-14 * (0.85 - np.hypot(x / 0.82, (y - 0.05) / 0.95))))
    cv2.imwrite(str(path), np.repeat((255 * inside).astype(np.uint8)[..., None], 3, axis=2))
