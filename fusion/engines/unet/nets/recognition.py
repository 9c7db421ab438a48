"""Who a face is and what form it has: the two networks that look and do not paint.

Both compute in float32 wherever the others do not: their answers steer the whole picture,
and they cost a tenth of its time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusion.engines.unet.nets.layers import LAST, Convolution, Place, folded, normalising


class Recogniser:
    """CurricularFace (Huang et al., 2020): ModelScope's `Backbone` of 100 layers.

    Args:
        network: ModelScope's, with its weights.
        place: Where to compute; its dtype is not used.
    """

    _SIZE = 112

    def __init__(self, network: Any, place: Place) -> None:
        place = place.exact()
        convolution, norm, activation = network.input_layer
        self._first = folded(place, convolution, norm, padding=1)
        self._slopes = place.keep(activation.weight)
        self._units = [_Unit(place, unit) for unit in network.body]
        before, _, _, linear, after = network.output_layer
        self._before = _per_channel(place, before)
        factor, shift = normalising(place, after)
        self._weight = place.keep(linear.weight) * factor[:, None]
        self._bias = place.keep(linear.bias) * factor + shift

    def __call__(self, pictures: Tensor) -> Tensor:
        """Identities, N x 512 of unit length, of aligned crops N x 3 x size x size in [-1, 1]."""
        size = (self._SIZE, self._SIZE)
        maps = F.interpolate(pictures, size, mode="bilinear", align_corners=True)
        maps = F.prelu(self._first(maps.contiguous(memory_format=LAST)), self._slopes)
        for unit in self._units:
            maps = unit(maps)
        factor, shift = self._before
        found = F.linear((maps * factor + shift).flatten(1), self._weight, self._bias)
        return F.normalize(found, dim=1)


class _Unit:
    """A residual unit (`bottleneck_IR`).

    The BatchNorm in front of its first convolution stays outside: the zeros that pad the
    convolution are not normalised.
    """

    def __init__(self, place: Place, unit: Any) -> None:
        before, first, activation, second, after = unit.res_layer
        self._before = _per_channel(place, before)
        self._first = folded(place, first, None, padding=1)
        self._slopes = place.keep(activation.weight)
        self._second = folded(place, second, after, padding=1)
        self._stride = second.stride[0]
        self._shortcut: Convolution | None = None
        if isinstance(unit.shortcut_layer, torch.nn.Sequential):
            self._shortcut = folded(place, *unit.shortcut_layer, padding=0)

    def __call__(self, maps: Tensor) -> Tensor:
        factor, shift = self._before
        made = self._second(F.prelu(self._first(maps * factor + shift), self._slopes))
        if self._shortcut is not None:
            return made.add_(self._shortcut(maps))
        return made.add_(maps[:, :, :: self._stride, :: self._stride])


class Reconstruction:
    """The ResNet-50 of Deng et al. (2019): ModelScope's `ReconNetWrapper`.

    Args:
        network: ModelScope's, with its weights.
        place: Where to compute; its dtype is not used.
    """

    _SIZE = 224

    def __init__(self, network: Any, place: Place) -> None:
        place = place.exact()
        backbone = network.backbone
        self._first = folded(place, backbone.conv1, backbone.bn1, padding=3, slope=0.0)
        stages = (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
        self._units = [_Bottleneck(place, unit) for stage in stages for unit in stage]
        heads = network.final_layers
        self._weight = place.keep(torch.cat([layer.weight for layer in heads])).flatten(1)
        self._bias = place.keep(torch.cat([layer.bias for layer in heads]))

    def __call__(self, pictures: Tensor) -> Tensor:
        """Coefficients, N x 257, of aligned crops N x 3 x size x size in [0, 1]."""
        size = (self._SIZE, self._SIZE)
        maps = F.interpolate(pictures, size, mode="bilinear", align_corners=False)
        maps = self._first(maps.contiguous(memory_format=LAST))
        maps = F.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
        for unit in self._units:
            maps = unit(maps)
        return F.linear(maps.mean((2, 3)), self._weight, self._bias)


class _Bottleneck:
    """A residual unit of ResNet-50, each BatchNorm inside its convolution."""

    def __init__(self, place: Place, unit: Any) -> None:
        self._narrow = folded(place, unit.conv1, unit.bn1, padding=0, slope=0.0)
        self._look = folded(place, unit.conv2, unit.bn2, padding=1, slope=0.0)
        self._widen = folded(place, unit.conv3, unit.bn3, padding=0)
        self._shortcut: Convolution | None = None
        if unit.downsample is not None:
            self._shortcut = folded(place, *unit.downsample, padding=0)

    def __call__(self, maps: Tensor) -> Tensor:
        made = self._widen(self._look(self._narrow(maps)))
        beside = maps if self._shortcut is None else self._shortcut(maps)
        return made.add_(beside).relu_()


def _per_channel(place: Place, norm: Any) -> tuple[Tensor, Tensor]:
    """Factor and shift of a BatchNorm, 1 x channels x 1 x 1 each."""
    factor, shift = normalising(place, norm)
    return factor[None, :, None, None], shift[None, :, None, None]
