"""Nose and mouth."""

import numpy as np

from .aging import Signs
from .canvas import Canvas, mix
from .curves import Array, ellipse, mirror, ribbon, spline
from .eyes import INK, WHITE
from .head import SHADOW, skin_of
from .person import Face

MOUTH_Y = 0.61


def paint_nose(canvas: Canvas, face: Face, signs: Signs) -> None:
    build, skin = face.build, skin_of(face, signs)
    tip = build.nose_length + 0.03 * signs.sag
    wing = build.nose_width * (1 + 0.1 * signs.sag)
    towards_light = 1 if np.cos(face.photo.light) > 0 else -1
    flank = spline(
        [(0.055, -0.12), (0.05, 0.1), (wing * 0.75, tip - 0.08), (wing * 0.6, tip), (0.02, tip - 0.05), (0.02, 0)]
    )
    canvas.shade(canvas.soften(canvas.shape(mirror(flank, -towards_light)), 0.03), mix(np.ones(3), SHADOW, 0.6))
    canvas.shade(canvas.blob(0.02 * towards_light, 0.12, 0.045, 0.2), 1.07)
    canvas.shade(canvas.blob(0.03 * towards_light, tip - 0.06, 0.06), 1.12)
    canvas.shade(canvas.blob(0, tip + 0.045, wing * 1.1, 0.035), mix(np.ones(3), SHADOW, 0.6))
    for side in (-1, 1):
        curve = spline(
            [(wing * 0.95, tip - 0.09), (wing * 1.08, tip - 0.03), (wing * 0.9, tip + 0.015), (wing * 0.6, tip)]
        )
        canvas.paint(canvas.shape(ribbon(mirror(curve, side), 0.024)), skin * SHADOW * 0.8, opacity=0.8)
        nostril = canvas.shape(ellipse(side * wing * 0.48, tip + 0.012, wing * 0.24, 0.02))
        canvas.paint(nostril, skin * SHADOW * 0.5, opacity=0.85)
    base = spline([(-wing * 0.3, tip + 0.025), (0, tip + 0.045), (wing * 0.3, tip + 0.025)])
    canvas.paint(canvas.shape(ribbon(base, 0.02)), skin * SHADOW * 0.8, opacity=0.6)


def lip_lines(face: Face, signs: Signs) -> tuple[Array, Array, Array, Array]:
    """The upper and lower edges of the upper lip and of the lower lip, each from the left to the right corner."""
    look, half = face.look, face.build.mouth_width * (1 + 0.15 * face.look.smile)
    lips = face.build.lips * (1 - min(0.7, 0.55 * signs.thin_lips))
    lift, gap = 0.02 + 0.09 * look.smile - 0.05 * signs.sag, 0.1 * look.teeth
    corner = -lift
    places = np.array([-1, -0.55, -0.16, 0, 0.16, 0.55, 1]) * half
    bow = np.array([0, -0.045, -0.078, -0.06, -0.078, -0.045, 0]) * lips
    middle = np.array([corner, corner * 0.25, 0.003, 0.012, 0.003, corner * 0.25, corner])
    opening = np.array([0, 0.75, 1, 1, 1, 0.75, 0]) * gap
    below = np.array([0, 0.055, 0.095, 0.1, 0.095, 0.055, 0]) * lips
    rows = (middle + bow, middle, middle + opening, middle + opening + below)
    top, upper, lower, bottom = (spline(np.column_stack([places, MOUTH_Y - 0.02 + row])) for row in rows)
    return top, upper, lower, bottom


def paint_mouth(canvas: Canvas, face: Face, signs: Signs) -> None:
    skin = skin_of(face, signs)
    natural = mix(skin * (0.86, 0.62, 0.6), skin * (0.8, 0.68, 0.66), min(1, signs.spots))
    colour = natural if face.look.lipstick is None else mix(natural, face.look.lipstick, 0.75)
    top, upper, lower, bottom = lip_lines(face, signs)
    canvas.paint(canvas.shape(np.vstack([upper, lower[::-1]])), INK * 2.2)
    teeth = canvas.shape(np.vstack([upper, (upper * 0.3 + lower * 0.7)[::-1]]))
    canvas.paint(teeth, WHITE * (1, 0.985, 0.95))
    canvas.paint(canvas.shape(np.vstack([top, upper[::-1]])), colour * 0.86)
    canvas.paint(canvas.shape(np.vstack([lower, bottom[::-1]])), colour)
    shine = canvas.blob(0, float(bottom[len(bottom) // 2, 1]) - 0.05, 0.12, 0.022)
    canvas.shade(shine * canvas.shape(np.vstack([lower, bottom[::-1]])), 1.18)
    line = mix(skin * SHADOW * 0.5, colour * 0.4, 0.5)
    canvas.paint(canvas.shape(ribbon(upper, 0.022, taper=0.25)), line, opacity=0.85)
    for x, y in (upper[0], upper[-1]):
        canvas.shade(canvas.blob(float(x), float(y), 0.035), mix(np.ones(3), SHADOW, 0.6))
