"""Fused normalisation for NVIDIA GPUs in Triton, for images in channels-last order. Compiled at first use.

There are two kernels forward (sums, result) and two backward. Each program handles a tile of pixels and channels. The
reflection is computed when reading, in both directions, so that no two programs write to the same address and results
are deterministic.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PIXELS, CHANNELS = 32, 64
"""Size of a tile."""
WIDE = {torch.float32: tl.float32, torch.float64: tl.float64}


@triton.jit
def _mirror(position, size):
    """Map a position in the padding to the position that it reflects."""
    position = tl.abs(position)
    return tl.where(position < size, position, 2 * (size - 1) - position)


@triton.jit
def _total(partial, n, channel, inside, channels, SPLITS: tl.constexpr):
    """Add up both partial sums (images, splits, 2, channels) for the channels of a tile."""
    split = tl.arange(0, SPLITS)[:, None]
    at = partial + ((n * SPLITS + split) * 2) * channels + channel[None, :]
    mask = inside[None, :] & (split < SPLITS)
    return tl.sum(tl.load(at, mask, 0.0), 0), tl.sum(tl.load(at + channels, mask, 0.0), 0)


@triton.jit
def _sums(x, partial, pixels, channels, WIDE: tl.constexpr, SPLITS: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr):
    """Sum the values and their squares, relative to the first pixel to keep precision if the mean is far from 0."""
    n, split = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channel = tl.program_id(2) * BC + tl.arange(0, BC)
    inside = channel < channels
    x += n * pixels * channels
    origin = tl.load(x + channel, inside, 0.0).to(WIDE)
    total, squares = tl.zeros([BC], WIDE), tl.zeros([BC], WIDE)
    for start in range(split * BP, pixels, SPLITS * BP):
        pixel = start + tl.arange(0, BP)
        mask = (pixel < pixels)[:, None] & inside[None, :]
        value = tl.load(x + pixel[:, None] * channels + channel[None, :], mask, 0.0).to(WIDE) - origin[None, :]
        value = tl.where(mask, value, 0.0)
        total += tl.sum(value, 0)
        squares += tl.sum(value * value, 0)
    out = partial + (n * SPLITS + split) * 2 * channels + channel
    tl.store(out, total, inside)
    tl.store(out + channels, squares, inside)


@triton.jit
def _forward(
    x,
    residual,
    padded,
    plain,
    mean,
    scale,
    partial,
    height,
    width,
    channels,
    slope,
    eps,
    PADDING: tl.constexpr,
    ADDS: tl.constexpr,
    KEEPS: tl.constexpr,
    WIDE: tl.constexpr,
    SPLITS: tl.constexpr,
    BP: tl.constexpr,
    BC: tl.constexpr,
):
    """Normalise, add the residual, activate, and write each pixel of the padded image."""
    n, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channel = tl.program_id(2) * BC + tl.arange(0, BC)
    inside = channel < channels
    pixels = height * width
    total, squares = _total(partial, n, channel, inside, channels, SPLITS)
    offset = total / pixels
    m = tl.load(x + n * pixels * channels + channel, inside, 0.0).to(WIDE) + offset
    k = 1.0 / tl.sqrt(tl.maximum(squares / pixels - offset * offset, 0.0) + eps)
    if tile == 0:
        tl.store(mean + n * channels + channel, m, inside)
        tl.store(scale + n * channels + channel, k, inside)
    padded_width = width + 2 * PADDING
    padded_pixels = (height + 2 * PADDING) * padded_width
    to = tile * BP + tl.arange(0, BP)
    row, column = to // padded_width - PADDING, to % padded_width - PADDING
    source_row, source_column = _mirror(row, height), _mirror(column, width)
    mask = (to < padded_pixels)[:, None] & inside[None, :]
    source = (n * pixels + source_row * width + source_column)[:, None] * channels + channel[None, :]
    value = (tl.load(x + source, mask, 0.0).to(WIDE) - m[None, :]) * k[None, :]
    if ADDS:
        value += tl.load(residual + source, mask, 0.0)
    value = tl.where(value > 0, value, value * slope)
    tl.store(padded + (n * padded_pixels + to)[:, None] * channels + channel[None, :], value, mask)
    if KEEPS:
        is_original = (row == source_row) & (column == source_column)
        tl.store(plain + source, value, mask & is_original[:, None])


@triton.jit
def _gathered(
    of_padded,
    of_plain,
    n,
    pixel,
    channel,
    mask,
    height,
    width,
    channels,
    PADDING: tl.constexpr,
    HAS_PADDED: tl.constexpr,
    HAS_PLAIN: tl.constexpr,
    WIDE: tl.constexpr,
    BP: tl.constexpr,
    BC: tl.constexpr,
):
    """Compute the gradient of a tile of `plain`: gradients of reflected pixels are added to their originals."""
    gradient = tl.zeros([BP, BC], WIDE)
    if HAS_PLAIN:
        gradient += tl.load(of_plain + (n * height * width + pixel)[:, None] * channels + channel[None, :], mask, 0.0)
    if HAS_PADDED:
        row, column = pixel // width, pixel % width
        padded_width = width + 2 * PADDING
        base = n * (height + 2 * PADDING) * padded_width
        # The pixel itself, and its reflections at both borders as far as the padding extends.
        for mirror in tl.static_range(9 if PADDING > 0 else 1):
            vertical, horizontal = mirror // 3, mirror % 3
            i = row if vertical == 0 else (-row if vertical == 1 else 2 * (height - 1) - row)
            j = column if horizontal == 0 else (-column if horizontal == 1 else 2 * (width - 1) - column)
            there = (i >= -PADDING) & (i < height + PADDING) & (j >= -PADDING) & (j < width + PADDING)
            if vertical > 0:
                there = there & (i != row)
            if horizontal > 0:
                there = there & (j != column)
            at = (base + (i + PADDING) * padded_width + j + PADDING)[:, None] * channels + channel[None, :]
            gradient += tl.load(of_padded + at, mask & there[:, None], 0.0).to(WIDE)
    return gradient


@triton.jit
def _backward_sums(
    x,
    mean,
    scale,
    of_padded,
    of_plain,
    of_residual,
    partial,
    height,
    width,
    channels,
    slope,
    PADDING: tl.constexpr,
    HAS_PADDED: tl.constexpr,
    HAS_PLAIN: tl.constexpr,
    ADDS: tl.constexpr,
    WIDE: tl.constexpr,
    SPLITS: tl.constexpr,
    BP: tl.constexpr,
    BC: tl.constexpr,
):
    """Sum the gradient before the activation, and its product with the normalised values; write the residual's."""
    n, split = tl.program_id(0).to(tl.int64), tl.program_id(1)
    channel = tl.program_id(2) * BC + tl.arange(0, BC)
    inside = channel < channels
    pixels = height * width
    m = tl.load(mean + n * channels + channel, inside, 0.0)
    k = tl.load(scale + n * channels + channel, inside, 0.0)
    total, along = tl.zeros([BC], WIDE), tl.zeros([BC], WIDE)
    for start in range(split * BP, pixels, SPLITS * BP):
        pixel = start + tl.arange(0, BP)
        mask = (pixel < pixels)[:, None] & inside[None, :]
        at = (n * pixels + pixel)[:, None] * channels + channel[None, :]
        gradient = _gathered(
            of_padded,
            of_plain,
            n,
            pixel,
            channel,
            mask,
            height,
            width,
            channels,
            PADDING,
            HAS_PADDED,
            HAS_PLAIN,
            WIDE,
            BP,
            BC,
        )
        if ADDS:
            tl.store(of_residual + at, gradient, mask)
        value = (tl.load(x + at, mask, 0.0).to(WIDE) - m[None, :]) * k[None, :]
        gradient = tl.where(mask, tl.where(value > 0, gradient, gradient * slope), 0.0)
        total += tl.sum(gradient, 0)
        along += tl.sum(gradient * value, 0)
    out = partial + (n * SPLITS + split) * 2 * channels + channel
    tl.store(out, total, inside)
    tl.store(out + channels, along, inside)


@triton.jit
def _backward(
    x,
    mean,
    scale,
    of_padded,
    of_plain,
    of_residual,
    of_x,
    partial,
    height,
    width,
    channels,
    slope,
    PADDING: tl.constexpr,
    HAS_PADDED: tl.constexpr,
    HAS_PLAIN: tl.constexpr,
    ADDS: tl.constexpr,
    WIDE: tl.constexpr,
    SPLITS: tl.constexpr,
    BP: tl.constexpr,
    BC: tl.constexpr,
):
    """Compute the gradient of x."""
    n = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(2) * BC + tl.arange(0, BC)
    inside = channel < channels
    pixels = height * width
    m = tl.load(mean + n * channels + channel, inside, 0.0)
    k = tl.load(scale + n * channels + channel, inside, 0.0)
    total, along = _total(partial, n, channel, inside, channels, SPLITS)
    pixel = tl.program_id(1) * BP + tl.arange(0, BP)
    mask = (pixel < pixels)[:, None] & inside[None, :]
    at = (n * pixels + pixel)[:, None] * channels + channel[None, :]
    if ADDS:
        gradient = tl.load(of_residual + at, mask, 0.0)
    else:
        gradient = _gathered(
            of_padded,
            of_plain,
            n,
            pixel,
            channel,
            mask,
            height,
            width,
            channels,
            PADDING,
            HAS_PADDED,
            HAS_PLAIN,
            WIDE,
            BP,
            BC,
        )
    value = (tl.load(x + at, mask, 0.0).to(WIDE) - m[None, :]) * k[None, :]
    gradient = tl.where(value > 0, gradient, gradient * slope)
    result = k[None, :] * (gradient - (total / pixels)[None, :] - value * (along / pixels)[None, :])
    tl.store(of_x + at, result, mask)


def _splits(images: int, pixels: int, channels: int) -> int:
    """Return the number of programs that sum an image's pixels: a power of 2 that fills a large GPU."""
    tiles = triton.cdiv(pixels, PIXELS)
    wanted = max(1, min(tiles, 512 // (images * triton.cdiv(channels, CHANNELS)), 64))
    return int(2 ** (wanted.bit_length() - 1))


def _setting(x: Tensor, wide: torch.dtype) -> tuple[Tensor, dict[str, Any]]:
    """Create a buffer for partial sums, and the compile-time arguments of all kernels."""
    images, channels, height, width = x.shape
    splits = _splits(images, height * width, channels)
    partial = torch.empty((images, splits, 2, channels), dtype=wide, device=x.device)
    return partial, {"WIDE": WIDE[wide], "SPLITS": splits, "BP": PIXELS, "BC": CHANNELS}


def forward(
    x: Tensor,
    residual: Tensor | None,
    padded: Tensor,
    plain: Tensor | None,
    mean: Tensor,
    scale: Tensor,
    padding: int,
    slope: float,
    eps: float,
) -> None:
    """See `models.fast.norm`; fills padded, plain, mean and scale."""
    images, channels, height, width = x.shape
    partial, setting = _setting(x, mean.dtype)
    blocks = triton.cdiv(channels, CHANNELS)
    tiles = triton.cdiv((height + 2 * padding) * (width + 2 * padding), PIXELS)
    with torch.cuda.device_of(x):
        _sums[(images, setting["SPLITS"], blocks)](x, partial, height * width, channels, **setting)
        _forward[(images, tiles, blocks)](
            x,
            x if residual is None else residual,
            padded,
            x if plain is None else plain,
            mean,
            scale,
            partial,
            height,
            width,
            channels,
            slope,
            eps,
            PADDING=padding,
            ADDS=residual is not None,
            KEEPS=plain is not None,
            **setting,
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
    images, channels, height, width = x.shape
    partial, setting = _setting(x, mean.dtype)
    setting |= {
        "PADDING": padding,
        "ADDS": of_residual is not None,
        "HAS_PADDED": of_padded is not None,
        "HAS_PLAIN": of_plain is not None,
    }
    blocks = triton.cdiv(channels, CHANNELS)
    # Absent tensors are never read, so that any other tensor can be passed instead.
    tensors = [x if tensor is None else tensor for tensor in (of_padded, of_plain, of_residual)]
    shape = (height, width, channels, slope)
    tiles = triton.cdiv(height * width, PIXELS)
    with torch.cuda.device_of(x):
        _backward_sums[(images, setting["SPLITS"], blocks)](x, mean, scale, *tensors, partial, *shape, **setting)
        _backward[(images, tiles, blocks)](x, mean, scale, *tensors, of_x, partial, *shape, **setting)
