"""Export a run's generators to files for other programs.

    python export.py --name young2old --format onnx

writes checkpoints/young2old/latest_older.onnx and latest_younger.onnx, and compares them with the networks.
docs/export.md describes the files and how to use them elsewhere. `python export.py --help` lists all options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aging.card import GREY_HAIR
from aging.exporting import FORMATS, largest_difference, plain_copy
from aging.trained import ChosenRun, read_run
from util.arguments import option
from util.errors import told_in_one_line
from util.terminal import format_bytes


@dataclass(frozen=True)
class ExportOptions:
    """export"""

    format: str = option(
        "onnx",
        help="onnx: for onnxruntime and many other programs; torchscript: for C++ with libtorch; safetensors: only the "
        "weights",
        choices=tuple(FORMATS),
    )
    half: bool = option(False, help="store weights in 16 bits, which halves the files; computation stays in 32 bits")
    output: Path | None = option(None, help="folder of the exported files; by default, the folder of the run")


def main(argv: Sequence[str] | None = None) -> None:
    """Export a file for each direction, and print its difference from the network."""
    run = read_run(
        "export.py", "Export a run's generators to files for other programs.", {"export": ExportOptions}, argv
    )
    options: ExportOptions = run.further["export"]
    for direction in run.generators:
        if direction != GREY_HAIR or FORMATS[options.format].read:  # it has no weights of its own
            print(export(run, direction, options))
    if GREY_HAIR not in run.generators:
        _path(run, GREY_HAIR, options).unlink(missing_ok=True)  # of an earlier export, which age_photo.py would use


def export(run: ChosenRun, direction: str, options: ExportOptions) -> str:
    """Export one direction; returns a line for the console."""
    kind = FORMATS[options.format]
    trained = plain_copy(run.generators[direction], half=options.half)
    # safetensors files keep the names that the other commands expect; other files are named after the direction.
    path = _path(run, direction if kind.read else f"net_{trained.card.network}", options)
    kind.write(trained, path)
    line = f"{path}: {direction}, {format_bytes(path.stat().st_size)}"
    if kind.read is None:
        return line
    return f"{line}; differs from the network by at most {largest_difference(trained, kind.read(path)):.1e} (of 2)"


def _path(run: ChosenRun, name: str, options: ExportOptions) -> Path:
    return (options.output or run.folder.path) / f"{run.label}_{name}{FORMATS[options.format].suffix}"


if __name__ == "__main__":
    with told_in_one_line("export.py"):
        main()
