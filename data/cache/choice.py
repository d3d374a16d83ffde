"""Options of the photo cache, and the choice of its place by the free memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from util.arguments import OptionError, option
from util.memory import free_bytes
from util.terminal import format_bytes

CACHES = ("auto", "none", "ram", "device")
AUTO_SHARE_OF_GPU = 1 / 8
"""Largest fraction of a GPU's free memory for `auto`, as the networks, which are created later, need most of it."""
AUTO_SHARE_OF_HOST = 1 / 2


@dataclass(frozen=True)
class CacheOptions:
    """photo cache"""

    cache: str = option(
        "auto",
        help="where to keep decoded and resized photos; ram: in memory shared by the loading processes; device: in "
        "the memory of the GPU, which then crops and flips them; none: photos are decoded at each use; auto: device if "
        "they take at most an eighth of a GPU's free memory, otherwise ram if they take at most half of the host's "
        "free memory, otherwise none",
        choices=CACHES,
        parse=lambda text: "auto" if text == "disk" else text,  # a former choice that older runs may have saved
    )


class Choice(NamedTuple):
    """The chosen cache."""

    kind: str
    """a value of CACHES other than auto"""
    free: int | None
    """free bytes of the memory considered; None if unknown"""
    where: str
    """name of that memory"""


def choose(wanted: str, needed: int, device: torch.device, processes: int = 1) -> Choice:
    """Choose the cache for `needed` bytes in each of `processes` processes on this machine, which each use one GPU.

    Raises OptionError if an explicitly selected memory is too small.
    """
    host = free_bytes(torch.device("cpu"))
    if host is not None:
        host //= processes
    if wanted == "auto":
        return _choose_by_memory(needed, device, host)
    # Photos are first decoded to the host's memory and then copied to the device.
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
    others = {
        "ram": "--cache none, which decodes photos at each use",
        "device": "--cache ram, which keeps photos in the host's memory",
    }
    return OptionError(
        f"--cache {wanted}: decoded photos take {format_bytes(needed)}, but only {format_bytes(free)} of {where} are "
        f"free; use {others[wanted]}, or fewer photos with --max_dataset_size"
    )


def describe_choice(choice: Choice, wanted: str, needed: int) -> str:
    """Describe the choice and the sizes in one line."""
    by = " (auto)" if wanted == "auto" else ""
    size = f"decoded photos take {format_bytes(needed)}"
    free = "" if choice.free is None else f", {format_bytes(choice.free)} of {choice.where} are free"
    if choice.kind == "none":
        return f"cache: none{by}, {size}{free or ', and the free memory is unknown'}"
    return f"cache: {choice.kind}{by}, {size}{free}"
