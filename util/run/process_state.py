"""The training state of several processes as one: most of it is equal on all, and some is each one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from util.distributed import from_main, gather, place, scatter

OWN = ("pools", "random", "epoch_loss")
"""What differs between processes. A checkpoint has the main one's in its usual place, the others' under `processes`."""


def join(state: Mapping[str, Any]) -> dict[str, Any]:
    """What the main process is to save, given each process's state. Every process must call it."""
    if place().processes == 1:
        return dict(state)
    # A tensor of a GPU would come back on that GPU, in a process that has no business there.
    own = gather({name: _on_cpu(state[name]) for name in OWN})
    return {**state, "processes": own[1:]} if own else dict(state)


def take_own(state: Mapping[str, Any] | None) -> dict[str, Any]:
    """This process's state out of a saved one, which the main process has. Every process must call it.

    What another number of processes saved lacks `pools` and `random`: image pools begin empty then.
    """
    whole = state or {}
    common = from_main(lambda: {name: value for name, value in whole.items() if name not in (*OWN, "processes")})
    return {**common, **scatter(_shares(whole) if place().is_main else None)}


def count_processes(state: Mapping[str, Any]) -> int:
    """How many processes saved a state."""
    return 1 + len(state.get("processes", ()))


def _shares(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each process takes, by rank, of what was each one's own."""
    saved = [{name: state[name] for name in OWN}, *state.get("processes", ())]
    if len(saved) == place().processes:
        return saved
    loss = torch.stack([one["epoch_loss"] for one in saved]).mean()
    return [{"epoch_loss": loss}] * place().processes


def _on_cpu(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {name: _on_cpu(value) for name, value in state.items()}
    return state.cpu() if isinstance(state, Tensor) else state
