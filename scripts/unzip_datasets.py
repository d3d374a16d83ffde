"""Unpack archives of prepared photos into datasets/young2old. Called by unzip_datasets.sh; requires no packages.

Unpacks image files whose folder is named trainA, trainB, testA or testB, at any depth. Other members are counted and
skipped. Files are always written below the output folder: only the names of the file and of its folder are used.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.archives import ARCHIVE_SUFFIXES, Member, MemberError, is_archive, members
from util.errors import UserError, told_in_one_line
from util.files import atomic_path, is_image
from util.text import printable

FOLDERS = ("trainA", "trainB", "testA", "testB")

HELP = """There is no archive in {folder} (expected {suffixes}).

Put an archive there that contains the folders trainA, trainB, testA and testB (A: photos of young people, B: of old
people), and run this command again; or create the folders yourself, from your own photos:

    datasets/young2old/trainA  datasets/young2old/trainB  datasets/young2old/testA  datasets/young2old/testB

A public collection of faces must be prepared first. For example, IMDB-WIKI has ages and is for academic research:
download wiki_crop.tar from https://data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki and run

    {prepare}

docs/datasets.md lists other collections. To try the project without photos, run

    python scripts/make_demo_faces.py"""

PREPARE = "python scripts/prepare_dataset.py wiki --input wiki_crop.tar --output datasets/young2old"


def main() -> None:
    """Unpack the archives named on the command line, or all archives in datasets/."""
    parser = argparse.ArgumentParser(prog="unzip_datasets.sh", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("archives", nargs="*", type=Path, metavar="ARCHIVE", help="default: all archives in datasets/")
    parser.add_argument("--output", type=Path, default=Path("datasets/young2old"), help="folder to fill")
    words = parser.parse_args()
    archives = words.archives or find_archives(Path("datasets"))
    if not archives:
        print(
            HELP.format(folder=Path("datasets"), suffixes=" ".join(ARCHIVE_SUFFIXES), prepare=PREPARE), file=sys.stderr
        )
        raise SystemExit(2)
    for archive in archives:
        print(printable(f"unpacking {archive}"), flush=True)
        for outcome, count in sorted(unpack(archive, words.output).items()):
            print(f"  {outcome}: {count}")
    missing = [name for name in FOLDERS if not (words.output / name).is_dir()]
    if missing:
        raise UserError(
            f"{words.output} still lacks {', '.join(missing)}: no archive contains photos in folders with these names. "
            f"If it is a public collection, prepare it: {PREPARE.replace('wiki_crop.tar', str(archives[0]))}"
        )
    print(printable(f"{words.output} is ready"))


def find_archives(folder: Path) -> list[Path]:
    """The archives in `folder`."""
    return sorted(path for path in folder.glob("*") if path.is_file() and is_archive(path.name))


def unpack(archive: Path, output: Path) -> Counter[str]:
    """Write an archive's photos below `output`; returns the number of members by outcome.

    Raises UserError if the file is not an archive or is damaged, and if the output cannot be written.
    """
    outcomes: Counter[str] = Counter()
    for member in members(archive, outcomes):
        try:
            outcomes[take(member, output)] += 1
        except MemberError as error:
            outcomes[str(error)] += 1
    return outcomes


def take(member: Member, output: Path) -> str:
    """Write a member if it is a photo in one of the four folders; returns the outcome. Raises MemberError."""
    *folders, name = member.name.split("/")
    if not folders or folders[-1] not in FOLDERS or not is_image(name) or name.startswith("."):
        return "other files skipped"
    target = output / folders[-1] / name
    if os.path.lexists(target):
        return "photos that existed already"
    content = member.read()
    try:
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return "files with too long names skipped"
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from error
    return "photos unpacked"


if __name__ == "__main__":
    with told_in_one_line("unzip_datasets.sh"):
        main()
