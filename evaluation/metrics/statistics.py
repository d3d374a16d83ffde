"""Statistics of one value per photo, as functions of the photos' weights: values (N,), weights (R, N), result (R,)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

OfValues = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps values (N,) and weights (R, N) to R values, which are NaN if all weights are 0."""


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean."""
    with np.errstate(invalid="ignore"):
        return (weights @ values) / weights.sum(axis=1)


def mean_absolute(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of the absolute values."""
    return mean(np.abs(values), weights)


def geometric_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted geometric mean, for ratios: a factor of 2 and one of 1/2 cancel out."""
    return np.exp(mean(np.log(np.maximum(values, 1e-12)), weights))


def median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted median; if there are two middle values, their mean."""
    order = np.argsort(values, kind="stable")
    ranked, reached = values[order], np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    below, above = (reached < half).sum(axis=1), (reached <= half).sum(axis=1)
    last = len(values) - 1
    middle = (ranked[np.minimum(below, last)] + ranked[np.minimum(above, last)]) / 2
    return np.where(half[:, 0] > 0, middle, np.nan)


def maximum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The largest value with a positive weight."""
    largest = np.where(weights > 0, values, -np.inf).max(axis=1)
    return np.where(np.isfinite(largest), largest, np.nan)


def share_above(bound: float) -> OfValues:
    """The statistic "share of the values above `bound`", from 0 to 1."""
    return lambda values, weights: mean((values > bound).astype(float), weights)


def share_below(bound: float) -> OfValues:
    """The statistic "share of the values below `bound`", from 0 to 1."""
    return lambda values, weights: mean((values < bound).astype(float), weights)


def mean_distance_from(aim: float) -> OfValues:
    """The statistic "distance of the mean from `aim`"."""
    return lambda values, weights: np.abs(mean(values, weights) - aim)
