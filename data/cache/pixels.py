"""Pixels of decoded and resized photos in one array of bytes, from which crops are made."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.photos import PhotoFolder
from data.transforms import Window, draw_window, prepare, read_photo

COPIED_AT_ONCE = 64 * 2**20
"""Bytes copied to a device at a time: enough to be fast, few enough not to need the photos twice in host memory."""


class Location(NamedTuple):
    """Offset of a photo's uint8 values (channels, height, width) in all bytes, and their height and width in pixels."""

    offset: int
    height: int
    width: int


NOWHERE = Location(-1, 0, 0)
"""Location of a photo that could not be decoded."""


class CachedPhotos:
    """The photos of a folder, taken from their cached pixels. Photos that could not be decoded are read again at each
    use.

    An unreadable photo is therefore reported as without a cache, and a temporary failure of the file system while the
    cache was filled has no lasting effect.
    """

    def __init__(self, folder: PhotoFolder, locations: Sequence[Location], pixels: Pixels) -> None:
        self.folder, self.pixels = folder, pixels
        self.bytes = sum(folder.channels * height * width for _, height, width in locations)
        # An array is used because reading a list changes its entries' reference counts, so that each worker process
        # would get its own copy of the memory.
        self._locations = np.array(locations, dtype=np.int64)

    def load(self, index: int, rng: np.random.Generator | None) -> Tensor:
        """Return a photo as uint8 (C, H, W) on the device of the pixels; see data.photos.Photos."""
        folder, pixels = self.folder, self.pixels
        location = Location(*self._locations[index].tolist())
        if location.offset < 0:
            values = decode(folder, index)
            location, pixels = Location(0, *values.shape[1:]), pixels_like(self.pixels, values.reshape(-1))
        return pixels.cut(
            location, folder.channels, draw_window(location.width, location.height, folder.transform, rng)
        )


def decode(folder: PhotoFolder, index: int) -> np.ndarray:
    """Read and prepare a photo. Returns uint8 (C, H, W). Raises UnusablePhotoError."""
    image = prepare(read_photo(folder.files[index]), folder.transform, folder.channels)
    values = np.asarray(image)
    return np.ascontiguousarray(values[None] if values.ndim == 2 else values.transpose(2, 0, 1))


class HostPixels:
    """Pixels in the host's memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def cut(self, location: Location, channels: int, window: Window) -> Tensor:
        """Return a crop, flipped if the window says so: uint8 (channels, H, W)."""
        offset, height, width = location
        photo = self.values[offset : offset + channels * height * width].reshape(channels, height, width)
        crop = photo[:, window.top : window.bottom, window.left : window.right]
        return torch.from_numpy((crop[:, :, ::-1] if window.mirrored else crop).copy())


class MappedPixels(HostPixels):
    """Pixels in a memory-mapped file, of which all processes share one copy.

    file: kept open as long as the pixels, because the file disappears when it is closed; workers do not need it.
    """

    def __init__(self, path: Path, size: int, file: IO[bytes] | None = None) -> None:
        self.path, self.size, self.file = path, size, file
        super().__init__(map_file(path, size))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        # If workers are not forked, they get the path of the file instead of a copy of the bytes.
        return type(self), (self.path, self.size)


def map_file(path: Path, size: int) -> np.ndarray:
    """Map the first `size` bytes of a file to a read-only uint8 array."""
    if size == 0:
        return np.zeros(0, dtype=np.uint8)
    with open(path, "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), dtype=np.uint8)


class DevicePixels:
    """Pixels in the memory of a device. Crops are made there asynchronously, with at most one copy.

    Slicing each photo with integer bounds sends no index tensor to the device, so that the host neither waits nor
    copies. (On a CPU, one gather with computed indices takes ten times as long, for 1, 4 and 16 photos.)
    """

    def __init__(self, values: np.ndarray, device: torch.device) -> None:
        self.values = torch.empty(len(values), dtype=torch.uint8, device=device)
        for first in range(0, len(values), COPIED_AT_ONCE):
            chunk = torch.from_numpy(values[first : first + COPIED_AT_ONCE].copy())
            self.values[first : first + COPIED_AT_ONCE].copy_(chunk)

    def cut(self, location: Location, channels: int, window: Window) -> Tensor:
        """See HostPixels."""
        offset, height, width = location
        size = (channels, window.bottom - window.top, window.right - window.left)
        strides = (height * width, width, 1)
        crop = self.values.as_strided(size, strides, offset + window.top * width + window.left)
        return crop.flip(2) if window.mirrored else crop


Pixels = HostPixels | DevicePixels
"""The bytes of all photos of a folder in one memory."""


def pixels_like(pixels: Pixels, values: np.ndarray) -> Pixels:
    """Put other bytes into the type of memory that `pixels` uses."""
    return DevicePixels(values, pixels.values.device) if isinstance(pixels, DevicePixels) else HostPixels(values)
