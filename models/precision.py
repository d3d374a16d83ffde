"""Precision of the networks' computations. Weights, losses and optimizer states are always float32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from util.arguments import OptionError
from util.device import has_quick_bf16, set_tf32

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("auto", "float32", "tf32", *AUTOCAST)


def resolve_precision(precision: str, device: torch.device, *, training: bool) -> str:
    """Choose the precision for a device, and set torch's TF32 flags accordingly. `auto` is float32 for inference.

    Raises OptionError if the device does not support the precision.
    """
    if precision == "auto":
        precision = "bf16" if training and has_quick_bf16(device) else "float32"
    if precision == "fp16" and device.type == "cpu":
        raise OptionError("--precision fp16 needs a GPU; use bf16, which has the range of float32 and works on CPUs")
    if precision == "tf32" and device.type != "cuda":
        raise OptionError("--precision tf32 needs an NVIDIA GPU; use float32 or bf16")
    set_tf32(precision == "tf32")
    return precision


class Network(nn.Module):
    """Base class of the networks: computes `body` in `autocast_dtype` and returns float32 images or logits.

    Convolutions compute in that type; torch's autocast keeps operations that need more precision in float32.
    """

    model: nn.Module
    autocast_dtype: torch.dtype | None = None
    """None: the type of the input"""
    channels_last = False
    """whether images have the channels-last memory format"""
    fast_body: Callable[[Tensor], Tensor] | None = None
    """a faster function that computes the same as `body`; differentiable once"""
    smooth_body: Callable[[Tensor], Tensor] | None = None
    """a function that computes the same as `body` and is differentiable twice; None: `body` itself"""

    @property
    def body(self) -> nn.Module:
        """The layers."""
        return self.model

    def parts(self) -> Sequence[Network]:
        """Return the networks that this network consists of, each with its own body."""
        return [self]

    @contextlib.contextmanager
    def plainly(self) -> Iterator[None]:
        """Context in which the network computes in the input's type and is differentiable twice, as gradient penalties
        need: 16 bits are not precise enough for these, and fast bodies are differentiable only once."""
        former = self.autocast_dtype, self.fast_body
        self.autocast_dtype, self.fast_body = None, self.smooth_body
        try:
            yield
        finally:
            self.autocast_dtype, self.fast_body = former

    def compute(self, images: Tensor) -> Tensor:
        """Compute `body` for images (N, C, H, W). Returns float32 (float64 for float64 images)."""
        compute = self.fast_body or self.body
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.autocast_dtype is None:
            output: Tensor = compute(images)
            return output
        with torch.autocast(images.device.type, dtype=self.autocast_dtype):
            output = compute(images)
        return output.float()
