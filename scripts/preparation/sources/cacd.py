"""CACD2000: `celebrity2000_meta.mat`, and file names AGE_Name_Surname_NNNN.jpg with nearly the same information.

Source: Chen, Chen, Hsu, "Cross-Age Reference Coding for Age-Invariant Face Recognition and Retrieval", 2014.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from scripts.preparation.matlab import numbers, read_struct, texts
from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.names import age, person, table_of_names
from scripts.preparation.sources.table import faces_table

METADATA = "celebrity2000_meta.mat"
STRUCT = "celebrityImageData"
REQUIRED = {"name": texts, "age": numbers, "identity": numbers}
FILE_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<person>.+)_\d+\.jpe?g", re.IGNORECASE)


def read_cacd(collection: Collection) -> pd.DataFrame:
    """The rows of the metadata or, if these are missing, rows by the file names."""
    if not collection.has(METADATA):
        return table_of_names(collection.names(), FILE_NAME, age=age, identity=person)
    fields = read_struct(collection.read(METADATA), STRUCT, METADATA, REQUIRED)
    return faces_table(
        {
            "path": fields["name"],
            "age": fields["age"],
            "identity": [f"{int(number)}" if np.isfinite(number) else "" for number in fields["identity"]],
        }
    )
