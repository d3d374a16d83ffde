"""The state of a preparation on disk. It can be interrupted and resumed at any moment, and is published when complete.

All files are created in OUTPUT/.preparing: settings.json describes the data set, journal.csv has the outcome of each
photo, and trainA and so on contain the photos that passed. When all are complete, they are moved to OUTPUT,
dataset.json last.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scripts.preparation.photo import HASH_BYTES, Outcome
from util.errors import UserError
from util.files import locked, write_text

FOLDERS = ("trainA", "trainB", "testA", "testB")
RECORD = "dataset.json"
"""The settings of a data set. It is published last, so a data set that has it is complete."""
PUBLISHED = (*FOLDERS, "manifest.csv", "report.html", RECORD)


def one_line(text: str) -> str:
    """Printable text without line breaks, of at most 300 characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


class Outcomes:
    """The outcomes of the processed photos by row, in a journal that stays readable if the process is killed."""

    def __init__(self, path: Path, rows: int) -> None:
        self.reasons = np.full(rows, "", dtype=object)
        self.details: dict[int, str] = {}
        self.is_done = np.zeros(rows, dtype=bool)
        self.width, self.height = np.zeros(rows, dtype=np.int32), np.zeros(rows, dtype=np.int32)
        self.file_size = np.zeros(rows, dtype=np.int64)
        self.hashes = np.zeros((rows, HASH_BYTES), dtype=np.uint8)
        self.landmarks: dict[int, tuple[float, ...]] = {}
        self._load(path)
        self._file = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")

    @property
    def failed(self) -> np.ndarray:
        """Mask of rows that were processed and rejected."""
        return self.is_done & (self.reasons != "")

    @property
    def passed(self) -> np.ndarray:
        """Mask of rows that were processed and written."""
        return self.is_done & (self.reasons == "")

    def add(self, outcome: Outcome) -> None:
        """Store an outcome, and write it to disk immediately."""
        self._take(outcome)
        self._writer.writerow(
            [*outcome[:5], outcome.hash.hex(), one_line(outcome.detail), shown_landmarks(outcome.landmarks)]
        )
        self._file.flush()

    def forget(self, rows: np.ndarray) -> None:
        """Mark these photos for processing again."""
        self.is_done[rows] = False

    def close(self) -> None:
        """Close the journal."""
        self._file.close()

    def _take(self, outcome: Outcome) -> None:
        row = outcome.number
        self.is_done[row], self.reasons[row] = True, outcome.reason
        self.width[row], self.height[row], self.file_size[row] = outcome.width, outcome.height, outcome.file_size
        if outcome.hash:
            self.hashes[row] = np.frombuffer(outcome.hash, dtype=np.uint8)
        if outcome.detail:
            self.details[row] = outcome.detail
        if outcome.landmarks:
            self.landmarks[row] = outcome.landmarks

    def _load(self, path: Path) -> None:
        """Read the journal up to the first incomplete line, which a kill or a power failure may leave; drop the
        rest."""
        if not path.exists():
            return
        whole = 0
        with path.open("rb+") as file:
            for line in file:
                outcome = parse_line(line)
                if outcome is None or outcome.number >= len(self.is_done):
                    break
                self._take(outcome)
                whole += len(line)
            file.truncate(whole)


def shown_landmarks(landmarks: tuple[float, ...]) -> str:
    """Landmarks as text for a table, to a hundredth of a pixel."""
    return " ".join(f"{number:.2f}" for number in landmarks)


def parse_line(line: bytes) -> Outcome | None:
    """Parse a line of the journal; None if it is incomplete."""
    try:
        number, reason, *sizes, hash_, detail, points = next(csv.reader([line.decode()]))
        width, height, file_size = map(int, sizes)
        landmarks = tuple(map(float, points.split()))
        digits = bytes.fromhex(hash_)
        row = Outcome(int(number), sys.intern(reason), width, height, file_size, digits, detail, landmarks)
    except (ValueError, StopIteration, csv.Error):
        return None
    return row if line.endswith(b"\n") and _fits(row) else None


def _fits(row: Outcome) -> bool:
    """Whether the values of an outcome are in their ranges."""
    return (
        row.number >= 0
        and all(0 <= value < 2**31 for value in (row.width, row.height))
        and 0 <= row.file_size < 2**63
        and len(row.hash) in (0, HASH_BYTES)
        and len(row.landmarks) in (0, 10)
        and all(map(math.isfinite, row.landmarks))
    )


class Workspace:
    """The folder of a preparation in progress; created by `opened`."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / ".preparing"

    def photo_path(self, folder: str, name: str) -> Path:
        """The path of a photo in the workspace."""
        return self.folder / folder / name

    def keep_only(self, folders: np.ndarray, names: np.ndarray) -> None:
        """Remove all other files from the four folders: photos that are not kept, and incomplete files."""
        for folder in FOLDERS:
            kept = set(names[folders == folder])
            for path in list((self.folder / folder).iterdir()):
                if path.name not in kept:
                    path.unlink()

    def finish_publishing(self) -> bool:
        """Move the data set to the output folder if it is complete; returns False if it is not.

        A previous data set of this command is moved aside first. If this is interrupted, the next call completes it.
        """
        if not (self.folder / RECORD).exists():
            return False
        for name in PUBLISHED:
            made, target = self.folder / name, self.output / name
            if made.exists():
                if target.exists():
                    (self.folder / "replaced").mkdir(exist_ok=True)
                    os.replace(target, self.folder / "replaced" / name)
                os.replace(made, target)
        self.clear()
        return True

    def clear(self) -> None:
        """Remove all files that are not published."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()


@contextmanager
def opened(output: Path) -> Iterator[Workspace]:
    """Open the workspace of an output folder for this process alone. Raises UserError if it is in use or not
    writable."""
    workspace = Workspace(output)
    try:
        workspace.folder.mkdir(parents=True, exist_ok=True)
        with locked(workspace.folder / "lock", f"another preparation is writing to {output}; wait for it or stop it"):
            try:
                yield workspace
            finally:
                if all(path.name == "lock" for path in workspace.folder.iterdir()):
                    shutil.rmtree(workspace.folder)
    except OSError as error:
        where = error.filename or output
        raise UserError(
            f"--output {output}: {error.strerror or error} ({where}); finished work is kept: fix the problem and run "
            f"the same command again to resume"
        ) from error


def start(workspace: Workspace, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Prepare the workspace for a data set with these settings, or for resuming it; False if the set exists already.

    Raises UserError if the output contains another data set, or files that this command did not make.
    """
    workspace.finish_publishing()
    record = _read(workspace.output / RECORD)
    if record is None:
        foreign = [name for name in PUBLISHED if (workspace.output / name).exists()]
        if foreign:
            raise UserError(
                f"--output {workspace.output} contains {', '.join(foreign)}, which this command did not make; move "
                "them away, or choose another folder"
            )
    elif not _is_record(record):
        raise UserError(
            f"{workspace.output / RECORD} is damaged (no settings); remove it and prepare the data set again"
        )
    elif not overwrite:
        _refuse_other(record["settings"], settings, f"--output {workspace.output} contains a data set that was made")
        workspace.clear()
        return False
    begun = _read(workspace.folder / "settings.json")
    if begun is not None and begun != settings:
        if not overwrite and isinstance(begun, dict):
            _refuse_other(begun, settings, f"--output {workspace.output} contains a data set that was started")
        workspace.clear()
    for name in FOLDERS:
        (workspace.folder / name).mkdir(exist_ok=True)
    write_text(workspace.folder / "settings.json", json.dumps(settings, indent=1))
    return True


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); remove it and prepare the data set again") from error


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("settings"), dict)


def _refuse_other(before: Mapping[str, Any], now: Mapping[str, Any], what: str) -> None:
    """Raise UserError with both values of each setting that differs."""
    different = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if different:
        shown = "; ".join(f"{name}: {before.get(name)} there, {now.get(name)} now" for name in different)
        raise UserError(
            f"{what} with other settings ({shown}): use --overwrite to replace it, or choose another --output"
        )
