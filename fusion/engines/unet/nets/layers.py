"""What the fast forms of the networks are made of: convolutions laid out for the processor.

All pictures between layers are channels-last: there a row strip of one picture is one
stretch of memory, normalisation over channels runs along it, and oneDNN and cuDNN are at
their fastest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

LAST = torch.channels_last
_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a network computes, and in which numbers its heavy layers do.

    packed: weights are laid out for oneDNN, and large maps made in strips, where the processor
    computes; torch.compile wants neither.
    """

    device: torch.device
    dtype: torch.dtype

    packed: bool = True

    @property
    def on_cpu(self) -> bool:
        return self.device.type == "cpu"

    @property
    def in_strips(self) -> bool:
        """Whether large maps are made a strip at a time: processors have caches, GPUs have not."""
        return self.on_cpu and self.packed

    def exact(self) -> Place:
        """The same device, everything in float32."""
        return replace(self, dtype=torch.float32)

    def take(self, tensor: Tensor) -> Tensor:
        """A tensor as heavy layers want it."""
        return tensor.to(self.device, self.dtype)

    def keep(self, tensor: Tensor) -> Tensor:
        """A tensor of a delicate step, float32 wherever it computes.

        A copy, since what shares memory with a mapped file keeps the whole file in memory.
        """
        return tensor.to(self.device, torch.float32, copy=True)


class Convolution:
    """A convolution with bias, then LeakyReLU of ``slope`` (0: ReLU; None: nothing).

    On the CPU the weights are laid out for oneDNN at the first call, which otherwise happens
    at every call and costs more than the convolution where pictures are small, and the bias
    and the activation are applied while results are still in registers.
    """

    def __init__(  # noqa: PLR0913
        self,
        place: Place,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: int = 1,
        padding: int = 0,
        slope: float | None = None,
        groups: int = 1,
        transposed: bool = False,
    ) -> None:
        self._pending = place.on_cpu and place.packed and _ONEDNN
        self._weight = place.take(weight)
        if not self._pending:
            self._weight = self._weight.contiguous(memory_format=LAST)
        self._bias = None if bias is None else place.take(bias).clone()
        self._stride = [stride, stride]
        self._padding = [padding, padding]
        self._slope = slope
        self._groups = groups
        self._transposed = transposed

    def __call__(self, picture: Tensor) -> Tensor:
        if self._pending:
            self._pack(picture)
        if self._weight.is_mkldnn:
            return self._fused(picture)
        if self._transposed:
            out = F.conv_transpose2d(
                picture, self._weight, self._bias, self._stride, self._padding, 0, self._groups
            )
        else:
            out = F.conv2d(
                picture, self._weight, self._bias, self._stride, self._padding, 1, self._groups
            )
        return out if self._slope is None else F.leaky_relu_(out, self._slope)

    def _pack(self, picture: Tensor) -> None:
        size = list(picture.shape)
        weight = self._weight
        if not (weight.is_contiguous() or weight.is_contiguous(memory_format=LAST)):
            weight = weight.contiguous()
        if self._transposed:
            self._weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(
                weight, self._padding, [0, 0], self._stride, [1, 1], self._groups, size
            )
        else:
            self._weight = torch.ops.mkldnn._reorder_convolution_weight(
                weight, self._padding, self._stride, [1, 1], self._groups, size
            )
        self._pending = False

    def _fused(self, picture: Tensor) -> Tensor:
        before = (picture, self._weight, self._bias, self._padding)
        after = ("none", [], "") if self._slope is None else ("leaky_relu", [self._slope], "")
        if self._transposed:
            out: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
                *before, [0, 0], self._stride, [1, 1], self._groups, *after
            )
        else:
            out = torch.ops.mkldnn._convolution_pointwise(
                *before, self._stride, [1, 1], self._groups, *after
            )
        return out


def folded(
    place: Place,
    convolution: nn.Conv2d | nn.ConvTranspose2d,
    norm: nn.BatchNorm2d | None,
    *,
    padding: int,
    slope: float | None = None,
) -> Convolution:
    """A convolution with the BatchNorm that follows it inside its weights and bias."""
    weight, bias = place.keep(convolution.weight), convolution.bias
    transposed = isinstance(convolution, nn.ConvTranspose2d)
    if norm is not None:
        factor, shift = normalising(place, norm)
        weight = weight * factor.view((1, -1, 1, 1) if transposed else (-1, 1, 1, 1))
        bias = shift if bias is None else place.keep(bias) * factor + shift
    return Convolution(
        place,
        weight,
        bias,
        stride=convolution.stride[0],
        padding=padding,
        slope=slope,
        transposed=transposed,
    )


def normalising(place: Place, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Factor and shift per channel that a BatchNorm comes to once it is trained."""
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("a BatchNorm without statistics has no fixed factor")
    factor = torch.rsqrt(place.keep(norm.running_var) + norm.eps)
    if norm.affine:
        factor = factor * place.keep(norm.weight)
    shift = -place.keep(norm.running_mean) * factor
    return factor, shift + place.keep(norm.bias) if norm.affine else shift
