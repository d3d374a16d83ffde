"""IMDB-WIKI: `imdb.mat` and `wiki.mat`, one MATLAB struct each, with a birth date and the year of the photo.

Source: Rothe, Timofte, Van Gool, "DEX: Deep EXpectation of apparent age from a single image", 2015.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from scripts.preparation.errors import SourceError
from scripts.preparation.matlab import boxes, numbers, read_struct, texts
from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.table import BOX, faces_table, genders
from util.text import printable

MATLAB_TO_PYTHON_DAYS = 366  # MATLAB counts days from year 0, Python's ordinals from year 1
FIRST_DAY_OF_1970 = 719_163  # as a Python ordinal
LAST_DAY = 3_652_059  # of the year 9999
BIRTH_YEARS = (1800, 2015)  # nobody photographed was born before 1800; the collection was made in 2015
PHOTO_YEARS = (1840, 2015)

REQUIRED = {
    "full_path": texts,
    **dict.fromkeys(("dob", "photo_taken", "gender", "face_score", "second_face_score"), numbers),
}
OPTIONAL = {"celeb_id": numbers, "name": texts, "face_location": boxes}
IMDB_NAME = re.compile(r"(nm\d+)_")
WIKI_NAME = re.compile(r"(\d+)_")
DATED_NAME = re.compile(
    r"(?P<person>nm\d+|\d+)_(?:rm\d+_)?(?P<born>\d{4})-\d{1,2}-\d{1,2}_(?P<taken>\d{4})\.jpe?g", re.I
)
"""Matches nm0000001_rm124825600_1899-5-10_1968.jpg and 10000217_1981-05-05_2009.jpg."""


def read_imdb_wiki(database: str) -> Callable[[Collection], pd.DataFrame]:
    """The adapter for a database, "imdb" or "wiki"."""

    def read(collection: Collection) -> pd.DataFrame:
        file_name = f"{database}.mat"
        try:
            return _table(read_struct(collection.read(file_name), database, file_name, REQUIRED, OPTIONAL), database)
        except SourceError as error:
            table = table_of_names(collection.names())
            if table.empty:
                raise
            print(
                printable(
                    f"note: {error}. Ages and people are read from the names of the {len(table)} photos; genders, face "
                    "scores and face boxes are unknown"
                ),
                flush=True,
            )
            return table

    return read


def table_of_names(paths: Iterable[str]) -> pd.DataFrame:
    """A table from file names of the form PERSON_BIRTHDATE_YEAR.jpg; empty if there are none."""
    rows = [(path, match) for path in paths if (match := DATED_NAME.fullmatch(path.rpartition("/")[2]))]
    born, taken = (np.array([float(match[name]) for _, match in rows]) for name in ("born", "taken"))
    possible = _within(born, BIRTH_YEARS) & _within(taken, PHOTO_YEARS)
    return faces_table(
        {
            "path": [path for path, _ in rows],
            "age": np.where(possible, taken - born, np.nan),
            "identity": [match["person"] for _, match in rows],
            "problem": np.where(possible, "", "impossible date"),
        }
    )


def _table(fields: dict[str, np.ndarray], database: str) -> pd.DataFrame:
    paths, taken = fields["full_path"], fields["photo_taken"]
    born = birth_years(fields["dob"])
    possible = _within(born, BIRTH_YEARS) & _within(taken, PHOTO_YEARS)
    # Left, top, right and bottom in pixels; MATLAB starts at 1.
    face = fields.get("face_location", np.full((len(paths), 4), np.nan)) - np.array([1, 1, 0, 0])
    return faces_table(
        {
            "path": paths,
            # Only the year of the photo is known, so the age is accurate to within a year.
            "age": np.where(possible, taken - born, np.nan),
            "gender": genders(fields["gender"], female=0, male=1),
            "identity": identities(paths, fields, database),
            "face_score": fields["face_score"],
            "second_face_score": fields["second_face_score"],
            **{name: face[:, side] for side, name in enumerate(BOX)},
            "problem": np.where(possible, "", "impossible date"),
        }
    )


def birth_years(datenums: np.ndarray) -> np.ndarray:
    """The calendar years of MATLAB serial day numbers (N,); NaN before year 1 and after year 9999."""
    days = datenums - MATLAB_TO_PYTHON_DAYS
    valid = np.isfinite(days) & (days >= 1) & (days <= LAST_DAY)
    years = np.full(len(datenums), np.nan)
    since_1970 = np.floor(days[valid]).astype(np.int64) - FIRST_DAY_OF_1970
    years[valid] = since_1970.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    return years


def _within(values: np.ndarray, bounds: tuple[int, int]) -> np.ndarray:
    return (values >= bounds[0]) & (values <= bounds[1])


def identities(paths: np.ndarray, fields: dict[str, np.ndarray], database: str) -> list[str]:
    """One label per person: IMDb's or Wikipedia's key for the person, with which each file name starts.

    It is better than `celeb_id` and `name`, which are the same for people who share a name. These are used only if a
    file name has no key; `celeb_id` exists only in imdb.mat.
    """
    pattern = IMDB_NAME if database == "imdb" else WIKI_NAME
    numbered = fields.get("celeb_id", np.full(len(paths), np.nan))
    names = fields.get("name", np.full(len(paths), ""))
    labels = []
    for path, number, name in zip(paths, numbered, names, strict=True):
        key = pattern.match(path.rpartition("/")[2])
        labels.append(key[1] if key else f"celebrity {int(number)}" if np.isfinite(number) else name.strip())
    return labels
