"""A collection's CSV files as text."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd

from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.table import SourceError


def separator_of(text: str) -> str:
    """What stands between the columns of a CSV file: what its first line has most of, of commas, semicolons and
    tabs."""
    first = text.lstrip("\ufeff").partition("\n")[0]
    return max(",;\t", key=first.count)


def read_csv(collection: Collection, name: str, required: Sequence[str]) -> pd.DataFrame:
    """The file of this name with all its columns as stripped text, NaN where empty; rows cut short at the end, as by a
    download that broke off, are left out. Raises SourceError where one of the `required` columns is missing."""
    try:
        # index_col: longer rows are cut, instead of taking their first value for a name of the row.
        rows = pd.read_csv(
            io.BytesIO(collection.read(name)), dtype=str, encoding="utf-8-sig", skipinitialspace=True, index_col=False
        )
    except ValueError as error:
        raise SourceError(f"{name} cannot be read as CSV in UTF-8 ({str(error).strip()}); fetch it again") from error
    rows.columns = pd.Index([str(column).strip() for column in rows.columns])
    missing = [column for column in required if column not in rows]
    if missing or rows.columns.has_duplicates:
        found = ", ".join(rows.columns)
        raise SourceError(f"{name} needs the columns {', '.join(required)}, each once, and has {found}; fetch it again")
    for column in rows:
        rows[column] = rows[column].str.strip()
    return rows[rows[list(required)].notna().all(axis=1)].reset_index(drop=True)
