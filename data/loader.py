"""Batches from a dataset, in an order that follows from the seed alone."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from data.image_folder import DataError
from data.samples import Batch, Draw, ImageDataset, Skipped, collate
from util.arguments import OptionError, option
from util.distributed import ALONE, Place
from util.workers import usable_cores


@dataclass(frozen=True)
class LoaderOptions:
    """loading photos"""

    batch_size: int = option(1, help="photos of each domain in a step; of several processes, in each", unit="photos",
                             aliases=["batchSize"])  # fmt: skip
    num_threads: int = option(4, help="processes that load photos, at most one a core; 0: the training process itself",
                              unit="processes", aliases=["nThreads"])  # fmt: skip
    accumulate: int = option(1, help="compute a step in so many parts of --batch_size photos, one after another",
                             unit="parts", train_only=True)  # fmt: skip

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(f"--batch_size {self.batch_size}: at least 1")
        if self.accumulate < 1:
            raise OptionError(f"--accumulate {self.accumulate}: at least 1")
        if self.num_threads < 0:
            raise OptionError(f"--num_threads {self.num_threads}: at least 0")

    def describe_batch(self, processes: int) -> str:
        """The photos of one step in words: `16 a step (2 x 2 parts x 4 processes)`."""
        factors = [str(self.batch_size)] + [f"{self.accumulate} parts"] * (self.accumulate > 1)
        factors += [f"{processes} processes"] * (processes > 1)
        product = f" ({' x '.join(factors)})" if len(factors) > 1 else ""
        return f"{self.batch_size * self.accumulate * processes} a step{product}"


class EpochSampler(Sampler[list[Draw]]):
    """The batches of one epoch as lists of draws. Set `epoch` and `start` (in samples) before iterating.

    batch_size: of all processes together. Each takes its own part of every batch, and the order is that of a single
    process. All have equally many and equally large batches: the last is filled up from the epoch's beginning. A single
    process leaves it smaller.
    """

    def __init__(self, size: int, batch_size: int, seed: int, *, shuffle: bool, place: Place = ALONE) -> None:
        self.size, self.batch_size, self.seed, self.shuffle = size, batch_size, seed, shuffle
        self.place = place
        self.epoch, self.start = 1, 0

    @property
    def samples(self) -> int:
        """In an epoch, those that come twice counted twice."""
        return self.size if self.place.processes == 1 else -(-self.size // self.batch_size) * self.batch_size

    def __len__(self) -> int:
        return -(-max(0, self.size - self.start) // self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        order = list(range(self.size))
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.size).tolist()
        own = self.batch_size // self.place.processes
        for first in range(self.start, self.size, self.batch_size):
            if self.place.processes == 1:
                positions = order[first : first + self.batch_size]
            else:
                own_first = first + self.place.rank * own
                positions = [order[at % self.size] for at in range(own_first, own_first + own)]
            yield [Draw(position, self.epoch) for position in positions]


class Loader:
    """Iterates over a dataset by epochs; the same batches for any number of worker processes.

    report is called once for each file that could not be used, with a line that names it. place: of several processes
    that share each batch.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        options: LoaderOptions,
        *,
        seed: int = 0,
        shuffle: bool = False,
        one_size: bool = False,
        pin_memory: bool = False,
        report: Callable[[str], None] = print,
        place: Place = ALONE,
    ) -> None:
        self.dataset, self.one_size, self.report = dataset, one_size, report
        self.reported: set[Path] = set()
        self.seconds_waited = 0.0
        """time that the caller has spent waiting for batches, in all"""
        batch_size = options.batch_size * options.accumulate * place.processes
        self.sampler = EpochSampler(len(dataset), batch_size, seed, shuffle=shuffle, place=place)
        workers = min(options.num_threads, len(self.sampler), max(1, usable_cores() // place.local_processes))
        self.batches: DataLoader = DataLoader(
            dataset,  # type: ignore[arg-type]  # map-style, indexed by Draw
            batch_sampler=self.sampler,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            worker_init_fn=_leave_signals_to_the_parent,
            # Of its own: otherwise it would draw its workers' seeds from the generator that dropout draws from.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Samples in an epoch, of all processes."""
        return self.sampler.samples

    def epoch(self, number: int = 1, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` (from 1), beginning at its sample `start`; none where all lie behind it.

        Raises DataError where no photo of a folder can be used for training, and where photos of one batch differ in
        size though `one_size` is set.
        """
        self.sampler.epoch, self.sampler.start = number, start
        since = time.perf_counter()
        for batches, skipped, errors in self.batches:
            self._report(skipped)
            if errors:
                raise DataError(errors[0])
            if self.one_size and len(batches) > 1:
                raise DataError(
                    "photos of one batch differ in size after preprocessing: choose --batch_size 1, or a --preprocess "
                    "that ends in crop"
                )
            for batch in batches:
                self.seconds_waited += time.perf_counter() - since
                yield batch
                since = time.perf_counter()

    def _report(self, skipped: list[Skipped]) -> None:
        for path, reason in skipped:
            if path not in self.reported:
                self.reported.add(path)
                self.report(f"skipped {path}: {reason}")


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C and a cluster's SIGTERM reach every process of a group; only the parent may decide when loading ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
