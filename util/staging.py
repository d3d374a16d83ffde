"""Folders whose contents change as a whole: a reader finds what was there before or what came after, and no mixture."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def staged(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, whose contents take the place of the earlier ones when the block ends.

    parts: patterns of the names in `folder` that belong to the earlier contents; what has other names stays. If the
    block raises, or the process dies, `folder` keeps what it had. Raises OSError, with `folder` as its place, where
    nothing can be written.
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
    """Delete what killed processes left beside `folder`."""
    for path in folder.parent.glob(f".{folder.name}.*.tmp"):
        number = path.name.split(".")[-2]
        if path.is_dir() and number.isdecimal() and not _is_alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    """Whether there is a process of this number; yes where that cannot be told."""
    if os.name == "nt":  # a signal 0 would end the process there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
