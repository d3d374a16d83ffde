"""Read photo files together with everything that a changed photo has to keep, and write them."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from util.files import atomic_path
from util.photos import opened_photo, upright

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
"""Formats of the results. Photos in other formats become PNG files if their format is lossless, otherwise JPEG
files."""
EXACT_FORMATS = ("TIFF", "BMP", "DIB", "PPM", "GIF")
WRITING: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 4},
    "WEBP": {"quality": 95},
}
TRANSPARENT_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
KEPT_TAGS = (
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.HostComputer,
    Base.Copyright,
)
"""Tags of the main EXIF directory that may be kept. The orientation is dropped because the result is upright, the
thumbnail because it shows the unchanged face, and tags on the layout of the file because they no longer apply."""
DROPPED_DETAILS = (Base.MakerNote, Base.ExifImageWidth, Base.ExifImageHeight, Base.ExifInteroperabilityOffset)
"""Tags of the EXIF directory of exposure settings that are dropped. Maker notes may contain places, and become invalid
when they are moved."""


@dataclass(frozen=True)
class Photo:
    """A photo with everything that a changed version has to keep."""

    image: Image.Image
    """upright RGB; transparent parts are white"""
    format: str
    """format of the results, a key of SUFFIXES"""
    is_grey: bool
    alpha: Image.Image | None
    """mode L; None unless parts are transparent"""
    colour_profile: bytes | None
    """ICC profile of `image`"""
    exif: Image.Exif


def read_photo(path: Path) -> Photo:
    """Read a photo in any safe format and turn it upright by its EXIF data. Raises UnreadableImageError."""
    with opened_photo(path) as opened:
        mode, profile, found = opened.mode, opened.info.get("icc_profile"), opened.format or ""
        image = upright(opened)  # this has rotated `opened`, too
        has_alpha = mode in TRANSPARENT_MODES or "transparency" in opened.info
        alpha = opened.convert("RGBA").getchannel("A") if has_alpha else None
        exif = opened.getexif()
    if alpha is not None and alpha.getextrema()[0] == 255:
        alpha = None
    is_grey = mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;16")
    fits = mode in ("RGB", "RGBA", "P", "L", "LA")  # profiles of other modes do not fit the converted image
    return Photo(image, _result_format(found, alpha is not None), is_grey, alpha, profile if fits else None, exif)


def _result_format(read: str, transparent: bool) -> str:
    if read in SUFFIXES:
        return read
    return "PNG" if transparent or read in EXACT_FORMATS else "JPEG"


def write_photo(path: Path, pixels: np.ndarray, like: Photo, exif: bytes = b"") -> None:
    """Write uint8 RGB pixels (H, W, 3) in the format of the photo `like`, with its transparency and colour profile, and
    in grey if it is grey. The file is complete or absent. Raises OSError.
    """
    image = Image.fromarray(pixels)
    image = image.convert("L") if like.is_grey else image
    if like.alpha is not None:
        image.putalpha(like.alpha)
    kept = {"icc_profile": like.colour_profile} if like.colour_profile else {}
    kept |= {"exif": exif} if exif else {}
    with atomic_path(path) as temporary:
        try:
            image.save(temporary, format=like.format, **WRITING[like.format], **kept)
        except ValueError as error:  # a size, or an amount of metadata, that the format has no room for
            raise OSError(f"{like.format} cannot hold this photo: {error}") from error


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 RGB pixels (H, W, 3) as a JPEG file, which is complete or absent. Raises OSError."""
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="JPEG", quality=92)


def kept_exif(exif: Image.Exif, *, location: bool) -> bytes:
    """The EXIF data that a changed photo may keep; empty if there are none, or if they cannot be read.

    location: also keep the place where the photo was taken.
    """
    kept = Image.Exif()
    with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):  # damage raises many kinds of either
        kept.update({tag: exif[tag] for tag in KEPT_TAGS if tag in exif})
        details = {tag: value for tag, value in exif.get_ifd(IFD.Exif).items() if tag not in DROPPED_DETAILS}
        kept.get_ifd(IFD.Exif).update(details)
        if location:
            kept.get_ifd(IFD.GPSInfo).update(exif.get_ifd(IFD.GPSInfo))
        return kept.tobytes() if len(kept) or details else b""
    return b""
