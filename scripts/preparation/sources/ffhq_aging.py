"""FFHQ-Aging: ffhq_aging_labels.csv has age groups, genders and more of FFHQ's photos by their numbers.

Source: Or-El, Sengupta, Fried, Shechtman, Kemelmacher-Shlizerman, "Lifespan Age Transformation Synthesis", 2020. The
filters, and the last thousand photos as test set, are those of the authors' code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from scripts.preparation.sources.collection import Collection
from scripts.preparation.sources.csv_files import read_csv
from scripts.preparation.sources.table import faces_table

LABELS = "ffhq_aging_labels.csv"
REQUIRED = ("image_number", "age_group", "gender")
AGES = re.compile(r"(\d{1,3})-(\d{1,3})")
NUMBER = re.compile(r"(\d{5})\.(png|jpe?g|webp)", re.IGNORECASE)
OTHER_FOLDERS = re.compile(r"(^|/)(thumbnails|parsings|in-the-wild)[^/]*/", re.IGNORECASE)
"""Folders of thumbnails, segmentation maps and unaligned photos, which have the same names."""
LEAST_AGE_CONFIDENCE, LEAST_GENDER_CONFIDENCE = 0.6, 0.66
MOST_PITCH, MOST_YAW = 30.0, 40.0
"""degrees"""
MOST_COVERED = (90.0, 50.0)
"""Maximum occlusion in percent, of the more and of the less occluded eye."""
FIRST_TESTED = 69_000


def read_ffhq_aging(collection: Collection) -> pd.DataFrame:
    """The rows of the labels. The middle of an age group counts as the age: 24.5 years for 20-29, 59.5 for 50-69.

    Photos are found by their numbers (00000.png) in any folder, except OTHER_FOLDERS. Raises SourceError.
    """
    rows = read_csv(collection, LABELS, REQUIRED)
    rows = rows[rows["image_number"].str.fullmatch(r"\d{1,5}")].reset_index(drop=True)
    number = rows["image_number"].astype(int)
    groups = rows["age_group"].str.extract(AGES).astype(float)
    found = _photos_by_number(collection.names())
    gender = rows["gender"].str.lower()
    certain = _numbers(rows, "gender_confidence", default=1.0) > LEAST_GENDER_CONFIDENCE
    return faces_table(
        {
            "path": [found.get(value, f"{value:05d}.png") for value in number],
            "age": groups.mean(axis=1, skipna=False),
            "gender": gender.where(gender.isin(["female", "male"]) & certain),
            "glasses": _glasses(rows).map({"none": False, "normal": True, "dark": True}).astype("boolean"),
            "partition": np.where(number < FIRST_TESTED, "train", "test"),
            "problem": _problems(rows),
        }
    )


def _photos_by_number(paths: Iterable[str]) -> dict[int, str]:
    """The first photo with each number."""
    found: dict[int, str] = {}
    for path in paths:
        match = NUMBER.fullmatch(path.rpartition("/")[2])
        if match and not OTHER_FOLDERS.search(path):
            found.setdefault(int(match[1]), path)
    return found


def _problems(rows: pd.DataFrame) -> np.ndarray:
    """The reasons to leave out faces, or "". Measurements of the face are -1 if no face was found."""
    turned = (_numbers(rows, "head_pitch").abs() >= MOST_PITCH) | (_numbers(rows, "head_yaw").abs() >= MOST_YAW)
    eyes = pd.concat([_numbers(rows, "left_eye_occluded"), _numbers(rows, "right_eye_occluded")], axis=1)
    covered = (eyes.max(axis=1) >= MOST_COVERED[0]) | (eyes.min(axis=1) >= MOST_COVERED[1])
    uncertain = _numbers(rows, "age_group_confidence", default=1.0) <= LEAST_AGE_CONFIDENCE
    covered |= _glasses(rows) == "dark"
    reasons = {"age group uncertain": uncertain, "face turned away": turned, "eyes covered": covered}
    return np.select([mask.to_numpy() for mask in reasons.values()], list(reasons), default="")


def _numbers(rows: pd.DataFrame, name: str, default: float = -1.0) -> pd.Series:
    """A column as numbers; `default` for missing values."""
    values = rows[name] if name in rows else pd.Series(np.nan, index=rows.index)
    return pd.to_numeric(values, errors="coerce").fillna(default)


def _glasses(rows: pd.DataFrame) -> pd.Series:
    """none (which CSV readers interpret as empty), normal or dark; -1 if unknown."""
    words = rows["glasses"] if "glasses" in rows else pd.Series("-1", index=rows.index)
    return words.fillna("none").str.lower()
