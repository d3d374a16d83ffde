"""From a decoded photo to the tensor that a network sees: the public `--preprocess` modes, crops and flips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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


class Window(NamedTuple):
    """What is seen of a prepared photo: a rectangle of it in pixels, mirrored or not."""

    left: int
    top: int
    right: int
    bottom: int
    mirrored: bool


def load_photo(path: Path, options: TransformOptions, channels: int, rng: np.random.Generator | None) -> Tensor:
    """Read a file and `transform` it. Raises UnusablePhotoError, whatever the reason."""
    return transform(read_photo(path), options, channels, rng)


def read_photo(path: Path) -> Image.Image:
    """Decode a file into an upright RGB photo. Raises UnusablePhotoError, whatever the reason."""
    try:
        return read_image(path)
    except UnreadableImageError as error:
        raise UnusablePhotoError(error.reason) from error


def transform(image: Image.Image, options: TransformOptions, channels: int, rng: np.random.Generator | None) -> Tensor:
    """An RGB photo as a tensor (channels, H, W) in [-1, 1].

    rng draws the crop and the flip, in this order; None takes the middle and flips nothing. Raises UnusablePhotoError.
    """
    image = prepare(image, options, channels)
    window = draw_window(image.width, image.height, options, rng)
    if options.crops:
        image = image.crop(window[:4])
    if window.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image_to_tensor(image)


def prepare(image: Image.Image, options: TransformOptions, channels: int) -> Image.Image:
    """What is done to an RGB photo each time alike: resizing, and the luminance alone where `channels` is 1."""
    image = resize_to(image, *resized_size(image.width, image.height, options))
    if not options.crops:
        image = resize_to(image, round_size(image.width), round_size(image.height))
    return image.convert("L") if channels == 1 else image


def resized_size(width: int, height: int, options: TransformOptions) -> tuple[int, int]:
    """Width and height after the resizing part of `--preprocess`."""
    if options.preprocess.startswith("resize"):
        return options.load_size, options.load_size
    if options.preprocess.startswith("scale_width"):
        scaled = round(options.load_size * height / width)
        if options.load_size * scaled > MAX_PIXELS:
            raise UnusablePhotoError(
                f"{width} x {height} pixels would become {options.load_size} x {scaled} by --preprocess "
                f"{options.preprocess}"
            )
        return options.load_size, max(scaled, options.crop_size if options.crops else 1)
    return width, height


def prepared_size(width: int, height: int, options: TransformOptions) -> tuple[int, int]:
    """The size that `prepare` gives to a photo of `width` x `height` pixels. Raises UnusablePhotoError."""
    width, height = resized_size(width, height, options)
    return (width, height) if options.crops else (round_size(width), round_size(height))


def resize_to(image: Image.Image, width: int, height: int) -> Image.Image:
    """Bicubic, with the filter widened when shrinking (no aliasing)."""
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def round_size(size: int) -> int:
    """The nearest multiple of SIZE_MULTIPLE that is not 0."""
    return max(SIZE_MULTIPLE, round(size / SIZE_MULTIPLE) * SIZE_MULTIPLE)


def draw_window(width: int, height: int, options: TransformOptions, rng: np.random.Generator | None) -> Window:
    """The crop, then the flip, of a prepared photo of `width` x `height` pixels.

    A square of `crop_size` lies anywhere, or in the middle where `rng` is None; without a crop it is all of the photo.
    Raises UnusablePhotoError where the photo is smaller than its crop.
    """
    left, top, right, bottom = 0, 0, width, height
    if options.crops:
        left, top = _draw_corner(width, height, options.crop_size, rng)
        right, bottom = left + options.crop_size, top + options.crop_size
    mirrored = rng is not None and not options.no_flip and rng.random() < 0.5
    return Window(left, top, right, bottom, mirrored)


def _draw_corner(width: int, height: int, size: int, rng: np.random.Generator | None) -> tuple[int, int]:
    right, down = width - size, height - size
    if right < 0 or down < 0:
        raise UnusablePhotoError(
            f"{width} x {height} pixels are less than --crop_size {size}; --preprocess resize_and_crop enlarges"
        )
    if rng is None:
        return right // 2, down // 2
    return int(rng.integers(right + 1)), int(rng.integers(down + 1))
