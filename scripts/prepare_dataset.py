"""Make a training set of young and old faces out of a public collection of photos.

    python scripts/prepare_dataset.py wiki --input datasets/raw/wiki_crop.tar --output datasets/young2old

writes trainA, testA (young people), trainB, testB (old people), manifest.csv (every row of the collection, and why it
is not kept), report.html and dataset.json. docs/datasets.md says where the collections are. Interrupted at any moment,
the same command goes on.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import told_in_one_line
from util.text import printable

PROGRAM = "prepare_dataset.py"


def main() -> None:
    """Read the command line and prepare the set."""
    # Worker processes import this file anew, and must stay small: pandas and scipy are the main process's alone.
    from scripts.preparation.pipeline import prepare
    from scripts.preparation.settings import Settings
    from scripts.preparation.sources import SOURCES
    from util.arguments import Parser, build

    parser = Parser(prog=PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.usage = f"%(prog)s {{{','.join(SOURCES)}}} --input DIR_OR_ARCHIVE [options]   (--help lists them)"
    described = "; ".join(f"{name}: {source.title}" for name, source in SOURCES.items())
    parser.add_argument("source", choices=tuple(SOURCES), help=described, metavar="SOURCE")
    parser.add_section(Settings)
    words = parser.parse()
    source = words.pop("source")
    settings = build(Settings, words)
    made = prepare(source, settings)
    output = settings.run.output
    print(printable(f"{output} is ready: see {output / 'report.html'}" if made else f"{output} is up to date"))


if __name__ == "__main__":
    with told_in_one_line(PROGRAM, interrupted="the same command goes on from here"):
        main()
