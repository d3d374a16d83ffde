"""Paste the change of an aligned face back into its photo, at the photo's full resolution.

The change is the difference between the face after and before. It is enlarged and added to the photo's own pixels, so a
large photo keeps details that are too fine for the network. A soft mask fades the change out inside the aligned image;
pixels outside the mask keep their values, bit for bit.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from faces.align import Alignment, Matrix, as_rgb, corners_in_photo

MASK_CENTRE = (0.5, 0.51)
MASK_RADII = (0.47, 0.48)
"""Centre and radii of the mask in units of the aligned image's side; hair, ears and chin are inside."""
MASK_POWER = 3
"""Exponent of the superellipse that bounds the mask: 2 is an ellipse, larger values are more square."""
FEATHER = 0.25
"""Share of the radius over which the mask falls from 1 to 0."""
BAND = 256
"""Rows of the photo that are processed at a time, so that large faces need little memory."""


def paste_change(photo: Image.Image | np.ndarray, change: np.ndarray, alignment: Alignment) -> np.ndarray:
    """The photo with a change added to its face, as uint8 RGB (H, W, 3).

    change: float32 (size, size, 3), after - before in levels of 255, of the face aligned to any size. Raises ValueError
    if it is not square.
    """
    if change.ndim != 3 or change.shape[0] != change.shape[1] or change.shape[2] != 3:
        raise ValueError(f"expected a change of shape (size, size, 3), but got {change.shape}")
    made = np.array(as_rgb(photo))
    channels, framing = _as_coarse(change, alignment.resized(len(change)))
    left, top, right, bottom = _frame(framing, made.shape[1], made.shape[0])
    for row in range(top, bottom, BAND):
        part = made[row : min(bottom, row + BAND), left:right]
        to_face = _moved(framing.matrix, left, row)
        enlarged = [_resampled(channel, to_face, part.shape[1], part.shape[0]) for channel in channels]
        weight = _mask(to_face, framing.size, part.shape[1], part.shape[0])
        part[...] = np.clip(np.rint(part + weight[..., None] * np.stack(enlarged, axis=-1)), 0, 255)
    return made


def _as_coarse(change: np.ndarray, alignment: Alignment) -> tuple[list[Image.Image], Alignment]:
    """The channels of a change, reduced to the photo's resolution if the face is smaller in the photo."""
    channels = [Image.fromarray(np.ascontiguousarray(change[..., channel], dtype=np.float32)) for channel in range(3)]
    if alignment.scale <= 1:
        return channels, alignment
    size = max(1, math.ceil(alignment.size / alignment.scale))
    return [channel.resize((size, size), Image.Resampling.LANCZOS) for channel in channels], alignment.resized(size)


def _frame(alignment: Alignment, width: int, height: int) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the part of a photo that the aligned image covers; empty if it is outside."""
    corners = corners_in_photo(alignment)
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, (width, height)).astype(int).tolist()
    return left, top, right, bottom


def _moved(matrix: Matrix, x: int, y: int) -> Matrix:
    """The matrix for coordinates relative to the point (x, y) of the photo."""
    (a, b, c), (d, e, f) = matrix
    return (a, b, a * x + b * y + c), (d, e, d * x + e * y + f)


def _resampled(channel: Image.Image, to_face: Matrix, width: int, height: int) -> np.ndarray:
    """A channel of the aligned image, resampled to a part of the photo: float32 (height, width)."""
    coefficients = (*to_face[0], *to_face[1])
    seen = channel.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    return np.asarray(seen)


def _mask(to_face: Matrix, size: int, width: int, height: int) -> np.ndarray:
    """The weight of the change at each pixel of a part of the photo: float32 (height, width) in [0, 1]."""
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5))[None, :]
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5))[:, None]
    distance = np.zeros((height, width), dtype=np.float32)
    for (a, b, c), centre, radius in zip(to_face, MASK_CENTRE, MASK_RADII, strict=True):
        unit = np.float32(1 / (size * radius))
        distance += np.abs((a * unit) * x + (b * unit) * y + np.float32(c * unit - centre / radius)) ** MASK_POWER
    inside = np.clip((1 - distance ** np.float32(1 / MASK_POWER)) / np.float32(FEATHER), 0, 1)
    return inside * inside * (3 - 2 * inside)  # smoothstep
