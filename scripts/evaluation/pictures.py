"""Histograms and a scatter plot of an evaluation, drawn by matplotlib, which is imported only here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.evaluation.measuring import Measured
from scripts.evaluation.sources import TITLES
from scripts.evaluation.table import Summary
from util.files import atomic_path
from util.metrics import AIM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

YEARS_A_BAR = 3
COLOURS = {"photos": "#8a8a8a", "translated": "#c44e52", "real target faces": "#4a7fb5"}


def draw_pictures(folder: Path, measured: Mapping[str, Measured], summary: Summary) -> dict[str, str]:
    """Write DIRECTION.png for each direction that has translations; returns alternative text to file name.

    Raises ImportError without matplotlib, OSError.
    """
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    drawn = {}
    for direction in summary.columns:
        figure = Figure(figsize=(13, 3.6), layout="constrained")
        ages, gains, scatter = figure.subplots(1, 3)
        _draw_ages(ages, measured, summary, direction)
        _draw_gains(gains, summary.columns[direction]["gain"])
        _draw_scatter(scatter, measured[direction], summary, direction)
        figure.suptitle(TITLES[direction])
        with atomic_path(folder / f"{direction}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=100)
        text = f"{TITLES[direction]}: histograms of ages and of gains, and how gain and identity go together"
        drawn[text] = f"{direction}.png"
    return drawn


def _draw_ages(axes: Axes, measured: Mapping[str, Measured], summary: Summary, direction: str) -> None:
    columns = summary.columns[direction]
    sets = {"photos": columns["age_before"], "translated": columns["age_after"]}
    for key, other in measured.items():
        if key != direction and other.names:
            sets["real target faces"] = next(v for name, v in other.real.items() if name.startswith("age@"))
    bars = np.arange(0, 101 + YEARS_A_BAR, YEARS_A_BAR)
    for name, ages in sets.items():
        weights = np.full(len(ages), 100 / max(1, len(ages)))
        axes.hist(ages, list(bars), weights=weights, histtype="step", linewidth=1.6, color=COLOURS[name], label=name)
    axes.set(xlabel="estimated age in years", ylabel="% of the faces", title="ages")
    axes.legend(fontsize="small")


def _draw_gains(axes: Axes, gains: np.ndarray) -> None:
    lowest, highest = np.floor(min(gains.min(), -3)), np.ceil(max(gains.max(), 3))
    bars = np.arange(lowest, highest + YEARS_A_BAR, YEARS_A_BAR)
    axes.hist(gains, list(bars), color=COLOURS["translated"], alpha=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(float(gains.mean()), color="black", linestyle="--", linewidth=1, label=f"mean {gains.mean():.1f}")
    axes.axvline(AIM, color=COLOURS["real target faces"], linestyle=":", label=f"asked for: {AIM}")
    axes.set(xlabel="gain in years (left of 0: the wrong way)", ylabel="faces", title="age gain")
    axes.legend(fontsize="small")


def _draw_scatter(axes: Axes, own: Measured, summary: Summary, direction: str) -> None:
    columns = summary.columns[direction]
    has_faces = "cosine" in columns
    heights = columns["cosine"] if has_faces else columns["change_l1"]
    for (name, mask), colour in zip(own.women_and_men().items(), ("#dd8452", "#4c72b0"), strict=True):
        axes.scatter(columns["gain"][mask], heights[mask], s=10, alpha=0.6, color=colour, label=name)
    if has_faces and summary.verification and np.isfinite(summary.verification.threshold):
        axes.axhline(summary.verification.threshold, color="black", linewidth=0.8, linestyle="--", label="one person")
    title = "age against identity" if has_faces else "age against change (identity: not computed)"
    label = "cosine before/after" if has_faces else "L1 change, of 255"
    axes.set(xlabel="gain in years", ylabel=label, title=title)
    axes.legend(fontsize="small")
