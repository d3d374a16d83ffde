"""Draws a whole portrait, from back to front."""

import numpy as np
from PIL import Image

from .aging import Signs
from .backdrop import paint_backdrop
from .canvas import Canvas
from .curves import Array
from .extras import paint_clothes, paint_earrings, paint_glasses, paint_hat
from .eyes import paint_brows, paint_eyes
from .features import paint_mouth, paint_nose
from .hair import paint_back_hair, paint_beard, paint_hair
from .head import paint_complexion, paint_ears, paint_head, paint_neck
from .person import Face
from .wrinkles import paint_wrinkles


def draw(face: Face, age: float, size: int) -> Image.Image:
    """Draw a person at an age in years as an RGB image of size x size pixels."""
    canvas = Canvas(size, face.photo.pose)
    signs = Signs.of(face.heritage, age)
    paint_backdrop(canvas, face)
    paint_back_hair(canvas, face, signs)
    paint_neck(canvas, face, signs)
    paint_clothes(canvas, face)
    paint_ears(canvas, face, signs)
    paint_earrings(canvas, face)
    head = paint_head(canvas, face, signs)
    paint_complexion(canvas, face, signs, head)
    paint_wrinkles(canvas, face, signs, head)
    paint_beard(canvas, face, signs, head)
    paint_mouth(canvas, face, signs)
    paint_nose(canvas, face, signs)
    paint_eyes(canvas, face, signs)
    paint_brows(canvas, face, signs)
    paint_hair(canvas, face, signs, head)
    paint_glasses(canvas, face)
    paint_hat(canvas, face)
    return Image.fromarray(developed(canvas.pixels.transpose(1, 2, 0), face))


def developed(pixels: Array, face: Face) -> np.ndarray:
    """Apply the camera's exposure, white balance and grain to pixels (size, size, 3); returns uint8 (size, size, 3)."""
    grain = face.rng("grain").normal(0, face.photo.grain, pixels.shape)
    exposed = pixels * face.photo.exposure * face.photo.tint + grain
    return (np.clip(exposed, 0, 1) * 255 + 0.5).astype(np.uint8)
