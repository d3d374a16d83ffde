"""Logs curves and images for TensorBoard to `tensorboard/` in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from util.arguments import OptionError
from util.sinks.base import Moment, Sink


class TensorBoardSink(Sink):
    """Logs `loss/NAME`, `learning_rate`, speed and images; steps are images seen.

    total_images: position at which the run is resumed; later entries of an earlier process are hidden. Raises
    OptionError if the tensorboard package is missing.
    """

    def __init__(self, folder: Path, options: str, total_images: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise OptionError(
                f"--tensorboard needs the package tensorboard: pip install tensorboard ({error})"
            ) from error
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=total_images + 1)
        self.writer.add_text("options", "    " + options.replace("\n", "\n    "), total_images)

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        values = {f"loss/{name}": loss for name, loss in losses.items()}
        values["learning_rate"] = moment.learning_rate
        values["seconds_per_image/all"] = moment.seconds_per_image
        values["seconds_per_image/waiting for photos"] = moment.data_seconds_per_image
        values["epoch"] = moment.epochs_done
        for name, value in values.items():
            self.writer.add_scalar(name, value, moment.total_images)

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"held_out/{name}", value, moment.total_images)
        self.writer.flush()

    def images(self, moment: Moment, images: Mapping[str, np.ndarray]) -> None:
        for name, image in images.items():
            self.writer.add_image(name, image, moment.total_images, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
