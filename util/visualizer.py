"""Decides when a run's progress is shown, converts it once, and hands it to the sinks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, stack

from util.arguments import OptionError, option
from util.images import tensor_to_uint8
from util.run.progress import Progress
from util.sinks.base import Moment, Sink

REST_SECONDS = 60.0
"""How long a sink that failed is left alone."""


@dataclass(frozen=True)
class DisplayOptions:
    """watching a run"""

    print_freq: int = option(100, help="how often losses are reported", unit="images")
    display_freq: int = option(400, help="how often visdom shows images", unit="images")
    no_visdom: bool = option(False, help="no visdom", aliases={"display_id": lambda text: int(text) <= 0})
    display_server: str = option("http://localhost", help="where visdom runs")
    display_port: int = option(8097, help="visdom's port", most=65535)
    display_env: str = option("main", help="visdom's environment")
    display_ncols: int = option(4, help="images in a row in visdom", unit="images", most=100)
    update_html_freq: int = option(1000, help="how often the HTML page gets images", unit="images")
    no_html: bool = option(False, help="no HTML page")
    tensorboard: bool = option(False, help="log to tensorboard/ in the run's folder, too")
    use_wandb: bool = option(
        False, help="log to Weights & Biases, too; with the variable WANDB_MODE=offline into wandb/ in the run's folder"
    )
    wandb_project_name: str = option("CycleGAN-and-pix2pix", help="project of --use_wandb")
    display_winsize: int = option(256, help="width of images on the pages", unit="pixels", most=10000)

    def __post_init__(self) -> None:
        for flag in ("print_freq", "display_freq", "update_html_freq", "display_winsize", "display_ncols"):
            if getattr(self, flag) < 1:
                raise OptionError(f"--{flag} {getattr(self, flag)}: at least 1")


class Visualizer:
    """Feeds sinks with losses and images of the steps that are due; use as a context manager.

    image_frequencies: the number of images between the pictures of each sink that shows some. memory: tells the bytes
    that the run occupies, asked for at each report. average: of several processes that train together, makes the mean
    of reported losses; each of them reports, those that show nothing without sinks. A sink that raises is told of once
    and left alone for a while: no display ends a run.
    """

    def __init__(
        self,
        options: DisplayOptions,
        sinks: Sequence[Sink],
        image_frequencies: Mapping[Sink, int],
        memory: Callable[[], int] = lambda: 0,
        average: Callable[[Tensor], Tensor] = lambda losses: losses,
    ) -> None:
        self._average = average
        self._memory, self._memory_bytes = memory, 0
        self.options, self.sinks, self.image_frequencies = options, sinks, image_frequencies
        self.learning_rate = 0.0
        self._resting_until: dict[Sink, float] = {}
        self._report_start = self._epoch_start = time.perf_counter()
        self._report_images = 0
        self._is_first_step, self._has_reported = True, False
        self._waited = 0.0
        self._seconds_per_image = self._data_seconds_per_image = 0.0

    def __enter__(self) -> Visualizer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._each(lambda sink: sink.close())

    def step(
        self,
        progress: Progress,
        step_images: int,
        losses: Mapping[str, Tensor],
        images: Mapping[str, Tensor],
        *,
        learning_rate: float,
        seconds_waited: float,
    ) -> None:
        """Show what is due after a step on `step_images` images.

        losses: scalars on any device; images: (N, C, H, W) in [-1, 1], of which the first is shown; both empty after a
        step that was skipped; seconds_waited: for photos, since the run began.
        """
        self.learning_rate = learning_rate
        self._report_images += step_images
        reporting = progress.due(self.options.print_freq, step_images)
        if reporting or not self._has_reported:
            self._measure_speed(seconds_waited)
        if reporting or self._is_first_step:  # the first step, slower than the others, is measured on its own
            self._report_start, self._report_images, self._waited = time.perf_counter(), 0, seconds_waited
            self._is_first_step = False
        self._has_reported |= reporting
        moment = self._moment(progress)
        self._each(lambda sink: sink.tick(moment))
        if reporting and losses:
            # The one place where the host waits for the device: all losses in a single transfer.
            values = dict(zip(losses, self._average(stack(list(losses.values()))).tolist(), strict=True))
            self._each(lambda sink: sink.scalars(moment, values))
        due = [sink for sink in self.sinks if progress.due(self.image_frequencies.get(sink, 0), step_images)]
        if due and images:
            arrays = {name: tensor_to_uint8(image[0]) for name, image in images.items()}
            self._each(lambda sink: sink.images(moment, arrays), due)

    def measures(self, progress: Progress, values: Mapping[str, float]) -> None:
        """Show what translations of held-out faces score."""
        moment = self._moment(progress)
        self._each(lambda sink: sink.measures(moment, values))

    def epoch_end(self, progress: Progress) -> None:
        """Tell the sinks that an epoch is done."""
        seconds = time.perf_counter() - self._epoch_start
        self._epoch_start = time.perf_counter()
        moment = self._moment(progress)
        self._each(lambda sink: sink.epoch_end(moment, seconds))

    def state_dict(self) -> dict[str, float]:
        """The speed, the time that the epoch in progress has taken, and the learning rate of its last step."""
        return {
            "epoch_seconds": time.perf_counter() - self._epoch_start,
            "seconds_per_image": self._seconds_per_image,
            "data_seconds_per_image": self._data_seconds_per_image,
            "learning_rate": self.learning_rate,
        }

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """The reverse of `state_dict`."""
        self._epoch_start = time.perf_counter() - state["epoch_seconds"]
        self._seconds_per_image = state["seconds_per_image"]
        self._data_seconds_per_image = state["data_seconds_per_image"]
        self.learning_rate = state.get("learning_rate", 0.0)  # older versions saved none

    def _measure_speed(self, seconds_waited: float) -> None:
        self._seconds_per_image = (time.perf_counter() - self._report_start) / self._report_images
        self._data_seconds_per_image = (seconds_waited - self._waited) / self._report_images
        self._memory_bytes = self._memory()

    def _moment(self, progress: Progress) -> Moment:
        return Moment(
            progress.epoch,
            progress.last_epoch,
            progress.epoch_images,
            progress.images_per_epoch,
            progress.total_images,
            self._seconds_per_image,
            self._data_seconds_per_image,
            self.learning_rate,
            self._memory_bytes,
        )

    def _each(self, action: Callable[[Sink], Any], sinks: Sequence[Sink] | None = None) -> None:
        for sink in self.sinks if sinks is None else sinks:
            if time.monotonic() < self._resting_until.get(sink, 0.0):
                continue
            try:
                action(sink)
            except Exception as error:  # whatever a display does, the run goes on
                if sink not in self._resting_until:
                    print(f"warning: {type(sink).__name__} failed, and is tried again later: {error}", file=sys.stderr)
                self._resting_until[sink] = time.monotonic() + REST_SECONDS
