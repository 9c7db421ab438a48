"""How the target's features move to their places in the form wanted: a dense flow.

The dense motion network of Siarohin et al. (2019), float32 throughout: what comes out are
coordinates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusion.engines.unet.nets.layers import Convolution, Place, folded


class Motion:
    """ModelScope's `DenseMotionNetwork`, BatchNorm folded into the convolutions.

    Args:
        network: ModelScope's, with its weights.
        place: Where to compute; its dtype is not used.
    """

    def __init__(self, network: Any, place: Place) -> None:
        place = place.exact()
        hourglass = network.hourglass
        self._reduction = Convolution(
            place,
            network.down.weight,
            stride=network.down.int_inv_scale,
            padding=network.down.ka,
            groups=network.down.groups,
        )
        self._down = [
            folded(place, block.conv, block.norm, padding=1, slope=0.0)
            for block in hourglass.encoder.down_blocks
        ]
        self._up = [
            folded(place, block.conv, block.norm, padding=1, slope=0.0)
            for block in hourglass.decoder.up_blocks
        ]
        self._share = Convolution(place, network.mask.weight, network.mask.bias, padding=3)
        self._variance = network.kp_variance

    def __call__(self, pictures: Tensor, wanted: Tensor, own: Tensor) -> Tensor:
        """Where each pixel of the form wanted comes from, N x size / 4 x size / 4 x 2 in [-1, 1].

        Args:
            pictures: The targets, N x 3 x size x size in [-1, 1].
            wanted, own: Key points of the form wanted and of the target, N x K x 2 in [-1, 1].
        """
        small = self._reduction(pictures)
        grid = _grid(small)
        heat = self._heat(grid, wanted) - self._heat(grid, own)
        shifts = F.pad(own - wanted, (0, 0, 1, 0))[:, :, None, None]  # the first one: no motion
        moved = _moved(small, grid + shifts)
        described = torch.cat((F.pad(heat, (0, 0, 0, 0, 1, 0))[:, :, None], moved), dim=2)
        shares = torch.softmax(self._share(self._hourglass(described.flatten(1, 2))), dim=1)
        return grid[:, 0] + (shares[..., None] * shifts).sum(1)

    def _heat(self, grid: Tensor, points: Tensor) -> Tensor:
        """A Gaussian about each point, N x K x height x width."""
        away = (grid - points[:, :, None, None]).square().sum(-1)
        return torch.exp(-0.5 / self._variance * away)

    def _hourglass(self, maps: Tensor) -> Tensor:
        maps = maps.contiguous(memory_format=torch.channels_last)
        kept = [maps]
        for layer in self._down:
            kept.append(F.avg_pool2d(layer(kept[-1]), 2))
        maps = kept.pop()
        for layer in self._up:
            maps = layer(F.interpolate(maps, scale_factor=2.0, mode="nearest"))
            maps = torch.cat((maps, kept.pop()), dim=1)
        return maps


def warped(pictures: Tensor, flow: Tensor) -> Tensor:
    """Pictures (N x 3 x size x size) seen through a flow of any resolution."""
    size = (pictures.shape[2], pictures.shape[3])
    flow = F.interpolate(flow.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False)
    return F.grid_sample(pictures, flow.permute(0, 2, 3, 1), align_corners=False)


def _grid(maps: Tensor) -> Tensor:
    """Coordinates of pixels, 1 x 1 x height x width x 2 (x, y), -1 and 1 at the outermost."""
    y, x = (torch.arange(size, device=maps.device) / (size - 1) * 2 - 1 for size in maps.shape[2:])
    across, down = torch.meshgrid(x, y, indexing="xy")
    return torch.stack((across, down), dim=-1)[None, None]


def _moved(pictures: Tensor, places: Tensor) -> Tensor:
    """Each picture seen through K flows, N x K x 3 x height x width."""
    count, flows, height, width, _ = places.shape
    repeated = pictures.repeat_interleave(flows, dim=0)
    seen = F.grid_sample(repeated, places.flatten(0, 1), align_corners=False)
    return seen.reshape(count, flows, -1, height, width)
