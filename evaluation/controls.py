"""The controls beside the translations: the untouched photos, and real photos of the target age."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.measuring import UNCHANGED, Measured, columns_of
from evaluation.tables import MeasuredImages


def images_in_place(
    own: Measured,
    other: Measured | None,
    people: np.ndarray,
    target_people: np.ndarray,
    estimators: Sequence[str],
    threshold: float,
    seed: int,
) -> dict[str, MeasuredImages]:
    """The columns of the translations and of the controls, by their kind."""
    unchanged = {name: np.full(len(own.names), UNCHANGED[name]) for name in own.pairs}
    for number, name in enumerate(estimators):
        unchanged[f"age_error@{name}" if number else "age_error"] = own.real[f"age@{name}"] - own.true_ages
    kinds = {
        "translated": MeasuredImages(columns_of(own, own.fake, own.pairs, estimators, threshold), own.fake, people),
        "untouched": MeasuredImages(columns_of(own, own.real, unchanged, estimators, threshold), own.real, people),
    }
    if other:
        partners = pair_at_random(own, other, seed)
        features = {name: values[partners] for name, values in other.real.items()}
        pairs = {"true_gain": own.sign * (other.true_ages[partners] - own.true_ages)}
        # A photo may stand in for several, whose values then depend on the same person.
        kinds["target"] = MeasuredImages(
            columns_of(own, features, pairs, estimators, threshold), features, target_people[partners]
        )
    return kinds


def pair_at_random(own: Measured, other: Measured, seed: int) -> np.ndarray:
    """The index of a random photo of `other` for each photo of `own`, of the same gender if there is one. All
    candidates are used equally often."""
    rng = np.random.default_rng(seed)
    partners = np.empty(len(own.names), dtype=int)
    ours, theirs = own.women_and_men(), other.women_and_men()
    for gender, mask in ours.items():
        candidates = np.flatnonzero(theirs[gender]) if theirs[gender].any() else np.arange(len(other.names))
        needed = int(mask.sum())
        rounds = [rng.permutation(candidates) for _ in range(-(-needed // len(candidates)))]
        partners[mask] = np.concatenate([*rounds, np.zeros(0, dtype=int)])[:needed]
    return partners
