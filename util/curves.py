"""Draws loss curves as PNG or SVG with matplotlib, which is imported only when something is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from util.files import atomic_path
from util.text import printable

MAX_POINTS = 1000
"""Maximum number of points per curve. Longer curves are averaged over sections of equal length."""


@dataclass(frozen=True)
class Curve:
    """One loss of one run: positions in epochs and values, both of shape (N,), in order."""

    name: str
    epochs: np.ndarray
    values: np.ndarray


def shorten(curve: Curve, points: int = MAX_POINTS) -> Curve:
    """Reduce a curve to at most `points` points by averaging sections of it. Values that are not finite are dropped."""
    finite = np.isfinite(curve.values)
    epochs, values = curve.epochs[finite], curve.values[finite]
    if len(values) > points:
        starts = np.linspace(0, len(values), points, endpoint=False).astype(int)
        lengths = np.diff(np.append(starts, len(values)))
        epochs, values = np.add.reduceat(epochs, starts) / lengths, np.add.reduceat(values, starts) / lengths
    return Curve(curve.name, epochs, values)


def smooth(values: np.ndarray, smoothing: float) -> np.ndarray:
    """Compute the exponential moving average of values (N,). 0 means no smoothing, 0.9 averages about ten values.

    The bias of the first values towards zero is corrected by dividing by the sum of the weights, as in Adam.
    """
    smoothed = np.empty(len(values))
    average, weight = 0.0, 0.0
    for place, value in enumerate(values):
        average = smoothing * average + (1 - smoothing) * value
        weight = smoothing * weight + (1 - smoothing)
        smoothed[place] = average / weight
    return smoothed


def draw_curves(path: Path, panels: Mapping[str, Sequence[Curve]], smoothing: float = 0.9) -> None:
    """Write a picture with one panel per title. Each curve is drawn twice: its raw values faintly, and smoothed.

    The path's suffix selects the format. The file is written atomically. Raises ImportError if matplotlib is missing
    and ValueError for a format that matplotlib does not support.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state, safe in any thread

    columns, rows = min(2, len(panels)), -(-len(panels) // 2)
    figure = Figure(figsize=(6.0 * columns, 2.6 * rows), layout="constrained")
    for place, (heading, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        for number, curve in enumerate(map(shorten, curves)):
            colour = f"C{number % 10}"
            axes.plot(curve.epochs, curve.values, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(
                curve.epochs, smooth(curve.values, smoothing), color=colour, linewidth=1.4, label=printable(curve.name)
            )
        axes.set_title(printable(heading), fontsize="medium", parse_math=False)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        for text in axes.legend(fontsize="small").get_texts():
            text.set_parse_math(False)  # names come from files; a "$" in them does not start a formula
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip("."), dpi=100)


def by_pairs(names: Sequence[str]) -> dict[str, list[str]]:
    """Group loss names by panel. Names that differ only in the domain (`G_A`, `G_B`) share a panel, called `G`."""
    panels: dict[str, list[str]] = {}
    for name in names:
        panels.setdefault(name.removesuffix("_A").removesuffix("_B"), []).append(name)
    return panels
