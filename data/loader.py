"""Loads batches from a dataset, in an order that depends only on the seed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from data.cache import CacheOptions
from data.image_folder import DataError
from data.killed_workers import MOST_KILLS, WorkerKilledError, end_workers, without_surprise
from data.samples import Batch, Collated, Draw, ImageDataset, Skipped, collate
from util.arguments import option, section
from util.distributed import ALONE, Place
from util.images import uint8_to_tensor
from util.text import printable
from util.workers import usable_cores

CPU = torch.device("cpu")


@dataclass(frozen=True)
class LoaderOptions:
    """loading photos"""

    batch_size: int = option(
        1,
        help="number of photos of each domain per step (and per process and micro-batch)",
        aliases=["batchSize"],
        least=1,
        most=4096,
    )
    num_threads: int = option(
        4,
        help="number of processes that load photos, at most one per core; 0: photos are loaded in the main process",
        aliases=["nThreads"],
        least=0,
        most=512,
    )
    prefetch_factor: int = option(
        2, help="number of batches that each of these processes loads in advance", least=1, most=64
    )
    accumulate: int = option(
        1,
        help="number of micro-batches of --batch_size photos per step, whose gradients are accumulated",
        train_only=True,
        least=1,
        most=4096,
    )
    cache: CacheOptions = section(CacheOptions, train_only=True)

    def describe_batch(self, processes: int) -> str:
        """Describe the photos of one step: `16 per step (2 x 2 micro-batches x 4 processes)`."""
        factors = [str(self.batch_size)] + [f"{self.accumulate} micro-batches"] * (self.accumulate > 1)
        factors += [f"{processes} processes"] * (processes > 1)
        product = f" ({' x '.join(factors)})" if len(factors) > 1 else ""
        return f"{self.batch_size * self.accumulate * processes} per step{product}"


class EpochSampler(Sampler[list[Draw]]):
    """Yields the batches of one epoch as lists of draws. Set `epoch` and `start` (in samples) before iterating.

    batch_size: total over all processes. Each process takes its part of every batch; the order is that of a single
    process. With several processes, all have the same number and size of batches: the last batch is filled with samples
    from the beginning of the epoch. With a single process, the last batch may be smaller.
    """

    def __init__(self, size: int, batch_size: int, seed: int, *, shuffle: bool, place: Place = ALONE) -> None:
        self.size, self.batch_size, self.seed, self.shuffle = size, batch_size, seed, shuffle
        self.place = place
        self.epoch, self.start = 1, 0

    @property
    def samples(self) -> int:
        """Number of samples in an epoch, including repeated ones."""
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
    """Iterates over a dataset by epochs. The batches do not depend on the number of worker processes.

    report: called once for each file that could not be used, with a message that names it. device: the device of the
    training; uint8 batches are copied there and converted to float. place: the rank of this process among those that
    share each batch.
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
        device: torch.device = CPU,
        place: Place = ALONE,
    ) -> None:
        self.dataset, self.one_size, self.report, self.device = dataset, one_size, report, device
        self.reported: set[Path] = set()
        self.seconds_waited = 0.0
        """total time that the caller has spent waiting for batches"""
        batch_size = options.batch_size * options.accumulate * place.processes
        self.sampler = EpochSampler(len(dataset), batch_size, seed, shuffle=shuffle, place=place)
        self.workers = min(options.num_threads, len(self.sampler), max(1, usable_cores() // place.local_processes))
        self.prefetch_factor, self.pin_memory = options.prefetch_factor, pin_memory
        self.batches = self._start()

    def _start(self) -> DataLoader:
        return DataLoader(
            self.dataset,  # type: ignore[arg-type]  # map-style, indexed by Draw
            batch_sampler=self.sampler,
            collate_fn=collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            prefetch_factor=self.prefetch_factor if self.workers > 0 else None,
            pin_memory=self.pin_memory,
            worker_init_fn=_leave_signals_to_the_parent,
            # A separate generator, as otherwise the workers' seeds would be drawn from the one that dropout uses.
            generator=torch.Generator(),
        )

    def _collated(self) -> Iterator[Collated]:
        """Yield the dataset's batches from the sampler's start. Workers that were killed are replaced, without changing
        the batches. Raises DataError if workers are killed again and again."""
        kills = 0
        while True:
            try:
                for collated in without_surprise(self.batches):
                    yield collated
                    self.sampler.start += self.sampler.batch_size
                    kills = 0
                return
            except WorkerKilledError as error:
                kills += 1
                if kills > MOST_KILLS:
                    raise DataError(
                        f"processes that load photos were killed {kills} times in a row ({error}), perhaps "
                        "because memory ran out: use a smaller --num_threads, or 0"
                    ) from error
                self.report(f"warning: a process that loads photos was killed ({error}); restarting these processes")
                end_workers()
                self.batches = self._start()

    def __len__(self) -> int:
        """Return the number of samples in an epoch over all processes."""
        return self.sampler.samples

    def epoch(self, number: int = 1, start: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of epoch `number` (counted from 1), beginning at its sample `start`.

        Raises DataError if no photo in a folder can be used for training, and if photos in a batch differ in size
        although `one_size` is set.
        """
        self.sampler.epoch, self.sampler.start = number, start
        since = time.perf_counter()
        for batches, skipped, errors in self._collated():
            self._report(skipped)
            if errors:
                raise DataError(errors[0])
            if self.one_size and len(batches) > 1:
                raise DataError(
                    "photos in one batch differ in size after preprocessing: use --batch_size 1, or a --preprocess "
                    "mode that ends in crop"
                )
            for batch in map(self._finish, batches):
                self.seconds_waited += time.perf_counter() - since
                yield batch
                since = time.perf_counter()

    def _finish(self, batch: Batch) -> Batch:
        """Convert uint8 images to float in [-1, 1] on the device. As uint8, a quarter of the bytes is transferred."""
        for name, images in batch.items():
            if isinstance(images, torch.Tensor) and images.dtype == torch.uint8:
                batch[name] = uint8_to_tensor(images.to(self.device, non_blocking=True))
        return batch

    def _report(self, skipped: list[Skipped]) -> None:
        for path, reason in skipped:
            if path not in self.reported:
                self.reported.add(path)
                self.report(printable(f"skipped {path}: {reason}"))


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ignore Ctrl-C and SIGTERM, which all processes of a group receive: only the parent decides when loading ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
