"""Normalisation, initialisation and freezing of networks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import init

from util.arguments import OptionError, option
from util.distributed import place

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": lambda channels: nn.InstanceNorm2d(channels),
    "batch": lambda channels: nn.BatchNorm2d(channels),
    "none": lambda channels: nn.Identity(),
}

INITIALISERS: dict[str, Callable[[Tensor, float], object]] = {
    "normal": lambda weight, gain: init.normal_(weight, 0.0, gain),
    "xavier": lambda weight, gain: init.xavier_normal_(weight, gain=gain),
    "kaiming": lambda weight, gain: init.kaiming_normal_(weight, a=0, mode="fan_in"),
    "orthogonal": lambda weight, gain: init.orthogonal_(weight, gain=gain),
}


@dataclass(frozen=True)
class NetworkOptions:
    """all networks"""

    input_nc: int = option(3, help="channels of the images of domain A: 3 for RGB, 1 for grey", architecture=True)
    output_nc: int = option(3, help="channels of the images of domain B: 3 for RGB, 1 for grey", architecture=True)
    norm: str = option("instance", help="normalisation layers", choices=tuple(NORMS), architecture=True)
    init_type: str = option(
        "normal", help="initialisation of the weights", choices=tuple(INITIALISERS), train_only=True
    )
    init_gain: float = option(
        0.02, help="standard deviation (normal) or gain (xavier, orthogonal) of the initial weights", train_only=True
    )
    sync_bn: bool = option(
        False,
        help="compute the statistics of --norm batch over the batches of all processes (GPUs)",
        off_switch=True,
        train_only=True,
    )

    def __post_init__(self) -> None:
        for flag in ("input_nc", "output_nc"):
            if getattr(self, flag) not in (1, 3):
                raise OptionError(f"--{flag} {getattr(self, flag)}: must be 3 (RGB) or 1 (grey)")
        if self.sync_bn and self.norm != "batch":
            raise OptionError(
                f"--sync_bn needs --norm batch: --norm {self.norm} does not use batch statistics, and is the same on "
                "any number of processes; omit --sync_bn"
            )

    def reversed(self) -> NetworkOptions:
        """Return the options for the other direction, from domain B to domain A."""
        return replace(self, input_nc=self.output_nc, output_nc=self.input_nc)


def conv_bias(norm: str) -> bool:
    """Return whether convolutions before a normalisation have a bias: only for `instance`, as in public checkpoints."""
    return norm == "instance"


def initialise(network: nn.Module, init_type: str, gain: float) -> None:
    """Initialise all convolutions with torch's global generator. Biases are 0, batch norm weights are close to 1."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            INITIALISERS[init_type](module.weight, gain)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            init.normal_(module.weight, 1.0, gain)
            init.zeros_(module.bias)


def synchronise_batch_norms(networks: Iterable[nn.Module], device: torch.device) -> None:
    """Make batch norms compute their statistics over all processes. Parameters and state dicts do not change.

    Raises OptionError with several processes that do not train on GPUs, which torch does not support.
    """
    if place().processes == 1:
        return
    if device.type != "cuda":
        raise OptionError(f"--sync_bn needs GPUs, but this training runs on {device}: use --no_sync_bn")
    for network in networks:
        nn.SyncBatchNorm.convert_sync_batchnorm(network)


@contextlib.contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Context in which the parameters of these networks require no gradients. At its end, their flags are restored."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    former = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, required in zip(parameters, former, strict=True):
            parameter.requires_grad_(required)
