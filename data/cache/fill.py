"""Decoding all photos of a folder once, several at a time, into one stream of bytes."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from data.cache.pixels import NOWHERE, MappedPixels, Place, decode
from data.photos import PhotoFolder
from data.transforms import UnusablePhotoError, prepared_size
from util.photos import UnreadableImageError, opened_photo
from util.terminal import StatusLine, bar

WAITING_PER_THREAD = 4
"""Decoded photos that may wait to be written."""
EXIF_ORIENTATION = 0x0112


def planned_bytes(folder: PhotoFolder) -> int:
    """The bytes that all photos will take. Where sizes depend on the photos, their headers are read, and only those."""
    if folder.transform.preprocess.startswith("resize"):
        width, height = prepared_size(1, 1, folder.transform)
        return len(folder.files) * width * height * folder.channels
    return sum(_planned_bytes_of(folder, index) for index in range(len(folder.files)))


def _planned_bytes_of(folder: PhotoFolder, index: int) -> int:
    try:
        with opened_photo(folder.files[index]) as image:
            turned = image.getexif().get(EXIF_ORIENTATION, 1) >= 5
            width, height = image.size[::-1] if turned else image.size
        width, height = prepared_size(width, height, folder.transform)
    except (UnreadableImageError, UnusablePhotoError):
        return 0
    return width * height * folder.channels


def fill(file: IO[bytes], folder: PhotoFolder, threads: int) -> tuple[list[Place], int]:
    """Write the pixels of all photos of a folder, in order; those that cannot be decoded are left out. Returns each
    photo's place and the number of bytes.

    All at the start, and not each at its first use: 10,000 photos take half a minute on one core and seconds on
    several, once; filled at first use, photos of the second domain, drawn at random, would still be decoded in the
    tenth epoch, and a folder with nothing in it that can be read would be found late.
    """
    places: list[Place] = []
    offset = 0
    line = StatusLine()
    with contextlib.closing(_decoded(folder, threads)) as photos:
        for values in photos:
            if values is None:
                places.append(NOWHERE)
            else:
                file.write(values.data)
                places.append(Place(offset, *values.shape[1:]))
                offset += values.nbytes
            if line.is_due:
                done, count = len(places), len(folder.files)
                line.draw(f"{bar(done, count)} decoding {folder.path}: {done:,} of {count:,} photos")
    file.flush()
    line.clear()
    return places, offset


def _decoded(folder: PhotoFolder, threads: int) -> Generator[np.ndarray | None, None, None]:
    """Every photo's uint8 values (C, H, W) in order, None for one that cannot be decoded; few of them in memory."""
    # Threads rather than processes: Pillow decodes and resizes outside the interpreter's lock, nothing has to be
    # imported anew, and no pixels go through a pipe.
    waiting: deque[Future[np.ndarray | None]] = deque()
    pool = ThreadPoolExecutor(threads)
    with warnings.catch_warnings():
        # Each reading sets this filter for itself, too, and resets what it found; but filters are the whole process's,
        # and so one thread would reset what another has set. With it set around all of them, none goes without.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            for index in range(len(folder.files)):
                waiting.append(pool.submit(_decode_or_none, folder, index))
                if len(waiting) >= WAITING_PER_THREAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decode_or_none(folder: PhotoFolder, index: int) -> np.ndarray | None:
    try:
        return decode(folder, index)
    except UnusablePhotoError:
        return None


def fill_memory(folder: PhotoFolder, threads: int) -> tuple[list[Place], MappedPixels]:
    """The photos of a folder in memory that worker processes share. Raises OSError where none can be had."""
    file, path = _file_in_memory(folder.path.name)
    places, size = fill(file, folder, threads)
    return places, MappedPixels(path, size, file)


def _file_in_memory(name: str) -> tuple[IO[bytes], Path]:
    """A file that is gone when nobody has it open any more, and where this process and its children can open it."""
    if hasattr(os, "memfd_create"):
        # Not in /dev/shm, which containers often limit to 64 MB, and where a page too many is a bus error.
        file = os.fdopen(os.memfd_create(name), "wb+")
        return file, Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    temporary = tempfile.NamedTemporaryFile(prefix="faces-")  # noqa: SIM115  # lives as long as the pixels
    return temporary, Path(temporary.name)
