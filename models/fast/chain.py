"""Computes networks as chains of convolutions with fused normalisation in between, using the networks' parameters.

`fuse` reads the layers of a ResNet generator or a PatchGAN and returns a function that computes the same. The layers
remain in the network, so that checkpoints, optimizers and hooks on parameters are not affected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from models.fast.norm import composed, norm_act_pad
from models.fast.winograd import convolve_3x3, fits, pays

Layer = TypeVar("Layer", bound=nn.Module)


@dataclass
class Alone:
    """A layer that is computed unchanged."""

    layer: nn.Module

    def __call__(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self.layer(x), residual


@dataclass
class Link:
    """A convolution with all layers up to the next convolution.

    slope, padding: see `norm_act_pad`. adds: whether to add the residual. keeps: whether the result is the next
    residual. kernels: whether to use custom kernels. winograd: whether to use `convolve_3x3` for images that fit.
    """

    convolution: nn.Conv2d | nn.ConvTranspose2d
    eps: float
    slope: float = 1.0
    padding: int = 0
    adds: bool = False
    keeps: bool = False
    kernels: bool = True
    winograd: bool = False

    def __call__(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor | None]:
        compute = norm_act_pad if self.kernels else composed
        padded, plain = compute(
            self._convolve(x),
            residual if self.adds else None,
            self.padding,
            self.slope,
            self.eps,
            wants_plain=self.keeps,
        )
        return padded, plain if self.keeps else residual

    def _convolve(self, x: Tensor) -> Tensor:
        layer, bias = self.convolution, self.convolution.bias
        if self.winograd and fits(x):
            made = convolve_3x3(x, layer.weight)
            return made if bias is None else made + bias[:, None, None].to(made.dtype)
        if isinstance(layer, nn.Conv2d):
            return F.conv2d(x, layer.weight, bias, layer.stride, layer.padding)
        return F.conv_transpose2d(x, layer.weight, bias, layer.stride, layer.padding, layer.output_padding)  # type: ignore[arg-type]  # a transposed convolution has no padding by name


@dataclass
class Chain:
    """Computes a network's output from images (N, C, H, W). If the network is copied, the copy gets its own chain."""

    steps: list[Alone | Link]

    def __call__(self, images: Tensor) -> Tensor:
        x, residual = images, None
        for step in self.steps:
            x, residual = step(x, residual)
        return x


def fuse(body: nn.Module, block: type[nn.Module], *, kernels: bool, winograd: bool) -> Chain | None:
    """Create the chain for `body`; None if it contains an unsupported layer.

    block: the class of residual blocks, which have their layers in `conv_block` and add their input. kernels: whether
    to compute normalisations with custom kernels. winograd: whether to compute 3 x 3 convolutions with Winograd's
    algorithm.
    """
    if not isinstance(body, nn.Sequential):
        return None
    steps = _Reader(list(body), block, kernels, winograd).steps()
    if steps is None or not any(isinstance(step, Link) for step in steps):
        return None
    return Chain(steps)


STANDING_ALONE = (nn.Upsample, nn.ReflectionPad2d, nn.LeakyReLU, nn.ReLU, nn.Tanh, nn.Dropout)


@dataclass
class _Reader:
    """Parser that takes layers off a list and converts them to steps."""

    layers: list[nn.Module]
    block: type[nn.Module]
    kernels: bool
    winograd: bool

    def take(self, *kinds: type[Layer]) -> Layer | None:
        """Remove and return the next layer if it has one of these types; otherwise None."""
        if self.layers and isinstance(self.layers[0], kinds):
            return self.layers.pop(0)  # type: ignore[return-value]  # it is a Layer
        return None

    def sees_block(self) -> bool:
        """Return whether the next layer is a residual block."""
        return bool(self.layers) and isinstance(self.layers[0], self.block)

    def steps(self) -> list[Alone | Link] | None:
        """Convert all layers; None if one is not supported."""
        steps: list[Alone | Link] = []
        while self.layers:
            kept = bool(steps) and isinstance(steps[-1], Link) and steps[-1].keeps
            found = self._step() if not self.sees_block() else self._block() if kept else None
            if found is None:
                return None
            steps += found
        return steps

    def _step(self) -> Sequence[Alone | Link] | None:
        """Convert the next convolution with the layers that belong to it, or the next single layer."""
        convolution: Any = self.take(nn.Conv2d, nn.ConvTranspose2d)
        if convolution is None:
            alone = self.take(*STANDING_ALONE)
            return None if alone is None else [Alone(alone)]
        norm = self.take(nn.InstanceNorm2d)
        if norm is None:
            return [Alone(convolution)]
        activation = self.take(nn.ReLU, nn.LeakyReLU)
        slope = 1.0 if activation is None else getattr(activation, "negative_slope", 0.0)
        return [
            Link(
                convolution,
                norm.eps,
                slope,
                self._padding(),
                keeps=self.sees_block(),
                kernels=self.kernels,
                winograd=self.winograd and pays(convolution),
            )
        ]

    def _padding(self) -> int:
        """Return the reflection padding that follows, in this list or at the beginning of a residual block."""
        pad = self.take(nn.ReflectionPad2d)
        if pad is None and self.sees_block():
            first = self.layers[0].conv_block[0]  # type: ignore[index]
            pad = first if isinstance(first, nn.ReflectionPad2d) else None
        return 0 if pad is None else int(pad.padding[0])

    def _block(self) -> Sequence[Alone | Link] | None:
        """Convert a residual block. Its initial padding is part of the preceding step."""
        layers = list(self.layers.pop(0).conv_block)  # type: ignore[arg-type]
        inner = _Reader(layers[1:], self.block, self.kernels, self.winograd)
        steps = inner.steps()
        if steps is None or not isinstance(layers[0], nn.ReflectionPad2d) or not isinstance(steps[-1], Link):
            return None
        last = steps[-1]
        last.adds, last.padding, last.keeps = True, self._padding(), self.sees_block()
        return steps
