"""Losses as files: loss_log.txt as the public code base writes it, loss_log.csv for programs."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from util.files import atomic_path, write_text
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
                print(f"warning: {self.path}: {error.strerror or error}; its lines are kept, and written when there is "
                      "room", file=sys.stderr)  # fmt: skip
            self._warned = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing was appended yet."""
        return not self._waiting and (not self.path.exists() or self.path.stat().st_size == 0)


HELD_OUT = "held out) "
POSITION = re.compile(r"\(epoch: (\d+), iters: (\d+), ")


class LossLogSink(Sink):
    """Appends a line for each report to `loss_log.txt`: `(epoch: 1, iters: 100, time: 0.250, data: 0.001) D_A: 0.372
    ...`

    iters counts images within the epoch, time and data are seconds an image. Where a run goes on from an epoch and its
    `epoch_images`, reports beyond are dropped first. notes: lines for the file, such as options that were changed.
    """

    def __init__(self, folder: Path, epoch: int = 1, epoch_images: int = 0, notes: Sequence[str] = ()) -> None:
        self.file = GrowingFile(folder / "loss_log.txt")
        if self.file.path.exists():
            self._keep_until(epoch, epoch_images)
        header = f"================ Training Loss ({time.strftime('%c')}) ================"
        self.file.append("".join(f"{line}\n" for line in (header, *notes)))

    def _keep_until(self, epoch: int, epoch_images: int) -> None:
        lines = self.file.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = []
        for line in lines:
            match = POSITION.match(line)
            is_earlier = match is None or (int(match[1]), int(match[2])) <= (epoch, epoch_images)
            if HELD_OUT in line and match is not None:  # measured after the epoch's last step
                is_earlier = int(match[1]) < epoch
            if is_earlier and line.endswith("\n"):  # a killed process may have left half a line
                kept.append(line)
        if kept != lines:
            write_text(self.file.path, "".join(kept))

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        position = f"(epoch: {moment.epoch}, iters: {moment.epoch_images}, "
        timing = f"time: {moment.seconds_per_image:.3f}, data: {moment.data_seconds_per_image:.3f}) "
        self.file.append(position + timing + " ".join(f"{name}: {loss:.3f}" for name, loss in losses.items()) + "\n")

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        position = f"(epoch: {moment.epoch}, iters: {moment.epoch_images}, {HELD_OUT}"
        self.file.append(position + " ".join(f"{name}: {value:.3f}" for name, value in values.items()) + "\n")


class LossRecord(NamedTuple):
    """One report: position in epochs, learning rate and losses."""

    epochs: float
    learning_rate: float
    losses: dict[str, float]


POSITION_COLUMNS = ("epoch", "epoch_images", "total_images", "epochs")
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
    """Raise KeyError, TypeError or ValueError for a row that lacks something, or holds something else than numbers."""
    int(row["total_images"]), row["epochs"], row["learning_rate"]
    for value in row.values():
        float(value)


class CsvSink(Sink):
    """Appends a row for each report to `loss_log.csv`: position, learning rate, speed, and the losses in full
    precision.

    Where a run goes on from `total_images`, rows beyond are dropped first: no position comes twice.
    """

    file_name = "loss_log.csv"

    def __init__(self, folder: Path, total_images: int = 0) -> None:
        self.file = GrowingFile(folder / self.file_name)
        self.history: list[LossRecord] = []
        """the reports of the run so far, as the file has them"""
        if self.file.path.exists():
            self._keep_until(total_images)

    def _keep_until(self, total_images: int) -> None:
        path = self.file.path
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            lines = [line for line in file if line.endswith("\n")]  # a killed process may have left half a line
        reader = csv.DictReader(lines)
        rows = [row for row in whole_rows(reader) if self._is_of_run(row, total_images)]
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, reader.fieldnames or [])
            if rows:
                writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            losses = {name: float(row[name]) for name in row if name not in POSITION_COLUMNS + OTHER_COLUMNS}
            self.history.append(LossRecord(float(row["epochs"]), float(row["learning_rate"]), losses))

    def _is_of_run(self, row: Mapping[str, str], total_images: int) -> bool:
        """Whether a run that goes on from `total_images` has this row behind it."""
        return int(row["total_images"]) <= total_images

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        self._append(moment, losses)

    def _append(self, moment: Moment, values: Mapping[str, float]) -> None:
        row = {
            "epoch": moment.epoch,
            "epoch_images": moment.epoch_images,
            "total_images": moment.total_images,
            "epochs": f"{moment.epochs_done:.6f}",
            "learning_rate": moment.learning_rate,
            "seconds_per_image": f"{moment.seconds_per_image:.6f}",
            "data_seconds_per_image": f"{moment.data_seconds_per_image:.6f}",
            **values,
        }
        text = io.StringIO()
        csv.writer(text).writerows([list(row)] * self.file.is_empty + [list(row.values())])
        self.file.append(text.getvalue())


class MeasureCsvSink(CsvSink):
    """The same for what translations of held-out faces score after the epochs before `epoch`: `held_out.csv`."""

    file_name = "held_out.csv"

    def __init__(self, folder: Path, epoch: int = 1) -> None:
        self.epoch = epoch
        super().__init__(folder)

    def _is_of_run(self, row: Mapping[str, str], total_images: int) -> bool:
        return int(row["epoch"]) < self.epoch

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        """Nothing: losses have a file of their own."""

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        self._append(moment, values)
