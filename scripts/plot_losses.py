"""Plot the losses of runs of this project (loss_log.csv) and of the public code base (loss_log.txt).

    python scripts/plot_losses.py aging_cyclegan another_run --output losses.svg

Each NAME is a run in --checkpoints_dir, or the path of a run's folder or log.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.curves import Curve, by_pairs, draw_curves
from util.errors import UserError, told_in_one_line
from util.sinks.loss_log import OTHER_COLUMNS, POSITION_COLUMNS, as_trained, whole_rows
from util.text import printable

FORMATS = (".png", ".svg", ".pdf")
POSITION = re.compile(r"epoch: (\d{1,12}), iters: (\d{1,12})\b")
LOSS = re.compile(r"([A-Za-z]\w*): ([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf))", re.IGNORECASE)

Losses = dict[str, Curve]


def main() -> None:
    """Read the logs and draw them."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="run, folder of a run, or log")
    parser.add_argument(
        "--checkpoints_dir", type=Path, default=Path("checkpoints"), help="folder that contains all runs"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("losses.png"), help=f"file of the plot ({' '.join(FORMATS)})"
    )
    parser.add_argument(
        "--losses", nargs="*", metavar="LOSS", help="losses to plot, such as G_A cycle_A (default: all)"
    )
    parser.add_argument(
        "--smoothing", type=float, default=0.9, help="smoothing of the curves, from 0 (none) to below 1"
    )
    words = parser.parse_args()
    if words.output.suffix not in FORMATS:
        raise UserError(f"--output {words.output}: expected a file name that ends in {', '.join(FORMATS)}")
    if not 0 <= words.smoothing < 1:
        raise UserError(f"--smoothing {words.smoothing}: expected a number from 0 to below 1")
    runs = {name: read_run(name, words.checkpoints_dir) for name in words.names}
    panels = arrange(runs, words.losses)
    try:
        draw_curves(words.output, panels, smoothing=words.smoothing)
    except ImportError as error:
        raise UserError(f"plotting requires a package: pip install matplotlib ({error})") from error
    except OSError as error:
        raise UserError(f"--output {words.output}: {error.strerror or error}") from error
    print(printable(f"{words.output}: {', '.join(panels)} of {', '.join(runs)}"))


def arrange(runs: Mapping[str, Losses], wanted: Sequence[str] | None) -> dict[str, list[Curve]]:
    """The panels of the plot: pairs of losses for a single run, or one loss of all runs per panel."""
    names = list(dict.fromkeys(name for losses in runs.values() for name in losses))
    unknown = [name for name in wanted or () if name not in names]
    if unknown:
        raise UserError(f"--losses {' '.join(unknown)}: not in these logs, which contain {' '.join(names)}")
    names = [name for name in names if not wanted or name in wanted]
    if len(runs) == 1:
        (losses,) = runs.values()
        return {title: [losses[name] for name in group] for title, group in by_pairs(names).items()}
    panels: dict[str, list[Curve]] = {name: [] for name in names}
    for run, losses in runs.items():
        for name in names:
            if name in losses:
                panels[name].append(Curve(run, losses[name].epochs, losses[name].values))
    return panels


def read_run(name: str, checkpoints_dir: Path) -> Losses:
    """Read the losses of a run. Raises UserError if there is no log, or if it contains no losses."""
    candidates = [checkpoints_dir / name, Path(name)]
    files = [path for folder in candidates for path in (folder / "loss_log.csv", folder / "loss_log.txt", folder)]
    log = next((path for path in files if path.is_file()), None)
    if log is None:
        raise UserError(f"{name}: there is no loss_log.csv or loss_log.txt in {' or '.join(map(str, candidates))}")
    text = log.read_text(encoding="utf-8", errors="replace")
    losses = read_csv_log(text) if log.suffix == ".csv" else read_text_log(text)
    if not losses:
        raise UserError(f"{log} contains no losses")
    return losses


def read_csv_log(text: str) -> Losses:
    """Read the losses in a loss_log.csv. Incomplete lines are skipped; if epochs were trained again after a restart,
    the last attempt is used."""
    rows = as_trained(whole_rows(csv.DictReader(text.splitlines())))
    if not rows:
        return {}
    epochs = np.array([float(row["epochs"]) for row in rows])
    names = [name for name in rows[0] if name not in POSITION_COLUMNS + OTHER_COLUMNS]
    return {name: Curve(name, epochs, np.array([float(row[name] or "nan") for row in rows])) for name in names}


def read_text_log(text: str) -> Losses:
    """Read the losses in a loss_log.txt of any version of the public code base.

    If a run was resumed from an earlier checkpoint, some positions are repeated; the last report of each is used. The
    log does not contain the number of images per epoch; the largest reported count is used instead.
    """
    reports: dict[tuple[int, int], dict[str, float]] = {}
    for line in text.splitlines():
        position = POSITION.search(line)
        if position is None:
            continue
        place = int(position[1]), int(position[2])
        values = {name: float(value) for name, value in LOSS.findall(line[line.find(")") + 1 :])}
        while reports and next(reversed(reports)) >= place:
            reports.popitem()
        if values:
            reports[place] = values
    if not reports:
        return {}
    images_per_epoch = max(1, *(images for _, images in reports))
    epochs = np.array([epoch - 1 + images / images_per_epoch for epoch, images in reports])
    names = dict.fromkeys(name for values in reports.values() for name in values)
    return {
        name: Curve(name, epochs, np.array([values.get(name, np.nan) for values in reports.values()])) for name in names
    }


if __name__ == "__main__":
    with told_in_one_line("plot_losses.py"):
        main()
