"""In how many bits networks compute. Weights, losses and the optimizers' states are float32 in any case."""

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
    """The precision for a device, with what torch must know of it set; `auto` is float32 where nothing is trained.

    Raises OptionError where the device cannot do it.
    """
    if precision == "auto":
        precision = "bf16" if training and has_quick_bf16(device) else "float32"
    if precision == "fp16" and device.type == "cpu":
        raise OptionError("--precision fp16 needs a GPU; bf16 has the range of float32 and works on CPUs")
    if precision == "tf32" and device.type != "cuda":
        raise OptionError("--precision tf32 is for NVIDIA GPUs; use float32 or bf16")
    set_tf32(precision == "tf32")
    return precision


class Network(nn.Module):
    """A network of one part, `body`, which computes in `autocast_dtype` and gives float32 images or logits.

    Convolutions compute in that type; what torch's autocast takes to need more, it keeps in float32.
    """

    model: nn.Module
    autocast_dtype: torch.dtype | None = None
    """None: as its input is"""
    channels_last = False
    """whether images lie in memory pixel by pixel, rather than channel by channel"""
    fast_body: Callable[[Tensor], Tensor] | None = None
    """what computes the same as `body`, quicker; differentiable once"""
    smooth_body: Callable[[Tensor], Tensor] | None = None
    """the same, differentiable twice; None: `body` is"""

    @property
    def body(self) -> nn.Module:
        """The layers."""
        return self.model

    def parts(self) -> Sequence[Network]:
        """The networks that it consists of, each with a body of its own."""
        return [self]

    @contextlib.contextmanager
    def plainly(self) -> Iterator[None]:
        """Compute in the input's own type within, and differentiably: for gradients of gradients, which 16 bits are too
        coarse for and fast bodies do not have."""
        former = self.autocast_dtype, self.fast_body
        self.autocast_dtype, self.fast_body = None, self.smooth_body
        try:
            yield
        finally:
            self.autocast_dtype, self.fast_body = former

    def compute(self, images: Tensor) -> Tensor:
        """`body` of images (N, C, H, W), in float32 (float64 where these are)."""
        compute = self.fast_body or self.body
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.autocast_dtype is None:
            output: Tensor = compute(images)
            return output
        with torch.autocast(images.device.type, dtype=self.autocast_dtype):
            output = compute(images)
        return output.float()
