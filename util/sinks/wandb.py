"""Logs curves and images to Weights & Biases with the package wandb."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from util.arguments import OptionError
from util.files import write_text
from util.sinks.base import Moment, Sink


class WandbSink(Sink):
    """Logs losses, learning rate, speed and images to the run `name` of `project`; steps are images seen.

    A resumed run continues the same curves, using the run ID in `wandb/run_id` of its folder. The environment variable
    WANDB_MODE controls, as documented by wandb, whether data is sent; `offline` keeps everything in the folder. Raises
    OptionError if the package is missing or cannot start a run.
    """

    def __init__(self, folder: Path, project: str, name: str, options: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise OptionError(f"--use_wandb needs the package wandb: pip install wandb ({error})") from error
        self._image = wandb.Image
        try:
            self.run = wandb.init(
                project=project, name=name, id=_run_id(folder), dir=str(folder), resume="allow", config=dict(options)
            )
        except (wandb.Error, OSError) as error:
            raise OptionError(f"--use_wandb: {error}. To log without an account, set WANDB_MODE=offline") from error
        self.run.define_metric("*", step_metric="images")

    def scalars(self, moment: Moment, losses: Mapping[str, float]) -> None:
        speed = {"seconds_per_image": moment.seconds_per_image, "seconds_waiting": moment.data_seconds_per_image}
        self._log(moment, {**losses, "learning_rate": moment.learning_rate, **speed})

    def measures(self, moment: Moment, values: Mapping[str, float]) -> None:
        self._log(moment, {f"held_out/{name}": value for name, value in values.items()})

    def images(self, moment: Moment, images: Mapping[str, np.ndarray]) -> None:
        self._log(moment, {name: self._image(image) for name, image in images.items()})

    def close(self) -> None:
        self.run.finish()

    def _log(self, moment: Moment, values: Mapping[str, Any]) -> None:
        self.run.log({"images": moment.total_images, "epoch": moment.epochs_done, **values})


def _run_id(folder: Path) -> str:
    """Return wandb's run ID for this folder; a new one is created if there is none."""
    path = folder / "wandb" / "run_id"
    if not path.is_file():
        write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8").strip()
