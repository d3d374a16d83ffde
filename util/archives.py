"""Reading tar and zip archives as streams, member by member, without trusting them.

Nothing here writes files, and nothing is unpacked. Members that could harm whoever unpacks them (links, devices, paths
that lead elsewhere) and members or archives that expand absurdly are never read, only counted.
"""

from __future__ import annotations

import contextlib
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from util.errors import UserError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, ".zip")

MAX_MEMBER_BYTES = 512 * 2**20
"""More than any metadata file or photo of the public collections of faces has."""
MAX_RATIO = 100
"""Bytes unpacked per byte packed. Photos hardly compress; text and MATLAB files reach some tens."""
RATIO_FREE_BYTES = 64 * 2**20
"""Below this size no ratio is a danger."""

DAMAGES = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)
"""What the libraries raise where an archive is not whole."""

LINK, DEVICE, OUTSIDE = "links passed over", "devices and pipes passed over", "paths that lead elsewhere passed over"
BOMB, ENCRYPTED, DAMAGED = "decompression bombs passed over", "encrypted files passed over", "damaged files passed over"


class ArchiveError(UserError):
    """An archive that cannot be read to its end; the message names it and says why."""


class MemberError(Exception):
    """A single member that cannot be read; the message is one of the reasons above."""


@dataclass(frozen=True)
class Member:
    """A regular file of an archive. `read` works until the next member is asked for; it raises MemberError."""

    name: str
    """with forward slashes; stays below the folder that it is relative to"""
    size: int
    """in bytes, unpacked"""
    read: Callable[[], bytes]


def is_archive(name: str) -> bool:
    """Whether a file's name says that it is an archive that can be read here."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def is_safe(name: str) -> bool:
    """Whether a path (with forward slashes) stays below the folder that it is relative to, on any system."""
    parts = name.split("/")
    return bool(name) and not ("\\" in name or "\0" in name or name.startswith("/") or ".." in parts or ":" in parts[0])


def members(path: Path, refused: Counter[str]) -> Iterator[Member]:
    """The regular files of an archive, in its order; others are counted in `refused`, by reason.

    Memory does not grow with a tar archive; of a zip archive the table of contents is held. Raises ArchiveError.
    """
    read = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    with _damage_told(path):
        yield from read(path, refused)


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGES as error:
        raise ArchiveError(f"{path} cannot be read as an archive ({error}); fetch it again") from error


def _zip_members(path: Path, refused: Counter[str]) -> Generator[Member]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            reason = _zip_objection(entry)
            if reason:
                refused[reason] += 1
                continue

            def read(entry: zipfile.ZipInfo = entry) -> bytes:
                try:
                    with archive.open(entry) as file:
                        return _read_whole(file, entry.file_size)
                except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
                    raise MemberError(DAMAGED) from error

            yield Member(entry.filename, entry.file_size, read)


def _zip_objection(entry: zipfile.ZipInfo) -> str:
    mode = entry.external_attr >> 16  # the Unix mode, where the archive was made on such a system
    if stat.S_ISLNK(mode):
        return LINK
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return DEVICE
    if not is_safe(entry.filename):
        return OUTSIDE
    if entry.flag_bits & 1:
        return ENCRYPTED
    return BOMB if entry.file_size > MAX_MEMBER_BYTES or _is_absurd(entry.file_size, entry.compress_size) else ""


def _is_absurd(size: int, compressed: int) -> bool:
    return size > RATIO_FREE_BYTES and size > MAX_RATIO * compressed


def _tar_members(path: Path, refused: Counter[str]) -> Generator[Member]:
    compressed = path.stat().st_size
    plain = path.name.lower().endswith(".tar")
    # A plain tar is read with seeks over what nobody asks for, a compressed one as a pure stream.
    archive = tarfile.open(path, "r:") if plain else tarfile.open(path, "r|*")  # noqa: SIM115 (closed by the next line)
    with archive:
        while (entry := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else tarfile remembers every member, 1 KB each
            if not plain and _is_absurd(entry.offset_data + entry.size, compressed):
                raise ArchiveError(f"{path} expands to more than {MAX_RATIO} times its size: a decompression bomb")
            if entry.isdir():
                continue
            name = entry.name.removeprefix("./")
            reason = _tar_objection(entry, name)
            if reason:
                refused[reason] += 1
                continue

            def read(entry: tarfile.TarInfo = entry) -> bytes:
                with _damage_told(path):
                    file = archive.extractfile(entry)
                    assert file is not None  # it is a regular file
                    return _read_whole(file, entry.size)

            yield Member(name, entry.size, read)


def _tar_objection(entry: tarfile.TarInfo, name: str) -> str:
    if entry.issym() or entry.islnk():
        return LINK
    if not entry.isreg():
        return DEVICE
    if entry.issparse() or entry.size > MAX_MEMBER_BYTES:
        return BOMB
    return "" if is_safe(name) else OUTSIDE


def _read_whole(file: IO[bytes], size: int) -> bytes:
    """All of a member, which must be just as long as its header says."""
    content = file.read(size + 1)
    if len(content) > size:
        raise MemberError(BOMB)
    if len(content) < size:
        raise EOFError(f"a member ends after {len(content)} of {size} bytes")
    return content
