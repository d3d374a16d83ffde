"""Gradients averaged over processes while the backward pass that makes them is still at work.

torch's DistributedDataParallel does this for a network that is called through a wrapper. Here each network is called
several times before one backward pass, the discriminators also frozen, as they are, for the generators' losses, and
layer by layer for a gradient penalty: the step would have to say at each place which of two names it means. These hooks
sit on parameters instead. The step stays as it is, networks and their state dicts too, and the generators' gradients
travel until the discriminators' are computed.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from util.distributed import loss_noticed, place, require_equal

BUCKET_BYTES = 16 * 2**20
"""Sent at once: enough to fill a link, little enough that the first leaves early."""


class Bucket:
    """Parameters whose gradients travel together."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.missing: set[nn.Parameter] = set()
        self.flat: Tensor | None = None
        self.work: dist.Work | None = None

    def reset(self) -> None:
        """Wait for all gradients of the backward pass to come."""
        self.missing, self.flat, self.work = set(self.parameters), None, None

    def send(self) -> None:
        """Begin to sum the gradients over all processes; one that this process lacks counts as 0."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.flat = torch.cat([_gradient(parameter).reshape(-1) for parameter in self.parameters])
        with loss_noticed():
            self.work = dist.all_reduce(self.flat, async_op=True)

    def receive(self) -> None:
        """Put the mean into the parameters' gradients. On a GPU its stream waits, not the host."""
        assert self.work is not None and self.flat is not None  # sent
        with loss_noticed():
            self.work.wait()
        self.flat /= place().processes
        parts = self.flat.split([parameter.numel() for parameter in self.parameters])
        for parameter, part in zip(self.parameters, parts, strict=True):
            _gradient(parameter).copy_(part.view_as(parameter))
        self.flat = self.work = None


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


class GradientAveraging:
    """Makes the gradients of some parameters the mean over all processes; on one process it does nothing.

    `begin` before the last backward pass of a step (gradients that earlier ones added are sent with it), `finish`
    before the optimizer's step. All processes send the same buckets in the same order, however gradients come.

    parameters: in the order in which networks use them. Raises UserError where processes have different ones.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], bucket_bytes: int = BUCKET_BYTES) -> None:
        self.buckets: list[Bucket] = []
        self.sent = 0
        self._is_averaging = False
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if place().processes == 1:
            return
        require_equal(sum(parameter.numel() for parameter in trained), "the processes train different parameters, "
                      "perhaps because a compiler for the own kernels is not on every machine (--speedups none does "
                      "without); their numbers")  # fmt: skip
        self.buckets = [Bucket(group) for group in _grouped(reversed(trained), bucket_bytes)]
        self._bucket_of = {parameter: bucket for bucket in self.buckets for parameter in bucket.parameters}
        for parameter in trained:
            parameter.register_post_accumulate_grad_hook(self._arrived)

    def begin(self) -> None:
        """The next backward pass is the step's last."""
        self.sent, self._is_averaging = 0, bool(self.buckets)
        for bucket in self.buckets:
            bucket.reset()

    def _arrived(self, parameter: Tensor) -> None:
        if not self._is_averaging:
            return
        assert isinstance(parameter, nn.Parameter)
        self._bucket_of[parameter].missing.discard(parameter)
        while self.sent < len(self.buckets) and not self.buckets[self.sent].missing:
            self._send_next()

    def _send_next(self) -> None:
        self.buckets[self.sent].send()
        self.sent += 1

    def finish(self) -> None:
        """Send what is left, and wait for all."""
        while self.sent < len(self.buckets):
            self._send_next()
        for bucket in self.buckets:
            bucket.receive()
        self._is_averaging = False


def _grouped(parameters: Iterable[nn.Parameter], most_bytes: int) -> list[list[nn.Parameter]]:
    """The parameters in order, in groups of one type and of about so many bytes."""
    groups: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        own = parameter.numel() * parameter.element_size()
        if not groups or size + own > most_bytes or parameter.dtype != groups[-1][0].dtype:
            groups.append([])
            size = 0
        groups[-1].append(parameter)
        size += own
    return groups
