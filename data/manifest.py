"""Reads the manifest.csv that scripts/prepare_dataset.py writes, with a row for each photo of a collection."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from util.errors import UserError

NAME = "manifest.csv"
RECORD = "dataset.json"


def manifest_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Yield the given columns of each row; unknown values, and optional columns that are missing, are "". Raises
    UserError for a file that cannot be read or lacks one of the other columns."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in columns if name not in (reader.fieldnames or ())]
            if lacking:
                raise UserError(
                    f"{path} lacks the columns {', '.join(lacking)}: prepare the photos again with this version's "
                    "scripts/prepare_dataset.py --overwrite, which writes them"
                )
            for row in reader:
                yield {name: row.get(name) or "" for name in (*columns, *optional)}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except csv.Error as error:
        raise UserError(f"{path} is damaged: {error}") from error


def write_manifest(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a manifest with these columns."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_record(folder: Path, **settings: object) -> dict[str, Any]:
    """Return the record of how a data set was prepared, with further settings of one that is made from it. Raises
    UserError if scripts/prepare_dataset.py did not make the data set."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        record["settings"] |= settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is no data set that scripts/prepare_dataset.py made ({error})") from error
    return record


def is_aligned(folder: Path) -> bool:
    """Return whether the dataset.json in a folder says that scripts/prepare_dataset.py was run with --align."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))["settings"].get("align") is True
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False
