"""Photo files to RGB images, and images to tensors and back: the one place that knows [-1, 1] from uint8."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from util.files import atomic_path


class UnreadableImageError(Exception):
    """A file that cannot be decoded as a photo, with the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


def read_image(path: str | Path) -> Image.Image:
    """Decode a photo of any common mode into an upright 8-bit RGB image.

    Turns it as its EXIF data say, scales 16-bit values to 8 bits (rather than clipping them), lays transparent images
    on white, converts grey, palette and CMYK. Raises UnreadableImageError for anything that is not a whole image, and
    for images so large that they are likely to be decompression bombs (PIL.Image.MAX_IMAGE_PIXELS).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                return to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's decoders raise nearly every type on damaged files
        raise UnreadableImageError(path, f"{type(error).__name__}: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An 8-bit RGB image of any mode that Pillow knows; see `read_image`."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values as uint8: 16-bit integers, 32-bit ones that hold 8 or 16 bits, floats in [0, 1] or [0, 255]."""
    top = values.max(initial=0)
    if values.dtype.kind == "f":
        scale = 255.0 if top <= 1.0 else 1.0
    else:
        scale = 1.0 if values.dtype.itemsize > 2 and top <= 255 else 255.0 / 65535.0
    return np.clip(np.rint(np.nan_to_num(values.astype(np.float64)) * scale), 0, 255).astype(np.uint8)


def image_to_tensor(image: Image.Image) -> Tensor:
    """An RGB or grey (mode L) 8-bit image as a float32 tensor (3 or 1, H, W) in [-1, 1]."""
    array = np.array(image, copy=True)
    if array.ndim == 2:
        array = array[:, :, None]
    return torch.from_numpy(array).permute(2, 0, 1).to(torch.float32).div_(127.5).sub_(1.0).contiguous()


def tensor_to_uint8(images: Tensor) -> np.ndarray:
    """Tensors (..., C, H, W) in [-1, 1] as uint8 arrays (..., H, W, C), rounded to nearest, on the CPU."""
    scaled = images.detach().float().add(1.0).mul(127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).movedim(-3, -1).cpu().numpy()


def array_to_image(array: np.ndarray) -> Image.Image:
    """A uint8 array (H, W, 3) or (H, W, 1) as a Pillow image."""
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def save_png(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array (H, W, 3) or (H, W, 1) as a PNG file, atomically."""
    with atomic_path(path) as temporary:
        array_to_image(array).save(temporary, format="PNG")


def captioned_grid(images: Mapping[str, np.ndarray], columns: int, caption_height: int = 14) -> np.ndarray:
    """Named uint8 images (H, W, 3 or 1) side by side, their names above them, as one uint8 image (H', W', 3)."""
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
