"""Fair comparisons: candidates are measured in alternation, and a gain counts only if it exceeds the noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np
import torch


def wait_for(device: torch.device) -> None:
    """Wait until the device has completed all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_rotation(
    candidates: Mapping[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds, by `clock`, of `repeats` calls of each candidate in each round. Each round starts with a different
    candidate, and the device is synchronised only before and after a candidate's turn."""
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
    """The quantile of the values, rounded to the nearest of them."""
    return float(np.quantile(values, share, method="nearest"))


def ratios(base: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """The speed of `other` relative to `base`, round by round: median, minimum and maximum."""
    values = [first / second for first, second in zip(base, other, strict=True)]
    return {"median": median(values), "low": min(values), "high": max(values)}


def verdict(gain: Mapping[str, float], noise: Mapping[str, float]) -> str:
    """A gain as text; `unresolved` if it is within the difference between two runs of the same candidate."""
    if noise["low"] <= gain["median"] <= noise["high"]:
        return "unresolved"
    return f"{gain['median']:.2f}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Format rows of text as a Markdown table; the first row is the header."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
