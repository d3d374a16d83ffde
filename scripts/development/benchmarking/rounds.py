"""Fair comparisons: all candidates in turns, and a gain that counts only where it stands out of the noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np
import torch


def wait_for(device: torch.device) -> None:
    """Until all work given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_rotation(
    candidates: Mapping[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds, by `clock`, that `repeats` calls of each candidate took in each round. Every round begins with another
    candidate, and the device is waited for at the edges of a candidate's turn alone."""
    names = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            wait_for(device)
            started = clock()
            for _ in range(repeats):
                candidates[name]()
            wait_for(device)
            seconds[name].append(clock() - started)
    return seconds


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies, to the nearest of them."""
    return float(np.quantile(values, share, method="nearest"))


def ratios(base: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """How many times as fast `other` is as `base`, round by round: median, smallest, largest."""
    values = [first / second for first, second in zip(base, other, strict=True)]
    return {"median": median(values), "low": min(values), "high": max(values)}


def verdict(gain: Mapping[str, float], noise: Mapping[str, float]) -> str:
    """A gain as text; `unresolved` where it lies within what two runs of the same differ by."""
    if noise["low"] <= gain["median"] <= noise["high"]:
        return "unresolved"
    return f"{gain['median']:.2f}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a Markdown table; the first row is its head."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
