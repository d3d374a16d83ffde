"""Your own photos: two folders of young and old people, or one folder with a CSV file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from scripts.preparation.errors import SourceError
from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.columns import COLUMN_NAMES
from scripts.preparation.sources.csv_files import separator_of
from scripts.preparation.sources.table import faces_table

YOUNG_FOLDERS = ("young", "traina", "testa", "a")
OLD_FOLDERS = ("old", "trainb", "testb", "b")
GENDER_WORDS = {"f": "female", "female": "female", "woman": "female", "m": "male", "male": "male", "man": "male"}
TRUTH_WORDS = {"1": True, "true": True, "yes": True, "0": False, "-1": False, "false": False, "no": False}


def read_folder(collection: Collection, columns: Mapping[str, str] = MappingProxyType({})) -> pd.DataFrame:
    """The rows of the folder's CSV file, with the columns path, age or young (yes, no), and optionally gender, race,
    identity, glasses and blurry.

    columns: the file's names of columns with other names. An age may be a range (`20-29`), whose middle is used.
    Without a CSV file, the photos below folders named young and old (or trainA and trainB, as in a prepared data set)
    are used. Raises SourceError.
    """
    csv_files = collection.files_ending(".csv")
    if len(csv_files) > 1:
        raise SourceError(f"{collection.path} contains several CSV files ({', '.join(csv_files)}): keep only one")
    return _from_csv(collection, csv_files[0], columns) if csv_files else _from_folders(collection)


def _from_csv(collection: Collection, name: str, columns_called: Mapping[str, str]) -> pd.DataFrame:
    try:
        text = collection.read(name).decode("utf-8-sig")
        rows = pd.read_csv(io.StringIO(text), dtype=str, skipinitialspace=True, sep=separator_of(text))
    except ValueError as error:
        raise SourceError(f"{name} cannot be read as CSV in UTF-8: {error}") from error
    rows.columns = pd.Index([str(column).strip().lower() for column in rows.columns])
    absent = [called for called in columns_called.values() if called.lower() not in rows]
    if absent:
        raise SourceError(f"--columns: {name} has no column {', '.join(absent)}; it has {', '.join(rows.columns)}")
    for known, called in columns_called.items():
        rows[known] = rows[called.lower()]
    if rows.columns.has_duplicates:
        raise SourceError(f"{name} has two columns of the same name: {', '.join(rows.columns)}")
    if "path" not in rows or not {"age", "young"} & set(rows.columns):
        raise SourceError(
            f"the first line of {name} must name the columns path and age (or young), but has "
            f"{', '.join(rows.columns)}; known names: {', '.join(COLUMN_NAMES)}. For other names, use --columns "
            "path=file_name,age=real_age"
        )
    columns: dict[str, pd.Series] = {"path": rows["path"].fillna("").str.strip().str.replace("\\", "/")}
    if "age" in rows:
        columns["age"] = ages_of(rows["age"])
    if "gender" in rows:
        columns["gender"] = rows["gender"].str.strip().str.lower().map(GENDER_WORDS)
    for text in {"race", "identity"} & set(rows.columns):
        columns[text] = rows[text].fillna("").str.strip()
    for flag in {"young", "glasses", "blurry"} & set(rows.columns):
        columns[flag] = rows[flag].str.strip().str.lower().map(TRUTH_WORDS).astype("boolean")
    return faces_table(columns)


def ages_of(texts: pd.Series) -> pd.Series:
    """Ages in years; the middle of ranges such as `20-29`; NaN for anything else."""
    ranges = texts.str.extract(r"^\s*(\d{1,3})\s*[-\u2013]\s*(\d{1,3})\s*$").astype(float)
    return pd.to_numeric(texts, errors="coerce").fillna(ranges.mean(axis=1, skipna=False))


def _from_folders(collection: Collection) -> pd.DataFrame:
    rows = [(path, _young(path)) for path in collection.names()]
    rows = [(path, young) for path, young in rows if young is not None]
    if not rows:
        raise SourceError(
            f"{collection.path} contains neither a CSV file nor photos in folders named young and old: name your two "
            "folders with --young_dir and --old_dir, or write a CSV file with the columns path and age"
        )
    return faces_table({"path": [path for path, _ in rows], "young": [young for _, young in rows]})


def _young(path: str) -> bool | None:
    """Whether the photo is in a folder for young people, by the first known folder name; None if there is none."""
    for part in path.lower().split("/")[:-1]:
        if part in YOUNG_FOLDERS or part in OLD_FOLDERS:
            return part in YOUNG_FOLDERS
    return None
