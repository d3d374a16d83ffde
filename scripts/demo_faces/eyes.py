"""Eyes, lids, lashes and brows."""

import numpy as np

from .aging import Signs
from .canvas import Canvas, mix
from .curves import Array, ellipse, mirror, ribbon, spline
from .head import SHADOW, skin_of
from .person import Build, Face

WHITE = np.array([0.96, 0.95, 0.93])
INK = np.array([0.11, 0.07, 0.07])


def lids(build: Build, droop: float) -> tuple[Array, Array]:
    """The upper and the lower edge of the right eye, each from its inner to its outer corner."""
    scale = np.array([build.eye_size, build.eye_size * 0.52])
    middle = np.array([build.eye_gap, -0.03])
    tilt = build.eye_tilt - 0.05 * droop
    upper = [(-1, 0.35), (-0.55, -0.55 + 0.2 * droop), (0, -1 + 0.4 * droop), (0.6, -0.75 + 0.6 * droop), (1, 0.1)]
    lower = [(-1, 0.35), (-0.45, 0.8), (0.15, 0.95), (0.65, 0.7), (1, 0.1)]
    lean = np.array([(0, -tilt * x) for x in (-1, -0.5, 0, 0.5, 1)])
    return spline(np.array(upper) * scale + middle + lean), spline(np.array(lower) * scale + middle + lean)


def paint_eyes(canvas: Canvas, face: Face, signs: Signs) -> None:
    upper, lower = lids(face.build, min(1, 0.8 * signs.sag))
    for side in (-1, 1):
        paint_eyeball(canvas, face, mirror(upper, side), mirror(lower, side), side)
        paint_lids(canvas, face, signs, mirror(upper, side), mirror(lower, side), side)


def paint_eyeball(canvas: Canvas, face: Face, upper: Array, lower: Array, side: int) -> None:
    opening = canvas.shape(np.vstack([upper, lower[::-1]]))
    canvas.paint(opening, WHITE)
    x, y, radius = side * face.build.eye_gap + 0.05 * face.photo.gaze, -0.035, face.build.eye_size * 0.5
    canvas.paint(opening * canvas.shape(ellipse(x, y, radius)), face.look.iris * 0.5)
    canvas.paint(opening * canvas.shape(ellipse(x, y, radius * 0.82)), face.look.iris)
    canvas.paint(
        opening * canvas.blob(x, y + radius * 0.5, radius * 0.7, radius * 0.4), face.look.iris * 1.5, opacity=0.6
    )
    canvas.paint(opening * canvas.shape(ellipse(x, y, radius * 0.45)), INK)
    canvas.shade(opening * canvas.soften(canvas.shape(ribbon(upper, 0.08)), 0.03), 0.72)  # the lid's shadow
    spark = ellipse(x + radius * 0.4 * np.cos(face.photo.light), y - radius * 0.4, radius * 0.24)
    canvas.paint(opening * canvas.shape(spark), np.ones(3), opacity=0.9)


def paint_lids(canvas: Canvas, face: Face, signs: Signs, upper: Array, lower: Array, side: int) -> None:
    skin, lashes = skin_of(face, signs), face.look.lashes
    crease = upper + (0, -0.055) * np.linspace(0.6, 1, len(upper))[:, None]
    hooded = upper + (side * 0.03, 0.03) * np.linspace(0, 1, len(upper))[:, None]
    fold = np.vstack([crease + (0, -0.02), hooded[::-1]])
    canvas.paint(canvas.shape(fold), skin * (0.93, 0.86, 0.84), opacity=min(1, 0.75 * signs.sag))  # the drooping lid
    canvas.paint(canvas.shape(ribbon(crease, 0.022)), skin * SHADOW * 0.85, opacity=0.75)
    canvas.paint(
        canvas.shape(ribbon(upper, 0.03 + 0.018 * lashes, taper=0.3)), mix(INK, skin * 0.4, 0.5 * (1 - lashes))
    )
    canvas.paint(canvas.shape(ribbon(lower, 0.016)), skin * SHADOW * 0.7, opacity=0.7)
    corner = upper[-1]
    wing = spline([upper[-8], corner, corner + (side * 0.05, -0.045)])
    canvas.paint(canvas.shape(ribbon(wing, 0.03)), INK, opacity=lashes * 0.9)


def paint_brows(canvas: Canvas, face: Face, signs: Signs) -> None:
    build, look = face.build, face.look
    grey = min(1, 0.85 * signs.grey)
    colour = mix(look.hair * 0.75, look.grey * 0.95, grey)
    height, gap = -0.03 - build.brow_height, build.eye_gap
    drop = 0.05 * signs.sag
    arch = [
        (gap - 0.19, height + 0.015 - build.brow_lift),
        (gap - 0.06, height - 0.6 * build.brow_arch),
        (gap + 0.09, height - build.brow_arch),
        (gap + 0.24, height + 0.045 + drop),
    ]
    for side in (-1, 1):
        brow = mirror(spline(arch), side)
        width = build.brow_width * (1 + 0.1 * signs.sag)
        canvas.paint(canvas.soften(canvas.shape(ribbon(brow, width, taper=0.6)), 0.008), colour, opacity=0.9)
        strands = brow_hairs(face, brow, width)
        canvas.paint(canvas.shape(*strands), mix(look.hair * 0.5, look.grey * 1.2, grey), opacity=0.6)


def brow_hairs(face: Face, brow: Array, width: float) -> list[Array]:
    rng = face.rng("brows")
    roots = brow[rng.integers(1, len(brow) - 1, 14)] + rng.uniform(-0.3, 0.3, (14, 1)) * (0, width)
    side = np.sign(brow[-1, 0])
    return [ribbon(np.linspace(root, root + (side * 0.05, -0.025), 3), 0.012) for root in roots]
