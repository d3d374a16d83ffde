"""Distances between two sets of photos in a network's features: KID and FID, and what two halves of one set show."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from evaluation.metrics.bootstrap import CONFIDENCE, Estimate, Statistic

SPLITS = 20
"""Into halves, whose distances the floor averages."""


class Kernels(NamedTuple):
    """The kernel between the photos of two sets: within (N, N), other (M, M), between (N, M)."""

    within: np.ndarray
    other: np.ndarray
    between: np.ndarray


def polynomial_kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cubic kernel of Binkowski et al. 2018 (arXiv:1801.01401): features (N, D), (M, D) to (N, M), float64."""
    product: np.ndarray = first.astype(np.float64) @ second.astype(np.float64).T
    return (product / first.shape[1] + 1.0) ** 3


def kernels_of(first: np.ndarray, second: np.ndarray) -> Kernels:
    """All that a KID needs of two sets of features (N, D) and (M, D)."""
    return Kernels(polynomial_kernel(first, first), polynomial_kernel(second, second), polynomial_kernel(first, second))


def kid(kernels: Kernels) -> Statistic:
    """The unbiased squared maximum mean discrepancy, as a statistic of both sets' weights; it can be below 0.

    A pair of photos counts by the product of their weights. A photo is never paired with itself, nor with its copies
    where it is drawn several times: that would add to the distance. The whole sets are used where the public KID
    averages over subsets, which has the same expectation.
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

    The trace of the root of the covariances' product is the sum of the singular values of one set's centred features
    times the other's transposed. That takes no root of a D x D matrix, which fewer photos than features leave singular.
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
    """Features with the same products of columns in no more rows than columns."""
    if len(features) <= features.shape[1]:
        return features
    reduced: np.ndarray = np.linalg.qr(features, mode="r")  # type: ignore[assignment]  # one array, in this mode
    return reduced


def halves(people: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The places of photos (N,) in two random halves, all photos of one person in the same: as equal as that allows."""
    _, person = np.unique(people, return_inverse=True)
    sizes = np.bincount(person)
    order = rng.permutation(len(sizes))
    in_first = np.zeros(len(sizes), dtype=bool)
    in_first[order[np.cumsum(sizes[order]) <= max(1, len(people) // 2)]] = True
    return np.flatnonzero(in_first[person]), np.flatnonzero(~in_first[person])


def floor(distance: Callable[[np.ndarray, np.ndarray], float], people: np.ndarray, seed: int) -> Estimate:
    """What a distance says of two halves of one set of photos: its mean over SPLITS of them, and the range of the
    middle 95 %.

    distance: of the photos at two arrays of places. NaN where a half would have fewer than 2 photos.
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
