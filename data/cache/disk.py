"""Decoded photos in files that later runs find again.

A file holds the pixels of one folder's photos, then a JSON object that says what they were made from and where each
lies, then that object's length and checksum.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL
from PIL import features

from data.cache.fill import Filled, fill, planned_bytes
from data.cache.pixels import MappedPixels, Place, map_file
from data.photos import PhotoFolder
from util.errors import UserError
from util.files import atomic_path, locked
from util.terminal import format_bytes

FORMAT = 1
ENDING = struct.Struct("<QI8s")
"""length of the JSON text, its checksum, and MAGIC"""
MAGIC = b"photos\r\n"
SECONDS_BETWEEN_LOOKS = 0.2


class NotUsableError(Exception):
    """Why what a file holds cannot stand for the photos."""


def open_or_fill(
    folder: PhotoFolder, directory: Path, threads: int, report: Callable[[str], None]
) -> tuple[list[Place], MappedPixels]:
    """The pixels of a folder from their file in `directory`, which is written first where it cannot be used.

    Raises OSError where there is no room for it, or no permission.
    """
    path = directory / file_name(folder)
    source = describe_source(folder)
    with contextlib.suppress(NotUsableError):
        return _open(path, source)
    directory.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(path, report):
        try:
            return _open(path, source)  # another run has written it in the meantime
        except NotUsableError as error:
            if path.exists():
                report(f"cache: {path} is written anew: {error}")
        _check_room(directory, planned_bytes(folder) - (path.stat().st_size if path.exists() else 0))
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            filled = fill(file, folder, threads)
            file.write(_ending(source, filled))
        return filled.places, MappedPixels(path, filled.size)


def file_name(folder: PhotoFolder) -> str:
    """The name of a folder's file: the same for all lists of its photos, so that the present one replaces the last."""
    settings = _settings(folder)
    known = json.dumps([str(folder.path.resolve()), settings])
    words = [folder.path.name, *(str(value) for value in settings.values() if value is not None)]
    return f"{'_'.join(words)}_{hashlib.sha256(known.encode()).hexdigest()[:12]}.photos"


def _settings(folder: PhotoFolder) -> dict[str, Any]:
    """What the pixels depend on besides the files, and nothing else: a new --crop_size mostly changes no pixel."""
    options = folder.transform
    resizes = options.preprocess.startswith(("resize", "scale_width"))
    return {
        "preprocess": options.preprocess,
        "load_size": options.load_size if resizes else None,
        "crop_size": options.crop_size if options.preprocess == "scale_width_and_crop" else None,
        "channels": folder.channels,
    }


def describe_source(folder: PhotoFolder) -> dict[str, Any]:
    """All that the pixels follow from, as plain values: format, settings, decoders, and each file's name, size and
    time."""
    return {
        "format": FORMAT,
        "settings": _settings(folder),
        # Other decoders may round otherwise, and then a run with a cache would not be the same as one without.
        "decoders": [PIL.__version__, features.version("jpg"), features.version("webp"), features.version("libtiff")],
        "files": [_describe_file(path, folder.path) for path in folder.files],
    }


def _describe_file(path: Path, root: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return [str(path.relative_to(root)), -1, -1]
    return [str(path.relative_to(root)), status.st_size, status.st_mtime_ns]


def _ending(source: dict[str, Any], filled: Filled) -> bytes:
    text = json.dumps({"source": source, **filled._asdict()}).encode()
    return text + ENDING.pack(len(text), zlib.crc32(text), MAGIC)


def _open(path: Path, source: dict[str, Any]) -> tuple[list[Place], MappedPixels]:
    """The file's pixels. Raises NotUsableError where it is missing, damaged, or made from something else."""
    filled = _read_ending(path, source)
    values = map_file(path, filled.size)
    # All of it is looked at: a bad block would otherwise be trained on. It takes a second for 3 GB, and brings the file
    # into memory, where it is wanted anyway.
    channels = source["settings"]["channels"]
    for (offset, height, width), checksum in zip(filled.places, filled.checksums, strict=True):
        if offset >= 0 and zlib.crc32(values[offset : offset + channels * height * width].data) != checksum:
            raise NotUsableError("it is damaged")
    return filled.places, MappedPixels(path, filled.size)


def _read_ending(path: Path, source: dict[str, Any]) -> Filled:
    try:
        with open(path, "rb") as file:
            end = file.seek(0, 2)
            if end < ENDING.size:
                raise NotUsableError("it is not whole")
            file.seek(end - ENDING.size)
            length, checksum, magic = ENDING.unpack(file.read(ENDING.size))
            if magic != MAGIC or length > end - ENDING.size:
                raise NotUsableError("it is not whole")
            file.seek(end - ENDING.size - length)
            text = file.read(length)
    except OSError as error:
        raise NotUsableError(str(error)) from error
    if zlib.crc32(text) != checksum:
        raise NotUsableError("it is damaged")
    found = json.loads(text)
    if found["source"] != source:
        raise NotUsableError(_difference(found["source"], source))
    if found["size"] != end - ENDING.size - length:
        raise NotUsableError("it is not whole")
    return Filled([Place(*place) for place in found["places"]], found["checksums"], found["size"])


def _difference(then: dict[str, Any], now: dict[str, Any]) -> str:
    if then["files"] == now["files"]:
        return "it was made by another version of this program or of Pillow"
    before, after = ({name: rest for name, *rest in source["files"]} for source in (then, now))
    added, removed = len(after.keys() - before.keys()), len(before.keys() - after.keys())
    changed = sum(before[name] != after[name] for name in before.keys() & after.keys())
    return f"{added} photos were added, {removed} removed, {changed} changed"


def _check_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{format_bytes(needed)} more are needed, {format_bytes(free)} are free")


@contextlib.contextmanager
def _one_at_a_time(path: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other process writes the file, then keep others waiting, and remove what killed ones left.

    Without this two runs, or the many processes of one, would each decode all photos at the same time. Where a file
    system has no locks they do, and the file is whole nevertheless: it is renamed to its name when it is.
    """
    told = False
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(path.with_name(f".{path.name}.lock"), ""))
                for leftover in path.parent.glob(f".{path.name}.*.tmp"):
                    leftover.unlink(missing_ok=True)
                break
            except UserError:
                if not told:
                    report(f"cache: waiting for another process that writes {path}")
                    told = True
                time.sleep(SECONDS_BETWEEN_LOOKS)
            except OSError:
                break
        yield
