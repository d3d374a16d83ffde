"""Transforms photos to input tensors of the networks: the public `--preprocess` modes, crops and flips."""

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
"""Generators halve the size twice; the size of photos that are not cropped is rounded to a multiple of this."""


MAX_PIXELS = 2**26
"""Maximum number of pixels of a resized photo. Scaling a very tall one to a given width could fill the memory."""


class UnusablePhotoError(Exception):
    """Raised for a photo that cannot be decoded, or that is smaller than the crop of `--preprocess`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class TransformOptions:
    """preprocessing"""

    preprocess: str = option(
        "resize_and_crop",
        help="how photos are resized and cropped; resize: to a square of --load_size; scale_width: to a width of "
        "--load_size, keeping the aspect ratio; crop: a square of --crop_size, at a random position in training; none: "
        "only round the size to a multiple of 4",
        choices=MODES,
        aliases=["resize_or_crop"],
    )
    load_size: int = option(286, help="size that photos are resized to", unit="pixels", aliases=["loadSize"], most=8192)
    crop_size: int = option(256, help="size that photos are cropped to", unit="pixels", aliases=["fineSize"], most=8192)
    no_flip: bool = option(False, help="do not flip photos horizontally at random")
    test_size: int = option(
        0,
        help="size at which test.py, evaluate.py and age_photo.py translate photos, instead of --crop_size; a larger "
        "one gives finer lines; 0: --crop_size",
        unit="pixels",
        least=0,
        most=8192,
    )

    def __post_init__(self) -> None:
        for flag in ("load_size", "crop_size"):
            if getattr(self, flag) < SIZE_MULTIPLE:
                raise OptionError(f"--{flag} {getattr(self, flag)}: must be at least {SIZE_MULTIPLE} pixels")
        for flag in ("test_size", "crop_size"):
            size = getattr(self, flag)
            if self.crops and size % SIZE_MULTIPLE:
                raise OptionError(
                    f"--{flag} {size}: generators need a multiple of {SIZE_MULTIPLE}, for example {round_size(size)}"
                )
        if self.crops and self.preprocess != "crop" and self.load_size < self.crop_size:
            raise OptionError(
                f"--load_size {self.load_size} is smaller than --crop_size {self.crop_size}: "
                "photos are first resized to --load_size and then cropped to --crop_size"
            )

    @property
    def crops(self) -> bool:
        """Whether the mode crops photos to a square of `crop_size`."""
        return self.preprocess.endswith("crop")


class Window(NamedTuple):
    """The part of a prepared photo to use: a rectangle in pixels, and whether to flip it horizontally."""

    left: int
    top: int
    right: int
    bottom: int
    mirrored: bool


def load_photo(path: Path, options: TransformOptions, channels: int, rng: np.random.Generator | None) -> Tensor:
    """Read a file and `transform` it. Raises UnusablePhotoError if anything fails."""
    return transform(read_photo(path), options, channels, rng)


def read_photo(path: Path) -> Image.Image:
    """Decode a file to an upright RGB photo. Raises UnusablePhotoError if anything fails."""
    try:
        return read_image(path)
    except UnreadableImageError as error:
        raise UnusablePhotoError(error.reason) from error


def transform(image: Image.Image, options: TransformOptions, channels: int, rng: np.random.Generator | None) -> Tensor:
    """Transform an RGB photo to a tensor (channels, H, W) in [-1, 1].

    rng: draws the crop and the flip, in this order; None for a centre crop without flip. Raises UnusablePhotoError.
    """
    image = prepare(image, options, channels)
    window = draw_window(image.width, image.height, options, rng)
    if options.crops:
        image = image.crop(window[:4])
    if window.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image_to_tensor(image)


def prepare(image: Image.Image, options: TransformOptions, channels: int) -> Image.Image:
    """Apply the deterministic part of the transform to an RGB photo: resizing, and conversion to grey if `channels` is
    1."""
    image = resize_to(image, *resized_size(image.width, image.height, options))
    if not options.crops:
        image = resize_to(image, round_size(image.width), round_size(image.height))
    return image.convert("L") if channels == 1 else image


def resized_size(width: int, height: int, options: TransformOptions) -> tuple[int, int]:
    """Return the width and height after the resizing part of `--preprocess`. Raises UnusablePhotoError."""
    if options.preprocess.startswith("resize"):
        return options.load_size, options.load_size
    if options.preprocess.startswith("scale_width"):
        scaled = round(options.load_size * height / width)
        if options.load_size * scaled > MAX_PIXELS:
            raise UnusablePhotoError(
                f"--preprocess {options.preprocess} would resize {width} x {height} pixels to {options.load_size} x "
                f"{scaled}, which is too large"
            )
        return options.load_size, max(scaled, options.crop_size if options.crops else 1)
    return width, height


def prepared_size(width: int, height: int, options: TransformOptions) -> tuple[int, int]:
    """Return the size of a photo of `width` x `height` pixels after `prepare`. Raises UnusablePhotoError."""
    width, height = resized_size(width, height, options)
    return (width, height) if options.crops else (round_size(width), round_size(height))


def resize_to(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resize an image with bicubic interpolation, antialiased when shrinking."""
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)


def round_size(size: int) -> int:
    """Round to the nearest positive multiple of SIZE_MULTIPLE."""
    return max(SIZE_MULTIPLE, round(size / SIZE_MULTIPLE) * SIZE_MULTIPLE)


def draw_window(width: int, height: int, options: TransformOptions, rng: np.random.Generator | None) -> Window:
    """Draw the crop and then the flip of a prepared photo of `width` x `height` pixels.

    The crop is a square of `crop_size` at a random position, or in the centre if `rng` is None; if the mode does not
    crop, it is the whole photo. Raises UnusablePhotoError if the photo is smaller than the crop.
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
            f"{width} x {height} pixels are less than --crop_size {size}; --preprocess resize_and_crop would enlarge it"
        )
    if rng is None:
        return right // 2, down // 2
    return int(rng.integers(right + 1)), int(rng.integers(down + 1))
