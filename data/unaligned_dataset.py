"""Two folders of photos without correspondence: trainA (young) and trainB (old)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.image_folder import check_limit, list_images
from data.photos import PhotoFolder, PhotoOpener, open_files
from data.samples import Draw, Sample, Skipped
from data.transforms import TransformOptions, UnusablePhotoError
from util.arguments import OptionError, option, section


@dataclass(frozen=True)
class UnalignedOptions:
    """photos"""

    dataroot: Path = option(None, help="folder with trainA (young), trainB (old), testA and testB")
    phase: str = option("train", help="which folders: PHASE followed by A and by B")
    direction: str = option("AtoB", help="BtoA exchanges the two domains", choices=("AtoB", "BtoA"),
                            aliases=["which_direction"])  # fmt: skip
    max_dataset_size: int | None = option(None, help="use only the first photos of each folder", unit="photos")
    serial_batches: bool = option(False, help="take the photos in order, instead of at random")
    transform: TransformOptions = section(TransformOptions)

    def __post_init__(self) -> None:
        if "/" in self.phase or "\\" in self.phase or not self.phase.isprintable():
            raise OptionError(f"--phase {self.phase!r}: must be the beginning of a folder's name")
        check_limit("max_dataset_size", self.max_dataset_size)

    def folders(self) -> dict[str, Path]:
        """Where the photos of the model's domains "A" and "B" lie."""
        first, second = ("A", "B") if self.direction == "AtoB" else ("B", "A")
        return {"A": self.dataroot / f"{self.phase}{first}", "B": self.dataroot / f"{self.phase}{second}"}


class UnalignedDataset:
    """Pairs of a photo from A and an unrelated one from B; as many as the larger folder has photos.

    Each photo of A comes equally often (to within one). The partner from B is drawn at random, or in order where
    `serial_batches`. All draws follow from seed, epoch and index alone, never from the process that makes them, nor
    from where `open_photos` has photos from.
    """

    def __init__(
        self, options: UnalignedOptions, channels: dict[str, int], seed: int, open_photos: PhotoOpener = open_files
    ) -> None:
        self.options, self.seed = options, seed
        self.folders = options.folders()
        self.paths = {domain: list_images(folder, options.max_dataset_size) for domain, folder in self.folders.items()}
        self.photos = open_photos(
            {
                domain: PhotoFolder(folder, self.paths[domain], channels[domain], options.transform)
                for domain, folder in self.folders.items()
            }
        )

    def __len__(self) -> int:
        return max(len(paths) for paths in self.paths.values())

    def files(self, domain: str) -> list[Path]:
        """The photos of "A" or "B", in order."""
        return self.paths[domain]

    def __getitem__(self, draw: Draw) -> Sample:
        rng = np.random.default_rng((self.seed, draw.epoch, draw.position))
        count_A, count_B = len(self.paths["A"]), len(self.paths["B"])
        first_A = draw.position % count_A
        first_B = draw.position % count_B if self.options.serial_batches else int(rng.integers(count_B))
        sample = Sample()
        self._load("A", first_A, rng, sample)
        self._load("B", first_B, rng, sample)
        return sample

    def _load(self, domain: str, first: int, rng: np.random.Generator, sample: Sample) -> None:
        """Put the photo `first` into the sample, or another in its place where it cannot be used."""
        paths = self.paths[domain]
        for index in _candidates(first, len(paths), rng):
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


def _candidates(first: int, count: int, rng: np.random.Generator) -> Iterator[int]:
    """`first`, then all other indices below `count` in a random order."""
    yield first
    yield from (other for other in rng.permutation(count).tolist() if other != first)
