"""A raw collection as downloaded: a folder, an archive, a folder with archives, or two folders."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from scripts.preparation.errors import SourceError
from scripts.preparation.sources.matching import Matcher
from util.archives import ARCHIVE_SUFFIXES, MAX_MEMBER_BYTES, Member, MemberError, is_archive, is_safe, members
from util.endings import OTHER_PICTURES
from util.files import ending_of, is_image

Photo = Path | bytes | None
"""A file, the bytes of an archive's member, or None for a missing photo."""

METADATA_DEPTH, PHOTO_DEPTH = 3, 10
"""Maximum depth of subfolders in which metadata and photos are searched."""


class Collection(ABC):
    """Provides the metadata files for an adapter, and the photos for the preparation."""

    path: Path

    @property
    @abstractmethod
    def refused(self) -> Counter[str]:
        """Number of members of archives that `photos` skipped, by reason."""

    @abstractmethod
    def metadata_files(self) -> Sequence[str]:
        """The paths of all files that are not photos."""

    @abstractmethod
    def content(self, file: str) -> bytes:
        """The content of one of `metadata_files`. Raises SourceError."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """The paths of all photos, with forward slashes: sorted for a folder, in the archive's order for an archive."""

    @abstractmethod
    def photos(self, wanted: Mapping[str, int]) -> Iterator[tuple[int, Photo]]:
        """The photos of `wanted` (numbers by path), each once with its number, in the fastest order to read them."""

    def left_out(self) -> Counter[str]:
        """Number of photos in formats that cannot be read, by file extension."""
        endings = Counter(map(ending_of, self.metadata_files()))
        return Counter({ending: count for ending, count in endings.items() if ending in OTHER_PICTURES})

    def has(self, *names: str) -> bool:
        """Whether there is a file with one of these names, in any folder."""
        return any(self._find(name) is not None for name in names)

    def read(self, name: str) -> bytes:
        """The content of the file with this name. Raises SourceError if there is none."""
        return self.read_any(name)[1]

    def read_any(self, *names: str) -> tuple[str, bytes]:
        """Name and content of the first of these files that exists. Raises SourceError if none does."""
        for name in names:
            file = self._find(name)
            if file is not None:
                return name, self.content(file)
        shown = ", ".join(sorted(self.metadata_files())[:5]) or "only photos"
        raise SourceError(
            f"{self.path} contains no {' or '.join(names)}, but {shown}; set --input to the folder or archive that "
            "contains it"
        )

    def files_ending(self, suffix: str) -> list[str]:
        """The metadata files with this extension in the topmost folder that has any."""
        found = [file for file in self.metadata_files() if file.lower().endswith(suffix)]
        top = min((file.count("/") for file in found), default=0)
        return sorted(file for file in found if file.count("/") == top)

    def _find(self, name: str) -> str | None:
        found = [file for file in self.metadata_files() if file.rpartition("/")[2] == name or file == name]
        return min(found, key=lambda file: (file.count("/"), file), default=None)


def open_collection(path: Path, photo_folders: Sequence[str] = ("",)) -> Collection:
    """Open the collection at `path`. photo_folders: folders to which a table's paths may be relative. Raises
    SourceError."""
    if path.is_dir():
        return Folder(path, photo_folders)
    if not path.exists():
        raise SourceError(f"--input {path} does not exist")
    if not is_archive(path.name):
        raise SourceError(f"--input {path} is neither a folder nor an archive ({' '.join(ARCHIVE_SUFFIXES)})")
    return Archive(path)


class Folder(Collection):
    """A collection in a folder. Files that are missing there are searched in the archives in the folder."""

    def __init__(self, path: Path, photo_folders: Sequence[str] = ("",)) -> None:
        self.path = path
        self.roots = [path / name for name in photo_folders if (path / name).is_dir()]

    @property
    def refused(self) -> Counter[str]:
        return sum((archive.refused for archive in self.archives), Counter[str]())

    @cached_property
    def own_files(self) -> list[str]:
        """The files of the folder that are not photos, including archives."""
        return [name for name in self._walk(METADATA_DEPTH) if not is_image(name)]

    @cached_property
    def archives(self) -> list[Archive]:
        """The archives in the folder."""
        return [Archive(self.path / name) for name in self.own_files if is_archive(name)]

    def metadata_files(self) -> Sequence[str]:
        return [name for name in self.own_files if not is_archive(name)]

    def has(self, *names: str) -> bool:
        return super().has(*names) or any(archive.has(*names) for archive in self.archives)

    def read_any(self, *names: str) -> tuple[str, bytes]:
        if not super().has(*names):
            for archive in self.archives:
                if archive.has(*names):
                    return archive.read_any(*names)
        return super().read_any(*names)

    def content(self, file: str) -> bytes:
        path = self.path / file
        try:
            if not path.is_file():  # opening a pipe would block
                raise SourceError(f"{path} is not a regular file")
            if path.stat().st_size > MAX_MEMBER_BYTES:
                raise SourceError(
                    f"{path} is larger than {MAX_MEMBER_BYTES >> 20} MiB, so it cannot be metadata of a collection"
                )
            return path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error

    def names(self) -> Iterator[str]:
        found = False
        for name in self._walk(PHOTO_DEPTH):
            if is_image(name):
                found = True
                yield name
        if not found:
            for archive in self.archives:
                yield from archive.names()

    def photos(self, wanted: Mapping[str, int]) -> Iterator[tuple[int, Photo]]:
        missing = {}
        for path, number in wanted.items():
            file = self._locate(path)
            if file is None:
                missing[path] = number
            else:
                yield number, file
        for any_ending in (False, True) if missing else ():
            matcher = Matcher(missing, any_ending=any_ending)
            for name in self._walk(PHOTO_DEPTH):
                found = matcher.find(name) if is_image(name) else None
                if found in missing:
                    yield missing.pop(found), self.path / name
        for archive in self.archives if missing else []:
            yield from archive.present(missing)
        yield from ((number, None) for number in missing.values())

    def _walk(self, depth: int) -> Iterator[str]:
        """The files below the folder, sorted. Links to folders are followed once, and hidden files are left out."""
        visited = set()
        for directory, folders, files in os.walk(self.path, followlinks=True):
            real = os.path.realpath(directory)
            relative = os.path.relpath(directory, self.path).replace(os.sep, "/")
            prefix = "" if relative == "." else f"{relative}/"
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith(".") and prefix.count("/") < depth)
            yield from (prefix + name for name in sorted(files) if not name.startswith("."))

    def _locate(self, path: str) -> Path | None:
        if not is_safe(path):
            return None
        return next((root / path for root in self.roots if os.path.isfile(root / path)), None)


class TwoFolders(Collection):
    """A folder of young people and one of old people, seen as one collection with the folders young and old."""

    def __init__(self, young: Path, old: Path) -> None:
        for flag, path in (("young_dir", young), ("old_dir", old)):
            if not path.is_dir():
                raise SourceError(f"--{flag} {path} is not a folder")
        self.path = young
        self.folders = {"young": Folder(young), "old": Folder(old)}

    @property
    def refused(self) -> Counter[str]:
        return sum((folder.refused for folder in self.folders.values()), Counter[str]())

    def metadata_files(self) -> Sequence[str]:
        return []

    def left_out(self) -> Counter[str]:
        return sum((folder.left_out() for folder in self.folders.values()), Counter[str]())

    def content(self, file: str) -> bytes:
        raise SourceError(f"{file}: two folders of photos hold no metadata")

    def names(self) -> Iterator[str]:
        for name, folder in self.folders.items():
            yield from (f"{name}/{path}" for path in folder.names())

    def photos(self, wanted: Mapping[str, int]) -> Iterator[tuple[int, Photo]]:
        for name, folder in self.folders.items():
            prefix = f"{name}/"
            yield from folder.photos({p[len(prefix) :]: number for p, number in wanted.items() if p.startswith(prefix)})


class Archive(Collection):
    """A collection in an archive, whose photos may be below more folders than the table's paths contain."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._refused: Counter[str] = Counter()

    @property
    def refused(self) -> Counter[str]:
        return self._refused

    @cached_property
    def _metadata_files(self) -> list[str]:
        return [member.name for member in self._members(Counter()) if not is_image(member.name)]

    def metadata_files(self) -> Sequence[str]:
        return self._metadata_files

    def content(self, file: str) -> bytes:
        for member in self._members(Counter()):
            if member.name == file:
                try:
                    return member.read()
                except MemberError as error:
                    raise SourceError(f"{file} in {self.path} cannot be read: {error}") from error
        raise SourceError(f"{self.path} changed while it was being read: {file} is missing")

    def names(self) -> Iterator[str]:
        return (member.name for member in self._members(Counter()) if is_image(member.name))

    def photos(self, wanted: Mapping[str, int]) -> Iterator[tuple[int, Photo]]:
        missing = dict(wanted)
        yield from self.present(missing)
        yield from ((number, None) for number in missing.values())

    def present(self, wanted: dict[str, int]) -> Iterator[tuple[int, bytes]]:
        """The photos of `wanted` that are in the archive, in its order; they are removed from `wanted`."""
        for any_ending in (False, True):
            self._refused.clear()
            matcher, others = Matcher(wanted, any_ending=any_ending), Matcher(wanted, any_ending=True)
            has_others = False
            for member in self._members(self._refused):
                path = matcher.find(member.name) if is_image(member.name) else None
                if path not in wanted:
                    has_others = has_others or (is_image(member.name) and others.find(member.name) in wanted)
                    continue
                try:
                    content = member.read()
                except MemberError:
                    content = b""  # counts as unreadable
                yield wanted.pop(path), content
            if not has_others or not wanted:
                return

    def _members(self, refused: Counter[str]) -> Iterator[Member]:
        for member in members(self.path, refused):
            first, _, _ = member.name.partition("/")
            if first != "__MACOSX" and not member.name.rpartition("/")[2].startswith("."):
                yield member
