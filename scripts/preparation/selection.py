"""Which of the photos that passed are kept: no near-duplicates, no more than the limits."""

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
    """The reason of each row, "" for those to keep, taking every photo that nobody looked at yet for a good one.

    faces: of `plan`. genders: "female", "male" or None for each row. reserve: keep some more than the limits say, so
    that few rounds of looking at photos suffice.

    Candidates are gone through in their order of preference. As a photo counts against the limits only if it is kept,
    photos that fail make room for later ones, and the outcome does not depend on which others were looked at.
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
    """Photos of each class (of each gender in it, where these are balanced) and of each person, at most."""
    per_class = limits.max_per_class or float("inf")
    if limits.balance_gender:
        per_class //= 2
    per_person = limits.max_per_identity or float("inf")
    return (1.25 * per_class + 16, per_person + 1) if reserve else (per_class, per_person)


def _balance(reasons: np.ndarray, candidates: np.ndarray, faces: pd.DataFrame, genders: np.ndarray) -> None:
    """Drop the least preferred of the gender that has more, in each of the four folders."""
    for _, rows in faces.iloc[candidates[reasons[candidates] == ""]].groupby(["domain", "phase"], observed=True):
        chosen = faces.index.get_indexer(rows.index)
        by_gender = [chosen[genders[chosen] == gender] for gender in ("female", "male")]
        fewer = min(map(len, by_gender))
        for group in by_gender:
            reasons[group[fewer:]] = Reason.GENDER_LIMIT
