"""Draw cartoon faces of young and old people, to try the project without photos.

    python scripts/make_demo_faces.py

writes datasets/demo/{trainA,trainB,testA,testB}. A is people in their twenties, B in their fifties; all are different.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.demo_faces.collection import Settings, write_collection
from util.errors import told_in_one_line
from util.terminal import CountedWork


def main() -> None:
    """Parse the command line and write the collection."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("datasets/demo"), help="folder of the drawn faces")
    parser.add_argument("--size", type=int, default=Settings.size, help="width and height of the images in pixels")
    parser.add_argument("--train", type=int, default=Settings.train, help="number of training faces per domain")
    parser.add_argument("--test", type=int, default=Settings.test, help="number of test faces per domain")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="random seed")
    parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1), help="number of processes")
    words = parser.parse_args()
    settings = Settings(words.size, words.train, words.test, words.seed)
    work = CountedWork("drawing", len(settings.paths()), "faces")
    if write_collection(words.output, settings, max(1, words.processes), work.advance):
        work.finish()
        print(f"wrote {words.train} training and {words.test} test faces per domain to {words.output}")
    else:
        print(f"{words.output} is up to date")


if __name__ == "__main__":
    with told_in_one_line("make_demo_faces.py"):
        main()
