"""Distances between sets of images (ages, KID, FID), with the floor as the control instead of real target faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.measuring import Columns
from evaluation.metrics.bootstrap import Estimate, Statistic, estimate
from evaluation.metrics.progression import wasserstein
from evaluation.metrics.realism import fid, floor, kernels_of, kid
from evaluation.tables import Drawing, Row

MOST_KID_PHOTOS = 2000
"""Maximum number of photos of each set, which is the size of the kernel matrix."""


def distance_rows(
    direction: str,
    group: str,
    images: str,
    placed: tuple[Columns, np.ndarray],
    target: tuple[Columns, np.ndarray],
    estimators: Sequence[str],
    drawing: Drawing,
) -> Iterator[Row]:
    """Distances of images from the real target photos. For the target photos, the floor: the distance of two halves."""
    (features, people), (real, real_people) = placed, target
    for name, column in _distances(features, estimators):
        kind = name.partition("@")[0]
        ours, theirs = _some(people, kind, drawing.seed), _some(real_people, kind, drawing.seed)
        first, second = features[column][ours], real[column][theirs]
        if images == "target":
            made = _floor_of(kind, second, real_people[theirs], drawing.seed)
        elif kind == "fid_inception":
            made = Estimate(fid(first, second) if min(len(first), len(second)) > 1 else float("nan"))
        else:
            statistic = _distance(kind, first, second)
            made = estimate(statistic, [people[ours], real_people[theirs]], drawing.counts)
        shown = real_people[theirs] if images == "target" else people[ours]
        yield Row(direction, group, images, name, made, len(shown), len(np.unique(shown)))


def _distances(features: Columns, estimators: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The names of the distances, each with its column."""
    for number, name in enumerate(estimators):
        yield f"age_distance@{name}" if number else "age_distance", f"age@{name}"
    yield "kid_estimator", "features"
    if "inception" in features:
        yield "kid_inception", "inception"
        yield "fid_inception", "inception"


def _some(people: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """The indices of all photos, or of a random sample if there are too many for a KID."""
    if kind.startswith("kid") and len(people) > MOST_KID_PHOTOS:
        return np.sort(np.random.default_rng(seed).choice(len(people), MOST_KID_PHOTOS, replace=False))
    return np.arange(len(people))


def _distance(kind: str, first: np.ndarray, second: np.ndarray) -> Statistic:
    return wasserstein(first, second) if kind == "age_distance" else kid(kernels_of(first, second))


def _floor_of(kind: str, photos: np.ndarray, people: np.ndarray, seed: int) -> Estimate:
    """The distance between random halves of the same photos."""

    def between(ours: np.ndarray, theirs: np.ndarray) -> float:
        first, second = photos[ours], photos[theirs]
        if kind == "fid_inception":
            return fid(first, second)
        return float(_distance(kind, first, second)(np.ones((1, len(first))), np.ones((1, len(second))))[0])

    return floor(between, people, seed)
