"""Recognises image files by name, writes files atomically, and locks them."""

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
    """Return whether a file name has the suffix of a supported image format."""
    return name.lower().endswith(SUFFIXES)


def ending_of(name: str) -> str:
    """Return the lower-case suffix of a file name: `.jpg` for `Photo.JPG`, an empty string if it has none."""
    return os.path.splitext(name)[1].lower()


MOST_NAME_BYTES = 220
"""Longest name that is kept in a temporary file's name. File systems allow 255 bytes in total."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is flushed to disk and renamed to `path` on success.

    If the body raises or the process dies, `path` keeps its previous content. Temporary names start with a dot and end
    in `.tmp`, so that patterns for images or checkpoints do not match them. Parent folders are created. Raises OSError
    with `path` as its filename.
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
        if error.filename in (None, str(temporary)):  # the user does not know the temporary name
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def truncated(name: str, most_bytes: int) -> str:
    """Return the beginning of a file name, at most `most_bytes` long, without splitting a multi-byte character."""
    raw = os.fsencode(name)
    return name if len(raw) <= most_bytes else raw[:most_bytes].decode("utf-8", "ignore")


def _short(name: str) -> str:
    """Return a file name, or its hash if the name is too long for anything to be added to it."""
    raw = os.fsencode(name)
    return name if len(raw) <= MOST_NAME_BYTES else hashlib.sha256(raw).hexdigest()[:32]


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Flush a directory to disk, so that renamed files survive a power failure."""
    if os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, atomically; a copy if the file system does not support hard links."""
    with atomic_path(target) as temporary:
        temporary.unlink(missing_ok=True)  # left by a killed process
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


@contextlib.contextmanager
def locked(path: str | Path, message: str) -> Iterator[None]:
    """Hold a lock file. Raises UserError with `message` and the holder if another process holds it.

    The lock is released when the process ends for whatever reason; forked processes do not inherit it. If flock is not
    available (Windows, some network file systems), nothing is locked.
    """
    with open(path, "a+", encoding="utf-8") as file:
        if fcntl is not None:
            # Otherwise a worker that briefly outlives its killed parent would block the next run.
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
