"""CelebA: text files of attributes, of the official partition and, if present, of identities.

Source: Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", 2015.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from scripts.preparation.errors import SourceError
from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.csv_files import separator_of
from scripts.preparation.sources.table import LANDMARKS, PARTITIONS, faces_table

ATTRIBUTES = "list_attr_celeba"
LANDMARK_FILES = ("list_landmarks_align_celeba", "list_landmarks_celeba")
"""Landmark files for the aligned and for the in-the-wild photos; the first one that exists is used."""
PARTITION = "list_eval_partition"
IDENTITY = "identity_CelebA"
REQUIRED = ("Young", "Male", "Eyeglasses", "Blurry")


def read_celeba(collection: Collection) -> pd.DataFrame:
    """The rows of list_attr_celeba; the other files are used if they are present.

    Each file may be the published one (.txt, separated by spaces) or a common copy of it with commas (.csv).
    """
    attributes = _read_values(*collection.read_any(f"{ATTRIBUTES}.txt", f"{ATTRIBUTES}.csv"))
    missing = [name for name in REQUIRED if name not in attributes]
    if missing:
        raise SourceError(f"{ATTRIBUTES} lacks the attributes {', '.join(missing)}")
    partition = _read_pairs(collection, PARTITION).reindex(attributes.index)
    identity = _read_pairs(collection, IDENTITY).reindex(attributes.index)
    landmarks = _read_landmarks(collection).reindex(attributes.index)
    return faces_table(
        {
            "path": attributes.index.to_numpy(),
            "young": _flag(attributes["Young"]),
            "gender": _flag(attributes["Male"]).map({True: "male", False: "female"}),
            **{name: landmarks[name] for name in LANDMARKS},
            "glasses": _flag(attributes["Eyeglasses"]),
            "blurry": _flag(attributes["Blurry"]),
            "partition": partition.map(dict(enumerate(PARTITIONS))),
            "identity": [f"{int(number)}" if np.isfinite(number) else "" for number in identity],
        }
    )


def _flag(column: pd.Series) -> pd.Series:
    """Convert a column to booleans. Published values are 1 and -1, those of common copies 1 and 0."""
    return pd.to_numeric(column, errors="coerce").map({1: True, -1: False, 0: False}).astype("boolean")


def _read_landmarks(collection: Collection) -> pd.DataFrame:
    """LANDMARKS by photo; empty if there is no file. The collection uses pixel indices, this project pixel centres."""
    names = [f"{stem}.{ending}" for stem in LANDMARK_FILES for ending in ("txt", "csv")]
    if not collection.has(*names):
        return pd.DataFrame(columns=LANDMARKS)
    name, content = collection.read_any(*names)
    values = _read_values(name, content).apply(pd.to_numeric, errors="coerce")
    if values.shape[1] != len(LANDMARKS):
        raise SourceError(f"{name} is not in CelebA's format ({values.shape[1]} columns of points); download it again")
    values.columns = pd.Index(LANDMARKS)
    return values[~values.index.duplicated()] + 0.5


def _read_values(name: str, content: bytes) -> pd.DataFrame:
    """Attributes (-1, 1) or coordinates by photo. The text file starts with a line with the number of photos and a line
    with the column names."""
    text = content.decode("utf-8-sig", "replace")
    try:
        if name.endswith(".csv"):
            rows = pd.read_csv(io.StringIO(text), index_col=0, sep=separator_of(text))
        else:
            _, names, lines = text.split("\n", 2)
            columns = ["path", *names.split()]
            rows = pd.read_csv(io.StringIO(lines), sep=r"\s+", header=None, names=columns, index_col="path")
    except (ValueError, LookupError) as error:  # pandas raises various errors for rows of other lengths
        first = text.partition("\n")[0][:60]
        expected = "the column names" if name.endswith(".csv") else "the number of photos"
        raise SourceError(
            f"{name} is not in CelebA's format ({error}): its first line is {first!r}, but should be {expected}; "
            "download it again"
        ) from error
    if rows.columns.has_duplicates or rows.index.nlevels > 1:
        raise SourceError(f"{name} is not in CelebA's format (the columns do not match their names); download it again")
    rows.index = rows.index.astype(str)
    return rows[rows.notna().all(axis=1)]  # an interrupted download ends with an incomplete line


def _read_pairs(collection: Collection, stem: str) -> pd.Series:
    """A number by photo, from lines `000001.jpg NUMBER`; empty if there is no such file."""
    names = (f"{stem}.txt", f"{stem}.csv")
    if not collection.has(*names):
        return pd.Series(dtype=float)
    name, content = collection.read_any(*names)
    text = content.decode("utf-8-sig", "replace").replace(",", " ").replace(";", " ")
    try:
        pairs = pd.read_csv(io.StringIO(text), sep=r"\s+", header=None, usecols=[0, 1], dtype=str)
    except (ValueError, LookupError) as error:
        raise SourceError(f"{name} is not in CelebA's format ({error}); download it again") from error
    numbers = pd.Series(pd.to_numeric(pairs[1], errors="coerce").to_numpy(), index=pairs[0])
    return numbers[~numbers.index.duplicated() & numbers.notna().to_numpy()]
