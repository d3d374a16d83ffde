"""Intervals by the bootstrap over people (Efron and Tibshirani 1993, "An Introduction to the Bootstrap"; clusters:
Davison and Hinkley 1997, section 3.8).

Photos of one person resemble each other, so people rather than photos are drawn with replacement. A replicate is the
number of times that each person was drawn, and every statistic takes these counts as weights of the photos. The value
itself is the statistic with weights of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
MOST_WEIGHTS = 2_000_000
"""Maximum number of weights at a time, to limit the memory for many replicates of many photos."""

Statistic = Callable[..., np.ndarray]
"""Maps weights, (R, N) for each sample, to R values, which are NaN if all weights of a sample are 0."""


class Estimate(NamedTuple):
    """A value with the bounds of its 95 % percentile interval; NaN if unknown."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def draw_people(people: int, replicates: int, seed: int) -> np.ndarray:
    """The number of times that each person is drawn in each replicate: (replicates, people)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, max(1, people), size=(replicates, people), dtype=np.int32)
    counts = np.zeros((replicates, people), dtype=np.uint16)
    for row, numbers in zip(counts, drawn, strict=True):
        row[:] = np.bincount(numbers, minlength=people)
    return counts


def estimate(statistic: Statistic, samples: Sequence[np.ndarray], counts: np.ndarray | None) -> Estimate:
    """A statistic of one or several samples, each given by the index (N,) of the person on each of its photos.

    counts: from `draw_people`; None gives no interval. There is no interval for fewer than two people, either.
    """
    if any(len(people) == 0 for people in samples):
        return Estimate(float("nan"))
    value = float(statistic(*(np.ones((1, len(people))) for people in samples))[0])
    if counts is None or any(len(np.unique(people)) < 2 for people in samples) or not np.isfinite(value):
        return Estimate(value)
    step = max(1, MOST_WEIGHTS // max(len(people) for people in samples))
    parts = [counts[start : start + step] for start in range(0, len(counts), step)]
    values = np.concatenate([statistic(*(part[:, people].astype(float) for people in samples)) for part in parts])
    if not np.isfinite(values).any():
        return Estimate(value)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
