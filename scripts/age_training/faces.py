"""Faces with known ages: which of a prepared set are for training, validation and testing, and their pixels."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from models.age_estimator import YEARS
from scripts.evaluation.people import person_hash
from util.errors import UserError
from util.photos import UnreadableImageError, read_image
from util.terminal import CountedWork
from util.text import printable
from util.workers import usable_cores

COLUMNS = ("path", "folder", "file", "age", "gender", "identity")
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
    try:
        table = pd.read_csv(path, dtype={name: str for name in COLUMNS if name != "age"}, keep_default_na=False,
                            na_values={"age": [""]}, encoding_errors="surrogateescape")  # fmt: skip
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): prepare the set again, with --overwrite") from error
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: prepare the set again, with --overwrite")
    try:
        known = pd.to_numeric(table["age"]).between(0, YEARS - 1)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} holds an age that is no number ({error}): mend it, or prepare the set again"
        ) from error
    table = table[table["folder"].str.fullmatch("(train|test)[AB]") & known]
    if outside := [name for name in table["file"] if Path(name).name != name or name in ("", "..")]:
        raise UserError(f"{path} names a file that is in none of its folders: {printable(outside[0])}")
    return {phase: _faces(dataroot, table[table["folder"].str.startswith(phase)], path) for phase in ("train", "test")}


def _faces(dataroot: Path, table: pd.DataFrame, path: Path) -> Faces:
    if table.empty:
        raise UserError(f"{path} tells no age of a photo in train and test folders: ages are in the collections imdb, "
                        "wiki, cacd, utkface, and in folder with an age column; both phases need some")  # fmt: skip
    return Faces(
        files=tuple(dataroot / folder / file for folder, file in zip(table["folder"], table["file"], strict=True)),
        ages=pd.to_numeric(table["age"]).to_numpy(np.float32),
        male=table["gender"].map({"male": 1.0, "female": 0.0}).fillna(UNKNOWN).to_numpy(np.float32),
        old=table["folder"].str.endswith("B").to_numpy(bool),
        people=np.array(
            [person_hash(who or f"path:{path}") for who, path in zip(table["identity"], table["path"], strict=True)]
        ),
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
