"""The table of an evaluation: its rows, and what they are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evaluation.measuring import Columns
from evaluation.metrics import METRICS, Metric
from evaluation.metrics.bootstrap import Estimate
from evaluation.metrics.identity import Verification
from evaluation.people import EVERYBODY, GENDERS, RACE

IMAGES = {
    "translated": "what the model made of each photo",
    "untouched": "control: each photo itself",
    "target": "control: in its place, a real photo of the target age, of a random person of the same gender",
}


class Row(NamedTuple):
    """One number: of which direction, group and images; n photos of so many people."""

    direction: str
    group: str
    images: str
    metric: str
    estimate: Estimate
    n: int
    people: int

    @property
    def kind(self) -> Metric:
        """What it is, whichever estimator said it."""
        return METRICS[self.metric.partition("@")[0]]


@dataclass(frozen=True)
class Summary:
    """columns: of each direction's translations, by photo. verification: None without a face recogniser."""

    rows: list[Row]
    columns: dict[str, Columns]
    verification: Verification | None

    @property
    def divisions(self) -> dict[str, tuple[str, ...]]:
        """The names of the groups by gender and, if the manifest has races, by race."""
        races = tuple(dict.fromkeys(row.group for row in self.rows if row.group.startswith(RACE)))
        return {"gender": GENDERS, "race": races} if races else {"gender": GENDERS}

    def value(self, direction: str, metric: str, images: str = "translated", group: str = EVERYBODY) -> Estimate:
        """One number of the table; NaN for what was not computed."""
        wanted = (direction, group, images, metric)
        return next((row.estimate for row in self.rows if row[:4] == wanted), Estimate(float("nan")))


class Photos(NamedTuple):
    """Images in the place of a direction's photos: their columns (N,), features (N, D), and people (N,)."""

    columns: Columns
    features: Columns
    people: np.ndarray


@dataclass(frozen=True)
class Drawing:
    """What the bootstrap and all random choices follow from."""

    counts: np.ndarray | None
    seed: int
