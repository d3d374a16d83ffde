"""Random changes of a batch of faces, so that a network learns what stays: all on the batch's device."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.metrics.fidelity import LUMA

DEGREES, ZOOM, SHIFT, STRETCH = 12.0, 0.15, 0.05, 0.06
BRIGHTNESS, CONTRAST, SATURATION = 0.25, 0.3, 0.4
GREY_SHARE, HIDDEN_SHARE, HIDDEN_SIDE = 0.2, 0.35, (0.1, 0.35)


def augment(images: Tensor, size: int, seen: float, generator: torch.Generator) -> Tensor:
    """Images (N, 3, H, W) in [-1, 1] turned, zoomed, shifted, mirrored, and changed in light and colour; some made
    grey, some with a rectangle hidden (Zhong et al. 2017, arXiv:1708.04896).

    seen: the share of width and height, about the middle, that is left. Returns (N, 3, size, size) in [-1, 1].
    """
    images = F.grid_sample(images, _grid(len(images), size, seen, images, generator), padding_mode="reflection",
                           align_corners=False)  # fmt: skip
    return _hide(_recolour(images, generator), generator)


def _uniform(count: int, low: float, high: float, like: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) * (high - low) + low).to(like.device)


def _grid(count: int, size: int, seen: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """Where each pixel of the results comes from."""
    angle = _uniform(count, -DEGREES, DEGREES, like, generator) * (math.pi / 180)
    zoom = seen * (1 + _uniform(count, -ZOOM, ZOOM, like, generator))
    stretch = 1 + _uniform(count, -STRETCH, STRETCH, like, generator)
    mirror = _uniform(count, -1, 1, like, generator).sign()
    across, down = (_uniform(count, -SHIFT, SHIFT, like, generator) for _ in range(2))
    rows = torch.stack(
        [
            torch.stack([mirror * zoom * stretch * angle.cos(), -zoom * angle.sin(), across], dim=1),
            torch.stack([mirror * zoom * angle.sin(), zoom / stretch * angle.cos(), down], dim=1),
        ],
        dim=1,
    )
    return F.affine_grid(rows, [count, 3, size, size], align_corners=False)


def _recolour(images: Tensor, generator: torch.Generator) -> Tensor:
    def drawn(low: float, high: float) -> Tensor:
        return _uniform(len(images), low, high, images, generator)[:, None, None, None]

    weights = torch.tensor(LUMA, device=images.device)[:, None, None]
    grey = (images * weights).sum(dim=1, keepdim=True)
    keeps_colour = (drawn(0, 1) > GREY_SHARE).float() * drawn(1 - SATURATION, 1 + SATURATION)
    images = grey + (images - grey) * keeps_colour
    mean = grey.mean(dim=(2, 3), keepdim=True)
    images = mean + (images - mean) * drawn(1 - CONTRAST, 1 + CONTRAST) + drawn(-BRIGHTNESS, BRIGHTNESS)
    return images.clamp(-1, 1)


def _hide(images: Tensor, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    hidden = _uniform(count, 0, 1, images, generator) < HIDDEN_SHARE

    def span(length: int) -> Tensor:
        side = _uniform(count, *HIDDEN_SIDE, images, generator) * length
        first = _uniform(count, 0, 1, images, generator) * (length - side)
        place = torch.arange(length, device=images.device)[None]
        return (place >= first[:, None]) & (place < (first + side)[:, None])

    mask = span(height)[:, :, None] & span(width)[:, None, :] & hidden[:, None, None]
    return images.masked_fill(mask[:, None], 0.0)
