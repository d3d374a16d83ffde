"""Two folders of unpaired photos: trainA (young) and trainB (old)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.image_folder import list_images, number_or_all
from data.matching import CHOICES, match
from data.photos import PhotoFolder, PhotoOpener, open_files
from data.samples import Draw, Sample, Skipped
from data.transforms import TransformOptions, UnusablePhotoError
from util.arguments import OptionError, option, section


@dataclass(frozen=True)
class UnalignedOptions:
    """photos"""

    dataroot: Path = option(
        None,
        help="folder that contains trainA (young), trainB (old), testA and testB",
    )
    phase: str = option("train", help="photos to use: the folders PHASE followed by A and by B")
    direction: str = option(
        "AtoB", help="BtoA swaps the two domains", choices=("AtoB", "BtoA"), aliases=["which_direction"]
    )
    max_dataset_size: int | None = option(
        None,
        help="maximum number of photos of each folder, of which the first are used; by default or for inf, all",
        parse=number_or_all,
        least=1,
    )
    serial_batches: bool = option(False, help="use the photos in order instead of shuffling them")
    match: str = option(
        "none",
        help="draw the photos of both domains with the same distribution of gender, race or both, as given by the "
        "manifest.csv in --dataroot, so that the domains differ only in age. A group's share is proportional to the "
        "smaller of its shares in A and B",
        choices=CHOICES,
        train_only=True,
    )
    transform: TransformOptions = section(TransformOptions)

    def __post_init__(self) -> None:
        if "/" in self.phase or "\\" in self.phase or not self.phase.isprintable():
            raise OptionError(f"--phase {self.phase!r}: must be the beginning of a folder name, without slashes")
        if self.match != "none" and self.serial_batches:
            raise OptionError(
                f"--match {self.match} draws photos at random, but --serial_batches uses them in order: "
                "omit one of them"
            )

    def folders(self) -> dict[str, Path]:
        """Return the folders of the model's domains "A" and "B"."""
        first, second = ("A", "B") if self.direction == "AtoB" else ("B", "A")
        return {"A": self.dataroot / f"{self.phase}{first}", "B": self.dataroot / f"{self.phase}{second}"}


class UnalignedDataset:
    """Unpaired samples of a photo from A and a photo from B, as many as the larger folder has photos.

    Photos of A are used equally often (up to one). The photo of B is drawn at random, or in order with
    `serial_batches`. With `match`, both are drawn as described in data.matching. All draws depend only on seed, epoch
    and index, and not on the worker process or on the source of `open_photos`.
    """

    def __init__(
        self,
        options: UnalignedOptions,
        channels: dict[str, int],
        seed: int,
        open_photos: PhotoOpener = open_files,
        announce: Callable[[str], None] = print,
    ) -> None:
        """announce: prints the shares of groups before and after `match`. Raises DataError if folders are missing or
        empty or cannot be matched."""
        self.options, self.seed = options, seed
        self.folders = options.folders()
        self.paths = {domain: list_images(folder, options.max_dataset_size) for domain, folder in self.folders.items()}
        self.matching = None if options.match == "none" else match(options.match, self.folders, self.paths, seed)
        for line in self.matching.describe() if self.matching else ():
            announce(line)
        self.photos = open_photos(
            {
                domain: PhotoFolder(folder, self.paths[domain], channels[domain], options.transform)
                for domain, folder in self.folders.items()
            }
        )

    def __len__(self) -> int:
        return max(len(paths) for paths in self.paths.values())

    def files(self, domain: str) -> list[Path]:
        """Return the photos of "A" or "B" in order."""
        return self.paths[domain]

    def __getitem__(self, draw: Draw) -> Sample:
        rng = np.random.default_rng((self.seed, draw.epoch, draw.position))
        first_A, first_B = self.matching.draw(draw, rng) if self.matching else self._draw(draw, rng)
        sample = Sample()
        self._load("A", first_A, rng, sample)
        self._load("B", first_B, rng, sample)
        return sample

    def _draw(self, draw: Draw, rng: np.random.Generator) -> tuple[int, int]:
        """Return the indices of a photo of A and a photo of B."""
        count_A, count_B = len(self.paths["A"]), len(self.paths["B"])
        first_B = draw.position % count_B if self.options.serial_batches else int(rng.integers(count_B))
        return draw.position % count_A, first_B

    def _load(self, domain: str, first: int, rng: np.random.Generator, sample: Sample) -> None:
        """Put the photo `first` into the sample, or another photo if it cannot be used."""
        paths = self.paths[domain]
        for index in self._candidates(domain, first, rng):
            try:
                sample.images[domain] = self.photos[domain].load(index, rng)
                sample.paths[domain] = paths[index]
                return
            except UnusablePhotoError as error:
                sample.skipped.append(Skipped(paths[index], error.reason))
        last = sample.skipped[-1]
        sample.error = (
            f"none of the {len(paths)} photos in {self.folders[domain]} can be used; {last.path}: {last.reason}"
        )

    def _candidates(self, domain: str, first: int, rng: np.random.Generator) -> Iterator[int]:
        """Yield `first`, then the other photos of the domain in random order; those of its group first with `match`."""
        yield first
        others = rng.permutation(len(self.paths[domain]))
        if self.matching:
            groups = self.matching.groups[domain]
            others = others[np.argsort(groups[others] != groups[first], kind="stable")]
        yield from (other for other in others.tolist() if other != first)
