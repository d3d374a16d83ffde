"""What a place that shows a run's progress looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Moment(NamedTuple):
    """Where training stands, and how fast it goes."""

    epoch: int
    last_epoch: int
    epoch_images: int
    images_per_epoch: int
    total_images: int
    seconds_per_image: float
    data_seconds_per_image: float
    """the part of it spent waiting for photos"""
    learning_rate: float
    memory_bytes: int = 0
    """occupied on the run's device; 0 where it is not known"""

    @property
    def epochs_done(self) -> float:
        """Position in epochs, with the part of the one in progress."""
        return self.epoch - 1 + self.epoch_images / self.images_per_epoch

    @property
    def seconds_left(self) -> float:
        """Time to the end of the last epoch at the present speed."""
        images = (self.last_epoch - self.epoch + 1) * self.images_per_epoch - self.epoch_images
        return images * self.seconds_per_image


class Sink:
    """A place for progress. Every method may be left as it is; where one raises, the sink rests and the run goes on."""

    def tick(self, moment: Moment) -> None:
        """A step is done. Called after every step: must return at once."""

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        """The losses of the last step, every `--print_freq` images."""

    def images(self, moment: Moment, images: Mapping[str, np.ndarray]) -> None:
        """The first image of each kind in the last step, uint8 (H, W, 3) or (H, W, 1)."""

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        """What translations of held-out faces score, every `--eval_freq` epochs."""

    def epoch_end(self, moment: Moment, seconds: float) -> None:
        """An epoch is done; it took `seconds`."""

    def close(self) -> None:
        """The run ends."""
