"""Fused operation for everything between two convolutions: normalisation, activation, residual, padding.

    plain = activation(normalise(x) + residual)            padded = reflection_pad(plain)

As separate layers, this takes five passes over memory forward and more backward; fused, it takes two in each direction.
The normalisation is instance normalisation without parameters (Ulyanov et al. 2016, arXiv:1607.08022) with statistics
in at least float32.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.fast import norm_cpu


def reference(x: Tensor, residual: Tensor | None, padding: int, slope: float, eps: float) -> tuple[Tensor, Tensor]:
    """Compute padded and plain with torch's operations: the reference for tests of `norm_act_pad`, which is also
    differentiable twice."""
    wide = x.to(accumulation_type(x.dtype))
    variance, mean = torch.var_mean(wide, dim=(2, 3), correction=0, keepdim=True)
    plain = (wide - mean) * torch.rsqrt(variance + eps)
    if residual is not None:
        plain = plain + residual
    plain = F.leaky_relu(plain, slope) if slope != 1.0 else plain
    return F.pad(plain, (padding,) * 4, mode="reflect").to(x.dtype), plain


def accumulation_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type of statistics, residuals and arithmetic."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def kernels_for(device: torch.device) -> ModuleType:
    """Return the module with `forward` and `backward` for a device. Raises any error of importing it."""
    if device.type == "cuda":
        from models.fast import norm_cuda  # Triton is only part of torch's builds for GPUs

        return norm_cuda
    return norm_cpu


@cache
def kernels_work(device: torch.device, dtype: torch.dtype) -> str:
    """Return why the kernels cannot be used on a device for images of a type; an empty string if they can.

    They are run on a small image and compared with `reference`, including gradients, so that a missing or faulty
    compiler only costs speed.
    """
    if device.type not in ("cpu", "cuda"):
        return f"not available for {device.type}"
    try:
        return _difference_from_reference(device, dtype)
    except Exception as error:  # compilers and drivers fail in many ways
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _difference_from_reference(device: torch.device, dtype: torch.dtype) -> str:
    generator = torch.Generator().manual_seed(0)
    tolerance = torch.finfo(dtype).eps * (4 if dtype.itemsize == 2 else 100)
    for slope, padding, has_residual in ((0.0, 1, False), (1.0, 3, True), (0.2, 0, False)):
        x = torch.randn(2, 24, 9, 10, generator=generator).to(device, dtype).requires_grad_()
        residual = torch.randn(2, 24, 9, 10, generator=generator).to(device, accumulation_type(dtype)).requires_grad_()
        inputs = (x, residual) if has_residual else (x,)
        results = []
        for compute in (norm_act_pad, reference):
            with torch.enable_grad():
                outputs = [
                    y for y in compute(x, residual if has_residual else None, padding, slope, 1e-5) if y is not None
                ]
                outward = [torch.linspace(-1, 1, y.numel(), device=device).view_as(y).to(y.dtype) for y in outputs]
            results.append([*outputs, *torch.autograd.grad(outputs, inputs, outward)])
        for ours, theirs in zip(*results, strict=True):
            scale = max(1.0, float(theirs.detach().abs().max()))
            if not (ours.double() - theirs.double()).abs().max().item() <= tolerance * scale:
                return "their results differ from torch's operations on this machine"
    return ""


def channels_last(x: Tensor) -> Tensor:
    """Convert x to channels-last order. (torch considers images of one channel or one pixel to be in every order.)"""
    _, channels, height, width = x.shape
    strides = (height * width * channels, 1, width * channels, channels)
    if x.stride() == strides:
        return x
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _like(x: Tensor, dtype: torch.dtype, padding: int = 0) -> Tensor:
    images, channels, height, width = x.shape
    memory = torch.empty((images, height + 2 * padding, width + 2 * padding, channels), dtype=dtype, device=x.device)
    return memory.permute(0, 3, 1, 2)


class _NormActPad(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, residual: Tensor | None, padding: int, slope: float, eps: float, wants_plain: bool
    ) -> tuple[Tensor, Tensor | None]:
        x = channels_last(x)
        wide = accumulation_type(x.dtype)
        padded, plain = _like(x, x.dtype, padding), _like(x, wide) if wants_plain else None
        mean, scale = (torch.empty(x.shape[:2], dtype=wide, device=x.device) for _ in range(2))
        residual = None if residual is None else channels_last(residual)
        kernels_for(x.device).forward(x, residual, padded, plain, mean, scale, padding, slope, eps)
        ctx.save_for_backward(x, mean, scale)
        ctx.padding, ctx.slope, ctx.has_residual = padding, slope, residual is not None
        ctx.set_materialize_grads(False)
        return padded, plain

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        x, mean, scale = ctx.saved_tensors
        of_padded, of_plain = (None if gradient is None else channels_last(gradient) for gradient in gradients)
        of_x = _like(x, x.dtype)
        of_residual = _like(x, mean.dtype) if ctx.has_residual else None
        kernels_for(x.device).backward(x, mean, scale, of_padded, of_plain, of_x, of_residual, ctx.padding, ctx.slope)
        return of_x, of_residual, None, None, None, None


def norm_act_pad(
    x: Tensor, residual: Tensor | None, padding: int, slope: float, eps: float, *, wants_plain: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Compute, for images x (N, C, H, W), `padded` (N, C, H + 2 padding, W + 2 padding) of x's type and optionally
    `plain` (N, C, H, W), which is float32 (float64 for float64) so that a chain of residual blocks keeps its precision.

    slope: slope of the activation below 0; 0 is ReLU, 1 no activation. residual: like `plain`; only with slope 1. Both
    outputs are in channels-last order. Differentiable once. Raises ValueError for a padding that is not smaller than
    the image.
    """
    if residual is not None and slope != 1.0:
        raise ValueError("a residual can only be added without an activation (slope 1)")
    if padding >= min(x.shape[-2:]):
        raise ValueError(f"a reflection padding of {padding} pixels is too large for {x.shape[-2]} x {x.shape[-1]}")
    outputs: tuple[Tensor, Tensor | None] = _NormActPad.apply(x, residual, padding, slope, eps, wants_plain)
    return outputs


def composed(
    x: Tensor, residual: Tensor | None, padding: int, slope: float, eps: float, *, wants_plain: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Compute the same as `norm_act_pad` with torch's fastest layers, for devices without kernels.

    Uses group_norm with one group per channel, because F.instance_norm returns wrong input gradients on a CPU for a
    single image whose incoming gradient is in channels-last order (torch 2.13 to 2.15).
    """
    with torch.autocast(x.device.type, enabled=False):
        y = F.group_norm(x, x.shape[1], eps=eps)
    if residual is not None:
        y = y + residual
    if slope != 1.0:
        y = F.leaky_relu(y, slope) if slope else F.relu(y)
    plain = y.to(accumulation_type(x.dtype)) if wants_plain else None
    y = y.to(x.dtype)
    return F.pad(y, (padding,) * 4, mode="reflect") if padding else y, plain
