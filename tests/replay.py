"""Record the operations of a function on a CPU, and run them again on the same memory, as a CUDA graph does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

LOOKS_AT_VALUES = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal")
"""Operations by which the host waits for the device."""


class Recording(TorchDispatchMode):
    """Notes each operation with the very tensors that it was given and gave."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, result))
        return result

    @property
    def looks(self) -> list[str]:
        """The operations that look at a value of a tensor."""
        names = [function.__name__ for function, *_ in self.operations]
        return [name for name in names if name.split(".")[0] in LOOKS_AT_VALUES]

    def replay(self) -> None:
        """Do all of it again: what was made anew is written where it lay, and nothing else happens on the host."""
        with torch.no_grad():
            for function, args, kwargs, result in self.operations:
                again = function(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor) and isinstance(new, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


def recorded(function: Callable[..., Any], *inputs: Tensor) -> tuple[Recording, Any]:
    """A recording of function(*inputs), and what it returned."""
    with Recording() as recording:
        result = function(*inputs)
    return recording, result
