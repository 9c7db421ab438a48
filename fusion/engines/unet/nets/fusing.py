"""The UNet that makes the fused face (`AEI_Net`, after FaceShifter of Li et al., 2019).

What differs from ModelScope's form, results being the same: BatchNorm and spectral norms
are inside the weights; scale and shift of a layer are one convolution; and reflected
borders are carried along. Each map has a rim of one pixel that mirrors its inside; what
works on single pixels keeps it true, a convolution over the rim makes a new one that is
written over with `_mirror`. So nothing is copied to be padded.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusion.engines.unet.nets.layers import LAST, Convolution, Place, folded
from fusion.engines.unet.nets.motion import Motion, warped

_EPSILON = 1e-5  # of PositionalNorm


class Fuser:
    """ModelScope's `AEI_Net`.

    Args:
        network: ModelScope's, with its weights.
        place: Where to compute; the flow, identities and the last layers are float32.
    """

    def __init__(self, network: Any, place: Place) -> None:
        generator = network.generator
        self._place = place
        self._motion = Motion(network.dense_motion_network, place)
        self._encoder = _Encoder(network.encoder, place)
        exact = place.exact()
        self._seed_weight = place.keep(generator.up1.weight).flatten(1).t()
        self._seed_bias = place.keep(generator.up1.bias).repeat_interleave(4)
        self._blocks = [
            _Block(getattr(generator, f"AADBlk{index}"), place, exact if index == 8 else place)
            for index in range(1, 9)
        ]
        self._attention = _Attention(generator.sa, place)

    def __call__(self, pictures: Tensor, identities: Tensor, wanted: Tensor, own: Tensor) -> Tensor:
        """Faces in [-1, 1], N x 3 x 256 x 256, float32.

        Args:
            pictures: The targets, N x 3 x 256 x 256 in [-1, 1], float32.
            identities: N x 512, of unit length.
            wanted, own: Key points of the form wanted and of the target, N x 17 x 2 in [-1, 1].
        """
        flow = self._motion(pictures, wanted, own)
        attributes = self._encoder(self._place.take(warped(pictures, flow)))
        seed = F.linear(identities, self._seed_weight, self._seed_bias)
        maps = self._place.take(seed).reshape(len(seed), -1, 2, 2)
        for index, (block, seen) in enumerate(zip(self._blocks, attributes, strict=True)):
            if index:
                maps = _doubled(maps)
            if index == 4:
                maps = self._attention(maps)
            maps = block(_rimmed(maps), _rimmed(seen), identities)
        return torch.tanh(maps.float())


class _Encoder:
    """What the target looks like apart from who it is, at eight resolutions."""

    def __init__(self, network: Any, place: Place) -> None:
        down = [getattr(network, f"conv{index}") for index in range(1, 8)]
        up = [getattr(network, f"deconv{index}") for index in range(1, 7)]
        self._down = [folded(place, part.conv, part.norm, padding=1, slope=0.1) for part in down]
        self._up = [folded(place, part.deconv, part.bn, padding=1, slope=0.1) for part in up]

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        """Maps from 2 x 2 to 256 x 256, coarsest first."""
        maps = pictures.contiguous(memory_format=LAST)
        kept = []
        for layer in self._down:
            maps = layer(maps)
            kept.append(maps)
        made = [kept.pop()]
        for layer in self._up:
            made.append(torch.cat((layer(made[-1]), kept.pop()), dim=1))
        return [*made, _doubled(made[-1])]


class _Block:
    """Two convolutions under attributes and identity, and a shortcut (`AAD_ResBlk`).

    Args:
        last: Where the second convolution and the shortcut compute.
    """

    def __init__(self, block: Any, place: Place, last: Place) -> None:
        self._last = last
        self._first = _Adaptive(block.AAD1, place)
        self._second = _Adaptive(block.AAD2, place, last)
        self._convolution1 = _normalised(place, block.conv1)
        self._convolution2 = _normalised(last, block.conv2)
        self._shortcut = None
        if block.learned_shortcut:
            self._third = _Adaptive(block.AAD3, place)
            self._shortcut = _normalised(last, block.conv3)

    def __call__(self, maps: Tensor, seen: Tensor, identities: Tensor) -> Tensor:
        """Maps without a rim, of maps and attributes with one."""
        normal = _normal(maps)
        made = F.leaky_relu_(self._first(normal, seen, identities), 0.2)
        made = _mirror(self._convolution1(_mirror(made)))
        made = F.leaky_relu_(self._second(_normal(self._last.take(made)), seen, identities), 0.2)
        made = self._convolution2(_mirror(made))
        if self._shortcut is not None:
            maps = self._shortcut(self._last.take(self._third(normal, seen, identities)))
        return (made + maps)[:, :, 1:-1, 1:-1]


class _Adaptive:
    """Scale and shift of each pixel, by attributes or by identity as a mask says (`AADLayer`).

    (1 - M) (g h + b) + M (g' h + b') = h lerp(g, g', M) + lerp(b, b', M).
    """

    def __init__(self, layer: Any, place: Place, last: Place | None = None) -> None:
        self._place = last or place
        # F.layer_norm divides by the deviation of n, PositionalNorm by that of n - 1.
        lower = math.sqrt((layer.c_x - 1) / layer.c_x)
        self._shared = Convolution(
            place, layer.mlp_shared[1].weight, layer.mlp_shared[1].bias, padding=1, slope=0.0
        )
        self._scales = Convolution(
            place,
            torch.cat((lower * layer.conv1.weight, layer.conv2.weight)),
            torch.cat((lower * layer.conv1.bias, layer.conv2.bias)),
            padding=1,
        )
        self._weight = place.keep(torch.cat((lower * layer.fc1.weight, layer.fc2.weight)))
        self._bias = place.keep(torch.cat((lower * layer.fc1.bias, layer.fc2.bias)))
        self._mask = Convolution(
            self._place, lower * layer.conv_h.weight, layer.conv_h.bias, padding=1
        )

    def __call__(self, normal: Tensor, seen: Tensor, identities: Tensor) -> Tensor:
        mask = torch.sigmoid(self._mask(normal))
        scales = self._place.take(self._scales(_mirror(self._shared(seen))))
        own = F.linear(identities, self._weight, self._bias)
        own = self._place.take(own)[:, :, None, None]
        scales += (own - scales).mul_(mask)
        scale, shift = scales.chunk(2, dim=1)
        return torch.addcmul(shift, scale, normal)


class _Attention:
    """Self-attention between all places of a map (of SAGAN; Zhang et al., 2019)."""

    def __init__(self, layer: Any, place: Place) -> None:
        self._query = _normalised(place, layer.theta)
        self._key = _normalised(place, layer.phi)
        self._value = _normalised(place, layer.g)
        self._out = _normalised(place, layer.o, gain=float(layer.gamma))

    def __call__(self, maps: Tensor) -> Tensor:
        query = self._query(maps).flatten(2)
        key = F.max_pool2d(self._key(maps), 2).flatten(2)
        value = F.max_pool2d(self._value(maps), 2).flatten(2)
        weights = torch.softmax(torch.bmm(query.float().transpose(1, 2), key.float()), dim=-1)
        mixed = torch.bmm(value, weights.to(value.dtype).transpose(1, 2))
        mixed = mixed.reshape(len(maps), -1, *maps.shape[2:])
        return maps + self._out(mixed.contiguous(memory_format=LAST))


def _normalised(place: Place, layer: Any, gain: float = 1.0) -> Convolution:
    """A convolution under spectral normalisation (Miyato et al., 2018), its norm divided out."""
    inner = layer.module
    weight = place.keep(inner.weight_bar)
    matrix = weight.flatten(1)
    norm = torch.dot(place.keep(inner.weight_u), torch.mv(matrix, place.keep(inner.weight_v)))
    # Those of 3 x 3 are given their reflected border before, and keep a rim's place.
    return Convolution(place, weight * (gain / norm), inner.bias, padding=inner.kernel_size[0] // 2)


def _normal(maps: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over each pixel's channels (`PositionalNorm2d`; see `lower`)."""
    channels = maps.shape[1]
    by_pixel = maps.permute(0, 2, 3, 1)
    epsilon = _EPSILON * (channels - 1) / channels
    return F.layer_norm(by_pixel, (channels,), eps=epsilon).permute(0, 3, 1, 2)


def _doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=True)


def _rimmed(maps: Tensor) -> Tensor:
    """Maps with a rim of one pixel that mirrors what is inside it."""
    count, channels, height, width = maps.shape
    out = torch.empty(
        (count, channels, height + 2, width + 2),
        dtype=maps.dtype,
        device=maps.device,
        memory_format=LAST,
    )
    out[:, :, 1:-1, 1:-1] = maps
    return _mirror(out)


def _mirror(maps: Tensor) -> Tensor:
    """Write the rim of maps anew, in place: the reflection about the outermost pixels' centres."""
    maps[:, :, 0] = maps[:, :, 2]
    maps[:, :, -1] = maps[:, :, -3]
    maps[..., 0] = maps[..., 2]
    maps[..., -1] = maps[..., -3]
    return maps
