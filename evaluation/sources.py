"""What is measured: batches of photos with their translations, from a trained model or from a folder of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from util.images import to_pixels, uint8_to_tensor

DOMAINS = {"AtoB": ("A", "B"), "BtoA": ("B", "A")}
"""Of each direction, where its photos come from and what they are to become. A is young, B is old."""
TITLES = {"AtoB": "young to old", "BtoA": "old to young"}


@dataclass(frozen=True)
class Pairs:
    """A batch of photos of one domain, N of them.

    names: under which their results are known. files: names in the folder of the dataset, to look them up in its
    manifest. images: (N, 3, H, W) in [-1, 1]; real, and where there are such: fake, rec (translated back) and rec8
    (translated back from a fake that was rounded to 8 bits).
    """

    names: list[str]
    files: list[str]
    images: dict[str, Tensor]


class Weights(NamedTuple):
    """A file that took part in the measuring."""

    role: str
    path: Path
    sha256: str


class Source(Protocol):
    """Where pairs come from. Photos of a domain without translations serve as real target faces."""

    title: str
    weights: list[Weights]
    notes: list[str]
    """what was left out, and why"""

    def counts(self) -> Mapping[str, int]:
        """How many photos there are to look at, by direction."""
        ...

    def batches(self, direction: str) -> Iterator[Pairs]:
        """All pairs of a direction, each once."""
        ...

    def shown(self, direction: str, name: str) -> dict[str, np.ndarray]:
        """One photo and what was made of it, by label (real_A, fake_B, rec_A): uint8 (H, W, 3)."""
        ...


def in_colour(images: Tensor) -> Tensor:
    """Images (N, 3 or 1, H, W) as (N, 3, H, W)."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def rounded(images: Tensor) -> Tensor:
    """Images in [-1, 1] as they are after being stored in 8 bits: what a PNG file of them holds."""
    return uint8_to_tensor(to_pixels(images))
