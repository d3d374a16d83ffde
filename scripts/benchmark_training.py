"""Measure training steps: the plain mode and a faster one, in turns in one process.

    python scripts/benchmark_training.py --crop_size 256 --batch_size 1 --precision bf16

The plain mode is float32, with every pass of the public code's step on its own. Photos are random and in memory:
loading is not part of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.cycle_gan_model import CycleGANModel, CycleGANOptions
from models.precision import PRECISIONS, PrecisionOptions
from util.arguments import build
from util.device import describe_device, select_device
from util.errors import told_in_one_line


def main() -> None:
    """Measure and print both modes."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--crop_size", type=int, default=256, help="pixels")
    parser.add_argument("--batch_size", type=int, default=1, help="pairs in a step")
    parser.add_argument("--netG", default="resnet_9blocks", help="generator")
    parser.add_argument("--ngf", type=int, default=64, help="width of the generator")
    parser.add_argument("--ndf", type=int, default=64, help="width of the discriminator")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the faster mode")
    parser.add_argument("--steps", type=int, default=6, help="measured steps of each mode, after a first one")
    parser.add_argument("--gpu_ids", default="auto", help="as of train.py")
    words = parser.parse_args()
    device = select_device(words.gpu_ids)
    networks = {"netG": words.netG, "ngf": words.ngf, "ndf": words.ndf}
    models = {}
    for precision in ("float32", words.precision):
        torch.manual_seed(0)
        options = build(CycleGANOptions, {**networks, "precision": precision})
        model = CycleGANModel(options, device, training=True)
        models[model.precision] = model
    models["float32"].merges_passes = False
    shape = (words.batch_size, 3, words.crop_size, words.crop_size)
    batch = {name: torch.rand(shape) * 2 - 1 for name in "AB"}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(words.steps + 1):
        for name, model in models.items():
            PrecisionOptions(name).resolve(device)  # tf32 is a setting of the whole process
            seconds[name].append(time_step(model, batch, device))
    print(f"{describe_device(device)}, torch {torch.__version__}, {words.netG}, ngf {words.ngf}, "
          f"{words.crop_size} px, batch {words.batch_size}, {words.steps} steps each, in turns")  # fmt: skip
    plain = median(seconds["float32"][1:])
    for name, values in seconds.items():
        middle = median(values[1:])
        print(f"{name:<8} {middle:7.3f} s a step ({min(values[1:]):.3f} to {max(values[1:]):.3f}), "
              f"{words.batch_size / middle:6.2f} pairs/s, {plain / middle:.2f} times the plain mode")  # fmt: skip


def time_step(model: CycleGANModel, batch: dict[str, torch.Tensor], device: torch.device) -> float:
    """The seconds of one step, with the device's work done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    model.optimize(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def median(values: list[float]) -> float:
    """The middle value."""
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    with told_in_one_line("benchmark_training.py"):
        main()
