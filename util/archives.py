"""Reading tar and zip archives as streams, member by member, without trusting them.

Nothing here writes files, and nothing is unpacked. Members that could harm whoever unpacks them (links, devices, paths
that lead elsewhere) and members or archives that expand absurdly are never read, only counted.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from util.errors import UserError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, ".zip")

MAX_MEMBER_BYTES = 512 * 2**20
"""More than any metadata file or photo of the public collections of faces has."""
MAX_RATIO = 100
"""Bytes unpacked per byte packed. Photos hardly compress; text and MATLAB files reach some tens."""
RATIO_FREE_BYTES = 64 * 2**20
"""Below this size no ratio is a danger."""

MAX_HEADER_BYTES = 256 * 2**10
"""Of names and attributes that a tar archive gives in a member of their own, which tarfile holds in memory."""

DECOMPRESSORS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
"""by the bytes that a file of each kind begins with"""
STREAM_BYTES = 2**17
"""What is unpacked at a time."""

DAMAGES = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
)
"""What the libraries raise where an archive is not whole."""

LINK, DEVICE, OUTSIDE = "links passed over", "devices and pipes passed over", "paths that lead elsewhere passed over"
BOMB, ENCRYPTED, DAMAGED = "decompression bombs passed over", "encrypted files passed over", "damaged files passed over"
METHOD = "files in rare compressions passed over"


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
    if path.exists() and not path.is_file():
        raise ArchiveError(f"{path} is no file")  # to open a pipe would be to wait for whoever writes to it
    read = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    with _damage_told(path):
        yield from read(path, refused)


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGES as error:  # RuntimeError: NotImplementedError and RecursionError are among its kinds
        reason = str(error) or type(error).__name__
        raise ArchiveError(f"{path} cannot be read as an archive ({reason}); fetch it again") from error


def _zip_members(path: Path, refused: Counter[str]) -> Generator[Member]:
    total = 0  # entries may share their bytes, and so be many times as much as the file
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            reason = _zip_objection(entry) or (BOMB if _is_absurd(total + entry.file_size, path.stat().st_size) else "")
            total += 0 if reason else entry.file_size
            if reason:
                refused[reason] += 1
                continue

            def read(entry: zipfile.ZipInfo = entry) -> bytes:
                try:
                    with archive.open(entry) as file:
                        return _read_whole(file, entry.file_size)
                except DAMAGES as error:
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
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return METHOD  # zipfile unpacks all others in pieces of any size: gigabytes out of kilobytes
    return BOMB if entry.file_size > MAX_MEMBER_BYTES or _is_absurd(entry.file_size, entry.compress_size) else ""


def _is_absurd(size: int, compressed: int) -> bool:
    return size > RATIO_FREE_BYTES and size > MAX_RATIO * compressed


def _tar_members(path: Path, refused: Counter[str]) -> Generator[Member]:
    compressed = path.stat().st_size
    plain = path.name.lower().endswith(".tar")
    # A plain tar is read with seeks over what nobody asks for, a compressed one as a pure stream.
    end = 0
    with _opened_tar(path, plain) as archive:
        while (entry := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else tarfile remembers every member, 1 KB each
            if entry.size < 0 or entry.offset_data < end:
                raise tarfile.ReadError("a header leads back")  # and so would be read for ever
            end = entry.offset_data
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


@contextlib.contextmanager
def _opened_tar(path: Path, plain: bool) -> Iterator[tarfile.TarFile]:
    if plain:
        with tarfile.open(path, "r:", tarinfo=_Header) as archive:
            yield archive
        return
    # tarfile would unpack ten kilobytes at once, whatever they become: gigabytes, of bzip2.
    with path.open("rb") as file:
        begin = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in DECOMPRESSORS.items() if begin.startswith(magic)), None)
        stream = opener(file) if opener else file
        with tarfile.open(str(path), "r|", stream, bufsize=STREAM_BYTES, tarinfo=_Header) as archive:
            yield archive


class _Header(tarfile.TarInfo):
    """A member's header as tarfile reads it, but for what it would hold in memory whatever the size.

    The names are those of the places that tarfile itself names for subclasses to change.
    """

    EXTENSIONS = (
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    )

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in self.EXTENSIONS and not 0 <= self.size <= MAX_HEADER_BYTES:
            raise ArchiveError(f"{archive.name!s} holds a header of {self.size} bytes: it is damaged, or a bomb")
        if self.type == tarfile.GNUTYPE_SPARSE and self._sparse_structs[1]:  # type: ignore[attr-defined]
            raise ArchiveError(f"{archive.name!s} holds a file in very many pieces: it is damaged, or a bomb")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, *ignored: object) -> None:
        """Do not read where the pieces of a sparse file belong: such files are refused, and the list may be endless."""
        member.sparse = b""  # is not None: sparse, to tarfile


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
