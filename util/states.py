"""Saved states against those that they are to replace: a value of another kind is found before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def refuse_unlike(state: Any, like: Any, where: str = "state") -> None:
    """Raise ValueError where `state` lacks something that `like` has, or has another kind of value in its place.

    Kinds are: numbers (whole ones, where there is a whole one), texts, nothing, tensors of a shape, containers.
    """
    if isinstance(like, Mapping):
        missing = [str(name) for name in like if not isinstance(state, Mapping) or name not in state]
        if missing:
            raise ValueError(f"{where} lacks {', '.join(missing)}")
        for name, value in like.items():
            refuse_unlike(state[name], value, f"{where}: {name}")
    elif isinstance(like, (list, tuple)):
        if not isinstance(state, (list, tuple)) or len(state) != len(like):
            raise ValueError(f"{where} is no list of {len(like)}")
        for number, (value, other) in enumerate(zip(state, like, strict=True)):
            refuse_unlike(value, other, f"{where}: {number}")
    elif isinstance(like, Tensor):
        if not isinstance(state, Tensor) or state.shape != like.shape or state.is_complex() != like.is_complex():
            raise ValueError(f"{where} is no tensor of shape {tuple(like.shape)}")
    elif not _is_of_kind(state, like):
        raise ValueError(f"{where} is {state!r:.40}, not a value such as {like!r}")


def _is_of_kind(value: Any, like: Any) -> bool:
    if isinstance(like, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value  # NaN equals nothing
    if isinstance(like, int) and not isinstance(like, bool):
        return type(value) is int and abs(value) < 2**63
    return type(value) is type(like)
