"""manifest.csv of a set that scripts/prepare_dataset.py made: a row for each photo of the collection."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from util.errors import UserError

NAME = "manifest.csv"
RECORD = "dataset.json"


def manifest_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """These columns of each row, "" where nothing is known. Raises UserError for a file that cannot be read, or lacks
    one of the columns."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [name for name in columns if name not in (reader.fieldnames or ())]
            if lacking:
                raise UserError(
                    f"{path} lacks the columns {', '.join(lacking)}: scripts/prepare_dataset.py of this version writes "
                    "them (--overwrite makes a set anew)"
                )
            for row in reader:
                yield {name: row[name] or "" for name in columns}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except csv.Error as error:
        raise UserError(f"{path} is damaged: {error}") from error


def is_aligned(folder: Path) -> bool:
    """Whether a folder is a set that scripts/prepare_dataset.py made with --align, by its dataset.json."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))["settings"].get("align") is True
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False
