"""The table that all sources produce, with a row per photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

GENDERS = ("female", "male")
PARTITIONS = ("train", "val", "test")
BOX = ("face_left", "face_top", "face_right", "face_bottom")
POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
LANDMARKS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")

COLUMNS: dict[str, Any] = {
    "path": str,  # relative to the collection's photo folder, with forward slashes
    "age": np.float32,  # years; NaN if unknown
    "young": "boolean",  # for collections that have a flag instead of ages
    "gender": pd.CategoricalDtype(GENDERS),
    "race": str,  # in the collection's own words; "" if unknown
    "identity": str,  # the same for all photos of a person; "" if unknown
    "face_score": np.float32,  # -inf if the detector found no face; NaN if there is no score
    "second_face_score": np.float32,  # NaN if there is no second face in the photo
    **dict.fromkeys(BOX, np.float32),  # pixels in the photo's own coordinates; NaN if unknown
    **dict.fromkeys(LANDMARKS, np.float32),  # like the box; left and right as seen in the photo
    "glasses": "boolean",
    "blurry": "boolean",
    "partition": pd.CategoricalDtype(PARTITIONS),  # the collection's own split, if it has one
    "problem": "category",  # why the metadata of this row cannot be used, or ""
}
"""Column names and types; all columns except `path` may be unknown."""

UNKNOWN: dict[Any, Any] = {str: "", "boolean": pd.NA, "category": ""}
"""The value for "unknown" by type; NaN for all other types."""


def faces_table(columns: Mapping[str, Sequence[Any] | np.ndarray | pd.Series]) -> pd.DataFrame:
    """A table with all COLUMNS in their types; missing columns are filled with "unknown"."""
    length = len(columns["path"])
    return pd.DataFrame({name: _typed(columns.get(name), dtype, length) for name, dtype in COLUMNS.items()})


def _typed(values: Any, dtype: Any, length: int) -> pd.Series:
    if values is None:
        unknown = UNKNOWN.get(dtype, np.nan) if isinstance(dtype, (str, type)) else np.nan
        values = pd.Series([unknown]).repeat(length)
    if dtype is str:  # plain Python strings; equal ones are shared
        return pd.Series([_encodable(str(value)) for value in values], dtype=object)
    return pd.Series(values).reset_index(drop=True).astype(dtype)


def _encodable(text: str) -> str:
    """The text, with question marks instead of surrogates that no file name can contain."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def genders(codes: np.ndarray | Sequence[Any], female: float, male: float) -> pd.Series:
    """Convert numeric codes to "female" and "male"; all other codes, including NaN, are unknown."""
    numbers = pd.to_numeric(pd.Series(codes), errors="coerce")
    return numbers.map({female: "female", male: "male"}).astype(object)
