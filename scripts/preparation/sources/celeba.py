"""CelebA: text files of attributes, of the official partition and, where present, of identities.

Source: Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", 2015.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.csv_files import separator_of
from scripts.preparation.sources.table import LANDMARKS, PARTITIONS, SourceError, faces_table

ATTRIBUTES = "list_attr_celeba"
LANDMARK_FILES = ("list_landmarks_align_celeba", "list_landmarks_celeba")
"""for the aligned photos, and for those in the wild; the first that is there is read"""
PARTITION = "list_eval_partition"
IDENTITY = "identity_CelebA"
REQUIRED = ("Young", "Male", "Eyeglasses", "Blurry")


def read_celeba(collection: Collection) -> pd.DataFrame:
    """Rows of list_attr_celeba; the other files are used where they are present.

    Each file is read as published (.txt, separated by spaces) or as its common copy with commas (.csv).
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
    """Published values are 1 and -1, those of common copies 1 and 0."""
    return pd.to_numeric(column, errors="coerce").map({1: True, -1: False, 0: False}).astype("boolean")


def _read_landmarks(collection: Collection) -> pd.DataFrame:
    """LANDMARKS by photo; empty where no file has them. The collection counts pixels, here their middles are meant."""
    names = [f"{stem}.{ending}" for stem in LANDMARK_FILES for ending in ("txt", "csv")]
    if not collection.has(*names):
        return pd.DataFrame(columns=LANDMARKS)
    name, content = collection.read_any(*names)
    values = _read_values(name, content).apply(pd.to_numeric, errors="coerce")
    if values.shape[1] != len(LANDMARKS):
        raise SourceError(f"{name} is not in CelebA's format ({values.shape[1]} columns of points); fetch it again")
    values.columns = pd.Index(LANDMARKS)
    return values[~values.index.duplicated()] + 0.5


def _read_values(name: str, content: bytes) -> pd.DataFrame:
    """Attributes (-1, 1) or coordinates by photo. The text file starts with a line that counts photos and one that
    names the columns."""
    text = content.decode("utf-8-sig", "replace")
    try:
        if name.endswith(".csv"):
            rows = pd.read_csv(io.StringIO(text), index_col=0, sep=separator_of(text))
        else:
            _, names, lines = text.split("\n", 2)
            columns = ["path", *names.split()]
            rows = pd.read_csv(io.StringIO(lines), sep=r"\s+", header=None, names=columns, index_col="path")
    except (ValueError, LookupError) as error:  # pandas has more than its own errors for rows of other lengths
        first = text.partition("\n")[0][:60]
        expected = "the columns' names" if name.endswith(".csv") else "the number of photos"
        raise SourceError(
            f"{name} is not in CelebA's format ({error}): its first line is {first!r}, and should be {expected}; fetch "
            "it again"
        ) from error
    if rows.columns.has_duplicates or rows.index.nlevels > 1:
        raise SourceError(f"{name} is not in CelebA's format (its columns do not fit their names); fetch it again")
    rows.index = rows.index.astype(str)
    return rows[rows.notna().all(axis=1)]  # a download that broke off ends in half a line


def _read_pairs(collection: Collection, stem: str) -> pd.Series:
    """A number by photo, from lines `000001.jpg NUMBER`; empty where there is no such file."""
    names = (f"{stem}.txt", f"{stem}.csv")
    if not collection.has(*names):
        return pd.Series(dtype=float)
    name, content = collection.read_any(*names)
    text = content.decode("utf-8-sig", "replace").replace(",", " ").replace(";", " ")
    try:
        pairs = pd.read_csv(io.StringIO(text), sep=r"\s+", header=None, usecols=[0, 1], dtype=str)
    except (ValueError, LookupError) as error:
        raise SourceError(f"{name} is not in CelebA's format ({error}); fetch it again") from error
    numbers = pd.Series(pd.to_numeric(pairs[1], errors="coerce").to_numpy(), index=pairs[0])
    return numbers[~numbers.index.duplicated() & numbers.notna().to_numpy()]
