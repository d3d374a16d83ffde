"""Align faces to a standard framing, with the eyes always at the same positions, and room for hair and chin.

In this framing, the face is upright, and the eyes are at EYE_HEIGHT of the image's height, EYE_DISTANCE of its width
apart, symmetric about its middle. Coordinates are those of detect.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from faces.landmarks import USUAL, fitted_similarity, transformed

EYE_DISTANCE = 0.25
"""Distance between the eyes, in units of the aligned image's width."""
EYE_HEIGHT = 0.45
"""Position of the eyes from the top, in units of the aligned image's height."""
TEMPLATE = USUAL * EYE_DISTANCE + (0.5, EYE_HEIGHT)
"""(5, 2): the positions of the landmarks in an aligned image, in units of its side."""
CHIP_WINDOW = (0.127, 0.245, 0.873, 0.991)
"""left, top, right, bottom: the part of an aligned image that UTKFace's tight chips show, in units of its side. On
average, their eyes are near (65, 55) and (132, 55) of 200 x 200 pixels."""

SOFT_BORDER = 0.06
"""Beyond the photo's border, its last pixels are repeated with a blur that grows with the distance. It reaches its
maximum at this share of the visible part's side."""

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Alignment:
    """The transform from a photo to its aligned image of size x size, as plain numbers for JSON and CSV."""

    matrix: Matrix
    """similarity transform from the photo's coordinates to the aligned image's"""
    size: int
    """width and height of the aligned image, in pixels"""

    @property
    def scale(self) -> float:
        """Pixels of the aligned image per pixel of the photo."""
        return math.hypot(self.matrix[0][0], self.matrix[1][0])

    @property
    def inverse(self) -> Matrix:
        """The transform from the aligned image's coordinates to the photo's."""
        return _rows(np.linalg.inv(np.vstack([self.matrix, (0, 0, 1)]))[:2])

    def resized(self, size: int) -> Alignment:
        """The same framing for an image of another size."""
        return Alignment(_rows(np.array(self.matrix) * (size / self.size)), size)

    def widened(self, factor: float) -> Alignment:
        """The alignment to an image of the same size that shows `factor` times the width and height, with the same
        middle."""
        matrix = np.array(self.matrix) / factor
        matrix[:, 2] += self.size * (1 - 1 / factor) / 2
        return Alignment(_rows(matrix), self.size)


def alignment_of(landmarks: np.ndarray, size: int) -> Alignment:
    """The alignment of a face by its five landmarks (5, 2), as returned by find_faces. Raises ValueError if all of them
    are at the same point."""
    matrix = fitted_similarity(landmarks, TEMPLATE * size)
    if not np.hypot(*matrix[:, 0]) > 0:
        raise ValueError("the landmarks are all at the same point, which does not determine an alignment")
    return Alignment(_rows(matrix), size)


def as_rgb(photo: Image.Image | np.ndarray) -> Image.Image:
    """Convert a photo of any mode, or uint8 RGB (H, W, 3), to an RGB image, without a copy if it is one already."""
    image = photo if isinstance(photo, Image.Image) else Image.fromarray(photo)
    return image if image.mode == "RGB" else image.convert("RGB")


def aligned(photo: Image.Image | np.ndarray, alignment: Alignment) -> Image.Image:
    """The aligned image of a photo: RGB, (size, size). It is antialiased, and continued softly beyond the photo's
    border.

    Raises ValueError if the aligned image does not overlap the photo.
    """
    image = as_rgb(photo)
    size = alignment.size
    # If the photo has a higher resolution, it is sampled at twice the size from a reduced copy, then resized.
    finer = 2 if alignment.scale < 1 else 1
    visible, needed = _parts(image, alignment)
    copy, copied = _reduced(image, visible, min(1.0, finer * alignment.scale))
    copy, copied = _continued(copy, copied, needed)
    to_copy = _after(copied, _after(alignment.inverse, ((1 / finer, 0, 0), (0, 1 / finer, 0))))
    canvas = copy.transform(
        (size * finer, size * finer), Image.Transform.AFFINE, (*to_copy[0], *to_copy[1]), Image.Resampling.BICUBIC
    )
    return canvas.resize((size, size), Image.Resampling.LANCZOS)


def corners_in_photo(alignment: Alignment) -> np.ndarray:
    """(4, 2): the corners of the aligned image in the photo's coordinates; they may be outside the photo."""
    size = alignment.size
    return transformed(np.array(alignment.inverse), np.array([(0, 0), (size, 0), (0, size), (size, size)]))


Box = tuple[float, float, float, float]


def _parts(image: Image.Image, alignment: Alignment) -> tuple[Box, Box]:
    """The part of the photo that the aligned image shows, and the part that it needs including what is beyond the
    border: left, top, right, bottom in the photo."""
    corners = corners_in_photo(alignment)
    room = 4 / min(1.0, alignment.scale)  # for the filters
    left, top = np.floor(corners.min(axis=0) - room).tolist()
    right, bottom = np.ceil(corners.max(axis=0) + room).tolist()
    visible = (max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom))
    if visible[0] >= visible[2] or visible[1] >= visible[3]:
        raise ValueError(f"the aligned image does not overlap the photo of {image.width} x {image.height} pixels")
    return visible, (left, top, right, bottom)


def _reduced(image: Image.Image, part: Box, scale: float) -> tuple[Image.Image, Matrix]:
    """A part of a photo resized by a scale of at most 1, and the matrix from the photo to it."""
    width, height = part[2] - part[0], part[3] - part[1]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = image.resize(size, Image.Resampling.LANCZOS, box=part, reducing_gap=3.0)
    x, y = size[0] / width, size[1] / height
    return small, ((x, 0.0, -part[0] * x), (0.0, y, -part[1] * y))


def _continued(image: Image.Image, matrix: Matrix, needed: Box) -> tuple[Image.Image, Matrix]:
    """An image of a part of the photo, continued beyond the border to all of `needed`, and the matrix to it."""
    (x, _, dx), (_, y, dy) = matrix
    left, top = max(0, math.ceil(-needed[0] * x - dx)), max(0, math.ceil(-needed[1] * y - dy))
    right = max(0, math.ceil(needed[2] * x + dx - image.width))
    bottom = max(0, math.ceil(needed[3] * y + dy - image.height))
    if not (left or top or right or bottom):
        return image, matrix
    repeated = Image.fromarray(np.pad(np.asarray(image), ((top, bottom), (left, right), (0, 0)), mode="edge"))
    reach = SOFT_BORDER * max(image.size)
    columns, rows = _outside(left, image.width, right), _outside(top, image.height, bottom)
    weight = np.clip(np.maximum(columns[None, :], rows[:, None]) / reach, 0, 1)
    blurred = repeated.filter(ImageFilter.GaussianBlur(reach / 2))
    soft = Image.composite(blurred, repeated, Image.fromarray(np.rint(weight * 255).astype(np.uint8)))
    return soft, ((x, 0.0, dx + left), (0.0, y, dy + top))


def _outside(before: int, length: int, after: int) -> np.ndarray:
    """Distance in pixels of each position of a row from its middle part, which has the given length."""
    place = np.arange(-before, length + after)
    return np.maximum(0, np.maximum(-place, place - length + 1)).astype(np.float64)


def _after(outer: Matrix, inner: Matrix) -> Matrix:
    """The matrix of the composition: `inner` first, then `outer`."""
    return _rows((np.vstack([outer, (0, 0, 1)]) @ np.vstack([inner, (0, 0, 1)]))[:2])


def _rows(matrix: np.ndarray) -> Matrix:
    """Convert a matrix (2, 3) to plain numbers."""
    first, second = matrix.tolist()
    return tuple(first), tuple(second)
