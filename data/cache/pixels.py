"""Photos that were decoded and resized before: their crops cut out of one long row of bytes."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from data.photos import PhotoFolder
from data.transforms import Window, draw_window, prepare, read_photo

COPIED_AT_ONCE = 64 * 2**20
"""Bytes on their way to a device: enough to be quick, few enough not to need the set twice in the host's memory."""


class Place(NamedTuple):
    """Where a photo's uint8 values (channels, height, width) begin among all bytes, and their size in pixels."""

    offset: int
    height: int
    width: int


NOWHERE = Place(-1, 0, 0)
"""of a photo that could not be decoded"""


class Pixels(Protocol):
    """The bytes of all photos of a folder, in one memory."""

    def cut(self, place: Place, channels: int, window: Window) -> Tensor:
        """A crop, mirrored or not: uint8 (channels, H, W)."""
        ...


class CachedPhotos:
    """The photos of a folder from their pixels. Those that could not be decoded are tried again at each use.

    So an unreadable photo is told of in the words that it would have without a cache, and a file system's hiccup while
    the cache was filled is not remembered for ever.
    """

    def __init__(self, folder: PhotoFolder, places: Sequence[Place], pixels: Pixels) -> None:
        self.folder, self.pixels = folder, pixels
        self.bytes = sum(folder.channels * height * width for _, height, width in places)
        # An array, not a list: workers that look at the entries of a list write to their counts of references, and so
        # get copies of their own of it.
        self._places = np.array(places, dtype=np.int64)

    def load(self, index: int, rng: np.random.Generator | None) -> Tensor:
        """One photo as uint8 (C, H, W), where the pixels are; see data.photos.Photos."""
        folder, pixels = self.folder, self.pixels
        place = Place(*self._places[index].tolist())
        if place.offset < 0:
            values = decode(folder, index)
            place, pixels = Place(0, *values.shape[1:]), pixels_like(self.pixels, values.reshape(-1))
        return pixels.cut(place, folder.channels, draw_window(place.width, place.height, folder.transform, rng))


def decode(folder: PhotoFolder, index: int) -> np.ndarray:
    """Read a photo and prepare it: uint8 (C, H, W). Raises UnusablePhotoError."""
    image = prepare(read_photo(folder.files[index]), folder.transform, folder.channels)
    values = np.asarray(image)
    return np.ascontiguousarray(values[None] if values.ndim == 2 else values.transpose(2, 0, 1))


class HostPixels:
    """Pixels in the host's memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def cut(self, place: Place, channels: int, window: Window) -> Tensor:
        """See Pixels."""
        offset, height, width = place
        photo = self.values[offset : offset + channels * height * width].reshape(channels, height, width)
        crop = photo[:, window.top : window.bottom, window.left : window.right]
        return torch.from_numpy((crop[:, :, ::-1] if window.mirrored else crop).copy())


class MappedPixels(HostPixels):
    """Pixels in a file in memory, mapped: all processes that map it share one copy.

    file: kept open with the pixels, as the path leads to nothing once it is closed; workers need none of their own.
    """

    def __init__(self, path: Path, size: int, file: IO[bytes] | None = None) -> None:
        self.path, self.size, self.file = path, size, file
        super().__init__(map_file(path, size))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        # Where workers are not forked, they are told where to find the bytes rather than given them.
        return type(self), (self.path, self.size)


def map_file(path: Path, size: int) -> np.ndarray:
    """The first `size` bytes of a file as a uint8 array that cannot be written to."""
    if size == 0:
        return np.zeros(0, dtype=np.uint8)
    with open(path, "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), dtype=np.uint8)


class DevicePixels:
    """Pixels in a device's memory. A crop is cut there, by a single copy at most, in the device's own time.

    Slices with whole numbers for bounds, one photo after the other, need no index on the device and so nothing sent to
    it: the host neither waits nor copies. (On a CPU one gather with computed indices takes ten times as long, at 1, 4
    and 16 photos.)
    """

    def __init__(self, values: np.ndarray, device: torch.device) -> None:
        self.values = torch.empty(len(values), dtype=torch.uint8, device=device)
        for first in range(0, len(values), COPIED_AT_ONCE):
            chunk = torch.from_numpy(values[first : first + COPIED_AT_ONCE].copy())
            self.values[first : first + COPIED_AT_ONCE].copy_(chunk)

    def cut(self, place: Place, channels: int, window: Window) -> Tensor:
        """See Pixels."""
        offset, height, width = place
        size = (channels, window.bottom - window.top, window.right - window.left)
        strides = (height * width, width, 1)
        crop = self.values.as_strided(size, strides, offset + window.top * width + window.left)
        return crop.flip(2) if window.mirrored else crop


def pixels_like(pixels: Pixels, values: np.ndarray) -> Pixels:
    """Other bytes, in the kind of memory that `pixels` are in."""
    return DevicePixels(values, pixels.values.device) if isinstance(pixels, DevicePixels) else HostPixels(values)
