"""Runs whose networks are small, random, and change what they see."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from models.generators import GeneratorOptions, create_generator
from models.layers import NetworkOptions


def make_run(folder: Path, name: str = "run", **options: object) -> Path:
    """The folder of a run; options are those of the generators, and crop_size."""
    values = {"netG": "resnet_2blocks", "ngf": 16, "crop_size": 64, **options}
    path = folder / name
    path.mkdir(parents=True)
    (path / "opt.json").write_text(json.dumps({**values, "model": "cycle_gan"}))
    known = {key: value for key, value in values.items() if key != "crop_size"}
    for seed, network in enumerate(("G_A", "G_B")):
        torch.manual_seed(seed)
        generator = create_generator(NetworkOptions(init_gain=0.1), GeneratorOptions(**known))
        convolutions = [layer for layer in generator.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        nn.init.normal_(convolutions[-1].weight, std=0.05)
        torch.save(generator.state_dict(), path / f"latest_net_{network}.pth")
    return path
