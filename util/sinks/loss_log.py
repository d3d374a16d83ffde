"""Writes losses to files: loss_log.txt in the public code base's format, and loss_log.csv for programs."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from util.files import atomic_path, write_text
from util.run.progress import Progress
from util.sinks.base import Moment, Sink


class GrowingFile:
    """A text file that is appended to. Text that cannot be written (disk full) is kept and written with the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._waiting = ""
        self._warned = False

    def append(self, text: str) -> None:
        """Append `text`. If that fails, print a warning once and continue."""
        self._waiting += text
        try:
            with self.path.open("ab", buffering=0) as file:
                end = file.tell()
                content = self._waiting.encode()
                try:
                    if file.write(content) != len(content):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    file.truncate(end)
                    raise
            self._waiting, self._warned = "", False
        except OSError as error:
            if not self._warned:
                print(
                    f"warning: {self.path}: {error.strerror or error}; its lines are kept in memory and written when "
                    "there is space",
                    file=sys.stderr,
                )
            self._warned = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been appended yet."""
        return not self._waiting and (not self.path.exists() or self.path.stat().st_size == 0)


HELD_OUT = "held out) "
POSITION = re.compile(r"\(epoch: (\d+), iters: (\d+), ")
RESTART = re.compile(r"=+ Restart (\d{1,9}) ")


class LossLogSink(Sink):
    """Appends a line for each report to `loss_log.txt`: `(epoch: 1, iters: 100, time: 0.250, data: 0.001) D_A: 0.372
    ...`

    iters is the number of images within the epoch; time and data are seconds per image. If a run is resumed at the
    position `progress`, later reports in the file are deleted first, because they will be repeated. If it was restarted
    at an earlier epoch (`progress.restarts`), all reports are kept, followed by a line with the word "Restart". notes:
    lines to add to the file, such as changed options.
    """

    def __init__(self, folder: Path, progress: Progress, notes: Sequence[str] = ()) -> None:
        self.file = GrowingFile(folder / "loss_log.txt")
        restarts = self._keep_until(progress) if self.file.path.exists() else set()
        header = [f"================ Training Loss ({time.strftime('%c')}) ================"]
        if progress.restarts and progress.restarts not in restarts:
            header.append(f"================ Restart {progress.restarts} at epoch {progress.epoch} ================")
        self.file.append("".join(f"{line}\n" for line in (*header, *notes)))

    def _keep_until(self, progress: Progress) -> set[int]:
        """Delete the reports that will be repeated, and return the numbers of the restarts in the file."""
        lines = self.file.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept, restart, restarts = [], 0, set()
        for line in lines:
            if match := RESTART.match(line):
                restart = int(match[1])
                restarts.add(restart)
            comes_again = restart == progress.restarts and _is_beyond(line, progress)
            if not comes_again and line.endswith("\n"):  # a killed process may have left half a line
                kept.append(line)
        if kept != lines:
            write_text(self.file.path, "".join(kept))
        return restarts

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        position = f"(epoch: {moment.epoch}, iters: {moment.epoch_images}, "
        timing = f"time: {moment.seconds_per_image:.3f}, data: {moment.data_seconds_per_image:.3f}) "
        self.file.append(position + timing + " ".join(f"{name}: {loss:.3f}" for name, loss in losses.items()) + "\n")

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        position = f"(epoch: {moment.epoch}, iters: {moment.epoch_images}, {HELD_OUT}"
        self.file.append(position + " ".join(f"{name}: {value:.3f}" for name, value in values.items()) + "\n")


def last_restart(folder: Path) -> int:
    """Return the number of the last restart recorded in a folder's loss_log.txt; 0 if there is none."""
    path = folder / "loss_log.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return max((int(match[1]) for line in lines if (match := RESTART.match(line))), default=0)


def _is_beyond(line: str, progress: Progress) -> bool:
    """Return whether a line reports a position after `progress`."""
    match = POSITION.match(line)
    if match is None:
        return False
    if HELD_OUT in line:  # measured after the epoch's last step
        return int(match[1]) >= progress.epoch
    return (int(match[1]), int(match[2])) > (progress.epoch, progress.epoch_images)


class LossRecord(NamedTuple):
    """One report: position in epochs, learning rate and losses."""

    epochs: float
    learning_rate: float
    losses: dict[str, float]


POSITION_COLUMNS = ("epoch", "epoch_images", "total_images", "epochs", "restart")
OTHER_COLUMNS = ("learning_rate", "seconds_per_image", "data_seconds_per_image")


def whole_rows(reader: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    """Yield the valid rows of a loss_log.csv. Truncated or damaged rows are skipped."""
    while True:
        try:
            row = next(reader)
            _check_row(row)
        except StopIteration:
            return
        except (csv.Error, KeyError, TypeError, ValueError):
            continue
        yield row


def _check_row(row: Mapping[str, str]) -> None:
    """Raise KeyError, TypeError or ValueError for a row with missing columns or values that are not numbers. A loss
    that was not reported is an empty string."""
    numbers = ("epoch", "total_images", "epochs", "learning_rate")
    int(row["epoch"]), int(row["total_images"]), int(row.get("restart", 0))
    for name, value in row.items():
        if value != "" or name in numbers:
            float(value)


def as_trained(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows that led to the newest networks. If a restart repeated epochs, only its rows are kept."""
    kept: list[dict[str, str]] = []
    for row in rows:
        restart = row.get("restart")
        while kept and kept[-1].get("restart") != restart and float(kept[-1]["epochs"]) >= float(row["epochs"]):
            kept.pop()
        kept.append(row)
    return kept


class CsvSink(Sink):
    """Appends a row for each report to `loss_log.csv`: position, learning rate, speed, and the losses in full
    precision.

    If a run is resumed at the position `progress`, later rows in the file are deleted first, because they will be
    repeated. If it was restarted at an earlier epoch, all rows are kept; the column `restart` distinguishes them.
    """

    file_name = "loss_log.csv"

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.progress = progress
        self.file = GrowingFile(folder / self.file_name)
        self.columns: list[str] = []
        self.history: list[LossRecord] = []
        """the reports that led to the current networks"""
        if self.file.path.exists():
            self._keep_until()

    def _keep_until(self) -> None:
        rows = self._read()
        kept = [row for row in rows if int(row["restart"]) != self.progress.restarts or self._is_behind(row)]
        self._rewrite(kept)
        for row in filter(self._is_behind, as_trained(kept)):
            losses = {name: float(row[name] or "nan") for name in row if name not in POSITION_COLUMNS + OTHER_COLUMNS}
            self.history.append(LossRecord(float(row["epochs"]), float(row["learning_rate"]), losses))

    def _read(self) -> list[dict[str, str]]:
        with self.file.path.open(encoding="utf-8", errors="replace", newline="") as file:
            lines = [line for line in file if line.endswith("\n")]  # a killed process may have left half a line
        reader = csv.DictReader(lines)
        rows = [{"restart": "0", **row} for row in whole_rows(reader)]  # older versions had no such column
        self.columns = list(reader.fieldnames or []) if rows else []
        if rows and "restart" not in self.columns:
            self.columns.insert(self.columns.index("epochs") + 1, "restart")
        return rows

    def _rewrite(self, rows: Sequence[Mapping[str, str]]) -> None:
        with atomic_path(self.file.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            if rows:
                writer.writeheader()
            writer.writerows(rows)

    def _is_behind(self, row: Mapping[str, str]) -> bool:
        """Return whether a row reports a position up to `progress`."""
        return int(row["total_images"]) <= self.progress.total_images

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        self._append(moment, losses)

    def _append(self, moment: Moment, values: Mapping[str, float]) -> None:
        row = {
            "epoch": moment.epoch,
            "epoch_images": moment.epoch_images,
            "total_images": moment.total_images,
            "epochs": f"{moment.epochs_done:.6f}",
            "restart": self.progress.restarts,
            "learning_rate": moment.learning_rate,
            "seconds_per_image": f"{moment.seconds_per_image:.6f}",
            "data_seconds_per_image": f"{moment.data_seconds_per_image:.6f}",
            **values,
        }
        self._make_columns(row)
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns)
        if self.file.is_empty:
            writer.writeheader()
        writer.writerow(row)
        self.file.append(text.getvalue())

    def _make_columns(self, names: Iterable[str]) -> None:
        """Add a column for each new name. Earlier rows, which were written without it, stay empty there."""
        new = [name for name in names if name not in self.columns]
        if new and not self.file.is_empty:
            rows = self._read()
            self.columns += new
            self._rewrite(rows)
        elif new:
            self.columns = list(names)


FORMER_MEASURES = {"sex_A": "gender_A", "sex_B": "gender_B"}
"""Current names of columns in the held_out.csv of older versions."""


class MeasureCsvSink(CsvSink):
    """Appends the scores of the translations of held-out faces after each epoch to `held_out.csv`."""

    file_name = "held_out.csv"

    def _read(self) -> list[dict[str, str]]:
        rows = super()._read()
        self.columns = [FORMER_MEASURES.get(name, name) for name in self.columns]
        return [{FORMER_MEASURES.get(name, name): value for name, value in row.items()} for row in rows]

    def _is_behind(self, row: Mapping[str, str]) -> bool:
        return int(row["epoch"]) < self.progress.epoch

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        """Do nothing: losses are written to another file."""

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        self._append(moment, values)
