"""The results of a preparation: manifest.csv, dataset.json, and the summary on the console."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scripts.preparation.settings import Settings
from scripts.preparation.sources.table import BOX, COLUMNS, LANDMARKS
from scripts.preparation.workspace import FOLDERS, Outcomes, one_line, shown_landmarks
from util.errors import UserError

KEPT = "kept"
COPIED_COLUMNS = [name for name in COLUMNS if name not in ("path", "problem", *BOX, *LANDMARKS)]


@dataclass(frozen=True)
class Result:
    """A finished selection. All arrays have one entry per row of the collection."""

    title: str
    settings: dict[str, Any]
    table: pd.DataFrame
    reasons: np.ndarray
    """"" for photos that are kept"""
    folders: np.ndarray
    names: np.ndarray
    """file name of each kept photo; "" for all others"""
    order: np.ndarray
    person: np.ndarray
    genders: np.ndarray
    framings: np.ndarray
    """framing of each photo; see `framings` in pipeline.py"""
    outcomes: Outcomes
    refused: dict[str, int]
    """number of members of archives that were skipped, by reason"""

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of rows by reason: kept rows first, then the most frequent reasons."""
        counts = Counter(self.reasons.tolist())
        kept = counts.pop("", 0)
        return {KEPT: kept, **dict(counts.most_common())}

    @cached_property
    def folder_counts(self) -> dict[str, dict[str, int]]:
        """Numbers of photos, people, women and men in each of the four folders."""
        return {name: self._count(self.folders == name) for name in FOLDERS}

    def _count(self, rows: np.ndarray) -> dict[str, int]:
        genders = self.genders[rows]
        return {
            "photos": int(rows.sum()),
            "people": len(np.unique(self.person[rows])),
            "women": int((genders == "female").sum()),
            "men": int((genders == "male").sum()),
        }

    def record(self) -> dict[str, Any]:
        """The contents of dataset.json."""
        return {
            "settings": self.settings,
            "rows": len(self.table),
            "reasons": self.counts,
            "folders": self.folder_counts,
            "refused": self.refused,
        }


def write_manifest(path: Path, result: Result) -> None:
    """Write manifest.csv: each row of the collection, with the file made from it or the reason why it is left out."""
    details = np.full(len(result.table), "", dtype=object)
    for row, detail in result.outcomes.details.items():
        details[row] = detail
    columns = {
        "path": result.table["path"].map(one_line_path),
        "folder": result.folders,
        "file": result.names,
        "reason": np.where(result.reasons == "", KEPT, result.reasons),
        **{name: result.table[name] for name in COPIED_COLUMNS},
        "width": np.where(result.outcomes.width > 0, result.outcomes.width.astype(object), ""),
        "height": np.where(result.outcomes.height > 0, result.outcomes.height.astype(object), ""),
        "framing": np.where(result.reasons == "", result.framings, ""),
        "landmarks": [shown_landmarks(result.outcomes.landmarks.get(row, ())) for row in range(len(details))],
        "detail": details,
    }
    pd.DataFrame(columns).to_csv(path, index=False, float_format="%g", errors="backslashreplace", lineterminator="\n")


def one_line_path(path: str) -> str:
    """A path without line breaks, for a table."""
    return path if path.isprintable() else one_line(path)


def summary(result: Result) -> str:
    """The summary for the console."""
    lines = ["", f"{'rows of ' + result.title:<38}{len(result.table):>9,}"]
    lines += [f"  {reason:<36}{count:>9,}" for reason, count in result.counts.items()]
    lines += [f"  ({reason}: {count:,})" for reason, count in result.refused.items()]
    lines += ["", f"{'':<10}{'photos':>9}{'people':>9}{'women':>9}{'men':>9}"]
    lines += [
        f"{name:<10}" + "".join(f"{count:>9,}" for count in counts.values())
        for name, counts in result.folder_counts.items()
    ]
    return "\n".join([*lines, ""])


def check_not_empty(result: Result, settings: Settings) -> None:
    """Raise UserError if a training folder is empty; print a note if a test folder is empty."""
    empty = [name for name, counts in result.folder_counts.items() if counts["photos"] == 0]
    training = [name for name in empty if name.startswith("train")]
    if training:
        first = next((reason for reason in result.counts if reason != KEPT), "the collection is empty")
        raise UserError(
            f"no photos are left for {', '.join(training)}; the most frequent reason is: {first}. "
            f"{settings.run.output / 'report.html'} lists all reasons; change the options and add --overwrite"
        )
    if empty and settings.split.test_fraction > 0:
        print(f"note: no photos are left for {', '.join(empty)}; increase --test_fraction to get some")
