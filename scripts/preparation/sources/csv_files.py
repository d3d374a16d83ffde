"""Reads the CSV files of a collection as text."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd

from scripts.preparation.errors import SourceError
from scripts.preparation.sources.collection import Collection


def separator_of(text: str) -> str:
    """The separator of a CSV file: the most frequent of comma, semicolon and tab in its first line."""
    first = text.lstrip("\ufeff").partition("\n")[0]
    return max(",;\t", key=first.count)


def read_csv(collection: Collection, name: str, required: Sequence[str]) -> pd.DataFrame:
    """Read the file of this name with all columns as stripped text, NaN if empty. Incomplete rows, such as the last one
    of an interrupted download, are left out. Raises SourceError if one of the `required` columns is missing."""
    try:
        # index_col=False truncates rows that are too long, instead of using their first value as an index.
        rows = pd.read_csv(
            io.BytesIO(collection.read(name)), dtype=str, encoding="utf-8-sig", skipinitialspace=True, index_col=False
        )
    except ValueError as error:
        raise SourceError(f"{name} cannot be read as CSV in UTF-8 ({str(error).strip()}); download it again") from error
    rows.columns = pd.Index([str(column).strip() for column in rows.columns])
    missing = [column for column in required if column not in rows]
    if missing or rows.columns.has_duplicates:
        found = ", ".join(rows.columns)
        raise SourceError(
            f"{name} must have the columns {', '.join(required)} once each, but has {found}; download it again"
        )
    for column in rows:
        rows[column] = rows[column].str.strip()
    return rows[rows[list(required)].notna().all(axis=1)].reset_index(drop=True)
