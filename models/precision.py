"""In how many bits networks compute. Weights, losses and the optimizers' states are float32 in any case."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from util.arguments import OptionError, option
from util.device import has_quick_bf16, set_tf32

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("auto", "float32", "tf32", *AUTOCAST)


@dataclass(frozen=True)
class PrecisionOptions:
    """precision"""

    precision: str = option(
        "auto",
        help="what the networks compute in: float32; tf32 (NVIDIA GPUs); bf16; fp16 (GPUs), with scaled losses; auto: "
        "bf16 where the device has units for it, float32 elsewhere",
        choices=PRECISIONS,
    )

    def resolve(self, device: torch.device) -> str:
        """The precision for a device, with what torch must know of it set. Raises OptionError where it cannot be."""
        precision = self.precision
        if precision == "auto":
            precision = "bf16" if has_quick_bf16(device) else "float32"
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

    autocast_dtype: torch.dtype | None = None
    """None: as its input is"""

    @contextlib.contextmanager
    def in_float32(self) -> Iterator[None]:
        """Compute in the input's own type within: for gradients of gradients, which 16 bits are too coarse for."""
        former, self.autocast_dtype = self.autocast_dtype, None
        try:
            yield
        finally:
            self.autocast_dtype = former

    def compute(self, body: nn.Module, images: Tensor) -> Tensor:
        """`body` of images (N, C, H, W), in float32."""
        if self.autocast_dtype is None:
            output: Tensor = body(images)
            return output
        with torch.autocast(images.device.type, dtype=self.autocast_dtype):
            output = body(images)
        return output.float()
