"""Decides when progress is reported, converts losses and images once, and passes them to the sinks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, stack

from util.arguments import option
from util.images import tensor_to_uint8
from util.run.progress import Progress
from util.sinks.base import Moment, Sink

REST_SECONDS = 60.0
"""How long a sink is paused after an error."""


@dataclass(frozen=True)
class DisplayOptions:
    """monitoring"""

    print_freq: int = option(100, help="interval between reports of the losses", unit="images", least=1)
    display_freq: int = option(
        400, help="interval between images in visdom, TensorBoard and Weights & Biases", unit="images", least=1
    )
    no_visdom: bool = option(False, help="do not use visdom", aliases={"display_id": lambda text: int(text) <= 0})
    display_server: str = option("http://localhost", help="address of the visdom server")
    display_port: int = option(8097, help="port of the visdom server", most=65535)
    display_env: str = option("main", help="visdom environment")
    display_ncols: int = option(4, help="number of images per row in visdom", least=1, most=100)
    update_html_freq: int = option(
        1000, help="interval between updates of the images on the HTML page", unit="images", least=1
    )
    no_html: bool = option(False, help="do not write the HTML page")
    tensorboard: bool = option(False, help="also log to TensorBoard, in tensorboard/ of the run's folder")
    use_wandb: bool = option(
        False,
        help="also log to Weights & Biases; if the environment variable WANDB_MODE is offline, only to wandb/ in the "
        "run's folder",
    )
    wandb_project_name: str = option("CycleGAN-and-pix2pix", help="Weights & Biases project name")
    display_winsize: int = option(256, help="width of the images on HTML pages", unit="pixels", least=1, most=10000)


class Visualizer:
    """Context manager that passes losses and images to the sinks when they are due.

    image_frequencies: the number of training images between the pictures of each sink. memory: returns the bytes that
    the run uses; called at each report. average: averages the reported losses over all processes; every process must
    therefore have a visualizer, if without sinks. If a sink raises an error, it is reported once and the sink is paused
    for REST_SECONDS: no display ends a run.
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
        learning_rate: float,
        seconds_waited: float,
    ) -> None:
        """Report what is due after a step on `step_images` images.

        losses: scalars on any device. images: (N, C, H, W) in [-1, 1]; the first of each batch is shown. Both are empty
        for a skipped step. seconds_waited: total time spent waiting for photos in this run.
        """
        self.learning_rate = learning_rate
        self._report_images += step_images
        reporting = progress.due(self.options.print_freq, step_images)
        if reporting or not self._has_reported:
            self._measure_speed(seconds_waited)
        if reporting or self._is_first_step:  # the first step is slower, and not counted in later speeds
            self._report_start, self._report_images, self._waited = time.perf_counter(), 0, seconds_waited
            self._is_first_step = False
        self._has_reported |= reporting
        moment = self._moment(progress)
        self._each(lambda sink: sink.tick(moment))
        if reporting and losses:
            # The only place where the host synchronises with the device; all losses are transferred at once.
            values = dict(zip(losses, self._average(stack(list(losses.values()))).tolist(), strict=True))
            self._each(lambda sink: sink.scalars(moment, values))
        due = [sink for sink in self.sinks if progress.due(self.image_frequencies.get(sink, 0), step_images)]
        if due and images:
            arrays = {name: tensor_to_uint8(image[0]) for name, image in images.items()}
            self._each(lambda sink: sink.images(moment, arrays), due)

    def measures(self, progress: Progress, values: Mapping[str, float]) -> None:
        """Report the scores of the translations of held-out faces."""
        moment = self._moment(progress)
        self._each(lambda sink: sink.measures(moment, values))

    def epoch_end(self, progress: Progress) -> None:
        """Report the end of an epoch."""
        seconds = time.perf_counter() - self._epoch_start
        self._epoch_start = time.perf_counter()
        moment = self._moment(progress)
        self._each(lambda sink: sink.epoch_end(moment, seconds))

    def state_dict(self) -> dict[str, float]:
        """Return the speed, the time spent in the current epoch, and the learning rate of the last step."""
        return {
            "epoch_seconds": time.perf_counter() - self._epoch_start,
            "seconds_per_image": self._seconds_per_image,
            "data_seconds_per_image": self._data_seconds_per_image,
            "learning_rate": self.learning_rate,
        }

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore a `state_dict`."""
        self._epoch_start = time.perf_counter() - state["epoch_seconds"]
        self._seconds_per_image = state["seconds_per_image"]
        self._data_seconds_per_image = state["data_seconds_per_image"]
        self.learning_rate = state.get("learning_rate", 0.0)  # older versions did not save it

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
            except Exception as error:  # no error of a display ends the run
                if sink not in self._resting_until:
                    print(
                        f"warning: {type(sink).__name__} failed and will be tried again later: {error}", file=sys.stderr
                    )
                self._resting_until[sink] = time.monotonic() + REST_SECONDS
