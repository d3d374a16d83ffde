"""Where decoded photos are kept: what the options say, and what `auto` makes of the memory that is free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from util.arguments import OptionError, option
from util.memory import free_bytes
from util.terminal import format_bytes

CACHES = ("auto", "none", "ram", "device")
AUTO_SHARE_OF_GPU = 1 / 8
"""At most so much of a GPU's free memory is taken unasked: the networks, not made yet, need most of it."""
AUTO_SHARE_OF_HOST = 1 / 2


@dataclass(frozen=True)
class CacheOptions:
    """decoded photos"""

    cache: str = option(
        "auto",
        help="where decoded and resized photos are kept. ram: in memory that the loading processes share; "
        "device: in the memory of the GPU, which crops and mirrors them; none: "
        "nowhere; auto: on a GPU if they take up to an eighth of its free memory, else in ram if they take up to half "
        "of what is free, else nowhere",
        choices=CACHES,
        parse=lambda text: "auto" if text == "disk" else text,  # of older versions, which kept them in files, too
    )


class Choice(NamedTuple):
    """One of CACHES but auto, and the free memory that it was chosen by (None: unknown, or it does not matter)."""

    kind: str
    free: int | None
    where: str
    """the free memory's"""


def choose(wanted: str, needed: int, device: torch.device, processes: int = 1) -> Choice:
    """Where each of so many processes of this machine keeps `needed` bytes, one GPU a process.

    Raises OptionError where the memory that was asked for does not suffice.
    """
    host = free_bytes(torch.device("cpu"))
    if host is not None:
        host //= processes
    if wanted == "auto":
        return _choose_by_memory(needed, device, host)
    # Photos go to a device by way of the host.
    if host is not None and needed * (2 if wanted == "device" and device.type == "cpu" else 1) > host:
        raise _too_large(wanted, needed, host, "memory")
    if wanted == "ram":
        return Choice(wanted, host, "memory")
    free = free_bytes(device)
    if free is not None and needed > free:
        raise _too_large(wanted, needed, free, str(device))
    return Choice(wanted, free, str(device))


def _choose_by_memory(needed: int, device: torch.device, host: int | None) -> Choice:
    fits_host = host is not None and needed <= AUTO_SHARE_OF_HOST * host
    if device.type == "cuda" and fits_host:
        free = free_bytes(device)
        if free is not None and needed <= AUTO_SHARE_OF_GPU * free:
            return Choice("device", free, str(device))
    return Choice("ram" if fits_host else "none", host, "memory")


def _too_large(wanted: str, needed: int, free: int, where: str) -> OptionError:
    others = {"ram": "--cache none decodes them at each use", "device": "--cache ram keeps them elsewhere"}
    return OptionError(
        f"--cache {wanted}: decoded photos take {format_bytes(needed)}, and {format_bytes(free)} of {where} are free; "
        f"{others[wanted]}, --max_dataset_size takes fewer"
    )


def describe_choice(choice: Choice, wanted: str, needed: int) -> str:
    """The choice in a line, with sizes."""
    by = " (auto)" if wanted == "auto" else ""
    size = f"decoded photos take {format_bytes(needed)}"
    free = "" if choice.free is None else f" of {format_bytes(choice.free)} that are free in {choice.where}"
    if choice.kind == "none":
        return f"cache: none{by}, {size}{free or ', and nobody tells what is free'}"
    return f"cache: {choice.kind}{by}, {size}{free}"
