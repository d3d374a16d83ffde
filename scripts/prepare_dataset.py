"""Prepare a training set of young and old faces from a collection of photos.

    python scripts/prepare_dataset.py wiki --input datasets/raw/wiki_crop.tar --output datasets/young2old

writes trainA and testA (young people), trainB and testB (old people), manifest.csv (each row of the collection, and the
reason if it is left out), report.html and dataset.json. docs/datasets.md lists the collections. If the command is
interrupted, the same command resumes.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import told_in_one_line
from util.text import printable

PROGRAM = "prepare_dataset.py"


def main() -> None:
    """Parse the command line and prepare the data set."""
    # Worker processes import this file again and must stay small: only the main process imports pandas and scipy.
    from scripts.preparation.pipeline import prepare
    from scripts.preparation.settings import Settings
    from scripts.preparation.sources import SOURCES
    from util.arguments import Parser, build

    parser = Parser(prog=PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.usage = f"%(prog)s {{{','.join(SOURCES)}}} --input DIR_OR_ARCHIVE [options]   (--help lists the options)"
    described = "; ".join(f"{name}: {source.title}" for name, source in SOURCES.items())
    parser.add_argument("source", choices=tuple(SOURCES), help=described, metavar="SOURCE")
    parser.add_section(Settings)
    words = parser.parse()
    source = words.pop("source")
    settings = build(Settings, words)
    made = prepare(source, settings)
    output = settings.run.output
    print(
        printable(
            f"{output} is ready; open {output / 'report.html'} for a report" if made else f"{output} is up to date"
        )
    )


if __name__ == "__main__":
    with told_in_one_line(PROGRAM, interrupted="run the same command again to resume"):
        main()
