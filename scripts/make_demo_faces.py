"""Draw cartoon faces of young and old people, to try the project without photos.

    python scripts/make_demo_faces.py

writes datasets/demo/{trainA,trainB,testA,testB}. A is people in their twenties, B in their fifties; all are different.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.demo_faces.collection import Settings, write_collection
from util.arguments import Parser, build, option
from util.errors import told_in_one_line
from util.terminal import CountedWork

PROGRAM = "make_demo_faces.py"


@dataclass(frozen=True)
class OutputOptions:
    """output"""

    output: Path = option(Path("datasets/demo"), help="folder of the drawn faces")
    processes: int = option(min(4, os.cpu_count() or 1), help="number of processes", least=1)


def main() -> None:
    """Parse the command line and write the collection."""
    parser = Parser(prog=PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.add_section(Settings)
    parser.add_section(OutputOptions)
    typed = parser.parse()
    settings, options = build(Settings, typed), build(OutputOptions, typed)
    work = CountedWork("drawing", len(settings.paths()), "faces")
    if write_collection(options.output, settings, options.processes, work.advance):
        work.finish()
        print(f"wrote {settings.train} training and {settings.test} test faces per domain to {options.output}")
    else:
        print(f"{options.output} is up to date")


if __name__ == "__main__":
    with told_in_one_line(PROGRAM):
        main()
