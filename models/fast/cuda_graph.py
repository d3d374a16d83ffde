"""A training step as one CUDA graph: recorded once, then replayed without the host's work for each kernel.

After torch's notes on CUDA graphs ("whole-network capture"): what the step reads and writes must lie where it lay when
it was recorded. Photos are therefore copied into tensors of the graph's own, random slots of the pools and learning
rates are tensors that are changed in place, and what a step returns is overwritten by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

EAGER_STEPS = 3
"""Before recording: libraries choose their algorithms, optimizers make their states."""


class GraphedStep(Generic[Result]):
    """Calls `step` eagerly at first, then records it, and from then on replays the record.

    Batches of another size than the recorded one (an epoch's last) are computed eagerly. If recording fails, `report`
    is told once, and all goes on eagerly.
    """

    def __init__(self, step: Callable[..., Result], report: Callable[[str], None] = print) -> None:
        self.step, self.report = step, report
        self.enabled = True
        self.reset()

    def reset(self) -> None:
        """Forget the record: for when tensors that it works on were replaced."""
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._eager_steps = 0

    def __call__(self, *inputs: Tensor) -> Result:
        """One step on tensors of the device."""
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
        """An eager step on a side stream, as recording needs it before."""
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
        except Exception as error:  # whatever a library cannot do within a graph, the run goes on without
            self.enabled = False
            torch.cuda.synchronize()
            self.report(f"no CUDA graph of the training step, which goes on without: {type(error).__name__}: {error}")
            return False
        self._graph, self._inputs, self._result = graph, own, result
        return True
