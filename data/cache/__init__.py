"""Cache of decoded and resized photos (`--cache`). Only cropping and flipping are repeated at each use.

Wherever the photos are cached, batches are bit for bit the same as without a cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

from data.cache.choice import CACHES, CacheOptions, choose, describe_choice
from data.cache.fill import fill_memory, planned_bytes
from data.cache.pixels import CachedPhotos, DevicePixels
from data.photos import PhotoFolder, Photos, open_files
from util.arguments import OptionError
from util.terminal import format_bytes, format_duration

__all__ = ["CACHES", "CacheOptions", "PhotoCache"]


class PhotoCache:
    """Opens folders of photos, and caches the photos as `--cache` says.

    device: the device of the training. threads: number of threads that decode photos. report: prints the chosen cache,
    its size, and the time to fill it. processes: number of processes on this machine that each keep a cache. kind: the
    chosen cache; "none" before `open`.
    """

    def __init__(
        self,
        options: CacheOptions,
        device: torch.device,
        threads: int,
        report: Callable[[str], None] = print,
        processes: int = 1,
    ) -> None:
        self.options, self.device, self.threads, self.report = options, device, threads, report
        self.processes = processes
        self.kind = "none"

    def open(self, folders: Mapping[str, PhotoFolder]) -> Mapping[str, Photos]:
        """Open the photos of each domain. Raises OptionError if an explicitly selected memory is too small."""
        if self.options.cache == "none":
            return open_files(folders)
        needed = sum(map(planned_bytes, folders.values()))
        choice = choose(self.options.cache, needed, self.device, self.processes)
        self.report(describe_choice(choice, self.options.cache, needed))
        if choice.kind == "none":
            return open_files(folders)
        try:
            photos = {domain: self._open_folder(folder, choice.kind) for domain, folder in folders.items()}
        except OSError as error:
            self.report(f"cache: failed, so photos are decoded at each use: {error}")
            return open_files(folders)
        except torch.OutOfMemoryError as error:
            raise OptionError(f"--cache device: {error}; use --cache ram") from error
        self.kind = choice.kind
        return photos

    def _open_folder(self, folder: PhotoFolder, kind: str) -> CachedPhotos:
        started = time.perf_counter()
        locations, pixels = fill_memory(folder, self.threads)
        kept = DevicePixels(pixels.values, self.device) if kind == "device" else pixels
        readable = sum(location.offset >= 0 for location in locations)
        self.report(
            f"cache: decoded {readable:,} of {len(locations):,} photos of {folder.path} ({format_bytes(pixels.size)}) "
            f"in {format_duration(time.perf_counter() - started)}"
        )
        return CachedPhotos(folder, locations, kept)
