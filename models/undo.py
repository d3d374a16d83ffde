"""Taking a training step back."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from models.base_model import BaseModel
from util.device import random_state, restore_random_state


class Undo:
    """Remembers all that a step of `model` changes, and puts it back in place: every tensor keeps its address.

    Takes as much memory again as weights, optimizers' states and pools.
    """

    def __init__(self, model: BaseModel) -> None:
        self.model = model
        self._copies: dict[Hashable, Tensor] = {}
        self._values: dict[str, Any] = {}

    @torch.no_grad()
    def remember(self) -> None:
        """The state before a step; the one remembered before is forgotten."""
        for key, tensor in self._tensors().items():
            if key in self._copies and self._copies[key].shape == tensor.shape:
                self._copies[key].copy_(tensor)
            else:
                self._copies[key] = tensor.clone()
        model = self.model
        self._values = {
            "pools": {name: (pool.stored, pool.generator.get_state()) for name, pool in model.pools.items()},
            "scalers": {
                name: scaler.state_dict()
                for name, own in model.optimizations.items()
                if (scaler := own.scaler).is_enabled()
            },
            "counts": (model._epoch_steps.clone(), model.steps, dict(model.losses)),
            "random": random_state(model.device),
        }

    @torch.no_grad()
    def undo(self) -> None:
        """Make the model what it was when `remember` was called."""
        model, values = self.model, self._values
        for key, tensor in self._tensors().items():
            if key in self._copies:
                tensor.copy_(self._copies[key])
            else:  # made by the first step: optimizers' states and pools begin as zeros
                tensor.zero_()
        for name, pool in model.pools.items():
            pool.stored = values["pools"][name][0]
            pool.generator.set_state(values["pools"][name][1])
        for name, state in values["scalers"].items():
            model.optimizations[name].scaler.load_state_dict(state)
        model._epoch_steps, model.steps, model.losses = values["counts"]
        restore_random_state(values["random"], model.device)

    def _tensors(self) -> dict[Hashable, Tensor]:
        """All tensors that a step writes to, by a key that stays."""
        tensors: dict[Hashable, Tensor] = {"epoch_loss": self.model._epoch_loss}
        for name, network in self.model.networks.items():
            tensors.update({(name, key): value for key, value in network.state_dict().items()})
        for name, optimizer in ((name, own.optimizer) for name, own in self.model.optimizations.items()):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            for number, parameter in enumerate(parameters):
                for key, value in optimizer.state.get(parameter, {}).items():
                    if isinstance(value, Tensor):
                        tensors[name, number, key] = value
        for name, pool in self.model.pools.items():
            if pool.buffer is not None:
                tensors["pool", name] = pool.buffer
        return tensors
