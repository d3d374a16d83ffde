"""File name suffixes of the photo formats that can and cannot be read here. Needs no third-party package."""

from __future__ import annotations

from importlib.util import find_spec

try:
    from PIL import features

    HAS_AVIF = bool(features.check("avif"))
    HAS_HEIF = find_spec("pillow_heif") is not None
except ImportError:  # unzip_datasets.sh also runs without Pillow, and copies photos that are read elsewhere
    HAS_AVIF = HAS_HEIF = True

SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".ppm", ".pgm", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"),
    *(".mpo", ".jp2", ".j2k"),
    *([".avif"] if HAS_AVIF else []),
    *([".heic", ".heif", ".hif"] if HAS_HEIF else []),
)
"""Suffixes of photos that can be read."""
OTHER_PICTURES = tuple(
    ending
    for ending in (".avif", ".heic", ".heif", ".hif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raw", ".psd")
    if ending not in SUFFIXES
)
"""Suffixes of photos that cannot be read."""
