"""Random augmentation of a batch of faces, on the batch's device."""

from __future__ import annotations

import io
import math

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from evaluation.metrics.fidelity import LUMA
from util.images import image_to_tensor, tensor_to_uint8

DEGREES, ZOOM, SHIFT, STRETCH = 12.0, 0.15, 0.05, 0.06
BRIGHTNESS, CONTRAST, SATURATION = 0.25, 0.3, 0.4
GREY_SHARE, HIDDEN_SHARE, HIDDEN_SIDE = 0.2, 0.1, (0.1, 0.35)
BLURRED_SHARE, SMALLEST = 0.3, 0.45
JPEG_SHARE, JPEG_QUALITY = 0.15, (20, 90)
NOISE_SHARE, MOST_NOISE = 0.2, 0.06


def augment(images: Tensor, size: int, views: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, zoom, shift, mirror and recolour images (N, 3, H, W) in [-1, 1]. Some become grey, some lose a rectangle
    (Zhong et al. 2017, arXiv:1708.04896), and some are blurred, compressed or noisy.

    views: (N, 3), the visible part of each image, in the format of framing.CHIP_VIEW. Returns (N, 3, size, size) in
    [-1, 1].
    """
    images = F.grid_sample(
        images, _grid(size, views.to(images.device), generator), padding_mode="border", align_corners=False
    )
    return _degrade(_hide(_recolour(images, generator), generator), generator)


def _uniform(count: int, low: float, high: float, like: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) * (high - low) + low).to(like.device)


def _grid(size: int, views: Tensor, generator: torch.Generator) -> Tensor:
    """The sampling grid: the position in the input for each pixel of the output."""
    count, like = len(views), views
    angle = _uniform(count, -DEGREES, DEGREES, like, generator) * (math.pi / 180)
    zoom = views[:, 2] * (1 + _uniform(count, -ZOOM, ZOOM, like, generator))
    stretch = 1 + _uniform(count, -STRETCH, STRETCH, like, generator)
    mirror = _uniform(count, -1, 1, like, generator).sign()
    across, down = (views[:, axis] + _uniform(count, -SHIFT, SHIFT, like, generator) for axis in range(2))
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


def _degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, compress or add noise to some images, as in photos of varying quality."""
    chance = torch.rand(len(images), generator=generator)
    blurred = (chance < BLURRED_SHARE).nonzero().squeeze(1).to(images.device)
    if len(blurred):
        images = images.index_copy(0, blurred, _blur(images[blurred], generator))
    compressed = (chance > BLURRED_SHARE) & (chance < BLURRED_SHARE + JPEG_SHARE)
    for number in compressed.nonzero().squeeze(1).tolist():
        images[number] = _compress(images[number], generator)
    noisy = (chance > 1 - NOISE_SHARE).nonzero().squeeze(1).to(images.device)
    noise = torch.randn((len(noisy), *images.shape[1:]), generator=generator).to(images.device)
    images[noisy] += noise * MOST_NOISE * torch.rand((), generator=generator).to(images.device)
    return images.clamp(-1, 1)


def _blur(images: Tensor, generator: torch.Generator) -> Tensor:
    """Reduce images by the same random factor and enlarge them again."""
    size = images.shape[-2:]
    share = SMALLEST + (0.95 - SMALLEST) * torch.rand((), generator=generator).item()
    small = F.interpolate(images, scale_factor=share, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size, mode="bicubic", align_corners=False)


def _compress(image: Tensor, generator: torch.Generator) -> Tensor:
    """Apply JPEG compression to an image (3, H, W) in [-1, 1]."""
    low, high = JPEG_QUALITY
    quality = int(low + (high - low) * torch.rand((), generator=generator))
    with io.BytesIO() as file:
        Image.fromarray(tensor_to_uint8(image)).save(file, "JPEG", quality=quality)
        return image_to_tensor(Image.open(file)).to(image.device)
