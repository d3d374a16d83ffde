"""Base class of the sinks, which display or record the progress of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Moment(NamedTuple):
    """Position and speed of a training run at one time."""

    epoch: int
    last_epoch: int
    epoch_images: int
    images_per_epoch: int
    total_images: int
    seconds_per_image: float
    data_seconds_per_image: float
    """the part of `seconds_per_image` that was spent waiting for photos"""
    learning_rate: float
    memory_bytes: int = 0
    """memory used on the run's device; 0 if unknown"""

    @property
    def epochs_done(self) -> float:
        """Position in epochs, including the fraction of the current one."""
        return self.epoch - 1 + self.epoch_images / self.images_per_epoch

    @property
    def seconds_left(self) -> float:
        """Estimated time to the end of the last epoch at the current speed."""
        images = (self.last_epoch - self.epoch + 1) * self.images_per_epoch - self.epoch_images
        return images * self.seconds_per_image


class Sink:
    """Displays or records progress. All methods are optional. If one raises, the sink is paused; the run continues."""

    def tick(self, moment: Moment) -> None:
        """Called after every step; must return immediately."""

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        """Report the losses of the last step. Called every `--print_freq` images."""

    def images(self, moment: Moment, images: Mapping[str, np.ndarray]) -> None:
        """Show images by name, uint8 (H, W, 3) or (H, W, 1): the first of the last step's batch."""

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        """Report the scores of the translations of held-out faces. Called every `--eval_freq` epochs."""

    def epoch_end(self, moment: Moment, seconds: float) -> None:
        """Called after an epoch, which took `seconds`."""

    def close(self) -> None:
        """Called at the end of the run."""
