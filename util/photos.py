"""Decodes photo files to upright 8-bit RGB images. Needs Pillow and numpy but not torch."""

from __future__ import annotations

import contextlib
import functools
import stat
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from util.endings import HAS_AVIF, HAS_HEIF, OTHER_PICTURES, SUFFIXES
from util.errors import UserError, describe

FORMATS = (
    *("JPEG", "PNG", "PPM", "BMP", "DIB", "TIFF", "WEBP", "GIF", "JPEG2000"),
    *(["AVIF"] if HAS_AVIF else []),
    *(["HEIF"] if HAS_HEIF else []),
)
"""Formats that are tried for each file, whatever its name: AVIF if the installed Pillow supports it, HEIF (written by
phones) if pillow-heif is installed. Other formats are rare for photos, and EPS would start another program."""
REMEDIES = {**dict.fromkeys((".heic", ".heif", ".hif"), "pip install pillow-heif"), ".avif": "pip install -U pillow"}
"""What to install for photos that cannot be read, by suffix."""
MAX_SCANS = 100
"""Maximum number of scans in a progressive JPEG. Ten are usual; each takes as long to decode as a whole photo."""


class UnreadableImageError(Exception):
    """Raised for a file that cannot be decoded as a photo; the reason says what to do."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@contextlib.contextmanager
def opened_photo(file: str | Path | IO[bytes], name: str | Path | None = None) -> Iterator[Image.Image]:
    """Open a photo without decoding its pixels. name: used in error messages.

    Raises UnreadableImageError for every exception inside the block: files that are not images, truncated images, and
    images larger than PIL.Image.MAX_IMAGE_PIXELS, which are likely decompression bombs. Do nothing but decode inside
    the block, because other errors would be reported as errors of the photo.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about damage that Pillow can skip
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if HAS_HEIF:
                _register_heif()
            if isinstance(file, (str, Path)):
                _refuse_what_is_no_file(Path(file))
            with Image.open(file, formats=FORMATS) as image:
                _refuse_many_scans(image)
                yield image
    except Exception as error:  # Pillow's decoders raise nearly every type on damaged files
        shown = name if name is not None else file if isinstance(file, (str, Path)) else "image"
        raise UnreadableImageError(shown, _reason(error, Path(shown).suffix.lower())) from error


def _reason(error: Exception, ending: str) -> str:
    """Say in plain words why a photo with this suffix cannot be read, and what to do."""
    if isinstance(error, OSError) and error.errno is not None:
        return describe(error).removeprefix(f"{error.filename}: ")
    if isinstance(error, (UserError, MemoryError)):
        return describe(error)
    if isinstance(error, (Image.DecompressionBombWarning, Image.DecompressionBombError)):
        return f"it has more than {(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels, the limit: make it smaller"
    if isinstance(error, UnidentifiedImageError):
        package = f" ({REMEDIES[ending]})" if ending in OTHER_PICTURES and ending in REMEDIES else ""
        return f"it is no photo, or is damaged: use a photo in one of the formats {', '.join(FORMATS)}{package}"
    what = " ".join(str(error).split()) or type(error).__name__  # libheif ends its reasons with a new line
    return f"it is damaged or incomplete: copy or download it again ({what})"


@functools.cache
def _register_heif() -> None:
    """Register HEIC with Pillow, once, and only when the first photo is opened, because the import is slow."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def no_images_in(folder: Path, endings: Mapping[str, int]) -> str:
    """Say that a folder has no photos, and what to put there. endings: see `describe_left_out`."""
    found = f": {describe_left_out(endings)}" if endings else ""
    return f"{folder} contains no images (expected files ending in {' '.join(SUFFIXES)}){found}"


def describe_left_out(endings: Mapping[str, int]) -> str:
    """Describe skipped files, given their number by suffix: `3 .heic (pip install pillow-heif), 2 .txt`."""
    parts = []
    for ending, count in sorted(endings.items(), key=lambda item: (-item[1], item[0])):
        parts.append(
            f"{count} {ending or 'without a suffix'}" + (f" ({REMEDIES[ending]})" if ending in REMEDIES else "")
        )
    return ", ".join(parts)


def _refuse_what_is_no_file(path: Path) -> None:
    """Raise UserError for empty files, and for pipes, devices and the like. Opening a pipe would block until somebody
    writes to it."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UserError("it is not a regular file: use a photo")
    if status.st_size == 0:
        raise UserError("it is empty: copy or download it again")


def _refuse_many_scans(image: Image.Image) -> None:
    file: IO[bytes] | None = getattr(image, "fp", None)
    if image.info.get("progressive") and file is not None:
        place = file.tell()
        file.seek(0)
        scans = file.read().count(b"\xff\xda")
        file.seek(place)
        if scans > MAX_SCANS:
            raise UserError(f"it has {scans} scans, which would take long to decode: save it as a usual JPEG file")


def read_image(path: str | Path) -> Image.Image:
    """Decode a photo of any common mode into an upright 8-bit RGB image.

    Applies the EXIF orientation, scales 16-bit values to 8 bits (rather than clipping them), composes transparent
    images on white, and converts grey, palette and CMYK images. Raises UnreadableImageError; see `opened_photo`.
    """
    with opened_photo(path) as image:
        return upright(image)


def upright(image: Image.Image) -> Image.Image:
    """Decode an opened image to 8-bit RGB and apply its EXIF orientation, if that can be read. Raises any error of
    Pillow's decoders."""
    image.load()
    with contextlib.suppress(SyntaxError, TypeError, ValueError, struct.error):  # damaged EXIF data, with sound pixels
        ImageOps.exif_transpose(image, in_place=True)  # out of place, it would also copy images already upright
    return to_rgb(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of an opened image as its EXIF orientation shows it, from the header alone."""
    is_turned = image.getexif().get(Base.Orientation, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if is_turned else image.size


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any Pillow mode to 8-bit RGB; see `read_image`."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


ROWS_AT_ONCE = 64
"""Number of rows converted at a time. Converting a whole photo would need several times its memory."""


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    for row in range(0, image.height, ROWS_AT_ONCE):
        part = image.crop((0, row, image.width, min(image.height, row + ROWS_AT_ONCE))).convert("RGBA")
        white.paste(part, (0, row), part)
    return white


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Scale grey values to uint8. They may be 16-bit integers of which 12 or 16 bits are used, 32-bit integers of
    which 8 or 16 bits are used, or floats in [0, 1] or [0, 255]."""
    top = values.max(initial=0)
    if values.dtype.kind == "f":
        scale = 255.0 if top <= 1.0 else 1.0
    else:
        # Cameras and scanners store 12-bit values in 16-bit files, which would be almost black if taken for 16 bits.
        full = 4095.0 if 255 < top <= 4095 else 65535.0
        scale = 1.0 if values.dtype.itemsize > 2 and top <= 255 else 255.0 / full
    made = np.empty(values.shape, dtype=np.uint8)
    for row in range(0, len(values), ROWS_AT_ONCE):
        part = np.nan_to_num(values[row : row + ROWS_AT_ONCE].astype(np.float64)) * scale
        made[row : row + ROWS_AT_ONCE] = np.clip(np.rint(part), 0, 255)
    return made
