"""Distances between two sets of photos in a network's features: KID, FID, and their floor by halves of one set."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from evaluation.metrics.bootstrap import CONFIDENCE, Estimate, Statistic

SPLITS = 20
"""Number of random splits into halves over which the floor averages."""


class Kernels(NamedTuple):
    """The kernel matrices of two sets of photos: within (N, N), other (M, M), between (N, M)."""

    within: np.ndarray
    other: np.ndarray
    between: np.ndarray


def polynomial_kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cubic kernel of Binkowski et al. 2018 (arXiv:1801.01401): features (N, D), (M, D) to (N, M), float64."""
    product: np.ndarray = first.astype(np.float64) @ second.astype(np.float64).T
    return (product / first.shape[1] + 1.0) ** 3


def kernels_of(first: np.ndarray, second: np.ndarray) -> Kernels:
    """The kernel matrices for the KID of two sets of features (N, D) and (M, D)."""
    return Kernels(polynomial_kernel(first, first), polynomial_kernel(second, second), polynomial_kernel(first, second))


def kid(kernels: Kernels) -> Statistic:
    """The unbiased squared maximum mean discrepancy, as a statistic of both sets' weights; it can be negative.

    A pair of photos is weighted by the product of their weights. A photo is never paired with itself or with its copies
    in a bootstrap sample, which would increase the distance. The whole sets are used, while the public KID averages
    over subsets; the expectation is the same.
    """

    def distance(weights: np.ndarray, others: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            crossed = ((weights @ kernels.between) * others).sum(axis=1) / (weights.sum(axis=1) * others.sum(axis=1))
        return _mean_of_pairs(kernels.within, weights) + _mean_of_pairs(kernels.other, others) - 2 * crossed

    return distance


def _mean_of_pairs(kernel: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of a kernel (N, N) over the pairs of different photos: (R,) for weights (R, N)."""
    total = ((weights @ kernel) * weights).sum(axis=1) - (weights**2) @ np.diagonal(kernel)
    pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, total / pairs, np.nan)


def fid(first: np.ndarray, second: np.ndarray) -> float:
    """The Frechet distance (Heusel et al. 2017, arXiv:1706.08500) of features (N, D) and (M, D); N and M at least 2.

    The trace of the square root of the covariances' product is computed as the sum of the singular values of one set's
    centred features times the other's transposed. This avoids the square root of a D x D matrix, which is singular if
    there are fewer photos than features.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    means = first.mean(axis=0), second.mean(axis=0)
    centred = [
        _reduced((features - mean) / np.sqrt(len(features) - 1))
        for features, mean in zip((first, second), means, strict=True)
    ]
    root = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    spread = sum(float((part**2).sum()) for part in centred)
    return max(0.0, float(((means[0] - means[1]) ** 2).sum() + spread - 2 * root))


def _reduced(features: np.ndarray) -> np.ndarray:
    """Features with the same products of columns, but at most as many rows as columns."""
    if len(features) <= features.shape[1]:
        return features
    reduced: np.ndarray = np.linalg.qr(features, mode="r")  # type: ignore[assignment]  # one array, in this mode
    return reduced


def halves(people: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The indices of photos (N,) in two random, nearly equal halves, with all photos of a person in the same half."""
    _, person = np.unique(people, return_inverse=True)
    sizes = np.bincount(person)
    order = rng.permutation(len(sizes))
    in_first = np.zeros(len(sizes), dtype=bool)
    in_first[order[np.cumsum(sizes[order]) <= max(1, len(people) // 2)]] = True
    return np.flatnonzero(in_first[person]), np.flatnonzero(~in_first[person])


def floor(distance: Callable[[np.ndarray, np.ndarray], float], people: np.ndarray, seed: int) -> Estimate:
    """The distance between two halves of one set of photos: its mean over SPLITS splits, and the range of the middle
    95 %.

    distance: function of two arrays of photo indices. The result is NaN if a half would have fewer than 2 photos.
    """
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(SPLITS):
        first, second = halves(people, rng)
        if min(len(first), len(second)) < 2:
            return Estimate(float("nan"))
        values.append(distance(first, second))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Estimate(float(np.mean(values)), float(low), float(high))
