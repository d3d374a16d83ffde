"""The training state of several processes as one: most of it is equal on all, and some is each one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    Saved by other numbers of processes, images of several pools become one pool's as far as it has room, or a pool
    begins empty (there is no `pools` then).
    """
    if place().processes == 1:
        assert state is not None
        return {**state, **_share(_saved(state), 0, 1)}
    whole = state or {}
    common = from_main(lambda: {name: value for name, value in whole.items() if name not in (*OWN, "processes")})
    everyone = range(place().processes)
    shares = [_share(_saved(whole), rank, len(everyone)) for rank in everyone] if place().is_main else None
    return {**common, **scatter(shares)}


def count_processes(state: Mapping[str, Any]) -> int:
    """How many processes saved a state."""
    return 1 + len(state.get("processes", ()))


def _saved(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{name: state[name] for name in OWN}, *state.get("processes", ())]


def _share(saved: Sequence[Mapping[str, Any]], rank: int, processes: int) -> Mapping[str, Any]:
    """What process `rank` takes of what so many saved."""
    if len(saved) == processes:
        return saved[rank]
    loss = torch.stack([one["epoch_loss"] for one in saved]).mean()
    mine = saved[rank::processes]
    if not mine:
        return {"epoch_loss": loss}
    pools = {name: _merge([one["pools"][name] for one in mine]) for name in mine[0]["pools"]}
    return {"pools": pools, "random": mine[0]["random"], "epoch_loss": loss}


def _merge(pools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """States of image pools as one; a pool takes what it has room for, from the front."""
    images = [pool["images"] for pool in pools if pool["images"] is not None]
    return {**pools[0], "images": torch.cat(images) if images else None}


def _on_cpu(state: Any) -> Any:
    if isinstance(state, Mapping):
        return {name: _on_cpu(value) for name, value in state.items()}
    return state.cpu() if isinstance(state, Tensor) else state
