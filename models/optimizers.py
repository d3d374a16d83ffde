"""Adam for networks on any device, and its state on another than it was saved on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def create_adam(
    parameters: Iterable[nn.Parameter],
    lr: float,
    betas: tuple[float, float],
    device: torch.device,
    *,
    fused: bool,
    capturable: bool,
) -> torch.optim.Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980).

    fused: all parameters in one kernel. capturable: every number that changes lies on the device, the learning rate
    too, so that the step can be part of a CUDA graph.
    """
    rate = torch.tensor(lr, device=device) if capturable else lr
    capturable = capturable and device.type == "cuda"
    return torch.optim.Adam(parameters, lr=rate, betas=betas, fused=fused or None, capturable=capturable)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of all groups; in place where it lies on the device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def load_moments(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Take the moments and step counts out of a saved state; rates, decay and ways to compute stay this optimizer's.

    Raises ValueError where the state is of other parameters.
    """
    groups = [
        {**{name: value for name, value in own.items() if name != "params"}, "params": saved["params"]}
        for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
    for parameter, moments in optimizer.state.items():
        for name, moment in moments.items():
            if moment.shape == parameter.shape and moment.stride() != parameter.stride():
                # Saved where weights lay in another order: fused kernels take them to lie alike.
                moments[name] = torch.empty_like(parameter).copy_(moment)
