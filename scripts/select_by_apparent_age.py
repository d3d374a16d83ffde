"""Select the training photos of a prepared data set on which people look their age.

    python scripts/select_by_apparent_age.py --dataroot datasets/young2old --output datasets/apparent

Many people in their fifties look forty on a photo, women more often than men. A model that learns from those who look
their age changes faces more visibly. Ages and genders are estimated by the estimator that training uses as well
(--features); the test folders stay whole.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from data.image_folder import list_images
from data.manifest import NAME, RECORD, read_record, write_manifest
from models.age_estimator import AgeEstimator, Estimates, load_estimator
from util.arguments import OptionError, Parser, build, option
from util.errors import UserError, told_in_one_line
from util.files import link_or_copy, write_text
from util.images import image_to_tensor
from util.photos import read_image
from util.terminal import CountedWork

PROGRAM = "select_by_apparent_age.py"


@dataclass(frozen=True)
class SelectionOptions:
    """selection"""

    dataroot: Path = option(Path("datasets/young2old"), help="data set made by scripts/prepare_dataset.py")
    output: Path | None = option(None, help="folder of the new data set, whose photos are links to those of --dataroot")
    young: float = option(28.0, help="maximum apparent age in trainA", unit="years")
    old: float = option(53.0, help="minimum apparent age of men in trainB", unit="years")
    old_women: float = option(50.0, help="minimum apparent age of women in trainB", unit="years")
    old_photos: Path | None = option(
        None,
        help="text file with the names of the photos to keep in trainB, one per line, instead of those that --old and "
        "--old_women select, such as scripts/grey_hair.txt",
    )
    estimator: Path = option(
        Path("checkpoints/age_estimator/teacher.safetensors"),
        help="age estimator; not the one that measures the results, which would then depend on the selection",
    )

    def __post_init__(self) -> None:
        if self.output is None:
            raise OptionError("--output is required: name the folder of the new data set")
        if self.output.exists():
            raise OptionError(f"--output {self.output} exists: remove it, or choose another folder")

    def looks_young(self, face: Estimates) -> bool:
        """Whether a face of trainA is kept. face: the estimates for this face alone."""
        return face.ages.item() <= self.young

    def looks_old(self, face: Estimates) -> bool:
        """Whether a face of trainB is kept."""
        return face.ages.item() >= (self.old_women if face.male.item() < 0.5 else self.old)


def main() -> None:
    """Estimate, select and link."""
    parser = Parser(prog=PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.add_section(SelectionOptions)
    options = build(SelectionOptions, parser.parse())
    source, target = options.dataroot, options.output
    estimator = load_estimator(options.estimator, torch.device("cpu"))
    listed = None if options.old_photos is None else read_names(options.old_photos)
    kept = {
        "trainA": select(source / "trainA", estimator, options.looks_young),
        "trainB": (
            select(source / "trainB", estimator, options.looks_old)
            if listed is None
            else [photo for photo in list_images(source / "trainB") if photo.stem in listed]
        ),
        "testA": list_images(source / "testA"),
        "testB": list_images(source / "testB"),
    }
    for folder, photos in kept.items():
        if not photos:
            raise UserError(
                f"no photo of {source / folder} is left: choose other values of --young, --old and --old_women, "
                "or names of its photos for --old_photos"
            )
    unfinished = target.with_name(f".{target.name}.unfinished")  # renamed when whole
    shutil.rmtree(unfinished, ignore_errors=True)
    for folder, photos in kept.items():
        (unfinished / folder).mkdir(parents=True)
        for photo in photos:
            link_or_copy(photo, unfinished / folder / photo.name)
    write_records(source, unfinished, options)
    unfinished.rename(target)
    print(f"{target}: " + ", ".join(f"{len(photos):,} photos in {folder}" for folder, photos in kept.items()))


def read_names(path: Path) -> set[str]:
    """Read names of photos, one per line, without their extensions. Raises UserError if the file cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--old_photos {path}: {error}") from error
    return {Path(line.strip()).stem for line in lines if line.strip() and not line.startswith("#")}


@torch.no_grad()
def select(folder: Path, estimator: AgeEstimator, fits: Callable[[Estimates], bool]) -> list[Path]:
    """Return the photos of a folder whose apparent age fits. Raises DataError, UnreadableImageError."""
    photos, kept = list_images(folder), []
    with CountedWork(folder.name, len(photos), "photos") as progress:
        for photo in photos:
            if fits(estimator(image_to_tensor(read_image(photo))[None])):
                kept.append(photo)
            progress.advance()
    return kept


def write_records(source: Path, target: Path, options: SelectionOptions) -> None:
    """Write the manifest with the remaining photos, and the record of the data set with the selection's options. Raises
    UserError if the data set was not made by scripts/prepare_dataset.py."""
    limits = {"young": options.young, "old": options.old, "old_women": options.old_women}
    settings: dict[str, object] = {f"apparent_{name}": limit for name, limit in limits.items()}
    settings["old_photos"] = None if options.old_photos is None else str(options.old_photos)
    record = read_record(source, **settings)
    try:
        with (source / NAME).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
        remaining = [row for row in rows if row["file"] and (target / row["folder"] / row["file"]).exists()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{source} is no data set that scripts/prepare_dataset.py made ({error})") from error
    write_manifest(target / NAME, columns, remaining)
    write_text(target / RECORD, json.dumps(record, indent=1))


if __name__ == "__main__":
    with told_in_one_line(PROGRAM):
        main()
