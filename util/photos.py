"""Photo files to upright 8-bit RGB images; needs Pillow and numpy, not torch."""

from __future__ import annotations

import contextlib
import functools
import stat
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from util.endings import HAS_AVIF, HAS_HEIF

FORMATS = (
    *("JPEG", "PNG", "PPM", "BMP", "DIB", "TIFF", "WEBP", "GIF", "JPEG2000"),
    *(["AVIF"] if HAS_AVIF else []),
    *(["HEIF"] if HAS_HEIF else []),
)
"""What is tried on a file, whatever its name: AVIF where the installed Pillow reads it, HEIF (which phones write) where
pillow-heif is installed. Others are rare as photos, and EPS would start another program."""
REMEDIES = {**dict.fromkeys((".heic", ".heif", ".hif"), "pip install pillow-heif"), ".avif": "pip install -U pillow"}
"""What makes photos readable that are not."""
MAX_SCANS = 100
"""Of a progressive JPEG file. Ten are usual; each takes the time of a whole photo, however few bytes it has."""


class UnreadableImageError(Exception):
    """A file that cannot be decoded as a photo, with the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@contextlib.contextmanager
def opened_photo(
    file: str | Path | IO[bytes], name: str | Path | None = None, formats: Sequence[str] = FORMATS
) -> Iterator[Image.Image]:
    """Open a photo whose pixels are not decoded yet; `name` is what errors call it, `formats` what is tried.

    Raises UnreadableImageError for whatever goes wrong before the block ends: no image, half of one, and images so
    large that they are likely to be decompression bombs (PIL.Image.MAX_IMAGE_PIXELS). What the block does besides
    decoding belongs behind it, lest its own errors be taken for the photo's.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damages that can be read past
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if "HEIF" in formats:
                _register_heif()
            if isinstance(file, (str, Path)):
                _refuse_what_is_no_file(Path(file))
            with Image.open(file, formats=tuple(formats)) as image:
                _refuse_many_scans(image)
                yield image
    except Exception as error:  # Pillow's decoders raise nearly every type on damaged files
        shown = name if name is not None else file if isinstance(file, (str, Path)) else "image"
        raise UnreadableImageError(shown, f"{type(error).__name__}: {error}") from error


@functools.cache
def _register_heif() -> None:
    """Make Pillow read HEIC photos; once, and not before there is a photo, as the package takes a moment."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def describe_left_out(endings: Mapping[str, int]) -> str:
    """`3 .heic (pip install pillow-heif), 2 .txt` for numbers of files by ending."""
    parts = []
    for ending, count in sorted(endings.items(), key=lambda item: (-item[1], item[0])):
        parts.append(
            f"{count} {ending or 'without an ending'}" + (f" ({REMEDIES[ending]})" if ending in REMEDIES else "")
        )
    return ", ".join(parts)


def _refuse_what_is_no_file(path: Path) -> None:
    """Raise OSError for pipes, devices and the like: to open a pipe is to wait for whoever writes to it."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("is no regular file")


def _refuse_many_scans(image: Image.Image) -> None:
    file: IO[bytes] | None = getattr(image, "fp", None)
    if image.info.get("progressive") and file is not None:
        place = file.tell()
        file.seek(0)
        scans = file.read().count(b"\xff\xda")
        file.seek(place)
        if scans > MAX_SCANS:
            raise ValueError(f"{scans} scans, where {MAX_SCANS} are plenty: a decompression bomb")


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
    ImageOps.exif_transpose(image, in_place=True)  # out of place it would copy those that lie right, too
    return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """An 8-bit RGB image of any mode that Pillow knows; see `read_image`."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


ROWS_AT_ONCE = 64
"""What is converted at a time, where the whole would need several times the photo's memory."""


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    for row in range(0, image.height, ROWS_AT_ONCE):
        part = image.crop((0, row, image.width, min(image.height, row + ROWS_AT_ONCE))).convert("RGBA")
        white.paste(part, (0, row), part)
    return white


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey values as uint8: 16-bit integers, of which 12 bits may be used, 32-bit ones that hold 8 or
    16 bits, floats in [0, 1] or [0, 255]."""
    top = values.max(initial=0)
    if values.dtype.kind == "f":
        scale = 255.0 if top <= 1.0 else 1.0
    else:
        # Cameras and scanners write their 12 bits into files of 16: taken for 16, these photos would be all but black.
        full = 4095.0 if 255 < top <= 4095 else 65535.0
        scale = 1.0 if values.dtype.itemsize > 2 and top <= 255 else 255.0 / full
    made = np.empty(values.shape, dtype=np.uint8)
    for row in range(0, len(values), ROWS_AT_ONCE):
        part = np.nan_to_num(values[row : row + ROWS_AT_ONCE].astype(np.float64)) * scale
        made[row : row + ROWS_AT_ONCE] = np.clip(np.rint(part), 0, 255)
    return made
