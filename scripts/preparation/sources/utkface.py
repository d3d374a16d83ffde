"""UTKFace: no metadata but the file names, AGE_GENDER_RACE_DATE.jpg (or .jpg.chip.jpg, aligned and cropped).

Source: Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", 2017.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.table import faces_table, genders

RACES = ("white", "black", "asian", "indian", "other")
FILE_NAME = re.compile(
    r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_\d{17} ?(\.jpg)?(\.chip)?\.jpg", re.IGNORECASE
)
"""age in years, gender (0 male, 1 female), race (a place in RACES), date and time as yyyymmddHHMMSSFFF; one published
name has a space"""


def read_utkface(collection: Collection) -> pd.DataFrame:
    """A row per photo. Some published names lack a field or have another value: their problem is "malformed name"."""
    rows = [(path, FILE_NAME.fullmatch(path.rpartition("/")[2])) for path in collection.names()]
    return faces_table(
        {
            "path": [path for path, _ in rows],
            "age": [float(match["age"]) if match else np.nan for _, match in rows],
            "gender": genders([match["gender"] if match else None for _, match in rows], female=1, male=0),
            "race": [RACES[int(match["race"])] if match else "" for _, match in rows],
            "problem": ["" if match else "malformed name" for _, match in rows],
        }
    )
