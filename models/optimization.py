"""Updates weights in a training step: Adam, learning rate schedule, loss scaling, gradients of several processes."""

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
    """Updates the weights of networks that are trained together.

    Each step consists of `begin`, `backward` for each micro-batch, and `step`.
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
        # Without scaling, small fp16 gradients would be rounded to 0. For other precisions the scaler does nothing.
        self.scaler = torch.amp.GradScaler(device.type, enabled=speed.precision == "fp16")
        self.fixed_scale: float | None = None

    def skip_not_finite(self) -> None:
        """From now on, do not update the weights if gradients are not finite. The scaler for fp16 does this anyway; for
        other precisions, a scaler with a constant scale of 1 is used, which decides on the device."""
        if not self.scaler.is_enabled():
            self.scaler = torch.amp.GradScaler(self.parameters[0].device.type, init_scale=1.0)
            self.fixed_scale = 1.0

    def begin(self) -> None:
        """Clear the gradients of the previous step."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Accumulate the gradients of the sum of `losses`. share: size of the micro-batch relative to the batch."""
        self.scaler.scale(share * torch.stack(list(losses.values())).sum()).backward()

    def step(self) -> None:
        """Update the weights with the mean of the gradients over all processes."""
        average_gradients(self.parameters)
        self.scaler.step(self.optimizer)
        self.scaler.update(self.fixed_scale)

    def load_state_dict(
        self, optimizer: Mapping[str, Any], schedule: Mapping[str, Any], scaler: Mapping[str, Any]
    ) -> None:
        """Restore the states of optimizer, schedule and scaler. Raises ValueError, or almost any other type, if they
        belong to other networks."""
        load_moments(self.optimizer, optimizer)
        self.schedule.load_state_dict(schedule)
        if scaler and self.scaler.is_enabled():  # empty unless saved with fp16 or --on_nan skip
            self.scaler.load_state_dict(dict(scaler))
