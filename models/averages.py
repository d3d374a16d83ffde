"""Exponential moving averages of the generators' weights, which are used for testing and display."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

NetworkT = TypeVar("NetworkT", bound=nn.Module)

WARMED_UP = 10**9
"""A number of steps after which the warm-up no longer limits the decay."""


class Averages:
    """Moving averages of the weights of some networks (Karras et al. 2018, arXiv:1710.10196, section 3.2).

    networks: by name; `averaged` contains the averages under the same names. decay: factor of the previous average at
    each step. In step t it is at most (1 + t) / (10 + t), so that random initial weights are soon forgotten.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        self.networks, self.decay = dict(networks), decay
        self.averaged = {name: average_of(network) for name, network in networks.items()}
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Update the averages. Call it after each training step of the networks."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, network in self.networks.items():
            averages, values = _tensors(self.averaged[name]), _tensors(network)
            torch._foreach_lerp_(
                [x for x in averages if x.is_floating_point()], [x for x in values if x.is_floating_point()], 1 - decay
            )

    def skip_warm_up(self) -> None:
        """Use the full decay from the next step, because the averages are of trained weights, which are worth
        keeping."""
        self.steps = WARMED_UP

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps. The averages themselves are saved as networks."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        self.steps = int(state["steps"])


def average_of(network: NetworkT) -> NetworkT:
    """Copy a network for evaluation, without gradients."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def _tensors(network: nn.Module) -> list[Tensor]:
    return list(chain(network.parameters(), network.buffers()))
