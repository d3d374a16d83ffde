"""What is known about a drawn face because the project drew it: who is shown, and where hair and background are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from scripts.demo_faces.collection import Settings, sample
from scripts.demo_faces.person import Face, sample_person
from scripts.demo_faces.portrait import draw

Person = tuple[Face, float]
"""A drawn person and an age in years."""


def sample_people(count: int, ages: tuple[float, float], seed: int) -> list[Person]:
    """Return people who are not among the demo's, with ages in years from a range."""
    rngs = [np.random.default_rng([seed, number]) for number in range(count)]
    return [(sample_person(rng), rng.uniform(*ages)) for rng in rngs]


def person_in(domain: str, name: str) -> Person:
    """Return the person in a test face of domain A or B, such as 0003.png, of a collection with the default seed."""
    return sample(Path(f"test{domain}", name), Settings())


def drawn(person: Person, size: int) -> np.ndarray:
    """Draw a person as an RGB image, uint8 (size, size, 3)."""
    return np.asarray(draw(*person, size))


def hair_of(person: Person, size: int) -> np.ndarray:
    """Return where a drawing shows hair, beard or brows, bool (size, size): what the colour of the hair changes."""
    face, age = person
    dark, light = (replace(face.look, hair=np.full(3, tone), grey=np.full(3, tone)) for tone in (0.1, 0.9))
    return _rise(*(drawn((replace(face, look=look), age), size) for look in (dark, light)))


def background_of(person: Person, size: int) -> np.ndarray:
    """Return where a drawing shows nothing but the background, bool (size, size)."""
    face, age = person
    dark, light = (replace(face.photo, near=np.full(3, tone), far=np.full(3, tone)) for tone in (0.1, 0.9))
    return _rise(*(drawn((replace(face, photo=photo), age), size) for photo in (dark, light)))


def _rise(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    rises: np.ndarray = after.mean(2) - before.mean(2) > 100
    return rises
