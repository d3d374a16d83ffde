"""What a training step needs besides its losses: Adam, its schedule, loss scaling, gradients of several processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from models.fast.speed import Speed
from models.optimizers import create_adam, load_moments
from models.schedules import Schedule, ScheduleOptions
from util.distributed import average_gradients


class Optimization:
    """Moves the weights of networks that are trained together.

    In each step: `begin`, `backward` for each micro-batch, `step`.
    """

    def __init__(
        self, networks: Iterable[nn.Module], options: ScheduleOptions, device: torch.device, speed: Speed
    ) -> None:
        self.parameters = parameters = list(chain.from_iterable(network.parameters() for network in networks))
        fused = "adam" in speed.speedups and device.type in ("cpu", "cuda")
        self.optimizer = create_adam(
            parameters, options.lr, (options.beta1, options.beta2), device, fused=fused, capturable=speed.cuda_graphs
        )
        self.schedule = Schedule(self.optimizer, options)
        # Small fp16 gradients would round to 0; in every other precision the scaler does nothing.
        self.scaler = torch.amp.GradScaler(device.type, enabled=speed.precision == "fp16")
        self.fixed_scale: float | None = None

    def skip_not_finite(self) -> None:
        """From now on leave the weights as they are where gradients are not finite. A scaler does that in fp16 anyhow;
        elsewhere it is one whose scale stays 1, which decides on the device."""
        if not self.scaler.is_enabled():
            self.scaler = torch.amp.GradScaler(self.parameters[0].device.type, init_scale=1.0)
            self.fixed_scale = 1.0

    def begin(self) -> None:
        """Forget the gradients of the step before."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Add the gradients of the sum of `losses`, for a micro-batch that is such a share of the batch."""
        self.scaler.scale(share * torch.stack(list(losses.values())).sum()).backward()

    def step(self) -> None:
        """Move the weights by the mean of the gradients over all processes."""
        average_gradients(self.parameters)
        self.scaler.step(self.optimizer)
        self.scaler.update(self.fixed_scale)

    def load_state_dict(
        self, optimizer: Mapping[str, Any], schedule: Mapping[str, Any], scaler: Mapping[str, Any]
    ) -> None:
        """Take the states of the three over. Raises ValueError, or nearly anything else, for those of other
        networks."""
        load_moments(self.optimizer, optimizer)
        self.schedule.load_state_dict(schedule)
        if scaler and self.scaler.is_enabled():  # empty in all precisions but fp16
            self.scaler.load_state_dict(dict(scaler))
