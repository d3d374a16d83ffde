"""The people on the test photos: ages, genders and identities from the manifest.csv of a prepared data set."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.manifest import manifest_rows
from util.errors import UserError

EVERYBODY, GENDERS, RACE = "all", ("women", "men"), "race: "
"""Names of the groups in the tables: all photos, the genders, and the prefix of the races."""
COLUMNS = ("path", "folder", "file", "age", "gender", "identity")


@dataclass(frozen=True)
class Person:
    """The person on a photo.

    key: the same for all photos of the person. hash: hash of the key, as stored in age estimators; "" if unknown.
    age: in years; NaN if unknown. gender: female, male, or "" if unknown. race: in the collection's own words, or "" if
    unknown.
    """

    key: str
    hash: str = ""
    age: float = math.nan
    gender: str = ""
    race: str = ""


def person_key(row: dict[str, str]) -> str:
    """The key of the person in a manifest's row; if the identity is unknown, each photo is a different person."""
    return row["identity"] or f"path:{row['path']}"


def person_hash(identity: str) -> str:
    """16 hexadecimal digits that identify a person without the name."""
    return hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


class People:
    """Looks up persons by domain and photo. A photo that is not in the manifest counts as a different person."""

    def __init__(self, path: Path | None, phase: str = "test") -> None:
        """phase: the folders are PHASE + A and B. Raises UserError if the file is not a manifest."""
        self.path = path
        self.missing = 0
        """number of photos that were looked up, but are not in the manifest"""
        self._persons: dict[tuple[str, str], Person] = {}
        if path:
            for row in manifest_rows(path, COLUMNS, optional=("race",)):
                folder, file = row["folder"], row["file"]
                if file and folder in (f"{phase}A", f"{phase}B"):
                    # Results are named after the stem, which is unique in a prepared folder.
                    self._persons[folder[-1], Path(file).stem] = _person(row)
            if not self._persons:
                raise UserError(
                    f"{path} lists no photo in {phase}A or {phase}B: is it the manifest of another data set?"
                )

    def find(self, domain: str, file: str) -> Person:
        """The person on a photo, by its file name in the folder of the domain, or by the stem of its results."""
        candidates = (self._persons.get((domain, name)) for name in (file, os.path.splitext(file)[0]))
        person = next((found for found in candidates if found), None)
        if person is None:
            self.missing += self.path is not None
            return Person(f"photo:{domain}:{file}")
        return person


def _person(row: dict[str, str]) -> Person:
    key = person_key(row)
    try:
        age = float(row["age"])
    except ValueError:
        age = math.nan
    gender = row["gender"] if row["gender"] in ("female", "male") else ""
    return Person(key, person_hash(key), age if 0 <= age <= 130 else math.nan, gender, row["race"])


def share_trained_on(persons: Iterable[Person], trained: Iterable[str]) -> tuple[int, int]:
    """Number of persons that an estimator was trained on, by the hashes in its file, and number of known persons."""
    known = {person.hash for person in persons if person.hash}
    return len(known & set(trained)), len(known)
