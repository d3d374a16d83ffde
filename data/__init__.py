"""Datasets by name. To add one: a file with the class and its options, and a line in DATASETS."""

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
    """What `--dataset_mode` chooses."""

    options_class: type
    folders: Callable[[Any], dict[str, Path]]
    """from the options to the folders to translate, by domain"""
    training: Callable[[Any, dict[str, int], int, PhotoOpener, Callable[[str], None]], ImageDataset] | None
    """from options, channels by domain, seed, what opens photos and what is told of them to the samples to train on;
    None where the mode is for translating only"""


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
    *,
    device: torch.device = CPU,
    pin_memory: bool = False,
    report: Callable[[str], None] = print,
    announce: Callable[[str], None] = print,
) -> Loader:
    """The training loader of `--dataset_mode`.

    channels: of the images of domains "A" and "B". device: what the batches are for; those of cached photos come on
    it. pin_memory, report: see Loader. announce: is told what becomes of the cache and of
    `--match`. Raises DataError where folders are
    missing or empty, OptionError where photos do not fit into the memory that `--cache` names.
    """
    training = DATASETS[mode].training
    if training is None:
        raise DataError(f"--dataset_mode {mode} has no pairs to train on")
    cache = PhotoCache(
        loading.cache,
        device,
        max(1, min(loading.num_threads, usable_cores())),
        announce,
        processes=place().local_processes,
    )
    dataset = training(options, channels, seed, cache.open, announce)
    if cache.kind == "device":
        # Nothing is left for other processes to do, and what lies on a GPU already cannot be pinned.
        loading, pin_memory = replace(loading, num_threads=0), False
    return Loader(
        dataset,
        loading,
        seed=seed,
        shuffle=not options.serial_batches,
        one_size=True,
        pin_memory=pin_memory,
        report=report,
        device=device,
        place=place(),
    )


def create_test_loaders(
    mode: str, options: Any, loading: LoaderOptions, channels: dict[str, int], limit: int | None, **settings: Any
) -> dict[str, Loader]:
    """A loader for each domain that `--dataset_mode` has; each photo comes once, in order, without random changes.

    limit: at most so many photos of each domain. Raises DataError where folders are missing or empty.
    """
    if mode == "unaligned":
        _require_both_domains(options)
    limits = [bound for bound in (limit, options.max_dataset_size) if bound is not None]
    return {
        domain: Loader(
            SingleDataset(folder, domain, options.transform, channels[domain], min(limits, default=None)),
            loading,
            **settings,
        )
        for domain, folder in DATASETS[mode].folders(options).items()
    }


def _require_both_domains(options: UnalignedOptions) -> None:
    """Raise DataError, with what to do instead, where there are photos of one domain alone."""
    one_way = "--model test --model_suffix _A (G_A, young to old) or _B, with --dataroot"
    if options.dataroot.is_file():
        raise DataError(f"--dataroot {options.dataroot} is one photo: translate it by {one_way} {options.dataroot}")
    missing = [folder for folder in options.folders().values() if not folder.is_dir()]
    there = [folder for folder in options.folders().values() if folder.is_dir()]
    if missing and (there or options.dataroot.is_dir()):
        photos = there[0] if there else options.dataroot
        raise DataError(f"{missing[0]} is not a folder: to translate photos of one kind alone, give {one_way} {photos}")
