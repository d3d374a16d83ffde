"""The one table that every source is turned into: a row per photo, whatever the collection says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from util.errors import UserError

GENDERS = ("female", "male")
PARTITIONS = ("train", "val", "test")
BOX = ("face_left", "face_top", "face_right", "face_bottom")
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
LANDMARKS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")

COLUMNS: dict[str, Any] = {
    "path": str,  # relative to the collection's photo folder, with forward slashes
    "age": np.float32,  # years; NaN where unknown
    "young": "boolean",  # for collections that have a flag instead of ages
    "gender": pd.CategoricalDtype(GENDERS),
    "race": str,  # in the collection's own words; "" where unknown
    "identity": str,  # equal for photos of one person; "" where unknown
    "face_score": np.float32,  # -inf: a detector found no face; NaN: there is no score
    "second_face_score": np.float32,  # NaN: no second face in the photo
    **dict.fromkeys(BOX, np.float32),  # pixels, in the photo's own coordinates; NaN where unknown
    **dict.fromkeys(LANDMARKS, np.float32),  # as the box; left and right are the photo's
    "glasses": "boolean",
    "blurry": "boolean",
    "partition": pd.CategoricalDtype(PARTITIONS),  # the collection's own split, where it has one
    "problem": "category",  # why the metadata of this row cannot be used; "" where they can
}
"""Column names and types; everything but `path` may be unknown."""

UNKNOWN: dict[Any, Any] = {str: "", "boolean": pd.NA, "category": ""}
"""What stands for "unknown", by type; NaN for all others."""


class SourceError(UserError):
    """A collection whose metadata are missing or not in the expected format; the message says what was looked for."""


def faces_table(columns: Mapping[str, Sequence[Any] | np.ndarray | pd.Series]) -> pd.DataFrame:
    """A table with all of COLUMNS in their types; absent columns are filled with "unknown"."""
    length = len(columns["path"])
    return pd.DataFrame({name: _typed(columns.get(name), dtype, length) for name, dtype in COLUMNS.items()})


def _typed(values: Any, dtype: Any, length: int) -> pd.Series:
    if values is None:
        unknown = UNKNOWN.get(dtype, np.nan) if isinstance(dtype, (str, type)) else np.nan
        values = pd.Series([unknown]).repeat(length)
    if dtype is str:  # plain Python strings, shared where equal
        return pd.Series([_encodable(str(value)) for value in values], dtype=object)
    return pd.Series(values).reset_index(drop=True).astype(dtype)


def _encodable(text: str) -> str:
    """The text itself or, where it has halves of letters that no file name can have, with question marks for them."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def genders(codes: np.ndarray | Sequence[Any], female: float, male: float) -> pd.Series:
    """Numeric codes as "female" and "male"; every other code, NaN included, is unknown."""
    numbers = pd.to_numeric(pd.Series(codes), errors="coerce")
    return numbers.map({female: "female", male: "male"}).astype(object)
