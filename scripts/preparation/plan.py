"""Decisions by the metadata alone: whether a row is a candidate, its domain, its phase, and its order of preference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from scripts.preparation.reasons import Reason
from scripts.preparation.settings import FilterOptions, Settings, SplitOptions
from util.archives import is_safe
from util.files import is_image


def plan(table: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """A table with one row per row of the collection: reason ("" for a candidate), domain (A, B), phase, person (an
    index), order.

    order: rank of a candidate in the order of preference, starting at 0; -1 for other rows. The best photos of all
    people come first, then their second photos, and so on. Ties are broken by a hash, so that photos which are added to
    a collection do not change the order of the others.
    """
    reasons = np.full(len(table), "", dtype=object)
    domain = _domains(table, settings.filters)
    for mask, reason in _objections(table, domain, settings):
        reasons[(reasons == "") & mask] = reason
    person, names = _people(table)
    candidate = reasons == ""
    persons_domain = _domain_of_person(person, domain, candidate, len(names))
    reasons[candidate & (domain != persons_domain[person])] = Reason.OTHER_DOMAIN
    candidate = reasons == ""
    phase = np.where(_is_tested(names, person, table, settings.split)[person], "test", "train")
    return pd.DataFrame(
        {
            "reason": reasons,
            "domain": pd.Categorical.from_codes(np.where(domain == "A", 0, np.where(domain == "B", 1, -1)), ["A", "B"]),
            "phase": pd.Categorical(phase, categories=["train", "test"]),
            "person": person,
            "order": _order(table, person, candidate, settings.split.seed),
        }
    )


def _domains(table: pd.DataFrame, filters: FilterOptions) -> np.ndarray:
    """ "A" (young), "B" (old) or "" for each row, by age or, if it is unknown, by the collection's flag."""
    age = np.floor(table["age"].to_numpy())
    young = (age >= filters.young[0]) & (age <= filters.young[1])
    old = (age >= filters.old[0]) & (age <= filters.old[1])
    flag = table["young"].to_numpy(dtype=object, na_value=None)
    by_flag = np.where(flag == True, "A", np.where(flag == False, "B", ""))  # noqa: E712 (elementwise, None is neither)
    return np.where(np.isnan(age), by_flag, np.where(young, "A", np.where(old, "B", ""))).astype(object)


def _objections(table: pd.DataFrame, domain: np.ndarray, settings: Settings) -> Iterator[tuple[np.ndarray, str]]:
    """Masks of rows to leave out, each with the reason. The first reason that applies is used."""
    filters, age, score = settings.filters, table["age"].to_numpy(), table["face_score"].to_numpy()
    for problem in filter(None, table["problem"].cat.categories):
        yield (table["problem"] == problem).to_numpy(), problem
    yield table["path"].duplicated().to_numpy(), Reason.TWICE
    yield np.array([not is_safe(path) for path in table["path"]], dtype=bool), Reason.OUTSIDE
    yield np.array([not is_image(path) for path in table["path"]], dtype=bool), Reason.NOT_AN_IMAGE
    yield np.isnan(age) & table["young"].isna().to_numpy(), Reason.NO_AGE
    yield (age < 0) | (age > filters.max_age), Reason.IMPOSSIBLE_AGE
    yield domain == "", Reason.OTHER_AGE
    if not np.isnan(score).all():  # the collection has scores
        yield ~np.isfinite(score), Reason.NO_FACE
        yield score <= filters.min_face_score, Reason.LOW_SCORE
    if not filters.allow_second_face:
        second = table["second_face_score"].to_numpy()
        yield ~np.isnan(second) & ~np.isneginf(second), Reason.SECOND_FACE
    if filters.gender != "any" or settings.limits.balance_gender:
        yield table["gender"].isna().to_numpy(), Reason.NO_GENDER
    if filters.gender != "any":
        yield (table["gender"] != filters.gender).to_numpy(), Reason.OTHER_GENDER
    if filters.no_glasses:
        yield table["glasses"].fillna(False).to_numpy(dtype=bool), Reason.GLASSES
    if not filters.allow_blurry:
        yield table["blurry"].fillna(False).to_numpy(dtype=bool), Reason.BLURRY


def _people(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The index of each row's person, and the people's names. A row with unknown identity is a different person."""
    identity = table["identity"].to_numpy()
    names = np.where(identity == "", "photo " + table["path"].to_numpy(), "person " + identity)
    return pd.factorize(names)


def _domain_of_person(person: np.ndarray, domain: np.ndarray, candidate: np.ndarray, people: int) -> np.ndarray:
    """The domain in which each person is kept: that of most of their candidates, or B if both have equally many.

    Nobody may be in both domains, because this would give pairs of young and old photos of one person, and the method
    is unpaired.
    """
    young = np.bincount(person[candidate & (domain == "A")], minlength=people)
    old = np.bincount(person[candidate & (domain == "B")], minlength=people)
    return np.where(young > old, "A", "B")


def _is_tested(names: np.ndarray, person: np.ndarray, table: pd.DataFrame, split: SplitOptions) -> np.ndarray:
    """Whether each person is for testing. Without --official_split, this depends only on the person's name and the
    seed."""
    if split.official_split:
        tested = np.zeros(len(names), dtype=bool)
        tested[person[(table["partition"] == "test").to_numpy()]] = True
        return tested
    return np.array([_hash(name, split.seed) < split.test_fraction * 2**64 for name in names], dtype=bool)


def _order(table: pd.DataFrame, person: np.ndarray, candidate: np.ndarray, seed: int) -> np.ndarray:
    rows = np.flatnonzero(candidate)
    shuffle = np.array([_hash(path, seed) for path in table["path"].to_numpy()[rows]], dtype=np.uint64)
    score = np.nan_to_num(table["face_score"].to_numpy()[rows].astype(np.float64), nan=0.0)
    best_first = np.lexsort((shuffle, -score, person[rows]))
    rank = pd.Series(person[rows][best_first]).groupby(person[rows][best_first]).cumcount().to_numpy()
    rank_of_row = np.empty(len(rows), dtype=np.int64)
    rank_of_row[best_first] = rank
    order = np.full(len(table), -1, dtype=np.int64)
    order[rows[np.lexsort((shuffle, rank_of_row))]] = np.arange(len(rows))
    return order


def _hash(text: str, seed: int) -> int:
    """A hash of text and seed with 64 bits, the same on all machines."""
    content = f"{seed}\0{text}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
