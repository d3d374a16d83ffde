"""Reads faces with known ages from prepared data sets, for training, validation and testing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.manifest import manifest_rows
from evaluation.people import COLUMNS, person_hash, person_key
from models.age_estimator import YEARS
from scripts.age_training.framing import CHIP, as_frame, framing_of
from util.errors import UserError
from util.photos import UnreadableImageError, read_image
from util.terminal import CountedWork
from util.text import printable
from util.workers import usable_cores

FOLDERS = ("trainA", "trainB", "testA", "testB")
GENDERS = {"male": 1.0, "female": 0.0}
UNKNOWN = -1.0
"""The value for an unknown gender."""
SPREAD, WIDE_SPREAD = 2.5, 6.0
"""Standard deviation in years of the target distribution around the age. The wide one is for data sets without ages
between their domains, which would otherwise teach that nobody is 40."""
HALVES = ("all", "first", "second")


@dataclass(frozen=True)
class Faces:
    """N faces with their labels.

    files: the photos. All other fields are arrays (N,): ages in years; male, 1, 0 or UNKNOWN; old, whether the face is
    of domain B; people, a hash of the person; framings, see framing.py; spreads, the standard deviation of the target
    distribution in years; sets, the index of the data set.
    """

    files: tuple[Path, ...]
    ages: np.ndarray
    male: np.ndarray
    old: np.ndarray
    people: np.ndarray
    framings: np.ndarray
    spreads: np.ndarray
    sets: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, chosen: np.ndarray) -> Faces:
        """Select faces by a mask or by indices."""
        numbers = np.arange(len(self))[chosen]
        arrays = (getattr(self, name)[chosen] for name in ARRAYS)
        return Faces(tuple(self.files[number] for number in numbers), *arrays)

    def describe(self) -> str:
        """Numbers of faces, people, ages and genders for the console."""
        women, men = int((self.male == 0).sum()), int((self.male == 1).sum())
        return (
            f"{len(self)} faces of {len(np.unique(self.people))} people ({int((~self.old).sum())} young, "
            f"{int(self.old.sum())} old; {women} women, {men} men)"
        )


ARRAYS = ("ages", "male", "old", "people", "framings", "spreads", "sets")


def read_faces(dataroots: Sequence[Path]) -> dict[str, Faces]:
    """Read the faces of data sets from scripts/prepare_dataset.py, by phase: "train" and "test". Raises UserError."""
    parts = [_read_set(dataroot, number) for number, dataroot in enumerate(dataroots)]
    return {phase: _join([part[phase] for part in parts]) for phase in ("train", "test")}


def _join(parts: Sequence[Faces]) -> Faces:
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS)
    return Faces(tuple(file for part in parts for file in part.files), *arrays)


def _read_set(dataroot: Path, number: int) -> dict[str, Faces]:
    path = dataroot / "manifest.csv"
    if not path.is_file():
        raise UserError(f"{path} does not exist: --dataroot must be a data set made by scripts/prepare_dataset.py")
    rows: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    for row in manifest_rows(path, COLUMNS):
        if row["folder"] in FOLDERS and 0 <= _age(row, path) < YEARS:
            rows[row["folder"][:-1]].append(row)
            if Path(row["file"]).name != row["file"] or row["file"] in ("", ".."):
                raise UserError(f"{path} lists a file outside its folders: {printable(row['file'])}")
    return {phase: _faces(dataroot, chosen, path, number) for phase, chosen in rows.items()}


def _age(row: dict[str, str], path: Path) -> float:
    """The age in years; NaN if the manifest has none."""
    try:
        return float(row["age"] or "nan")
    except ValueError as error:
        raise UserError(
            f"{path} contains an age that is not a number ({error}): correct it, or prepare the data set again"
        ) from error


def _faces(dataroot: Path, rows: list[dict[str, str]], path: Path, number: int) -> Faces:
    if not rows:
        raise UserError(
            f"{path} has no ages of photos in the train or the test folders, and both are needed; the collections "
            "imdb, wiki, cacd and utkface have ages, and your own photos with an age column"
        )
    ages = np.array([_age(row, path) for row in rows], np.float32)
    spread = SPREAD if ((ages > 34) & (ages < 46)).any() else WIDE_SPREAD
    return Faces(
        files=tuple(dataroot / row["folder"] / row["file"] for row in rows),
        ages=ages,
        male=np.array([GENDERS.get(row["gender"], UNKNOWN) for row in rows], np.float32),
        old=np.array([row["folder"].endswith("B") for row in rows]),
        people=np.array([person_hash(person_key(row)) for row in rows]),
        framings=np.full(len(rows), framing_of(dataroot)),
        spreads=np.full(len(rows), spread, np.float32),
        sets=np.full(len(rows), number),
    )


def half_of(faces: Faces, half: str) -> Faces:
    """All faces, or those of one half of the people, so that two estimators can be trained on different people."""
    first = np.array([int(person[0], 16) < 8 for person in faces.people])
    return faces if half == "all" else faces[first if half == "first" else ~first]


def split_people(faces: Faces, fraction: float, seed: int) -> tuple[Faces, Faces]:
    """Split faces by people: all but about a fraction of the people, and this fraction, selected by the seed."""
    chosen = {
        person
        for person in np.unique(faces.people)
        if int(hashlib.blake2b(f"{seed}{person}".encode(), digest_size=4).hexdigest(), 16) < fraction * 2**32
    }
    held_out = np.isin(faces.people, sorted(chosen))
    return faces[~held_out], faces[held_out]


def load_pixels(faces: Faces, size: int, title: str) -> tuple[Faces, Tensor]:
    """Load the readable faces and their pixels, uint8 (N, 3, size, size), with chips placed into frames. Unreadable
    photos are reported and left out."""
    pixels = torch.empty((len(faces), 3, size, size), dtype=torch.uint8)
    readable = np.ones(len(faces), dtype=bool)

    def load(number: int) -> str:
        try:
            image = read_image(faces.files[number])
            pixels[number] = _pixels(as_frame(image, size) if faces.framings[number] == CHIP else image, size)
        except UnreadableImageError as error:
            readable[number] = False
            return f"left out: {error}"
        return ""

    with ThreadPoolExecutor(usable_cores()) as pool, CountedWork(title, len(faces), "photos") as work:
        for complaint in pool.map(load, range(len(faces))):
            if complaint:
                work.line.say(complaint)
            work.advance(1)
    if not readable.any():
        raise UserError(f"none of the {title} can be read")
    return faces[readable], pixels[torch.from_numpy(readable)]


def _pixels(image: Image.Image, size: int) -> Tensor:
    small = (
        image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3)
    )
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)
