"""Sources of a dataset's photos: the interface, and files that are decoded at each use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from data.transforms import TransformOptions, load_photo


@dataclass(frozen=True)
class PhotoFolder:
    """The photo files of one domain, and how to transform them. channels: 3 (RGB) or 1 (grey)."""

    path: Path
    files: list[Path]
    channels: int
    transform: TransformOptions


class Photos(Protocol):
    """The photos of one domain, by their index in its list of files."""

    def load(self, index: int, rng: np.random.Generator | None) -> Tensor:
        """Return a photo, cropped and flipped: (C, H, W), float in [-1, 1] or uint8, which the loader converts.

        rng: used as in `transforms.transform`, for every source. Raises UnusablePhotoError.
        """
        ...


PhotoOpener = Callable[[Mapping[str, PhotoFolder]], Mapping[str, Photos]]
"""Function from the folders of all domains to their photos."""


class PhotoFiles:
    """Photos that are read from their files each time."""

    def __init__(self, folder: PhotoFolder) -> None:
        self.folder = folder

    def load(self, index: int, rng: np.random.Generator | None) -> Tensor:
        """Return a photo as float (C, H, W) in [-1, 1]; see Photos."""
        return load_photo(self.folder.files[index], self.folder.transform, self.folder.channels, rng)


def open_files(folders: Mapping[str, PhotoFolder]) -> dict[str, Photos]:
    """Open photos that are read from their files each time."""
    return {domain: PhotoFiles(folder) for domain, folder in folders.items()}
