"""Fused normalisation for CPUs; the kernels are in norm_cpu.cpp."""

from __future__ import annotations

import ctypes
from pathlib import Path

from torch import Tensor

from models.fast.compiled import SUFFIXES, library, numbers, pointer

SOURCE = Path(__file__).with_suffix(".cpp")


def _shape(x: Tensor, padding: int) -> ctypes.Array[ctypes.c_long]:
    images, channels, height, width = x.shape
    return numbers(images, height, width, channels, padding)


def forward(
    x: Tensor,
    residual: Tensor | None,
    padded: Tensor | None,
    plain: Tensor | None,
    mean: Tensor,
    scale: Tensor,
    padding: int,
    slope: float,
    eps: float,
) -> None:
    """See `models.fast.norm`; fills padded, plain, mean and scale."""
    function = getattr(library(SOURCE), f"forward_{SUFFIXES[x.dtype]}")
    function(
        _shape(x, padding),
        *map(pointer, (x, residual, padded, plain, mean, scale)),
        ctypes.c_double(slope),
        ctypes.c_double(eps),
    )


def backward(
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    of_padded: Tensor | None,
    of_plain: Tensor | None,
    of_x: Tensor,
    of_residual: Tensor | None,
    padding: int,
    slope: float,
) -> None:
    """See `models.fast.norm`; fills of_x and, if given, of_residual."""
    function = getattr(library(SOURCE), f"backward_{SUFFIXES[x.dtype]}")
    pointers = map(pointer, (x, mean, scale, of_padded, of_plain, of_x, of_residual))
    function(_shape(x, padding), *pointers, ctypes.c_double(slope))
