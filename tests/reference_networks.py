"""The public code base's networks as functions of its state dicts: written from its file format, without ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def instance_norm(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    variance = (x - mean).square().mean((2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def _parameters(state: State, name: str) -> tuple[Tensor, Tensor | None]:
    return state[f"{name}.weight"], state.get(f"{name}.bias")


def _padded_conv(x: Tensor, state: State, name: str, padding: int) -> Tensor:
    return F.conv2d(F.pad(x, [padding] * 4, mode="reflect"), *_parameters(state, name))


def resnet(state: State, x: Tensor, blocks: int) -> Tensor:
    """ResNet generator with instance norm, no dropout."""
    x = F.relu(instance_norm(_padded_conv(x, state, "model.1", 3)))
    x = F.relu(instance_norm(F.conv2d(x, *_parameters(state, "model.4"), stride=2, padding=1)))
    x = F.relu(instance_norm(F.conv2d(x, *_parameters(state, "model.7"), stride=2, padding=1)))
    for block in range(10, 10 + blocks):
        inner = F.relu(instance_norm(_padded_conv(x, state, f"model.{block}.conv_block.1", 1)))
        x = x + instance_norm(_padded_conv(inner, state, f"model.{block}.conv_block.5", 1))
    for layer in (10 + blocks, 13 + blocks):
        up = F.conv_transpose2d(x, *_parameters(state, f"model.{layer}"), stride=2, padding=1, output_padding=1)
        x = F.relu(instance_norm(up))
    return torch.tanh(_padded_conv(x, state, f"model.{17 + blocks}", 3))


def unet(state: State, x: Tensor, levels: int) -> Tensor:
    """U-Net generator with instance norm, no dropout. The public code's LeakyReLU works in place, on the skip too."""
    x = F.conv2d(x, *_parameters(state, "model.model.0"), stride=2, padding=1)
    x = _unet_level(state, x, "model.model.1", levels - 1)
    return torch.tanh(F.conv_transpose2d(F.relu(x), *_parameters(state, "model.model.3"), stride=2, padding=1))


def _unet_level(state: State, x: Tensor, name: str, levels: int) -> Tensor:
    x = F.leaky_relu(x, 0.2)
    inner = F.conv2d(x, *_parameters(state, f"{name}.model.1"), stride=2, padding=1)
    if levels > 1:
        inner = _unet_level(state, instance_norm(inner), f"{name}.model.3", levels - 1)
    up = f"{name}.model.{5 if levels > 1 else 3}"
    inner = instance_norm(F.conv_transpose2d(F.relu(inner), *_parameters(state, up), stride=2, padding=1))
    return torch.cat([x, inner], 1)


def patch_discriminator(state: State, x: Tensor, layers: int) -> Tensor:
    """PatchGAN discriminator with instance norm."""
    x = F.leaky_relu(F.conv2d(x, *_parameters(state, "model.0"), stride=2, padding=1), 0.2)
    for depth in range(1, layers + 1):
        stride = 2 if depth < layers else 1
        x = F.conv2d(x, *_parameters(state, f"model.{3 * depth - 1}"), stride=stride, padding=1)
        x = F.leaky_relu(instance_norm(x), 0.2)
    return F.conv2d(x, *_parameters(state, f"model.{3 * layers + 2}"), stride=1, padding=1)


def pixel_discriminator(state: State, x: Tensor) -> Tensor:
    """1 x 1 discriminator with instance norm."""
    x = F.leaky_relu(F.conv2d(x, *_parameters(state, "net.0")), 0.2)
    x = F.leaky_relu(instance_norm(F.conv2d(x, *_parameters(state, "net.2"))), 0.2)
    return F.conv2d(x, *_parameters(state, "net.5"))
