"""Photos that a run is not trained on, to look at what it makes of them meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from data.image_folder import DataError, list_images
from data.transforms import TransformOptions, UnusablePhotoError, load_photo
from data.unaligned_dataset import UnalignedOptions
from util.text import printable

FACES_SHOWN = 4
"""Of each domain, on the page of a run."""


def load_held_out(
    options: UnalignedOptions, phase: str, channels: dict[str, int], count: int, report: Callable[[str], None]
) -> dict[str, Tensor]:
    """The first `count` photos of the folders `phase` + A and B, by domain, whole and as large as the crops of the
    training: float tensors (N, C, S, S) in [-1, 1].

    Photos that cannot be used are reported and left out. Raises DataError for a folder without any.
    """
    size = options.transform.crop_size
    whole = TransformOptions(preprocess="resize", load_size=size, crop_size=size, no_flip=True)
    return {
        domain: _load(folder, whole, channels[domain], count, report)
        for domain, folder in replace(options, phase=phase).folders().items()
    }


def _load(
    folder: Path, transform: TransformOptions, channels: int, count: int, report: Callable[[str], None]
) -> Tensor:
    images = []
    for path in list_images(folder, count):
        try:
            images.append(load_photo(path, transform, channels, rng=None))
        except UnusablePhotoError as error:
            report(printable(f"left out: {path}: {error.reason}"))
    if not images:
        raise DataError(f"{folder} holds no photo that can be used: --eval_freq measures translations of them")
    return torch.stack(images)


def load_faces(
    options: UnalignedOptions, phases: Iterable[str], channels: dict[str, int], report: Callable[[str], None]
) -> dict[str, Tensor]:
    """The faces that a page shows through all epochs, out of the first of the phases that has some. Without any of them
    there is nothing to show, which ends no run."""
    for phase in phases:
        with contextlib.suppress(DataError):
            return load_held_out(options, phase, channels, FACES_SHOWN, report)
    return {}
