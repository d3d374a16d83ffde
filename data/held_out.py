"""Held-out photos, which are translated during training to display and evaluate progress."""

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
"""Number of faces of each domain on the HTML page of a run."""


def load_held_out(
    options: UnalignedOptions, phase: str, channels: dict[str, int], count: int, report: Callable[[str], None]
) -> dict[str, Tensor]:
    """Load the first `count` photos of the folders `phase` + A and `phase` + B, by domain.

    The photos are not cropped but resized to the training's crop size S: float tensors (N, C, S, S) in [-1, 1]. Photos
    that cannot be used are reported and skipped. Raises DataError for a folder without usable photos.
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
            report(printable(f"skipped {path}: {error.reason}"))
    if not images:
        raise DataError(f"{folder} contains no usable photos, which --eval_freq needs for evaluation")
    return torch.stack(images)


def load_faces(
    options: UnalignedOptions, phases: Iterable[str], channels: dict[str, int], report: Callable[[str], None]
) -> dict[str, Tensor]:
    """Load the faces that the HTML page shows in all epochs, from the first of the phases that has usable photos.
    Returns an empty dictionary if there are none, which does not end the run."""
    for phase in phases:
        with contextlib.suppress(DataError):
            return load_held_out(options, phase, channels, FACES_SHOWN, report)
    return {}
