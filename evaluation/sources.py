"""The interface of sources: batches of photos with their translations, from a trained model or a folder of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from util.images import to_pixels, uint8_to_tensor

DOMAINS = {"AtoB": ("A", "B"), "BtoA": ("B", "A")}
"""Source and target domain of each direction. A is young, B is old."""
TITLES = {"AtoB": "young to old", "BtoA": "old to young"}


@dataclass(frozen=True)
class Pairs:
    """A batch of N photos of one domain.

    names: names of their results. files: file names in the data set's folder, to look them up in its manifest. images:
    (N, 3, H, W) in [-1, 1]: real and, if available, fake, rec (translated back) and rec8 (translated back from a fake
    that was rounded to 8 bits).
    """

    names: list[str]
    files: list[str]
    images: dict[str, Tensor]


class Weights(NamedTuple):
    """A file that was used in an evaluation."""

    role: str
    path: Path
    sha256: str


class Source(Protocol):
    """A source of pairs. Photos of a domain without translations are used as real target faces."""

    title: str
    weights: list[Weights]
    notes: list[str]
    """notes on what was left out, and why"""

    def counts(self) -> Mapping[str, int]:
        """Number of photos to measure by direction."""
        ...

    def batches(self, direction: str) -> Iterator[Pairs]:
        """All pairs of a direction, each once."""
        ...

    def shown(self, direction: str, name: str) -> dict[str, np.ndarray]:
        """One photo and its translations by label (real_A, fake_B, rec_A): uint8 (H, W, 3)."""
        ...


def rounded(images: Tensor) -> Tensor:
    """Images in [-1, 1] rounded to 8 bits, as if they were stored in a PNG file."""
    return uint8_to_tensor(to_pixels(images))
