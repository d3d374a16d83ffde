"""From a decoded photo to the tensor that a network sees: the public `--preprocess` modes, crops and flips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from util.arguments import OptionError, option
from util.images import image_to_tensor
from util.photos import UnreadableImageError, read_image

MODES = ("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "resize", "none")
SIZE_MULTIPLE = 4
"""Generators halve the size twice; what is not cropped is rounded to a multiple of this."""


MAX_PIXELS = 2**26
"""Of a resized photo: some narrow ones would fill the memory where the width is what is set."""


class UnusablePhotoError(Exception):
    """A photo that cannot be decoded, or is smaller than the crop that `--preprocess` takes out of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class TransformOptions:
    """preparing photos"""

    preprocess: str = option(
        "resize_and_crop",
        help="resize: to a square of --load_size; scale_width: to a width of --load_size, keeping the proportions; "
        "crop: a square of --crop_size out of that, at random in training; none: only round the size to a multiple of "
        "4",
        choices=MODES,
        aliases=["resize_or_crop"],
    )
    load_size: int = option(286, help="size to resize to", unit="pixels", aliases=["loadSize"], most=8192)
    crop_size: int = option(256, help="size to crop to", unit="pixels", aliases=["fineSize"], most=8192)
    no_flip: bool = option(False, help="do not mirror photos at random")

    def __post_init__(self) -> None:
        for flag in ("load_size", "crop_size"):
            if getattr(self, flag) < SIZE_MULTIPLE:
                raise OptionError(f"--{flag} {getattr(self, flag)}: must be at least {SIZE_MULTIPLE} pixels")
        if self.crops and self.crop_size % SIZE_MULTIPLE:
            raise OptionError(
                f"--crop_size {self.crop_size}: generators need a multiple of {SIZE_MULTIPLE}; "
                f"{round_size(self.crop_size)} is near"
            )
        if self.crops and self.preprocess != "crop" and self.load_size < self.crop_size:
            raise OptionError(
                f"--load_size {self.load_size} is smaller than --crop_size {self.crop_size}: "
                "photos are resized to the first, then cropped to the second"
            )

    @property
    def crops(self) -> bool:
        """Whether the mode ends in a square of `crop_size`."""
        return self.preprocess.endswith("crop")


def load_photo(path: Path, options: TransformOptions, channels: int, rng: np.random.Generator | None) -> Tensor:
    """Read a file and `transform` it. Raises UnusablePhotoError, whatever the reason."""
    try:
        image = read_image(path)
    except UnreadableImageError as error:
        raise UnusablePhotoError(error.reason) from error
    return transform(image, options, channels, rng)


def transform(image: Image.Image, options: TransformOptions, channels: int, rng: np.random.Generator | None) -> Tensor:
    """An RGB photo as a tensor (channels, H, W) in [-1, 1].

    rng draws the crop and the flip, in this order; None takes the middle and flips nothing. Raises UnusablePhotoError.
    """
    image = resize(image, options)
    if options.crops:
        image = crop(image, options.crop_size, rng)
    else:
        image = resize_to(image, round_size(image.width), round_size(image.height))
    if rng is not None and not options.no_flip and rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image_to_tensor(image.convert("L") if channels == 1 else image)


def resize(image: Image.Image, options: TransformOptions) -> Image.Image:
    """The resizing part of `--preprocess`."""
    if options.preprocess.startswith("resize"):
        return resize_to(image, options.load_size, options.load_size)
    if options.preprocess.startswith("scale_width"):
        height = round(options.load_size * image.height / image.width)
        if options.load_size * height > MAX_PIXELS:
            raise UnusablePhotoError(
                f"{image.width} x {image.height} pixels would become {options.load_size} x {height} by --preprocess "
                f"{options.preprocess}"
            )
        return resize_to(image, options.load_size, max(height, options.crop_size if options.crops else 1))
    return image


def resize_to(image: Image.Image, width: int, height: int) -> Image.Image:
    """Bicubic, with the filter widened when shrinking (no aliasing)."""
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def round_size(size: int) -> int:
    """The nearest multiple of SIZE_MULTIPLE that is not 0."""
    return max(SIZE_MULTIPLE, round(size / SIZE_MULTIPLE) * SIZE_MULTIPLE)


def crop(image: Image.Image, size: int, rng: np.random.Generator | None) -> Image.Image:
    """A square of `size` pixels: anywhere, or out of the middle where `rng` is None."""
    right, down = image.width - size, image.height - size
    if right < 0 or down < 0:
        raise UnusablePhotoError(
            f"{image.width} x {image.height} pixels are less than --crop_size {size}; --preprocess resize_and_crop "
            f"enlarges"
        )
    if rng is None:
        left, top = right // 2, down // 2
    else:
        left, top = int(rng.integers(right + 1)), int(rng.integers(down + 1))
    return image.crop((left, top, left + size, top + size))
