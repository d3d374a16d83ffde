"""What train.py and test.py ask of a model."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from models.averages import Averages
from models.fast.speed import Speed
from models.optimization import Optimization
from models.schedules import ScheduleOptions
from util.device import random_state, restore_random_state
from util.distributed import average
from util.image_pool import ImagePool
from util.run.process_state import join, take_own

SHA256 = "_sha256"
"""Ends the names under which the hashes of teachers are saved with the options, though they are none."""


PUBLIC_LOSSES = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")
"""In the order in which the public code base lists them; others follow in the order of their computation."""


class Step(NamedTuple):
    """What one training step leaves: named scalar losses and named images (N, C, H, W) in [-1, 1], all on the
    device."""

    losses: dict[str, Tensor]
    images: dict[str, Tensor]


class ModelOptions(Protocol):
    """What the commands read of the options of a model that only translates; a dataclass, see `options_class`."""

    @property
    def channels(self) -> dict[str, int]:
        """Channels of the images of each domain, "A" and "B"."""


class TrainableOptions(ModelOptions, Protocol):
    """What train.py reads besides of the options of a model that can be trained."""

    @property
    def schedule(self) -> ScheduleOptions:
        """Length of the training and learning rate."""

    @property
    def teachers(self) -> dict[str, Path]:
        """Age estimators that the model is trained against, by the option that names them: evaluate.py refuses to
        measure by these. Empty for none."""


class BaseModel(ABC):
    """Networks, and what is needed to train them. A constructor returns a ready object.

    networks: by the names that their checkpoint files bear (`latest_net_G_A.pth` holds `networks["G_A"]`).
    optimizations, pools: by name; empty in a model that only translates. averages: of networks, or None.
    speed: how the networks compute. steps: training steps so far. losses: each as it was last computed.
    """

    options_class: ClassVar[type]
    """the dataclass of options that this model is built from"""
    trainable: ClassVar[bool] = True

    def __init__(
        self, options: Any, device: torch.device, *, training: bool = False, seed: int = 0, parts: int = 1
    ) -> None:
        """options: an instance of `options_class`. seed: of what the model draws itself. parts: number of
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
        self._epoch_steps = torch.zeros((), device=device)  # on the device, as a CUDA graph counts them

    @abstractmethod
    def translate(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate the photos of a batch: tensors (N, C, H, W) in [-1, 1] under "A", "B" or both, to named images."""

    def optimize(self, batch: Mapping[str, Any]) -> Step:
        """One step of all optimizers on a batch with photos under "A" and "B"."""
        raise NotImplementedError(f"{type(self).__name__} translates only")

    @property
    def warm_up_steps(self) -> int:
        """Steps of `warm_up` that are to come before the first of `optimize`."""
        return 0

    @property
    def warm_up_batch(self) -> int:
        """Photos of each domain in a step of `warm_up`."""
        return 1

    def warm_up(self, batch: Mapping[str, Any]) -> Step:
        """One step of what is trained before training proper."""
        raise NotImplementedError(f"{type(self).__name__} has no warm-up")

    def told_apart(self, batch: Mapping[str, Any]) -> dict[str, float]:
        """How well the warmed-up networks do on a batch, by network: the share of photos judged rightly."""
        raise NotImplementedError(f"{type(self).__name__} has no warm-up")

    def report(self, losses: Mapping[str, Tensor], images: Mapping[str, Tensor]) -> Step:
        """What a step leaves, to be called by `optimize` at its end. Losses that are not in every step are repeated as
        they were last; those of discriminators (D_...) do not count in the epoch's mean, which schedules may follow."""
        self.losses |= {name: loss.detach() for name, loss in losses.items()}
        minimised = [self.losses[name] for name in losses if not name.startswith("D_")]
        # A step that --on_nan skips must not spoil the epoch's mean.
        self._epoch_loss += torch.stack(minimised).sum().nan_to_num(0.0, 0.0, 0.0)
        self._epoch_steps += 1
        order = {name: position for position, name in enumerate(PUBLIC_LOSSES)}
        names = sorted(self.losses, key=lambda name: order.get(name, len(order)))
        return Step(
            {name: self.losses[name] for name in names}, {name: image.detach() for name, image in images.items()}
        )

    def begin_at(self, epoch: int) -> None:
        """Take the learning rate that an epoch begins with."""
        for optimization in self.optimizations.values():
            optimization.schedule.begin_at(epoch)

    def end_epoch(self) -> None:
        """Move every schedule on; called after the last step of an epoch."""
        mean = float(average(self._epoch_loss)) / max(1.0, float(self._epoch_steps))
        for optimization in self.optimizations.values():
            optimization.schedule.step(mean)
        self.forget_epoch_loss()

    def forget_epoch_loss(self) -> None:
        """Begin the mean loss of an epoch anew."""
        self._epoch_loss.zero_()
        self._epoch_steps.zero_()

    @property
    def learning_rate(self) -> float:
        """The present learning rate (the same for all optimizers)."""
        return next(optimization.schedule.learning_rate for optimization in self.optimizations.values())

    def describe(self, *, layers: bool) -> Iterator[str]:
        """Each network's number of parameters, and its layers where these are wanted."""
        for name, network in self.networks.items():
            if layers:
                yield str(network)
            count = sum(parameter.numel() for parameter in network.parameters())
            yield f"[Network {name}] {count / 1e6:.3f} M parameters"

    def inference(self) -> None:
        """Switch every network to evaluation: no dropout, batch norms by their running statistics."""
        for network in self.networks.values():
            network.eval()

    @contextlib.contextmanager
    def for_inference(self) -> Iterator[None]:
        """Within, every network is in evaluation mode; afterwards in that which it was in."""
        modes = {name: network.training for name, network in self.networks.items()}
        self.inference()
        try:
            yield
        finally:
            for name, network in self.networks.items():
                network.train(modes[name])

    def state_dict(self) -> dict[str, Any]:
        """All that training needs besides the networks' weights: tensors and plain values only.

        Of several processes each must call it; the main one gets what is to be saved for all.
        """
        return join(self._own_state())

    def _own_state(self) -> dict[str, Any]:
        """Of this process alone."""
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
        """The reverse of `state_dict`; of several processes, the main one has the state and the others None.

        Raises ValueError, or nearly anything else, for the state of another model.
        """
        state = take_own(state)
        for name, optimization in self.optimizations.items():
            scaler = state.get("scalers", {}).get(name, {})
            optimization.load_state_dict(state["optimizers"][name], state["schedules"][name], scaler)
        for name, pool_state in state.get("pools", {}).items():
            self.pools[name].load_state_dict(pool_state)
        if self.averages and state.get("averages"):
            self.averages.load_state_dict(state["averages"])
        # States of older versions lack these: no term was lazy then, and nothing warmed up.
        self.losses = {name: loss.to(self.device) for name, loss in state.get("losses", {}).items()}
        self.steps, self.warm_up_done = state.get("steps", 0), state.get("warm_up_done", self.warm_up_steps)
        self._epoch_loss.copy_(state["epoch_loss"])
        self._epoch_steps.fill_(state["epoch_steps"])
        if "random" in state:  # not where more processes go on than saved
            restore_random_state(state["random"], self.device)
