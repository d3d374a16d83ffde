"""One folder of photos, each used once and in order, for translation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.image_folder import list_images, number_or_all
from data.samples import Draw, Sample, Skipped
from data.transforms import TransformOptions, UnusablePhotoError, load_photo
from util.arguments import option, section


@dataclass(frozen=True)
class SingleOptions:
    """photos"""

    dataroot: Path = option(None, help="folder of photos, which may have subfolders, or one photo; required")
    max_dataset_size: int | None = option(
        None,
        help="maximum number of photos, of which the first are used; by default or for inf, all",
        parse=number_or_all,
        least=1,
    )
    transform: TransformOptions = section(TransformOptions)

    def folders(self) -> dict[str, Path]:
        """Return the folder of the photos to translate, which the model takes as its domain "A"."""
        return {"A": self.dataroot}


class SingleDataset:
    """The photos below a folder as one domain. A sample whose file cannot be used has no image."""

    def __init__(self, folder: Path, domain: str, options: TransformOptions, channels: int, limit: int | None) -> None:
        self.domain, self.options, self.channels = domain, options, channels
        self.paths = list_images(folder, limit)

    def __len__(self) -> int:
        return len(self.paths)

    def files(self, domain: str) -> list[Path]:
        """Return the photos of the dataset's domain; none for another domain."""
        return self.paths if domain == self.domain else []

    def __getitem__(self, draw: Draw) -> Sample:
        path = self.paths[draw.position]
        try:
            image = load_photo(path, self.options, self.channels, rng=None)
        except UnusablePhotoError as error:
            return Sample(skipped=[Skipped(path, error.reason)])
        return Sample({self.domain: image}, {self.domain: path})
