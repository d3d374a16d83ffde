"""Measure translation: batched, in 16 bits, or compiled, compared with translating photos one by one in float32."""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import torch

from models.fast.speed import COMPILE_MODES, Speed, SpeedOptions, accelerate
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions
from models.precision import Network
from scripts.development.benchmarking.rounds import columns, in_rotation, ratios, verdict, wait_for
from util.device import describe_device, has_quick_bf16, select_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `benchmark.py infer`."""
    parser.add_argument("--crop_size", type=int, default=256, help="width and height in pixels")
    parser.add_argument("--batch_size", type=int, default=8, help="photos per batch in the batched variants")
    parser.add_argument("--netG", default="resnet_9blocks", help="generator")
    parser.add_argument("--photos", type=int, default=8, help="photos per turn; a multiple of --batch_size")
    parser.add_argument("--rounds", type=int, default=5, help="number of turns of each variant")
    parser.add_argument("--compile", choices=COMPILE_MODES[1:], help="also measure a variant compiled by torch.compile")
    parser.add_argument("--gpu_ids", default="auto", help="as for test.py")


def run(words: argparse.Namespace) -> dict[str, Any]:
    """Measure all variants on the same random photos with the same random weights."""
    device = select_device(words.gpu_ids)
    photos = torch.rand(words.photos, 3, words.crop_size, words.crop_size, generator=torch.Generator().manual_seed(0))
    photos = (photos * 2 - 1).to(device)
    fast = SpeedOptions(precision="float32").resolve(device, training=False)
    ways: dict[str, tuple[Speed, int]] = {"plain": (Speed(), 1), "plain again": (Speed(), 1)}
    ways["batched"] = (Speed(), words.batch_size)
    ways |= {"custom kernels": (fast, 1), "custom kernels, batched": (fast, words.batch_size)}
    if has_quick_bf16(device):
        short = SpeedOptions(precision="bf16").resolve(device, training=False)
        ways |= {"custom kernels, bf16": (short, 1), "custom kernels, bf16, batched": (short, words.batch_size)}
    if words.compile:
        compiled = SpeedOptions(precision="auto", compile=words.compile).resolve(device, training=False)
        ways["compiled, batched"] = (compiled, words.batch_size)
    candidates, measured = {}, {}
    exact = outputs(generator_of(words, Speed(), device), photos, 1)
    for name, (speed, size) in ways.items():
        network = generator_of(words, speed, device)
        started = time.perf_counter()
        made = outputs(network, photos, size)
        wait_for(device)
        first = time.perf_counter() - started
        measured[name] = {"first_seconds": first, "mean_difference_of_255": float((made - exact).abs().mean()) * 127.5}
        candidates[name] = lambda network=network, size=size: outputs(network, photos, size)
    seconds = in_rotation(candidates, device, words.rounds, 1)
    plain = seconds["plain"]
    speeds = {
        name: {"photos_per_second": words.photos / median(values), "ratio": ratios(plain, values)}
        for name, values in seconds.items()
    }
    return {
        "device": describe_device(device),
        "torch": torch.__version__,
        "netG": words.netG,
        "crop_size": words.crop_size,
        "rounds": words.rounds,
        "ways": {name: speeds[name] | measured[name] for name in ways},
    }


def generator_of(words: argparse.Namespace, speed: Speed, device: torch.device) -> Network:
    """A generator with the same random weights each time."""
    torch.manual_seed(0)
    network = create_generator(NetworkOptions(), GeneratorOptions(words.netG)).to(device).eval()
    accelerate(network, speed)
    return network


@torch.inference_mode()
def outputs(network: Network, photos: torch.Tensor, size: int) -> torch.Tensor:
    """The translations, `size` photos at a time."""
    return torch.cat([network(part) for part in photos.split(size)])


def format_table(result: dict[str, Any]) -> str:
    """The result as a table. Differences are those from the images of the plain variant, in levels of 255."""
    rows = [["way", "photos/s", "times plain", "range", "first turn", "differs by"]]
    noise = result["ways"]["plain again"]["ratio"]
    for name, way in result["ways"].items():
        ratio = way["ratio"]
        rows.append(
            [
                name,
                f"{way['photos_per_second']:.3g}",
                f"{ratio['median']:.2f}" if name.startswith("plain") else verdict(ratio, noise),
                f"{ratio['low']:.2f} to {ratio['high']:.2f}",
                f"{way['first_seconds']:.3g} s",
                f"{way['mean_difference_of_255']:.3f}",
            ]
        )
    head = (
        f"{result['device']}, torch {result['torch']}; {result['netG']}, {result['crop_size']} px, "
        f"{result['rounds']} rounds"
    )
    return f"{head}\n\n{columns(rows)}"
