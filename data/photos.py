"""Where a dataset has its photos from: a folder's files, decoded anew at each use."""

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
    """The photos of one domain, and what is to be made of them: images of 3 channels (RGB) or 1 (grey)."""

    path: Path
    files: list[Path]
    channels: int
    transform: TransformOptions


class Photos(Protocol):
    """The photos of one domain, by their place in its list of files."""

    def load(self, index: int, rng: np.random.Generator | None) -> Tensor:
        """One photo, cropped and mirrored: (C, H, W), float in [-1, 1], or uint8 that the loader makes such of.

        rng draws as it does for `transforms.transform`, wherever the photo comes from. Raises UnusablePhotoError.
        """
        ...


PhotoOpener = Callable[[Mapping[str, PhotoFolder]], Mapping[str, Photos]]
"""From the folders of all domains to their photos."""


class PhotoFiles:
    """Photos that are read from their files each time."""

    def __init__(self, folder: PhotoFolder) -> None:
        self.folder = folder

    def load(self, index: int, rng: np.random.Generator | None) -> Tensor:
        """One photo as float (C, H, W) in [-1, 1]; see Photos."""
        return load_photo(self.folder.files[index], self.folder.transform, self.folder.channels, rng)


def open_files(folders: Mapping[str, PhotoFolder]) -> dict[str, Photos]:
    """All photos from their files."""
    return {domain: PhotoFiles(folder) for domain, folder in folders.items()}
