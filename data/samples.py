"""Samples, which datasets pass to the loader, and batches, which the loader makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

Batch = dict[str, Any]
"""Dictionary with tensors (N, C, H, W) in [-1, 1] under A and B, and their N files under A_paths and B_paths."""


class Draw(NamedTuple):
    """Position of a sample and its epoch. Together with `--seed`, they determine all randomness of the sample."""

    position: int
    epoch: int


class Skipped(NamedTuple):
    """A file that could not be used, and the reason."""

    path: Path
    reason: str


@dataclass
class Sample:
    """The photos of one sample by domain, their files, and the files that were skipped to find them.

    images: (C, H, W), float in [-1, 1] or uint8.
    """

    images: dict[str, Tensor] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    error: str = ""
    """why a photo that training needs is missing in the sample; empty if none is"""


class ImageDataset(Protocol):
    """Interface of a dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: Draw) -> Sample: ...

    def files(self, domain: str) -> list[Path]:
        """Return the photos of "A" or "B" in order."""
        ...


class Collated(NamedTuple):
    """The samples of one step as batches of one image size each; one batch unless sizes differ."""

    batches: list[Batch]
    skipped: list[Skipped]
    errors: list[str]


def collate(samples: Sequence[Sample]) -> Collated:
    """Stack the images of samples into batches. Samples without images are dropped."""
    groups: dict[tuple[tuple[str, torch.Size], ...], list[Sample]] = {}
    for sample in samples:
        if sample.images:
            key = tuple((domain, image.shape) for domain, image in sample.images.items())
            groups.setdefault(key, []).append(sample)
    skipped = [entry for sample in samples for entry in sample.skipped]
    return Collated([_stack(group) for group in groups.values()], skipped, [s.error for s in samples if s.error])


def _stack(samples: Sequence[Sample]) -> Batch:
    batch: Batch = {}
    for domain in samples[0].images:
        batch[domain] = torch.stack([sample.images[domain] for sample in samples])
        batch[f"{domain}_paths"] = [sample.paths[domain] for sample in samples]
    return batch
