"""Identity metrics: cosines of face embeddings, and the threshold above which two photos count as one person."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.face_embedder import normalise

FALSE_ACCEPT_RATE = 0.001
MOST_PHOTOS = 4000
"""Maximum number of photos whose pairs are compared, which are 8 million pairs."""
PHOTOS_AT_ONCE = 500


class Verification(NamedTuple):
    """The verification threshold and its error rates.

    threshold: two photos count as one person if their cosine is at least this. impostor_pairs: number of pairs of
    different people that determine it; accepted: the share of these that it accepts. genuine_pairs: number of pairs of
    different photos of one person; genuine_accepted: the share of these that it accepts, NaN if there are none.
    """

    threshold: float
    impostor_pairs: int
    accepted: float
    genuine_pairs: int
    genuine_accepted: float


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosine of each pair of rows of two arrays (N, D): (N,), from -1 to 1."""
    return np.clip((normalise(first) * normalise(second)).sum(axis=1, dtype=np.float64), -1.0, 1.0)


def pair_cosines(embeddings: np.ndarray, people: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The cosines of all pairs of photos of different people, and of the same person.

    embeddings: (N, D). people: (N,), the index of each photo's person. If there are more than MOST_PHOTOS photos, a
    random sample is used.
    """
    if len(people) > MOST_PHOTOS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(people), MOST_PHOTOS, replace=False))
        embeddings, people = embeddings[chosen], people[chosen]
    unit = normalise(embeddings)
    impostors, genuine = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for start in range(0, len(unit), PHOTOS_AT_ONCE):
        part = slice(start, start + PHOTOS_AT_ONCE)
        similar = unit[part] @ unit.T
        later = np.arange(len(unit)) > np.arange(len(unit))[part, None]  # each pair once
        same = people[part, None] == people
        impostors.append(similar[later & ~same])
        genuine.append(similar[later & same])
    return np.concatenate(impostors), np.concatenate(genuine)


def threshold_at(impostors: np.ndarray, rate: float = FALSE_ACCEPT_RATE) -> float:
    """The smallest threshold that accepts at most a share `rate` of the impostor pairs; NaN if there are none."""
    if len(impostors) == 0:
        return float("nan")
    ranked = np.sort(impostors)[::-1]
    allowed = int(rate * len(ranked))
    return float(np.nextafter(ranked[allowed], np.inf, dtype=ranked.dtype))


def verification(embeddings: np.ndarray, people: np.ndarray, seed: int = 0) -> Verification:
    """The threshold at a false-accept rate of 0.1 % and its error rates on pairs of real photos; see pair_cosines."""
    impostors, genuine = pair_cosines(embeddings, people, seed)
    threshold = threshold_at(impostors)
    accepted = float((impostors >= threshold).mean()) if len(impostors) else float("nan")
    genuine_accepted = float((genuine >= threshold).mean()) if len(genuine) else float("nan")
    return Verification(threshold, len(impostors), accepted, len(genuine), genuine_accepted)
