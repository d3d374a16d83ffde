"""Losses as files: loss_log.txt as the public code base writes it, loss_log.csv for programs."""

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
    """A text file that only grows, by whole pieces. What a full disk refuses is kept, and written with the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._waiting = ""
        self._warned = False

    def append(self, text: str) -> None:
        """Add `text`; where it cannot be written, say so once and go on."""
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
                    f"warning: {self.path}: {error.strerror or error}; its lines are kept, and written when there is "
                    "room",
                    file=sys.stderr,
                )
            self._warned = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing was appended yet."""
        return not self._waiting and (not self.path.exists() or self.path.stat().st_size == 0)


HELD_OUT = "held out) "
POSITION = re.compile(r"\(epoch: (\d+), iters: (\d+), ")
RESTART = re.compile(r"=+ Restart (\d{1,9}) ")


class LossLogSink(Sink):
    """Appends a line for each report to `loss_log.txt`: `(epoch: 1, iters: 100, time: 0.250, data: 0.001) D_A: 0.372
    ...`

    iters counts images within the epoch, time and data are seconds an image. Where a run goes on exactly from where it
    was saved, the reports beyond `progress` are dropped first, as they come again. Where it began again at an earlier
    epoch (`progress.restarts`), all reports stay, and a line with the word "Restart" divides them from those that
    follow. notes: lines for the file, such as options that were changed.
    """

    def __init__(self, folder: Path, progress: Progress, notes: Sequence[str] = ()) -> None:
        self.file = GrowingFile(folder / "loss_log.txt")
        restarts = self._keep_until(progress) if self.file.path.exists() else set()
        header = [f"================ Training Loss ({time.strftime('%c')}) ================"]
        if progress.restarts and progress.restarts not in restarts:
            header.append(f"================ Restart {progress.restarts} at epoch {progress.epoch} ================")
        self.file.append("".join(f"{line}\n" for line in (*header, *notes)))

    def _keep_until(self, progress: Progress) -> set[int]:
        """Drop what comes again; returns the numbers of the restarts that the file tells of."""
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
    """The number of the last restart that the loss_log.txt in a folder tells of; 0 for none."""
    path = folder / "loss_log.txt"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return max((int(match[1]) for line in lines if (match := RESTART.match(line))), default=0)


def _is_beyond(line: str, progress: Progress) -> bool:
    """Whether a line reports what training, where it stands, has yet to do."""
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
    """The rows of a loss_log.csv that can be read: what was cut short or damaged is left out."""
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
    """Raise KeyError, TypeError or ValueError for a row that lacks something, or holds something else than numbers. A
    loss that was not reported then is an empty text."""
    numbers = ("epoch", "total_images", "epochs", "learning_rate")
    int(row["epoch"]), int(row["total_images"]), int(row.get("restart", 0))
    for name, value in row.items():
        if value != "" or name in numbers:
            float(value)


def as_trained(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The rows that led to the newest networks: of epochs that a restart trained again, the last attempt alone."""
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

    Where a run goes on exactly from where it was saved, the rows beyond `progress` are dropped first, as they come
    again. Where it began again at an earlier epoch, all rows stay: the column `restart` tells the attempts apart.
    """

    file_name = "loss_log.csv"

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.progress = progress
        self.file = GrowingFile(folder / self.file_name)
        self.columns: list[str] = []
        self.history: list[LossRecord] = []
        """the reports that led to the present networks"""
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
        """Whether training, where it stands, has what a row reports behind it."""
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
        """Give each name a column; rows without it, of a time with other losses, have nothing there."""
        new = [name for name in names if name not in self.columns]
        if new and not self.file.is_empty:
            rows = self._read()
            self.columns += new
            self._rewrite(rows)
        elif new:
            self.columns = list(names)


FORMER_MEASURES = {"sex_A": "gender_A", "sex_B": "gender_B"}
"""Columns of held_out.csv as older versions called them."""


class MeasureCsvSink(CsvSink):
    """The same for what translations of held-out faces score after each epoch: `held_out.csv`."""

    file_name = "held_out.csv"

    def _read(self) -> list[dict[str, str]]:
        rows = super()._read()
        self.columns = [FORMER_MEASURES.get(name, name) for name in self.columns]
        return [{FORMER_MEASURES.get(name, name): value for name, value in row.items()} for row in rows]

    def _is_behind(self, row: Mapping[str, str]) -> bool:
        return int(row["epoch"]) < self.progress.epoch

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        """Nothing: losses have a file of their own."""

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        self._append(moment, values)
