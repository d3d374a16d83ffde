"""Samples a person and a photograph, independently of the age, so that young and old are distributed alike."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .aging import Heritage, sample_heritage
from .canvas import Pose, mix
from .curves import Array

HairStyle = Literal["short", "side", "quiff", "curly", "buzz", "long", "wavy", "bob", "fringe", "bun"]
Beard = Literal["none", "stubble", "full", "goatee", "moustache"]
Glasses = Literal["none", "round", "square"]
Hat = Literal["none", "beanie", "cap"]
Collar = Literal["round", "vee", "shirt", "roll"]
Pattern = Literal["plain", "bokeh", "stripes", "tiles", "horizon"]

LONG_STYLES: tuple[HairStyle, ...] = ("long", "wavy", "bob", "fringe", "bun", "side", "curly")
SHORT_STYLES: tuple[HairStyle, ...] = ("short", "side", "quiff", "curly", "buzz", "long")


def rgb(*colours: str) -> Array:
    """Colours in [0, 1], (N, 3), from six hexadecimal digits each."""
    return np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in colours]) / 255


SKINS = rgb("ffe0cc", "f6c8a4", "e6b084", "cf9468", "a8714a", "7d4f35", "573726")
HAIRS = rgb("201b1c", "3b281f", "5d3f28", "7a3a1e", "a8522a", "9c7446", "d2ac6c")
LIPSTICKS = rgb("b3263a", "c4506a", "9c2f4f", "d4705f", "a8455a", "7d2a3a")
IRISES = rgb("4a2f1b", "6b4423", "7a6a32", "4f7a4a", "5b8fb0", "7f9aa8")


@dataclass(frozen=True)
class Build:
    """The shape of head and features, in face units (half the head's height is 1) unless said otherwise."""

    width: float  # half width of the head
    jaw: float  # fraction of the width
    chin: float  # fraction of the width
    neck: float
    eye_size: float
    eye_gap: float  # from the middle of the face to the middle of an eye
    eye_tilt: float
    brow_height: float
    brow_width: float
    brow_arch: float
    brow_lift: float  # how far the inner ends of the brows rise (or fall, below 0)
    nose_length: float
    nose_width: float
    mouth_width: float
    lips: float  # fullness, 1 is average


@dataclass(frozen=True)
class Look:
    """Colours are (3,) RGB in [0, 1]."""

    skin: Array
    hair: Array
    grey: Array  # colour of the hair when it is grey
    iris: Array
    lipstick: Array | None
    lashes: float  # 0 to 1
    style: HairStyle
    volume: float
    parting: float  # position of the parting, -1 to 1
    beard: Beard
    freckles: float
    glasses: Glasses
    frame: Array
    earrings: bool
    hat: Hat
    collar: Collar
    cloth: Array
    trim: Array  # second colour of clothes and hat
    smile: float  # 0 to 1
    teeth: float  # how far the smile opens, 0 to 1


@dataclass(frozen=True)
class Photo:
    pose: Pose
    gaze: float
    light: float  # direction of the light in radians: 0 from the right, pi / 2 from above
    contrast: float
    exposure: float
    tint: Array  # white balance, (3,) around 1
    pattern: Pattern
    near: Array
    far: Array
    slant: float
    grain: float  # standard deviation of the film grain


@dataclass(frozen=True)
class Face:
    """Everything about a portrait except the age; `texture` seeds small details, such as strands of hair."""

    feminine: bool
    build: Build
    look: Look
    heritage: Heritage
    photo: Photo
    texture: int

    def rng(self, part: str) -> np.random.Generator:
        """A separate random generator for each part of the drawing, so that parts do not affect each other."""
        return np.random.default_rng([self.texture, *part.encode()])


def sample_person(rng: np.random.Generator) -> Face:
    feminine = bool(rng.random() < 0.5)
    return Face(
        feminine=feminine,
        build=sample_build(rng, feminine),
        look=sample_look(rng, feminine),
        heritage=sample_heritage(rng, feminine),
        photo=sample_photo(rng),
        texture=int(rng.integers(2**31)),
    )


def sample_build(rng: np.random.Generator, feminine: bool) -> Build:
    soft = 1.0 if feminine else 0.0
    return Build(
        width=rng.uniform(0.65, 0.74) - 0.02 * soft,
        jaw=rng.uniform(0.74, 0.88) - 0.06 * soft,
        chin=rng.uniform(0.34, 0.5) - 0.07 * soft,
        neck=rng.uniform(0.4, 0.48) - 0.09 * soft,
        eye_size=rng.uniform(0.15, 0.18) + 0.012 * soft,
        eye_gap=rng.uniform(0.29, 0.34),
        eye_tilt=rng.uniform(-0.02, 0.04),
        brow_height=rng.uniform(0.19, 0.25) + 0.02 * soft,
        brow_width=rng.uniform(0.055, 0.085) - 0.02 * soft,
        brow_arch=rng.uniform(0.02, 0.07),
        brow_lift=rng.uniform(-0.03, 0.035),
        nose_length=rng.uniform(0.32, 0.42) - 0.02 * soft,
        nose_width=rng.uniform(0.12, 0.19) - 0.015 * soft,
        mouth_width=rng.uniform(0.23, 0.31),
        lips=rng.uniform(0.75, 1.2) + 0.25 * soft,
    )


def sample_look(rng: np.random.Generator, feminine: bool) -> Look:
    tone = rng.random()
    made_up = feminine and rng.random() < 0.6
    smile = rng.random()
    return Look(
        skin=sample_skin(rng, tone),
        hair=sample_hair_colour(rng, tone),
        grey=np.clip(rng.uniform(0.3, 0.84) + rng.normal(0, 0.008, 3) + (0.01, 0, -0.01), 0, 1),
        iris=IRISES[int(rng.integers(2 if tone > 0.6 else len(IRISES)))] * rng.uniform(0.85, 1.15),
        lipstick=rng.choice(LIPSTICKS) * rng.uniform(0.85, 1.05) if made_up else None,
        lashes=rng.uniform(0.5, 1) if feminine else rng.uniform(0, 0.2),
        style=rng.choice(np.array(LONG_STYLES), p=[0.2, 0.2, 0.18, 0.14, 0.13, 0.06, 0.09]).item()
        if feminine
        else rng.choice(np.array(SHORT_STYLES), p=[0.3, 0.24, 0.15, 0.13, 0.13, 0.05]).item(),
        volume=rng.uniform(0.07, 0.17),
        parting=rng.choice([-1, 1]) * rng.uniform(0.15, 0.75),
        beard="none" if feminine else sample_beard(rng),
        freckles=rng.uniform(0.3, 1) if rng.random() < 0.25 else 0.0,
        glasses=rng.choice(np.array(["none", "round", "square"]), p=[0.76, 0.12, 0.12]).item(),
        frame=rng.choice(rgb("1d1d20", "5a3420", "8a8a90", "8c2f2f", "2f4a7a")),
        earrings=bool(rng.random() < (0.45 if feminine else 0.05)),
        hat=rng.choice(np.array(["none", "beanie", "cap"]), p=[0.93, 0.04, 0.03]).item(),
        collar=rng.choice(np.array(["round", "vee", "shirt", "roll"])).item(),
        cloth=sample_colour(rng),
        trim=sample_colour(rng),
        smile=smile,
        teeth=rng.uniform(0.4, 1) if rng.random() < smile * 0.8 else 0.0,
    )


def sample_skin(rng: np.random.Generator, tone: float) -> Array:
    """A skin colour from light (tone 0) to dark (1), with a warmer or cooler undertone."""
    place = tone * (len(SKINS) - 1)
    skin = np.array([np.interp(place, range(len(SKINS)), SKINS[:, channel]) for channel in range(3)])
    return np.clip(skin * (1 + rng.normal(0, 0.012, 3)), 0, 1)


def sample_hair_colour(rng: np.random.Generator, tone: float) -> Array:
    weights = [4, 4, 2, 0.5, 0.2, 0.2, 0.4] if tone > 0.6 else [1.5, 2.5, 4, 2, 2.5, 3.5, 4.5]
    hair = rng.choice(HAIRS, p=np.array(weights) / sum(weights))
    return np.clip(hair * rng.uniform(0.85, 1.15) + rng.normal(0, 0.01, 3), 0, 1)


def sample_beard(rng: np.random.Generator) -> Beard:
    kinds: list[Beard] = ["none", "stubble", "full", "goatee", "moustache"]
    return kinds[rng.choice(5, p=[0.5, 0.18, 0.16, 0.08, 0.08])]


def sample_colour(rng: np.random.Generator) -> Array:
    """A colour of any hue, lightness and saturation, for cloth and walls."""
    pure = np.clip(np.abs((rng.random() + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1, 0, 1)
    return mix(np.ones(3), pure, rng.uniform(0.1, 0.6)) * rng.uniform(0.25, 0.92)


def sample_photo(rng: np.random.Generator) -> Photo:
    near = sample_colour(rng)
    pose = Pose(
        x=0.5 + rng.normal(0, 0.02),
        y=0.475 + rng.normal(0, 0.015),
        scale=rng.uniform(0.325, 0.375),
        roll=float(np.clip(rng.normal(0, 0.07), -0.2, 0.2)),
        yaw=rng.uniform(-1, 1),
    )
    return Photo(
        pose=pose,
        gaze=float(np.clip(pose.yaw * 0.3 + rng.normal(0, 0.3), -0.7, 0.7)),
        light=rng.uniform(0.1, 0.9) * np.pi,
        contrast=rng.uniform(0.15, 0.4),
        exposure=rng.uniform(0.78, 1.15),
        tint=1 + rng.normal(0, 0.03) * np.array([1, 0, -1.3]),
        pattern=rng.choice(
            np.array(["plain", "bokeh", "stripes", "tiles", "horizon"]), p=[0.4, 0.2, 0.12, 0.1, 0.18]
        ).item(),
        near=near,
        far=mix(near, sample_colour(rng), rng.uniform(0.2, 0.9)),
        slant=rng.uniform(0, 2 * np.pi),
        grain=rng.uniform(0.002, 0.02),
    )
