"""Registry of the datasets. To add one, write the class and its options in a new file and add a line to DATASETS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from data.cache import PhotoCache
from data.image_folder import DataError
from data.loader import CPU, Loader, LoaderOptions
from data.photos import PhotoOpener
from data.samples import Batch, ImageDataset
from data.single_dataset import SingleDataset, SingleOptions
from data.unaligned_dataset import UnalignedDataset, UnalignedOptions
from util.distributed import place
from util.workers import usable_cores

__all__ = ["DATASETS", "Batch", "DataError", "Loader", "LoaderOptions", "create_loader", "create_test_loaders"]


class DatasetMode(NamedTuple):
    """An entry of DATASETS, selected by `--dataset_mode`."""

    options_class: type
    folders: Callable[[Any], dict[str, Path]]
    """returns the folders to translate by domain, given the options"""
    training: Callable[[Any, dict[str, int], int, PhotoOpener, Callable[[str], None]], ImageDataset] | None
    """creates the training dataset from the options, channels by domain, seed, photo opener and a function that prints
    messages; None for a mode that is only for translation"""


DATASETS: dict[str, DatasetMode] = {
    "unaligned": DatasetMode(UnalignedOptions, UnalignedOptions.folders, UnalignedDataset),
    "single": DatasetMode(SingleOptions, SingleOptions.folders, None),
}


def create_loader(
    mode: str,
    options: Any,
    loading: LoaderOptions,
    channels: dict[str, int],
    seed: int,
    device: torch.device = CPU,
    report: Callable[[str], None] = print,
    announce: Callable[[str], None] = print,
) -> Loader:
    """Create the training loader for `--dataset_mode`.

    channels: number of image channels of the domains "A" and "B". device: the device of the training; batches of photos
    that are cached there are returned on it. report: see Loader. announce: prints messages about the cache
    and `--match`. Raises DataError if folders are missing or empty, and OptionError if the photos do not fit into the
    memory that `--cache` selects.
    """
    training = DATASETS[mode].training
    if training is None:
        raise DataError(f"--dataset_mode {mode} is only for translation; train with --dataset_mode unaligned")
    cache = PhotoCache(
        loading.cache,
        device,
        max(1, min(loading.num_threads, usable_cores())),
        announce,
        processes=place().local_processes,
    )
    dataset = training(options, channels, seed, cache.open, announce)
    if cache.kind == "device":
        loading = replace(loading, num_threads=0)  # there is no work for other processes
    return Loader(
        dataset,
        loading,
        seed=seed,
        shuffle=not options.serial_batches,
        one_size=True,
        pin_memory=device.type == "cuda" and cache.kind != "device",  # tensors on a GPU cannot be pinned
        report=report,
        device=device,
        place=place(),
    )


def create_test_loaders(
    mode: str,
    options: Any,
    loading: LoaderOptions,
    channels: dict[str, int],
    limit: int | None,
    device: torch.device = CPU,
    report: Callable[[str], None] = print,
) -> dict[str, Loader]:
    """Create a loader for each domain of `--dataset_mode`, which yields each photo once, in order, not augmented.

    limit: maximum number of photos of each domain. device: of the model. report: see Loader. Raises DataError if
    folders are missing or empty.
    """
    if mode == "unaligned":
        _require_both_domains(options)
    limits = [bound for bound in (limit, options.max_dataset_size) if bound is not None]
    return {
        domain: Loader(
            SingleDataset(folder, domain, options.transform, channels[domain], min(limits, default=None)),
            loading,
            pin_memory=device.type == "cuda",
            report=report,
        )
        for domain, folder in DATASETS[mode].folders(options).items()
    }


def _require_both_domains(options: UnalignedOptions) -> None:
    """Raise DataError if there are photos of only one domain, saying how to translate these."""
    one_way = "--model test --model_suffix _A (G_A, young to old) or _B, with --dataroot"
    if options.dataroot.is_file():
        raise DataError(f"--dataroot {options.dataroot} is one photo: translate it with {one_way} {options.dataroot}")
    missing = [folder for folder in options.folders().values() if not folder.is_dir()]
    there = [folder for folder in options.folders().values() if folder.is_dir()]
    if missing and (there or options.dataroot.is_dir()):
        photos = there[0] if there else options.dataroot
        raise DataError(f"{missing[0]} is not a folder: to translate photos of only one domain, use {one_way} {photos}")
