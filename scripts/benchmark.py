"""Compare variants of training, translation, loading, preparation and photo ageing with a baseline, in alternation.

    python scripts/benchmark.py train --crop_size 256 --batch_size 1 --leave_one_out --json train.json
    python scripts/benchmark.py infer --crop_size 256
    python scripts/benchmark.py data --dataroot datasets/young2old
    python scripts/benchmark.py prepare --photos PATH/TO/wiki_crop
    python scripts/benchmark.py photo

`python scripts/benchmark.py train --help` lists the options of a benchmark.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.development.benchmarking import data, infer, photo, prepare, train
from util.device import keep_freed_memory
from util.errors import told_in_one_line
from util.files import write_text

SUBJECTS = {"train": train, "infer": infer, "data": data, "prepare": prepare, "photo": photo}


def main() -> None:
    """Run the benchmark that the command line names, print a table, and write JSON if requested."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    subjects = parser.add_subparsers(dest="subject", required=True)
    for name, module in SUBJECTS.items():
        subject = subjects.add_parser(
            name,
            description=(module.__doc__ or "").split("\n\n")[0],
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        subject.add_argument("--json", type=Path, help="JSON file for all measurements")
        module.add_arguments(subject)
    arguments = parser.parse_args()
    result = SUBJECTS[arguments.subject].run(arguments)
    result["command"] = " ".join(["python", "scripts/benchmark.py", *sys.argv[1:]])
    print(SUBJECTS[arguments.subject].format_table(result))
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    with told_in_one_line("benchmark.py"):
        main()
