"""Selects the photos to keep: removes near-duplicates and applies limits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from scripts.preparation.duplicates import Likenesses
from scripts.preparation.reasons import Reason
from scripts.preparation.settings import LimitOptions
from scripts.preparation.workspace import Outcomes


def select(
    faces: pd.DataFrame, genders: np.ndarray, outcomes: Outcomes, limits: LimitOptions, *, reserve: bool = False
) -> np.ndarray:
    """The reason for each row, "" to keep it. Photos that were not processed yet are assumed to be good.

    faces: result of `plan`. genders: "female", "male" or None for each row. reserve: keep some photos beyond the
    limits, so that few rounds of processing are needed.

    Candidates are visited in their order of preference. A photo counts against the limits only if it is kept, so photos
    that fail make room for later ones, and the result does not depend on which other photos were processed.
    """
    reasons = np.where(outcomes.failed, outcomes.reasons, faces["reason"].to_numpy())
    order = faces["order"].to_numpy()
    candidates = np.flatnonzero((order >= 0) & (reasons == ""))
    candidates = candidates[np.argsort(order[candidates])]
    looked_at = np.flatnonzero(outcomes.passed)
    likenesses = Likenesses(outcomes.hashes[looked_at], limits.duplicate_distance)
    place = {int(row): number for number, row in enumerate(looked_at)}
    per_class, per_person = _limits(limits, reserve)
    domain, person = faces["domain"].to_numpy(dtype=object), faces["person"].to_numpy()
    of_class: Counter[tuple[str, str | None]] = Counter()
    of_person: Counter[int] = Counter()
    kept_groups: set[int] = set()
    for row in candidates.tolist():
        share = (domain[row], genders[row] if limits.balance_gender else None)
        if of_person[person[row]] >= per_person:
            reasons[row] = Reason.IDENTITY_LIMIT
        elif of_class[share] >= per_class:
            reasons[row] = Reason.CLASS_LIMIT
        elif row in place and not likenesses.like(place[row]).isdisjoint(kept_groups):
            reasons[row] = Reason.DUPLICATE
        else:
            of_person[person[row]] += 1
            of_class[share] += 1
            if row in place:
                kept_groups.add(int(likenesses.group[place[row]]))
    if limits.balance_gender and not reserve:
        _balance(reasons, candidates, faces, genders)
    return reasons


def _limits(limits: LimitOptions, reserve: bool) -> tuple[float, float]:
    """Maximum numbers of photos per class (per gender of a class if genders are balanced) and per person."""
    per_class = limits.max_per_class or float("inf")
    if limits.balance_gender:
        per_class //= 2
    per_person = limits.max_per_identity or float("inf")
    return (1.25 * per_class + 16, per_person + 1) if reserve else (per_class, per_person)


def _balance(reasons: np.ndarray, candidates: np.ndarray, faces: pd.DataFrame, genders: np.ndarray) -> None:
    """Drop the least preferred photos of the gender with more photos, in each of the four folders."""
    for _, rows in faces.iloc[candidates[reasons[candidates] == ""]].groupby(["domain", "phase"], observed=True):
        chosen = faces.index.get_indexer(rows.index)
        by_gender = [chosen[genders[chosen] == gender] for gender in ("female", "male")]
        fewer = min(map(len, by_gender))
        for group in by_gender:
            reasons[group[fewer:]] = Reason.GENDER_LIMIT
