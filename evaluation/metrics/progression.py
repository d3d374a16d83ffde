"""Distance between distributions of ages."""

from __future__ import annotations

import numpy as np

from evaluation.metrics.bootstrap import Statistic


def wasserstein(first: np.ndarray, second: np.ndarray) -> Statistic:
    """The Wasserstein-1 distance of two samples of ages (N,), (M,), as a statistic of both samples' weights.

    It is the area between the two cumulative distributions, in years. With weights of 1, it equals
    scipy.stats.wasserstein_distance.
    """
    ages = np.concatenate([first, second])
    order = np.argsort(ages, kind="stable")
    steps = np.diff(ages[order])

    def distance(weights: np.ndarray, others: np.ndarray) -> np.ndarray:
        ours = np.concatenate([weights, np.zeros_like(others)], axis=1)[:, order]
        theirs = np.concatenate([np.zeros_like(weights), others], axis=1)[:, order]
        with np.errstate(invalid="ignore"):
            return np.abs(_cumulative(ours) - _cumulative(theirs))[:, :-1] @ steps

    return distance


def _cumulative(weights: np.ndarray) -> np.ndarray:
    reached = np.cumsum(weights, axis=1)
    return reached / reached[:, -1:]
