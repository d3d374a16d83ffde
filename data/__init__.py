"""Datasets by name. To add one: a file with the class and its options, and a line in DATASETS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from data.image_folder import DataError
from data.loader import Loader, LoaderOptions
from data.samples import Batch, ImageDataset
from data.single_dataset import SingleDataset, SingleOptions
from data.unaligned_dataset import UnalignedDataset, UnalignedOptions
from util.distributed import place

__all__ = ["DATASETS", "Batch", "DataError", "Loader", "LoaderOptions", "create_loader", "create_test_loaders"]


class DatasetMode(NamedTuple):
    """What `--dataset_mode` chooses."""

    options_class: type
    folders: Callable[[Any], dict[str, Path]]
    """from the options to the folders to translate, by domain"""
    training: Callable[[Any, dict[str, int], int], ImageDataset] | None
    """from options, channels by domain and seed to the samples to train on; None where the mode is for translating
    only"""


DATASETS: dict[str, DatasetMode] = {
    "unaligned": DatasetMode(UnalignedOptions, UnalignedOptions.folders, UnalignedDataset),
    "single": DatasetMode(SingleOptions, SingleOptions.folders, None),
}


def create_loader(
    mode: str, options: Any, loading: LoaderOptions, channels: dict[str, int], seed: int, **settings: Any
) -> Loader:
    """The training loader of `--dataset_mode`.

    channels: of the images of domains "A" and "B". settings: `pin_memory` and `report` of Loader. Raises DataError
    where folders are missing or empty.
    """
    training = DATASETS[mode].training
    if training is None:
        raise DataError(f"--dataset_mode {mode} has no pairs to train on")
    dataset = training(options, channels, seed)
    return Loader(
        dataset, loading, seed=seed, shuffle=not options.serial_batches, one_size=True, place=place(), **settings
    )


def create_test_loaders(
    mode: str, options: Any, loading: LoaderOptions, channels: dict[str, int], limit: int | None, **settings: Any
) -> dict[str, Loader]:
    """A loader for each domain that `--dataset_mode` has; each photo comes once, in order, without random changes.

    limit: at most so many photos of each domain. Raises DataError where folders are missing or empty.
    """
    limits = [bound for bound in (limit, options.max_dataset_size) if bound is not None]
    return {
        domain: Loader(
            SingleDataset(folder, domain, options.transform, channels[domain], min(limits, default=None)),
            loading,
            **settings,
        )
        for domain, folder in DATASETS[mode].folders(options).items()
    }
