"""Intervals by the bootstrap over people (Efron and Tibshirani 1993, "An Introduction to the Bootstrap"; clusters:
Davison and Hinkley 1997, section 3.8).

Photos of one person resemble each other, so that people, not photos, are drawn with replacement: a replicate is how
often each person was drawn, and every statistic here takes such counts as weights of photos. The value itself is the
statistic with weights of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
MOST_WEIGHTS = 2_000_000
"""At a time, so that many replicates of many photos do not fill the memory."""

Statistic = Callable[..., np.ndarray]
"""From weights, (R, N) for each sample, to R values; NaN where a sample weighs nothing."""


class Estimate(NamedTuple):
    """A value with the bounds of its 95 % percentile interval; NaN for what is not known."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def draw_people(people: int, replicates: int, seed: int) -> np.ndarray:
    """How often each of so many people is drawn in each replicate: (replicates, people)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, max(1, people), size=(replicates, people), dtype=np.int32)
    counts = np.zeros((replicates, people), dtype=np.uint16)
    for row, numbers in zip(counts, drawn, strict=True):
        row[:] = np.bincount(numbers, minlength=people)
    return counts


def estimate(statistic: Statistic, samples: Sequence[np.ndarray], counts: np.ndarray | None) -> Estimate:
    """A statistic of one or several samples, each given as the number (N,) of the person on each of its photos.

    counts: of `draw_people`; None leaves the interval out. There is none for fewer than two people, either.
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
