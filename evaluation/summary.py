"""Summarizes the values of all photos in one table: each metric for the translations and both controls, by gender and
race, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from evaluation.controls import images_in_place
from evaluation.distances import distance_rows
from evaluation.measuring import Columns, Measured
from evaluation.metrics import AGE_COLUMNS, METRICS
from evaluation.metrics.bootstrap import draw_people, estimate
from evaluation.metrics.identity import Verification, verification
from evaluation.people import RACE
from evaluation.tables import Drawing, MeasuredImages, Row, Summary

LEAST_PHOTOS = 10
"""Races with fewer photos have no rows, because their intervals would be too wide to say anything."""


def summarize(measured: Mapping[str, Measured], estimators: Sequence[str], replicates: int, seed: int) -> Summary:
    """The table of all directions with translations. replicates: of the bootstrap; 0 gives no intervals."""
    numbers = _number_people(measured)
    total = 1 + max((int(own.max()) for own in numbers.values() if len(own)), default=-1)
    drawing = Drawing(draw_people(total, replicates, seed) if replicates else None, seed)
    verified = _verification(measured, numbers, seed)
    threshold = verified.threshold if verified else float("nan")
    rows: list[Row] = []
    columns = {}
    for direction, own in measured.items():
        if own.fake:
            other = next((each for key, each in measured.items() if key != direction and each.names), None)
            target_people = numbers[other.direction] if other else np.zeros(0, dtype=int)
            kinds = images_in_place(own, other, numbers[direction], target_people, estimators, threshold, seed)
            columns[direction] = kinds["translated"].columns
            rows += _direction_rows(own, other, kinds, target_people, estimators, drawing)
    return Summary(rows, columns, verified)


def _number_people(measured: Mapping[str, Measured]) -> dict[str, np.ndarray]:
    """An index for each person, the same in both domains: (N,) by direction."""
    known: dict[str, int] = {}
    return {
        direction: np.array([known.setdefault(person.key, len(known)) for person in own.persons], dtype=int)
        for direction, own in measured.items()
    }


def _verification(
    measured: Mapping[str, Measured], numbers: Mapping[str, np.ndarray], seed: int
) -> Verification | None:
    """The verification threshold by the real photos of both domains; None without a recogniser."""
    with_faces = [direction for direction, own in measured.items() if "embedding" in own.real]
    if not with_faces:
        return None
    embeddings = np.concatenate([measured[direction].real["embedding"] for direction in with_faces])
    return verification(embeddings, np.concatenate([numbers[direction] for direction in with_faces]), seed)


def _direction_rows(
    own: Measured,
    other: Measured | None,
    kinds: Mapping[str, MeasuredImages],
    target_people: np.ndarray,
    estimators: Sequence[str],
    drawing: Drawing,
) -> Iterator[Row]:
    targets = other.groups() if other else {}
    for group, mask in own.groups().items():
        if group.startswith(RACE) and mask.sum() < LEAST_PHOTOS:
            continue
        for images, photos in kinds.items():
            for metric in _metrics_in(photos.columns, estimators):
                yield _summed_up(own.direction, group, images, metric, photos, mask, drawing)
            if other and group in targets and (targets[group].sum() >= LEAST_PHOTOS or not group.startswith(RACE)):
                chosen = np.flatnonzero(targets[group])
                target = {name: values[chosen] for name, values in other.real.items()}
                placed = {name: values[mask] for name, values in photos.features.items()}
                yield from distance_rows(
                    own.direction,
                    group,
                    images,
                    (placed, photos.people[mask]),
                    (target, target_people[chosen]),
                    estimators,
                    drawing,
                )


def _metrics_in(columns: Columns, estimators: Sequence[str]) -> Iterator[str]:
    """The names of the metrics whose columns exist; those of further estimators are named METRIC@ESTIMATOR."""
    for name, metric in METRICS.items():
        suffixes = ["", *(f"@{other}" for other in estimators[1:] if metric.column in AGE_COLUMNS)]
        for suffix in suffixes:
            column = columns.get(metric.column + suffix)
            if column is not None and np.isfinite(column).any():
                yield name + suffix


def _summed_up(
    direction: str, group: str, images: str, name: str, photos: MeasuredImages, mask: np.ndarray, drawing: Drawing
) -> Row:
    """The row of one metric over those photos in `mask` (N,) for which it is known."""
    base, at, estimator = name.partition("@")
    metric = METRICS[base]
    values = photos.columns[metric.column + at + estimator]
    known = mask & np.isfinite(values)
    values, people = values[known], photos.people[known]
    counts = drawing.counts if metric.interval else None
    made = estimate(lambda weights: metric.statistic(values, weights), [people], counts)
    return Row(direction, group, images, name, made, len(people), len(np.unique(people)))
