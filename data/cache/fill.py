"""Decodes all photos of a folder in several threads and writes their pixels to one stream of bytes."""

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

from data.cache.pixels import NOWHERE, Location, MappedPixels, decode
from data.photos import PhotoFolder
from data.transforms import UnusablePhotoError, prepared_size
from util.photos import UnreadableImageError, opened_photo, upright_size
from util.terminal import StatusLine, bar

WAITING_PER_THREAD = 4
"""Maximum number of photos per thread that are being decoded or wait to be written."""


def planned_bytes(folder: PhotoFolder) -> int:
    """Return the bytes that all decoded photos will take. Reads the photos' headers if the size depends on them."""
    if folder.transform.preprocess.startswith("resize"):
        width, height = prepared_size(1, 1, folder.transform)
        return len(folder.files) * width * height * folder.channels
    return sum(_planned_bytes_of(folder, index) for index in range(len(folder.files)))


def _planned_bytes_of(folder: PhotoFolder, index: int) -> int:
    try:
        with opened_photo(folder.files[index]) as image:
            width, height = prepared_size(*upright_size(image), folder.transform)
    except (UnreadableImageError, UnusablePhotoError):
        return 0
    return width * height * folder.channels


def fill(file: IO[bytes], folder: PhotoFolder, threads: int) -> tuple[list[Location], int]:
    """Write the pixels of all photos of a folder in order, skipping photos that cannot be decoded.

    Returns the location of each photo and the number of bytes. Photos are decoded at the start and not at their first
    use: 10,000 photos take half a minute on one core, and seconds on several. Otherwise, photos of the second domain,
    which are drawn at random, would still be decoded in the tenth epoch, and a folder without a usable photo would be
    noticed late.
    """
    locations: list[Location] = []
    offset = 0
    line = StatusLine()
    with contextlib.closing(_decoded(folder, threads)) as photos:
        for values in photos:
            if values is None:
                locations.append(NOWHERE)
            else:
                file.write(values.data)
                locations.append(Location(offset, *values.shape[1:]))
                offset += values.nbytes
            if line.is_due:
                done, count = len(locations), len(folder.files)
                line.draw(f"{bar(done, count)} decoding {folder.path}: {done:,} of {count:,} photos")
    file.flush()
    line.clear()
    return locations, offset


def _decoded(folder: PhotoFolder, threads: int) -> Generator[np.ndarray | None, None, None]:
    """Yield each photo's uint8 values (C, H, W) in order, and None if it cannot be decoded, with few in memory."""
    # Threads are faster than processes here: Pillow releases the GIL when decoding and resizing, nothing has to be
    # imported again, and pixels are not sent through a pipe.
    waiting: deque[Future[np.ndarray | None]] = deque()
    pool = ThreadPoolExecutor(threads)
    with warnings.catch_warnings():
        # Reading a photo sets this filter and restores the previous ones. Filters are shared by all threads, so one
        # thread could remove the filter that another has set; setting it here ensures that it is always present.
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


def fill_memory(folder: PhotoFolder, threads: int) -> tuple[list[Location], MappedPixels]:
    """Decode the photos of a folder to memory that worker processes share. Raises OSError if it cannot be allocated."""
    file, path = _file_in_memory(folder.path.name)
    locations, size = fill(file, folder, threads)
    return locations, MappedPixels(path, size, file)


def _file_in_memory(name: str) -> tuple[IO[bytes], Path]:
    """Create a file that disappears when it is closed, and return it with a path for this process and its children."""
    if hasattr(os, "memfd_create"):
        # /dev/shm is not used: containers often limit it to 64 MB, and exceeding that is a bus error.
        file = os.fdopen(os.memfd_create(name), "wb+")
        return file, Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    temporary = tempfile.NamedTemporaryFile(prefix="faces-")  # noqa: SIM115  # must live as long as the pixels
    return temporary, Path(temporary.name)
