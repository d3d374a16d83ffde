"""The table of an evaluation: its rows, and the data from which they are computed."""

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
    "translated": "the model's translation of each photo",
    "untouched": "control: the photo itself",
    "target": "control: a real photo of a random person of the target age and the same gender",
}


class Row(NamedTuple):
    """One value of the table, for a direction, group and kind of images; n photos of `people` people."""

    direction: str
    group: str
    images: str
    metric: str
    estimate: Estimate
    n: int
    people: int

    @property
    def kind(self) -> Metric:
        """The metric, regardless of the estimator."""
        return METRICS[self.metric.partition("@")[0]]


@dataclass(frozen=True)
class Summary:
    """The results. columns: values of each photo by direction. verification: None without a face recogniser."""

    rows: list[Row]
    columns: dict[str, Columns]
    verification: Verification | None

    @property
    def divisions(self) -> dict[str, tuple[str, ...]]:
        """The names of the groups by gender and, if the manifest has races, by race."""
        races = tuple(dict.fromkeys(row.group for row in self.rows if row.group.startswith(RACE)))
        return {"gender": GENDERS, "race": races} if races else {"gender": GENDERS}

    def value(self, direction: str, metric: str, images: str = "translated", group: str = EVERYBODY) -> Estimate:
        """One value of the table, or NaN if it was not computed."""
        wanted = (direction, group, images, metric)
        return next((row.estimate for row in self.rows if row[:4] == wanted), Estimate(float("nan")))


class MeasuredImages(NamedTuple):
    """The translations of a direction or a control: columns (N,), features (N, D), and people (N,)."""

    columns: Columns
    features: Columns
    people: np.ndarray


@dataclass(frozen=True)
class Drawing:
    """The bootstrap's counts and the seed of all random choices."""

    counts: np.ndarray | None
    seed: int
