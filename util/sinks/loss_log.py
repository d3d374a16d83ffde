"""Losses as files: loss_log.txt as the public code base writes it, loss_log.csv for programs."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from util.files import atomic_path
from util.sinks.base import Moment, Sink


class LossLogSink(Sink):
    """Appends a line for each report to `loss_log.txt`: `(epoch: 1, iters: 100, time: 0.250, data: 0.001) D_A: 0.372
    ...`

    iters counts images within the epoch, time and data are seconds an image.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "loss_log.txt"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._append(f"================ Training Loss ({time.strftime('%c')}) ================")

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        position = f"(epoch: {moment.epoch}, iters: {moment.epoch_images}, "
        timing = f"time: {moment.seconds_per_image:.3f}, data: {moment.data_seconds_per_image:.3f}) "
        self._append(position + timing + " ".join(f"{name}: {loss:.3f}" for name, loss in losses.items()))

    def _append(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


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

    def __init__(self, folder: Path, total_images: int = 0) -> None:
        self.path = folder / "loss_log.csv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.history: list[LossRecord] = []
        """the reports of the run so far, as the file has them"""
        if self.path.exists():
            self._keep_until(total_images)

    def _keep_until(self, total_images: int) -> None:
        with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
            reader = csv.DictReader(file)
            rows = [row for row in whole_rows(reader) if int(row["total_images"]) <= total_images]
        with atomic_path(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, reader.fieldnames or [])
            if rows:
                writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            losses = {name: float(row[name]) for name in row if name not in POSITION_COLUMNS + OTHER_COLUMNS}
            self.history.append(LossRecord(float(row["epochs"]), float(row["learning_rate"]), losses))

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        row = {
            "epoch": moment.epoch,
            "epoch_images": moment.epoch_images,
            "total_images": moment.total_images,
            "epochs": f"{moment.epochs_done:.6f}",
            "learning_rate": moment.learning_rate,
            "seconds_per_image": f"{moment.seconds_per_image:.6f}",
            "data_seconds_per_image": f"{moment.data_seconds_per_image:.6f}",
            **losses,
        }
        is_new = not self.path.exists() or self.path.stat().st_size == 0
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(row)
            writer.writerow(row.values())
