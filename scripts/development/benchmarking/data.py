"""Measure loading: photos that are decoded each time, compared with photos cached in memory or on the device.

    python scripts/benchmark.py data --dataroot datasets/young2old --num_threads 0 --crop_size 256

Two figures are reported: photos per second without any other work, and the share of a training's time spent waiting for
photos if a step takes --step_ms, during which the training process is idle, as it is while a GPU computes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from data import Loader, LoaderOptions, create_loader
from data.cache import CacheOptions
from data.cache.pixels import CachedPhotos
from data.transforms import MODES, TransformOptions
from data.unaligned_dataset import UnalignedOptions
from scripts.development.benchmarking.rounds import columns, in_rotation, ratios, verdict
from util.device import describe_device, select_device
from util.terminal import format_bytes

KINDS = ("none", "none again", "ram", "device")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--dataroot", type=Path, required=True, help="folder with trainA and trainB")
    parser.add_argument("--photos", type=int, default=200, help="maximum number of photos per domain")
    parser.add_argument("--load_size", type=int, default=286, help="as for train.py")
    parser.add_argument("--crop_size", type=int, default=256, help="as for train.py")
    parser.add_argument("--preprocess", choices=MODES, default="resize_and_crop", help="as for train.py")
    parser.add_argument("--batch_size", type=int, default=1, help="as for train.py")
    parser.add_argument("--num_threads", type=int, default=0, help="as for train.py")
    parser.add_argument("--prefetch_factor", type=int, default=2, help="as for train.py")
    parser.add_argument("--step_ms", type=float, default=10.0, help="duration of a training step in milliseconds")
    parser.add_argument("--rounds", type=int, default=5, help="number of epochs of each variant, in alternation")
    parser.add_argument("--gpu_ids", default="auto", help="as for train.py")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all variants on the same photos."""
    device = select_device(arguments.gpu_ids)
    open_loader = partial(_open_loader, arguments, device)
    ways: dict[str, dict[str, Any]] = {}
    loaders: dict[str, Loader] = {}
    for kind in KINDS:
        seconds, loaders[kind] = _timed(partial(open_loader, kind))
        ways[kind] = {"fill_seconds": seconds, "bytes": _bytes_of(loaders[kind])}
    candidates: dict[str, Callable[[], object]] = {
        kind: partial(_run_epoch, loader) for kind, loader in loaders.items()
    }
    for candidate in candidates.values():
        candidate()  # starts the workers, and reads all files into the page cache
    seconds_of = in_rotation(candidates, device, arguments.rounds, 1)
    pairs = len(loaders["none"])
    for kind, values in seconds_of.items():
        speeds = [2 * pairs / each for each in values]
        ways[kind] |= {
            "photos_per_second": median(speeds),
            "low": min(speeds),
            "high": max(speeds),
            "gain": ratios(seconds_of["none"], values),
        }
        ways[kind]["wait_share"] = _wait_share(loaders[kind], arguments.step_ms / 1000)
    settings = {
        name: getattr(arguments, name)
        for name in ("load_size", "crop_size", "preprocess", "batch_size", "num_threads", "step_ms", "rounds")
    }
    return {"device": describe_device(device), "torch": torch.__version__, "pairs": pairs, **settings, "ways": ways}


def _timed(make: Callable[[], Loader]) -> tuple[float, Loader]:
    started = time.perf_counter()
    made = make()
    return time.perf_counter() - started, made


def _open_loader(arguments: argparse.Namespace, device: torch.device, kind: str) -> Loader:
    transform = TransformOptions(arguments.preprocess, arguments.load_size, arguments.crop_size)
    options = UnalignedOptions(dataroot=arguments.dataroot, max_dataset_size=arguments.photos, transform=transform)
    cache = CacheOptions(kind.removesuffix(" again"))
    loading = LoaderOptions(arguments.batch_size, arguments.num_threads, arguments.prefetch_factor, cache=cache)
    return create_loader("unaligned", options, loading, {"A": 3, "B": 3}, 0, device, announce=lambda line: None)


def _bytes_of(loader: Loader) -> int:
    photos = getattr(loader.dataset, "photos", {}).values()
    return sum(each.bytes for each in photos if isinstance(each, CachedPhotos))


def _run_epoch(loader: Loader) -> None:
    for _ in loader.epoch():
        pass


def _wait_share(loader: Loader, step_seconds: float) -> float:
    """The share of an epoch's time spent waiting for photos, if each step leaves the host idle for `step_seconds`."""
    started, waited = time.perf_counter(), loader.seconds_waited
    for _ in loader.epoch(2):
        time.sleep(step_seconds)
    return (loader.seconds_waited - waited) / (time.perf_counter() - started)


def format_table(result: dict[str, Any]) -> str:
    """The result as a table."""
    rows = [
        ["--cache", "photos/s (range)", "times none", f"waiting, {result['step_ms']:g} ms a step", "to fill", "size"]
    ]
    ways = result["ways"]
    for kind, way in ways.items():
        rows.append(
            [
                kind,
                f"{way['photos_per_second']:,.0f} ({way['low']:,.0f} to {way['high']:,.0f})",
                verdict(way["gain"], ways["none again"]["gain"])
                if not kind.startswith("none")
                else f"{way['gain']['median']:.2f}",
                f"{100 * way['wait_share']:.1f} %",
                f"{way['fill_seconds']:.2f} s" if way["bytes"] else "",
                format_bytes(way["bytes"]) if way["bytes"] else "",
            ]
        )
    head = (
        f"{result['device']}, torch {result['torch']}, {result['preprocess']} {result['load_size']} to "
        f"{result['crop_size']} px, {result['pairs']} pairs an epoch, batch {result['batch_size']}, "
        f"{result['num_threads']} loading processes, {result['rounds']} rounds in turns"
    )
    return f"{head}\n\n{columns(rows)}"
