"""Differentiable augmentation of the discriminators' input (Zhao et al. 2020, arXiv:2006.10738)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_SHIFT = 0.125
CUTOUT = 0.35
"""Largest shift, and size of the cutout, as fractions of height and width."""


def augment(images: Tensor) -> Tensor:
    """Shift each image by up to an eighth of its size, and set a rectangle to grey: the paper's translation and cutout.

    Colours are not augmented, because the discriminator would then ignore that hair turns grey. Differentiable; draws
    from torch's generator of the images' device. images: (N, C, H, W) in [-1, 1]; returns the same shape.
    """
    return cut_out(translate(images))


def translate(images: Tensor) -> Tensor:
    """Shift each image by a random number of pixels, and fill the border with grey."""
    count, _, height, width = images.shape
    down, right = round(height * LARGEST_SHIFT), round(width * LARGEST_SHIFT)
    padded = F.pad(images, (right, right, down, down))
    top = torch.randint(0, 2 * down + 1, (count, 1), device=images.device) + torch.arange(height, device=images.device)
    left = torch.randint(0, 2 * right + 1, (count, 1), device=images.device) + torch.arange(width, device=images.device)
    which = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, top[:, :, None], left[:, None, :]].permute(0, 3, 1, 2)


def cut_out(images: Tensor) -> Tensor:
    """Set a rectangle of each image to grey (0), at a random position that may be partly outside the image."""
    count, _, height, width = images.shape
    rows = torch.arange(height, device=images.device) - torch.randint(0, height, (count, 1), device=images.device)
    columns = torch.arange(width, device=images.device) - torch.randint(0, width, (count, 1), device=images.device)
    hidden = (rows.abs() < height * CUTOUT / 2)[:, :, None] & (columns.abs() < width * CUTOUT / 2)[:, None, :]
    return images.masked_fill(hidden[:, None], 0.0)
