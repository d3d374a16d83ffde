"""The picture, which is painted by applying colours through soft masks in [0, 1]."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .curves import Array, Points

SUPERSAMPLING = 4  # outlines are rasterized this many times larger, then averaged, for smooth edges
YAW_SHIFT = 0.2  # face units by which the middle of the face moves when the head is fully turned


@dataclass(frozen=True)
class Pose:
    """The pose of the head: its centre in fractions of the image side, angles in radians."""

    x: float
    y: float
    scale: float  # half the head's height, as a fraction of the image side
    roll: float
    yaw: float  # -1 (turned to the image's left) to 1

    def bulge(self, x: Array, y: Array) -> Array:
        """Horizontal displacement of a point by the yaw, largest in the middle of the face and zero at its rim."""
        return YAW_SHIFT * self.yaw * np.sqrt(np.maximum(0, 1 - (x / 0.8) ** 2 - (y / 1.15) ** 2))

    def to_image(self, points: Points) -> Array:
        """Convert face units to fractions of the image side, (N, 2)."""
        x, y = np.asarray(points, float).T
        x = x + self.bulge(x, y)
        cos, sin = np.cos(self.roll) * self.scale, np.sin(self.roll) * self.scale
        return np.column_stack([self.x + cos * x - sin * y, self.y + sin * x + cos * y])

    def to_face(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Convert fractions of the image side to face units: the inverse of `to_image`, to first order in the yaw."""
        cos, sin = np.cos(self.roll) / self.scale, np.sin(self.roll) / self.scale
        x, y = cos * (u - self.x) + sin * (v - self.y), cos * (v - self.y) - sin * (u - self.x)
        return x - self.bulge(x, y), y


class Canvas:
    """A square RGB picture: `pixels` (3, size, size) in [0, 1]; `u`, `v` are image and `x`, `y` face coordinates.

    Channels come first because a mask (size, size) then spreads over whole planes, several times faster.
    """

    def __init__(self, size: int, pose: Pose) -> None:
        self.size, self.pose = size, pose
        self.pixels = np.zeros((3, size, size))
        self.v, self.u = (np.mgrid[:size, :size] + 0.5) / size
        self.x, self.y = pose.to_face(self.u, self.v)

    def shape(self, *outlines: Points) -> Array:
        """The mask (size, size) of the union of filled outlines given in face units."""
        large = self.size * SUPERSAMPLING
        mask = Image.new("L", (large, large))
        brush = ImageDraw.Draw(mask)
        corners = self.pose.to_image(np.vstack(outlines)) * large - 0.5
        for polygon in np.split(corners, np.cumsum([len(outline) for outline in outlines[:-1]])):
            brush.polygon(polygon.ravel().tolist(), fill=255)
        return np.asarray(mask.reduce(SUPERSAMPLING)) / 255

    def blob(self, x: float, y: float, radius_x: float, radius_y: float | None = None) -> Array:
        """A Gaussian mask that is 1 at a point of the face; radii in face units."""
        return np.exp(-(((self.x - x) / radius_x) ** 2) - ((self.y - y) / (radius_y or radius_x)) ** 2)

    def soften(self, mask: Array, radius: float) -> Array:
        """The mask blurred by a radius in face units."""
        blur = ImageFilter.GaussianBlur(radius * self.pose.scale * self.size)
        return np.asarray(Image.fromarray((mask * 255 + 0.5).astype(np.uint8)).filter(blur)) / 255

    def shift(self, mask: Array, down: float) -> Array:
        """The mask moved down the image by a distance in face units."""
        rows = round(down * self.pose.scale * self.size)
        return np.vstack([np.zeros((rows, self.size)), mask[: self.size - rows]])

    def paint(self, mask: Array, colour: Array, opacity: float = 1) -> None:
        """Paint a colour (3,) through a mask."""
        self.pixels += (mask * opacity) * (colour[:, None, None] - self.pixels)

    def shade(self, mask: Array, factor: float | Array) -> None:
        """Multiply the picture by a factor, (3,) or one number, through a mask: below 1 is shadow, above 1 is light."""
        self.pixels *= 1 + mask * (np.broadcast_to(factor, 3)[:, None, None] - 1)


def mix(first: Array, second: Array, amount: float) -> Array:
    return first + amount * (second - first)
