"""How fast the networks run: precision, layout, compilation, kernels. Nothing here changes what is computed.

`SpeedOptions` is what a user asks for, `Speed` what a device can do of it, and `accelerate` puts it into a network.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass

import torch
from torch import nn

from models.fast.chain import fuse
from models.fast.norm import kernels_work
from models.generators import ResnetBlock
from models.precision import AUTOCAST, PRECISIONS, Network, resolve_precision
from util.arguments import OptionError, option
from util.device import set_cudnn_benchmark
from util.distributed import place

SPEEDUPS = {
    "merge": "the identity pass in one with the translation",
    "kernels": "own kernels for normalisation, activation and padding",
    "winograd": "3 x 3 convolutions by Winograd's filtering",
    "adam": "fused Adam",
}
"""Savings that are exact, up to rounding: each can be left out, to see what it is worth."""
FORMER_SPEEDUPS = {"bias", "rows"}
"""Names that runs of older versions may have saved; they saved too little to stay."""
COMPILE_MODES = ("none", "default", "reduce-overhead", "max-autotune")


def speedup_names(text: str) -> tuple[str, ...]:
    """`all`, `none`, or names of SPEEDUPS with commas between. Raises ArgumentTypeError."""
    if text in ("all", "none"):
        return tuple(SPEEDUPS) if text == "all" else ()
    names = set(text.split(",")) - FORMER_SPEEDUPS
    if unknown := names - SPEEDUPS.keys():
        raise ArgumentTypeError(f"unknown {', '.join(sorted(unknown))}; known: all, none, {', '.join(SPEEDUPS)}")
    return tuple(name for name in SPEEDUPS if name in names)


@dataclass(frozen=True)
class SpeedOptions:
    """speed"""

    precision: str = option(
        "auto",
        help="what the networks compute in: float32; tf32 (NVIDIA GPUs); bf16; fp16 (GPUs), with scaled losses; auto: "
        "in training bf16 where the device has units for it, else float32",
        choices=PRECISIONS,
    )
    channels_last: str = option(
        "auto",
        help="images in memory pixel by pixel: on, off; auto: where there are kernels for it",
        choices=("auto", "on", "off"),
        bare="on",
    )
    compile: str = option(
        "none",
        help="compile the networks by torch.compile: a minute at first, in place of the own kernels",
        choices=COMPILE_MODES,
        bare="default",
    )
    cuda_graphs: str = option(
        "auto",
        help="replay each training step as one CUDA graph: on, off; auto: on NVIDIA GPUs, where it works",
        choices=("auto", "on", "off"),
        bare="on",
        train_only=True,
    )
    speedups: tuple[str, ...] = option(
        tuple(SPEEDUPS),
        help="exact savings: all, none, or some of "
        + "; ".join(f"{name} ({meaning})" for name, meaning in SPEEDUPS.items()),
        parse=speedup_names,
    )

    def resolve(self, device: torch.device, *, training: bool) -> Speed:
        """What of it a device can do. Sets torch's switches for it. Raises OptionError where something asked for by
        name cannot be."""
        precision = resolve_precision(self.precision, device, training=training)
        compiled = self.compile != "none"
        wants_kernels = "kernels" in self.speedups and not compiled
        reason = "" if not wants_kernels else kernels_work(device, AUTOCAST.get(precision, torch.float32))
        speedups = set(self.speedups) - ({"kernels"} if reason or compiled else set())
        if device.type != "cpu" or "kernels" not in speedups:  # its sums are formed by kernels of their own
            speedups.discard("winograd")
        channels_last = "kernels" in speedups or (compiled and device.type == "cuda")
        if self.channels_last != "auto":
            channels_last = self.channels_last == "on"
        if self.cuda_graphs == "on" and (device.type != "cuda" or precision == "fp16"):
            raise OptionError("--cuda_graphs on needs an NVIDIA GPU, and another --precision than fp16")
        if self.cuda_graphs == "on" and place().processes > 1:
            raise OptionError("--cuda_graphs on is for one process: several exchange gradients within each step")
        graphs = training and device.type == "cuda" and self.cuda_graphs != "off" and precision != "fp16"
        if device.type == "cuda":
            set_cudnn_benchmark(training)
        no_graphs = "several processes" if graphs and place().processes > 1 else ""
        return Speed(
            precision, channels_last, self.compile, graphs and not no_graphs, frozenset(speedups), reason, no_graphs
        )


@dataclass(frozen=True)
class Speed:
    """What a run really uses."""

    precision: str = "float32"
    channels_last: bool = False
    compile: str = "none"
    cuda_graphs: bool = False
    speedups: frozenset[str] = frozenset()
    kernels_missing: str = ""
    """why there are no own kernels, though they were asked for"""
    graphs_missing: str = ""
    """why there are no CUDA graphs, though there could be"""

    def describe(self) -> str:
        """One line for the console."""
        parts = [self.precision, "channels last" if self.channels_last else "channels first"]
        parts += [f"compiled ({self.compile})"] * (self.compile != "none") + ["CUDA graphs"] * self.cuda_graphs
        parts += [SPEEDUPS[name] for name in SPEEDUPS if name in self.speedups]
        missing = f"; no own kernels: {self.kernels_missing}" if self.kernels_missing else ""
        no_graphs = f"; no CUDA graphs: {self.graphs_missing}" if self.graphs_missing else ""
        return ", ".join(parts) + missing + no_graphs


def accelerate(network: Network, speed: Speed) -> None:
    """Make a network compute as `speed` says. Its layers, parameters and state dict stay as they are."""
    for part in network.parts():
        _accelerate_part(part, speed)


def _accelerate_part(network: Network, speed: Speed) -> None:
    network.autocast_dtype = AUTOCAST.get(speed.precision)
    network.channels_last = speed.channels_last
    if speed.compile != "none":
        mode = None if speed.compile == "default" else speed.compile
        network.fast_body = torch.compile(network.body.forward, mode=mode, dynamic=False)
        return
    winograd = "winograd" in speed.speedups
    chain = fuse(network.body, ResnetBlock, kernels=True, winograd=winograd) if "kernels" in speed.speedups else None
    network.fast_body = chain
    if not speed.channels_last:
        return
    if chain is None and any(isinstance(layer, nn.InstanceNorm2d) for layer in network.modules()):
        network.channels_last = False  # torch's own instance norm is wrong there: see models.fast.norm
        return
    if chain is not None:  # its layers themselves are not to be computed in this order, for the same reason
        network.smooth_body = fuse(network.body, ResnetBlock, kernels=False, winograd=False)
    for parameter in network.parameters():
        if parameter.dim() == 4:  # with its gradients and moments: nothing is turned round in a step
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
