"""GPEN (Yang et al., 2021) in a form that computes the same with a fraction of the traffic.

An encoder describes the picture at every resolution, and a StyleGAN2 generator paints it
anew from a style, with each resolution's description beside its own maps. What differs:

- A modulated convolution scales its input channels by the style, convolves with weights
  that are the same for everybody and scales its output channels (Karras et al., 2020,
  section 2.2); of weights and picture, the smaller is what gets scaled.
- sqrt(2) of the activation goes into weights and biases: LeakyReLU keeps positive factors.
- Blurs are depthwise convolutions, with bias and activation fused.
- Every resolution is made in strips of rows that stay in the processor's cache, and maps of
  the finest one never exist as a whole. Strips overlap by what the kernels reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusion.engines.unet.nets.layers import LAST, Convolution, Place

_ROOT2 = math.sqrt(2.0)
_SLOPE = 0.2
_STRIP = 64  # rows in float32: 64 channels by 1024 px of them are 16 MB
_LIGHT = 2_500_000  # weights of a layer; with more of them its picture is the smaller one

Layer: TypeAlias = Callable[[Tensor], Tensor]
Rows: TypeAlias = Callable[[int, int], Tensor]  # from, to -> 1 x channels x rows x width


class Enhancer:
    """GPEN's `FullGenerator`, one picture at a time.

    Args:
        network: ModelScope's, with its weights.
        place: Where to compute; style, demodulation and the sum of colours are float32.
    """

    def __init__(self, network: Any, place: Place) -> None:
        size = 2**network.log_size
        strip = _STRIP * 4 // place.dtype.itemsize if place.in_strips else size
        generator = network.generator
        self._place = place
        self._first = _encoding(place, *network.ecd0[0])
        self._narrowing = [
            _Narrowing(place, getattr(network, name)[0], strip) for name in network.names[1:]
        ]
        self._style = [
            _linear(place, layer) for layer in (network.final_linear[0], *generator.style[1:])
        ]
        self._constant = place.take(generator.input.input).contiguous(memory_format=LAST)
        self._start = _Styled(place, generator.conv1)
        self._start_beside = _beside(place, generator.conv1)
        self._start_colour = _Colour(place, generator.to_rgb1)
        self._levels = [
            _Level(place, *layers, strip)
            for layers in zip(
                generator.convs[::2], generator.convs[1::2], generator.to_rgbs, strict=True
            )
        ]

    def __call__(self, picture: Tensor) -> Tensor:
        """``picture``: 1 x 3 x size x size in [-1, 1], RGB, float32; the answer is like it."""
        pixels = self._place.take(picture).contiguous(memory_format=LAST)
        # What is seen at the finest resolution is a product of each pixel: made when asked for.
        seen: list[Rows] = [lambda start, stop: self._first(pixels[:, :, start:stop])]
        height = pixels.shape[2]
        for narrowing in self._narrowing:
            seen.append(_rows(narrowing(seen[-1], height)))
            height //= 2
        style, coarsest = self._summary(seen.pop())
        painted = torch.cat(
            (self._start.layer(style)(self._constant), self._start_beside(coarsest)), dim=1
        )
        colours = self._start_colour.layer(style)(painted)
        for level in self._levels:
            last = level is self._levels[-1]
            painted, colours = level(painted, colours, seen.pop(), style, last)
        return colours

    def _summary(self, seen: Rows) -> tuple[Tensor, Tensor]:
        """The style, 1 x 512, and the encoder's 4 x 4 maps that it comes of."""
        coarsest = seen(0, 4)
        style = self._style[0](coarsest.float().reshape(1, -1))
        style = style * torch.rsqrt(style.square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self._style[1:]:
            style = layer(style)
        return style, coarsest


class _Narrowing:
    """One step of the encoder: blur, then a 3 x 3 convolution to half the size."""

    def __init__(self, place: Place, layer: Any, strip: int) -> None:
        blur, convolution, activation = layer
        self._blur = _blur(place, blur, convolution.weight.shape[1], padding=2)
        self._convolution = _encoding(place, convolution, activation)
        self._strip = strip

    def __call__(self, maps: Rows, height: int) -> Tensor:
        """Maps of half of ``height`` out of those of ``height``."""

        def rows(start: int, stop: int) -> Tensor:
            # Row r comes of blurred rows 2 r to 2 r + 2, each of rows -2 to 1 about itself.
            top, bottom = max(2 * start - 2, 0), min(2 * stop + 2, height)
            blurred = self._blur(maps(top, bottom))
            return self._convolution(blurred[:, :, 2 * start - top : 2 * stop + 1 - top])

        return _gathered(rows, height // 2, self._strip)


class _Level:
    """The generator at one resolution: to twice the size, a second convolution, colours."""

    def __init__(self, place: Place, wider: Any, same: Any, colour: Any, strip: int) -> None:
        channels = wider.conv.out_channel
        bias = _ROOT2 * wider.activate.bias[:channels]
        self._wider = _Styled(place, wider)
        self._blur = _blur(place, wider.conv.blur, channels, padding=1, bias=bias)
        self._wider_beside = _beside(place, wider)
        self._same = _Styled(place, same)
        self._same_beside = _beside(place, same)
        self._colour = _Colour(place, colour)
        self._strip = strip

    def __call__(
        self, maps: Tensor, colours: Tensor, seen: Rows, style: Tensor, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Maps and colours at twice the size; of the ``last`` level colours alone."""
        wider, same = self._wider.layer(style), self._same.layer(style)
        colour = self._colour.layer(style)
        height = 2 * maps.shape[2]
        colours = _doubled(colours)

        def rows(start: int, stop: int) -> Tensor:
            top, bottom = max(start - 1, 0), min(stop + 1, height)
            beside = seen(top, bottom)
            widened = self._widened(wider, maps, top, bottom)
            first = torch.cat((widened, self._wider_beside(beside)), dim=1)
            inner = slice(start - top, stop - top)
            second = torch.cat(
                (same(first)[:, :, inner], self._same_beside(beside[:, :, inner])), dim=1
            )
            colours[:, :, start:stop] += colour(second)
            return second

        if last:
            for start, stop in _strips(height, self._strip):
                rows(start, stop)
            return maps, colours
        return _gathered(rows, height, self._strip), colours

    def _widened(self, wider: Layer, maps: Tensor, start: int, stop: int) -> Tensor:
        """Rows of the maps at twice the size, blurred and activated."""
        # Row r comes of rows r - 1 to r + 2 of the transposed convolution, whose row u comes
        # of rows (u - 2) / 2 to u / 2.
        top, bottom = max((start - 2) // 2, 0), min((stop + 1) // 2 + 1, maps.shape[2])
        blurred = self._blur(wider(maps[:, :, top:bottom]))
        return blurred[:, :, start - 2 * top : stop - 2 * top]


class _Styled:
    """A modulated and demodulated convolution; one that does not widen is activated."""

    def __init__(self, place: Place, layer: Any) -> None:
        convolution = layer.conv
        weight = place.keep(convolution.weight[0]) * convolution.scale
        weight = weight.contiguous(memory_format=LAST)
        self._place = place
        self._widens = bool(convolution.upsample)
        self._modulation = _linear(place, convolution.modulation)
        self._squares = weight.square().sum((2, 3))
        self._bias = _ROOT2 * place.keep(layer.activate.bias[: convolution.out_channel])
        self._heavy: Convolution | None = None
        self._weight = weight
        if weight.numel() > _LIGHT:
            self._heavy = self._convolution(weight, activated=False)
            self._weight = weight.new_empty(0)

    def layer(self, style: Tensor) -> Layer:
        """The convolution for one style, 1 x 512."""
        scale = self._modulation(style)[0]
        # What is divided out here comes back by ``out``: 16-bit numbers end at 65504.
        peak = scale.abs().amax().clamp_min(1e-6)
        scale = scale / peak
        small = 1e-8 / peak.square()
        out = _ROOT2 * torch.rsqrt((self._squares * scale.square()).sum(1) + small)
        heavy = self._heavy
        if heavy is None:
            both = (out.view(-1, 1) * scale.view(1, -1))[:, :, None, None]
            return self._convolution(self._weight * both, activated=not self._widens)
        scale, out, bias = (
            self._place.take(value.view(1, -1, 1, 1)) for value in (scale, out, self._bias)
        )

        def scaled(maps: Tensor) -> Tensor:
            made = heavy(maps * scale)
            if self._widens:
                return made.mul_(out)
            return F.leaky_relu_(torch.addcmul(bias, made, out), _SLOPE)

        return scaled

    def _convolution(self, weight: Tensor, activated: bool) -> Convolution:
        if self._widens:
            return Convolution(self._place, weight.transpose(0, 1), stride=2, transposed=True)
        return Convolution(
            self._place,
            weight,
            self._bias if activated else None,
            padding=1,
            slope=_SLOPE if activated else None,
        )


class _Colour:
    """The 1 x 1 convolution, modulated but not demodulated, from maps to colours."""

    def __init__(self, place: Place, layer: Any) -> None:
        self._place = place
        self._weight = place.keep(layer.conv.weight[0]) * layer.conv.scale
        self._modulation = _linear(place, layer.conv.modulation)
        self._bias = place.keep(layer.bias)

    def layer(self, style: Tensor) -> Layer:
        convolution = Convolution(
            self._place, self._weight * self._modulation(style).view(1, -1, 1, 1)
        )
        return lambda maps: convolution(maps).float() + self._bias


def _encoding(place: Place, convolution: Any, activation: Any) -> Convolution:
    """A convolution of the encoder, its scales and activation's inside."""
    return Convolution(
        place,
        convolution.weight * (convolution.scale * _ROOT2),
        activation.bias * _ROOT2,
        stride=convolution.stride,
        padding=convolution.padding,
        slope=_SLOPE,
    )


def _beside(place: Place, layer: Any) -> Convolution:
    """What the encoder saw, as it stands beside the maps: scaled, shifted and activated."""
    bias = layer.activate.bias[layer.conv.out_channel :] * _ROOT2
    weight = (layer.noise.weight * _ROOT2).expand(len(bias)).reshape(-1, 1, 1, 1)
    return Convolution(place, weight, bias, slope=_SLOPE, groups=len(bias))


def _blur(
    place: Place, blur: Any, channels: int, padding: int, bias: Tensor | None = None
) -> Convolution:
    """A blur of every channel; with a bias, activated."""
    kernel = blur.kernel.flip(0, 1).expand(channels, 1, -1, -1)
    slope = None if bias is None else _SLOPE
    return Convolution(place, kernel, bias, padding=padding, slope=slope, groups=channels)


def _linear(place: Place, layer: Any) -> Layer:
    """An equalised linear layer, float32; with an activation where it has one."""
    factor = _ROOT2 if layer.activation else 1.0
    weight = place.keep(layer.weight) * (layer.scale * factor)
    bias = place.keep(layer.bias) * (layer.lr_mul * factor)
    if layer.activation:
        return lambda value: F.leaky_relu(F.linear(value, weight, bias), _SLOPE)
    return lambda value: F.linear(value, weight, bias)


def _doubled(colours: Tensor) -> Tensor:
    """Twice the size by the kernel 1 3 3 1: linear interpolation with zeros around."""
    around = F.pad(colours, (1, 1, 1, 1))
    wide = F.interpolate(around, scale_factor=2, mode="bilinear", align_corners=False)
    return wide[:, :, 2:-2, 2:-2].contiguous()


def _rows(maps: Tensor) -> Rows:
    return lambda start, stop: maps[:, :, start:stop]


def _strips(height: int, strip: int) -> list[tuple[int, int]]:
    return [(start, min(start + strip, height)) for start in range(0, height, strip)]


def _gathered(rows: Rows, height: int, strip: int) -> Tensor:
    """All rows, made a strip at a time."""
    first = rows(0, min(strip, height))
    if height <= strip:
        return first
    _, channels, _, width = first.shape
    whole = torch.empty(
        (1, channels, height, width), dtype=first.dtype, device=first.device, memory_format=LAST
    )
    whole[:, :, :strip] = first
    for start, stop in _strips(height, strip)[1:]:
        whole[:, :, start:stop] = rows(start, stop)
    return whole
