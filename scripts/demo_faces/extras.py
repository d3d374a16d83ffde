"""Clothes, glasses, earrings and hats, which do not depend on the age."""

import numpy as np

from .canvas import Canvas
from .curves import Array, ellipse, mirror, ribbon, spline, symmetric
from .person import Face


def paint_clothes(canvas: Canvas, face: Face) -> None:
    look, neck = face.look, face.build.neck
    dip = {"round": 1.42, "vee": 1.68, "shirt": 1.52, "roll": 1.14}[look.collar]
    half = [(0, dip), (neck * 0.6, dip - 0.06), (neck * 1.08, 1.16), (0.95, 1.4), (1.4, 1.75), (1.6, 3), (0, 3)]
    if look.collar == "vee":
        half[1] = (neck * 0.55, dip - 0.24)
    cloth = canvas.shape(symmetric(half))
    canvas.paint(cloth, look.cloth)
    canvas.shade(cloth * canvas.blob(0, 1.05, 0.75, 0.3), 0.75)
    if look.collar == "roll":
        canvas.paint(
            canvas.shape(symmetric([(0, 1.08), (neck * 1.1, 1.0), (neck * 1.16, 1.28), (0, 1.38)])), look.cloth * 0.88
        )
    elif look.collar == "shirt":
        flap = [(neck * 0.95, 1.08), (neck * 1.25, 1.2), (neck * 0.75, 1.58), (0.03, 1.52)]
        canvas.paint(canvas.shape(*[mirror(flap, side) for side in (-1, 1)]), look.trim)
    else:
        right = np.array([half[0], half[1], half[2]])
        hem = spline(np.vstack([mirror(right[:0:-1]), right]))
        canvas.paint(canvas.shape(ribbon(hem, 0.07, taper=0.1)), look.trim)


def paint_glasses(canvas: Canvas, face: Face) -> None:
    look, build = face.look, face.build
    if look.glasses == "none":
        return
    radius = build.eye_size * 1.25
    rims, lenses = [], []
    for side in (-1, 1):
        lens = lens_outline(side * (build.eye_gap + 0.01), 0.0, radius, look.glasses == "square")
        lenses.append(lens)
        rims.append(ribbon(np.vstack([lens, lens[:2]]), 0.036, taper=0.02))
        rims.append(
            ribbon(spline([(side * (build.eye_gap + radius), -0.05), (side * build.width, -0.1)]), 0.036, taper=0.1)
        )
    bridge = build.eye_gap - radius + 0.02
    rims.append(ribbon(spline([(-bridge, -0.02), (0, -0.06), (bridge, -0.02)]), 0.036, taper=0.05))
    canvas.paint(canvas.shape(*lenses), np.ones(3), opacity=0.09)
    canvas.shade(canvas.shift(canvas.soften(canvas.shape(*rims), 0.015), 0.03), 0.85)
    canvas.paint(canvas.shape(*rims), look.frame)


def lens_outline(x: float, y: float, radius: float, square: bool) -> Array:
    if not square:
        return ellipse(x, y, radius, radius * 0.95)
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    corner = (np.abs(np.cos(angle)) ** 4 + np.abs(np.sin(angle)) ** 4) ** -0.25  # a superellipse
    return np.column_stack([x + radius * corner * np.cos(angle), y + radius * 0.72 * corner * np.sin(angle)])


def paint_earrings(canvas: Canvas, face: Face) -> None:
    if not face.look.earrings:
        return
    gold = np.array([0.88, 0.72, 0.36]) if face.look.parting > 0 else np.array([0.82, 0.83, 0.86])
    for side in (-1, 1):
        x = side * face.build.width * 1.04
        canvas.paint(canvas.shape(ellipse(x, 0.37, 0.04)), gold)
        canvas.paint(canvas.shape(ellipse(x - 0.012, 0.358, 0.014)), np.ones(3))


def paint_hat(canvas: Canvas, face: Face) -> None:
    look, w = face.look, face.build.width + 0.5 * face.look.volume
    if look.hat == "none":
        return
    crown = canvas.shape(symmetric([(0, -1.22), (0.5 * w, -1.14), (0.88 * w, -0.86), (1.03 * w, -0.42), (0, -0.55)]))
    canvas.shade(canvas.shift(canvas.soften(crown, 0.04), 0.07), 0.8)
    canvas.paint(crown, look.trim)
    canvas.shade(crown * canvas.blob(-0.8 * np.cos(face.photo.light), -0.8, 0.5, 0.6), 0.7)
    canvas.shade(crown * canvas.blob(0.3 * np.cos(face.photo.light), -1.0, 0.35, 0.15), 1.2)
    if look.hat == "beanie":
        edge = [(0, -0.76), (0.6 * w, -0.72), (1.03 * w, -0.6), (1.06 * w, -0.38), (0.6 * w, -0.47), (0, -0.5)]
        band = canvas.shape(symmetric(edge))
        canvas.paint(band, look.trim * 0.85)
        canvas.shade(band * (np.sin(canvas.x * 60) > 0.4), 0.85)  # ribbing
    else:
        visor = [(0, -0.66), (0.6 * w, -0.62), (0.98 * w, -0.42), (0.6 * w, -0.38), (0, -0.34)]
        canvas.paint(canvas.shape(symmetric(visor)), look.trim * 0.65)
