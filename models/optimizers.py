"""Creates Adam for any device, and restores its state on a device other than the one it was saved on."""

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
    """Create Adam (Kingma and Ba 2015, arXiv:1412.6980).

    fused: whether to update all parameters in one kernel. capturable: whether everything that changes, including the
    learning rate, is on the device, so that the step can be part of a CUDA graph.
    """
    rate = torch.tensor(lr, device=device) if capturable else lr
    capturable = capturable and device.type == "cuda"
    return torch.optim.Adam(parameters, lr=rate, betas=betas, fused=fused or None, capturable=capturable)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups, in place if it is a tensor on the device."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def load_moments(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Restore the moments and step counts from a saved state. All other settings of the optimizer are kept.

    Raises ValueError if the state is of other parameters.
    """
    groups = [
        {**{name: value for name, value in own.items() if name != "params"}, "params": saved["params"]}
        for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
    for parameter, moments in optimizer.state.items():
        for name, moment in moments.items():
            if moment.shape == parameter.shape and moment.stride() != parameter.stride():
                # Saved with another memory format: fused kernels assume that moments and weights have the same one.
                moments[name] = torch.empty_like(parameter).copy_(moment)
