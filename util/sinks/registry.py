"""Registry of the sinks. To add one, write a subclass of Sink in a new file and add a line to SINKS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from util.device import memory_in_use
from util.distributed import average, place
from util.run.progress import Progress
from util.run.run_folder import RunFolder
from util.sinks.base import Sink
from util.sinks.console import ConsoleSink
from util.sinks.html import Faces, HtmlSink
from util.sinks.loss_log import CsvSink, LossLogSink, MeasureCsvSink
from util.sinks.tensorboard import TensorBoardSink
from util.sinks.visdom import VisdomSink
from util.sinks.wandb import WandbSink
from util.visualizer import DisplayOptions, Visualizer


@dataclass(frozen=True)
class ShownRun:
    """The run that the sinks show.

    values, table: all its options, for programs and for people. changes: descriptions of the options that differ from
    the resumed run. translate: returns the pairs of faces for the HTML page by domain.
    """

    folder: RunFolder
    options: DisplayOptions
    values: Mapping[str, Any]
    table: str
    changes: tuple[str, ...]
    progress: Progress
    console: ConsoleSink
    translate: Callable[[], Faces]

    @property
    def path(self) -> Path:
        """The folder, which has the name of the run."""
        return self.folder.path

    @cached_property
    def losses(self) -> CsvSink:
        """The sink for loss_log.csv, which also provides the history of a resumed run."""
        return CsvSink(self.path, self.progress)

    @cached_property
    def measured(self) -> MeasureCsvSink:
        """The sink for held_out.csv, which also provides the history of a resumed run."""
        return MeasureCsvSink(self.path, self.progress)


def _loss_log(run: ShownRun) -> Sink:
    return LossLogSink(run.path, run.progress, [f"changed: {change}" for change in run.changes])


def _html(run: ShownRun) -> Sink | None:
    if run.options.no_html:
        return None
    return HtmlSink(
        run.path,
        f"{run.path.name}: training",
        run.options.display_winsize,
        run.values,
        run.losses.history,
        run.measured.history,
        translate=run.translate,
        checkpoint=run.folder.describe_latest,
        is_reversed=run.values["direction"] == "BtoA",
    )


def _visdom(run: ShownRun) -> Sink | None:
    display = run.options
    if display.no_visdom:
        return None
    server = (display.display_server, display.display_port, display.display_env, display.display_ncols)
    return VisdomSink(*server, run.path.name, run.table, run.losses.history, run.measured.history)


def _tensorboard(run: ShownRun) -> Sink | None:
    return TensorBoardSink(run.path, run.table, run.progress.total_images) if run.options.tensorboard else None


def _wandb(run: ShownRun) -> Sink | None:
    display = run.options
    return WandbSink(run.path, display.wandb_project_name, run.path.name, run.values) if display.use_wandb else None


SINKS: dict[str, Callable[[ShownRun], Sink | None]] = {
    "console": lambda run: run.console,
    "loss_log.txt": _loss_log,
    "loss_log.csv": lambda run: run.losses,
    "held_out.csv": lambda run: run.measured,
    "html": _html,
    "visdom": _visdom,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
"""Functions that create each sink, or return None if the options disable it."""

IMAGE_FREQUENCIES: dict[str, Callable[[DisplayOptions], int]] = {
    "html": lambda options: options.update_html_freq,
    "visdom": lambda options: options.display_freq,
    "tensorboard": lambda options: options.display_freq,
    "wandb": lambda options: options.display_freq,
}
"""Number of training images between the pictures of each sink that shows pictures."""


def create_visualizer(run: ShownRun, device: torch.device) -> Visualizer:
    """Create the visualizer with all enabled sinks on the main process, and without sinks on the others.

    device: the device whose memory is reported.
    """
    made = {name: create(run) for name, create in SINKS.items()} if place().is_main else {}
    sinks = {name: sink for name, sink in made.items() if sink is not None}
    frequencies = {sinks[name]: every(run.options) for name, every in IMAGE_FREQUENCIES.items() if name in sinks}
    return Visualizer(run.options, list(sinks.values()), frequencies, partial(memory_in_use, device), average)
