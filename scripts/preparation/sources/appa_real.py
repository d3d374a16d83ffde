"""APPA-REAL: three CSV files of real ages and, if present, three files of genders and races.

Source: Agustsson, Timofte, Escalera, Baro, Guyon, Rothe, "Apparent and real age estimation in still images with deep
residual regressors on APPA-REAL database", 2017.
"""

from __future__ import annotations

import pandas as pd

from scripts.preparation.errors import SourceError
from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.csv_files import read_csv
from scripts.preparation.sources.table import PARTITIONS, faces_table

FOLDERS = dict(zip(("train", "valid", "test"), PARTITIONS, strict=True))
"""The collection's folders and the partitions in the table."""
FACE = "_face.jpg"
"""X.jpg_face.jpg, beside X.jpg, is the face of the person whose age is known, upright, with a margin of 40 %."""


def read_appa_real(collection: Collection) -> pd.DataFrame:
    """The rows of gt_avg_train.csv, gt_avg_valid.csv and gt_avg_test.csv with the face crops and real ages.

    Genders and races are from allcategories_train.csv and so on, which are published separately. Raises SourceError.
    """
    parts = [_read_part(collection, folder) for folder in FOLDERS if collection.has(f"gt_avg_{folder}.csv")]
    if not parts:
        raise SourceError(f"{collection.path} contains no gt_avg_train.csv, gt_avg_valid.csv or gt_avg_test.csv")
    return faces_table(pd.concat(parts, ignore_index=True).to_dict("series"))


def _read_part(collection: Collection, folder: str) -> pd.DataFrame:
    rows = read_csv(collection, f"gt_avg_{folder}.csv", ("file_name", "real_age"))
    part = pd.DataFrame({"path": folder + "/" + rows["file_name"] + FACE})
    part["age"] = pd.to_numeric(rows["real_age"], errors="coerce")
    part["partition"], part["gender"], part["race"] = FOLDERS[folder], None, ""
    name = f"allcategories_{folder}.csv"
    if collection.has(name):
        people = read_csv(collection, name, ("file", "gender")).drop_duplicates("file").set_index("file")
        known = people.reindex(rows["file_name"]).reset_index()
        part["gender"] = known["gender"].str.lower().where(lambda gender: gender.isin(["female", "male"]))
        if "race" in known:
            part["race"] = known["race"].fillna("").str.lower()
    return part
