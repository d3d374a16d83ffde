"""Who is on the test photos: ages, genders and identities by the manifest.csv of a prepared dataset."""

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
    """What is known of one photo's person. key: the same on all photos of that person; hash: of it, as age estimators
    keep it, "" where it is not known; age in years, NaN where unknown; gender: female, male, or "" for unknown; race:
    in the collection's own words, or "" for unknown."""

    key: str
    hash: str = ""
    age: float = math.nan
    gender: str = ""
    race: str = ""


def person_key(row: dict[str, str]) -> str:
    """Who is on the photo of a manifest's row; where nobody knows, everyone is a person of their own."""
    return row["identity"] or f"path:{row['path']}"


def person_hash(identity: str) -> str:
    """16 hexadecimal digits that tell a person from others without naming them."""
    return hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


class People:
    """Persons by domain and photo. Photos that the manifest does not have are each of a person of their own."""

    def __init__(self, path: Path | None, phase: str = "test") -> None:
        """phase: the folders are PHASE + A and B. Raises UserError for a file that is no manifest."""
        self.path = path
        self.missing = 0
        """photos that were asked for and are not in the manifest"""
        self._persons: dict[tuple[str, str], Person] = {}
        if path:
            for row in manifest_rows(path, COLUMNS, optional=("race",)):
                folder, file = row["folder"], row["file"]
                if file and folder in (f"{phase}A", f"{phase}B"):
                    # By its stem: results are named after that, and it is unique in a prepared folder.
                    self._persons[folder[-1], Path(file).stem] = _person(row)
            if not self._persons:
                raise UserError(f"{path} has no photo in {phase}A or {phase}B: is it another dataset's manifest?")

    def find(self, domain: str, file: str) -> Person:
        """The person on a photo, given its file's name in the folder of the domain, or the stem of its results."""
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
    """How many of the persons an estimator was trained on, by the hashes that it keeps; and how many are known."""
    known = {person.hash for person in persons if person.hash}
    return len(known & set(trained)), len(known)
