"""Learning rates over the epochs."""

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
    """length of training and learning rate"""

    n_epochs: int = option(
        100, help="epochs at the initial learning rate", unit="epochs", aliases=["niter"], most=1000000
    )
    n_epochs_decay: int = option(
        100, help="epochs of decay that follow", unit="epochs", aliases=["niter_decay"], most=1000000
    )
    epoch_count: int | None = option(
        None,
        help="number of the first epoch, for weights that were trained before; none: 1, or with --continue_train the "
        "epoch that follows the checkpoint",
        most=1000000,
    )
    lr: float = option(0.0002, help="initial learning rate of Adam")
    beta1: float = option(0.5, help="Adam's decay rate of the gradient's mean")
    beta2: float = option(0.999, help="Adam's decay rate of the gradient's mean square")
    lr_policy: str = option(
        "linear",
        help="linear: constant, then linearly to 0; step: a tenth every --lr_decay_iters; plateau: a fifth when the "
        "generators' loss stops falling; cosine: half a cosine over all epochs",
        choices=("linear", "step", "plateau", "cosine"),
        parse=lambda text: "linear" if text == "lambda" else text,  # the public code's name of 2018
    )
    lr_decay_iters: int = option(50, help="distance of the steps of --lr_policy step", unit="epochs")

    def __post_init__(self) -> None:
        if self.n_epochs < 0 or self.n_epochs_decay < 0 or self.last_epoch < 1:
            raise OptionError("--n_epochs and --n_epochs_decay: not below 0, and at least one epoch in all")
        if self.first_epoch < 1:
            raise OptionError(f"--epoch_count {self.epoch_count}: the first epoch is number 1")
        if self.first_epoch > self.last_epoch:
            raise OptionError(
                f"--epoch_count {self.epoch_count} lies beyond the last epoch, which is {self.last_epoch}: raise "
                "--n_epochs or --n_epochs_decay"
            )
        if self.lr_decay_iters < 1:
            raise OptionError(f"--lr_decay_iters {self.lr_decay_iters}: at least 1 epoch")
        if not self.lr > 0 or not 0 <= self.beta1 < 1 or not 0 <= self.beta2 < 1:
            raise OptionError(
                f"--lr {self.lr} --beta1 {self.beta1} --beta2 {self.beta2}: the rate must be above 0, both decay rates "
                "in [0, 1)"
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
        """Why there is nothing to train for a run that has reached `epoch`, and what to do."""
        return (
            f"is already at epoch {epoch}, and --n_epochs {self.n_epochs} with --n_epochs_decay {self.n_epochs_decay} "
            f"end at epoch {self.last_epoch}; raise --n_epochs or --n_epochs_decay to train further"
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
"""Policy to the factor on `--lr` in an epoch, counted from 1. `plateau` is none of them: it depends on the losses."""

PLATEAU_FACTOR = 0.2
PLATEAU_PATIENCE_EPOCHS = 5
PLATEAU_THRESHOLD = 0.01


class Schedule:
    """Sets an optimizer's learning rate for each epoch; to be stepped once after each, with its mean loss.

    Begins at `--epoch_count`; beyond the last epoch the rate stays where it ended. Only the position is state: rate,
    policy and lengths are those of the options, also where a run continues with others.
    """

    def __init__(self, optimizer: Optimizer, options: ScheduleOptions) -> None:
        self.optimizer, self.options = optimizer, options
        self.epoch = options.first_epoch
        self.plateau_multiplier = 1.0
        self.best_loss = math.inf
        self.epochs_without_gain = 0
        self._apply()

    def step(self, epoch_loss: float) -> None:
        """Move to the next epoch's learning rate, given the mean loss of the epoch that ended."""
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
        """Take the rate that an epoch has, as where a run goes on from the networks of the epoch before it."""
        self.epoch = epoch
        self._apply()

    @property
    def learning_rate(self) -> float:
        """The rate of the present epoch."""
        if self.options.lr_policy == "plateau":
            return self.options.lr * self.plateau_multiplier
        return self.options.lr * MULTIPLIERS[self.options.lr_policy](
            self.options, min(self.epoch, self.options.last_epoch)
        )

    def _apply(self) -> None:
        set_learning_rate(self.optimizer, self.learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return {
            "epoch": self.epoch,
            "plateau_multiplier": self.plateau_multiplier,
            "best_loss": self.best_loss,
            "epochs_without_gain": self.epochs_without_gain,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The reverse of `state_dict`; sets the optimizer's rate."""
        self.epoch, self.plateau_multiplier = state["epoch"], state["plateau_multiplier"]
        self.best_loss, self.epochs_without_gain = state["best_loss"], state["epochs_without_gain"]
        self._apply()
