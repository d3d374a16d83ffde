"""Photo files: reading them with what a changed photo has to keep, and writing them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from util.files import atomic_path
from util.photos import opened_photo, upright

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
"""Formats that results are written in; photos of others become JPEG or, if their pixels are exact, PNG files."""
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
"""Of the EXIF data's main part. Not kept: the orientation, which the pixels have taken on; the photo's thumbnail, which
shows the face as it was; and what describes the file's own layout."""
DROPPED_DETAILS = (Base.MakerNote, Base.ExifImageWidth, Base.ExifImageHeight, Base.ExifInteroperabilityOffset)
"""Of the details of the shot. Makers' notes may hold places, and are broken by being moved."""


@dataclass(frozen=True)
class Photo:
    """A photo that was read."""

    image: Image.Image
    """upright RGB; transparent parts lie on white"""
    format: str
    """of the results, a key of SUFFIXES"""
    is_grey: bool
    alpha: Image.Image | None
    """mode L, if parts are transparent"""
    colour_profile: bytes | None
    """ICC profile of `image`"""
    exif: Image.Exif


def read_photo(path: Path) -> Photo:
    """Read a photo of any format that Pillow reads safely, turned as its EXIF data say. Raises UnreadableImageError."""
    with opened_photo(path) as opened:
        mode, profile, found = opened.mode, opened.info.get("icc_profile"), opened.format or ""
        image = upright(opened)  # which has turned `opened` itself, too
        has_alpha = mode in TRANSPARENT_MODES or "transparency" in opened.info
        alpha = opened.convert("RGBA").getchannel("A") if has_alpha else None
        exif = opened.getexif()
    if alpha is not None and alpha.getextrema()[0] == 255:
        alpha = None
    is_grey = mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;16")
    fits = mode in ("RGB", "RGBA", "P", "L", "LA")  # other profiles are of colour spaces that the image has left
    return Photo(image, _result_format(found, alpha is not None), is_grey, alpha, profile if fits else None, exif)


def _result_format(read: str, transparent: bool) -> str:
    if read in SUFFIXES:
        return read
    return "PNG" if transparent or read in EXACT_FORMATS else "JPEG"


def write_photo(path: Path, pixels: np.ndarray, like: Photo, exif: bytes = b"") -> None:
    """Write uint8 RGB pixels (H, W, 3) in a photo's format, with its transparency, colour profile and greyness.

    The file appears whole or not at all. Raises OSError.
    """
    image = Image.fromarray(pixels)
    image = image.convert("L") if like.is_grey else image
    if like.alpha is not None:
        image.putalpha(like.alpha)
    kept = {"icc_profile": like.colour_profile} if like.colour_profile else {}
    with atomic_path(path) as temporary:
        image.save(temporary, format=like.format, **WRITING[like.format], **kept, **({"exif": exif} if exif else {}))


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 RGB pixels (H, W, 3) as a JPEG file, whole or not at all. Raises OSError."""
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="JPEG", quality=92)


def kept_exif(exif: Image.Exif, *, location: bool) -> bytes:
    """The EXIF data that may stay with a changed photo; empty where there are none, or none that can be read.

    location: keep the place where it was taken, too.
    """
    kept = Image.Exif()
    with contextlib.suppress(Exception):  # damaged EXIF data raise nearly everything
        kept.update({tag: exif[tag] for tag in KEPT_TAGS if tag in exif})
        details = {tag: value for tag, value in exif.get_ifd(IFD.Exif).items() if tag not in DROPPED_DETAILS}
        kept.get_ifd(IFD.Exif).update(details)
        if location:
            kept.get_ifd(IFD.GPSInfo).update(exif.get_ifd(IFD.GPSInfo))
        return kept.tobytes() if len(kept) or details else b""
    return b""
