"""Lines and folds, each of which is a dark furrow with a lighter ridge below it."""

import numpy as np

from .aging import Signs
from .canvas import Canvas, mix
from .curves import Array, Points, mirror, ribbon, spline
from .features import MOUTH_Y
from .person import Face

FURROW = np.array([0.62, 0.47, 0.44])
RIDGE = np.array([1.13, 1.1, 1.08])


def furrow(canvas: Canvas, skin: Array, paths: list[Points], width: float, strength: float, depth: float = 0.0) -> None:
    """Engrave the paths into the skin's mask; `depth` adds a wide soft shadow around them, in face units."""
    if strength <= 0.01:
        return
    ribbons = [ribbon(spline(path), width * (0.6 + 0.4 * min(1, strength))) for path in paths]
    lines = canvas.shape(*ribbons)
    canvas.shade(skin * canvas.shift(canvas.soften(lines, 0.015), 0.035), mix(np.ones(3), RIDGE, min(1, strength)))
    if depth:
        broad = canvas.soften(canvas.shape(*[ribbon(spline(path), depth) for path in paths]), depth * 0.4)
        canvas.shade(skin * broad, mix(np.ones(3), FURROW, min(1, 0.5 * strength)))
    canvas.shade(skin * canvas.soften(lines, 0.006), mix(np.ones(3), FURROW, min(1, 0.95 * strength)))


def both(path: Points) -> list[Points]:
    return [mirror(path, side) for side in (-1, 1)]


def paint_wrinkles(canvas: Canvas, face: Face, signs: Signs, head: Array) -> None:
    furrow(canvas, head, forehead_lines(face), 0.03, signs.wrinkles)
    furrow(canvas, head, frown_lines(face), 0.028, signs.wrinkles * 0.8)
    furrow(canvas, head, crows_feet(face), 0.026, signs.wrinkles)
    furrow(canvas, head, both(smile_fold(face, signs)), 0.036, signs.folds + 0.12 * face.look.smile, depth=0.09)
    furrow(canvas, head, both(marionette(face)), 0.03, signs.folds * 0.85, depth=0.07)
    furrow(canvas, head, both(eye_bag(face, 0.15, 0.1)), 0.03, signs.folds, depth=0.06)
    furrow(canvas, head, both(eye_bag(face, 0.11, 0.06)), 0.02, signs.folds * 0.6)
    furrow(canvas, head, both(jowl(face)), 0.03, signs.sag * 0.7, depth=0.1)


def forehead_lines(face: Face) -> list[Points]:
    rng = face.rng("forehead")
    lines: list[Points] = []
    for y in (-0.37, -0.47, -0.57):
        half, wave = rng.uniform(0.26, 0.42), rng.uniform(-0.02, 0.02, 5)
        lines.append(np.column_stack([np.linspace(-half, half, 5), y + wave + np.array([0.02, 0, 0.012, 0, 0.02])]))
    return lines


def frown_lines(face: Face) -> list[Points]:
    y = -0.06 - face.build.brow_height
    return both([(0.045, y - 0.06), (0.06, y + 0.02), (0.045, y + 0.1)])


def crows_feet(face: Face) -> list[Points]:
    rng = face.rng("crows")
    x, y = face.build.eye_gap + face.build.eye_size + 0.03, -0.03
    lines: list[Points] = []
    for angle in (-0.55, -0.1, 0.35, 0.75):
        reach = rng.uniform(0.1, 0.16)
        end = (x + reach * np.cos(angle), y + reach * np.sin(angle) + 0.02)
        lines += both([(x, y + 0.05 * angle), ((x + end[0]) / 2, (y + end[1]) / 2 - 0.01), end])
    return lines


def smile_fold(face: Face, signs: Signs) -> Points:
    """The fold from the side of the nose around the corner of the mouth."""
    wing, tip = face.build.nose_width, face.build.nose_length
    corner = face.build.mouth_width * (1 + 0.15 * face.look.smile)
    return [
        (wing * 1.15, tip - 0.07),
        (wing * 1.5, tip + 0.06),
        (corner + 0.05, MOUTH_Y - 0.12),
        (corner + 0.075, MOUTH_Y + 0.02 + 0.03 * signs.sag),
    ]


def marionette(face: Face) -> Points:
    x = face.build.mouth_width * (1 + 0.15 * face.look.smile)
    return [(x + 0.01, MOUTH_Y + 0.03), (x + 0.03, MOUTH_Y + 0.12), (x + 0.01, MOUTH_Y + 0.22)]


def eye_bag(face: Face, drop: float, curve: float) -> Points:
    x, reach = face.build.eye_gap, face.build.eye_size
    return [
        (x - reach * 0.85, drop - 0.04),
        (x - reach * 0.3, drop + curve * 0.4),
        (x + reach * 0.4, drop + curve * 0.35),
        (x + reach * 0.95, drop - 0.05),
    ]


def jowl(face: Face) -> Points:
    w = face.build.width
    return [(0.62 * w, 0.66), (0.6 * w, 0.78), (0.5 * w, 0.86)]
