"""The background: a gradient between two colours, plain or with a pattern, out of focus."""

import numpy as np

from .canvas import Canvas
from .curves import Array
from .person import Face


def paint_backdrop(canvas: Canvas, face: Face) -> None:
    photo = face.photo
    along = (canvas.u - 0.5) * np.cos(photo.slant) + (canvas.v - 0.5) * np.sin(photo.slant) + 0.5
    canvas.paint(np.ones_like(along), photo.near)
    canvas.paint(np.clip(along, 0, 1), photo.far)
    if photo.pattern == "bokeh":
        paint_bokeh(canvas, face)
    elif photo.pattern == "stripes":
        canvas.paint(waves(along * 7) * 0.6, photo.far)
    elif photo.pattern == "tiles":
        canvas.paint(np.maximum(waves(along * 5), waves((canvas.u - canvas.v) * 5)) * 0.5, photo.far)
    elif photo.pattern == "horizon":
        canvas.paint(1 / (1 + np.exp((along - 0.5) * 60)), photo.far * 0.85)


def waves(turns: Array) -> Array:
    """Soft stripes in [0, 1], one per turn."""
    return 1 / (1 + np.exp(-8 * np.cos(2 * np.pi * turns)))


def paint_bokeh(canvas: Canvas, face: Face) -> None:
    rng = face.rng("bokeh")
    for _ in range(14):
        u, v, radius = rng.random(), rng.random(), rng.uniform(0.03, 0.11)
        distance = np.hypot(canvas.u - u, canvas.v - v)
        disc = 1 / (1 + np.exp((distance - radius) * 90))
        canvas.paint(disc, face.photo.far * rng.uniform(0.7, 1.3), opacity=rng.uniform(0.25, 0.7))
