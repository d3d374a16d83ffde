"""Photo files to upright 8-bit RGB images; needs Pillow and numpy, not torch."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps


class UnreadableImageError(Exception):
    """A file that cannot be decoded as a photo, with the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@contextlib.contextmanager
def opened_photo(file: str | Path | IO[bytes], name: str | Path | None = None) -> Iterator[Image.Image]:
    """Open a photo whose pixels are not decoded yet; `name` is what errors call it.

    Raises UnreadableImageError for whatever goes wrong before the block ends: no image, half of one, and images so
    large that they are likely to be decompression bombs (PIL.Image.MAX_IMAGE_PIXELS). What the block does besides
    decoding belongs behind it, lest its own errors be taken for the photo's.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                yield image
    except Exception as error:  # Pillow's decoders raise nearly every type on damaged files
        shown = name if name is not None else file if isinstance(file, (str, Path)) else "image"
        raise UnreadableImageError(shown, f"{type(error).__name__}: {error}") from error


def read_image(path: str | Path) -> Image.Image:
    """Decode a photo of any common mode into an upright 8-bit RGB image.

    Turns it as its EXIF data say, scales 16-bit values to 8 bits (rather than clipping them), lays transparent images
    on white, converts grey, palette and CMYK. Raises UnreadableImageError; see `opened_photo`.
    """
    with opened_photo(path) as image:
        return upright(image)


def upright(image: Image.Image) -> Image.Image:
    """Decode an opened image into 8-bit RGB, turned as its EXIF data say. Raises whatever Pillow's decoders do."""
    image.load()
    return to_rgb(ImageOps.exif_transpose(image))


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
