"""Unpack archives of prepared photos into datasets/young2old; called by unzip_datasets.sh.

Takes image files whose folder is named trainA, trainB, testA or testB, at any depth; other members are counted and
left. No member decides where it is written: only its folder's and its own last name count.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from util.errors import UserError, told_in_one_line
from util.files import atomic_path, is_image

FOLDERS = ("trainA", "trainB", "testA", "testB")
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
LARGEST_PHOTO_BYTES = 200 * 2**20
"""A member that unpacks to more is no photo but a decompression bomb."""
CHUNK_BYTES = 2**20

HELP = """There is no archive in {folder} (looked for {suffixes}).

Either put an archive there that holds trainA, trainB, testA and testB (A: photos of young people, B: of old ones), and
run this again; or make the folders yourself, from photos that you have:

    datasets/young2old/trainA  datasets/young2old/trainB  datasets/young2old/testA  datasets/young2old/testB

IMDB-WIKI (faces with ages, for academic research) is at
https://data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki: take people
of 20 to 29 years for A and of 50 to 59 years for B. To try the project out without photos:

    python scripts/make_demo_faces.py"""


def main() -> None:
    """Unpack the archives named on the command line, or all in datasets/."""
    parser = argparse.ArgumentParser(prog="unzip_datasets.sh", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("archives", nargs="*", type=Path, metavar="ARCHIVE", help="default: all archives in datasets/")
    parser.add_argument("--output", type=Path, default=Path("datasets/young2old"), help="folder to fill")
    words = parser.parse_args()
    archives = words.archives or find_archives(Path("datasets"))
    if not archives:
        raise UserError(HELP.format(folder=Path("datasets"), suffixes=" ".join(SUFFIXES)))
    for archive in archives:
        print(f"unpacking {archive}", flush=True)
        for outcome, count in sorted(unpack(archive, words.output).items()):
            print(f"  {outcome}: {count}")
    missing = [name for name in FOLDERS if not (words.output / name).is_dir()]
    if missing:
        raise UserError(
            f"{words.output} still lacks {', '.join(missing)}: no archive holds photos in a folder so named"
        )
    print(f"{words.output} is ready")


def find_archives(folder: Path) -> list[Path]:
    """The archives that lie in `folder`."""
    return sorted(path for path in folder.glob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES))


def unpack(archive: Path, output: Path) -> Counter[str]:
    """Write an archive's photos below `output`; returns how many members met which fate.

    Raises UserError for a file that is no archive, or is damaged.
    """
    outcomes: Counter[str] = Counter()
    try:
        members = zip_members(archive) if archive.name.lower().endswith(".zip") else tar_members(archive)
        for name, content in members:
            outcomes[take(name, content, output)] += 1
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{archive} cannot be unpacked ({error}); fetch it again") from error
    except OSError as error:
        raise UserError(f"{archive}: {error.strerror or error} ({error.filename or output})") from error
    return outcomes


def zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Names and contents of a zip file's members; None for folders."""
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.is_dir():
                yield info.filename, None
            else:
                with file.open(info) as content:
                    yield info.filename, content


def tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Names and contents of a tar file's members, read as a stream; None for folders, links and devices."""
    with tarfile.open(archive, "r|*") as file:
        for member in file:
            yield member.name, file.extractfile(member) if member.isreg() else None


def take(name: str, content: IO[bytes] | None, output: Path) -> str:
    """Write one member if it is a photo of one of the four folders; returns what became of it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if content is None:
        return "folders, links and devices passed over"
    if len(parts) < 2 or parts[-2] not in FOLDERS or not is_image(parts[-1]) or parts[-1].startswith("."):
        return "other files passed over"
    target = output / parts[-2] / parts[-1]
    if target.exists():
        return "photos that were there already"
    size = 0
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        while chunk := content.read(CHUNK_BYTES):
            size += len(chunk)
            if size > LARGEST_PHOTO_BYTES:
                raise UserError(f"{name} unpacks to more than {LARGEST_PHOTO_BYTES >> 20} MiB, and is no photo")
            file.write(chunk)
    return "photos unpacked"


if __name__ == "__main__":
    with told_in_one_line("unzip_datasets.sh"):
        main()
