"""Splits the training state into what all ranks share and what each rank owns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from util.distributed import from_main, gather, place, scatter

OWN = ("pools", "random", "epoch_loss")
"""State that each rank owns. A checkpoint stores that of rank 0 under these names, the others' under `processes`."""


def join(state: Mapping[str, Any]) -> dict[str, Any]:
    """Combine the states of all ranks to the state that rank 0 saves. Every process must call it."""
    if place().processes == 1:
        return dict(state)
    # Otherwise rank 0 would receive the tensors on the other ranks' GPUs.
    own = gather({name: _on_cpu(state[name]) for name in OWN})
    return {**state, "processes": own[1:]} if own else dict(state)


def take_own(state: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return this rank's state from the saved state that rank 0 loaded. Every process must call it.

    If another number of processes saved it, `pools` and `random` are missing, and image pools start empty.
    """
    whole = state or {}
    common = from_main(lambda: {name: value for name, value in whole.items() if name not in (*OWN, "processes")})
    return {**common, **scatter(_shares(whole) if place().is_main else None)}


def count_processes(state: Mapping[str, Any]) -> int:
    """Return the number of processes that saved a state."""
    return 1 + len(state.get("processes", ()))


def _shares(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return, by rank, the part of a saved state that each process owns."""
    saved = [{name: state[name] for name in OWN}, *state.get("processes", ())]
    if len(saved) == place().processes:
        return saved
    loss = torch.stack([one["epoch_loss"] for one in saved]).mean()
    return [{"epoch_loss": loss}] * place().processes


def _on_cpu(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {name: _on_cpu(value) for name, value in state.items()}
    return state.cpu() if isinstance(state, Tensor) else state
