"""Draws histograms and a scatter plot of an evaluation. The only module that imports matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.measuring import Measured
from evaluation.sources import TITLES
from evaluation.tables import Summary
from models.age_loss import AIM
from util.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

YEARS_A_BAR = 3
COLOURS = {"photos": "#8a8a8a", "translated": "#c44e52", "real target faces": "#4a7fb5"}


def draw_pictures(folder: Path, measured: Mapping[str, Measured], summary: Summary) -> dict[str, dict[str, str]]:
    """Write three pictures for each direction with translations; returns their descriptions by direction and file name.

    Raises ImportError if matplotlib is missing, OSError.
    """
    drawn: dict[str, dict[str, str]] = {}
    for direction, columns in summary.columns.items():
        sets = _age_sets(measured, summary, direction)
        pictures: dict[str, tuple[str, Callable[[Axes], None]]] = {
            "ages": ("histogram of ages", partial(_draw_ages, sets=sets)),
            "gains": ("histogram of gains in age", partial(_draw_gains, gains=columns["gain"])),
            "identity": ("age against identity", partial(_draw_scatter, own=measured[direction], summary=summary)),
        }
        drawn[direction] = {
            f"{direction}_{name}.png": f"{TITLES[direction]}: {text}" for name, (text, _) in pictures.items()
        }
        for name, (_, draw) in pictures.items():
            _draw(folder / f"{direction}_{name}.png", draw)
    return drawn


def _draw(path: Path, draw: Callable[[Axes], None]) -> None:
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(4.1, 3.3), layout="constrained")
    draw(figure.add_subplot())
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _age_sets(measured: Mapping[str, Measured], summary: Summary, direction: str) -> dict[str, np.ndarray]:
    """Ages of the three sets of faces by the first estimator."""
    columns = summary.columns[direction]
    sets = {"photos": columns["age_before"], "translated": columns["age_after"]}
    for key, other in measured.items():
        if key != direction and other.names:
            sets["real target faces"] = next(ages for name, ages in other.real.items() if name.startswith("age@"))
    return sets


def _draw_ages(axes: Axes, sets: Mapping[str, np.ndarray]) -> None:
    bars = list(range(0, 101 + YEARS_A_BAR, YEARS_A_BAR))
    for name, ages in sets.items():
        weights = np.full(len(ages), 100 / max(1, len(ages)))
        filled = name == "photos"
        axes.hist(
            ages,
            bars,
            weights=weights,
            color=COLOURS[name],
            label=name,
            alpha=0.35 if filled else 1.0,
            histtype="stepfilled" if filled else "step",
            linewidth=1.6,
        )
    axes.set(xlabel="estimated age in years", ylabel="% of the faces", title="ages")
    axes.legend(fontsize="small")


def _draw_gains(axes: Axes, gains: np.ndarray) -> None:
    lowest, highest = np.floor(min(gains.min(), -3)), np.ceil(max(gains.max(), 3))
    bars = np.arange(lowest, highest + YEARS_A_BAR, YEARS_A_BAR)
    axes.hist(gains, list(bars), color=COLOURS["translated"], alpha=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.axvline(float(gains.mean()), color="black", linestyle="--", linewidth=1, label=f"mean {gains.mean():.1f}")
    axes.axvline(AIM, color=COLOURS["real target faces"], linestyle=":", label=f"intended: {AIM}")
    axes.set(xlabel="gain in years (below 0: wrong direction)", ylabel="faces", title="age gain")
    axes.legend(fontsize="small")


def _draw_scatter(axes: Axes, own: Measured, summary: Summary) -> None:
    columns = summary.columns[own.direction]
    has_faces = "cosine" in columns
    heights = columns["cosine"] if has_faces else columns["change_l1"]
    for (name, mask), colour in zip(own.women_and_men().items(), ("#dd8452", "#4c72b0"), strict=True):
        axes.scatter(columns["gain"][mask], heights[mask], s=10, alpha=0.6, color=colour, label=name)
    if has_faces and summary.verification and np.isfinite(summary.verification.threshold):
        axes.axhline(summary.verification.threshold, color="black", linewidth=0.8, linestyle="--", label="verified")
    title = "age against identity" if has_faces else "age against change (no identity)"
    label = "cosine before/after" if has_faces else "L1 change, of 255"
    axes.set(xlabel="gain in years", ylabel=label, title=title)
    axes.legend(fontsize="small")
