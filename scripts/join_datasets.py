"""Join prepared data sets to one, with a chosen share of each in the training photos.

    python scripts/join_datasets.py --dataroot datasets/aligned,datasets/chips --shares 3,2 --output datasets/joined

Photos of another collection show a model people that its own lacks. In both training folders of the new data set, each
data set has its share, and each group of people (gender and race) the mean of its shares in the two folders, so that
`train.py --match gender,race` draws all of them: photos are repeated or left out for that. The test photos are those of
the first data set. All photos are links.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from data.manifest import NAME, RECORD, manifest_rows, read_record, write_manifest
from util.arguments import OptionError, Parser, build, option, split_paths
from util.errors import UserError, told_in_one_line
from util.files import link_or_copy, write_text

PROGRAM = "join_datasets.py"
COLUMNS = ("folder", "file", "gender", "race", "age", "identity", "framing", "path")
TRAINING, TEST = ("trainA", "trainB"), ("testA", "testB")
UNRECORDED = "unrecorded"
"""Race of a photo whose collection does not record it."""

Row = dict[str, str]
Group = tuple[str, str]


def numbers(text: str) -> tuple[float, ...]:
    """Parse numbers separated by commas."""
    return tuple(float(part) for part in text.split(","))


@dataclass(frozen=True)
class JoinOptions:
    """join"""

    dataroot: tuple[Path, ...] = option(
        (), help="data sets made by scripts/prepare_dataset.py, separated by commas", parse=split_paths
    )
    shares: tuple[float, ...] = option((), help="share of each, such as 3,2; default: equal shares", parse=numbers)
    output: Path | None = option(None, help="folder of the new data set")
    photos: int = option(2500, help="number of photos in trainA and in trainB", least=1)
    most_copies: int = option(
        10, help="maximum number of copies of a photo; small groups have fewer photos then", least=1
    )
    seed: int = option(0, help="seed of the choice among the photos of large groups", least=0)

    def __post_init__(self) -> None:
        if len(self.dataroot) < 2:
            raise OptionError("--dataroot must name at least two data sets, separated by a comma")
        if len(self.weights) != len(self.dataroot) or min(self.weights) <= 0:
            raise OptionError(f"--shares needs {len(self.dataroot)} numbers above 0, one for each data set")
        if self.output is None:
            raise OptionError("--output is required: name the folder of the new data set")
        if self.output.exists():
            raise OptionError(f"--output {self.output} exists: remove it, or choose another folder")

    @property
    def weights(self) -> tuple[float, ...]:
        """The share of each data set, not normalised."""
        return self.shares or (1.0,) * len(self.dataroot)


def main() -> None:
    """Choose, link, and report the groups."""
    parser = Parser(prog=PROGRAM, description=(__doc__ or "").split("\n\n")[0])
    parser.add_section(JoinOptions)
    options = build(JoinOptions, parser.parse())
    joined = {"joined": list(map(str, options.dataroot)), "shares": list(options.weights)}
    record, target = read_record(options.dataroot[0], **joined), options.output
    chosen = [photo for number in range(len(options.dataroot)) for photo in choose(number, options)]
    unfinished = target.with_name(f".{target.name}.unfinished")  # renamed when whole
    shutil.rmtree(unfinished, ignore_errors=True)
    for photo, row in chosen:
        (unfinished / row["folder"]).mkdir(parents=True, exist_ok=True)
        link_or_copy(photo, unfinished / row["folder"] / row["file"])
    write_manifest(unfinished / NAME, COLUMNS, [row for _, row in chosen])
    write_text(unfinished / RECORD, json.dumps(record, indent=1))
    unfinished.rename(target)
    counts = Counter(row["folder"] for _, row in chosen)
    print(f"{target}: " + ", ".join(f"{counts[folder]:,} photos in {folder}" for folder in (*TRAINING, *TEST)))


def photos_of(root: Path) -> Iterator[Row]:
    """Yield the rows of a data set's manifest that have a photo. Raises UserError for a damaged manifest."""
    for row in manifest_rows(root / NAME, COLUMNS[:3], optional=COLUMNS[3:]):
        if row["file"]:
            yield row | {"race": row["race"] or UNRECORDED}


def choose(number: int, options: JoinOptions) -> list[tuple[Path, Row]]:
    """Choose photos of the data set with that number. Returns their paths and their rows of the new manifest.

    Raises UserError if its two training folders have no group in common."""
    root, rng = options.dataroot[number], np.random.default_rng(options.seed)
    rows = list(photos_of(root))
    groups = {folder: _by_group([row for row in rows if row["folder"] == folder]) for folder in TRAINING}
    common = sorted(groups["trainA"].keys() & groups["trainB"].keys())
    if not common:
        raise UserError(f"{root / NAME}: trainA and trainB have no group of gender and race in common")
    sizes = {folder: sum(len(groups[folder][group]) for group in common) for folder in TRAINING}
    chosen = [(row, 0) for row in rows if number == 0 and row["folder"] in TEST]
    for group in common:
        members = {folder: groups[folder][group] for folder in TRAINING}
        share = sum(len(members[folder]) / sizes[folder] for folder in TRAINING) / len(TRAINING)
        share *= options.weights[number] / sum(options.weights)
        count = min(round(options.photos * share), options.most_copies * min(map(len, members.values())))
        for folder in TRAINING:
            order = rng.permutation(len(members[folder])).tolist()
            chosen += [(members[folder][order[turn % len(order)]], turn // len(order)) for turn in range(count)]
    return [
        (root / row["folder"] / row["file"], row | {"file": f"{number}_{copy}_{row['file'].replace('/', '_')}"})
        for row, copy in chosen
    ]


def _by_group(rows: list[Row]) -> dict[Group, list[Row]]:
    groups: dict[Group, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["file"]):
        if row["gender"]:
            groups.setdefault((row["gender"], row["race"]), []).append(row)
    return groups


if __name__ == "__main__":
    with told_in_one_line(PROGRAM):
        main()
