"""Finds the photos in a folder."""

from __future__ import annotations

import functools
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from util.distributed import place
from util.errors import UserError
from util.files import ending_of, is_image, truncated
from util.photos import describe_left_out, no_images_in
from util.text import printable


class DataError(UserError):
    """Raised if photos are missing or cannot be used; the message names the folder or file and says what to do."""


def list_images(folder: Path, limit: int | None = None) -> list[Path]:
    """Return all image files below `folder` sorted by path, without hidden files; at most `limit` of them. If `folder`
    is a file, return only this file.

    Links to folders are followed, each folder once. The number of skipped files is printed by suffix. Raises DataError
    if the folder is missing or contains no image.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder{_neighbours(folder)}")
    paths, visited, left_out = [], set(), Counter[str]()
    for directory, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        seen = [name for name in names if not name.startswith(".")]
        paths += [Path(directory, name) for name in seen if is_image(name)]
        left_out.update(ending_of(name) for name in seen if not is_image(name))
    if not paths:
        raise DataError(no_images_in(folder, left_out))
    if left_out:
        skipped = f"note: skipping files in {folder} without a supported photo suffix: {describe_left_out(left_out)}"
        _tell(printable(skipped))
    return sorted(paths)[:limit]


@functools.cache
def _tell(line: str) -> None:
    """Print a line once."""
    if place().is_main:
        print(line, file=sys.stderr)


def root_of(folder: Path) -> Path:
    """Return the folder to which results of `list_images` are relative: for a single photo, its folder."""
    return folder.parent if folder.is_file() else folder


def number_or_all(text: str) -> int | None:
    """Parse a number of photos; `inf`, the default of the public code base, means all."""
    return None if text.lower() in ("inf", "infinity", "none") else int(text)


def _neighbours(folder: Path) -> str:
    if not folder.parent.is_dir():
        return f", and neither is {folder.parent}"
    found = sorted(path.name for path in folder.parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    return f"; {folder.parent} contains {'the folders ' + ', '.join(found) if found else 'no folders'}"


MOST_STEM_BYTES = 200
"""Maximum length of a stem. File names have at most 255 bytes, and labels and temporary numbers are appended."""


def unique_stems(paths: Sequence[Path], root: Path) -> dict[Path, str]:
    """Return a unique name for the results of each file: its stem, preceded by its path if the stem is not unique."""
    stems: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        inside = path.relative_to(root_of(root))
        whole = "_".join(inside.parts)
        candidates = [inside.stem, whole.removesuffix(inside.suffix), whole.replace(".", "_")]
        candidates = [truncated(name, MOST_STEM_BYTES) for name in candidates]
        stem = next((name for name in candidates if name not in taken), None)
        number = 2
        while stem is None:
            stem = f"{candidates[0]}_{number}" if f"{candidates[0]}_{number}" not in taken else None
            number += 1
        taken.add(stem)
        stems[path] = stem
    return stems
