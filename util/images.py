"""Converts between uint8 images and tensors in [-1, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from util.files import atomic_path


def image_to_tensor(image: Image.Image) -> Tensor:
    """Convert an 8-bit RGB or grey (mode L) image to a float32 tensor (3 or 1, H, W) in [-1, 1]."""
    array = np.array(image, copy=True)
    if array.ndim == 2:
        array = array[:, :, None]
    return uint8_to_tensor(torch.from_numpy(array).permute(2, 0, 1)).contiguous()


def uint8_to_tensor(pixels: Tensor) -> Tensor:
    """Convert a uint8 tensor of any shape to float32 in [-1, 1] on its device, bit for bit the same on every device."""
    # The divisor is a tensor: given a plain number, CUDA would multiply by its rounded reciprocal.
    divisor = torch.full((), 127.5, device=pixels.device)
    return pixels.to(torch.float32).div_(divisor).sub_(1.0)


def to_pixels(images: Tensor) -> Tensor:
    """Convert a tensor of any shape in [-1, 1] to uint8 on its device, rounding to nearest."""
    return images.detach().float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def tensor_to_uint8(images: Tensor) -> np.ndarray:
    """Convert a tensor (..., C, H, W) in [-1, 1] to a uint8 array (..., H, W, C), rounding to nearest."""
    return to_pixels(images).movedim(-3, -1).cpu().numpy()


def in_colour(images: Tensor) -> Tensor:
    """Convert images (N, 3 or 1, H, W) to (N, 3, H, W)."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def part_of(images: Tensor, part: tuple[float, float, float, float]) -> Tensor:
    """Crop images (N, C, H, W) to a part: left, top, right, bottom in units of their width and height."""
    height, width = images.shape[-2:]
    left, top, right, bottom = part
    return images[..., round(top * height) : round(bottom * height), round(left * width) : round(right * width)]


def array_to_image(array: np.ndarray) -> Image.Image:
    """Convert a uint8 array (H, W, 3) or (H, W, 1) to a Pillow image."""
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def save_png(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array (H, W, 3) or (H, W, 1) as a PNG file, atomically."""
    with atomic_path(path) as temporary:
        array_to_image(array).save(temporary, format="PNG")


def captioned_grid(images: Mapping[str, np.ndarray], columns: int, caption_height: int = 14) -> np.ndarray:
    """Arrange named uint8 images (H, W, 3 or 1) in a grid with captions, as one uint8 image (H', W', 3)."""
    width = max(image.shape[1] for image in images.values())
    height = max(image.shape[0] for image in images.values()) + caption_height
    columns = min(max(1, columns), len(images))
    grid = Image.new("RGB", (columns * (width + 4), -(-len(images) // columns) * (height + 4)), "white")
    draw = ImageDraw.Draw(grid)
    for number, (name, image) in enumerate(images.items()):
        left, top = number % columns * (width + 4) + 2, number // columns * (height + 4) + 2
        draw.text((left, top), name, fill="black")
        grid.paste(array_to_image(image), (left, top + caption_height))
    return np.asarray(grid)
