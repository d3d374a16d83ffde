"""Neck, ears and head: the skin, its shading, and the effects of age on its colour and outline."""

import numpy as np

from .aging import Signs
from .canvas import Canvas, mix
from .curves import Array, ellipse, mirror, spline, symmetric
from .person import Build, Face

SHADOW = np.array([0.74, 0.6, 0.58])  # skin in shadow keeps more red than blue


def head_outline(build: Build, sag: float) -> Array:
    w = build.width
    jowl = 0.09 * sag
    return symmetric(
        [
            (0, -1),
            (0.5 * w, -0.88),
            (0.86 * w, -0.52),
            (w, -0.05),
            (0.97 * w, 0.26),
            ((build.jaw + jowl) * w, 0.66 + 0.03 * sag),
            ((build.chin + 0.4 * jowl) * w, 0.93 + 0.02 * sag),
            (0, 1),
        ]
    )


def skin_of(face: Face, signs: Signs) -> Array:
    """The colour of the skin, which becomes slightly duller and more sallow with age."""
    return face.look.skin * (1 - np.array([0.09, 0.1, 0.13]) * signs.spots)


def paint_neck(canvas: Canvas, face: Face, signs: Signs) -> None:
    build, skin = face.build, skin_of(face, signs)
    neck = canvas.shape(symmetric([(0, 0.4), (build.neck, 0.5), (build.neck, 1.15), (build.neck * 1.5, 1.6), (0, 1.9)]))
    canvas.paint(neck, skin * 0.93)
    chin = canvas.shift(canvas.soften(canvas.shape(head_outline(build, signs.sag)), 0.07), 0.13)
    canvas.shade(neck * chin, SHADOW)
    for side in (-1, 1):  # the cords of an older neck
        cord = spline([(side * 0.2, 1.0), (side * 0.13, 1.25), (side * 0.07, 1.5)])
        canvas.shade(
            neck * canvas.soften(canvas.shape(np.vstack([cord, cord[::-1] + (0.05, 0)])), 0.02), 1 - 0.16 * signs.folds
        )


def paint_ears(canvas: Canvas, face: Face, signs: Signs) -> None:
    skin, w = skin_of(face, signs), face.build.width
    for side in (-1, 1):
        lobe = 0.31 + 0.05 * signs.sag  # ears keep growing
        outline = [(0.92, -0.14), (1.1, -0.2), (1.2, -0.05), (1.12, 0.18), (1.02, lobe), (0.92, 0.2)]
        ear = canvas.shape(spline(mirror(np.array(outline) * (w, 1), side), closed=True))
        canvas.paint(ear, skin * (0.97, 0.9, 0.88))
        canvas.shade(ear * canvas.blob(side * 1.07 * w, 0.0, 0.05, 0.12), SHADOW)


def paint_head(canvas: Canvas, face: Face, signs: Signs) -> Array:
    """Paint the bare head and return its mask (size, size)."""
    build, skin = face.build, skin_of(face, signs)
    head = canvas.shape(head_outline(build, signs.sag))
    canvas.paint(head, skin)
    canvas.shade(head * (roundness(canvas, face) - 1), np.array([1.85, 2.05, 2.15]))  # shadows warmer than lights
    blush = 0.5 if face.feminine else 0.3
    for side in (-1, 1):
        socket = canvas.blob(side * build.eye_gap, -0.06, 0.24, 0.15)
        canvas.shade(head * socket, mix(np.ones(3), SHADOW, 0.35 + 0.25 * signs.folds))
        cheek = canvas.blob(side * build.width * 0.6, 0.32 + 0.06 * signs.sag, 0.2, 0.16)
        canvas.shade(head * cheek, mix(np.ones(3), np.array([1.05, 0.84, 0.82]), blush))
        hollow = canvas.blob(side * build.width * 0.8, 0.52, 0.13, 0.2)
        canvas.shade(head * hollow, mix(np.ones(3), SHADOW, 0.2 + 0.35 * signs.sag))
    canvas.shade(head * canvas.blob(0, 0.79, 0.16, 0.04), mix(np.ones(3), SHADOW, 0.3))  # under the lower lip
    return head


def roundness(canvas: Canvas, face: Face) -> Array:
    """Shading factor of the head, modelled as an ellipsoid, around 1."""
    photo = face.photo
    across, down = canvas.x / (face.build.width * 1.08), canvas.y / 1.08
    outwards = np.sqrt(np.clip(1 - across**2 - down**2, 0.05, 1))
    lit = 0.85 * outwards + across * np.cos(photo.light) * 0.6 - down * np.sin(photo.light) * 0.45
    return 1 + photo.contrast * (lit - 0.6)


def paint_complexion(canvas: Canvas, face: Face, signs: Signs, head: Array) -> None:
    """Paint freckles at any age, and age spots and blotches."""
    rng, skin = face.rng("complexion"), face.look.skin
    freckles = [ellipse(x, y, 0.012) for x, y in rng.normal((0, 0.2), (0.3, 0.12), (45, 2))]
    canvas.paint(head * canvas.shape(*freckles), skin * (0.72, 0.55, 0.45), opacity=0.6 * face.look.freckles)
    for x, y, size in rng.uniform((-0.65, -0.85, 0.1), (0.65, 0.85, 0.22), (12, 3)):
        canvas.shade(head * canvas.blob(x, y, size), mix(np.ones(3), np.array([0.99, 0.89, 0.87]), 0.6 * signs.spots))
    for x, y, size in rng.uniform((-0.62, -0.8, 0.016), (0.62, 0.75, 0.042), (11, 3)):
        spot = canvas.soften(canvas.shape(ellipse(x, y, size, size * 0.8)), 0.008)
        canvas.shade(head * spot, mix(np.ones(3), np.array([0.72, 0.58, 0.5]), min(1, 0.9 * signs.spots)))
