"""Records a training step as a CUDA graph and replays it, without the host launching each kernel.

As described in torch's notes on CUDA graphs ("whole-network capture"), a replayed step reads and writes the same memory
as the recorded one. Photos are therefore copied to tensors that belong to the graph, pool slots and learning rates are
tensors that are changed in place, and the result of a step is overwritten by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

EAGER_STEPS = 3
"""Steps before recording, in which libraries choose algorithms and optimizers create their states."""


class GraphedStep(Generic[Result]):
    """Runs `step` eagerly at first, then records it, and from then on replays the recording.

    Batches of a different size, such as the last of an epoch, are computed eagerly. If recording fails, this is printed
    once, and all steps are computed eagerly.
    """

    def __init__(self, step: Callable[..., Result]) -> None:
        self.step = step
        self.enabled = True
        self.reset()

    def reset(self) -> None:
        """Discard the recording. Call this when tensors that it uses were replaced."""
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._eager_steps = 0

    def __call__(self, *inputs: Tensor) -> Result:
        """Do one step on tensors on the device."""
        if not self.enabled or (self._graph and [x.shape for x in inputs] != [x.shape for x in self._inputs]):
            return self.step(*inputs)
        if self._graph is None:
            if self._eager_steps < EAGER_STEPS:
                return self._warm_up(*inputs)
            if not self._record(*inputs):
                return self.step(*inputs)
        assert self._graph is not None
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._result

    def _warm_up(self, *inputs: Tensor) -> Result:
        """Do an eager step on a side stream, which is required before recording."""
        self._eager_steps += 1
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self.step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return result

    def _record(self, *inputs: Tensor) -> bool:
        own = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        try:
            with torch.cuda.graph(graph):
                result = self.step(*own)
        except Exception as error:  # libraries fail in many ways within a graph; the run continues without
            self.enabled = False
            torch.cuda.synchronize()
            print(f"training without CUDA graphs, because recording failed: {type(error).__name__}: {error}")
            return False
        self._graph, self._inputs, self._result = graph, own, result
        return True
