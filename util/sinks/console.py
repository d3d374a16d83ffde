"""Shows progress on the console: a progress bar on a terminal, plain lines in a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TextIO

from util.distributed import is_first_to_tell, place
from util.sinks.base import Moment, Sink
from util.terminal import PATIENCE_SECONDS, StatusLine, bar, format_duration


class ConsoleSink(Sink):
    """Shows position, speed and losses in one line that is redrawn in place on a terminal.

    In a file, a pipe or under CI, it prints a line for each report instead. If the first report is late, position and
    speed are printed once without losses to show that the run does not hang.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.line = StatusLine(stream)
        self._silent_since = time.monotonic()
        self._has_reported = False
        self._losses: Mapping[str, float] = {}

    def say(self, text: str) -> None:
        """Print a line above the progress bar."""
        self.line.say(text)

    def say_once(self, text: str) -> None:
        """Print a line, which any of the processes may report, unless one of them has printed it before."""
        if is_first_to_tell(text):
            (self if place().is_main else ConsoleSink()).say(text)

    def tick(self, moment: Moment) -> None:
        if self.line.is_due:
            self._draw(moment)
        elif not self._has_reported and time.monotonic() - self._silent_since >= PATIENCE_SECONDS:
            self.scalars(moment, {})

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        self._losses, self._has_reported = losses, True
        if self.line.is_terminal:
            self._draw(moment)
        else:
            self.say(describe(moment, losses))

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        self.say(
            f"epoch {moment.epoch}/{moment.last_epoch}, held-out faces: "
            + " ".join(f"{name} {value:.2f}" for name, value in values.items())
        )

    def epoch_end(self, moment: Moment, seconds: float) -> None:
        self.say(
            f"epoch {moment.epoch}/{moment.last_epoch} done in {format_duration(seconds)}, "
            f"learning rate {moment.learning_rate:.3g}"
        )

    def close(self) -> None:
        self.line.clear()

    def _draw(self, moment: Moment) -> None:
        self.line.draw(f"{bar(moment.epoch_images, moment.images_per_epoch)} {describe(moment, self._losses)}")


def describe(moment: Moment, losses: Mapping[str, float]) -> str:
    """Format position, speed, memory, time left and losses as one line."""
    seconds = moment.seconds_per_image
    speed = 1.0 / seconds if seconds > 0 else 0.0
    waiting = 100.0 * moment.data_seconds_per_image / seconds if seconds > 0 else 0.0
    memory = f"{moment.memory_bytes / 2**30:.1f} GiB, " if moment.memory_bytes else ""
    return (
        f"epoch {moment.epoch}/{moment.last_epoch} {moment.epoch_images}/{moment.images_per_epoch} | "
        f"{speed:.2f} images/s, {waiting:.0f}% for data, {memory}{format_duration(moment.seconds_left)} left | "
        + " ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
    )
