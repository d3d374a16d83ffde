"""Faces with known ages: which of a prepared set are for training, validation and testing, and their pixels."""

from __future__ import annotations

import hashlib
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
from util.errors import UserError
from util.photos import UnreadableImageError, read_image
from util.terminal import CountedWork
from util.text import printable
from util.workers import usable_cores

FOLDERS = ("trainA", "trainB", "testA", "testB")
GENDERS = {"male": 1.0, "female": 0.0}
UNKNOWN = -1.0
"""Stands for a gender that the collection does not tell."""


@dataclass(frozen=True)
class Faces:
    """N faces: files; ages (N,), years; male (N,), 1, 0 or UNKNOWN; old (N,), whether of domain B; people (N,), a hash
    of who it is."""

    files: tuple[Path, ...]
    ages: np.ndarray
    male: np.ndarray
    old: np.ndarray
    people: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, chosen: np.ndarray) -> Faces:
        """Some of them, by a mask or by numbers."""
        numbers = np.arange(len(self))[chosen]
        return Faces(tuple(self.files[number] for number in numbers), self.ages[chosen], self.male[chosen],
                     self.old[chosen], self.people[chosen])  # fmt: skip

    def describe(self) -> str:
        """How many there are."""
        women, men = int((self.male == 0).sum()), int((self.male == 1).sum())
        return (f"{len(self)} faces of {len(np.unique(self.people))} people ({int((~self.old).sum())} young, "
                f"{int(self.old.sum())} old; {women} women, {men} men)")  # fmt: skip


def read_faces(dataroot: Path) -> dict[str, Faces]:
    """The faces of a set that scripts/prepare_dataset.py made, by phase: "train" and "test". Raises UserError."""
    path = dataroot / "manifest.csv"
    if not path.is_file():
        raise UserError(f"{path} does not exist: --dataroot must be a folder that scripts/prepare_dataset.py made")
    rows: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    for row in manifest_rows(path, COLUMNS):
        if row["folder"] in FOLDERS and 0 <= _age(row, path) < YEARS:
            rows[row["folder"][:-1]].append(row)
            if Path(row["file"]).name != row["file"] or row["file"] in ("", ".."):
                raise UserError(f"{path} names a file that is in none of its folders: {printable(row['file'])}")
    return {phase: _faces(dataroot, chosen, path) for phase, chosen in rows.items()}


def _age(row: dict[str, str], path: Path) -> float:
    """In years; NaN where the manifest has none."""
    try:
        return float(row["age"] or "nan")
    except ValueError as error:
        raise UserError(
            f"{path} holds an age that is no number ({error}): mend it, or prepare the set again"
        ) from error


def _faces(dataroot: Path, rows: list[dict[str, str]], path: Path) -> Faces:
    if not rows:
        raise UserError(f"{path} tells no age of a photo in train and test folders: ages are in the collections imdb, "
                        "wiki, cacd, utkface, and in folder with an age column; both phases need some")  # fmt: skip
    return Faces(
        files=tuple(dataroot / row["folder"] / row["file"] for row in rows),
        ages=np.array([_age(row, path) for row in rows], np.float32),
        male=np.array([GENDERS.get(row["gender"], UNKNOWN) for row in rows], np.float32),
        old=np.array([row["folder"].endswith("B") for row in rows]),
        people=np.array([person_hash(person_key(row)) for row in rows]),
    )


def split_people(faces: Faces, fraction: float, seed: int) -> tuple[Faces, Faces]:
    """Faces of most people, and those of about such a fraction of them, who follow from the seed."""
    chosen = {
        person
        for person in np.unique(faces.people)
        if int(hashlib.blake2b(f"{seed}{person}".encode(), digest_size=4).hexdigest(), 16) < fraction * 2**32
    }
    held_out = np.isin(faces.people, sorted(chosen))
    return faces[~held_out], faces[held_out]


def load_pixels(faces: Faces, size: int, title: str) -> tuple[Faces, Tensor]:
    """The faces that can be read, and their pixels: uint8 (N, 3, size, size). Others are named and left out."""
    pixels = torch.empty((len(faces), 3, size, size), dtype=torch.uint8)
    readable = np.ones(len(faces), dtype=bool)

    def load(number: int) -> str:
        try:
            pixels[number] = _pixels(read_image(faces.files[number]), size)
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
