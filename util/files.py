"""Files: which are images by their names, and writing so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from util.endings import SUFFIXES
from util.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def is_image(name: str) -> bool:
    """Whether a file's name says that it is an image."""
    return name.lower().endswith(SUFFIXES)


def ending_of(name: str) -> str:
    """`.jpg` for `Photo.JPG`; empty where there is none."""
    return os.path.splitext(name)[1].lower()


MOST_NAME_BYTES = 220
"""File systems take names of 255 bytes, to which a temporary file's has to add some."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    If the body raises, or the process dies, `path` keeps its former content. Temporary names start with a dot and end
    in `.tmp`, so that no pattern for images or checkpoints matches them. Parent folders are made. Raises OSError, with
    `path` as its place.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{_short(path.name)}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # the reader of a message knows the file by its own name
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _short(name: str) -> str:
    """A file name that leaves room for something to be added to it; another one for each name."""
    raw = os.fsencode(name)
    return name if len(raw) <= MOST_NAME_BYTES else hashlib.sha256(raw).hexdigest()[:32]


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """A file's SHA-256, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Flush a folder's list of files to disk, so that what was renamed in it is found after a power failure."""
    if os.name == "nt":  # no folder can be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` another name of `source`, atomically; where the file system has no hard links, a copy of it."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        # Where both are names of one file already, replacing does nothing and the temporary name stays.
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: str | Path, message: str) -> Iterator[None]:
    """Hold a lock file for this process. Raises UserError where another process holds it, with `message` and who.

    The lock ends with the process, however that ends; its forks do not inherit it. Where there is no flock (Windows,
    some network file systems) nothing is locked.
    """
    with open(path, "a+", encoding="utf-8") as file:
        if fcntl is not None:
            # Else a worker that outlives its killed parent by a moment would keep the next run out.
            os.register_at_fork(after_in_child=file.close)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise UserError(f"{message} (held by {file.read(200).strip() or 'another process'})") from error
            except OSError:
                yield
                return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
