"""Faces turned, moved and scaled to one framing: the eyes always at the same places, with room for hair and chin.

The framing: upright, the eyes at EYE_HEIGHT of the image's height and EYE_DISTANCE of its width apart, in its middle.
Coordinates are those of detect.py.
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
"""Where the eyes are, in units of the aligned image's height, from above."""
TEMPLATE = USUAL * EYE_DISTANCE + (0.5, EYE_HEIGHT)
"""(5, 2): the landmarks' places in an aligned image, in units of its side."""
CHIP_WINDOW = (0.127, 0.245, 0.873, 0.991)
"""left, top, right, bottom: what UTKFace's tightly cut chips show of an aligned image, in units of its side. Their eyes
are near (65, 55) and (132, 55) of 200 x 200 pixels, on average."""

SOFT_BORDER = 0.06
"""Beyond the photo's border its last pixels are repeated, and blurred the more the farther away; at this share of the
visible part's side the blur is full."""

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Alignment:
    """Where the pixels of an aligned image of size x size come from in a photo; plain numbers, for JSON and CSV."""

    matrix: Matrix
    """a similarity transform, from the photo's coordinates to the aligned image's"""
    size: int
    """width and height of the aligned image, in pixels"""

    @property
    def scale(self) -> float:
        """Pixels of the aligned image for each of the photo."""
        return math.hypot(self.matrix[0][0], self.matrix[1][0])

    @property
    def inverse(self) -> Matrix:
        """From the aligned image's coordinates to the photo's."""
        return _inverted(self.matrix)

    def resized(self, size: int) -> Alignment:
        """The same framing for an image of another size."""
        return Alignment(_rows(np.array(self.matrix) * (size / self.size)), size)


def alignment_of(landmarks: np.ndarray, size: int) -> Alignment:
    """The alignment of a face by its five landmarks (5, 2), as find_faces gives them. Raises ValueError where all of
    them are at one place."""
    matrix = fitted_similarity(landmarks, TEMPLATE * size)
    if not np.hypot(*matrix[:, 0]) > 0:
        raise ValueError("landmarks that are all at one place tell no alignment")
    return Alignment(_rows(matrix), size)


def as_rgb(photo: Image.Image | np.ndarray) -> Image.Image:
    """A photo of any mode, or uint8 RGB (H, W, 3), as an RGB image; not copied where it is one."""
    image = photo if isinstance(photo, Image.Image) else Image.fromarray(photo)
    return image if image.mode == "RGB" else image.convert("RGB")


def aligned(photo: Image.Image | np.ndarray, alignment: Alignment) -> Image.Image:
    """The aligned image of a photo: RGB, (size, size), smoothed as far as it is smaller, its borders softly continued.

    Raises ValueError where nothing of the photo is in it.
    """
    image = as_rgb(photo)
    size = alignment.size
    # Where the photo is finer, it is sampled at twice the size wanted, out of a copy reduced to that.
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
    """(4, 2): where the corners of the aligned image are in the photo; they may be outside it."""
    size = alignment.size
    return transformed(np.array(alignment.inverse), np.array([(0, 0), (size, 0), (0, size), (size, size)]))


Box = tuple[float, float, float, float]


def _parts(image: Image.Image, alignment: Alignment) -> tuple[Box, Box]:
    """What the photo has of the aligned image, and all that this needs: left, top, right, bottom in the photo."""
    corners = corners_in_photo(alignment)
    room = 4 / min(1.0, alignment.scale)  # for the filters
    left, top = np.floor(corners.min(axis=0) - room).tolist()
    right, bottom = np.ceil(corners.max(axis=0) + room).tolist()
    visible = (max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom))
    if visible[0] >= visible[2] or visible[1] >= visible[3]:
        raise ValueError(f"nothing of the photo of {image.width} x {image.height} pixels is in the aligned image")
    return visible, (left, top, right, bottom)


def _reduced(image: Image.Image, part: Box, scale: float) -> tuple[Image.Image, Matrix]:
    """A part of a photo at a scale of 1 or less, and the matrix from the photo to it."""
    width, height = part[2] - part[0], part[3] - part[1]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = image.resize(size, Image.Resampling.LANCZOS, box=part, reducing_gap=3.0)
    x, y = size[0] / width, size[1] / height
    return small, ((x, 0.0, -part[0] * x), (0.0, y, -part[1] * y))


def _continued(image: Image.Image, matrix: Matrix, needed: Box) -> tuple[Image.Image, Matrix]:
    """An image of a part of the photo, continued beyond its borders to all of `needed`, and the matrix to it."""
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
    """How many pixels each place of a row is outside its middle part of some length."""
    place = np.arange(-before, length + after)
    return np.maximum(0, np.maximum(-place, place - length + 1)).astype(np.float64)


def _after(outer: Matrix, inner: Matrix) -> Matrix:
    """The matrix that does `inner`, then `outer`."""
    return _rows((np.vstack([outer, (0, 0, 1)]) @ np.vstack([inner, (0, 0, 1)]))[:2])


def _inverted(matrix: Matrix) -> Matrix:
    return _rows(np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2])


def _rows(matrix: np.ndarray) -> Matrix:
    """A matrix (2, 3) as plain numbers."""
    first, second = matrix.tolist()
    return tuple(first), tuple(second)
