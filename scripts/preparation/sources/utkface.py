"""UTKFace: all metadata are in the file names AGE_GENDER_RACE_DATE.jpg (or .jpg.chip.jpg, aligned and cropped).

Source: Zhang, Song, Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", 2017.
"""

from __future__ import annotations

import re

import pandas as pd

from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.names import age, table_of_names

GENDERS = ("male", "female")
RACES = ("white", "black", "asian", "indian", "other")
FILE_NAME = re.compile(
    r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_\d{17} ?(\.jpg)?(\.chip)?\.jpg", re.IGNORECASE
)
"""Age in years, gender (an index of GENDERS), race (an index of RACES), date and time as yyyymmddHHMMSSFFF. One
published name contains a space."""


def read_utkface(collection: Collection) -> pd.DataFrame:
    """A row per photo. Some published names lack a field or have invalid values, and are marked as malformed."""
    return table_of_names(
        collection.names(),
        FILE_NAME,
        age=age,
        gender=lambda match: GENDERS[int(match["gender"])],
        race=lambda match: RACES[int(match["race"])],
    )
