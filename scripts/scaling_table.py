"""What several processes send to each other in a step, and how long links need for it: the tables of docs/scaling.md.

    python scripts/scaling_table.py

Sizes are counted on the networks of the default options. Links and step times are assumptions, given below.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from models.discriminators import DiscriminatorOptions, create_discriminator
from models.fast.speed import SPEEDUPS, Speed, accelerate
from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions

PROCESSES = (8, 64, 512)
LINKS = {"NVLink, 450 GB/s": 450e9, "400 Gb/s": 50e9, "100 Gb/s": 12.5e9, "25 Gb/s": 3.125e9}
"""Bytes a second in each direction, at the slowest place of the ring; latency left out."""
STEP_SECONDS = (0.01, 0.05, 0.2)
POOL_BYTES = 2 * 50 * 3 * 256 * 256 * 4
"""Two pools of 50 images, 256 pixels, float32."""


def gradient_bytes() -> int:
    """Of both generators and both discriminators, biases before a normalisation left out as they are in training."""
    network = NetworkOptions()
    generator = create_generator(network, GeneratorOptions())
    discriminator = create_discriminator(network, DiscriminatorOptions(), network.output_nc, torch.device("cpu"))
    for each in (generator, discriminator):
        accelerate(each, Speed(speedups=frozenset(SPEEDUPS) - {"kernels"}))
    return 2 * sum(parameter.numel() * parameter.element_size() for each in (generator, discriminator)
                   for parameter in each.parameters() if parameter.requires_grad)  # fmt: skip


def main() -> None:
    """Print all tables in Markdown."""
    size = gradient_bytes()
    sent = {processes: 2 * (processes - 1) / processes * size for processes in PROCESSES}
    print(f"gradients: {size:,} bytes\n")
    print("| processes | sent and received by each | " + " | ".join(LINKS) + " | pools in a checkpoint |")
    print("|---" * (len(LINKS) + 3) + "|")
    for processes, count in sent.items():
        times = " | ".join(f"{1e3 * count / speed:.1f} ms" for speed in LINKS.values())
        print(f"| {processes} | {count / 1e6:.1f} MB | {times} | {processes * POOL_BYTES / 1e9:.1f} GB |")
    print("\n| assumed step on one GPU | " + " | ".join(LINKS) + " |")
    print("|---" * (len(LINKS) + 1) + "|")
    count = sent[PROCESSES[-1]]
    for step in STEP_SECONDS:
        shares = []
        for speed in LINKS.values():
            exchange = count / speed
            shares.append(f"{100 * step / (step + exchange):.0f} to {100 * step / max(step, exchange):.0f} %")
        print(f"| {1e3 * step:.0f} ms | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
