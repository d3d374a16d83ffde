"""Reads untrusted tar and zip archives as streams, member by member.

No files are written. Members that would be dangerous to unpack (links, devices, paths outside the target folder) and
decompression bombs are never read, only counted.
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
"""Larger than any metadata file or photo in the public face datasets."""
MAX_RATIO = 100
"""Highest accepted compression ratio. Photos hardly compress; text and MATLAB files reach ratios of some tens."""
RATIO_FREE_BYTES = 64 * 2**20
"""Below this unpacked size the compression ratio is not checked."""

MAX_HEADER_BYTES = 256 * 2**10
"""Largest accepted tar extension header (long names, attributes). tarfile holds such headers in memory."""

DECOMPRESSORS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
"""Maps the magic bytes at the start of a compressed file to its decompressor."""
STREAM_BYTES = 2**17
"""Number of bytes that are unpacked at a time."""

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
"""Exceptions that the libraries raise for a damaged archive."""

LINK, DEVICE, OUTSIDE = "links skipped", "devices and pipes skipped", "paths outside the archive skipped"
BOMB, ENCRYPTED, DAMAGED = "decompression bombs skipped", "encrypted files skipped", "damaged files skipped"
METHOD = "files with an unsupported compression method skipped"


class MemberError(Exception):
    """Raised for a single member that cannot be read; the message is one of the reasons above."""


@dataclass(frozen=True)
class Member:
    """A regular file in an archive. `read` may be called until the next member is requested; it raises MemberError."""

    name: str
    """safe relative path with forward slashes"""
    size: int
    """unpacked size in bytes"""
    read: Callable[[], bytes]


def is_archive(name: str) -> bool:
    """Return whether a file name has the suffix of a supported archive."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def is_safe(name: str) -> bool:
    """Return whether a relative path (with forward slashes) stays below its base folder on every operating system."""
    parts = name.split("/")
    return bool(name) and not ("\\" in name or "\0" in name or name.startswith("/") or ".." in parts or ":" in parts[0])


def members(path: Path, refused: Counter[str]) -> Iterator[Member]:
    """Yield the regular files of an archive in order. Members that are skipped are counted in `refused` by reason.

    Memory use does not depend on the size of a tar archive; for a zip archive, the table of contents is kept in memory.
    Raises UserError for an archive that cannot be read to its end.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a regular file")  # opening a pipe would block until somebody writes to it
    read = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    with _damage_told(path):
        yield from read(path, refused)


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGES as error:  # includes NotImplementedError and RecursionError
        reason = str(error) or type(error).__name__
        raise UserError(f"{path} cannot be read as an archive ({reason}); download it again") from error


def _zip_members(path: Path, refused: Counter[str]) -> Generator[Member]:
    total = 0  # entries may overlap, so that together they expand to many times the file's size
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
    mode = entry.external_attr >> 16  # the Unix mode, if the archive was made on a Unix system
    if stat.S_ISLNK(mode):
        return LINK
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return DEVICE
    if not is_safe(entry.filename):
        return OUTSIDE
    if entry.flag_bits & 1:
        return ENCRYPTED
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return METHOD  # zipfile does not limit how much it unpacks at once for the other methods
    return BOMB if entry.file_size > MAX_MEMBER_BYTES or _is_absurd(entry.file_size, entry.compress_size) else ""


def _is_absurd(size: int, compressed: int) -> bool:
    return size > RATIO_FREE_BYTES and size > MAX_RATIO * compressed


def _tar_members(path: Path, refused: Counter[str]) -> Generator[Member]:
    compressed = path.stat().st_size
    plain = path.name.lower().endswith(".tar")
    # Members of a plain tar that are not requested are skipped with a seek; a compressed tar is a pure stream.
    end = 0
    with _opened_tar(path, plain) as archive:
        while (entry := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # otherwise tarfile keeps about 1 KB for every member
            if entry.size < 0 or entry.offset_data < end:
                raise tarfile.ReadError("a header points backwards")  # reading would never end
            end = entry.offset_data
            if not plain and _is_absurd(entry.offset_data + entry.size, compressed):
                raise UserError(f"{path} expands to more than {MAX_RATIO} times its size: a decompression bomb")
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
    # tarfile itself would unpack 10 KB at once without a limit on the result, which can be gigabytes for bzip2.
    with path.open("rb") as file:
        begin = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in DECOMPRESSORS.items() if begin.startswith(magic)), None)
        stream = opener(file) if opener else file
        with tarfile.open(str(path), "r|", stream, bufsize=STREAM_BYTES, tarinfo=_Header) as archive:
            yield archive


class _Header(tarfile.TarInfo):
    """A member's header that refuses oversized extension headers, which tarfile would load into memory.

    Reading headers in a child process with a memory limit would not replace these checks: a list of the pieces of a
    sparse file keeps tarfile busy for a minute before it has filled 128 MiB.
    """

    EXTENSIONS = (
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    )
    IS_EXTENDED = 482
    """Offset of the flag in an old GNU header that announces further blocks with pieces of a sparse file."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> _Header:
        """Parse a block of 512 bytes. Raises tarfile.ReadError for an oversized header."""
        header = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]  # typeshed demands an encoding
        if header.type in cls.EXTENSIONS and not 0 <= header.size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"it contains a header of {header.size} bytes: it is damaged or malicious")
        if header.type == tarfile.GNUTYPE_SPARSE and buf[cls.IS_EXTENDED]:
            raise tarfile.ReadError("it contains a sparse file with too many pieces: it is damaged or malicious")
        return header

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, *ignored: object) -> None:
        """Skip the list of a sparse file's pieces, which may be endless. Sparse files are refused in any case.

        This overrides a private method, because tarfile calls no public one before it reads the list.
        """
        member.sparse = b""  # any value other than None marks the member as sparse


def _tar_objection(entry: tarfile.TarInfo, name: str) -> str:
    if entry.issym() or entry.islnk():
        return LINK
    if not entry.isreg():
        return DEVICE
    if entry.issparse() or entry.size > MAX_MEMBER_BYTES:
        return BOMB
    return "" if is_safe(name) else OUTSIDE


def _read_whole(file: IO[bytes], size: int) -> bytes:
    """Read a whole member. Its length must equal the size in its header."""
    content = file.read(size + 1)
    if len(content) > size:
        raise MemberError(BOMB)
    if len(content) < size:
        raise EOFError(f"a member ends after {len(content)} of {size} bytes")
    return content
