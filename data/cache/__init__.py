"""Photos decoded and resized once, and kept: `--cache`. What is done to each photo anew is its crop and its flip.

Whatever the place they are kept in, batches are the same to the bit as those of photos read from their files each time.
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
    """Opens folders of photos as the options say.

    device: of the training. threads: how many photos are decoded at the same time. report: is told what was chosen, the
    size, and the time it took. processes: on this machine that keep photos of their own. kind: what was chosen; "none"
    before `open`.
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
        """The photos of each domain. Raises OptionError where a memory that was asked for does not suffice."""
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
            self.report(f"cache: none after all, photos are read from their files: {error}")
            return open_files(folders)
        except torch.OutOfMemoryError as error:
            raise OptionError(f"--cache device: {error}; choose --cache ram") from error
        self.kind = choice.kind
        return photos

    def _open_folder(self, folder: PhotoFolder, kind: str) -> CachedPhotos:
        started = time.perf_counter()
        places, pixels = fill_memory(folder, self.threads)
        kept = DevicePixels(pixels.values, self.device) if kind == "device" else pixels
        readable = sum(place.offset >= 0 for place in places)
        self.report(
            f"cache: {readable:,} of {len(places):,} photos of {folder.path}, {format_bytes(pixels.size)}, in "
            f"{format_duration(time.perf_counter() - started)}"
        )
        return CachedPhotos(folder, places, kept)
