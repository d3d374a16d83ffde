"""Base class of the models: the interface that train.py and test.py use."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from models.averages import Averages
from models.fast.speed import Speed
from models.optimization import Optimization
from models.schedules import ScheduleOptions
from util.device import describe_device, random_state, restore_random_state
from util.distributed import average
from util.image_pool import ImagePool
from util.initial import is_generator
from util.run.process_state import join, take_own

SHA256 = "_sha256"
"""Suffix of the entries in the saved options that contain the hashes of teachers and are not options."""


PUBLIC_LOSSES = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")
"""Losses in the order of the public code base. Other losses follow in the order in which they are computed."""


class Step(NamedTuple):
    """Result of a training step: named scalar losses and named images (N, C, H, W) in [-1, 1], all on the device."""

    losses: dict[str, Tensor]
    images: dict[str, Tensor]


class ModelOptions(Protocol):
    """Interface of the options of a model that only translates: a dataclass, see `options_class`."""

    @property
    def channels(self) -> dict[str, int]:
        """Number of image channels of each domain, "A" and "B"."""


class TrainableOptions(ModelOptions, Protocol):
    """Interface of the options of a model that can be trained."""

    @property
    def schedule(self) -> ScheduleOptions:
        """Length of the training and learning rate schedule."""

    @property
    def teachers(self) -> dict[str, Path]:
        """Age estimators that the model is trained with, by the option that names them. evaluate.py refuses to use
        these. May be empty."""


class BaseModel(ABC):
    """Base class of models: networks, and everything that is needed to train them.

    networks: by the name in their checkpoint files (`latest_net_G_A.pth` contains `networks["G_A"]`). optimizations,
    pools: by name; empty in a model that only translates. averages: moving averages of the generators, or None. speed:
    how the networks compute. steps: training steps so far. losses: the last value of each loss.
    """

    options_class: ClassVar[type]
    """the dataclass of this model's options"""
    trainable: ClassVar[bool] = True

    def __init__(
        self, options: Any, device: torch.device, *, training: bool = False, seed: int = 0, parts: int = 1
    ) -> None:
        """options: an instance of `options_class`. seed: for the model's own random generators. parts: number of
        micro-batches per step."""
        self.device = device
        self.networks: dict[str, nn.Module] = {}
        self.optimizations: dict[str, Optimization] = {}
        self.averages: Averages | None = None
        self.pools: dict[str, ImagePool] = {}
        self.speed = Speed()
        self.losses: dict[str, Tensor] = {}
        self.steps = self.warm_up_done = 0
        self._epoch_loss = torch.zeros((), device=device)
        self._epoch_steps = torch.zeros((), device=device)  # on the device, because a CUDA graph updates it

    @abstractmethod
    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate a batch with photos (N, C, H, W) in [-1, 1] under "A", "B" or both. Returns named images."""

    def optimize(self, batch: Mapping[str, Any]) -> Step:
        """Do one step of all optimizers on a batch with photos under "A" and "B"."""
        raise NotImplementedError(f"{type(self).__name__} translates only")

    @property
    def warm_up_steps(self) -> int:
        """Number of `warm_up` steps before the first call of `optimize`."""
        return 0

    @property
    def warm_up_batch(self) -> int:
        """Number of photos of each domain in a `warm_up` step."""
        return 1

    def warm_up(self, batch: Mapping[str, Any]) -> Step:
        """Do one step of the warm-up before training."""
        raise NotImplementedError(f"{type(self).__name__} has no warm-up")

    def skip_warm_ups(self, trained: Collection[str]) -> None:
        """Skip the warm-up of the discriminators if all of them, and that of the averages if all generators, have been
        trained before. trained: names of these networks."""
        untrained = {is_generator(name) for name in self.networks if name not in trained}
        if False not in untrained:
            self.warm_up_done = self.warm_up_steps
        if True not in untrained and self.averages:
            self.averages.skip_warm_up()

    def told_apart(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """Return how accurately each discriminator tells the two domains of a batch of real photos apart, by network.

        Empty if the model has no discriminators."""
        return {}

    def report(self, losses: Mapping[str, Tensor], images: Mapping[str, Tensor]) -> Step:
        """Create the result of a step; called by `optimize` at its end.

        Losses that are not computed in every step keep their last value. The losses of discriminators (D_...) are not
        part of the epoch's mean, which schedules may use."""
        self.losses |= {name: loss.detach() for name, loss in losses.items()}
        minimised = [self.losses[name] for name in losses if not name.startswith("D_")]
        # A step that --on_nan skips must not make the epoch's mean NaN.
        self._epoch_loss += torch.stack(minimised).sum().nan_to_num(0.0, 0.0, 0.0)
        self._epoch_steps += 1
        order = {name: position for position, name in enumerate(PUBLIC_LOSSES)}
        names = sorted(self.losses, key=lambda name: order.get(name, len(order)))
        return Step(
            {name: self.losses[name] for name in names}, {name: image.detach() for name, image in images.items()}
        )

    def begin_at(self, epoch: int) -> None:
        """Set the learning rate of the beginning of an epoch."""
        for optimization in self.optimizations.values():
            optimization.schedule.begin_at(epoch)

    def end_epoch(self) -> None:
        """Step all learning rate schedules. Called after the last step of an epoch."""
        mean = float(average(self._epoch_loss)) / max(1.0, float(self._epoch_steps))
        for optimization in self.optimizations.values():
            optimization.schedule.step(mean)
        self.forget_epoch_loss()

    def forget_epoch_loss(self) -> None:
        """Reset the mean loss of the epoch."""
        self._epoch_loss.zero_()
        self._epoch_steps.zero_()

    @property
    def learning_rate(self) -> float:
        """The current learning rate, which is the same for all optimizers."""
        return next(optimization.schedule.learning_rate for optimization in self.optimizations.values())

    def describe(self, *, layers: bool, data: str) -> Iterator[str]:
        """Yield the networks' numbers of parameters, and their layers if `layers` is set; then how they are trained.

        data: describes the training data.
        """
        for name, network in self.networks.items():
            if layers:
                yield str(network)
            count = sum(parameter.numel() for parameter in network.parameters())
            yield f"[Network {name}] {count / 1e6:.3f} M parameters"
        yield f"training on {describe_device(self.device)} in {self.speed.precision}, {data}"
        yield f"speed: {self.speed.describe()}"

    def inference(self) -> None:
        """Switch all networks to evaluation mode: no dropout, and batch norms use their running statistics."""
        for network in self.networks.values():
            network.eval()

    @contextlib.contextmanager
    def for_inference(self) -> Iterator[None]:
        """Context in which all networks are in evaluation mode. At its end, the previous modes are restored."""
        modes = {name: network.training for name, network in self.networks.items()}
        self.inference()
        try:
            yield
        finally:
            for name, network in self.networks.items():
                network.train(modes[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the training state besides the networks' weights, as tensors and plain values.

        Every process must call it; rank 0 gets the state of all ranks.
        """
        return join(self._own_state())

    def _own_state(self) -> dict[str, Any]:
        """Return the state of this process."""
        return {
            "optimizers": {name: own.optimizer.state_dict() for name, own in self.optimizations.items()},
            "schedules": {name: own.schedule.state_dict() for name, own in self.optimizations.items()},
            "scalers": {name: own.scaler.state_dict() for name, own in self.optimizations.items()},
            "pools": {name: pool.state_dict() for name, pool in self.pools.items()},
            "averages": self.averages.state_dict() if self.averages else None,
            "losses": dict(self.losses),
            "steps": self.steps,
            "warm_up_done": self.warm_up_done,
            "epoch_loss": self._epoch_loss,
            "epoch_steps": int(self._epoch_steps),
            "random": random_state(self.device),
        }

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Restore a `state_dict`. Every process must call it; rank 0 passes the state, and the others None.

        Raises ValueError, or almost any other type, if the state is of another model.
        """
        state = take_own(state)
        for name, optimization in self.optimizations.items():
            scaler = state.get("scalers", {}).get(name, {})
            optimization.load_state_dict(state["optimizers"][name], state["schedules"][name], scaler)
        for name, pool_state in state.get("pools", {}).items():
            self.pools[name].load_state_dict(pool_state)
        if self.averages and state.get("averages"):
            self.averages.load_state_dict(state["averages"])
        # Older versions, which had no lazy terms and no warm-up, did not save these.
        self.losses = {name: loss.to(self.device) for name, loss in state.get("losses", {}).items()}
        self.steps, self.warm_up_done = state.get("steps", 0), state.get("warm_up_done", self.warm_up_steps)
        self._epoch_loss.copy_(state["epoch_loss"])
        self._epoch_steps.fill_(state["epoch_steps"])
        if "random" in state:  # missing if the number of processes has changed
            restore_random_state(state["random"], self.device)
