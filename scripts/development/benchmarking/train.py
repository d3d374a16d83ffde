"""Measure training steps: each variant compared with the plain one, in alternation, from the same weights, on the same
photos, with the same random draws of the pools.

The plain variant is float32, channels first, layer by layer, with each pass of the public code's step executed
separately. It runs twice; differences within that of the two runs are called unresolved.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from data import LoaderOptions, create_loader
from data.cache import CacheOptions
from data.transforms import TransformOptions
from data.unaligned_dataset import UnalignedOptions
from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from models.fast.speed import COMPILE_MODES, SPEEDUPS
from models.precision import resolve_precision
from scripts.development.benchmarking.rounds import columns, in_rotation, quantile, ratios, verdict, wait_for
from util.arguments import build
from util.device import describe_device, keep_freed_memory, memory_in_use, select_device

PLAIN = {"precision": "float32", "channels_last": "off", "cuda_graphs": "off", "compile": "none", "speedups": ()}
GFLOP_OF_A_PAIR = 1879.2
"""Work of a plain step with resnet_9blocks at 64 channels on one pair of 256 pixels, by torch's FlopCounterMode
(1879.217). It is the same for all variants, so that avoided work does not look like a slower device."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `benchmark.py train`."""
    parser.add_argument("--crop_size", type=int, default=256, help="width and height in pixels")
    parser.add_argument("--batch_size", type=int, default=1, help="pairs per step")
    parser.add_argument("--netG", default="resnet_9blocks", help="generator")
    parser.add_argument("--ngf", type=int, default=64, help="width of the generator")
    parser.add_argument("--ndf", type=int, default=64, help="width of the discriminator")
    parser.add_argument("--rounds", type=int, default=5, help="number of turns of each variant")
    parser.add_argument("--steps", type=int, default=1, help="steps per turn")
    parser.add_argument("--precision", default="auto", help="precision of the fast variant, as for train.py")
    parser.add_argument(
        "--leave_one_out", action="store_true", help="also measure the fast variant without each of its parts"
    )
    parser.add_argument(
        "--autocast", action="store_true", help="also measure the plain variant in the precision of the fast one"
    )
    parser.add_argument("--compile", choices=COMPILE_MODES[1:], help="also measure a variant compiled by torch.compile")
    parser.add_argument(
        "--dataroot", type=Path, help="photos, loaded separately by each variant; default: random images"
    )
    parser.add_argument("--num_threads", type=int, default=4, help="number of loading processes")
    parser.add_argument("--gpu_ids", default="auto", help="as for train.py")


def settings(words: argparse.Namespace, device: torch.device) -> dict[str, dict[str, Any]]:
    """The variants by name, as options of the model."""
    precision = resolve_precision(words.precision, device, training=True)
    fast: dict[str, Any] = {"precision": precision}
    ways = {"plain": PLAIN, "plain again": PLAIN}
    if words.autocast:
        ways[f"plain in {precision}"] = {**PLAIN, "precision": precision}
    ways["fast"] = fast
    if words.leave_one_out:
        graphs = {"without CUDA graphs": {**fast, "cuda_graphs": "off"}} if device.type == "cuda" else {}
        ways |= {"without 16 bits": {"precision": "float32"}, **graphs}
        ways["without channels last"] = {**fast, "channels_last": "off"}
        for name in SPEEDUPS:
            ways[f"without {name}"] = {**fast, "speedups": tuple(other for other in SPEEDUPS if other != name)}
    if words.compile:
        ways[f"compiled ({words.compile})"] = {**fast, "compile": words.compile}
    return ways


class Candidate:
    """A variant with its own model and photos."""

    def __init__(self, words: argparse.Namespace, setting: dict[str, Any], device: torch.device) -> None:
        torch.manual_seed(0)
        networks = {"netG": words.netG, "ngf": words.ngf, "ndf": words.ndf}
        self.model = CycleGANModel(build(CycleGANOptions, {**networks, **setting}), device, training=True)
        self.device, self.precision = device, self.model.speed.precision
        self.batches = self._batches(words, plain=setting is PLAIN)
        self.seconds: list[float] = []
        self.wait = 0.0
        before = memory_in_use(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started = time.perf_counter()
        self.step()
        wait_for(device)
        self.first_seconds = time.perf_counter() - started
        self.gradients = self._gradients()
        for _ in range(4 if device.type == "cuda" else 1):  # a CUDA graph is recorded after some eager steps
            self.step()
        self.peak_bytes = memory_in_use(device) - (before if device.type != "cuda" else 0)

    def step(self) -> None:
        """Load photos and train on them."""
        started = time.perf_counter()
        batch = next(self.batches)
        loaded = time.perf_counter()
        resolve_precision(self.precision, self.device, training=True)  # tf32 is a setting of the whole process
        self.model.optimize(batch)
        self.wait += loaded - started
        self.seconds.append(time.perf_counter() - started)

    def forget(self) -> None:
        """Reset the counters."""
        self.seconds, self.wait = [], 0.0

    def _batches(self, words: argparse.Namespace, *, plain: bool) -> Iterator[dict[str, Any]]:
        size = words.crop_size
        if words.dataroot is None:
            generator = torch.Generator().manual_seed(1)
            shape = (words.batch_size, 3, size, size)
            batch = {name: (torch.rand(shape, generator=generator) * 2 - 1).to(self.device) for name in "AB"}
            while True:
                yield batch
        transform = TransformOptions(load_size=round(size * 286 / 256), crop_size=size)
        options = UnalignedOptions(dataroot=words.dataroot, transform=transform)
        cache = CacheOptions("none" if plain else "auto")
        loading = LoaderOptions(batch_size=words.batch_size, num_threads=words.num_threads, cache=cache)
        loader = create_loader("unaligned", options, loading, {"A": 3, "B": 3}, 0, self.device)
        epoch = 1
        while True:
            for batch in loader.epoch(epoch):
                if len(batch["A"]) == words.batch_size:  # an epoch's last batch may be smaller
                    yield batch
            epoch += 1

    def _gradients(self) -> dict[str, Tensor]:
        """The gradients of each network's weights after the first step, on the CPU."""
        return {
            name: torch.cat(
                [
                    p.grad.detach().float().flatten().cpu()
                    for p in network.parameters()
                    if p.dim() > 1 and p.grad is not None
                ]
            )
            for name, network in self.model.networks.items()
        }


def run(words: argparse.Namespace) -> dict[str, Any]:
    """Measure all variants; `format_table` describes the result."""
    keep_freed_memory()
    device = select_device(words.gpu_ids)
    candidates = {}
    for name, setting in settings(words, device).items():
        candidates[name] = Candidate(words, setting, device)
        print(f"{name}: {candidates[name].model.speed.describe()}", flush=True)
    for candidate in candidates.values():
        candidate.forget()
    seconds = in_rotation({name: c.step for name, c in candidates.items()}, device, words.rounds, words.steps)
    result: dict[str, Any] = {
        "device": describe_device(device),
        "torch": torch.__version__,
        "crop_size": words.crop_size,
        "batch_size": words.batch_size,
        "netG": words.netG,
        "ngf": words.ngf,
        "rounds": words.rounds,
        "steps": words.steps,
        "loading": words.dataroot is not None,
        "ways": {},
    }
    peaks = {dtype: matrix_product(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    result["matrix_product_gflops"] = {str(dtype).removeprefix("torch."): peak for dtype, peak in peaks.items()}
    for name, candidate in candidates.items():
        result["ways"][name] = summary(words, candidate, candidates["plain"], seconds[name], seconds["plain"], peaks)
    return result


def summary(
    words: argparse.Namespace,
    own: Candidate,
    plain: Candidate,
    seconds: list[float],
    base: list[float],
    peaks: dict[torch.dtype, float],
) -> dict[str, Any]:
    """The results of one variant."""
    step = median(seconds) / words.steps
    gflop = GFLOP_OF_A_PAIR * words.batch_size * (words.crop_size / 256) ** 2
    peak = peaks[torch.bfloat16 if own.precision in ("bf16", "fp16") else torch.float32]
    counts = words.netG == "resnet_9blocks" and words.ngf == words.ndf == 64
    return {
        "speed": own.model.speed.describe(),
        "seconds_of_a_step": step,
        "pairs_per_second": words.batch_size / step,
        "step_p50": quantile(own.seconds, 0.5),
        "step_p95": quantile(own.seconds, 0.95),
        "ratio": ratios(base, seconds),
        "share_of_peak": gflop / step / peak if counts else None,
        "wait_share": own.wait / sum(seconds),
        "peak_bytes": own.peak_bytes,
        "first_step_seconds": own.first_seconds,
        "cosine": {
            name: float(torch.nn.functional.cosine_similarity(gradient.double(), plain.gradients[name].double(), dim=0))
            for name, gradient in own.gradients.items()
        },
        "seconds": seconds,
    }


def matrix_product(device: torch.device, dtype: torch.dtype) -> float:
    """GFLOP/s of a product of square matrices: the best of 5 after a warm-up."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for number in range(6):
        wait_for(device)
        started = time.perf_counter()
        a @ b
        wait_for(device)
        if number:
            best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def format_table(result: dict[str, Any]) -> str:
    """The result as a table: seconds per step; pairs per second; median, minimum and maximum ratio to the plain
    variant, round by round; share of the speed of a matrix product in the same precision; share of the time spent
    waiting for photos; memory (on a CPU, the growth of the process); seconds of the first step; and the cosine between
    the first step's gradients and the plain ones, for the worst generator and the worst discriminator."""
    rows = [
        [
            "way",
            "s/step",
            "p50 ms",
            "p95 ms",
            "pairs/s",
            "times plain",
            "range",
            "of peak",
            "data",
            "GiB",
            "first step",
            "cosine G, D",
        ]
    ]
    noise = result["ways"]["plain again"]["ratio"]
    for name, way in result["ways"].items():
        ratio, cosine = way["ratio"], way["cosine"]
        share = way["share_of_peak"]
        rows.append(
            [
                name,
                f"{way['seconds_of_a_step']:.4g}",
                f"{1e3 * way['step_p50']:.4g}",
                f"{1e3 * way['step_p95']:.4g}",
                f"{way['pairs_per_second']:.3g}",
                f"{ratio['median']:.2f}" if name.startswith("plain") else verdict(ratio, noise),
                f"{ratio['low']:.2f} to {ratio['high']:.2f}",
                "" if share is None else f"{100 * share:.0f} %",
                f"{100 * way['wait_share']:.1f} %" if result["loading"] else "",
                f"{way['peak_bytes'] / 2**30:.2f}",
                f"{way['first_step_seconds']:.3g} s",
                f"{min(cosine['G_A'], cosine['G_B']):.3f}, {min(cosine['D_A'], cosine['D_B']):.4f}",
            ]
        )
    head = (
        f"{result['device']}, torch {result['torch']}; {result['netG']}, {result['ngf']} wide, "
        f"{result['crop_size']} px, batch {result['batch_size']}; {result['rounds']} rounds of {result['steps']} "
        "steps; matrix product: "
        + ", ".join(f"{dtype} {gflops:.0f} GFLOP/s" for dtype, gflops in result["matrix_product_gflops"].items())
    )
    return f"{head}\n\n{columns(rows)}"
