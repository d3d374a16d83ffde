"""Replaces the contents of a folder as a whole, so that a reader finds the old or the new files but no mixture."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def staged(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; its contents replace the earlier ones when the block ends.

    parts: glob patterns of the names in `folder` to replace; other files stay. If the block raises or the process dies,
    `folder` keeps its contents. Raises OSError with `folder` as its filename if it cannot be written.
    """
    stage = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        stage.mkdir()
        yield stage
        folder.mkdir(exist_ok=True)
        former = stage / "former"
        former.mkdir()
        made = [path for path in stage.iterdir() if path != former]
        for pattern in (*parts, *(glob.escape(path.name) for path in made)):
            for path in folder.glob(pattern):
                path.rename(former / path.name)
        for path in made:
            path.rename(folder / path.name)
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(stage)):
            raise OSError(error.errno, error.strerror or str(error), str(folder)) from error
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary folders that killed processes left beside `folder`."""
    for path in folder.parent.glob(f".{folder.name}.*.tmp"):
        number = path.name.split(".")[-2]
        if path.is_dir() and number.isdecimal() and not _is_alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    """Return whether a process with this ID exists; True if that is unknown."""
    if os.name == "nt":  # signal 0 would end the process on Windows
        return True
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True
