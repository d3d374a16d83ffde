"""Speed of the networks: precision, memory format, compilation and kernels. The results do not change.

`SpeedOptions` are the user's settings, `Speed` is what the device supports of them, and `accelerate` applies it to a
network.
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
    "merge": "identity pass merged with the translation",
    "kernels": "custom kernels for normalisation, activation and padding",
    "winograd": "3 x 3 convolutions with Winograd's algorithm",
    "adam": "fused Adam",
}
"""Optimisations that are exact up to rounding. Each can be disabled to measure its effect."""
FORMER_SPEEDUPS = {"bias", "rows"}
"""Names of removed optimisations, which runs of older versions may have saved."""
COMPILE_MODES = ("none", "default", "reduce-overhead", "max-autotune")


def speedup_names(text: str) -> tuple[str, ...]:
    """Parse `all`, `none`, or comma-separated names of SPEEDUPS. Raises ArgumentTypeError."""
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
        help="precision of the networks' computations; tf32: only on NVIDIA GPUs; fp16: only on GPUs, with loss "
        "scaling; auto: bf16 for training if the hardware supports it, otherwise float32",
        choices=PRECISIONS,
    )
    channels_last: str = option(
        "auto",
        help="channels-last memory format of images; auto: if there are kernels for it",
        choices=("auto", "on", "off"),
        bare="on",
    )
    compile: str = option(
        "none",
        help="mode of torch.compile for the networks, which takes about a minute at the start and replaces the custom "
        "kernels",
        choices=COMPILE_MODES,
        bare="default",
    )
    cuda_graphs: str = option(
        "auto",
        help="replay each training step as a CUDA graph; auto: on NVIDIA GPUs, if it works",
        choices=("auto", "on", "off"),
        bare="on",
        train_only=True,
    )
    speedups: tuple[str, ...] = option(
        tuple(SPEEDUPS),
        help="optimisations that do not change the results: all, none, or a comma-separated list of "
        + "; ".join(f"{name} ({meaning})" for name, meaning in SPEEDUPS.items()),
        parse=speedup_names,
    )
    cpu_threads: int = option(
        0,
        help="number of threads for training on a CPU; 0: the value of OMP_NUM_THREADS or, if it is not set, chosen by "
        "a short trial when the run starts. A resumed run keeps its number, because results are bit-identical only "
        "for the same one",
        unit="threads",
        train_only=True,
        least=0,
        most=512,
    )

    def resolve(self, device: torch.device, *, training: bool) -> Speed:
        """Determine which settings the device supports, and set torch's flags accordingly. Raises OptionError if a
        setting that was explicitly requested is not supported."""
        precision = resolve_precision(self.precision, device, training=training)
        compiled = self.compile != "none"
        wants_kernels = "kernels" in self.speedups and not compiled
        reason = "" if not wants_kernels else kernels_work(device, AUTOCAST.get(precision, torch.float32))
        speedups = set(self.speedups) - ({"kernels"} if reason or compiled else set())
        if device.type != "cpu" or "kernels" not in speedups:  # Winograd's sums need custom kernels, too
            speedups.discard("winograd")
        channels_last = "kernels" in speedups or (compiled and device.type == "cuda")
        if self.channels_last != "auto":
            channels_last = self.channels_last == "on"
        if self.cuda_graphs == "on" and (device.type != "cuda" or precision == "fp16"):
            raise OptionError("--cuda_graphs on needs an NVIDIA GPU and a --precision other than fp16")
        if self.cuda_graphs == "on" and place().processes > 1:
            raise OptionError(
                "--cuda_graphs on is only available with one process: several processes exchange gradients within each "
                "step"
            )
        graphs = training and device.type == "cuda" and self.cuda_graphs != "off" and precision != "fp16"
        if device.type == "cuda":
            set_cudnn_benchmark(training)
        no_graphs = "several processes" if graphs and place().processes > 1 else ""
        return Speed(
            precision,
            channels_last,
            self.compile,
            graphs and not no_graphs,
            frozenset(speedups),
            reason,
            no_graphs,
            self.cpu_threads,
        )


@dataclass(frozen=True)
class Speed:
    """The settings that a run uses."""

    precision: str = "float32"
    channels_last: bool = False
    compile: str = "none"
    cuda_graphs: bool = False
    speedups: frozenset[str] = frozenset()
    kernels_missing: str = ""
    """why custom kernels are not used although they were requested"""
    graphs_missing: str = ""
    """why CUDA graphs are not used although the device supports them"""
    cpu_threads: int = 0
    """number of threads for training on a CPU; 0: not chosen yet"""
    threads_note: str = ""
    """the number of threads for training on a CPU and the reason, for the console"""

    def describe(self) -> str:
        """Describe the settings in one line for the console."""
        parts = [self.precision, "channels last" if self.channels_last else "channels first"]
        parts += [f"compiled ({self.compile})"] * (self.compile != "none") + ["CUDA graphs"] * self.cuda_graphs
        parts += [SPEEDUPS[name] for name in SPEEDUPS if name in self.speedups]
        missing = f"; no custom kernels: {self.kernels_missing}" if self.kernels_missing else ""
        no_graphs = f"; no CUDA graphs: {self.graphs_missing}" if self.graphs_missing else ""
        threads = f"; {self.threads_note}" if self.threads_note else ""
        return ", ".join(parts) + missing + no_graphs + threads


def accelerate(network: Network, speed: Speed) -> None:
    """Apply speed settings to a network. Its layers, parameters and state dict do not change."""
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
        network.channels_last = False  # torch's instance norm has a bug with it: see models.fast.norm
        return
    if chain is not None:  # torch's layers must not be used in this format, for the same reason
        network.smooth_body = fuse(network.body, ResnetBlock, kernels=False, winograd=False)
    for parameter in network.parameters():
        if parameter.dim() == 4:  # gradients and moments follow, so that steps never convert formats
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
