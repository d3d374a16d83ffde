"""Measures batches of pairs; keeps the values of each photo, but not the images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from evaluation.instruments import Instruments
from evaluation.metrics import fidelity
from evaluation.metrics.fidelity import MOST_PSNR
from evaluation.metrics.identity import cosines
from evaluation.people import EVERYBODY, GENDERS, RACE, People, Person
from evaluation.sources import DOMAINS, Pairs, rounded
from util.errors import UserError
from util.text import printable

PAIR_COLUMNS = ("change_l1", "cycle_l1", "cycle_psnr", "cycle_ssim", "cycle8_l1", "cycle8_psnr", "cycle8_ssim")
UNCHANGED = {name: MOST_PSNR if "psnr" in name else 1.0 if "ssim" in name else 0.0 for name in PAIR_COLUMNS}
"""Values of the pair columns for unchanged photos."""

Columns = dict[str, np.ndarray]
"""Values (N,) or features (N, D) of N photos, by name."""


@dataclass
class Measured:
    """The measured photos of a direction.

    real, fake: values of single images (age@ESTIMATOR, male, sharpness, features and, if available, embedding and
    inception); fake is empty without translations. pairs: values that compare images.
    """

    direction: str
    names: list[str] = field(default_factory=list)
    persons: list[Person] = field(default_factory=list)
    real: Columns = field(default_factory=dict)
    fake: Columns = field(default_factory=dict)
    pairs: Columns = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """1 if translations are to become older, -1 if they are to become younger."""
        return 1 if self.direction == "AtoB" else -1

    @property
    def true_ages(self) -> np.ndarray:
        """(N,), NaN if unknown."""
        return np.array([person.age for person in self.persons])

    def women_and_men(self) -> dict[str, np.ndarray]:
        """Masks (N,) of the photos of each gender, by the manifest or, if it is unknown, by the estimator."""
        known = np.array([person.gender for person in self.persons])
        male = np.where(known == "", self.real["male"] >= 0.5, known == "male")
        return dict(zip(GENDERS, (~male, male), strict=True))

    def groups(self) -> dict[str, np.ndarray]:
        """Return the masks (N,) of the groups: everybody, the genders, and the races that the manifest has."""
        races = np.array([person.race for person in self.persons])
        by_race = {RACE + printable(race): races == race for race in sorted(set(races.tolist()) - {""})}
        return {EVERYBODY: np.ones(len(self.names), dtype=bool), **self.women_and_men(), **by_race}


def measure(
    direction: str, batches: Iterable[Pairs], instruments: Instruments, people: People, advance: Callable[[int], None]
) -> Measured:
    """Measure all photos of one direction. advance: called with the number of photos measured since the last call."""
    measured = Measured(direction)
    parts: dict[str, list[Columns]] = {"real": [], "fake": [], "pairs": []}
    domain = DOMAINS[direction][0]
    for pairs in batches:
        measured.names += pairs.names
        measured.persons += [people.find(domain, file) for file in pairs.files]
        _refuse_infinite(pairs.images)
        # Translations are rounded as they would be stored, so that results from files give the same values.
        images = {label: image if label == "rec" else rounded(image) for label, image in pairs.images.items()}
        for label in ("real", "fake"):
            if label in images:
                parts[label].append(look_at(images[label], instruments))
        if "fake" in images:
            parts["pairs"].append(_compare(images))
        advance(len(pairs.names))
    # Sorted by name, so that later random draws do not depend on the order in which files are listed.
    order = sorted(range(len(measured.names)), key=lambda place: measured.names[place])
    measured.names = [measured.names[place] for place in order]
    measured.persons = [measured.persons[place] for place in order]
    measured.real, measured.fake, measured.pairs = (
        _ordered(joined(parts[label]), order) for label in ("real", "fake", "pairs")
    )
    return measured


def _refuse_infinite(images: Mapping[str, Tensor]) -> None:
    """Raise UserError if translations are not finite, because the training diverged."""
    if "fake" in images and not torch.isfinite(images["fake"]).all():
        raise UserError("the networks' output is not finite (NaN or infinity): use an earlier checkpoint with --epoch")


@torch.no_grad()
def look_at(images: Tensor, instruments: Instruments) -> Columns:
    """Measure single images (N, 3, H, W)."""
    columns = {}
    for number, (name, estimator) in enumerate(instruments.estimators.items()):
        estimates = estimator(images)
        columns[f"age@{name}"] = _numbers(estimates.ages)
        if number == 0:
            columns |= {"male": _numbers(estimates.male), "features": estimates.features.float().cpu().numpy()}
    columns["sharpness"] = _numbers(fidelity.sharpness(images))
    if instruments.embedder:
        columns["embedding"] = instruments.embedder(images)
    if instruments.inception:
        columns["inception"] = instruments.inception(images)
    return columns


@torch.no_grad()
def _compare(images: Mapping[str, Tensor]) -> Columns:
    """Compare photos with their translations and reconstructions."""
    columns = {"change_l1": _numbers(fidelity.l1(images["fake"], images["real"]))}
    for label, prefix in (("rec", "cycle"), ("rec8", "cycle8")):
        if label in images:
            for name, compare in (("l1", fidelity.l1), ("psnr", fidelity.psnr), ("ssim", fidelity.ssim)):
                columns[f"{prefix}_{name}"] = _numbers(compare(images[label], images["real"]))
    return columns


def _numbers(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def joined(parts: Sequence[Columns]) -> Columns:
    """Concatenate the columns of batches."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _ordered(columns: Columns, order: Sequence[int]) -> Columns:
    return {name: values[order] for name, values in columns.items()}


def columns_of(
    measured: Measured, after: Columns, pairs: Columns, estimators: Sequence[str], threshold: float
) -> Columns:
    """The columns of METRICS, (N,) each, for images `after` compared with the measured photos.

    threshold: verification threshold of the cosine. Columns of all estimators but the first are named COLUMN@ESTIMATOR.
    """
    before, columns = measured.real, dict(pairs)
    for number, name in enumerate(estimators):
        suffix = f"@{name}" if number else ""
        first, second = before[f"age@{name}"], after[f"age@{name}"]
        columns |= {
            f"age_before{suffix}": first,
            f"age_after{suffix}": second,
            f"gain{suffix}": second - first if measured.sign > 0 else first - second,
        }
    columns["gender_kept"] = ((before["male"] >= 0.5) == (after["male"] >= 0.5)).astype(float)
    columns["sharpness"] = (after["sharpness"] + 1e-6) / (before["sharpness"] + 1e-6)
    if "embedding" in before:
        columns["cosine"] = cosines(before["embedding"], after["embedding"])
        if np.isfinite(threshold):
            columns["verified"] = (columns["cosine"] >= threshold).astype(float)
    return columns
