"""3 x 3 convolutions on CPUs with two thirds of the multiplications: Winograd's F(2, 3) along image rows.

See Winograd 1980, "Arithmetic Complexity of Computations"; for networks, Lavin and Gray 2016, arXiv:1509.09308. Only
one dimension is transformed: with two, there would be 2.25 times fewer products, but 4 times the memory traffic.

The kernels in winograd_cpu.cpp compute sums and differences; the remaining four convolutions with 3 x 1 kernels and
their gradients are computed by torch. The result is exact up to rounding; in 16 bits, the sums are rounded too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.fast.compiled import SUFFIXES, library, numbers, pointer
from models.fast.norm import channels_last

SOURCE = Path(__file__).with_name("winograd_cpu.cpp")
SMALLEST_CHANNELS = 16
"""With fewer channels, computing the sums takes longer than it saves."""


def pays(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """Return whether `convolve_3x3` speeds a layer up: 3 x 3, stride 1, no padding of its own, enough channels."""
    return (
        type(layer) is nn.Conv2d
        and layer.kernel_size == (3, 3)
        and (layer.stride, layer.padding, layer.dilation, layer.groups) == ((1, 1), (0, 0), (1, 1), 1)
        and min(layer.in_channels, layer.out_channels) >= SMALLEST_CHANNELS
    )


def fits(x: Tensor) -> bool:
    """Return whether `convolve_3x3` supports images (N, C, H, W): on a CPU and of even width."""
    return x.device.type == "cpu" and x.dtype in SUFFIXES and x.shape[3] % 2 == 0 and min(x.shape[2:]) > 3


def convolve_3x3(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve images x (N, C, H, W), W even, with weight (O, C, 3, 3) without padding. Returns (N, O, H - 2, W - 2).

    weight is float32 (float64 if x is float64). The result is in channels-last order and has x's type, or autocast's
    under autocast. Differentiable once.
    """
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    y: Tensor = _Convolve.apply(x, weight)
    return y


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = channels_last(x), channels_last(weight)
        ctx.save_for_backward(x, weight)
        v, u = _input_parts(x), _weight_parts(weight, x.dtype)
        m = [channels_last(F.conv2d(image, kernel)) for image, kernel in zip(v, u, strict=True)]
        images, outputs, height, half_width = m[0].shape
        y = _empty(images, height, 2 * half_width, outputs, x.dtype)
        _call("output_forward", x.dtype, numbers(images, height, 2 * half_width, outputs), m, y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad
        of_y = channels_last(gradients[0])
        images, outputs, height, width = of_y.shape
        of_m = [_empty(images, height, width // 2, outputs, x.dtype) for _ in range(4)]
        _call("output_backward", x.dtype, numbers(images, height, width, outputs), of_y, of_m)
        # Computed again instead of saved: they are twice as large as x and weight, and fast to compute.
        pairs = zip(of_m, _input_parts(x), _weight_parts(weight, x.dtype), strict=True)
        parts = [
            torch.ops.aten.convolution_backward(
                gradient, image, kernel, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (wants_x, wants_weight, False)
            )
            for gradient, image, kernel in pairs
        ]
        of_x = _join_input([part[0] for part in parts], x) if wants_x else None
        return of_x, _join_weight([part[1] for part in parts], weight, x.dtype) if wants_weight else None


def _empty(images: int, height: int, width: int, channels: int, dtype: torch.dtype) -> Tensor:
    return torch.empty((images, height, width, channels), dtype=dtype).permute(0, 3, 1, 2)


def _input_parts(x: Tensor) -> list[Tensor]:
    images, channels, height, width = x.shape
    v = [_empty(images, height, (width - 2) // 2, channels, x.dtype) for _ in range(4)]
    _call("input_forward", x.dtype, numbers(images, height, width, channels), x, v)
    return v


def _join_input(of_v: Sequence[Tensor], x: Tensor) -> Tensor:
    images, channels, height, width = x.shape
    of_x = _empty(images, height, width, channels, x.dtype)
    _call("input_backward", x.dtype, numbers(images, height, width, channels), list(map(channels_last, of_v)), of_x)
    return of_x


def _weight_parts(weight: Tensor, dtype: torch.dtype) -> list[Tensor]:
    outputs, inputs, rows, _ = weight.shape
    u = [_empty(outputs, rows, 1, inputs, dtype) for _ in range(4)]
    _call("weight_forward", dtype, numbers(outputs * rows, inputs), weight, u)
    return u


def _join_weight(of_u: Sequence[Tensor], weight: Tensor, dtype: torch.dtype) -> Tensor:
    outputs, inputs, rows, columns = weight.shape
    of_weight = _empty(outputs, rows, columns, inputs, weight.dtype)
    _call("weight_backward", dtype, numbers(outputs * rows, inputs), list(map(channels_last, of_u)), of_weight)
    return of_weight


def _call(name: str, dtype: torch.dtype, shape: ctypes.Array[ctypes.c_long], *tensors: Tensor | list[Tensor]) -> None:
    """Call a kernel by name for images of `dtype`. A list of four tensors is passed as an array of four addresses.
    Raises TypeError if a tensor does not have the type that the kernel reads."""
    of_one = torch.promote_types(dtype, torch.float32) if name.startswith("weight") else dtype
    for tensor in tensors:
        parts, expected = (tensor, dtype) if isinstance(tensor, list) else ([tensor], of_one)
        if any(part.dtype != expected for part in parts):
            raise TypeError(f"{name} for {dtype} images was given {', '.join(str(part.dtype) for part in parts)}")
    arguments = [
        (ctypes.c_void_p * 4)(*(part.data_ptr() for part in tensor)) if isinstance(tensor, list) else pointer(tensor)
        for tensor in tensors
    ]
    getattr(library(SOURCE), f"{name}_{SUFFIXES[dtype]}")(shape, *arguments)
