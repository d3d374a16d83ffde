"""Length of the training and learning rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from models.optimizers import set_learning_rate
from util.arguments import OptionError, option


@dataclass(frozen=True)
class ScheduleOptions:
    """training length and learning rate"""

    n_epochs: int = option(
        100,
        help="number of epochs with the initial learning rate",
        unit="epochs",
        aliases=["niter"],
        most=1000000,
    )
    n_epochs_decay: int = option(
        100,
        help="number of epochs after that, in which the learning rate decays to 0",
        unit="epochs",
        aliases=["niter_decay"],
        most=1000000,
    )
    epoch_count: int | None = option(
        None,
        help="number of the first epoch, for weights that were trained before; by default, 1, or with "
        "--continue_train the epoch after the checkpoint",
        most=1000000,
    )
    lr: float = option(0.0002, help="initial learning rate of Adam")
    beta1: float = option(0.5, help="beta1 of Adam: decay rate of the gradient's mean")
    beta2: float = option(0.999, help="beta2 of Adam: decay rate of the gradient's mean square")
    lr_policy: str = option(
        "linear",
        help="learning rate schedule; linear: constant for --n_epochs, then linearly to 0; step: divided by 10 every "
        "--lr_decay_iters epochs; plateau: divided by 5 when the generators' loss stops decreasing; cosine: half a "
        "cosine over all epochs",
        choices=("linear", "step", "plateau", "cosine"),
        parse=lambda text: "linear" if text == "lambda" else text,  # its name in the public code of 2018
    )
    lr_decay_iters: int = option(50, help="interval between the steps of --lr_policy step", unit="epochs", least=1)

    def __post_init__(self) -> None:
        if self.n_epochs < 0 or self.n_epochs_decay < 0 or self.last_epoch < 1:
            raise OptionError("--n_epochs and --n_epochs_decay must not be negative, and their sum at least 1")
        if self.first_epoch < 1:
            raise OptionError(f"--epoch_count {self.epoch_count}: epochs are counted from 1")
        if self.first_epoch > self.last_epoch:
            raise OptionError(
                f"--epoch_count {self.epoch_count} is after the last epoch, which is {self.last_epoch}: increase "
                "--n_epochs or --n_epochs_decay"
            )
        if not self.lr > 0 or not 0 <= self.beta1 < 1 or not 0 <= self.beta2 < 1:
            raise OptionError(
                f"--lr {self.lr} --beta1 {self.beta1} --beta2 {self.beta2}: --lr must be above 0, and both betas in "
                "[0, 1)"
            )

    @property
    def first_epoch(self) -> int:
        """The number of a new run's first epoch."""
        return 1 if self.epoch_count is None else self.epoch_count

    @property
    def last_epoch(self) -> int:
        """The number of the last epoch."""
        return self.n_epochs + self.n_epochs_decay

    def describe_end(self, epoch: int) -> str:
        """Describe, for a run that has reached `epoch`, why there is nothing to train and what to do."""
        return (
            f"is already at epoch {epoch}, but --n_epochs {self.n_epochs} and --n_epochs_decay {self.n_epochs_decay} "
            f"end training after epoch {self.last_epoch}; increase --n_epochs or --n_epochs_decay to train further"
        )


def _linear(options: ScheduleOptions, epoch: int) -> float:
    return 1.0 - max(0, epoch - options.n_epochs) / (options.n_epochs_decay + 1)


def _step(options: ScheduleOptions, epoch: int) -> float:
    return 0.1 ** ((epoch - 1) // options.lr_decay_iters)


def _cosine(options: ScheduleOptions, epoch: int) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * (epoch - 1) / options.last_epoch))


MULTIPLIERS: dict[str, Callable[[ScheduleOptions, int], float]] = {
    "linear": _linear,
    "step": _step,
    "cosine": _cosine,
}
"""Factor on `--lr` in an epoch, counted from 1, by policy. `plateau` is missing because it depends on the losses."""

PLATEAU_FACTOR = 0.2
PLATEAU_PATIENCE_EPOCHS = 5
PLATEAU_THRESHOLD = 0.01


class Schedule:
    """Sets the learning rate of an optimizer for each epoch. Call `step` after each epoch with its mean loss.

    The schedule begins at `--epoch_count`; after the last epoch, the rate remains constant. Only the position is saved:
    a resumed run uses the rate, policy and lengths of its current options.
    """

    def __init__(self, optimizer: Optimizer, options: ScheduleOptions) -> None:
        self.optimizer, self.options = optimizer, options
        self.epoch = options.first_epoch
        self.plateau_multiplier = 1.0
        self.best_loss = math.inf
        self.epochs_without_gain = 0
        self._apply()

    def step(self, epoch_loss: float) -> None:
        """Set the learning rate of the next epoch, given the mean loss of the one that ended."""
        self.epoch += 1
        if epoch_loss < self.best_loss * (1.0 - PLATEAU_THRESHOLD):
            self.best_loss, self.epochs_without_gain = epoch_loss, 0
        else:
            self.epochs_without_gain += 1
        if self.epochs_without_gain > PLATEAU_PATIENCE_EPOCHS:
            self.plateau_multiplier *= PLATEAU_FACTOR
            self.epochs_without_gain = 0
        self._apply()

    def begin_at(self, epoch: int) -> None:
        """Set the learning rate of an epoch, for training that starts there."""
        self.epoch = epoch
        self._apply()

    @property
    def learning_rate(self) -> float:
        """The learning rate of the current epoch."""
        if self.options.lr_policy == "plateau":
            return self.options.lr * self.plateau_multiplier
        return self.options.lr * MULTIPLIERS[self.options.lr_policy](
            self.options, min(self.epoch, self.options.last_epoch)
        )

    def _apply(self) -> None:
        set_learning_rate(self.optimizer, self.learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the schedule."""
        return {
            "epoch": self.epoch,
            "plateau_multiplier": self.plateau_multiplier,
            "best_loss": self.best_loss,
            "epochs_without_gain": self.epochs_without_gain,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`, and set the optimizer's learning rate."""
        self.epoch, self.plateau_multiplier = state["epoch"], state["plateau_multiplier"]
        self.best_loss, self.epochs_without_gain = state["best_loss"], state["epochs_without_gain"]
        self._apply()
