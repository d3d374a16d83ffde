"""Hair and beard. A hairstyle is the area between two curves over the head, `outer` and `inner` (the hairline)."""

import numpy as np

from .aging import Signs
from .canvas import Canvas, mix
from .curves import Array, arch, ellipse, mirror, resample, ribbon, spline, symmetric
from .person import Face

LONG = ("long", "wavy", "bob", "fringe")
SAMPLES = 60  # points along a strand from the left to the right end of the hair


def hair_curves(face: Face, signs: Signs) -> tuple[Array, Array]:
    """The outer edge and the hairline, left to right, (SAMPLES, 2) each."""
    outer, inner = long_curves(face, signs) if face.look.style in LONG else short_curves(face, signs)
    if face.look.style == "curly":
        outer = crimped(outer, 0.035, 11)
        inner = crimped(inner, 0.02, 9)
    elif face.look.style == "wavy":
        outer, inner = waved(outer), waved(inner)
    return outer, inner


def short_curves(face: Face, signs: Signs) -> tuple[Array, Array]:
    w, style, bare = face.build.width, face.look.style, signs.recession
    bulk = face.look.volume * {"buzz": 0.35, "curly": 1.5, "bun": 0.6}.get(style, 1.0) * (1 - 0.35 * bare)
    top = bulk * (1.5 if style == "quiff" else 1.0)
    outer = arch(
        [
            (-1.0 * w, 0.06),
            (-w - 0.45 * bulk, -0.15),
            (-0.93 * w - 0.75 * bulk, -0.55),
            (-0.55 * w - 0.5 * bulk, -0.9 - 0.7 * top),
            (0, -1 - top),
        ]
    )
    inner = arch(
        [
            (-0.97 * w, 0.06),
            (-0.9 * w, -0.2),
            (-0.83 * w, -0.4 - 0.06 * bare),
            (-0.62 * w, -0.58 - 0.27 * bare),
            (-0.3 * w, -0.64 - 0.2 * bare),
            (0, -0.63 - 0.13 * bare),
        ]
    )
    outer, inner = resample(outer, SAMPLES), resample(inner, SAMPLES)
    if style == "side":
        inner = swept(inner, face.look.parting, 0.17 * (1 - bare))
    return outer, inner


def long_curves(face: Face, signs: Signs) -> tuple[Array, Array]:
    w, bulk, bare = face.build.width, face.look.volume, signs.recession
    end, flare = (1.35, 0.12) if face.look.style != "bob" else (0.72, 0.08)
    outer = arch(
        [
            (-w - bulk - flare, end),
            (-w - bulk - 0.04, 0.5 * end),
            (-w - 0.95 * bulk, -0.2),
            (-0.85 * w - 0.7 * bulk, -0.7),
            (-0.45 * w, -1 - 0.75 * bulk),
            (0, -1.02 - bulk),
        ]
    )
    inner = arch(
        [
            (-w + 0.1, end),
            (-w + 0.03, 0.5 * end),
            (-0.95 * w, 0),
            (-0.84 * w, -0.33),
            (-0.5 * w, -0.62 - 0.12 * bare),
            (0, -0.74 - 0.12 * bare),
        ]
    )
    outer, inner = resample(outer, SAMPLES), resample(inner, SAMPLES)
    if face.look.style == "fringe":
        inner[:, 1] = np.where(np.abs(inner[:, 0]) < 0.8 * w, np.maximum(inner[:, 1], -0.33), inner[:, 1])
        return outer, inner
    return outer, swept(inner, face.look.parting, 0.1)


def swept(inner: Array, parting: float, depth: float) -> Array:
    """The hairline with hair over the forehead on the side opposite to the parting."""
    fall = np.exp(-(((inner[:, 0] + np.sign(parting) * 0.22) / 0.3) ** 2)) * (inner[:, 1] < -0.3)
    return inner + fall[:, None] * (0, depth)


def waved(curve: Array) -> Array:
    """A curve of hair with waves that grow towards its ends."""
    swing = np.sin(curve[:, 1:] * 9) * np.clip(curve[:, 1:] + 0.5, 0, 1)
    return curve + swing * (0.055, 0) * np.sign(curve[:, :1])


def crimped(curve: Array, height: float, bumps: int) -> Array:
    dense = resample(curve, SAMPLES * 2)
    wave = height * np.abs(np.sin(np.linspace(0, np.pi * bumps, len(dense))))
    return resample(dense * (1 + wave[:, None]), SAMPLES * 2)


def hair_colour(face: Face, signs: Signs) -> Array:
    return mix(face.look.hair, face.look.grey, signs.grey)


def paint_back_hair(canvas: Canvas, face: Face, signs: Signs) -> None:
    """Paint the hair behind the neck, or a bun on top."""
    colour, style = hair_colour(face, signs), face.look.style
    if style in LONG:
        outer, _ = hair_curves(face, signs)
        canvas.paint(canvas.shape(outer), colour * 0.6)
    elif style == "bun":
        bun = canvas.shape(ellipse(0, -1.13, 0.27, 0.22))
        canvas.paint(bun, colour * 0.85)
        canvas.shade(bun * canvas.blob(0, -0.98, 0.3, 0.12), 0.65)
        canvas.shade(bun * canvas.blob(0.1 * np.cos(face.photo.light), -1.22, 0.1, 0.06), 1.3)


def paint_hair(canvas: Canvas, face: Face, signs: Signs, head: Array) -> None:
    outer, inner = hair_curves(face, signs)
    hair = canvas.shape(np.vstack([outer, inner[::-1]]))
    if face.look.style == "buzz":
        hair = canvas.soften(hair, 0.012) * 0.9
    shadow_on_skin = head * canvas.shift(canvas.soften(hair, 0.04), 0.06)
    canvas.shade(shadow_on_skin, np.array([0.8, 0.7, 0.68]))
    colour = hair_colour(face, signs)
    canvas.paint(hair, colour)
    if face.look.style in ("curly", "buzz"):
        paint_curls(canvas, face, signs, hair)
    else:
        paint_strands(canvas, face, signs, hair, outer, inner)
    paint_sheen(canvas, face, hair)


def paint_strands(canvas: Canvas, face: Face, signs: Signs, hair: Array, outer: Array, inner: Array) -> None:
    rng, colour = face.rng("strands"), hair_colour(face, signs)
    tones = (colour * 0.66, np.minimum(colour * 1.3 + 0.02, 1), mix(face.look.grey, np.ones(3), 0.45))
    for tone, count, opacity in zip(tones, (46, 34, 40), (0.6, 0.5, min(0.85, 1.2 * signs.grey)), strict=True):
        strands = [strand(rng, face, outer, inner) for _ in range(count)]
        if opacity > 0:
            canvas.paint(hair * canvas.shape(*strands), tone, opacity)


def falling_strand(rng: np.random.Generator, face: Face) -> Array:
    """A lock of the fringe, from the crown to the forehead."""
    x = rng.uniform(-0.72, 0.72) * face.build.width
    top, bottom = rng.uniform(-0.95, -0.6), rng.uniform(-0.5, -0.3)
    return ribbon(
        spline([(0.6 * x, top), (0.9 * x, (top + bottom) / 2), (x, bottom)]), rng.uniform(0.014, 0.034), taper=0.8
    )


def strand(rng: np.random.Generator, face: Face, outer: Array, inner: Array) -> Array:
    """A lock along the flow of the hair that never crosses the parting."""
    if face.look.style == "fringe" and rng.random() < 0.5:
        return falling_strand(rng, face)
    depth = rng.uniform(0.02, 0.98)
    flow = (1 - depth) * outer + depth * inner
    part = int(SAMPLES * (0.5 + 0.22 * face.look.parting))
    left, right = (22, 38) if face.look.style == "fringe" else (part, part)  # where the sides end
    first, last = (0, left) if rng.random() < 0.5 else (right, SAMPLES)
    start = int(rng.integers(first, last - 8))
    return ribbon(flow[start : min(last, start + int(rng.integers(9, 24)))], rng.uniform(0.012, 0.03), taper=0.8)


def paint_curls(canvas: Canvas, face: Face, signs: Signs, hair: Array) -> None:
    rng, colour = face.rng("curls"), hair_colour(face, signs)
    size = 0.016 if face.look.style == "buzz" else 0.055
    count = 150 if face.look.style == "buzz" else 90
    tones = (colour * 0.66, np.minimum(colour * 1.3 + 0.02, 1), mix(face.look.grey, np.ones(3), 0.45))
    for tone, opacity in zip(tones, (0.6, 0.5, min(0.8, 1.2 * signs.grey)), strict=True):
        places = rng.uniform((-1.05, -1.35), (1.05, 0.1), (count, 2))
        turns = rng.uniform(0, 2 * np.pi, count)
        arcs = [ribbon(place + curl(turn, size), size * 0.4) for place, turn in zip(places, turns, strict=True)]
        if opacity > 0:
            canvas.paint(hair * canvas.shape(*arcs), tone, opacity)


def curl(turn: float, size: float) -> Array:
    angle = turn + np.linspace(0, 4, 8)
    return size * np.column_stack([np.cos(angle), np.sin(angle)])


def paint_sheen(canvas: Canvas, face: Face, hair: Array) -> None:
    """Paint light on top of the hair and shadow at its sides."""
    towards = np.cos(face.photo.light)
    canvas.shade(hair * canvas.blob(0.3 * towards, -0.95, 0.4, 0.13), 1.25)
    canvas.shade(hair * canvas.blob(-0.85 * towards, 0.1, 0.4, 0.9), 0.78)


def paint_beard(canvas: Canvas, face: Face, signs: Signs, head: Array) -> None:
    kind = face.look.beard
    if kind == "none":
        return
    area = canvas.soften(canvas.shape(*beard_outlines(face, signs)), 0.02)
    if kind == "stubble":
        area = canvas.soften(area * head, 0.05)
    grey = min(1, 1.1 * signs.grey)
    colour = mix(face.look.hair * 0.8, face.look.grey, grey)
    canvas.paint(area, colour, opacity=0.35 if kind == "stubble" else 0.92)
    rng = face.rng("beard")
    for tone in (colour * 0.6, mix(colour * 1.3, np.ones(3), 0.3 * grey)):
        roots = rng.uniform((-0.85, 0.1), (0.85, 1.12), (170, 2))
        hairs = [ribbon(np.linspace(root, root + (0.06 * root[0], 0.07), 3), 0.014) for root in roots]
        canvas.paint(area * canvas.shape(*hairs), tone, opacity=0.3 if kind == "stubble" else 0.55)


def beard_outlines(face: Face, signs: Signs) -> list[Array]:
    w, jaw, chin = face.build.width, face.build.jaw + 0.05 * signs.sag, face.build.chin
    lip = face.build.nose_length + 0.08
    half = [(0, lip + 0.03), (0.1, lip + 0.02), (0.3, lip + 0.12), (0.37, 0.62), (0.3, 0.76), (0.1, 0.78)]
    moustache = symmetric([*half[:3], (0.31, 0.6), (0.16, 0.56), (0, 0.55)])
    if face.look.beard == "moustache":
        return [moustache]
    if face.look.beard == "goatee":
        return [moustache, symmetric([(0, 0.72), (0.2, 0.72), (0.3, 0.6), (0.36, 0.68), (0.3, 0.95), (0, 1.08)])]
    cheek = [(0.3, lip + 0.12), (0.62 * w, 0.5), (0.92 * w, 0.1)]
    edge = [(0.99 * w, 0.1), (0.98 * w, 0.3), ((jaw + 0.04) * w, 0.69), ((chin + 0.06) * w, 0.99), (0, 1.08)]
    whole = [(0, lip + 0.03), (0.1, lip + 0.02), *cheek, *edge]
    side = spline(whole)
    return [np.vstack([side, mirror(side)[::-1]])]
