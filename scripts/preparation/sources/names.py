"""Reads collections without metadata files, whose file names contain all information, in any folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.table import COLUMNS, UNKNOWN, faces_table

MALFORMED = "malformed name"
AGEDB = re.compile(r"\d+_(?P<person>.+)_(?P<age>\d{1,3})_(?P<gender>[mf])\.jpe?g", re.IGNORECASE)
"""A number, the person's name, the age in years and the gender: 0_MariaCallas_35_f.jpg"""
FGNET = re.compile(r"(?P<person>\d{3})A(?P<age>\d{2})[a-z]?\.jpe?g", re.IGNORECASE)
"""The person's number, the age in years and, if there are several photos, a letter: 010A07b.JPG"""


def table_of_names(
    paths: Iterable[str], pattern: re.Pattern[str], **columns: Callable[[re.Match[str]], Any]
) -> pd.DataFrame:
    """A table with a row per photo. File names that `pattern` does not match completely are marked as malformed.

    columns: functions from the match to the value, by the table's column.
    """
    rows = [(path, pattern.fullmatch(path.rpartition("/")[2])) for path in paths]
    values = {
        name: [value(match) if match else UNKNOWN.get(COLUMNS[name]) for _, match in rows]
        for name, value in columns.items()
    }
    problems = ["" if match else MALFORMED for _, match in rows]
    return faces_table({"path": [path for path, _ in rows], **values, "problem": problems})


def age(match: re.Match[str]) -> float:
    """The group "age" of the name in years."""
    return float(match["age"])


def person(match: re.Match[str]) -> str:
    """The group "person" of the name."""
    return match["person"]


def read_agedb(collection: Collection) -> pd.DataFrame:
    """AgeDB. Source: Moschoglou et al., "AgeDB: the first manually collected, in-the-wild age database", 2017."""

    def gender(match: re.Match[str]) -> str:
        return "female" if match["gender"] in "fF" else "male"

    return table_of_names(collection.names(), AGEDB, age=age, gender=gender, identity=person)


def read_fgnet(collection: Collection) -> pd.DataFrame:
    """FG-NET. Source: Lanitis, Taylor, Cootes, "Toward automatic simulation of aging effects on face images", 2002."""
    return table_of_names(collection.names(), FGNET, age=age, identity=person)
